"""Critical lines of mean-field theory and relaxation times, over the two axes of a phase diagram."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from contourpy import contour_generator
from jaxtyping import Float

from attractor.progress import Reporter
from attractor.report.drawn import Drawn
from attractor.shown import Shown
from attractor.sweeps import Arrays, Task, TaskStore, sweep
from attractor.theory.mean_field.critical import critical_gains, fold_gain
from attractor.theory.mean_field.gated_parameters import GatedParameters
from attractor.theory.mean_field.mean_field_fixed_points import leading_edge, marginal_range

from .phase_plan import PhaseAxis, PhasePlan

# Ratio of gains beyond which it is plain on which side of the onset of chaos a network lies.
NEAR = 1.25
# What lies on a line.
LABELS = {
    "zero": "zero loses stability",
    "fold": "fixed points appear",
    "chaos": "chaos appears",
    "marginal": "marginal stability ends",
}

# Most values along a line, nodes of a grid whose contours are lines, and nodes of a map; a side.
_ALONG, _GRID, _MAP = 33, 17, 17
_CORRECTIONS, _CLOSE = 2, 1e-4
# Relative distance from its equation beyond which a vertex is a gap: at a jump, the contour is no line.
_FARTHEST = 5e-3


def line_names(plan: PhasePlan) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The lines that theory has for a plan, and remarks about those that it lacks.

    Returns:
        Names among "zero", "fold", "chaos" and "marginal", and one sentence for each that is missing.
    """
    axes, form = {plan.x.name, plan.y.name}, plan.form
    if plan.build is not None:
        return (), (f"{plan.network} is not the gated network of the theory: no lines.",)
    if "bias" in axes or form.bias != 0:
        return (), ("With a bias of the activation zero is no fixed point: theory has no closed lines.",)
    constant = form.open_update or ("update_gain" not in axes and form.update_gain == 0)
    names, remarks = ["zero"], []
    if not form.open_reset:
        names.append("fold")
        if constant:
            names.append("chaos")
        else:
            remarks.append(
                "The update gate changes: theory has no closed equation for the onset of chaos, and no line."
            )
    if not constant:
        names.append("marginal")
    return tuple(names), tuple(remarks)


def critical_values(
    plan: PhasePlan, names: tuple[str, ...], values: Mapping[str, float], gain: float | None = None
) -> dict[str, float]:
    """The gains at which lines lie for given other parameters; NaN where the equations were not solved.

    Args:
        plan: of the diagram.
        names: of the lines.
        values: of the other parameters.
        gain: if only the side matters on which this gain lies: far from chaos, the gain of the nearest other
            line stands for that of chaos, which costs nothing.
    """
    parameters = GatedParameters.of(replace(plan.form, **values))
    found = {"zero": 1 / parameters.resting_reset}
    if "fold" in names:
        found["fold"] = fold_gain(parameters)
    if "chaos" in names:
        found["chaos"] = _chaos(parameters, found["zero"], found["fold"], gain)
    if "marginal" in names:
        found["marginal"] = np.nan if parameters.constant_update else marginal_range(parameters)[1]
    return {name: found[name] if np.isfinite(found[name]) else np.nan for name in names}


def _chaos(parameters: GatedParameters, zero: float, fold: float, gain: float | None) -> float:
    # chaos appears between the first fixed points and the instability of zero
    if gain is not None and fold > NEAR * gain:
        return fold
    if gain is not None and zero * NEAR < gain:
        return zero
    return critical_gains(parameters).chaos


def values_along(plan: PhasePlan, names: tuple[str, ...], other: str, value: float) -> Arrays:
    """Critical gains for one value of the parameter beside the gain, each an array of one number."""
    found = critical_values(plan, names, {other: value})
    return {name: np.array([gain]) for name, gain in found.items()}


def values_in_row(plan: PhasePlan, names: tuple[str, ...], xs: np.ndarray, y: float) -> Arrays:
    """Critical gains along one row of a grid of two parameters other than the gain."""
    gain = float(plan.form.gain)
    row = [critical_values(plan, names, plan.values_at(np.array([x, y])), gain) for x in xs]
    return {name: np.array([one[name] for one in row]) for name in names}


def relaxation_in_row(plan: PhasePlan, xs: np.ndarray, y: float) -> Arrays:
    """Logarithm to base ten of the relaxation time, 1 / |lambda_edge|, along one row."""
    return {"log_relaxation": np.array([_log_relaxation(plan, x, y) for x in xs])}


def _log_relaxation(plan: PhasePlan, x: float, y: float) -> float:
    edge = leading_edge(GatedParameters.of(replace(plan.form, **plan.values_at(np.array([x, y])))))
    if np.isfinite(edge.logarithm):
        return float(-edge.logarithm / np.log(10))
    time = edge.relaxation_time
    return float(np.log10(time)) if np.isfinite(time) else np.nan


@dataclass(frozen=True, eq=False)
class TheoryLine(Drawn, picture="attractor.theory.dynamics_figures:draw_line", next_call=".plot()"):
    """A critical line.

    Args:
        name: "zero", "fold", "chaos" or "marginal".
        x: along the line; NaN where it has a gap, because it does not exist there or was not solved.
        y: with it.
        residual: |critical gain - gain| / gain at every vertex; 0 where the gain is an axis, for then the
            line is the solution itself.
    """

    name: str
    x: Float[np.ndarray, " vertices"]
    y: Float[np.ndarray, " vertices"]
    residual: Float[np.ndarray, " vertices"]

    @property
    def label(self) -> str:
        """What lies on it."""
        return LABELS[self.name]


@dataclass(frozen=True, eq=False)
class Theory(Shown, next_call=".lines[0].plot(), .remarks"):
    """All that theory says about a plan.

    Args:
        lines: critical lines.
        remarks: a sentence for every line that is missing, and why.
        map_x: values of the map's horizontal axis; empty without a map.
        map_y: values of its vertical axis.
        log_relaxation: logarithm to base ten of 1 / |lambda_edge|, where the gain of the update gate is an
            axis; NaN where it is not a number.
    """

    lines: tuple[TheoryLine, ...]
    remarks: tuple[str, ...]
    map_x: Float[np.ndarray, " columns"]
    map_y: Float[np.ndarray, " rows"]
    log_relaxation: Float[np.ndarray, "rows columns"]

    def called_next(self) -> str:
        """There is no first line where theory says nothing."""
        return self.next_call if self.lines else ".remarks"


def theory_of(plan: PhasePlan, store: TaskStore, reporter: Reporter) -> Theory:
    """Solve for lines and map; what is not solved leaves a gap.

    Args:
        plan: of the diagram.
        store: of solutions that are already there.
        reporter: hears about every solution.
    """
    names, remarks = line_names(plan)
    tasks = line_tasks(plan, names)
    maps = map_tasks(plan) if names else []
    solved = sweep([*tasks, *maps], store, reporter)
    rows = solved[: len(tasks)]
    if not names:
        lines: tuple[TheoryLine, ...] = ()
    elif "gain" in (plan.x.name, plan.y.name):
        lines = tuple(_over_gain(plan, name, rows) for name in names)
    else:
        lines = _contours(plan, names, rows, (store, reporter))
        absent = [name for name in names if name not in {line.name for line in lines}]
        remarks = (*remarks, *(f"No point of this plane lies where {LABELS[name]}." for name in absent))
    map_x, map_y = (_nodes(axis, _MAP) if maps else np.empty(0) for axis in (plan.x, plan.y))
    relaxation = [one["log_relaxation"] for one in solved[len(tasks) :]]
    return Theory(lines, remarks, map_x, map_y, np.stack(relaxation) if maps else np.empty((0, 0)))


def _nodes(axis: PhaseAxis, most: int) -> Float[np.ndarray, " nodes"]:
    return np.linspace(axis.low, axis.high, min(axis.points, most))


def line_tasks(plan: PhasePlan, names: tuple[str, ...]) -> list[Task]:
    """What must be solved for the lines: along the other axis where one is the gain, else over a grid."""
    if not names:
        return []
    if "gain" in (plan.x.name, plan.y.name):
        other = plan.y if plan.x.name == "gain" else plan.x
        nodes = enumerate(_nodes(other, _ALONG))
        one = dict.fromkeys(names, (1,))
        return [
            Task(f"line-{k:03d}", values_along, (plan, names, other.name, float(v)), one) for k, v in nodes
        ]
    xs, ys = _nodes(plan.x, _GRID), _nodes(plan.y, _GRID)
    row = dict.fromkeys(names, xs.shape)
    return [Task(f"line-{k:03d}", values_in_row, (plan, names, xs, float(y)), row) for k, y in enumerate(ys)]


def map_tasks(plan: PhasePlan) -> list[Task]:
    """Rows of the map of relaxation times, where the gain of the update gate is an axis."""
    if "update_gain" not in (plan.x.name, plan.y.name):
        return []
    xs, ys = _nodes(plan.x, _MAP), _nodes(plan.y, _MAP)
    row = {"log_relaxation": xs.shape}
    return [Task(f"map-{k:03d}", relaxation_in_row, (plan, xs, float(y)), row) for k, y in enumerate(ys)]


def _over_gain(plan: PhasePlan, name: str, solved: list[Arrays]) -> TheoryLine:
    other = plan.y if plan.x.name == "gain" else plan.x
    gains = np.concatenate([one[name] for one in solved])
    if name in {"fold", "chaos"}:
        # where these grow from zero there is one line, not three
        zero = np.concatenate([one["zero"] for one in solved])
        gains = np.where(gains < zero, gains, np.nan)
    nodes = np.where(np.isfinite(gains), _nodes(other, _ALONG), np.nan)
    residual = np.where(np.isfinite(gains), 0.0, np.nan)
    x, y = (gains, nodes) if plan.x.name == "gain" else (nodes, gains)
    return TheoryLine(name, x, y, residual)


def _contours(
    plan: PhasePlan, names: tuple[str, ...], rows: list[Arrays], helpers: tuple[TaskStore, Reporter]
) -> tuple[TheoryLine, ...]:
    """Lines where a critical gain equals that of the plan, first on a grid and then on its edges."""
    xs, ys = _nodes(plan.x, _GRID), _nodes(plan.y, _GRID)
    gain = float(plan.form.gain)
    pieces: list[tuple[str, np.ndarray]] = []
    tasks = []
    for name in names:
        excess = np.stack([row[name] for row in rows]) - gain
        for piece in map(np.asarray, contour_generator(xs, ys, np.ma.masked_invalid(excess)).lines(0.0)):
            pieces.append((name, piece))
            label = f"vertex-{name}-{len(pieces):02d}"
            tasks += [
                Task(f"{label}-{k:03d}", _corrected, (plan, name, vertex, excess), {"vertex": (3,)})
                for k, vertex in enumerate(piece)
            ]
    found = iter(sweep(tasks, *helpers))
    return tuple(
        TheoryLine(name, *np.stack([next(found)["vertex"] for _ in piece]).T) for name, piece in pieces
    )


def _corrected(
    plan: PhasePlan, name: str, vertex: Float[np.ndarray, " 2"], excess: Float[np.ndarray, "rows columns"]
) -> Arrays:
    """The vertex of a contour, moved along its edge of the grid to where the line is: false position."""
    names = ("zero", "fold", "chaos") if name == "chaos" else (name,)
    gain = float(plan.form.gain)
    ends, values = _edge(plan, vertex, excess)
    point, residual = vertex, np.inf
    for _ in range(_CORRECTIONS):
        found = critical_values(plan, names, plan.values_at(point))[name] - gain
        residual = abs(found) / gain
        if not residual > _CLOSE:
            break
        side = int(np.sign(found) == np.sign(values[1]))
        ends[side], values[side] = point, found
        point = ends[0] + (ends[1] - ends[0]) * values[0] / (values[0] - values[1])
    else:
        residual = abs(critical_values(plan, names, plan.values_at(point))[name] - gain) / gain
    good = residual < _FARTHEST
    return {"vertex": np.array([*point, residual]) if good else np.full(3, np.nan)}


def _edge(plan: PhasePlan, vertex: np.ndarray, excess: np.ndarray) -> tuple[list[np.ndarray], list[float]]:
    """The two nodes of the grid between which a vertex lies, and the values there."""
    xs, ys = _nodes(plan.x, _GRID), _nodes(plan.y, _GRID)
    column, row = np.interp(vertex[0], xs, np.arange(len(xs))), np.interp(vertex[1], ys, np.arange(len(ys)))
    along_x = abs(column - round(column)) > abs(row - round(row))
    if along_x:
        left = min(int(column), len(xs) - 2)
        nodes = [(round(row), left), (round(row), left + 1)]
    else:
        low = min(int(row), len(ys) - 2)
        nodes = [(low, round(column)), (low + 1, round(column))]
    return [np.array([xs[j], ys[i]]) for i, j in nodes], [float(excess[node]) for node in nodes]
