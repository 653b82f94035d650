"""A plain function as a cell."""

from collections.abc import Callable
from inspect import signature

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, PRNGKeyArray, PyTree

from attractor.errors import CellError, ConfigError

from .contract import State, check_key, takes_key

_NUMBERS = (jax.Array, np.ndarray, np.generic, bool, int, float, complex)


class FunctionCell(eqx.Module):
    """state' = step(input, state), or step(weights, input, state); made by `cell`.

    Args:
        initial: the state a sequence starts from.
        weights: what is trained; None if the function has none.
        step: the function.
        input_size: length of the input vector.
        show: what a read-out may see of a state; None shows a state of one vector whole.
    """

    initial: State
    weights: PyTree
    step: Callable[..., State] = eqx.field(static=True)
    input_size: int = eqx.field(static=True)
    show: Callable[[State], Array] | None = eqx.field(static=True, default=None)

    @property
    def name(self) -> str:
        """Name of the function."""
        return _name(self.step)

    @property
    def takes_noise(self) -> bool:
        """Whether the function has an argument `key`."""
        return takes_key(self.step)

    def initial_state(self) -> State:
        """The state a sequence starts from; it is not trained."""
        return jax.tree.map(jax.lax.stop_gradient, self.initial)

    def exposed(self, state: State) -> PyTree:
        """What a read-out may see: all of it where nothing else was said."""
        return state if self.show is None else self.show(state)

    def __call__(self, input: Array, state: State, *, key: PRNGKeyArray | None = None) -> State:
        """One step."""
        noise = {"key": key} if key is not None and self.takes_noise else {}
        arguments = (input, state) if self.weights is None else (self.weights, input, state)
        return self.step(*arguments, **noise)


def cell(
    step: Callable[..., State],
    input_size: int,
    initial: State | ArrayLike,
    *,
    weights: PyTree = None,
    exposed: Callable[[State], Array] | None = None,
) -> FunctionCell:
    """A cell made of a function, for every reading.

    Args:
        step: `step(input, state) -> state`, or `step(weights, input, state) -> state` with `weights`. It may
            take a `key` for noise. What it closes over is constant.
        input_size: length of the input vector.
        initial: the state a sequence starts from: an array, or a pytree of arrays.
        weights: a pytree of arrays to be trained.
        exposed: `exposed(state) -> vector`, what a read-out may see; needed for states of several arrays.

    Raises:
        CellError: the step asks for a key without a default, or for other arguments.
        ConfigError: the step is no function or a module with arrays, the number of inputs no whole number of
            at least 0, or the start no tree of arrays.

    Example:
        >>> import attractor, jax.numpy as jnp
        >>> leaky = attractor.cell(lambda input, state: 0.9 * state + 0.1 * jnp.tanh(input), 2, jnp.zeros(2))
        >>> attractor.unroll(leaky, jnp.ones((5, 2))).states.shape
        (5, 2)
    """
    if not callable(step):
        raise ConfigError(f"step={step!r}: expected a function step(input, state) -> state")
    if any(eqx.is_array(leaf) for leaf in jax.tree.leaves(step)):
        raise ConfigError(
            f"step={type(step).__name__}, a module with arrays; write attractor.cell(lambda module, input, "
            "state: module(input, state), ..., weights=module)"
        )
    check_key(step, _name(step))
    _check_arguments(step, weights)
    if not isinstance(input_size, int) or isinstance(input_size, bool) or input_size < 0:
        raise ConfigError(f"input_size={input_size!r}: expected a whole number of at least 0")
    if not all(_is_numbers(leaf) for leaf in jax.tree.leaves(initial)):
        raise ConfigError(f"initial={initial!r}: expected an array, or a tree of arrays")
    return FunctionCell(jax.tree.map(jnp.asarray, initial), weights, step, input_size, exposed)


def _name(step: object) -> str:
    return getattr(step, "__name__", type(step).__name__)


def _is_numbers(leaf: object) -> bool:
    return isinstance(leaf, _NUMBERS) and getattr(leaf, "dtype", np.dtype(float)) != np.dtype(object)


def _check_arguments(step: Callable[..., State], weights: PyTree) -> None:
    """Refuse a step that cannot be called with what it will be called with."""
    given = 2 if weights is None else 3
    try:
        signature(step).bind(*[None] * given)
    except ValueError:  # without a signature: the call will tell
        return
    except TypeError as problem:
        called = "step(input, state)" if weights is None else "step(weights, input, state)"
        raise CellError(
            f"the step of {_name(step)} cannot be called as {called}: {problem}; a step of three arguments "
            "needs `weights=`, one of two must do without"
        ) from problem
