"""What can be asked of the slopes of a function: monotone in an input, limited in how fast it changes.

Slopes are those of the function as it is written: derivatives of a user's own (`jax.custom_jvp`,
`stop_gradient`) are left out. A function that may jump has none that tell, and is refused.
"""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from attractor.errors import ConfigError, ShapeError, UnsupportedError
from attractor.program import double_precision, trace
from attractor.program.walk import apply, bound, forward, results

from ..dual.lowering import network_of
from .proof import Excess
from .specifications import Function, Specification, flat_outputs

_JUMPS = {"positive", "not_negative", "is_zero"}


@dataclass(frozen=True)
class Monotone(Specification):
    """An output never falls (or never rises) while one input grows and all others stay.

    What is proved is the sign of the slope, of the function as it is written: derivatives of a user's own
    (`jax.custom_jvp`, `stop_gradient`) are left out. A function that may jump has no slope that tells, and is
    refused.

    Args:
        input: number of the input, row by row.
        rising: whether the output must not fall; else it must not rise.
        outputs: which outputs are meant; all if empty.
    """

    input: int
    rising: bool = True
    outputs: tuple[int, ...] = ()

    @property
    def of_slopes(self) -> bool:
        """Yes."""
        return True

    def check(self, function: Function, like: np.ndarray) -> None:
        """Refuse a function that may jump, and an input that is none."""
        if not 0 <= self.input < like.size:
            raise ShapeError(f"input {self.input} of {like.size}; count from 0")
        _check_continuous(function, like)

    def excess(self, function: Function) -> Excess:
        """The slopes, of the other sign."""

        def quantities(inputs: Array) -> Array:
            direction = jnp.zeros(inputs.size, inputs.dtype).at[self.input].set(1.0).reshape(inputs.shape)
            values, slopes = jax.jvp(_written_out(function, inputs), (inputs,), (direction,))
            slopes = slopes + 0.0 * values  # no number where the function has none, though its slope be one
            slopes = slopes[jnp.asarray(self.outputs)] if self.outputs else slopes
            return -slopes if self.rising else slopes

        return quantities

    def __str__(self) -> str:
        """Which way."""
        what = f"outputs {', '.join(map(str, self.outputs))}" if self.outputs else "outputs"
        return f"{what} never {'fall' if self.rising else 'rise'} while input {self.input} grows"


@dataclass(frozen=True)
class Lipschitz(Specification):
    """Outputs change at most so many times as much as inputs.

    Proved by the slopes, as `Monotone` is.

    Args:
        most: change of an output for a change of the inputs of size one.
        norm: size of a change of the inputs: "largest" of any of them, or "euclidean" over all.
    """

    most: float | int
    norm: Literal["largest", "euclidean"] = "largest"

    def __post_init__(self) -> None:
        if not self.most >= 0:
            raise ConfigError(f"most={self.most}: expected a number of at least 0")
        if self.norm not in ("largest", "euclidean"):
            raise ConfigError(f"norm={self.norm!r}: expected 'largest' or 'euclidean'")

    @property
    def of_slopes(self) -> bool:
        """Yes."""
        return True

    def check(self, function: Function, like: np.ndarray) -> None:
        """Refuse a function that may jump."""
        _check_continuous(function, like)

    def excess(self, function: Function) -> Excess:
        """The size of the slopes of every output, less what is allowed."""

        def quantities(inputs: Array) -> Array:
            written = _written_out(function, inputs)
            slopes = jax.jacfwd(lambda flat: written(flat.reshape(inputs.shape)))(inputs.ravel())
            slopes = slopes + 0.0 * written(inputs)[:, None]  # no number where the function has none
            if self.norm == "euclidean":
                return jnp.sum(slopes**2, axis=1) - self.most * self.most
            return jnp.sum(jnp.maximum(slopes, -slopes), axis=1) - self.most

        return quantities

    def __str__(self) -> str:
        """How much."""
        size = "the largest change" if self.norm == "largest" else "the Euclidean size of the change"
        return f"no output changes by more than {self.most:.6g} times {size} of the inputs"


def _written_out(function: Function, like: Array) -> Function:
    """The function as its bare program, flat: no derivative that a user has written counts."""
    program = trace(
        lambda inputs: flat_outputs(function, inputs), jax.ShapeDtypeStruct(like.shape, like.dtype)
    )

    def run(inputs: Array) -> Array:
        known = bound(program.jaxpr, program.constants, [inputs])
        values = forward(program.jaxpr, known, lambda equation, own: apply(program.jaxpr, equation, own))
        return results(program.jaxpr, values)[0]

    return run


def _check_continuous(function: Function, like: np.ndarray) -> None:
    with double_precision():
        network = network_of(trace(lambda inputs: flat_outputs(function, inputs), jnp.asarray(like)))
    for node in network.nodes:
        if node.function in _JUMPS:
            raise UnsupportedError(
                f"the function may jump ({node.what}), so that its slopes do not tell how it changes; write "
                "it with maxima and minima in place of choices, or ask for a band"
            )
