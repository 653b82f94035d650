"""How noise enters a step, as the regulariser needs it: a path without noise and a deviation on that path."""

from collections.abc import Callable
from math import sqrt
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from attractor.cells import CellLike, Lipschitz, State, StateNoise, name_of
from attractor.errors import ConfigError
from attractor.training.noise import NoisyState, floating

DeviationOf = Callable[[Array, State, State], State]
"""(input, old state, new state) -> deviation of the noise of this step, in the floating arrays of a state."""


@runtime_checkable
class Diffusion(Protocol):
    """The noise of one step of a cell."""

    @property
    def common(self) -> bool:
        """Whether one number disturbs all units."""
        ...

    def mean(self, old: State, new: State) -> State:
        """Where the step leads on average, the path of reference; `new` is the step without noise."""
        ...

    def deviation(self, cell: CellLike, input: Array, old: State, new: State) -> State:
        """Deviation of what is added to every floating array; `new` is again the step without noise."""
        ...


class _Centred(eqx.Module):
    """Noise that is independent for every unit and leaves the mean of a step where it is."""

    @property
    def common(self) -> bool:
        return False

    def mean(self, old: State, new: State) -> State:
        """The step itself."""
        del old
        return new


class _OfLevels(_Centred):
    """s_a + s_m (n - h), as in `NoisyState`."""

    noise: StateNoise = eqx.field(static=True)

    @property
    def common(self) -> bool:
        return self.noise.kind == "common"

    def deviation(self, cell: CellLike, input: Array, old: State, new: State) -> State:
        """Of the levels, whatever the cell."""
        del cell, input
        levels = self.noise
        return jax.tree.map(
            lambda h, n: levels.additive + levels.multiplicative * (n - h), floating(old), floating(new)
        )


class _OfWrapper(_OfLevels):
    """What a `NoisyState` does, with its factor and shares."""

    def deviation(self, cell: Any, input: Array, old: State, new: State) -> State:
        """Of the wrapper."""
        del input
        return cell.deviation(old, new)


class _OfLipschitz(_OfLevels):
    """sqrt(d) (s_a + s_m F), as F = (n - h) / d."""

    def deviation(self, cell: Any, input: Array, old: State, new: State) -> State:
        """Of the differential equation."""
        del input
        root = jnp.sqrt(cell.step)
        return root * self.noise.additive + self.noise.multiplicative / root * (new - old)


class _OfOfficial(_Centred):
    """s_a z in place of sqrt(d) s_a z, and a uniform factor of mean 1 - s_m / 2 in front of the drift."""

    noise: StateNoise = eqx.field(static=True)

    def mean(self, old: State, new: State) -> State:
        """The factor is below one on average: the path without noise is not that of the evaluation."""
        return old + (1 - self.noise.multiplicative / 2) * (new - old)

    def deviation(self, cell: CellLike, input: Array, old: State, new: State) -> State:
        """The root of the sum of two variances."""
        del cell, input
        moved = self.noise.multiplicative / sqrt(12.0) * (new - old)
        # Smooth as it stands with additive noise; without it the root of a square would have a kink at zero.
        return jnp.sqrt(self.noise.additive**2 + moved**2) if self.noise.additive else moved


class _FunctionDeviation(_Centred):
    """A deviation in the user's words; independent for every unit."""

    function: DeviationOf

    def deviation(self, cell: CellLike, input: Array, old: State, new: State) -> State:
        """What the function says."""
        del cell
        return self.function(input, old, new)


def diffusion_of(cell: CellLike, noise: StateNoise | DeviationOf | None) -> Diffusion:
    """The noise to reckon with.

    Args:
        cell: any cell.
        noise: levels, a function, or None for the noise that the cell has itself.

    Raises:
        ConfigError: None for a cell without noise of its own, or the kind "official" for another cell.
    """
    if noise is None:
        return _own(cell)
    if not isinstance(noise, StateNoise):
        return _FunctionDeviation(noise)
    if noise.kind == "official":
        raise ConfigError(
            "kind='official': only a Lipschitz cell has this noise; build the cell with it, noise=None"
        )
    return _OfLevels(noise)


def _own(cell: CellLike) -> Diffusion:
    if isinstance(cell, NoisyState):
        if _is_noisy(cell.cell):
            raise ConfigError("a cell with noise inside NoisyState: take one of the two noises away")
        return _OfWrapper(cell.noise)
    if isinstance(cell, Lipschitz):
        return _OfOfficial(cell.noise) if cell.noise.kind == "official" else _OfLipschitz(cell.noise)
    raise ConfigError(
        f"noise=None and {name_of(cell)} has no noise of its own: give noise=StateNoise(additive=...)"
    )


def _is_noisy(cell: CellLike) -> bool:
    levels = cell.noise if isinstance(cell, Lipschitz | NoisyState) else StateNoise()
    return levels.additive > 0 or levels.multiplicative > 0
