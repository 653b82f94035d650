"""What every observer can do, and what it may promise."""

from dataclasses import dataclass
from math import ceil, log
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from attractor.errors import ConfigError


@dataclass(frozen=True)
class Convergence:
    """How fast the error of an estimate vanishes, measured by its largest component.

    |e(k)| <= amplification * rate^k |e(0)| + gain_from_noise * (largest measurement error), where e is the
    true state of the model minus its estimate, and the plant is the model.

    Args:
        rate: contraction of the error a sample; None where none is proved.
        guaranteed: whether the bound is proved for inputs within the bound it was asked for.
        text: the statement in words for the user.
        gain_from_noise: largest lasting error of a state per unit of measurement error (scaled units); None
            where none is proved.
        amplification: largest factor by which the error may grow before it shrinks; None if not known.
        exact_after: samples after which the error is zero without noise; None if it only shrinks.
        weights: w, if max |e_i| / w_i shrinks by `rate` at every single sample; None for another norm.
    """

    rate: float | None
    guaranteed: bool
    text: str
    gain_from_noise: float | None = None
    amplification: float | None = 1.0
    exact_after: int | None = None
    weights: tuple[float, ...] | None = None

    def settling_steps(self, tolerance: float) -> int | None:
        """Samples after which the error is proved to be below `tolerance` times its first value.

        Returns:
            A number of samples; None where nothing is proved.

        Raises:
            ConfigError: a tolerance outside (0, 1).
        """
        if not 0 < tolerance < 1:
            raise ConfigError(f"tolerance={tolerance}: expected a share between 0 and 1")
        if self.exact_after is not None:
            return self.exact_after
        if not self.guaranteed or self.rate is None or self.amplification is None:
            return None
        if self.rate <= 0:
            return 1
        return max(0, ceil(log(tolerance / self.amplification) / log(self.rate)))


@runtime_checkable
class Observer(Protocol):
    """Estimates the state of a `ControlModel` from what was applied and what was measured.

    At sample k it takes the scaled input u(k) and the scaled output y(k) and gives the estimate of x(k+1).
    """

    def start(self, state: Float[np.ndarray, " states"]) -> None:
        """Begin anew from an estimate of the flat state."""
        ...

    def update(
        self, given: Float[np.ndarray, " inputs"], measured: Float[np.ndarray, " outputs"]
    ) -> Float[np.ndarray, " states"]:
        """Take u(k) and y(k), and return the estimate of x(k+1)."""
        ...

    @property
    def estimate(self) -> Float[np.ndarray, " states"]:
        """The newest estimate of the flat state."""
        ...

    @property
    def statement(self) -> Convergence:
        """What is proved about the error."""
        ...
