"""The covariance in time of the current that data send into a random network."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from attractor.errors import ConfigError, InputDataError, ShapeError

_LONGEST = 100.0


@dataclass(frozen=True, eq=False)
class SampledCovariance:
    """A covariance as a function of the lag, from samples; straight between them, zero beyond the last.

    Straight lines are exact for an input that is held constant between samples.

    Args:
        step: time between samples, in units of the network's time.
        values: at lags 0, step, 2 step, ...; the static part not included.
        static: what is added at all lags, from means that do not change.

    Raises:
        ConfigError: a step that is not positive, or a static part that is negative.
        InputDataError: values that are no covariance: not finite, or larger than at lag 0.
    """

    step: float | int
    values: Float[np.ndarray, " samples"]
    static: float | int = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.step < np.inf or not 0 <= self.static < np.inf:
            message = f"step={self.step}, static={self.static}: expected a positive step and at least 0"
            raise ConfigError(message)
        if not np.all(np.isfinite(self.values)) or np.any(np.abs(self.values) > self.values[0] * (1 + 1e-9)):
            message = "values: a covariance is finite and nowhere larger than at lag 0"
            raise InputDataError(message)

    @property
    def longest(self) -> float:
        """The lag from which the changing part is zero."""
        return float(self.step) * len(self.values)

    def __call__(self, lags: Float[np.ndarray, " lags"]) -> Float[np.ndarray, " lags"]:
        """The covariance at lags."""
        known = np.append(np.arange(len(self.values)) * float(self.step), self.longest)
        return np.interp(lags, known, np.append(self.values, 0.0)) + self.static


def input_covariance_of(
    data: Float[np.ndarray, "time channels"] | Sequence[Float[np.ndarray, "_ channels"]],
    *,
    step: float | int,
    weight_deviation: float | int = 1.0,
    longest: int | None = None,
) -> SampledCovariance:
    r"""The covariance of the input current $I_i = \sum_k U_{ik} x_k$ of data, for random input weights.

    With independent U of deviation w the units see Gaussian currents of covariance

    $$C_I(l) = w^2 \sum_k \langle x_k(t)\, x_k(t + l) \rangle$$

    so that doubling the input weights makes it four times as large. The mean of each sequence becomes the
    static part. Estimates at long lags are noise; they are weighed down in a straight line to the longest
    lag, which leaves a covariance a covariance.

    Args:
        data: one sequence, or several of different lengths; the channels as the network is given them.
        step: time of one sample in units of the network's time.
        weight_deviation: w.
        longest: samples to the longest lag; when None a quarter of the longest sequence, but no more than
            100 units of time.

    Raises:
        InputDataError: no data, or a value that is not finite; the place is named.
        ShapeError: sequences with different channels.
        ConfigError: a negative deviation, a step that is not positive, or a longest lag below one.

    Example:
        >>> slow = np.sin(np.arange(400) / 20)[:, None]
        >>> round(float(input_covariance_of(slow, step=0.1)(np.zeros(1))[0]), 1)
        0.5
    """
    cases = _checked([data] if isinstance(data, np.ndarray) else list(data))
    usual = min(max(map(len, cases)) // 4, round(_LONGEST / step)) if step > 0 else 1
    lags = max(usual, 1) if longest is None else longest
    if not 0 <= weight_deviation < np.inf or lags < 1:
        message = (
            f"weight_deviation={weight_deviation}, longest={longest}: expected at least 0, and 1 or more"
        )
        raise ConfigError(message)
    total, square = sum(map(len, cases)), float(weight_deviation) ** 2
    static = sum(len(case) * float(np.sum(case.mean(axis=0) ** 2)) for case in cases) / total
    products = sum(_products(case - case.mean(axis=0), lags) for case in cases) / total
    taper = 1 - np.arange(lags) / lags
    return SampledCovariance(step, square * taper * products, square * static)


def _checked(cases: list[np.ndarray]) -> list[np.ndarray]:
    if not cases or not all(len(case) for case in cases):
        message = "data: expected at least one sequence, and no empty one"
        raise InputDataError(message)
    for k, case in enumerate(cases):
        if case.ndim != 2 or case.shape[1] != cases[0].shape[-1]:
            message = f"sequence {k} has shape {case.shape}; expected (time, {cases[0].shape[-1]})"
            raise ShapeError(message)
        bad = np.argwhere(~np.isfinite(case))
        if len(bad):
            message = f"sequence {k}, step {bad[0][0]}, channel {bad[0][1]}: not a finite number"
            raise InputDataError(message)
    return [np.asarray(case, np.float64) for case in cases]


def _products(values: Float[np.ndarray, "time channels"], lags: int) -> Float[np.ndarray, " lags"]:
    """Sums of products at lags 0, 1, ..., over time and channels, by the Fourier transform."""
    size = 2 * max(len(values), lags)
    power = np.abs(np.fft.rfft(values, size, axis=0)) ** 2
    return np.fft.irfft(power.sum(axis=1), size)[:lags]
