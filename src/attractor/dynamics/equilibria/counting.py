r"""How many fixed points a cell has, counted by starts that are doubled until nothing new turns up.

The count is empirical: a point that no start reaches is not counted. With n starts that converged, of which
$f_1$ reached a point that no other did and $f_2$ points were reached exactly twice, the share of starts that
would fall on known points is about $1 - f_1 / n$ (Good 1953, doi 10.1093/biomet/40.3-4.237), and about
$f_1 (f_1 - 1) / (2 (f_2 + 1))$ points have not been seen, a bound from below (Chao 1984; the form without
bias).
"""

import time
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Array, Float, Int

from attractor.cells import CellLike
from attractor.errors import ConfigError
from attractor.progress import Reporter

from .distinct import clustered, in_order, sizes
from .points import FixedPoints, index_sum, unstable_directions
from .search import FixedPointSettings, fixed_points

# Points of two rounds nearer than this share of max(1, |x|) are one.
_SAME = 1e-6

_SEARCH = FixedPointSettings(starts=128, midpoint_waves=0)


@dataclass(frozen=True)
class CountSettings:
    """When counting stops.

    Args:
        most_starts: no more starts than this.
        agreeing: doublings in a row that must leave the count as it is.
        search: number of starts of the first round, their scales and seed, and how each is followed.

    Raises:
        ConfigError: fewer starts than the first round, or no doubling.
    """

    most_starts: int = 16384
    agreeing: int = 2
    search: FixedPointSettings = _SEARCH

    def __post_init__(self) -> None:
        if self.agreeing < 1 or self.most_starts < self.search.starts:
            raise ConfigError(
                f"agreeing={self.agreeing}, most_starts={self.most_starts}: expected at least 1 doubling, "
                f"and at least the {self.search.starts} starts of the first round"
            )


_USUAL = CountSettings()


@dataclass(frozen=True, eq=False)
class FixedPointCount:
    """An empirical count of fixed points.

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
            f"{self.found} fixed points found from {self.history[-1][0]} starts ({verdict}; an empirical "
            f"count): coverage {self.coverage:.4f}, at least {self.unseen:.1f} more estimated, "
            f"sum of indices {self.index_sum:g} (1 for a bounded cell if none is missing)"
        )


def count_fixed_points(
    cell: CellLike,
    input: Float[Array | np.ndarray, "..."] | None = None,
    *,
    settings: CountSettings = _USUAL,
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
    heads, labels = clustered(states, _SAME * sizes(states))
    sums = np.bincount(labels, times, len(heads)).astype(int)
    unstable = unstable_directions(values[heads])
    order = in_order(states[heads], _SAME)
    order = order[np.argsort(unstable[order], kind="stable")]
    return states[heads[order]], unstable[order], sums[order], index_sum(values[heads])
