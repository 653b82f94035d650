"""Phase diagrams: simulated outcomes over two parameters, with the lines of theory."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from jaxtyping import Float

from attractor.folders import locked
from attractor.progress import Reporter, SilentReporter
from attractor.runs import environment
from attractor.sweeps import Arrays, Task, TaskStore, done

from .critical_lines import Theory, store_for, theory_of
from .networks import plan_hash
from .outcomes import Outcome, mean_and_interval, outcome_of, signs
from .phase_plan import PhasePlan
from .simulate import simulate_points

STARTS = ("large", "small")


@dataclass(frozen=True, eq=False)
class PhaseDiagram:
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
    def relaxation_time(self) -> Float[np.ndarray, "starts rows columns"]:
        """-1 / exponent where the network settles, else NaN."""
        with np.errstate(divide="ignore"):
            return np.where(self.signs == -1, -1 / self.exponent, np.nan)

    def share(self, outcome: Outcome) -> float:
        """The share of points with this outcome."""
        return float(np.mean(self.outcomes == outcome))


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
    begun, reporter = perf_counter(), reporter or SilentReporter()
    name = plan_hash(plan)
    where = None if folder is None else Path(folder)
    with locked(where) if where else contextlib.nullcontext():
        store = store_for(where, name)
        growth, variance = _simulated(plan, store, reporter)
        theory = theory_of(plan, store, reporter)
    figures = *mean_and_interval(growth, plan.simulation.confidence), variance.mean(axis=0)
    shape = (plan.y.points, plan.x.points, len(STARTS))
    exponent, low, high, squares = (np.moveaxis(one.reshape(shape), -1, 0) for one in figures)
    seconds = perf_counter() - begun
    return PhaseDiagram(plan, name, exponent, low, high, squares, theory, seconds, environment())


def tile_tasks(plan: PhasePlan) -> list[Task]:
    """The simulations of all tiles, for every seed."""
    blocks = plan.simulation.blocks
    return [
        Task(f"tile-{seed}-{place:05d}", simulated_tile, (plan, points, seed), _tile_shapes(points, blocks))
        for place, points in enumerate(plan.tiles)
        for seed in plan.simulation.seeds
    ]


def _tile_shapes(points: np.ndarray, blocks: int) -> dict[str, tuple[int, ...]]:
    ends = len(points), len(STARTS)
    return {"growth": (*ends, blocks), "variance": ends}


def simulated_tile(plan: PhasePlan, points: np.ndarray, seed: int) -> Arrays:
    """One tile as arrays."""
    return dict(simulate_points(plan, points, seed)._asdict())


def _simulated(plan: PhasePlan, store: TaskStore, reporter: Reporter) -> tuple[np.ndarray, np.ndarray]:
    """Growth (seeds, points, starts, blocks) and variance (seeds, points, starts)."""
    tiles, seeds, count = (
        done(tile_tasks(plan), store, reporter),
        len(plan.simulation.seeds),
        len(plan.points),
    )
    joined = [
        np.stack([np.concatenate([tile[name] for tile in tiles[k::seeds]])[:count] for k in range(seeds)])
        for name in ("growth", "variance")
    ]
    return joined[0], joined[1]
