r"""How far the mean of a growth series may be from its limit, whatever its correlation.

The standard error of a mean is the spectral density of the series at frequency zero. Three things make that
hard for Lyapunov exponents. A driven slow network has growth rates that are correlated over a good part of
the path: blocks of it are not independent, and intervals from blocks are too narrow. The growth of a flow
telescopes: its sum is $\lambda T + M_T + h(x_T) - h(x_0)$ with h a function of the state, and sums of
blocks mostly show h at their ends, which cancels in the whole path: intervals from blocks are too wide. And a
path may be too short to tell.

So the series is described by its slowest variations alone, the coefficients

$$c_k = \sqrt{2 / N} \sum_j \cos(\pi k (j + 1/2) / N)\, g_j, \qquad k = 1 \dots K,$$

which are independent of the mean for white noise (Muller and Watson 2008, *Testing models of low-frequency
variability*, Econometrica 76). A grid of Gaussian models says how they vary together with $c_0$, the error of
the mean: white noise; a part with an exponential memory, from a hundredth of the path to more than all of it,
above white noise; and the differences of such a part, above white noise. Each model that the coefficients
make likely predicts the error: by a Student distribution around what the coefficients say about it (which is
how $h(x_T) - h(x_0)$ is seen and removed). The weighted mixture of these is the answer: it is narrow where
the coefficients are many and flat, and wide where they rise towards zero frequency, so that nothing is
claimed that the path is too short to show.
"""

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import elementwise
from scipy.special import fdtrc, stdtr

# Equal parts into which a path is cut; as many as there are steps in a shorter one.
BINS = 512

# Coefficients that describe the path: more would ask for models of faster variations, too.
_MOST = 24

_MEMORIES = (0.003, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.2, 2.5)
# Memories of the correlated part and of h, as shares of the path.
_DIFFERENCED = (1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1)

_BESIDE_MEMORY = (1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0)
# Variances of the white part, in units of the first coefficient, and of the mean of all coefficients.
_BESIDE_DIFFERENCES = (1e-6, 1e-3, 1e-2, 0.03, 0.1, 0.2, 0.4, 0.8, 1.6)

# A memory of this share of the path leaves few independent parts.
_GOOD_PART = 0.15

# Weights of white noise, memory and differences before anything is seen; chosen so that intervals of
# `benchmarks/coverage.py` hold as often as they say.
_PRIOR = (4.0, 1.0, 2.0)

# A quantile ends at a relative difference, or at a difference of its probability, as small as this.
_EXACT = {"xatol": 0.0, "xrtol": 1e-9, "fatol": 1e-10, "frtol": 0.0}

# Normal probabilities of one standard deviation below and above the mean.
_ONE_SIGMA = (0.15865525393145707, 0.8413447460685429)

# Chance below which runs of a batch do not have one mean, unless they differ by rounding only.
_DISAGREE, _SAME = 1e-4, 1e-8


@dataclass(frozen=True, eq=False)
class MeanError:
    """The distribution of limit minus mean, for every column of a series: a mixture of Student distributions.

    Args:
        weights: of the models, each row adding up to 1.
        centres: of their distributions.
        scales: of their distributions.
        freedom: degrees of freedom of each column.
        agree: whether the runs of a batch have one mean; where not, only their scatter counts.
        slow: whether the series remembers over a good part of the path, which is then a short one.
    """

    weights: Float[np.ndarray, "columns models"]
    centres: Float[np.ndarray, "columns models"]
    scales: Float[np.ndarray, "columns models"]
    freedom: Float[np.ndarray, " columns"]
    agree: Bool[np.ndarray, " columns"]
    slow: Bool[np.ndarray, " columns"]

    def quantile(self, share: float) -> Float[np.ndarray, " columns"]:
        """Below which the difference lies with a probability between 0 and 1."""
        columns = np.arange(len(self.freedom))
        high = np.max(np.abs(self.centres) + self.scales, axis=1) + np.finfo(float).tiny
        while np.any(short := (self._below(high, columns) < share) | (self._below(-high, columns) > share)):
            high = np.where(short, 2 * high, high)
        return elementwise.find_root(
            lambda number, column: self._below(number, column) - share,
            (-high, high),
            args=(columns,),
            tolerances=_EXACT,
        ).x

    @cached_property
    def standard_error(self) -> Float[np.ndarray, " columns"]:
        """The least distance from the mean within which the limit lies with the probability of one sigma."""
        low, high = (self.quantile(share) for share in _ONE_SIGMA)
        return np.maximum(high, -low)

    def _below(self, numbers: np.ndarray, columns: np.ndarray) -> np.ndarray:
        scales = np.maximum(self.scales[columns], np.finfo(float).tiny)
        away = (numbers[:, None] - self.centres[columns]) / scales
        return np.sum(self.weights[columns] * stdtr(self.freedom[columns, None], away), axis=1)


@dataclass(frozen=True, eq=False)
class _Models:
    """Covariances of c_0 and c_1 ... c_K under each model, taken apart.

    Args:
        precision: inverse of that of c_1 ... c_K.
        logarithm: of its determinant.
        slope: what c_1 ... c_K say about c_0.
        rest: variance of c_0 that they do not explain.
        prior: logarithm of the weight.
        slow: whether it remembers over a good part of the path.
    """

    precision: Float[np.ndarray, "models K K"]
    logarithm: Float[np.ndarray, " models"]
    slope: Float[np.ndarray, "models K"]
    rest: Float[np.ndarray, " models"]
    prior: Float[np.ndarray, " models"]
    slow: Bool[np.ndarray, " models"]


def error_of_mean(
    sums: Float[np.ndarray, "runs marks columns"], times: Float[np.ndarray, " marks"]
) -> MeanError:
    """The error of the mean growth per step.

    Args:
        sums: growth from the start until each mark, of every run.
        times: steps until each mark, the last one being all.
    """
    runs, marks, _ = sums.shape
    count = min(_MOST, max(marks // 2, 1))
    models = _models(count)
    means = sums[:, -1] / times[-1]
    seen = _coefficients(sums, times, count)
    single = np.einsum("mkl,rkc,rlc->rcm", models.precision, seen, seen)
    said = np.einsum("mk,rkc->rcm", models.slope, seen)
    whole = BINS**0.5 * means[:, :, None] - said
    between = np.sum((whole - whole.mean(axis=0)) ** 2, axis=0) / models.rest
    freedom = float(runs * count + runs - 1)
    total = single.sum(axis=0) + between + np.finfo(float).tiny
    likely = models.prior - 0.5 * (runs * models.logarithm + (runs - 1) * np.log(models.rest))
    weights = _normalised(likely - 0.5 * freedom * np.log(total))
    scales = np.sqrt(total / freedom * models.rest / (BINS * runs))
    centres = -said.mean(axis=0) / BINS**0.5
    slow = weights @ models.slow > 0.5
    found = MeanError(weights, centres, scales, np.full(len(slow), freedom), np.ones(len(slow), bool), slow)
    if runs == 1:
        return found
    alone = single.sum(axis=0) + np.finfo(float).tiny
    by_themselves = _normalised(
        models.prior - 0.5 * runs * models.logarithm - 0.5 * runs * count * np.log(alone)
    )
    ratio = (between / (runs - 1)) / (alone / (runs * count))
    chance = np.sum(by_themselves * fdtrc(runs - 1, runs * count, ratio), axis=1)
    return _apart(found, means, (chance > _DISAGREE) | (np.ptp(means, axis=0) < _SAME))


def _apart(found: MeanError, means: np.ndarray, agree: np.ndarray) -> MeanError:
    """Runs whose means differ by more than their own series explain speak by their scatter alone."""
    runs = len(means)
    scatter = means.std(axis=0, ddof=1)[:, None] / runs**0.5
    return replace(
        found,
        centres=np.where(agree[:, None], found.centres, 0.0),
        scales=np.where(agree[:, None], found.scales, scatter),
        freedom=np.where(agree, found.freedom, float(runs - 1)),
        agree=agree,
    )


def _normalised(logarithms: np.ndarray) -> np.ndarray:
    weights = np.exp(logarithms - logarithms.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def _coefficients(sums: np.ndarray, times: np.ndarray, count: int) -> np.ndarray:
    """c_1 ... c_K of the growth in equal parts of the path, shape (runs, K, columns)."""
    runs, _, columns = sums.shape
    at = np.linspace(0.0, times[-1], BINS + 1)
    known, after = np.append(0.0, times), np.searchsorted(times, at, side="left").clip(max=len(times) - 1)
    whole = np.concatenate([np.zeros((runs, 1, columns)), sums], axis=1)
    share = ((at - known[after]) / (known[after + 1] - known[after]))[:, None]
    until = (1 - share) * whole[:, after] + share * whole[:, after + 1]
    rates = np.diff(until, axis=1) * (BINS / times[-1])
    return np.einsum("kn,rnc->rkc", _cosines(count)[1:], rates - rates.mean(axis=1, keepdims=True))


def _cosines(count: int) -> np.ndarray:
    """Orthonormal rows: the constant, and cosines with 1 ... K half periods."""
    middles = (np.arange(BINS) + 0.5) / BINS
    rows = np.sqrt(2 / BINS) * np.cos(np.pi * np.arange(count + 1)[:, None] * middles)
    rows[0] /= 2**0.5
    return rows


@lru_cache(maxsize=_MOST)
def _models(count: int) -> _Models:
    rows, white = _cosines(count), np.eye(count + 1)
    covariances, prior, memories = [white], [_PRIOR[0]], [0.0]
    distances = np.abs(np.subtract.outer(np.arange(BINS), np.arange(BINS))) / BINS
    for memory in _MEMORIES:
        shape = rows @ np.exp(-distances / memory) @ rows.T
        covariances += [shape / shape[1, 1] + level * white for level in _BESIDE_MEMORY]
        prior += [_PRIOR[1] / (len(_MEMORIES) * len(_BESIDE_MEMORY))] * len(_BESIDE_MEMORY)
        memories += [memory] * len(_BESIDE_MEMORY)
    edges = np.abs(np.subtract.outer(np.arange(BINS + 1), np.arange(BINS + 1))) / BINS
    nothing = np.zeros((count + 1, 1))
    differences = -np.diff(np.concatenate([nothing, rows, nothing], axis=1), axis=1)
    for memory in _DIFFERENCED:
        shape = differences @ np.exp(-edges / memory) @ differences.T
        shape *= count / np.trace(shape[1:, 1:])
        covariances += [shape + level * white for level in _BESIDE_DIFFERENCES]
        prior += [_PRIOR[2] / (len(_DIFFERENCED) * len(_BESIDE_DIFFERENCES))] * len(_BESIDE_DIFFERENCES)
    slow = np.array(memories + [0.0] * (len(prior) - len(memories))) >= _GOOD_PART
    logarithms, whole = np.log(np.array(prior) / sum(prior)), np.stack(covariances)
    precision, across = np.linalg.inv(whole[:, 1:, 1:]), whole[:, 0, 1:]
    slope = np.einsum("mk,mkl->ml", across, precision)
    rest = whole[:, 0, 0] - np.einsum("mk,mk->m", slope, across)
    return _Models(precision, np.linalg.slogdet(whole[:, 1:, 1:])[1], slope, rest, logarithms, slow)
