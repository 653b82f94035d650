"""Commands about control: certify, control, export."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from rich.table import Table as Grid
from tyro.conf import OmitArgPrefixes, Suppress

from attractor.certify import Certificate, CertifySettings
from attractor.control import PlantModel
from attractor.control.controller_code import ExportSettings
from attractor.control.study import ControlSettings, ControlStudy
from attractor.errors import AttractorError, ConfigError
from attractor.settings import Count, Positive, Seed
from attractor.shown import counted

from .console import Facts, NotProvedError, command_line, console, escaped, tell, tell_file, working
from .own_cells import CellCommand, RunCommand, Sizes, is_own

if TYPE_CHECKING:
    from attractor.certify import Witness
    from attractor.control.loop_page import PlantKind
    from attractor.control.plants.process import MatchedPlant
    from attractor.control.predictive import Scenario

Files = list[tuple[Path, float | None]]


@dataclass(frozen=True)
class CertifyCommand(CellCommand):
    """Prove that a model or a cell of your own forgets its past for every input, or show that it does not."""

    input_bound: Positive = 1.0
    """Inputs lie within +- this; of a model 1 is the range of the training data."""
    out: Path | None = None
    """Folder of the page of a cell of your own, which is only printed if not given; that of a run goes into
    its folder."""
    settings: OmitArgPrefixes[CertifySettings] = field(
        default_factory=lambda: CertifySettings(time_budget=60.0, tighten=True)
    )

    def run(self) -> Facts:
        """Certify, save, report; the status is 0 for a proof and 5 for none."""
        from attractor.run_kinds import Proof, kind_of

        own = is_own(self.folder)
        if self.out is not None and not own:
            raise ConfigError(f"--out is for a cell of your own; the page of {self.folder} goes into the run")
        model, certify = self.opened("certify")
        check = None if own else kind_of(self.folder).provable
        if check is not None:
            check(model, self.folder)
        with working(self._announced(model), bar=True):
            place = self.out if own else self.folder
            proof: Proof = certify(model, place, self.input_bound, self.settings, command_line())
        result = proof.result
        for attempt in result.attempts:
            name = f"level {attempt.level}" if attempt.level >= 0 else "search"
            console.print(f"{name}: {escaped(attempt.outcome)} ({attempt.seconds:.1f} s)")
        console.print(f"[bold]{escaped(proof.claim)}[/]", soft_wrap=True)
        facts = {"verdict": result.verdict.name.lower(), "claim": proof.claim, "report": proof.page}
        if result.certificate is not None:
            facts |= _show_certificate(result.certificate, proof.sampling_time)
        if result.witness is not None:
            facts |= _show_witness(result.witness)
        if proof.page is None:
            tell("--out FOLDER writes a page of it")
        else:
            tell_file(proof.page, "report:")
        if result.certificate is None:
            following = _next(model, self.folder) if isinstance(model, PlantModel) else ""
            raise NotProvedError(f"{_unproved(result.reason)}{following}", facts)
        return facts

    def sizes(self) -> Sizes:
        """With the seed of the search, which draws the weights as well."""
        return super().sizes()._replace(seed=self.settings.seed)

    def _announced(self, model: Any) -> str:
        """What is about to be done, and what it takes, where the run has a cell by itself."""
        from attractor.classification import SequenceClassifier
        from attractor.classification.reading import bare_cell
        from attractor.run_kinds.bare_cells import BareCell

        from . import estimates

        if isinstance(model, SequenceClassifier):
            cell = bare_cell(model.network())
        else:
            cell = getattr(model if isinstance(model, BareCell) else model.network(), "cell", None)
        cost = "" if cell is None else f"; {estimates.proof(cell, self.settings)}"
        return f"looking for a proof{cost}"


_REFUTED = (
    "a counterexample was found, so that a wrong start may never be forgotten: two trajectories under the "
    "same inputs stay apart."
)
_RETRAIN = "`attractor identify ... --certified` trains a new one towards it"
_NEXT = (
    " Next: `attractor repair {run} --out {run}-repaired` moves the model to where a certificate holds; "
    f"{_RETRAIN}"
)
_REGRESSION = f" Next: {_RETRAIN} (without --cell, since nothing trains this regression)"


def _next(model: PlantModel, run: Path) -> str:
    """What leads to a model with a proof."""
    from attractor.control.identification.certification import repairable

    return _NEXT.format(run=run) if repairable(model) else _REGRESSION


def _unproved(reason: str) -> str:
    """What follows where nothing is proved: why is only known of a search without an answer."""
    return f"{reason.rstrip('.')}. Until it is proved, check every use by simulation." if reason else _REFUTED


@dataclass(frozen=True)
class Planner(ExportSettings):
    """How the controller plans."""

    observer: Annotated[str, Suppress] = "open-loop"
    certificate: Annotated[Any, Suppress] = None


@dataclass(frozen=True)
class ControlCommand(RunCommand):
    """Control a plant with a trained model of it, and write a report."""

    plant: str
    """The plant: ph, quadruple-tank, quadruple-tank-nonminimum-phase or quadruple-tank-pilot; your own,
    plant.py:Plant (docs/write_your_own_plant.md); a second run folder; or model, the model itself, which
    shows nothing of its errors."""
    reference: Path | None = None
    """CSV file with a column for every output, one row a sample, and columns of disturbances if wanted."""
    rows: Count | None = None
    """Samples at every level of the reference, if there is no file; 60 to 400, by how slow the model is, if
    not given."""
    noise: float | None = None
    """Standard deviation of the measurement noise; the plant's usual one if not given, else zero."""
    lost: tuple[str, ...] = ()
    """Sensors that show nothing for some samples, such as h2=60:120."""
    seed: Seed = 0
    """The noise follows from it."""
    compare: bool = True
    """Run the same without offset-free tracking beside it."""
    controller: OmitArgPrefixes[ControlSettings] = field(default_factory=ControlSettings)

    def run(self) -> Facts:
        """Load, run both loops, save, report."""
        from attractor.control.study import control_study, matched, save_loop
        from attractor.progress import reporter_for

        from .plant_choice import chosen_plant

        loaded, able = self.opened("control")
        model: PlantModel = able(loaded)
        with working(f"preparing {self.plant} and its reference"):
            chosen, setup = chosen_plant(self.plant, model), self.controller
            plant = matched(model, chosen.process)
            scenario = self._scenario(model, plant)
            certificate, terminal = self._terminal(model, plant)
        rows = len(scenario.references)
        with working(f"compiling the controller, then {counted(rows, 'sample')} of closed loop", bar=True):
            reporter = reporter_for("closed loop")
            study = control_study(model, plant, scenario, setup, reporter, certificate)
        other = None
        if self.compare and setup.offset_gain:
            plain = replace(setup, offset_gain=0.0)
            with working("the same without offset-free tracking", bar=True):
                reporter = reporter_for("without offset-free")
                other = control_study(model, plant, scenario, plain, reporter, certificate)
        with working("writing the report"):
            report = _report_on(self, model, chosen.kind, (study, other), terminal)
            save_loop(self.folder / "closed_loop.csv", plant, study.loop)
        facts = _show_loop(study, [signal.label for signal in model.signals_.outputs])
        tell_file(report, "report:")
        said = {"plant": chosen.kind, "terminal": terminal, "answers_otherwise": study.headline}
        return facts | {"report": report, **said}

    def _scenario(self, model: PlantModel, plant: "MatchedPlant") -> "Scenario":
        from attractor.control.study import lost_sensors, read_scenario, stepped_scenario

        if self.reference is None:
            scenario = stepped_scenario(model, self.rows)
        else:
            scenario = read_scenario(self.reference, plant, model.signals_.sampling_time)
        lost = lost_sensors(self.lost, model.signals_.outputs, len(scenario.references))
        return replace(scenario, noise=self.noise, seed=self.seed, lost=lost)

    def _terminal(self, model: PlantModel, plant: "MatchedPlant") -> "tuple[Certificate | None, str]":
        """The certificate of the run where it covers this controller, and what is said of it."""
        from attractor.control.identification.certification import stored_certificate
        from attractor.control.model import card_of
        from attractor.control.study import covering_certificate, limits_of

        card = card_of(model)
        limits = limits_of(plant, self.controller).scaled(card.inputs, card.outputs)
        low, high, _ = limits.input_box(len(card.inputs.scale))
        stored = stored_certificate(self.folder, model.origin)
        return covering_certificate(stored, low, high, self.controller)


@dataclass(frozen=True)
class ExportCommand(CellCommand):
    """Write the step of a model or of a cell of your own, or a predictive controller, for other tools."""

    to: tuple[str, ...]
    """Formats to write, one or several: numpy, c, casadi, onnx, controller, and those that other installed
    packages add. The step of a plant works on scaled signals; controller (one C file) converts them, and
    estimates state and offset from what is measured. The step of a classifier takes samples in the units of
    the data, NaN where a value is missing if the model was trained for that, and gives probabilities."""
    out: Path | None = None
    """Folder to write into; the run folder if not given, and needed for a cell of your own."""
    seed: Seed = 0
    """Weights follow from it, of a cell of your own that draws them."""
    controller: OmitArgPrefixes[Planner] = field(default_factory=Planner)

    def run(self) -> Facts:
        """Load, write, tell; every file is checked against the model, and one that fails stops no other."""
        if self.controller != Planner(precision=self.controller.precision) and "controller" not in self.to:
            raise ConfigError(
                "horizon, weights, limits, offset gain and terminal cost are the controller's: add "
                "controller to --to"
            )
        folder = self.out or (None if is_own(self.folder) else self.folder)
        if folder is None:
            raise ConfigError(f"{self.folder} is a cell, not a run folder: say where the files go by --out")
        model, export = self.opened("export")
        setup = self._setup(model)
        written: Files = []
        failed: list[AttractorError] = []
        for target in dict.fromkeys(self.to):
            try:
                with working(f"writing {target}, and comparing it with the model"):
                    files: Files = export(model, target, folder, setup)
            except AttractorError as problem:
                failed.append(problem)
                continue
            for path, difference in files:
                same = "" if difference is None else f" (differs from the model by at most {difference:.1e})"
                console.print(f"wrote [bold]{escaped(path)}[/]{same}", soft_wrap=True)
            written += files
        for other in failed[1:]:
            tell(f"not written: {other}")
        if failed:
            raise failed[0]
        return {"files": [{"path": path, "difference": difference} for path, difference in written]}

    def sizes(self) -> Sizes:
        """With the seed of its weights."""
        return super().sizes()._replace(seed=self.seed)

    def _setup(self, model: Any) -> ExportSettings:
        """The settings, with the certificate of the run where the controller can use it."""
        from attractor.control.controller_code import export_limits
        from attractor.control.identification.certification import stored_certificate
        from attractor.control.model import card_of
        from attractor.control.study import covering_certificate

        if "controller" not in self.to or not isinstance(model, PlantModel):
            return self.controller
        setup, card = self.controller, card_of(model)
        limits = export_limits(card, setup).scaled(card.inputs, card.outputs)
        low, high, _ = limits.input_box(len(card.inputs.scale))
        stored = stored_certificate(self.folder, model.origin)
        certificate, said = covering_certificate(stored, low, high, setup, setup.precision)
        tell(said)
        return replace(setup, certificate=certificate)


def _report_on(
    command: ControlCommand,
    model: PlantModel,
    kind: "PlantKind",
    studies: "tuple[ControlStudy, ControlStudy | None]",
    terminal: str,
) -> Path:
    from attractor.control.identification.certification import Use, stored_certificate, stored_statement
    from attractor.control.loop_page import ControlContents, shows_of_a_plant
    from attractor.control.model import control_model
    from attractor.report.about import About
    from attractor.report.publishing import publish

    study, other = studies
    weight = command.controller.move_weight_of(control_model(model)[0])
    setup = replace(command.controller, move_weight=weight)
    inputs = np.abs(model.input_scaling_.to_unit(study.limits)).max(axis=0)
    certificate = stored_statement(command.folder, Use(model.origin, inputs, study.loop.estimates))
    remarks = (*study.remarks, terminal)
    first = [sentence for sentence in (study.headline, shows_of_a_plant(kind)) if sentence]
    for sentence in (*first, certificate, *remarks):
        tell(sentence)
    contents = ControlContents(
        plant=command.plant,
        signals=model.signals_,
        limits=study.limits,
        band=study.band,
        loop=study.loop,
        figures=study.metrics,
        other=other.loop if other else None,
        other_figures=other.metrics if other else None,
        certificate=certificate,
        setup={name.replace("_", " "): str(value) for name, value in vars(setup).items()},
        kind=kind,
        remarks=remarks,
        certified=isinstance(stored_certificate(command.folder, model.origin), Certificate),
        otherwise=study.headline,
    )
    title = f"{command.folder.name} on {command.plant}"
    return publish(contents, command.folder, About(title, command_line(), model.origin))


def _show_loop(study: ControlStudy, outputs: list[str]) -> Facts:
    from attractor.report.wording import signed

    grid = Grid("from [s]", "output", "settled after [s]", "steady offset", title="closed loop on the plant")
    segments = [
        {
            "from": study.loop.times[segment.begin],
            "output": label,
            "settling": segment.settling[index],
            "offset": segment.offset[index],
            "band": study.band[index],
        }
        for segment in study.metrics.segments
        for index, label in enumerate(outputs)
    ]
    for one in segments:
        settled = f"{one['settling']:g}" if np.isfinite(one["settling"]) else "not before the next change"
        numbers = settled, signed(one["offset"], one["band"])
        grid.add_row(f"{one['from']:g}", escaped(one["output"]), *numbers)
    console.print(grid)
    milliseconds = sorted(1e3 * study.loop.solve_seconds)
    median, violations = milliseconds[len(milliseconds) // 2], study.metrics.input_violations
    console.print(f"{counted(violations, 'violation')} of input limits; solve {median:.2f} ms (median)")
    if study.metrics.fallbacks:
        tell(study.loop.ended_badly)
    lost = study.metrics.lost
    if lost:
        console.print(f"{counted(lost, 'sample')} without a sensor: what the model expects of it stood in")
    return {
        "segments": segments,
        "input_violations": violations,
        "lost": lost,
        "fallbacks": study.metrics.fallbacks,
        "solve_milliseconds": median,
    }


def _show_witness(witness: "Witness") -> Facts:
    """Both starts and the inputs, for people who want to see for themselves."""
    facts = {
        "first": witness.first.tolist(),
        "second": witness.second.tolist(),
        "inputs": witness.inputs.tolist(),
        "distance": witness.distance,
        "steps": witness.steps,
    }
    if len(witness.first) <= _FEW and np.size(witness.inputs) <= _FEW:
        under = f" under the inputs {_numbers(witness.inputs)}, repeated," if np.size(witness.inputs) else ""
        tell(
            f"from {_numbers(witness.first)} and {_numbers(witness.second)}{under} they are "
            f"{witness.distance:.4g} apart after {counted(witness.steps, 'step')}"
        )
    return {"witness": facts}


_FEW = 8
"""Numbers of a state, or of inputs, that are told in full."""


def _numbers(values: np.ndarray) -> str:
    return "; ".join(f"({', '.join(f'{one:.6g}' for one in row)})" for row in np.atleast_2d(values))


def _show_certificate(certificate: Certificate, sampling_time: float | None) -> Facts:
    steps = certificate.settling_steps()
    seconds = None if sampling_time is None else steps * sampling_time
    console.print(
        f"rate {certificate.rate:.4f} per step (level {certificate.level}), settled to 1 % after {steps} "
        f"steps{'' if seconds is None else f' = {seconds:g} s'}"
    )
    return {
        "rate": certificate.rate,
        "level": certificate.level,
        "settling_steps": steps,
        "settling_seconds": seconds,
    }
