"""Phase diagrams: outcomes over two parameters with the lines of theory."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from jaxtyping import Float

from attractor.dynamics.lyapunov.low_frequency import error_of_mean
from attractor.errors import InputDataError
from attractor.folders import locked
from attractor.progress import Reporter, interactive_reporter
from attractor.report.drawn import Drawn
from attractor.runs import environment
from attractor.shown import Rows, Shown
from attractor.sweeps import Task, TaskStore, store_for, sweep

from .critical_lines import Theory, TheoryLine, theory_of
from .phase_plan import (
    PhasePlan,
    parameter_name,
)
from .phase_simulation import (
    plan_hash,
    simulate_points,
)

STARTS = ("large", "small")
# A change in one step, relative to the states, that rounding in float32 may leave of one that stands still.
_AT_REST = 1e-5


class Outcome(StrEnum):
    """What a network does from a large and from a small start; the value is the text that users see."""

    SETTLES = "it settles from both starts: at rest or on an orbit that repeats"
    CHAOTIC = "it is chaotic from both starts"
    START_DECIDES = "it is chaotic from one start and settles from the other"
    UNDECIDED = "the exponent is within its error of zero, from one start at least"
    DIVERGED = "it leaves the finite numbers"


def mean_and_interval(
    growth: Float[np.ndarray, "seeds *points blocks"], confidence: float
) -> tuple[Float[np.ndarray, "*points"], Float[np.ndarray, "*points"], Float[np.ndarray, "*points"]]:
    """Exponents and the ends of their intervals, from growth rates that may remember each other.

    A path that still changes has halves that differ; the interval reaches at least that far on both sides, so
    that the sign of a slow transient is not taken for that of what comes after it.

    Args:
        growth: mean growth rate in every block of time; not finite where the state left the finite numbers.
        confidence: probability with which an interval holds the exponent.

    Returns:
        Exponents, lower and upper ends; NaN where there is no exponent.
    """
    seeds, *points, blocks = growth.shape
    paths = np.moveaxis(growth.reshape(seeds, -1, blocks), 1, -1)
    known = np.isfinite(paths).all(axis=(0, 1))
    found = np.full((3, paths.shape[-1]), np.nan)
    if known.any():
        found[:, known] = _known(paths[..., known], confidence)
    mean, low, high = found.reshape(3, *points)
    return mean, low, high


def _known(paths: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same of finite growth rates, shape (seeds, blocks, points)."""
    blocks = paths.shape[1]
    mean, half = paths.mean(axis=(0, 1)), blocks // 2
    drift = np.abs(paths[:, half:].mean(axis=(0, 1)) - paths[:, :half].mean(axis=(0, 1)))
    error = error_of_mean(np.cumsum(paths, axis=1), np.arange(1.0, blocks + 1))
    below, above = (error.quantile(share) for share in ((1 - confidence) / 2, (1 + confidence) / 2))
    return mean, mean + np.minimum(below, -drift), mean + np.maximum(above, drift)


def signs(
    low: Float[np.ndarray, "*points"], high: Float[np.ndarray, "*points"]
) -> Float[np.ndarray, "*points"]:
    """1 where the exponent is surely positive, -1 where it is surely negative, 0 between, NaN without one.

    Args:
        low: lower ends of the intervals of exponents.
        high: upper ends.
    """
    sign = np.sign(low) * (low > 0) + np.sign(high) * (high < 0)
    return np.where(np.isfinite(low) & np.isfinite(high), sign, np.nan)


def outcome_of(large: float, small: float) -> Outcome:
    """The outcome of two signs, that of the large and that of the small start."""
    if np.isnan(large) or np.isnan(small):
        return Outcome.DIVERGED
    if large == 0 or small == 0:
        return Outcome.UNDECIDED
    if large != small:
        return Outcome.START_DECIDES
    return Outcome.CHAOTIC if large > 0 else Outcome.SETTLES


@dataclass(frozen=True, eq=False)
class PhaseDiagram(
    Drawn,
    picture="attractor.theory.phase.phase_page:draw_outcomes",
    next_call=".plot(), .outcomes, save_diagram(diagram, folder)",
):
    """What networks do over two parameters.

    Args:
        plan: what was computed.
        hash: of the plan and its networks.
        exponent: largest Lyapunov exponent per unit of time from the large and from the small start; NaN
            where the state left the finite numbers.
        low: lower end of the interval of every exponent, at the confidence of the simulation.
        high: its upper end.
        variance: mean square of the activity at the end.
        theory: lines and map.
        seconds: wall time; that of the parts that were missing, where others were there.
        versions: of the packages it was made with.
        change: root mean square change of the state in the last step; None in diagrams of older versions.
    """

    plan: PhasePlan
    hash: str
    exponent: Float[np.ndarray, "starts rows columns"]
    low: Float[np.ndarray, "starts rows columns"]
    high: Float[np.ndarray, "starts rows columns"]
    variance: Float[np.ndarray, "starts rows columns"]
    theory: Theory
    seconds: float
    versions: dict[str, Any]
    change: Float[np.ndarray, "starts rows columns"] | None = None

    @property
    def signs(self) -> Float[np.ndarray, "starts rows columns"]:
        """1 chaotic, -1 settling, 0 undecided, NaN diverged."""
        return signs(self.low, self.high)

    @property
    def outcomes(self) -> np.ndarray:
        """An `Outcome` for every point, shape (rows, columns)."""
        large, small = self.signs
        return np.vectorize(outcome_of, otypes=[object])(large, small)

    @property
    def moving(self) -> int | None:
        """How many of the points that settle still move in the last step, from one start at least.

        Their orbit repeats, or they come to rest so slowly that they have not arrived. None where the last
        step was not kept.
        """
        if self.change is None:
            return None
        size = np.sqrt(self.variance) + self.plan.simulation.large
        moves = np.any(self.change > _AT_REST * size, axis=0)
        return int(np.sum(moves & (self.outcomes == Outcome.SETTLES)))

    @property
    def relaxation_time(self) -> Float[np.ndarray, "starts rows columns"]:
        """-1 / exponent where the network settles, else NaN."""
        with np.errstate(divide="ignore"):
            return np.where(self.signs == -1, -1 / self.exponent, np.nan)

    def share(self, outcome: Outcome) -> float:
        """The share of points with this outcome."""
        return float(np.mean(self.outcomes == outcome))

    def __str__(self) -> str:
        """What networks do, and at how many points."""
        plan, outcomes = self.plan, self.outcomes
        found = [f"{np.sum(outcomes == one)}: {one}" for one in Outcome if np.any(outcomes == one)]
        return "\n".join([
            f"{outcomes.size} networks over {plan.x.name} {plan.x.low:g} to {plan.x.high:g} and "
            f"{plan.y.name} {plan.y.low:g} to {plan.y.high:g}",
            *found,
            *([how_it_settles(self)] if self.share(Outcome.SETTLES) else []),
        ])

    def rows_shown(self) -> Rows:
        """How often every outcome was met."""
        rows = ((str(one), f"{100 * self.share(one):.1f} %") for one in Outcome)
        return Rows(("outcome", "share of the points"), tuple(rows))


def how_it_settles(diagram: PhaseDiagram) -> str:
    """Whether those that settle stand still at the end, in words; a negative exponent does not tell.

    Args:
        diagram: with points that settle.
    """
    if diagram.moving is None:
        return "whether those that settle stand still was not looked at"
    if not diagram.moving:
        return "those that settle stand still in the last step"
    return (
        f"{diagram.moving} of those that settle still move in the last step: their orbit repeats, or they "
        "come to rest very slowly"
    )


def phase_diagram(
    plan: PhasePlan, folder: str | Path | None = None, *, reporter: Reporter | None = None
) -> PhaseDiagram:
    """Simulate a grid of networks from two starts, and solve for the lines of theory.

    The grid is cut into tiles; networks of a tile share their random couplings and run in one compiled
    program, so that products of couplings and states are products of matrices. Tiles and solutions are tasks
    of joblib: `with joblib.parallel_config(n_jobs=2)` around the call uses two processes, other backends a
    cluster, and every point has the same bits wherever it is computed, on machines of one kind.

    Args:
        plan: axes, network and simulation.
        folder: keeps every finished task in `parts`, so that a run that was stopped goes on where it was;
            None keeps nothing.
        reporter: hears about every tile.

    Raises:
        ConfigError: `build` makes networks that differ in more than numbers, or no flow.
        StorageError: another process works in the folder, or it cannot be written.

    Example:
        >>> from attractor.theory.phase import PhaseAxis, PhasePlan, PhaseSimulation, phase_diagram
        >>> short = PhaseSimulation(time=20, transient=20)
        >>> axes = PhaseAxis("gain", 0.2, 0.6, 2), PhaseAxis("reset_bias", -1, 0, 2)
        >>> bool((phase_diagram(PhasePlan(*axes, size=20, simulation=short)).exponent < 0).all())
        True
    """
    begun, reporter = perf_counter(), reporter or interactive_reporter("points of the diagram")
    name = plan_hash(plan)
    where = None if folder is None else Path(folder)
    with locked(where) if where else contextlib.nullcontext():
        store = store_for(where, name)
        growth, variance, change = _simulated(plan, store, reporter)
        theory = theory_of(plan, store, reporter)
    means = variance.mean(axis=0), change.max(axis=0)
    estimates = *mean_and_interval(growth, plan.simulation.confidence), *means
    shape = (plan.y.points, plan.x.points, len(STARTS))
    exponent, low, high, squares, moved = (np.moveaxis(one.reshape(shape), -1, 0) for one in estimates)
    seconds = perf_counter() - begun
    return PhaseDiagram(plan, name, exponent, low, high, squares, theory, seconds, environment(), moved)


def tile_tasks(plan: PhasePlan) -> list[Task]:
    """The simulations of all tiles, for every seed."""
    simulation, tiles = plan.simulation, plan.tiles
    ends = len(tiles[0]), len(STARTS)
    shapes = {"growth": (*ends, simulation.blocks), "variance": ends, "change": ends}
    return [
        Task(f"tile-{seed}-{index:05d}", simulate_points, (plan, points, seed), shapes)
        for index, points in enumerate(tiles)
        for seed in simulation.seeds
    ]


def _simulated(
    plan: PhasePlan, store: TaskStore, reporter: Reporter
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Growth (seeds, points, starts, blocks), variance and change (seeds, points, starts)."""
    tiles, seeds = sweep(tile_tasks(plan), store, reporter), len(plan.simulation.seeds)

    def joined(name: str) -> np.ndarray:
        by_seed = [np.concatenate([tile[name] for tile in tiles[k::seeds]]) for k in range(seeds)]
        return np.stack(by_seed)[:, : len(plan.points)]

    return joined("growth"), joined("variance"), joined("change")


def expected_outcomes(diagram: PhaseDiagram) -> np.ndarray:
    """What theory expects of every point, by the gains at which chaos appears and zero loses stability.

    Args:
        diagram: with the gain on an axis.

    Returns:
        An `Outcome` for every point, shape (rows, columns); None where theory has no lines, or gaps in them.
    """
    plan, lines = diagram.plan, {line.name: line for line in diagram.theory.lines}
    nothing = np.full(diagram.outcomes.shape, None, object)
    if "gain" not in (plan.x.name, plan.y.name) or "zero" not in lines:
        return nothing
    gain_is_x = plan.x.name == "gain"
    zero_line, other = lines["zero"], plan.y if gain_is_x else plan.x
    nodes, zeros = (zero_line.y, zero_line.x) if gain_is_x else (zero_line.x, zero_line.y)
    if plan.form.open_reset:
        onsets = zeros
    elif "chaos" in lines:
        onsets = lines["chaos"].x if gain_is_x else lines["chaos"].y
    else:
        return nothing
    zero, onset = (np.interp(other.values, nodes, gains) for gains in (zeros, onsets))
    gains = np.meshgrid(plan.x.values, plan.y.values)[0 if gain_is_x else 1]
    zero, onset = (np.broadcast_to(one[:, None] if gain_is_x else one, gains.shape) for one in (zero, onset))
    expected = nothing
    expected[np.isfinite(gains + zero + onset)] = Outcome.SETTLES
    expected[gains > onset] = Outcome.START_DECIDES
    expected[(gains > zero) & np.isfinite(onset)] = Outcome.CHAOTIC
    return expected


def agreement(diagram: PhaseDiagram) -> tuple[int, int]:
    """How many points do what theory expects, and of how many both are known.

    Args:
        diagram: simulated and solved.
    """
    outcomes, expected = diagram.outcomes, expected_outcomes(diagram)
    decided = np.all(np.abs(diagram.signs) == 1, axis=0)
    known = decided & np.vectorize(lambda one: one is not None, otypes=[bool])(expected)
    return int(np.sum(known & (outcomes == expected))), int(np.sum(known))


@dataclass(frozen=True)
class DiagramPosition(Shown):
    """A position in a diagram.

    Args:
        x: value on the horizontal axis.
        y: value on the vertical axis.
        inside: whether the diagram covers it.
        outcome: of the nearest simulated point; None outside.
        distances: by the name of a line of theory, how far to the right it lies at this height, in the unit
            of the horizontal axis; negative to the left; lines that do not reach this height are left out.
    """

    x: float
    y: float
    inside: bool
    outcome: Outcome | None
    distances: dict[str, float]

    @property
    def sentence(self) -> str:
        """The position in words."""
        if self.outcome is None:
            return f"({self.x:.4g}, {self.y:.4g}) lies outside the diagram."
        return f"At ({self.x:.4g}, {self.y:.4g}), by the nearest point: {self.outcome}."

    def __str__(self) -> str:
        """The position in words, and how far the lines are."""
        lines = ", ".join(f"{name} {distance:+.4g}" for name, distance in self.distances.items())
        return self.sentence + (f"\nlines of theory to the right, at this height: {lines}" if lines else "")


def position_in(diagram: PhaseDiagram, parameters: Mapping[str, float]) -> DiagramPosition:
    """Where a network with these parameters sits.

    Args:
        diagram: of the same network but for the two axes.
        parameters: at least those of both axes, by name or letter; others are not used.

    Raises:
        InputDataError: one of the two is missing or not finite.
    """
    plan = diagram.plan
    values = {parameter_name(name): float(value) for name, value in parameters.items()}
    for axis in (plan.x, plan.y):
        if not np.isfinite(values.get(axis.name, np.nan)):
            raise InputDataError(
                f"parameters: no finite {axis.name} among {', '.join(values) or 'none'}; the axes need it"
            )
    x, y = values[plan.x.name], values[plan.y.name]
    inside = plan.x.low <= x <= plan.x.high and plan.y.low <= y <= plan.y.high
    column, row = (int(np.argmin(np.abs(one.values - v))) for one, v in ((plan.x, x), (plan.y, y)))
    outcome = diagram.outcomes[row, column] if inside else None
    crossings = {line.name: _nearest_crossing(line, x, y) for line in diagram.theory.lines}
    distances = {name: at - x for name, at in crossings.items() if at is not None}
    return DiagramPosition(x, y, inside, outcome, distances)


def _nearest_crossing(line: TheoryLine, x: float, y: float) -> float | None:
    """Where a line crosses a height, next to a value."""
    with np.errstate(invalid="ignore"):
        low, high = line.y[:-1] - y, line.y[1:] - y
        at = np.flatnonzero((low * high <= 0) & (low != high) & np.isfinite(line.x[:-1] + line.x[1:]))
    if not len(at):
        return None
    crossings = line.x[at] - low[at] * (line.x[at + 1] - line.x[at]) / (high[at] - low[at])
    return float(crossings[np.argmin(np.abs(crossings - x))])
