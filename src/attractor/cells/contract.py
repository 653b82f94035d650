"""The one contract of the house: a recurrent network is a map `state' = cell(input, state)`.

A cell is an Equinox module for one unbatched step. Everything else (running, differentiating, disturbing,
linearising, bounding, exporting) is a reading of that call. The functions below ask a cell for the rest of
the contract and know the answers for `equinox.nn.GRUCell` and `equinox.nn.LSTMCell`, which are cells as they
stand.
"""

from abc import abstractmethod
from collections.abc import Mapping
from inspect import Parameter, signature
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from attractor.errors import CellError, ConfigError, ShapeError, UnsupportedError

State = Any
"""Any pytree of arrays."""


class Cell(eqx.Module):
    """Base class that completes a user's update equation.

    A subclass gives `input_size`, `hidden_size` and `__call__`; the state is then a vector of `hidden_size`
    zeros at the start, and all of it may be seen by a read-out. A step with noise of its own takes a `key`
    beside input and state. Override `initial_state` and `exposed` for
    any other state. Three facts are optional: `output_size` for a cell that exposes the outputs themselves,
    `measured_state(inputs, outputs)` for a state that can be read off past samples, and `fixed = True` for a
    reservoir that is never trained.

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
    def __call__(
        self, input: Float[Array, " inputs"], state: State, *, key: PRNGKeyArray | None = None
    ) -> State:
        """One step. `key=None` means no noise (evaluation); a key means noise on."""

    def initial_state(self) -> State:
        """The state a sequence starts from: zeros, shape (hidden_size,)."""
        return jnp.zeros(self.hidden_size, weight_dtype(self))

    def exposed(self, state: State) -> Any:
        """What a read-out may see of the state, a vector: all of it."""
        return state


def weight_dtype(cell: Any) -> jnp.dtype:
    """The floating type of a cell's weights; the default type of JAX for a cell without weights."""
    leaves = [leaf for leaf in jax.tree.leaves(cell) if eqx.is_inexact_array(leaf)]
    return jnp.result_type(*leaves) if leaves else jnp.result_type(float)


def step_options(cell: Any, key: PRNGKeyArray | None) -> dict[str, PRNGKeyArray]:
    """What a step is called with beside input and state: the key of its noise, if the cell takes one.

    A step without noise need not have a `key` among its arguments.

    Raises:
        CellError: the step cannot be called without a key.
    """
    if key is None:
        check_key(cell, name_of(cell))
        return {}
    return {"key": key} if takes_key(cell) else {}


def takes_key(cell: Any) -> bool:
    """Whether the step of a cell has an argument `key`, and so may have noise."""
    own = getattr(cell, "takes_noise", None)
    if own is not None:
        return own
    parameters = _parameters(cell)
    return "key" in parameters or any(one.kind is Parameter.VAR_KEYWORD for one in parameters.values())


def check_key(step: Any, name: str) -> None:
    """Refuse a step that has an argument `key` without a default.

    Args:
        step: a cell, or a function.
        name: of the cell, for the message.

    Raises:
        CellError: it is one.
    """
    key = _parameters(step).get("key")
    if key is not None and key.default is Parameter.empty:
        message = (
            f"the step of {name} has a `key` without a default; write `key=None`, and leave the noise out "
            "where it is None: all but training with noise runs a cell without it"
        )
        raise CellError(message)


def _parameters(step: Any) -> Mapping[str, Parameter]:
    try:
        return signature(type(step).__call__ if isinstance(step, eqx.Module) else step).parameters
    except (TypeError, ValueError):  # without a signature: it is told what the contract says
        return {"key": Parameter("key", Parameter.KEYWORD_ONLY, default=None)}


def name_of(cell: Any) -> str:
    """What messages call a cell: its `name`, where that is a text, else the name of its class or function."""
    own = getattr(cell, "name", None)
    if isinstance(own, str) and own:
        return own
    return getattr(cell, "__name__", None) or type(cell).__name__


def input_size(cell: Any) -> int:
    """Length of the input vector of a cell.

    Raises:
        ConfigError: the cell does not say.
    """
    size = getattr(cell, "input_size", None)
    if isinstance(size, int | np.integer) and not isinstance(size, bool) and size >= 0:
        return int(size)
    message = (
        f"{name_of(cell)}.input_size is {size!r}; write `input_size`, the length of the input "
        "vector, a whole number of at least 0"
    )
    raise ConfigError(message)


def initial_state(cell: Any) -> State:
    """The state a sequence starts from.

    Raises:
        UnsupportedError: the cell neither says so itself nor has a `hidden_size`.
    """
    if hasattr(cell, "initial_state"):
        return cell.initial_state()
    if not hasattr(cell, "hidden_size"):
        message = f"{name_of(cell)} has neither `initial_state()` nor `hidden_size`; write one of them"
        raise UnsupportedError(message)
    zeros = jnp.zeros(cell.hidden_size, weight_dtype(cell))
    return (zeros, zeros) if isinstance(cell, eqx.nn.LSTMCell) else zeros


def exposed(cell: Any, state: State) -> Float[Array, " exposed"]:
    """What a read-out may see of `state`: the hidden vector of an LSTM, everything for a vector state.

    Raises:
        UnsupportedError: the state has several arrays and the cell does not say which of them to show; or
            what it shows is complex.
        ShapeError: what it shows is no vector.
    """
    if isinstance(cell, eqx.nn.LSTMCell):
        return state[0]
    seen = cell.exposed(state) if hasattr(cell, "exposed") else state
    if not hasattr(seen, "ndim"):
        message = (
            f"the state of {name_of(cell)} has several arrays; write `exposed(state)`, which gives the "
            "vector that a read-out may see (of a plain function: attractor.cell(..., exposed=))"
        )
        raise UnsupportedError(message)
    if seen.ndim != 1:
        message = (
            f"{name_of(cell)} exposes an array of shape {seen.shape}; a read-out sees a vector: write "
            "`exposed(state)`, for instance `return state.ravel()`"
        )
        raise ShapeError(message)
    if jnp.iscomplexobj(seen):
        message = (
            f"{name_of(cell)} exposes complex numbers; a read-out is real: write `exposed(state)`, for "
            "instance `return jnp.concatenate([state.real, state.imag])`"
        )
        raise UnsupportedError(message)
    return seen


def exposed_size(cell: Any) -> int:
    """Length of the vector a read-out sees."""
    return eqx.filter_eval_shape(lambda cell: exposed(cell, initial_state(cell)), cell).shape[0]
