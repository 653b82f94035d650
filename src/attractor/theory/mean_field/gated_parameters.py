"""The parameters of a gated random network that its mean-field theory needs, and its input's covariance."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import expit

from attractor.cells import GatedForm
from attractor.errors import ConfigError, InputDataError, ShapeError, UnsupportedError
from attractor.settings import NonNegative, Positive, Settings

from .gaussian import Function, Lags, activation, gate

_LONGEST = 100.0


@dataclass(frozen=True)
class GatedParameters(GatedForm):
    r"""A large random network with an update gate z and a reset gate r on its couplings, and its input.

    $$\dot h = s_z(z) \left(-h + J_h (\phi(h) \odot s_r(r)) + I\right), \quad
    \tau_z \dot z = -z + J_z \phi(h), \quad \tau_r \dot r = -r + J_r \phi(h)$$

    with $\phi(x) = \tanh(g x + b)$, $s_a(x) = 1 / (1 + e^{-(\alpha_a x + b_a)})$ and independent weights of
    variance 1 / N. Source: Krishnamurthy, Can and Schwab, arXiv 2007.14823; with both gates open the network
    is that of Sompolinsky, Crisanti and Sommers 1988. With an update gain of 0, as here unless said
    otherwise, the update gate is a constant and the theory has a closed form.

    Args:
        gain: as the others before the inputs, see `attractor.cells.GatedForm`.
        input_deviation: standard deviation over units of an input that is constant in time.
        input_covariance: of a further, changing input, as a function of an array of lags; see
            `SampledCovariance` and `input_covariance_of`.

    Raises:
        ConfigError: a value outside its range, or an input that does not pass the update gate where that
            gate is not open.
    """

    update_gain: NonNegative = 0.0
    reset_gain: NonNegative = 0.0
    input_deviation: NonNegative = 0.0
    input_covariance: Callable | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        driven = self.input_deviation > 0 or self.input_covariance is not None
        if driven and self.input_mode != "gated" and not self.open_update:
            raise ConfigError(
                f"input_mode={self.input_mode!r}: the theory is that of inputs behind the update gate"
            )

    @classmethod
    def of(cls, form: GatedForm, input_deviation: float | int = 0.0) -> "GatedParameters":
        """The parameters of a network, under an input that is constant in time."""
        return cls(**vars(form), input_deviation=input_deviation)

    @property
    def autonomous(self) -> bool:
        """Whether neither input nor bias drives the network, so that zero is a fixed point."""
        return self.bias == 0 and self.input_deviation == 0 and self.input_covariance is None

    @property
    def constant_update(self) -> bool:
        """Whether the update gate has one value for all units and times."""
        return self.open_update or self.update_gain == 0

    @property
    def constant_reset(self) -> bool:
        """Whether the reset gate has one value for all units and times."""
        return self.open_reset or self.reset_gain == 0

    def input_at(self, lags: Lags) -> Lags:
        """The covariance of the whole input at lags.

        Raises:
            InputDataError: an `input_covariance` that does not give one finite number for every lag.
        """
        static = np.full(len(lags), self.input_deviation**2)
        if self.input_covariance is None:
            return static
        changing = np.asarray(self.input_covariance(lags), np.float64)
        if changing.shape != lags.shape or not np.all(np.isfinite(changing)):
            raise InputDataError(
                f"input_covariance: for {len(lags)} lags it gave an array of shape {changing.shape}; "
                "expected one finite number for every lag"
            )
        return static + changing

    @property
    def resting_update(self) -> float:
        """s_z(0)."""
        return 1.0 if self.open_update else float(expit(self.update_bias))

    @property
    def resting_reset(self) -> float:
        """s_r(0)."""
        return 1.0 if self.open_reset else float(expit(self.reset_bias))

    @property
    def activation(self) -> Function:
        """phi, as a function of x = g h."""
        return activation(self.bias)

    @property
    def reset_gate(self) -> Function:
        """s_r, as a function of r."""
        rest = self.resting_reset
        if self.constant_reset:
            return Function(lambda r: np.full_like(r, rest), np.zeros_like)
        return gate(self.reset_gain, self.reset_bias)


def check_autonomous(parameters: GatedParameters, *, any_update: bool = False) -> None:
    """Refuse an input or a bias of the activation, and an update gate that changes unless any will do.

    Raises:
        UnsupportedError: what is refused.
    """
    if not (any_update or parameters.constant_update):
        raise UnsupportedError(
            f"update_gain={parameters.update_gain}: known for a constant update gate only; take open_update, "
            "or a gain of 0, or sample with `sample_correlators`"
        )
    if not parameters.autonomous:
        raise UnsupportedError("an input or a bias of the activation is set: known without them only")


@dataclass(frozen=True, eq=False)
class SampledCovariance(Settings):
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

    step: Positive
    values: Float[np.ndarray, " samples"]
    static: NonNegative = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not np.all(np.isfinite(self.values)) or np.any(np.abs(self.values) > self.values[0] * (1 + 1e-9)):
            raise InputDataError("values: a covariance is finite and nowhere larger than at lag 0")

    @property
    def longest(self) -> float:
        """The lag from which the changing part is zero."""
        return self.step * len(self.values)

    def __call__(self, lags: Lags) -> Lags:
        """The covariance at lags."""
        known = np.append(np.arange(len(self.values)) * self.step, self.longest)
        return np.interp(lags, known, np.append(self.values, 0.0)) + self.static


def input_covariance_of(
    data: Float[np.ndarray, "time channels"] | Sequence[Float[np.ndarray, "_ channels"]],
    *,
    step: float | int,
    weight_deviation: float | int = 1.0,
    longest: int | None = None,
) -> SampledCovariance:
    r"""The covariance of the input current $I_i = \sum_k U_{ik} x_k$ of data, for random input weights.

    With independent U of standard deviation w the units see Gaussian currents of covariance

    $$C_I(l) = w^2 \sum_k \langle x_k(t)\, x_k(t + l) \rangle$$

    so that doubling the input weights makes it four times as large. The mean of each sequence becomes the
    static part. Estimates at long lags are noise; they are tapered in a straight line to the longest
    lag, which leaves a covariance a covariance.

    Args:
        data: one sequence, or several of different lengths; the channels as the network is given them.
        step: time of one sample in units of the network's time.
        weight_deviation: w.
        longest: samples to the longest lag; when None a quarter of the longest sequence, but no more than
            100 units of time.

    Raises:
        InputDataError: no data, or a value that is not finite; its index is named.
        ShapeError: sequences with different channels.
        ConfigError: a negative standard deviation, a step that is not positive, or a longest lag below one.

    Example:
        >>> slow = np.sin(np.arange(400) / 20)[:, None]
        >>> round(float(input_covariance_of(slow, step=0.1)(np.zeros(1))[0]), 1)
        0.5
    """
    cases = _checked([data] if isinstance(data, np.ndarray) else list(data))
    usual = min(max(map(len, cases)) // 4, round(_LONGEST / step)) if step > 0 else 1
    lags = max(usual, 1) if longest is None else longest
    if not 0 <= weight_deviation < np.inf or lags < 1:
        raise ConfigError(
            f"weight_deviation={weight_deviation}, longest={longest}: expected at least 0, and 1 or more"
        )
    total, square = sum(map(len, cases)), float(weight_deviation) ** 2
    static = sum(len(case) * float(np.sum(case.mean(axis=0) ** 2)) for case in cases) / total
    size = 2 * max(*map(len, cases), lags)  # of Fourier transforms, whose powers give products at all lags
    power = np.zeros(size // 2 + 1)
    for case in cases:
        power += np.sum(np.abs(np.fft.rfft(case - case.mean(axis=0), size, axis=0)) ** 2, axis=1)
    products = np.fft.irfft(power, size)[:lags] / total
    taper = 1 - np.arange(lags) / lags
    return SampledCovariance(step, square * taper * products, square * static)


def _checked(cases: list[np.ndarray]) -> list[np.ndarray]:
    if not cases or not all(len(case) for case in cases):
        raise InputDataError("data: expected at least one sequence, and no empty one")
    for k, case in enumerate(cases):
        if case.ndim != 2 or case.shape[1] != cases[0].shape[-1]:
            raise ShapeError(f"sequence {k} has shape {case.shape}; expected (time, {cases[0].shape[-1]})")
        bad = np.argwhere(~np.isfinite(case))
        if len(bad):
            raise InputDataError(f"sequence {k}, step {bad[0][0]}, channel {bad[0][1]}: not a finite number")
    return [np.asarray(case, np.float64) for case in cases]
