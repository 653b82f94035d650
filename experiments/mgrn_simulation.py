r"""Two simulated series whose best predictor is known: the simulation study of arXiv 2012.13121, section 4.1.

Each series i has seven latent parameters and one shock of its own, and both share the shock w_M:

y_i = alpha_i + beta_i G(w_M; uM_i, vM_i) + gamma_i G(w_i; u_i, v_i),  G(w; u, v) = w ((u^w + v^-w) / 4 + 1),

with w_M, w_i standard normal. alpha and the logarithms of the other six follow
p(t) = mu + 0.9 p(t-1) - 0.8 p(t-2) + 0.7 p(t-3) - 0.6 p(t-4) + 0.5 p(t-5) + 0.1 e(t), e standard normal.

A network sees both series and all 14 parameters of the last five steps and predicts 100 y_1 y_2 of the next
one. Given those five steps the next parameters are normal with known means, so that the expectation of the
target, the best predictor there is, has a closed form.
"""

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter, lfiltic

from attractor.errors import ConfigError

MEANS: dict[str, tuple[float, ...]] = {
    "IBM": (0.0686, 0.433, 1.0, 1.9335, 0.5216, 2.0673, 1.8113),
    "KO": (0.0219, 0.3828, 1.4783, 1.9378, 0.5759, 1.999, 1.6679),
    "BA": (-0.0223, 0.3276, 1.8424, 1.8344, 0.6043, 1.7252, 1.494),
    "CAT": (0.0653, 0.3882, 1.0, 1.9623, 0.5947, 1.9417, 1.663),
    "JNJ": (-0.0091, 0.343, 1.8771, 2.0107, 0.573, 2.1325, 1.7065),
    "PG": (0.0335, 0.3829, 1.375, 1.9521, 0.5998, 2.0163, 1.7129),
}
"""Long-run means of alpha, beta, uM, vM, gamma, u, v; the paper's table, with beta and gamma ten times."""

AUTOREGRESSION = np.array([0.9, -0.8, 0.7, -0.6, 0.5])
VARIANCE = 0.01
"""Variance of what one step adds to a parameter (or to its logarithm)."""
WINDOW = 5
_BURN_IN = 100
_SCALE = 100.0
_TAIL = 4.0


@dataclass(frozen=True)
class Simulation:
    """A simulated pair.

    Args:
        inputs: y, alpha, beta, uM, vM, gamma, u, v of the first series and then of the second, (time, 16).
        target: 100 y_1 y_2 of the *next* step, (time,).
        best: its expectation given the last five rows, (time,); the first four rows, which have no five, are
            NaN.
    """

    inputs: np.ndarray
    target: np.ndarray
    best: np.ndarray


def simulate_pair(first: str, second: str, length: int, seed: int = 0) -> Simulation:
    """A pair of series of `length` rows.

    Args:
        first: a name of `MEANS`.
        second: another, or the same.
        length: rows.
        seed: of all random numbers.

    Raises:
        ConfigError: an unknown name, or fewer rows than a window.
    """
    for name in (first, second):
        if name not in MEANS:
            raise ConfigError(f"unknown series {name!r}; known: {', '.join(MEANS)}")
    if length < WINDOW:
        raise ConfigError(f"length={length}: expected at least {WINDOW} rows, one window")
    generator = np.random.default_rng(seed)
    rows = length + 1 + _BURN_IN  # one more for the last target
    shared = generator.normal(size=rows)
    series, parameters, expected = [], [], []
    for name in (first, second):
        latent = _latent(MEANS[name], rows, generator)
        natural = _natural(latent)
        own = generator.normal(size=rows)
        series.append(_series(natural, shared, own))
        parameters.append(natural)
        expected.append(_next_means(MEANS[name], latent))
    inputs = np.vstack([np.vstack([one, own]) for one, own in zip(series, parameters, strict=True)]).T
    target = _SCALE * series[0] * series[1]
    kept = slice(_BURN_IN, _BURN_IN + length)
    best = _SCALE * expected_product(*(one[:, kept] for one in expected))
    best[: WINDOW - 1] = np.nan
    return Simulation(inputs[kept], target[_BURN_IN + 1 :], best)


def first_moment(mean: np.ndarray, variance: float) -> np.ndarray:
    """E[w u^w] for w standard normal and log u normal, independent: m (1-s2)^-3/2 exp(m^2 / (2 - 2 s2)).

    Args:
        mean: m, of log u.
        variance: s2, of log u, below 1.
    """
    return mean / (1 - variance) ** 1.5 * np.exp(mean**2 / (2 - 2 * variance))


def second_moment(mean: np.ndarray, variance: float) -> np.ndarray:
    """E[w^2 u^w], in the same notation: (1 + m^2 - s2) (1-s2)^-5/2 exp(m^2 / (2 - 2 s2))."""
    return (1 + mean**2 - variance) / (1 - variance) ** 2.5 * np.exp(mean**2 / (2 - 2 * variance))


def expected_product(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """E[y_1 y_2] where alpha and the logarithms of the other parameters are normal.

    Args:
        first: means of alpha, log beta, log uM, log vM, log gamma, log u, log v of the first series, of shape
            (7, time).
        second: the same of the second.
    """
    shift = VARIANCE / 2
    (alpha, beta, gamma), (other_alpha, other_beta, other_gamma) = (
        (one[0], np.exp(one[1] + shift), np.exp(one[4] + shift)) for one in (first, second)
    )
    shared, other_shared = _expected_shock(first[2:4]), _expected_shock(second[2:4])
    alone = alpha + gamma * _expected_shock(first[5:7])
    other_alone = other_alpha + other_gamma * _expected_shock(second[5:7])
    other_whole = other_alone + other_beta * other_shared
    together = _expected_shock_product(first[2:4], second[2:4])
    return alone * other_whole + beta * shared * other_alone + beta * other_beta * together


def _expected_shock(logarithms: np.ndarray) -> np.ndarray:
    """E[G(w; u, v)] from the means of log u and log v."""
    return (first_moment(logarithms[0], VARIANCE) + first_moment(-logarithms[1], VARIANCE)) / _TAIL


def _expected_shock_product(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """E[G(w; u_1, v_1) G(w; u_2, v_2)] with one w for both."""
    ones, others = (first[0], -first[1]), (second[0], -second[1])
    crossed = second_moment(np.array([one + other for one in ones for other in others]), 2 * VARIANCE)
    single = second_moment(np.array([*ones, *others]), VARIANCE)
    return crossed.sum(axis=0) / _TAIL**2 + single.sum(axis=0) / _TAIL + 1


def _constants(means: tuple[float, ...]) -> np.ndarray:
    """The constants mu of the seven processes."""
    natural = np.array(means)
    natural[[1, 4]] /= 10
    rest = 1 - AUTOREGRESSION.sum()
    return rest * np.concatenate([natural[:1], np.log(natural[1:])])


def _latent(means: tuple[float, ...], rows: int, generator: np.random.Generator) -> np.ndarray:
    """The latent alpha and the logarithms of the others, from their long-run means, (7, rows)."""
    constants = _constants(means)[:, None]
    driven = constants + np.sqrt(VARIANCE) * generator.normal(size=(len(means), rows))
    polynomial = np.concatenate([[1.0], -AUTOREGRESSION])
    start = constants / (1 - AUTOREGRESSION.sum()) * np.ones(len(AUTOREGRESSION))
    before = np.array([lfiltic([1.0], polynomial, past) for past in start])
    return lfilter([1.0], polynomial, driven, axis=1, zi=before)[0]


def _natural(latent: np.ndarray) -> np.ndarray:
    return np.vstack([latent[:1], np.exp(latent[1:])])


def _next_means(means: tuple[float, ...], latent: np.ndarray) -> np.ndarray:
    """Means of the next latent parameters given the last five; wrong in the first four columns."""
    history = lfilter(AUTOREGRESSION, [1.0], latent, axis=1)
    return _constants(means)[:, None] + history


def _series(natural: np.ndarray, shared: np.ndarray, own: np.ndarray) -> np.ndarray:
    alpha, beta, shared_up, shared_down, gamma, up, down = natural
    return alpha + beta * _shock(shared, shared_up, shared_down) + gamma * _shock(own, up, down)


def _shock(shock: np.ndarray, up: np.ndarray, down: np.ndarray) -> np.ndarray:
    return shock * ((up**shock + down**-shock) / _TAIL + 1)
