"""The search for fixed and slow points of a cell, from starts to distinct points, and how many there are."""

import time
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from attractor.cells import CellLike, State, initial_state, input_size, knows_input, name_of
from attractor.errors import ConfigError, DivergedError, InputDataError, ShapeError
from attractor.program import HeldMap, double_precision
from attractor.progress import Reporter, interactive_reporter
from attractor.report.drawn import Drawn
from attractor.settings import Count, CountOrNone, Positive, Seed, Settings, Within
from attractor.shown import counted

from ..trajectory import analysed, checked, flat_batch, flat_inputs, prepared, time_step, visited
from .descent import Descents, Outcome, descend, settled
from .distinct import (
    DistinctPoints,
    clustered,
    distinct_points,
    in_order,
    joined,
    midpoints,
    sizes,
    slow_points,
)
from .points import FixedPoints, SearchCounts, eigenvalues, index_sum, unstable_directions

# Root mean square of states below which a network counts as resting at zero.
_RESTS = 1e-6
# Times the size of the farthest start: beyond it states have run away, unless a regular point holds them.
_AWAY = 10.0
# Entries nearer than this share of the largest are equal where points are put in order.
_SAME_ENTRY = 1e-6


def sampled_starts(
    cell: CellLike,
    inputs: Float[Array | np.ndarray, "..."],
    count: int = 256,
    noise: float | int = 0.1,
    seed: int = 0,
) -> Float[np.ndarray, "count states"]:
    """Flat states drawn from the trajectories that inputs drive, with noise added.

    A network is trained where its trajectories run, so that the fixed points that explain what it does lie
    near them. Noise leads to those beside the path, the saddles between attractors above all.

    Args:
        cell: any cell; it starts from its own initial state.
        inputs: one sequence (time, inputs), or several of the same length (sequences, time, inputs).
        count: states to draw, with repetition.
        noise: standard deviation of the noise, as a share of the root mean square of the states; of 1 where
            they rest at zero.
        seed: of the choice and the noise.

    Raises:
        ConfigError: a count below 1 or a negative noise.
        ShapeError: inputs that do not fit the cell.
        InputDataError: inputs or states that are not finite.
    """
    if count < 1 or not 0 <= noise < np.inf:
        raise ConfigError(
            f"count={count}, noise={noise}: expected a count of at least 1 and a finite noise of at least 0"
        )
    sequences = np.asarray(inputs)
    sequences = sequences[None] if sequences.ndim == 2 else sequences
    if sequences.ndim != 3 or 0 in sequences.shape[:2]:
        raise ShapeError(
            f"inputs of shape {np.shape(inputs)}, expected (time, inputs) or (sequences, time, inputs)"
        )
    values = np.stack([checked(cell, sequence) for sequence in sequences])
    with double_precision():
        flat, start, _ = prepared(cell, None, 0, None)
        states = np.asarray(jax.vmap(lambda rows: visited(flat, start, rows))(jnp.asarray(values)))
        states = states[..., : flat.real_size]
    for sequence, step in np.argwhere(~np.isfinite(states).all(axis=2))[:1]:
        raise InputDataError(
            f"the trajectory of sequence {sequence} leaves the finite numbers at step {step}; leave it out, "
            "or give shorter or smaller inputs"
        )
    states = states.reshape(-1, flat.real_size)
    source = np.random.default_rng(seed)
    # A network that rests at zero gives no size to its noise: 1 is that of its units.
    size = root_mean_square(states)
    size = size if size > _RESTS else 1.0
    return source.choice(states, count) + noise * size * source.normal(size=(count, states.shape[1]))


def root_mean_square(values: Float[np.ndarray, "..."]) -> float:
    """Of numbers of any size: squares of scaled entries do not overflow; 0 where all are zero."""
    largest = float(np.abs(values).max(initial=0.0))
    return largest * float(np.sqrt(np.mean(np.square(values / largest)))) if largest > 0 else 0.0


def random_starts(
    own: Float[np.ndarray, " states"], count: int, scales: tuple[float | int, ...], seed: int
) -> Float[np.ndarray, "count states"]:
    """Normal entries, the scales taking turns; every other one about the cell's own start, if that is not 0.

    In a large network most starts of one scale fall on the same point, often zero; several scales reach more.
    A map may be defined on a domain far from zero alone: its own start tells where that lies, and how large
    numbers are there.

    Args:
        own: the state that the cell starts from.
        count: how many.
        scales: standard deviations, those about the own start in sizes of it.
        seed: of all of them.
    """
    source, size = np.random.default_rng(seed), root_mean_square(own)
    drawn = np.resize(scales, count)[:, None] * source.normal(size=(count, len(own)))
    if size > 0:
        # Each scale is drawn as often about zero as about the own start.
        about = np.arange(count) // len(scales) % 2 == 1
        drawn[about] = own + size * drawn[about]
    return drawn


def constant_inputs(
    cell: CellLike, input: Float[Array | np.ndarray, "..."] | None
) -> Float[np.ndarray, "conditions inputs"]:
    """The constant inputs, one condition a row; zeros where `input` is None.

    Raises:
        ConfigError: no input for a cell without `input_size`.
        ShapeError: an input that does not fit the cell.
        InputDataError: an input that is not finite.
    """
    if input is None and not knows_input(cell):
        initial_state(cell)  # what is no cell at all is refused in the words for that
        raise ConfigError(f"{name_of(cell)} has no `input_size`: give `input`, a vector")
    rows = np.zeros(input_size(cell)) if input is None else flat_inputs(cell, np.asarray(input, np.float64))
    if rows.ndim not in (1, 2) or (len(rows) == 0 and rows.ndim == 2):
        raise ShapeError(f"input of shape {rows.shape}, expected (inputs,) or (conditions, inputs)")
    return checked(cell, np.atleast_2d(rows))


@dataclass(frozen=True)
class FixedPointSettings(Settings):
    """How fixed points are searched.

    Args:
        starts: how many random states, where no starts are given, about zero and about the cell's own start.
        scales: their standard deviations, taking turns; about the own start in sizes of it.
        seed: of the random states.
        tolerance: a state is fixed where |step(x) - x| <= tolerance * max(1, |x|).
        trials: the most steps of one start.
        midpoint_waves: how many times to start again halfway between the points found so far, as long as that
            finds new ones: saddles lie between attractors, and few trajectories come near them.

    Raises:
        ConfigError: a value outside its range.
    """

    starts: Count = 256
    scales: tuple[Positive, ...] = (0.1, 0.5, 1.0, 3.0)
    seed: Seed = 0
    tolerance: Annotated[float, Within(1e-14, 1e-6), "no finer than the rounding of a step"] = 1e-12
    trials: Count = 100
    midpoint_waves: CountOrNone = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        self.expect(len(self.scales) > 0, "at least one positive number", "scales")


_USUAL = FixedPointSettings()


def fixed_points(
    cell: CellLike,
    input: Float[Array | np.ndarray, "..."] | None = None,
    *,
    starts: State | None = None,
    settings: FixedPointSettings = _USUAL,
    reporter: Reporter | None = None,
) -> FixedPoints:
    """States that one step of a cell leaves where they are, at a constant input, and slow points beside them.

    Many starts go downhill in |step(x) - x|^2 by Levenberg-Marquardt with exact Jacobians, in float64, to the
    rounding of the step; further ones start halfway between the points that were found. No search can promise
    that nothing is missing, but `index_sums` of the result may prove of a bounded cell that something is, and
    `count_fixed_points` estimates how much. A trial solves with the Jacobian of the whole state, so that time
    grows with the third power of its size: 3 microseconds a trial at 16 states and 36 at 64 on one core, and
    some ten trials a start. A cell with a state of several parts, an LSTM, pays for all.

    Args:
        cell: any cell.
        input: the constant input, a vector; or several, one a row, each with all starts. None means zeros.
        starts: flat states (starts, states), or states of the cell with one more axis in front; see
            `sampled_starts` for those from trajectories. None means random ones.
        settings: number and scales of random starts, tolerance, trials, vectors.
        reporter: hears how many starts have finished.

    Raises:
        ConfigError: no input for a cell without `input_size`.
        ShapeError: an input or starts that do not fit the cell.
        InputDataError: an input that is not finite.
        DivergedError: the step gives no finite state wherever it starts.

    Source:
        Sussillo and Barak 2013, *Opening the black box*, doi 10.1162/NECO_a_00409; Golub and Sussillo 2018,
        *FixedPointFinder*, doi 10.21105/joss.01003.
    """
    began = time.perf_counter()
    rows = constant_inputs(cell, input)
    with double_precision():
        flat = analysed(cell).still("fixed points")
        begin = _starts(flat, starts, settings)
        ended, conditions, kept = _searched(
            flat, begin, rows, settings, reporter or interactive_reporter("looking for points")
        )
        _check_any_finite(ended, cell)
        slow = slow_points(ended, conditions)
    return FixedPoints(
        **_with_spectra(kept),
        slow=slow,
        inputs=rows,
        counts=_counts(ended, int(kept.multiplicities.sum()), len(conditions)),
        seconds=time.perf_counter() - began,
        time_step=time_step(cell),
        flat=flat,
    )


def _starts(flat: HeldMap, starts: State | None, settings: FixedPointSettings) -> np.ndarray:
    if starts is None:
        return random_starts(np.asarray(flat.start), settings.starts, settings.scales, settings.seed)
    if isinstance(starts, np.ndarray | jax.Array) and starts.ndim == 2 and not np.iscomplexobj(starts):
        vectors = np.asarray(starts, np.float64)
    else:
        vectors = np.asarray(flat_batch(flat, starts))
    if len(vectors) == 0 or vectors.shape[1] != flat.size:
        raise ShapeError(
            f"starts of shape {vectors.shape}, expected (starts, {flat.size}): flat states one a row, or "
            f"states of {flat.layout.owner} with one more axis in front"
        )
    return vectors


def _searched(
    flat: HeldMap, begin: np.ndarray, rows: np.ndarray, settings: FixedPointSettings, reporter: Reporter
) -> tuple[Descents, np.ndarray, DistinctPoints]:
    """All ends, the condition of each and the distinct points, when no more are found between those known."""
    conditions = np.repeat(np.arange(len(rows)), len(begin))
    jobs = np.tile(begin, (len(rows), 1)), rows[conditions]
    ended = _ends(flat, jobs, settings, reporter)
    within = _AWAY * float(sizes(begin).max())
    kept = distinct_points(flat, ended, conditions, within)
    for wave in range(settings.midpoint_waves):
        halfway, theirs = midpoints(kept, len(begin), settings.seed + wave)
        if len(halfway) == 0:
            break
        more, known = _ends(flat, (halfway, rows[theirs]), settings, reporter), len(kept.states)
        kept = joined(flat, kept, more, theirs, within)
        ended = Descents(*(np.concatenate(pair) for pair in zip(ended, more, strict=True)))
        conditions = np.concatenate([conditions, theirs])
        if len(kept.states) <= known:
            break
    return ended, conditions, kept


def _ends(
    flat: HeldMap, jobs: tuple[np.ndarray, np.ndarray], settings: FixedPointSettings, reporter: Reporter
) -> Descents:
    """All starts at their ends, those at rest or still under way made exact as far as they can be."""
    with closing(reporter):
        ended = descend(flat, *jobs, (settings.tolerance, settings.trials), reporter)
    doubtful = np.flatnonzero(np.isin(ended.outcomes, (Outcome.AT_REST, Outcome.UNFINISHED)))
    if len(doubtful) == 0:
        return ended
    states, speeds, minima = settled(flat, ended.states[doubtful], ended.inputs[doubtful])
    fixed = minima & (speeds <= settings.tolerance * sizes(states))
    outcomes = np.where(fixed, Outcome.CONVERGED, np.where(minima, Outcome.AT_REST, Outcome.UNFINISHED))
    ended.outcomes[doubtful] = outcomes
    ended.states[doubtful] = np.where(minima[:, None], states, ended.states[doubtful])
    ended.speeds[doubtful] = np.where(minima, speeds, ended.speeds[doubtful])
    return ended


def _check_any_finite(ended: Descents, cell: CellLike) -> None:
    """Tell a step without a number from one without a fixed point."""
    if len(ended.outcomes) and (ended.outcomes == Outcome.NOT_FINITE).all():
        raise DivergedError(
            f"the step of {name_of(cell)} is not finite at any of the {len(ended.outcomes)} states that the "
            "search starts from; check for weights that are no numbers, roots and logarithms of negative "
            "numbers, divisions by zero. Of a map that is defined on a part of space alone, give its own "
            "start there, or `starts=`"
        )


def _with_spectra(kept: DistinctPoints) -> dict[str, np.ndarray]:
    """The fields of `FixedPoints` that have one entry a point, in the order of the result."""
    names = ("states", "residuals", "multiplicities", "conditions", "jacobians")
    fields = {name: getattr(kept, name) for name in names} | {"eigenvalues": eigenvalues(kept.jacobians)}
    order = in_order(kept.states, _SAME_ENTRY * np.abs(kept.states).max(initial=0.0))
    growing = unstable_directions(fields["eigenvalues"])
    order = order[np.lexsort((growing[order], kept.conditions[order]))]
    return {name: part[order] for name, part in fields.items()}


def _counts(ended: Descents, converged: int, starts: int) -> SearchCounts:
    """What proved to be no fixed point after all counts as unfinished."""
    slow, not_finite = (int(np.sum(ended.outcomes == kind)) for kind in (Outcome.AT_REST, Outcome.NOT_FINITE))
    unfinished = starts - converged - slow - not_finite
    return SearchCounts(starts, converged, slow, unfinished, not_finite, int(ended.trials.sum()))


# Points of two rounds nearer than this share of max(1, |x|) are one.
_SAME_POINT = 1e-6

_DOUBLED = FixedPointSettings(starts=128, midpoint_waves=0)


@dataclass(frozen=True)
class CountSettings(Settings):
    """When counting stops.

    Args:
        most_starts: no more starts than this.
        agreeing: doublings in a row that must leave the count as it is.
        search: number of starts of the first round, their scales and seed, and how each is followed.

    Raises:
        ConfigError: fewer starts than the first round, or no doubling.
    """

    most_starts: Count = 16384
    agreeing: Count = 2
    search: FixedPointSettings = _DOUBLED

    def __post_init__(self) -> None:
        super().__post_init__()
        first = self.search.starts
        self.expect(
            self.most_starts >= first, f"at least the {first} starts of the first round", "most_starts"
        )


_USUAL_COUNT = CountSettings()


@dataclass(frozen=True, eq=False)
class FixedPointCount(
    Drawn, picture="attractor.dynamics.dynamics_pictures:draw_count", next_call=".plot(), .states"
):
    r"""An empirical count of fixed points: a point that no start reaches is not counted.

    With n starts that converged, of which $f_1$ reached a point that no other did and $f_2$ points were
    reached exactly twice, the share of starts that would fall on known points is about $1 - f_1 / n$ (Good
    1953, doi 10.1093/biomet/40.3-4.237), and about $f_1 (f_1 - 1) / (2 (f_2 + 1))$ points have not been seen,
    a bound from below (Chao 1984; the form without bias).

    Args:
        states: the flat states that were found.
        unstable: how many directions grow at each.
        multiplicities: how many starts ended at each.
        index_sum: for a bounded cell 1 where no point is missing, and any other value proves that some are;
            see `index_sum`.
        history: (starts, distinct points) after every round.
        stable: whether the last doublings left the count as it was.
        seconds: wall time, compilation included.
    """

    states: Float[np.ndarray, "points states"]
    unstable: Int[np.ndarray, " points"]
    multiplicities: Int[np.ndarray, " points"]
    index_sum: float
    history: tuple[tuple[int, int], ...]
    stable: bool
    seconds: float

    @property
    def found(self) -> int:
        """Distinct fixed points that were found: at least so many exist."""
        return len(self.states)

    @property
    def unseen(self) -> float:
        """An estimate from below of how many more exist."""
        once, twice = (int(np.sum(self.multiplicities == times)) for times in (1, 2))
        return once * (once - 1) / (2 * (twice + 1))

    @property
    def coverage(self) -> float:
        """The estimated share of converging starts that fall on points already found; 0 without any."""
        total = int(self.multiplicities.sum())
        return 1.0 - int(np.sum(self.multiplicities == 1)) / total if total else 0.0

    def __str__(self) -> str:
        """The count, and what it is worth."""
        verdict = "stable under doubling" if self.stable else "still growing"
        return (
            f"{counted(self.found, 'fixed point')} found from {counted(self.history[-1][0], 'start')} "
            f"({verdict}; an empirical count): coverage {self.coverage:.4f}, at least {self.unseen:.1f} more "
            f"estimated, sum of indices {self.index_sum:g} (1 for a bounded cell if none is missing)"
        )


def count_fixed_points(
    cell: CellLike,
    input: Float[Array | np.ndarray, "..."] | None = None,
    *,
    settings: CountSettings = _USUAL_COUNT,
    reporter: Reporter | None = None,
) -> FixedPointCount:
    """Count the fixed points of a cell at one constant input, by random starts that double every round.

    Meant for networks of up to about 60 states, where the number of points is still within reach.

    Args:
        cell: any cell.
        input: the constant input, a vector; None means zeros.
        settings: when to stop, and how to search.
        reporter: hears how many starts of the present round have finished.

    Raises:
        ConfigError: no input for a cell without `input_size`, or several inputs.
        ShapeError: an input that does not fit the cell.
        InputDataError: an input that is not finite.
    """
    if input is not None and np.ndim(input) != 1:
        raise ConfigError(
            f"input of shape {np.shape(input)}: fixed points are counted at one input, a vector"
        )
    began = time.perf_counter()
    rounds: list[FixedPoints] = []
    history: list[tuple[int, int]] = []
    kept = None
    while kept is None or not (_agreed(history, settings.agreeing) or history[-1][0] >= settings.most_starts):
        done = history[-1][0] if history else 0
        fresh = min(max(done, settings.search.starts), settings.most_starts - done)
        search = replace(settings.search, starts=fresh, seed=settings.search.seed + len(rounds))
        rounds.append(fixed_points(cell, input, settings=search, reporter=reporter))
        kept = _merged(rounds)
        history.append((done + fresh, len(kept[0])))
    stable = _agreed(history, settings.agreeing)
    return FixedPointCount(*kept, tuple(history), stable, time.perf_counter() - began)


def _agreed(history: list[tuple[int, int]], doublings: int) -> bool:
    """Whether the last doublings left the count as it was."""
    last = [found for _, found in history[-doublings - 1 :]]
    return len(last) == doublings + 1 and len(set(last)) == 1


def _merged(rounds: list[FixedPoints]) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """The distinct points of all rounds, their unstable directions, multiplicities and sum of indices."""
    states, values, times = (
        np.concatenate([getattr(found, name) for found in rounds])
        for name in ("states", "eigenvalues", "multiplicities")
    )
    heads, labels = clustered(states, _SAME_POINT * sizes(states))
    sums = np.bincount(labels, times, len(heads)).astype(int)
    unstable = unstable_directions(values[heads])
    order = in_order(states[heads], _SAME_POINT)
    order = order[np.argsort(unstable[order], kind="stable")]
    return states[heads[order]], unstable[order], sums[order], index_sum(values[heads])
