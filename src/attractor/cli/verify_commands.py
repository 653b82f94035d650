"""Commands that prove what a model never does on a set of inputs: verify."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from attractor.errors import ConfigError
from attractor.settings import Count, CountOrNone, NonNegative, Positive

from .console import Facts, NotProvedError, command_line, console, escaped, tell, tell_file, working
from .data_commands import Columns, columns_of
from .own_cells import RunCommand

ONNX = ".onnx"


@dataclass(frozen=True)
class PlantOptions:
    """What is asked of a model of a plant."""

    horizon: Count = 20
    """Steps."""
    outputs: tuple[str, ...] = ()
    """Where outputs must stay: "pH in 5.5:8.5"; an end that is left out is none. Without bands the
    tube is found."""
    full_range: bool = False
    """Inputs are free in their whole range of the training, not only about the record."""
    from_row: CountOrNone | None = None
    """Row of the record that the horizon begins at; the first after the washout if not given."""
    window: Count | None = None
    """Steps that a proof goes back through the equations; more is tighter and slower."""
    for_ever: bool = False
    """Ask for all time: inputs stay about those of the row that the horizon begins at."""


@dataclass(frozen=True)
class VerifyCommand(RunCommand):
    """Prove what a trained model, or an ONNX network, never does on a set of inputs, or show the input."""

    folder: Positional[Path]
    """The run folder, or an ONNX file beside a property."""
    query: Positional[Path | None] = None
    """A property in VNN-LIB, for an ONNX file."""
    within: NonNegative = 0.05
    """How far every input may be from its nominal value, at every step; scaled: for a plant 1 is half of the
    range of an input in the training, for a classifier a standard deviation."""
    plant: OmitArgPrefixes[PlantOptions] = field(default_factory=PlantOptions)
    data: Path | None = None
    """A log with nominal inputs, or labelled cases; the test part of the run if not given."""
    cases: Annotated[Count | None, arg(name="cases")] = None
    """Of a classifier, at most so many cases."""
    certificate: Path | None = None
    """A file for the proof of a property of an ONNX file, or for the input that violates it; see `attractor
    recheck`."""
    timeout: Positive = 60.0
    """Seconds for the search, where bounds alone do not decide."""
    workers: int = -1
    """Processes for a search that takes longer than a few seconds; -1 takes one for each core."""
    columns: OmitArgPrefixes[Columns] = field(default_factory=Columns)

    def run(self) -> Facts:
        """Bound, attack, search, report; the status is 5 where a property was asked and is not proved."""
        from attractor.sweeps import spread

        with spread(workers=self.workers):
            return self._of_network() if self.folder.suffix == ONNX else self._of_model()

    def _of_model(self) -> Facts:
        if self.query is not None:
            raise ConfigError(f"{self.query}: a property in VNN-LIB is about an ONNX file, not about a run")
        if self.certificate is not None:
            raise ConfigError(
                f"{self.certificate}: certificates are written of an ONNX file with a property, and in "
                "Python by `attractor.certify.verify.prove(..., certificate=path)`; leave --certificate out"
            )
        return self._of_run()

    def _of_run(self) -> Facts:
        from attractor.control.plant_verification import PlantQuestion
        from attractor.run_kinds import Asking, Verified

        question = PlantQuestion(within=self.within, timeout=self.timeout, **vars(self.plant))
        model, verify = self.opened("verify")
        columns, command = columns_of(self.columns), command_line()
        asking = Asking(self.folder, self.data, columns, question, self.cases, command)
        with working("bounding what the model can do, and attacking it", bar=True):
            found: Verified = verify(model, asking)
        return self._concluded(found.said, found.facts | {"report": found.page}, proved=found.decided)

    def _of_network(self) -> Facts:
        from attractor.certify.verify.replay import replayed
        from attractor.certify.verify.solve import Satisfied, solve_query
        from attractor.certify.verify.vnnlib_files import read_query

        if self.query is None:
            raise ConfigError(f"{self.folder}: which property? Give a file in VNN-LIB behind the network")
        if not self.folder.is_file():
            raise ConfigError(f"{self.folder}: there is no such file")
        query = read_query(self.query)
        names = [one.name for one in query.networks if one.equal_to is None]
        if len(names) != 1:
            raise ConfigError(
                f"{self.query} speaks of {len(names)} networks; `attractor-vnnlib verify` takes several"
            )
        with working(f"looking for an input of {self.query}"):
            found = solve_query(
                query,
                {names[0]: self.folder},
                seconds=self.timeout,
                tell=_progress,
                certificate=self.certificate,
                query_file=self.query,
            )
        said = {
            Satisfied.UNSAT: "The property holds: no input satisfies the query (proved).",
            Satisfied.SAT: "The property is violated by this input, which satisfies the query:",
            Satisfied.UNKNOWN: _open(found.lower, found.attained),
            Satisfied.TIMED_OUT: f"{_open(found.lower, found.attained)} The time was over.",
        }[found.answer]
        lines = [said]
        given = {tensor.name for one in query.networks for tensor in one.inputs}
        facts: Facts = {"verdict": found.answer.value, "lower": found.lower, "attained": found.attained}
        if found.assignment is not None:
            arrays = {name: array for name, array in found.assignment.items() if name in given}
            lines += [f"{name} = {array.ravel().tolist()}" for name, array in arrays.items()]
            facts["assignment"] = dict(found.assignment)
            lines.append(replayed(query.networks[0], self.folder, found.assignment))
        if found.certificate:
            lines.append(found.certificate)
        return self._concluded(lines, facts, proved=found.answer is Satisfied.UNSAT)

    def _concluded(self, said: Sequence[str], facts: Facts, *, proved: bool) -> Facts:
        """Say the verdict first; what is not proved has a status of its own."""
        console.print(f"[bold]{escaped(said[0])}[/]", soft_wrap=True)
        for line in said[1:]:
            tell(line)
        if "report" in facts:
            tell_file(facts["report"], "report:")
        if not proved:
            raise NotProvedError(_VIOLATED if "violated" in said[0] else _UNPROVED, facts)
        return facts


_VIOLATED = "the property does not hold; the input above violates it"
_UNPROVED = "the property is not proved; the first line above says what is known"


def _open(lower: float, attained: float) -> str:
    return (
        "Not decided: the least of what must be above zero for the property lies between "
        f"{lower:.6g} (proved) and {attained:.6g} (met)."
    )


def _progress(line: str) -> None:
    from .console import errors

    errors.print(escaped(line), soft_wrap=True)
