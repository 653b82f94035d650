"""The one form of a step that exports start from: a vector state, a vector input, straight-line code."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from attractor.cells import initial_state
from attractor.errors import ConfigError
from attractor.program import Program, in_double_precision, trace


@dataclass(frozen=True)
class StepFunction:
    """A bare update equation `function(input, state) -> state'`, for exports that take a cell.

    Args:
        function: one step; what it closes over is exported as constants.
        input_size: length of the input vector.
        initial: the state a sequence starts from, any pytree of arrays.
    """

    function: Callable[[Array, Any], Any]
    input_size: int
    initial: Any

    def __call__(self, input: Array, state: Any) -> Any:
        """One step."""
        return self.function(input, state)

    def initial_state(self) -> Any:
        """The state a sequence starts from."""
        return self.initial


@dataclass(frozen=True)
class FlatStep:
    """x' = f(u, x) and, where there is an output, y = g(x), as programs of vectors.

    A state of several arrays is their entries one after the other, in the order in which JAX flattens the
    pytree, each array row by row.

    Args:
        step: program of f, with the arguments (u, x).
        output: program of g, with the argument x; None without an output.
        initial: the state a sequence starts from.
        input_size: length of u.
    """

    step: Program
    output: Program | None
    initial: Float[np.ndarray, " states"]
    input_size: int

    @property
    def state_size(self) -> int:
        """Length of x."""
        return len(self.initial)

    @property
    def output_size(self) -> int:
        """Length of y; 0 without an output."""
        return 0 if self.output is None else self.output.output_shapes[0][0]


def flat_step(
    source: Any, *, read: Callable[[Any], Array] | None = None, single_precision: bool = False
) -> FlatStep:
    """The flat step of a cell or of a plant network.

    Args:
        source: any cell, a `StepFunction`, or a network with a `cell` and a `read` (its output is exported).
        read: an output of the state of a cell.
        single_precision: trace in float32 instead of float64; then interpret outside of
            `jax.enable_x64(True)`.

    Raises:
        ConfigError: neither a cell nor a network.
    """
    with jax.enable_x64(not single_precision):
        source = _single_precision(source) if single_precision else in_double_precision(source)
        cell, read = _parts(source, read)
        dtype = jnp.float32 if single_precision else jnp.float64
        initial, restore = _flattened(initial_state(cell), dtype)
        given = jnp.zeros(cell.input_size, dtype)

        def step(given: Array, state: Array) -> Array:
            return ravel_pytree(cell(given, restore(state)))[0].astype(dtype)

        program = trace(step, given, initial)
        output = None
        if read is not None:
            output = trace(lambda state: jnp.ravel(read(restore(state))).astype(dtype), initial)
        return FlatStep(program, output, np.asarray(initial), cell.input_size)


def _parts(source: Any, read: Callable[[Any], Array] | None) -> tuple[Any, Callable[[Any], Array] | None]:
    """The cell and the output."""
    if hasattr(source, "input_size"):
        return source, read
    if hasattr(source, "cell") and hasattr(source, "read"):
        return source.cell, read or source.read
    message = (
        f"cannot export {type(source).__name__}: expected a cell (with `input_size`), a network with `cell` "
        "and `read`, or a StepFunction around an update equation"
    )
    raise ConfigError(message)


def _flattened(state: Any, dtype: Any) -> tuple[Array, Callable[[Array], Any]]:
    """A state as a vector, and the way back; whole numbers and flags keep their types."""
    leaves, structure = jax.tree.flatten(state)
    leaves = [_of_type(jnp.asarray(leaf), dtype) for leaf in leaves]
    ends = np.cumsum([leaf.size for leaf in leaves])[:-1]

    def restore(vector: Array) -> Any:
        parts = jnp.split(vector, ends) if len(leaves) > 1 else [vector]
        shaped = [
            part.reshape(leaf.shape).astype(leaf.dtype) for part, leaf in zip(parts, leaves, strict=True)
        ]
        return jax.tree.unflatten(structure, shaped)

    return jnp.concatenate([leaf.ravel().astype(dtype) for leaf in leaves]), restore


def _of_type(leaf: Array, dtype: Any) -> Array:
    return leaf.astype(dtype) if eqx.is_inexact_array(leaf) else leaf


def _single_precision(module: Any) -> Any:
    def narrow(leaf: Any) -> Any:
        return jnp.asarray(leaf, jnp.float32) if eqx.is_inexact_array(leaf) else leaf

    return jax.tree.map(narrow, module)


def deviation(found: np.ndarray, wanted: np.ndarray) -> float:
    """The largest |found - wanted| / (1 + |wanted|); infinite if they are not finite at the same places."""
    finite = np.isfinite(wanted)
    if found.shape != wanted.shape or not np.array_equal(np.isfinite(found), finite):
        return float("inf")
    found, wanted = found[finite], wanted[finite]
    return float(np.max(np.abs(found - wanted) / (1 + np.abs(wanted)), initial=0.0))
