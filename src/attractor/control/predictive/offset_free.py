"""What the model does not know, as a constant on its outputs that is learned while the loop runs."""

import numpy as np
from jaxtyping import Float

from attractor.errors import ConfigError

from .problem import PerChannel, per_channel


class OutputDisturbance:
    r"""The output-disturbance model $\hat y = g(x) + d$, $d^+ = d + K_d (y - \hat y)$.

    At rest $y = \hat y$, so a target for $r - d$ is one of the plant itself: no offset, whatever the model
    gets wrong, as long as the loop is stable. White noise of standard deviation $\sigma$ on y shakes d with
    $\sigma \sqrt{K_d / (2 - K_d)}$. The first measurement sets d at once.

    Source: Pannocchia and Rawlings, AIChE Journal 49 (2003) 426; Maeder, Borrelli and Morari, Automatica 45
    (2009) 2214.

    Args:
        gain: the diagonal of $K_d$, from 0 (off) to 1 (all of the last error); one number or one per output.
        outputs: number of outputs.
    """

    def __init__(self, gain: PerChannel, outputs: int) -> None:
        self._gain = per_channel("offset gain", gain, outputs)
        if not ((self._gain >= 0) & (self._gain <= 1)).all():
            raise ConfigError(f"offset gain {gain}: expected numbers from 0 (off) to 1")
        self.reset()

    @property
    def value(self) -> Float[np.ndarray, " outputs"]:
        """d, scaled."""
        return self._value

    def reset(self) -> None:
        """Forget what was learned."""
        self._value, self._started = np.zeros(len(self._gain)), False

    def update(
        self, measured: Float[np.ndarray, " outputs"], modelled: Float[np.ndarray, " outputs"]
    ) -> Float[np.ndarray, " outputs"]:
        """Learn from one sample; returns d.

        Args:
            measured: y, scaled.
            modelled: g(x), scaled.
        """
        gain = self._gain if self._started else np.where(self._gain > 0, 1.0, 0.0)
        self._value = self._value + gain * (measured - modelled - self._value)
        self._started = True
        return self._value
