"""After how many samples an output answers each of its inputs: regressions on all inputs at once.

An input judged alone takes what the others do for noise, and where inputs move together, for its own work.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from .signal_checks import Blocks, normalise

# Lags searched for the first answer of an output, where the recordings are four times as long.
LAGS = 60
# Below this many lags a search tells nothing.
_FEWEST_LAGS = 5
# Past outputs in the regression.
_ORDER = 4
# Twice the log-likelihood gained by chance: two parameters, the best of 61 delays, once in ten thousand.
CHANCE = 30.0
_LONGEST_FIT = 20_000
# Past outputs of a smooth signal are nearly collinear; directions so much smaller than the largest are none.
_COLLINEAR = 1e-6

Rows = Float[np.ndarray, "_"]
Columns = Float[np.ndarray, "_ _"]


def lags_searched(blocks: Blocks) -> int:
    """The longest delay that recordings of these lengths can show: a quarter of the longest, at most 60.

    Zero where that is too little to tell anything.
    """
    lags = min(LAGS, max(map(len, blocks), default=0) // 4)
    return lags if lags >= _FEWEST_LAGS else 0


def rows_compared(blocks: Blocks) -> int:
    """Rows of all recordings that have every searched lag before them."""
    depth = lags_searched(blocks) + 2
    return sum(max(0, min(len(block), _LONGEST_FIT) - depth + 1) for block in blocks)


def estimate_delays(sources: Sequence[Blocks], answer: Blocks) -> list[int | None]:
    r"""The delay, from 0 to 60 samples, with which past values of each input predict the output best.

    $y_t = \sum_{i=1}^{4} a_i y_{t-i} + \sum_j (b_{j0} u_{j,t-d_j} + b_{j1} u_{j,t-d_j-1}) + e_t$ is fitted by
    least squares to signals of size one. Inputs enter one after the other, the one that explains most first;
    then each is looked at once more beside all others that explain something.

    Two neighbouring values are used, so a delay one too short may fit as well: of delays whose losses differ
    by no more than chance, four parts in the number of samples, the longest is taken.

    Args:
        sources: the samples of each input, one array for each recording.
        answer: those of the output.

    Returns:
        A delay for each input; `None` for one that lowers the loss by less than chance would in 61 trials,
        and for all where the recordings are too short to tell.
    """
    lags = lags_searched(answer)
    if not lags or not rows_compared(answer):
        return [None] * len(sources)
    effects = normalise(answer, _LONGEST_FIT)
    past = np.concatenate([_delayed(block, lags + 2, 1, _ORDER) for block in effects])
    now = np.concatenate([block[lags + 1 :] for block in effects])
    lagged = [
        np.concatenate([_delayed(block, lags + 2, 0, lags + 1) for block in normalise(source, _LONGEST_FIT)])
        for source in sources
    ]
    return _Search(now, past, lagged).delays()


def _delayed(values: Float[np.ndarray, "samples"], depth: int, first: int, last: int) -> Columns:
    """Values `first` to `last` samples old, one row for each sample that has `depth` - 1 before it."""
    if len(values) < depth:
        return np.empty((0, last - first + 1))
    return np.column_stack([values[depth - 1 - lag : len(values) - lag] for lag in range(first, last + 1)])


class _Search:
    """Which input acts with which delay, given those found so far."""

    def __init__(self, now: Rows, past: Columns, lagged: Sequence[Columns]) -> None:
        self._now, self._past, self._lagged = now, past, lagged
        self._found: dict[int, int] = {}

    def delays(self) -> list[int | None]:
        """Forward selection, then a second look at every input that was found."""
        waiting = set(range(len(self._lagged)))
        while waiting:
            seen = {one: self._losses(one) for one in waiting}
            best = max(waiting, key=lambda one: seen[one][0] - seen[one][1:].min())
            delay = _delay_of(seen[best], len(self._now))
            if delay is None:
                break
            self._found[best] = delay
            waiting.remove(best)
        looked_at_alone = len(self._found) < 2
        return [
            self._found.get(one)
            if looked_at_alone or one in waiting
            else _delay_of(self._losses(one), len(self._now))
            for one in range(len(self._lagged))
        ]

    def _losses(self, source: int) -> Rows:
        """Sum of squares that is left without an input, then with it at each delay."""
        others = [self._columns(one, delay) for one, delay in self._found.items() if one != source]
        basis = _span(np.column_stack([self._past, *others]))
        target, lagged = (one - basis @ (basis.T @ one) for one in (self._now, self._lagged[source]))
        pairs = [lagged[:, delay : delay + 2] for delay in range(lagged.shape[1] - 1)]
        return np.array([target @ target, *(_left(target, pair) for pair in pairs)])

    def _columns(self, source: int, delay: int) -> Columns:
        """What stands for an input found: one sample before its delay to two after; it may be off by one."""
        return self._lagged[source][:, max(0, delay - 1) : delay + 3]


def _span(matrix: Columns) -> Columns:
    """An orthonormal basis of the columns, those left out that are nearly combinations of others."""
    left, sizes, _ = np.linalg.svd(matrix, full_matrices=False)
    return left[:, sizes > _COLLINEAR * sizes.max(initial=0.0)]


def _left(target: Rows, columns: Columns) -> float:
    residual = target - columns @ np.linalg.lstsq(columns, target, rcond=None)[0]
    return float(residual @ residual)


def _delay_of(losses: Rows, samples: int) -> int | None:
    without, best = float(losses[0]), float(losses[1:].min())
    if without - best <= CHANCE * best / samples:
        return None
    equal = np.flatnonzero(losses[1:] <= best * (1 + 4 / samples) + 1e-6 * (without - best))
    return int(equal[np.flatnonzero(np.diff(equal, append=10 * LAGS) > 1)[0]])
