"""The one contract of the house: a recurrent network is a map `state' = cell(input, state)`.

A cell is an Equinox module for one unbatched step. Everything else (running, differentiating, disturbing,
linearising, bounding, exporting) is a reading of that call. The functions below ask a cell for the rest of
the contract and know the answers for `equinox.nn.GRUCell` and `equinox.nn.LSTMCell`, which are cells as they
stand.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from inspect import Parameter, isfunction, signature
from math import prod
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeGuard

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from attractor.errors import CellError, ConfigError, ShapeError, UnsupportedError

from .arguments import how_to_wrap

State = PyTree
"""Any pytree of arrays."""
Input = Float[Array, " inputs"]
Hidden = Float[Array, " hidden"]
"""A vector of `hidden_size` numbers, the whole state of many cells."""


if TYPE_CHECKING:

    class CellLike(Protocol):
        """A `Cell`, a cell of Equinox, or any other module or function `(input, state) -> state`."""

        def __call__(self, input: Array, state: State, /) -> State:
            """One step; the functions below ask for the rest of the contract."""
            ...

else:
    CellLike = object  # what is no cell is refused by the reading that met it, in words, not by its type


class HalfStep(NamedTuple):
    """One update of a step that can be undone: part' = keep * part + increment, elementwise.

    Args:
        part: which array of the state changes: its position in `jax.tree.leaves(state)`.
        terms: `terms(input, state) -> (keep, increment)`, both of the shape of that part. In the state that
            it is given the part itself is None, so that before and after the update it gives the same.
    """

    part: int
    terms: Callable[[Array, State], tuple[Array, Array]]


class Cell(eqx.Module):
    """Base class that completes a user's update equation.

    A subclass gives `input_size`, `hidden_size` and `__call__`; the state is then a vector of `hidden_size`
    zeros at the start, and all of it may be seen by a read-out. A step with noise of its own takes a `key`
    beside input and state. Override `initial_state` and `exposed` for any other state.

    These members are optional:

    * `input_shape`, for an input that is not a vector: (5, 2) for two numbers at each of five nodes.
      `input_size` is their product, 10. Readings that take vectors (control, exports, exponents) give and
      take the input row by row.
    * `output_size`, for a cell that exposes the outputs themselves.
    * `measured_state(inputs, outputs)`, for a state that can be read off past samples.
    * `fixed = True`, for a reservoir that is never trained.
    * `half_step`, for a step that can be undone: a tuple of `HalfStep` that, one after the other, make the
      step. A scan strategy may then compute the states backwards and store none of them.

    Example:
        ```python
        class Leaky(attractor.Cell):
            input_size: int
            hidden_size: int
            weight: Array

            def __init__(self, input_size, hidden_size, *, key):
                self.input_size, self.hidden_size = input_size, hidden_size
                self.weight = 0.1 * jax.random.normal(key, (hidden_size, input_size + hidden_size))

            def __call__(self, input, state):
                return 0.9 * state + 0.1 * jnp.tanh(self.weight @ jnp.concatenate([input, state]))
        ```
    """

    input_size: eqx.AbstractVar[int]
    hidden_size: eqx.AbstractVar[int]

    @abstractmethod
    def __call__(self, input: Input, state: State, *, key: PRNGKeyArray | None = None) -> State:
        """One step. `key=None` means no noise (evaluation); a key means noise on."""

    def initial_state(self) -> State:
        """The state a sequence starts from: zeros, shape (hidden_size,)."""
        return jnp.zeros(self.hidden_size, weight_dtype(self))

    def exposed(self, state: State) -> PyTree:
        """What a read-out may see of the state, a vector: all of it."""
        return state


def weight_dtype(cell: object) -> jnp.dtype:
    """The floating type of a cell's weights; the default type of JAX for a cell without weights."""
    leaves = [leaf for leaf in jax.tree.leaves(cell) if eqx.is_inexact_array(leaf)]
    return jnp.result_type(*leaves) if leaves else jnp.result_type(float)


def step_options(cell: CellLike, key: PRNGKeyArray | None) -> dict[str, PRNGKeyArray]:
    """What a step is called with beside input and state: the key of its noise, if the cell takes one.

    A step without noise need not have a `key` among its arguments.

    Raises:
        CellError: the step cannot be called without a key.
    """
    if key is None:
        check_key(cell, name_of(cell))
        return {}
    return {"key": key} if takes_key(cell) else {}


def takes_key(cell: CellLike) -> bool:
    """Whether the step of a cell has an argument `key`, and so may have noise."""
    own = getattr(cell, "takes_noise", None)
    if own is not None:
        return own
    parameters = _parameters(cell)
    return "key" in parameters or any(one.kind is Parameter.VAR_KEYWORD for one in parameters.values())


def check_key(step: CellLike, name: str) -> None:
    """Refuse a step that has an argument `key` without a default.

    Args:
        step: a cell, or a function.
        name: of the cell, for the message.

    Raises:
        CellError: it is one.
    """
    key = _parameters(step).get("key")
    if key is not None and key.default is Parameter.empty:
        raise CellError(
            f"the step of {name} has a `key` without a default; write `key=None`, and leave the noise out "
            "where it is None: all but training with noise runs a cell without it"
        )


def _parameters(step: CellLike) -> Mapping[str, Parameter]:
    try:
        return signature(type(step).__call__ if isinstance(step, eqx.Module) else step).parameters
    except (TypeError, ValueError):  # without a signature: it is told what the contract says
        return {"key": Parameter("key", Parameter.KEYWORD_ONLY, default=None)}


def name_of(cell: object) -> str:
    """What messages call a cell: its `name`, where that is a text, else the name of its class or function."""
    own = getattr(cell, "name", None)
    if isinstance(own, str) and own:
        return own
    return getattr(cell, "__name__", None) or type(cell).__name__


def input_shape(cell: object) -> tuple[int, ...]:
    """Shape of one input of a cell: its `input_shape`, or else `(input_size,)`.

    Raises:
        ConfigError: the cell says neither, or the two do not fit each other; or it is a plain function.
    """
    size, shape = getattr(cell, "input_size", None), getattr(cell, "input_shape", None)
    if shape is None and _is_count(size):
        return (int(size),)
    if isinstance(shape, tuple) and all(map(_is_count, shape)) and size in (None, prod(shape)):
        return tuple(map(int, shape))
    if shape is not None:
        raise ConfigError(
            f"{name_of(cell)}.input_shape is {shape!r}, its input_size {size!r}; expected a tuple of whole "
            "numbers of at least 0, and their product as `input_size`"
        )
    _refuse_function(cell)
    raise ConfigError(
        f"{name_of(cell)}.input_size is {size!r}; write `input_size`, the length of the input "
        "vector, a whole number of at least 0 (of an input that is not a vector: `input_shape`)"
    )


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= 0


def knows_input(cell: object) -> bool:
    """Whether a cell says what its input looks like."""
    return any(getattr(cell, name, None) is not None for name in ("input_size", "input_shape"))


def input_size(cell: object) -> int:
    """How many numbers one input of a cell holds: its length, where it is a vector.

    Raises:
        ConfigError: the cell does not say.
    """
    return prod(input_shape(cell))


def shaped_input(cell: object, input: Float[Array, "..."]) -> Float[Array, "..."]:
    """An input in the shape that the cell takes, from a vector of its numbers row by row."""
    return input if getattr(cell, "input_shape", None) is None else jnp.reshape(input, input_shape(cell))


def initial_state(cell: object) -> State:
    """The state a sequence starts from, of a cell or a flow.

    Raises:
        ConfigError: it is a plain function.
        UnsupportedError: the cell neither says so itself nor has a `hidden_size`.
    """
    own, size = getattr(cell, "initial_state", None), getattr(cell, "hidden_size", None)
    if own is not None:
        return own()
    if size is None:
        _refuse_function(cell)
        raise UnsupportedError(
            f"{name_of(cell)} has neither `initial_state()` nor `hidden_size`; write one of them"
        )
    zeros = jnp.zeros(size, weight_dtype(cell))
    return (zeros, zeros) if isinstance(cell, eqx.nn.LSTMCell) else zeros


def _refuse_function(thing: object) -> None:
    if isfunction(thing):
        raise ConfigError(
            f"{name_of(thing)} is a plain function, which says neither how many inputs nor which state it "
            f"has: {how_to_wrap(thing)}"
        )


def exposed(cell: object, state: State) -> Float[Array, " exposed"]:
    """What a read-out may see of `state`: the hidden vector of an LSTM, everything for a vector state.

    Raises:
        UnsupportedError: the state has several arrays and the cell does not say which of them to show; or
            what it shows is complex.
        ShapeError: what it shows is no vector.
    """
    if isinstance(cell, eqx.nn.LSTMCell):
        return state[0]
    own = getattr(cell, "exposed", None)
    seen = state if own is None else own(state)
    if not hasattr(seen, "ndim"):
        raise UnsupportedError(
            f"the state of {name_of(cell)} has several arrays; write `exposed(state)`, which gives the "
            "vector that a read-out may see (of a plain function: attractor.cell(..., exposed=))"
        )
    if seen.ndim != 1:
        raise ShapeError(
            f"{name_of(cell)} exposes an array of shape {seen.shape}; a read-out sees a vector: write "
            "`exposed(state)`, for instance `return state.ravel()`"
        )
    if jnp.iscomplexobj(seen):
        raise UnsupportedError(
            f"{name_of(cell)} exposes complex numbers; a read-out is real: write `exposed(state)`, for "
            "instance `return jnp.concatenate([state.real, state.imag])`"
        )
    return seen


def exposed_size(cell: object) -> int:
    """Length of the vector a read-out sees."""
    return eqx.filter_eval_shape(lambda cell: exposed(cell, initial_state(cell)), cell).shape[0]
