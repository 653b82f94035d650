"""The page of a phase diagram: what networks do, where theory draws its lines, and how sure that is."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from attractor.theory.phase import Outcome, PhaseDiagram, Placement, agreement
from attractor.theory.phase.diagram_files import PAGE_FILE, SVG_FILE
from attractor.theory.phase.phase_plan import SYMBOLS

from .analysis import AnalysisContents, Picture, Section, Sheet, Tile, write_analysis
from .figures.phase import exponent_figure, phase_figure, relaxation_figure
from .standalone import standalone_svg, write_svg
from .wording import count, duration, significant

_FEW = 0.1
"""A share of points without an answer that leaves the picture clear."""


def write_phase_report(
    diagram: PhaseDiagram, folder: Path, command: str, marks: Sequence[Placement] = ()
) -> Path:
    """Write `diagram.html` and `diagram.svg` into a folder.

    Args:
        diagram: what is shown.
        folder: where to.
        command: that made it.
        marks: networks to mark, from `place_on`.

    Returns:
        The path of the page.

    Raises:
        StorageError: a file cannot be written.
    """
    drawn = standalone_svg("phase", _title(diagram), lambda size: phase_figure(diagram, marks, size))
    write_svg(drawn, folder / SVG_FILE)
    return write_analysis(phase_contents(diagram, command, marks), folder / PAGE_FILE)


def phase_contents(diagram: PhaseDiagram, command: str, marks: Sequence[Placement] = ()) -> AnalysisContents:
    """What the page shows.

    Args:
        diagram: what is shown.
        command: that made it.
        marks: networks to mark, from `place_on`.
    """
    sections = [_outcomes(diagram, marks), _exponents(diagram)]
    if diagram.theory.log_relaxation.size:
        sections.append(_relaxation(diagram))
    return AnalysisContents(
        kind="Phase diagram",
        title=_title(diagram),
        verdict=_sentence(diagram),
        tone="good" if _open(diagram) <= _FEW else "fair",
        tiles=_tiles(diagram),
        sections=(*sections, _facts(diagram)),
        reproduce=command,
    )


def _title(diagram: PhaseDiagram) -> str:
    plan = diagram.plan
    return f"{plan.x.label} and {plan.y.label}"


def _open(diagram: PhaseDiagram) -> float:
    return diagram.share(Outcome.UNDECIDED) + diagram.share(Outcome.DIVERGED)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _sentence(diagram: PhaseDiagram) -> str:
    settles, chaotic, depends = (
        diagram.share(one) for one in (Outcome.SETTLES, Outcome.CHAOTIC, Outcome.START_DECIDES)
    )
    hysteresis = (
        f"at {_percent(depends)} the start decides, so that the network has two attractors"
        if depends
        else "nowhere does the start decide"
    )
    return (
        f"Of {count(diagram.outcomes.size)} networks {_percent(settles)} come to rest and "
        f"{_percent(chaotic)} are chaotic from both starts; {hysteresis}."
    )


def _tiles(diagram: PhaseDiagram) -> tuple[Tile, ...]:
    plan, (seconds, unit) = diagram.plan, duration(diagram.seconds)
    looks = (
        ("Settles", Outcome.SETTLES, "from a large and a small start"),
        ("Chaotic", Outcome.CHAOTIC, "from a large and a small start"),
        ("The start decides", Outcome.START_DECIDES, "chaos beside rest: hysteresis"),
    )
    shares = tuple(Tile(name, f"{100 * diagram.share(one):.1f}", "%", note) for name, one, note in looks)
    undecided = Tile(
        "No answer",
        f"{100 * _open(diagram):.1f}",
        "%",
        f"exponent not surely of one sign at {100 * plan.simulation.confidence:g} %",
    )
    return (*shares, undecided, Tile("Computed in", seconds, unit, "wall time of what was missing"))


def _outcomes(diagram: PhaseDiagram, marks: Sequence[Placement]) -> Section:
    simulation = diagram.plan.simulation
    lines = (
        "The lines are those of theory for infinitely many units; a network of finite size changes a little "
        "beside them. They have gaps where equations were not solved. "
        if diagram.theory.lines
        else ""
    )
    caption = (
        f"Every mark is one network, followed from a start of size {simulation.large:g} and from one of size "
        f"{simulation.small:g}. Chaotic means that its largest Lyapunov exponent is surely above zero over "
        f"the measured time, settles that it is surely below, and undecided neither, as next to a transition "
        f"or on a cycle; a longer time decides more. {lines}A long chaotic transient cannot be told from "
        "chaos in a finite simulation."
    )
    picture = Picture("phase", "Outcomes", caption, lambda size: phase_figure(diagram, marks, size))
    sheets = ()
    if marks:
        rows = tuple((mark.sentence, _distances(diagram, mark)) for mark in marks)
        sheets = (Sheet("Marked networks", ("where", "lines of theory at this height"), rows),)
    remarks = " ".join(diagram.theory.remarks)
    lead = f"What a network does, from two starts. {remarks}".strip()
    return Section("outcomes", "Diagram", lead, (picture,), sheets)


def _distances(diagram: PhaseDiagram, mark: Placement) -> str:
    labels = {line.name: line.label for line in diagram.theory.lines}
    parts = [
        f"{labels[name]} {abs(distance):.3g} to the {'right' if distance > 0 else 'left'}"
        for name, distance in mark.distances.items()
    ]
    return "; ".join(parts) or "none at this height"


def _exponents(diagram: PhaseDiagram) -> Section:
    caption = (
        "Largest Lyapunov exponent per unit of time: orange is chaotic, blue settles, and the stronger the "
        "colour the faster. Where the two panels differ the network has two attractors. The time in which a "
        "difference shrinks by e is one over the size of a negative exponent."
    )
    picture = Picture("exponents", "Exponents", caption, lambda size: exponent_figure(diagram, size))
    sheet = Sheet("In numbers", ("quantity", "large start", "small start"), _ranges(diagram))
    lead = "How fast two neighbouring states part or meet."
    return Section("exponents", "Exponents", lead, (picture,), (sheet,))


def _ranges(diagram: PhaseDiagram) -> tuple[tuple[str, ...], ...]:
    fields = (
        ("exponent, per unit of time", diagram.exponent),
        ("half the width of its interval", (diagram.high - diagram.low) / 2),
        ("mean square of the activity", diagram.variance),
        ("relaxation time, where it settles", diagram.relaxation_time),
    )
    return tuple((f"{name}: least to greatest", *map(_range, field)) for name, field in fields)


def _range(values: np.ndarray) -> str:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return "none"
    return f"{significant(float(finite.min()))} to {significant(float(finite.max()))}"


def _relaxation(diagram: PhaseDiagram) -> Section:
    caption = (
        "Time in which the slowest difference at the fixed point with the largest activity changes by e, "
        "from the edge of the spectrum of its Jacobian; the stronger the colour the longer. A steep update "
        "gate makes it exponentially long over a whole range of gains, without fine tuning."
    )
    picture = Picture("relaxation", "Relaxation time", caption, lambda size: relaxation_figure(diagram, size))
    lead = "What theory says about the slowest motion, for infinitely many units."
    return Section("relaxation", "Time scales", lead, (picture,))


def _facts(diagram: PhaseDiagram) -> Section:
    plan, simulation = diagram.plan, diagram.plan.simulation
    rows = [
        ("network", f"{plan.size} units" if plan.build is None else plan.network),
        *_fixed(diagram),
        ("time", f"{simulation.time:g} measured after {simulation.transient:g}"),
        ("integration", f"{simulation.method}, step {simulation.step:g}, {simulation.precision}"),
        ("random networks", ", ".join(f"seed {seed}" for seed in simulation.seeds)),
        ("intervals", f"{100 * simulation.confidence:g} %, from {simulation.blocks} blocks of time"),
        ("hash of the plan", diagram.hash[:16]),
        ("made with", ", ".join(f"{name} {version}" for name, version in diagram.versions.items())),
    ]
    sheets = [Sheet("Settings", ("setting", "value"), tuple(rows))]
    if diagram.theory.lines:
        sheets.append(_line_sheet(diagram))
    return Section("facts", "Facts", "What was computed, and how.", sheets=tuple(sheets))


def _fixed(diagram: PhaseDiagram) -> list[tuple[str, str]]:
    plan = diagram.plan
    if plan.build is not None:
        return []
    moved = {plan.x.name, plan.y.name}
    gates = {gate for gate in ("update", "reset") if getattr(plan.form, f"open_{gate}")}
    fixed = [
        f"{label} = {getattr(plan.form, name):g}"
        for name, label in SYMBOLS.items()
        if name not in moved and name.split("_", maxsplit=1)[0] not in gates
    ]
    return [("fixed", ", ".join([*fixed, *(f"{gate} gate open" for gate in sorted(gates))]))]


def _line_sheet(diagram: PhaseDiagram) -> Sheet:
    rows = []
    for line in diagram.theory.lines:
        solved = np.isfinite(line.residual)
        largest = significant(float(line.residual[solved].max()), 2) if solved.any() else "none"
        rows.append((line.label, f"{solved.sum()} of {len(solved)}", largest))
    caption = (
        "The residual is the relative distance between the gain of the network and the critical one; zero "
        "where the gain is an axis, for the line is then the solution itself. Where lines meet there is one "
        f"transition instead of several.{_agreement(diagram)}"
    )
    return Sheet("Lines of theory", ("line", "points", "largest residual"), tuple(rows), caption)


def _agreement(diagram: PhaseDiagram) -> str:
    good, known = agreement(diagram)
    if not known:
        return ""
    return (
        f" Of {count(known)} points whose outcome is sure and of which the lines speak, "
        f"{_percent(good / known)} do what theory expects; a finite network shifts the lines."
    )
