"""The parameters of a gated random network that its mean-field theory needs."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from math import exp, isfinite

import numpy as np
from jaxtyping import Float

from attractor.errors import ConfigError, InputDataError

_NOT_NEGATIVE = ("gain", "update_gain", "reset_gain", "input_deviation")
_POSITIVE = ("update_time", "reset_time")


@dataclass(frozen=True)
class GatedParameters:
    r"""A large random network with an update gate z and a reset gate r on its couplings.

    $$\dot h = s_z(z) \left(-h + J_h (\phi(h) \odot s_r(r)) + I\right), \quad
    \tau_z \dot z = -z + J_z \phi(h), \quad \tau_r \dot r = -r + J_r \phi(h)$$

    with $\phi(x) = \tanh(g x + b)$, $s_a(x) = 1 / (1 + e^{-(\alpha_a x + b_a)})$ and independent weights of
    variance 1 / N. A larger bias opens a gate. Source: Krishnamurthy, Can and Schwab, arXiv 2007.14823.

    Args:
        gain: g.
        update_gain: alpha_z; with 0 the update gate is a constant and the theory has a closed form.
        reset_gain: alpha_r.
        bias: b, inside the activation.
        update_bias: b_z.
        reset_bias: b_r.
        update_time: tau_z.
        reset_time: tau_r.
        open_update: whether s_z = 1, no update gate.
        open_reset: whether s_r = 1, no reset gate; with both the network is that of Sompolinsky, Crisanti
            and Sommers 1988.
        input_deviation: standard deviation over units of an input that is constant in time.
        input_covariance: of a further, changing input, as a function of an array of lags; see
            `SampledCovariance` and `input_covariance_of`.

    Raises:
        ConfigError: a value that is not finite, negative, or a time that is not positive.
    """

    gain: float | int = 1.5
    update_gain: float | int = 0.0
    reset_gain: float | int = 0.0
    bias: float | int = 0.0
    update_bias: float | int = 0.0
    reset_bias: float | int = 0.0
    update_time: float | int = 1.0
    reset_time: float | int = 1.0
    open_update: bool = False
    open_reset: bool = False
    input_deviation: float | int = 0.0
    input_covariance: Callable | None = None

    def __post_init__(self) -> None:
        numbers = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "input_covariance"}
        for name, value in numbers.items():
            least = "at least 0" if name in _NOT_NEGATIVE else "above 0" if name in _POSITIVE else ""
            low = (least == "at least 0" and value < 0) or (least == "above 0" and value <= 0)
            if not isfinite(value) or low:
                message = f"{name}={value}: expected a finite number {least}".rstrip()
                raise ConfigError(message)

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

    def input_at(self, lags: Float[np.ndarray, " lags"]) -> Float[np.ndarray, " lags"]:
        """The covariance of the whole input at lags.

        Raises:
            InputDataError: an `input_covariance` that does not give one finite number for every lag.
        """
        static = np.full(len(lags), float(self.input_deviation) ** 2)
        if self.input_covariance is None:
            return static
        changing = np.asarray(self.input_covariance(lags), np.float64)
        if changing.shape != lags.shape or not np.all(np.isfinite(changing)):
            message = (
                f"input_covariance: for {len(lags)} lags it gave an array of shape {changing.shape}; "
                "expected one finite number for every lag"
            )
            raise InputDataError(message)
        return static + changing

    @property
    def resting_update(self) -> float:
        """s_z(0)."""
        return 1.0 if self.open_update else opening(self.update_bias)

    @property
    def resting_reset(self) -> float:
        """s_r(0)."""
        return 1.0 if self.open_reset else opening(self.reset_bias)


def opening(bias: float | int) -> float:
    """1 / (1 + exp(-b)) without overflow."""
    return 1 / (1 + exp(-bias)) if bias >= 0 else exp(bias) / (1 + exp(bias))
