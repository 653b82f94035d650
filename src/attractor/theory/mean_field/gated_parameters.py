"""The parameters of a gated random network that its mean-field theory needs."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import numpy as np
from jaxtyping import Float
from scipy.special import expit

from attractor.cells import GatedForm
from attractor.errors import ConfigError, InputDataError


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

    update_gain: float | int = 0.0
    reset_gain: float | int = 0.0
    input_deviation: float | int = 0.0
    input_covariance: Callable | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.input_deviation < inf:
            message = f"input_deviation={self.input_deviation}: expected at least 0"
            raise ConfigError(message)
        driven = self.input_deviation > 0 or self.input_covariance is not None
        if driven and self.input_mode != "gated" and not self.open_update:
            message = f"input_mode={self.input_mode!r}: the theory is that of inputs behind the update gate"
            raise ConfigError(message)

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
    """1 / (1 + exp(-b))."""
    return float(expit(bias))
