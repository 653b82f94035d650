"""Commands about dynamics: phase diagrams."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from tyro.conf import OmitArgPrefixes

from attractor.cells import GatedForm
from attractor.errors import ConfigError
from attractor.settings import Count
from attractor.theory.phase import DiagramPosition, Outcome, PhaseAxis, PhaseDiagram, PhaseSimulation
from attractor.theory.phase.phase_plan import parameter_name

from . import estimates
from .console import Facts, command_line, console, tell, tell_file, working

_TRUTHS = {"true": True, "yes": True, "false": False, "no": False}


@dataclass(frozen=True)
class PhaseCommand:
    """Draw the phase diagram of gated networks over two parameters: simulated outcomes, lines of theory."""

    x: tuple[str, str]
    """Horizontal axis: a parameter and its values, as gain 1.5:4:64 (first, last, number of points).
    Parameters are gain (g_h), update_gain (alpha_z), reset_gain (alpha_r), bias (b_h), update_bias (b_z),
    reset_bias (b_r), update_time (tau_z) and reset_time (tau_r)."""
    y: tuple[str, str]
    """Vertical axis, likewise."""
    out: Path
    """Folder for diagram.csv, .json, .svg and .html; a run that was stopped goes on when the command is given
    again."""
    fixed: tuple[str, ...] = ()
    """Other parameters, as reset_bias=-1; a gate that is named neither here nor on an axis is always open."""
    mark: tuple[str, ...] = ()
    """A network to mark, as gain=2.4 reset_gain=10."""
    size: Count = 200
    """Units of every network."""
    workers: int = -1
    """Processes at once; -1 takes one for every core."""
    backend: Literal["loky", "dask"] = "loky"
    """Where they run: processes of this machine, or a Dask cluster (pip install attractor[cluster])."""
    scheduler: str | None = None
    """Address of a running Dask cluster, as tcp://host:8786; without it one is started on this machine."""
    overwrite: bool = False
    """Replace another diagram in that folder."""
    # Times as the parser makes them: the name of a diagram tells 200.0 from 200.
    simulation: OmitArgPrefixes[PhaseSimulation] = field(
        default_factory=lambda: PhaseSimulation(time=200.0, transient=200.0)
    )

    def run(self) -> Facts:
        """Simulate, solve, write."""
        from attractor.folders import locked
        from attractor.progress import reporter_for
        from attractor.report.about import About
        from attractor.report.page import write_document
        from attractor.report.publishing import publish
        from attractor.sweeps import spread
        from attractor.theory.phase import PhasePlan, phase_diagram, position_in, save_diagram
        from attractor.theory.phase.diagram_files import SVG_FILE, check_diagram_free
        from attractor.theory.phase.phase_page import diagram_title, phase_svg

        axes = phase_axis("--x", *self.x), phase_axis("--y", *self.y)
        form = _form(self.fixed, {axis.name for axis in axes})
        plan = PhasePlan(*axes, form=form, size=self.size, simulation=self.simulation)
        marked = {name: _number("--mark", name, text) for name, text in _pairs("--mark", self.mark).items()}
        _check_mark(marked, {axis.name for axis in axes})
        with locked(self.out):
            if not self.overwrite:
                check_diagram_free(self.out, plan)
            announced = working(estimates.diagram(plan, self.workers), bar=True)
            with announced, spread(self.backend, self.workers, self.scheduler):
                diagram = phase_diagram(plan, self.out, reporter=reporter_for("phase diagram"))
            marks = (position_in(diagram, marked),) if marked else ()
            with working("writing the diagram"):
                save_diagram(diagram, self.out, overwrite=self.overwrite)
                write_document(phase_svg(diagram, marks), self.out / SVG_FILE)
                about = About(diagram_title(diagram), command_line())
                page = publish(diagram, self.out, about, marks=marks)
        facts = _show(diagram, marks)
        tell_file(page, "report:")
        return facts | {"report": page}


def phase_axis(option: str, name: str, text: str) -> PhaseAxis:
    """An axis from its words.

    Args:
        option: they were given with.
        name: of the parameter, or its letter.
        text: first value, last value and number of points, as 1.5:4:64.

    Raises:
        ConfigError: the text is no range.
    """
    parts = text.split(":")
    try:
        low, high, points = float(parts[0]), float(parts[1]), int(parts[2])
    except (ValueError, IndexError) as problem:
        raise ConfigError(
            f"{option} {name} {text}: expected first:last:points, such as 1.5:4:64"
        ) from problem
    try:
        return PhaseAxis(name, low, high, points)
    except ConfigError as problem:
        raise ConfigError(f"{option}: {problem}") from problem


def _form(fixed: tuple[str, ...], moved: set[str]) -> GatedForm:
    kinds = {one.name: one.default for one in fields(GatedForm)}
    given = {}
    for name, text in _pairs("--fixed", fixed).items():
        if name not in kinds:
            raise ConfigError(f"--fixed {name}: unknown; give one of {', '.join(kinds)}")
        if name in moved:
            raise ConfigError(f"--fixed {name}: it is on an axis; leave it out here")
        given[name] = _value(name, text, kinds[name])
    touched = moved | set(given)
    for gate in ("update", "reset"):
        if not any(name.startswith(gate) for name in touched):
            given.setdefault(f"open_{gate}", True)
    return GatedForm(**given)


def _pairs(option: str, texts: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (equals and name and value):
            raise ConfigError(f"{option} {text}: expected name=value, such as reset_bias=-1")
        pairs[parameter_name(name)] = value
    return pairs


def _value(name: str, text: str, like: object) -> bool | str | float:
    if isinstance(like, bool):
        if text.lower() not in _TRUTHS:
            raise ConfigError(f"--fixed {name}={text}: expected true or false")
        return _TRUTHS[text.lower()]
    return text if isinstance(like, str) else _number("--fixed", name, text)


def _number(option: str, name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as problem:
        raise ConfigError(f"{option} {name}={text}: expected a number") from problem


def _check_mark(marked: Mapping[str, float], axes: set[str]) -> None:
    for name in sorted(axes - set(marked) if marked else ()):
        raise ConfigError(f"--mark needs {name}, too: the diagram has an axis of it")


def _show(diagram: PhaseDiagram, marks: tuple[DiagramPosition, ...]) -> Facts:
    shares = {outcome: diagram.share(outcome) for outcome in Outcome if diagram.share(outcome)}
    for outcome, share in shares.items():
        console.print(f"{100 * share:5.1f} %  {outcome}")
    for mark in marks:
        tell(mark.sentence)
    named = {outcome.name.lower(): share for outcome, share in shares.items()}
    return {"shares": named, "marks": [mark.sentence for mark in marks]}
