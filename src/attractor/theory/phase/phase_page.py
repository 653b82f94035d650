"""The page of a phase diagram: what networks do, where theory draws its lines, and how sure that is."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator

from attractor.report.about import About
from attractor.report.page import Page, PageFigure, PageTable, Section, Step, Tile, standalone_svg
from attractor.report.style import Hue, Size, grid_of, panels, power_label
from attractor.report.wording import count, duration, significant
from attractor.theory.phase import DiagramPosition, Outcome, PhaseDiagram, agreement
from attractor.theory.phase.diagram import how_it_settles
from attractor.theory.phase.phase_plan import SYMBOLS

_FEW = 0.1
"""A share of points without an answer that leaves the figure clear."""


def phase_page(diagram: PhaseDiagram, about: About, marks: Sequence[DiagramPosition] = ()) -> Page:
    """What the page says.

    Args:
        diagram: what is shown.
        about: the command that made it.
        marks: networks to mark, from `position_in`.
    """
    sections = [_outcomes(diagram, marks), _exponents(diagram)]
    if diagram.theory.log_relaxation.size:
        sections.append(_relaxation(diagram))
    undecided = _open(diagram)
    longer = Step("Decide more points by a longer time:", "attractor phase ... --time 1000 --out OTHER")
    initialise = Step("See where a network of yours stands:", "attractor dynamics RUN")
    return Page(
        kind="Phase diagram",
        verdict=_sentence(diagram),
        tone="good" if undecided <= _FEW else "fair",
        meaning=(
            "Choose weights where networks settle for memory that fades, near a line for long memory, and "
            "stay clear of where the start decides unless two attractors are wanted."
        ),
        steps=(longer, initialise) if undecided > _FEW else (initialise,),
        tiles=_tiles(diagram),
        sections=(*sections, _facts(diagram)),
    )


def phase_svg(diagram: PhaseDiagram, marks: Sequence[DiagramPosition] = ()) -> str:
    """The diagram as an SVG file of its own."""
    return standalone_svg("phase", diagram_title(diagram), lambda size: phase_figure(diagram, marks, size))


def diagram_title(diagram: PhaseDiagram) -> str:
    """The names of both axes."""
    return f"{diagram.plan.x.label} and {diagram.plan.y.label}"


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
        f"Of {count(diagram.outcomes.size)} networks {_percent(settles)} settle and "
        f"{_percent(chaotic)} are chaotic from both starts; {hysteresis}."
    )


def _tiles(diagram: PhaseDiagram) -> tuple[Tile, ...]:
    plan, (seconds, unit) = diagram.plan, duration(diagram.seconds)
    looks = (
        ("Settles", Outcome.SETTLES, "from a large and a small start"),
        ("Chaotic", Outcome.CHAOTIC, "from a large and a small start"),
        ("The start decides", Outcome.START_DECIDES, "chaos beside what settles: hysteresis"),
    )
    shares = tuple(Tile(name, f"{100 * diagram.share(one):.1f}", "%", note) for name, one, note in looks)
    undecided = Tile(
        "No answer",
        f"{100 * _open(diagram):.1f}",
        "%",
        f"exponent not surely of one sign at {100 * plan.simulation.confidence:g} %",
    )
    return (*shares, undecided, Tile("Computed in", seconds, unit, "wall time of what was missing"))


def _outcomes(diagram: PhaseDiagram, marks: Sequence[DiagramPosition]) -> Section:
    simulation = diagram.plan.simulation
    lines = (
        "The lines are those of theory for infinitely many units; a network of finite size changes a little "
        "beside them. They have gaps where equations were not solved. "
        if diagram.theory.lines
        else ""
    )
    caption = (
        f"Every mark is one network, followed from a start of size {simulation.large:g} and from one of "
        f"size {simulation.small:g}. Chaotic means that its largest Lyapunov exponent is surely above zero "
        "over the measured time, settles that it is surely below, and undecided neither, as next to a "
        f"transition or on a cycle; a longer time decides more. {_settled(diagram)}{lines}"
        "A long chaotic transient cannot be "
        "told from chaos in a finite simulation."
    )
    figure = PageFigure("phase", "Outcomes", caption, lambda size: phase_figure(diagram, marks, size))
    tables = ()
    if marks:
        rows = tuple((mark.sentence, _distances(diagram, mark)) for mark in marks)
        tables = (PageTable("Marked networks", ("where", "lines of theory at this height"), rows),)
    remarks = " ".join(diagram.theory.remarks)
    lead = f"What a network does, from two starts. {remarks}".strip()
    return Section("outcomes", "Diagram", lead, (figure,), tables)


def _settled(diagram: PhaseDiagram) -> str:
    """What is known of those that settle, as a sentence; a negative exponent alone does not mean rest."""
    if not diagram.share(Outcome.SETTLES):
        return ""
    text = how_it_settles(diagram)
    return f"{text[0].upper()}{text[1:]}. "


def _distances(diagram: PhaseDiagram, mark: DiagramPosition) -> str:
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
    figure = PageFigure("exponents", "Exponents", caption, lambda size: exponent_figure(diagram, size))
    table = PageTable("In numbers", ("quantity", "large start", "small start"), _ranges(diagram))
    lead = "How fast two neighbouring states part or meet."
    return Section("exponents", "Exponents", lead, (figure,), (table,))


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
    figure = PageFigure(
        "relaxation", "Relaxation time", caption, lambda size: relaxation_figure(diagram, size)
    )
    lead = "What theory says about the slowest motion, for infinitely many units."
    return Section("relaxation", "Time scales", lead, (figure,))


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
    tables = [PageTable("Settings", ("setting", "value"), tuple(rows))]
    if diagram.theory.lines:
        tables.append(_line_table(diagram))
    return Section("facts", "Facts", "What was computed, and how.", tables=tuple(tables))


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


def _line_table(diagram: PhaseDiagram) -> PageTable:
    rows = []
    for line in diagram.theory.lines:
        solved = np.isfinite(line.residual)
        largest = significant(float(line.residual[solved].max()), 2) if solved.any() else "none"
        rows.append((line.label, f"{solved.sum()} of {len(solved)}", largest))
    caption = (
        "The residual is the relative distance between the gain of the network and the critical one; zero "
        "where the gain is an axis, for the line is then the solution itself. Where lines meet there is "
        f"one transition instead of several.{_agreement(diagram)}"
    )
    return PageTable("Lines of theory", ("line", "points", "largest residual"), tuple(rows), caption)


def _agreement(diagram: PhaseDiagram) -> str:
    good, known = agreement(diagram)
    if not known:
        return ""
    return (
        f" Of {count(known)} points whose outcome is sure and of which the lines speak, "
        f"{_percent(good / known)} do what theory expects; a finite network shifts the lines."
    )


_LEGEND_ROW = 1.5
"""Of the font size."""
_BAR = 40.0
_HEIGHTS = (430, 270)
_FAINTEST = 0.1
_BANDS = 8

_SQUARE = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * 0.44
_DIAMOND = np.array([[0, -1], [1, 0], [0, 1], [-1, 0]]) * 0.26
_TRIANGLE = np.array([[-1, -0.8], [1, -0.8], [0, 1]]) * 0.44
_BAR_SHAPE = np.array([[-1, -0.22], [1, -0.22], [1, 0.22], [-1, 0.22]]) * 0.4
_TALL = _BAR_SHAPE[:, ::-1]

_LOOKS: dict[Outcome, tuple[np.ndarray, str, str, str]] = {
    Outcome.SETTLES: (_DIAMOND, Hue.MODEL, "D", "settles"),
    Outcome.CHAOTIC: (_SQUARE, Hue.TEST, "s", "chaotic"),
    Outcome.START_DECIDES: (_TRIANGLE, Hue.ALERT, "^", "the start decides"),
    Outcome.UNDECIDED: (_BAR_SHAPE, Hue.MUTED, "_", "undecided"),
    Outcome.DIVERGED: (_TALL, Hue.INK, "|", "diverged"),
}
"""Shape in units of a cell, colour, marker of the legend, and short name: shape alone tells them apart."""

_DASHES: dict[str, Any] = {"zero": "-", "fold": (0, (1.2, 1.6)), "chaos": (0, (5, 2)), "marginal": "-."}


def phase_figure(diagram: PhaseDiagram, marks: Sequence[DiagramPosition], size: Size) -> Figure:
    """A mark for every simulated point, the lines of theory, and where networks of the user sit."""
    figure, (axes,) = panels(size, [_HEIGHTS[not size.is_wide]])
    _legend(figure, axes, _outcomes_in(axes, diagram, marks), size)
    return figure


def draw_outcomes(diagram: PhaseDiagram, axes: Axes) -> None:
    """The same in any axes, without marks."""
    axes.legend(handles=_outcomes_in(axes, diagram, ()), fontsize="small", loc="best")


def _outcomes_in(axes: Axes, diagram: PhaseDiagram, marks: Sequence[DiagramPosition]) -> list[Line2D]:
    """Draw, and give what stands in the legend."""
    outcomes = diagram.outcomes
    handles = []
    for outcome, (shape, colour, marker, name) in _LOOKS.items():
        if np.any(outcomes == outcome):
            axes.add_patch(_marks(diagram, outcomes == outcome, shape, colour))
            handles.append(_marker(marker, colour, name))
    for line in diagram.theory.lines:
        axes.plot(line.x, line.y, color=Hue.INK, linewidth=1.8, linestyle=_DASHES[line.name])
        handles.append(
            Line2D([], [], color=Hue.INK, linewidth=1.8, linestyle=_DASHES[line.name], label=line.label)
        )
    if marks:
        places = [mark.x for mark in marks], [mark.y for mark in marks]
        axes.plot(
            *places, "*", color=Hue.VALIDATION, markeredgecolor=Hue.INK, markersize=15, linestyle="none"
        )
        handles.append(_marker("*", Hue.VALIDATION, "marked network"))
    _frame(axes, diagram)
    return handles


def _marks(diagram: PhaseDiagram, chosen: np.ndarray, shape: np.ndarray, colour: str) -> PathPatch:
    """One path of many closed shapes, which an SVG holds in a tenth of the room of as many markers."""
    plan = diagram.plan
    cell = np.array([plan.x.values[1] - plan.x.values[0], plan.y.values[1] - plan.y.values[0]])
    corners = plan.points[chosen.ravel()][:, None] + cell * np.vstack([shape, shape[:1]])
    codes = [Path.MOVETO, *[Path.LINETO] * (len(shape) - 1), Path.CLOSEPOLY]
    path = Path(corners.reshape(-1, 2), codes * len(corners))
    return PathPatch(path, facecolor=colour, linewidth=0)


def _marker(marker: str, colour: str, label: str) -> Line2D:
    return Line2D(
        [], [], marker=marker, color=colour, linestyle="none", markersize=7, markeredgewidth=2, label=label
    )


def _frame(axes: Axes, diagram: PhaseDiagram) -> None:
    plan = diagram.plan
    edges = [(axis.values[1] - axis.values[0]) / 2 for axis in (plan.x, plan.y)]
    axes.set(
        xlim=(plan.x.low - edges[0], plan.x.high + edges[0]),
        ylim=(plan.y.low - edges[1], plan.y.high + edges[1]),
        xlabel=plan.x.label,
        ylabel=plan.y.label,
    )
    axes.grid(visible=False)


def _legend(figure: Figure, axes: Axes, handles: list[Line2D], size: Size) -> None:
    """Above the panel, row by row, with as much room as it takes."""
    columns = 4 if size.is_wide else 2
    rows = -(-len(handles) // columns)
    _make_room_above(figure, _LEGEND_ROW * size.font * (rows - 1))
    # matplotlib fills columns first; a reader expects rows
    ordered = [handles[k] for column in range(columns) for k in range(column, len(handles), columns)]
    box = axes.get_position()
    axes.legend(
        handles=ordered,
        loc="lower left",
        bbox_to_anchor=(0.0 if size.is_wide else -box.x0 / box.width, 1.0),
        ncols=columns,
        labelcolor=Hue.MUTED,
        labelspacing=0.35,
    )


def _make_room_above(figure: Figure, pixels: float) -> None:
    width, height = figure.get_size_inches()
    taller = height + pixels / 72.0
    for axes in figure.axes:
        box = axes.get_position()
        axes.set_position((box.x0, box.y0 * height / taller, box.width, box.height * height / taller))
    figure.set_size_inches(width, taller)


def exponent_figure(diagram: PhaseDiagram, size: Size) -> Figure:
    """The largest exponent from both starts, in bands of colour."""
    figure, grid = grid_of(size, 2, _HEIGHTS[1], 2)
    finite = diagram.exponent[np.isfinite(diagram.exponent)]
    ends = (float(finite.min()), float(finite.max())) if len(finite) else (-1.0, 1.0)
    locator = MaxNLocator(_BANDS, steps=[1, 2, 5, 10])
    levels = np.asarray(locator.tick_values(min(ends[0], 0.0), max(ends[1], 0.0)))
    for axes, exponents, start in zip(grid, diagram.exponent, ("large", "small"), strict=True):
        _bands(axes, diagram, exponents, levels)
        axes.set_title(f"from the {start} start")
    _bar(figure, _shades(levels), [f"{level:g}" for level in levels], size)
    return figure


def relaxation_figure(diagram: PhaseDiagram, size: Size) -> Figure:
    """Relaxation times that theory gives, in bands of decades."""
    theory = diagram.theory
    figure, (axes,) = panels(size, [_HEIGHTS[not size.is_wide]])
    finite = theory.log_relaxation[np.isfinite(theory.log_relaxation)]
    low, high = np.floor(finite.min()), np.ceil(finite.max())
    decades = np.ceil(max(high - low, 1.0) / _BANDS)
    levels = np.arange(low, max(high, low + 1) + decades, decades)
    shades = _shades(levels - levels[0])
    values = np.ma.masked_invalid(theory.log_relaxation)
    axes.contourf(theory.map_x, theory.map_y, values, levels=levels, colors=shades)
    for line in theory.lines:
        axes.plot(line.x, line.y, color=Hue.INK, linewidth=1.8, linestyle=_DASHES[line.name])
    _frame(axes, diagram)
    _bar(figure, shades, [power_label(10.0 ** float(level)) for level in levels], size)
    return figure


def _bands(axes: Axes, diagram: PhaseDiagram, values: np.ndarray, levels: np.ndarray) -> None:
    plan = diagram.plan
    masked = np.ma.masked_invalid(values)
    axes.contourf(plan.x.values, plan.y.values, masked, levels=levels, colors=_shades(levels))
    for line in diagram.theory.lines:
        axes.plot(line.x, line.y, color=Hue.INK, linewidth=1.2, linestyle=_DASHES[line.name])
    _frame(axes, diagram)


def _shades(levels: np.ndarray) -> list[tuple[str, float]]:
    """Orange above zero and blue below, the stronger the farther."""
    middles = (levels[:-1] + levels[1:]) / 2
    farthest = np.abs(middles).max()
    strengths = 1 - (1 - _FAINTEST) * (1 - np.abs(middles) / farthest)
    return [(Hue.TEST if m > 0 else Hue.MODEL, float(s)) for m, s in zip(middles, strengths, strict=True)]


def _bar(figure: Figure, shades: Sequence[tuple[str, float]], labels: Sequence[str], size: Size) -> None:
    """The bands with their ends, above everything."""
    _make_room_above(figure, _BAR)
    left, top = figure.axes[0].get_position().x0, figure.get_figheight() * 72
    box = (left, 1 - 12 / top, (0.5 if size.is_wide else 0.94 - left), 11 / top)
    axes = figure.add_axes(box)
    for place, colour in enumerate(shades):
        axes.add_patch(Rectangle((place, 0), 1, 1, facecolor=colour, linewidth=0))
    every = 1 if size.is_wide else -(-len(labels) // 6)
    places = range(0, len(labels), every)
    axes.set_xticks(list(places), [labels[place] for place in places])
    axes.set(xlim=(0, len(shades)), ylim=(0, 1), yticks=[])
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
