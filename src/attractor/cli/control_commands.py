"""Commands about control: certify, control, export."""

import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from rich.table import Table as Grid
from tyro.conf import OmitArgPrefixes, Positional

from attractor.errors import AttractorError, ConfigError
from attractor.settings import Count, NonNegative, Positive, Seed

from .console import console, escaped
from .saved_cell import cell_of

Files = list[tuple[Path, float | None]]
NOT_PROVED = 5


@dataclass(frozen=True)
class CertifyCommand:
    """Prove that a trained model forgets its past for every input it may see, or show that it does not."""

    folder: Positional[Path]
    """The run folder."""
    time_budget: NonNegative = 60.0
    """Seconds for the whole ladder of bounds."""
    tighten: bool = True
    """Go on after a proof, within the budget, for a smaller contraction rate."""
    input_bound: Positive = 1.0
    """Inputs lie within +- this; 1 is the range of the training data."""
    cell: str | None = None
    """file.py:Class, for a run with a cell of your own."""

    def run(self) -> None:
        """Certify, save, report; the status is 0 for a proof and 5 for none."""
        from attractor.certify import CertifySettings
        from attractor.run_kinds import Proof, kind_of

        kind = kind_of(self.folder)
        certify = kind.able("certify", self.folder)
        model = kind.load(self.folder, cell_of(self.folder, self.cell))
        settings = CertifySettings(time_budget=self.time_budget, tighten=self.tighten)
        command = shlex.join(["attractor", *sys.argv[1:]])
        proof: Proof = certify(model, self.folder, self.input_bound, settings, command)
        result = proof.result
        for attempt in result.attempts:
            name = f"level {attempt.level}" if attempt.level >= 0 else "search"
            console.print(f"{name}: {escaped(attempt.outcome)} ({attempt.seconds:.1f} s)")
        console.print(f"[bold]{escaped(proof.claim)}[/]", soft_wrap=True)
        if result.certificate is not None:
            _show_certificate(result.certificate, proof.sampling_time)
        console.print(f"report: [bold]{escaped(proof.page)}[/]", soft_wrap=True)
        if result.certificate is None:
            raise NotProvedError(result.reason or "a counterexample was found; the report shows it")


class NotProvedError(AttractorError):
    """The command ran, and what it looked for is not proved."""

    exit_code = NOT_PROVED


@dataclass(frozen=True)
class Planner:
    """How the controller plans."""

    horizon: Count = 20
    """Samples that a plan looks ahead."""
    output_weight: NonNegative = 1.0
    """Weight of the outputs, in scaled units."""
    move_weight: NonNegative = 0.1
    """Weight of changes of the inputs, in scaled units: larger is calmer."""
    rate_limit: float | None = None
    """Largest change of every input a sample, in the plant's unit."""
    real_time: bool = False
    """One step of the solver a sample instead of convergence."""


@dataclass(frozen=True)
class Controller(Planner):
    """How the controller is set up."""

    observer: Literal["open-loop", "auto", "measured", "injection", "learned", "kalman"] = "open-loop"
    """What estimates the state; the model beside the plant, if not given."""
    offset_gain: float = 0.3
    """Gain of the estimated output disturbance; 0 switches offset-free tracking off."""


@dataclass(frozen=True)
class ControlCommand:
    """Control the true plant with a trained model of it, and write a report."""

    folder: Positional[Path]
    """The run folder."""
    plant: str
    """ph, quadruple-tank, quadruple-tank-nonminimum-phase or quadruple-tank-pilot."""
    reference: Path | None = None
    """CSV file with a column for every output, one row a sample, and columns of disturbances if wanted."""
    rows: Count = 60
    """Samples at every level of the reference, if there is no file."""
    noise: float | None = None
    """Standard deviation of the measurement noise; the plant's usual one if not given."""
    seed: Seed = 0
    """The noise follows from it."""
    compare: bool = True
    """Run the same without offset-free tracking beside it."""
    cell: str | None = None
    """file.py:Class, for a run with a cell of your own."""
    controller: OmitArgPrefixes[Controller] = field(default_factory=Controller)

    def run(self) -> None:
        """Load, run both loops, save, report."""
        from attractor.control import PlantModel, plant_by_name
        from attractor.control.study import (
            ControlSetup,
            control_study,
            read_scenario,
            save_loop,
            stepped_scenario,
        )
        from attractor.progress import reporter_for

        model = PlantModel.load(self.folder, cell=cell_of(self.folder, self.cell))
        plant = plant_by_name(self.plant)
        if self.reference is None:
            scenario = stepped_scenario(model, self.rows)
        else:
            scenario = read_scenario(self.reference, plant, model.signals_.sampling_time)
        scenario = replace(scenario, noise=self.noise, seed=self.seed)
        setup = ControlSetup(**vars(self.controller))
        study = control_study(model, plant, scenario, setup, reporter_for("closed loop"))
        other = None
        if self.compare and setup.offset_gain:
            plain = replace(setup, offset_gain=0.0)
            other = control_study(model, plant, scenario, plain, reporter_for("without offset-free"))
        report = _report_on(self, model, study, other)
        save_loop(self.folder / "closed_loop.csv", plant, study.loop)
        _show_loop(study, model.signals_.outputs)
        console.print(f"report: [bold]{escaped(report)}[/]", soft_wrap=True)


@dataclass(frozen=True)
class ExportCommand:
    """Write the step of a trained model, or its predictive controller, for other tools."""

    folder: Positional[Path]
    """The run folder."""
    to: tuple[str, ...]
    """Formats to write, one or several: numpy, c, casadi, onnx, controller, and those that other installed
    packages add. All work on scaled signals; controller (one C file) converts them and leaves the estimate of
    the state and of the offset to its caller."""
    out: Path | None = None
    """Folder to write into; the run folder if not given."""
    cell: str | None = None
    """file.py:Class, for a run with a cell of your own."""
    controller: OmitArgPrefixes[Planner] = field(default_factory=Planner)

    def run(self) -> None:
        """Load, write, tell; every file is checked against the model, and one that fails stops no other."""
        from attractor.control.study import ControlSetup
        from attractor.run_kinds import kind_of

        if self.controller != Planner() and "controller" not in self.to:
            raise ConfigError(
                "horizon, weights, rate limit and real time are the controller's: add controller to --to"
            )
        kind = kind_of(self.folder)
        export = kind.able("export", self.folder)
        model = kind.load(self.folder, cell_of(self.folder, self.cell))
        setup = ControlSetup(**vars(self.controller))

        def write(target: str) -> Files:
            return export(model, target, self.out or self.folder, setup)

        failed = [error for target in dict.fromkeys(self.to) if (error := _exported(write, target))]
        for other in failed[1:]:
            console.print(f"not written: {escaped(str(other))}", soft_wrap=True)
        if failed:
            raise failed[0]


def _exported(write: Callable[[str], Files], target: str) -> AttractorError | None:
    """Write one format and tell; the error that kept it from being written."""
    try:
        files = write(target)
    except AttractorError as problem:
        return problem
    for path, difference in files:
        checked = "" if difference is None else f" (differs from the model by at most {difference:.1e})"
        console.print(f"wrote [bold]{escaped(path)}[/]{checked}", soft_wrap=True)
    return None


def _report_on(command: ControlCommand, model: Any, study: Any, other: Any) -> Path:
    import numpy as np

    from attractor.control.identification.stability_file import Use, stored_statement
    from attractor.control.loop_page import ControlContents, write_control_report

    inputs = np.abs(model.input_scaling_.to_unit(study.limits)).max(axis=0)
    use = Use(model.origin, inputs, study.loop.estimates)
    setup = {name.replace("_", " "): str(value) for name, value in vars(command.controller).items()}
    certificate = stored_statement(command.folder, use)
    console.print(escaped(certificate), soft_wrap=True)
    contents = ControlContents(
        title=command.folder.name,
        plant=command.plant,
        signals=model.signals_,
        limits=study.limits,
        band=study.band,
        loop=study.loop,
        figures=study.figures,
        other=other.loop if other else None,
        other_figures=other.figures if other else None,
        certificate=certificate,
        setup=setup,
        command=shlex.join(["attractor", *sys.argv[1:]]),
        origin=model.origin,
    )
    return write_control_report(contents, command.folder)


def _show_loop(study: Any, outputs: Any) -> None:
    grid = Grid("from [s]", "output", "settled after [s]", "steady offset", title="closed loop on the plant")
    for segment in study.figures.segments:
        for index, signal in enumerate(outputs):
            grid.add_row(
                f"{study.loop.times[segment.begin]:g}",
                escaped(signal.label),
                f"{segment.settling[index]:g}",
                f"{segment.offset[index]:+.4f}",
            )
    console.print(grid)
    milliseconds = 1e3 * study.loop.solve_seconds
    console.print(
        f"{study.figures.input_violations} violations of input limits; "
        f"solve {sorted(milliseconds)[len(milliseconds) // 2]:.2f} ms (median)"
    )


def _show_certificate(certificate: object, sampling_time: float) -> None:
    from attractor.certify import Certificate

    if isinstance(certificate, Certificate):
        steps = certificate.settling_steps()
        console.print(
            f"rate {certificate.rate:.4f} a step (level {certificate.level}), settled to 1 % after {steps} "
            f"steps = {steps * sampling_time:g} s"
        )
