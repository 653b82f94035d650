"""Cells in continuous time: a vector field, and the fixed-step map that makes a cell of it."""

from abc import abstractmethod
from collections.abc import Callable
from inspect import isclass
from math import inf
from typing import Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from attractor.errors import ConfigError, ShapeError

from .calling import calling
from .contract import Cell, Input, State, exposed, initial_state, input_size, name_of, weight_dtype
from .same_state import check_same_state


@runtime_checkable
class FlowLike(Protocol):
    """A `Flow`, or any other module with a vector field."""

    @property
    def input_size(self) -> int:
        """Length of the input vector."""
        ...

    @property
    def hidden_size(self) -> int:
        """Length of the state, where that is a vector."""
        ...

    def vector_field(self, input: Array, state: State, /) -> State:
        """F(u, x)."""
        ...


class Flow(eqx.Module):
    """Base class of a cell in continuous time, dx/dt = F(u, x).

    A subclass gives `input_size`, `hidden_size` and `vector_field`. `discretise` makes a cell of it, with
    every reading that a cell has; `attractor.scan.solve_flow` solves the equation itself.

    Example:
        ```python
        class Pendulum(attractor.Flow):
            input_size: int = 1
            hidden_size: int = 2

            def vector_field(self, input, state):
                return jnp.stack([state[1], input[0] - jnp.sin(state[0])])
        ```
    """

    input_size: eqx.AbstractVar[int]
    hidden_size: eqx.AbstractVar[int]

    @abstractmethod
    def vector_field(self, input: Input, state: State) -> State:
        """F(u, x), change per unit of time, a pytree like the state."""

    def initial_state(self) -> State:
        """The state a sequence starts from: zeros, shape (hidden_size,)."""
        return jnp.zeros(self.hidden_size, weight_dtype(self))

    def exposed(self, state: State) -> Float[Array, " exposed"]:
        """What a read-out may see of the state: all of it."""
        return state


def _moved(state: State, slope: State, time: float) -> State:
    return jax.tree.map(lambda value, change: value + time * change, state, slope)


def _euler(field: Callable[[State], State], state: State, step: float) -> State:
    return _moved(state, field(state), step)


def _heun(field: Callable[[State], State], state: State, step: float) -> State:
    first = field(state)
    second = field(_moved(state, first, step))
    return _moved(_moved(state, first, step / 2), second, step / 2)


def _rk4(field: Callable[[State], State], state: State, step: float) -> State:
    first = field(state)
    second = field(_moved(state, first, step / 2))
    third = field(_moved(state, second, step / 2))
    fourth = field(_moved(state, third, step))
    slopes = zip((first, second, third, fourth), (1, 2, 2, 1), strict=True)
    for slope, weight in slopes:
        state = _moved(state, slope, weight * step / 6)
    return state


METHODS = {"euler": _euler, "heun": _heun, "rk4": _rk4}
"""Explicit schemes of order 1, 2 and 4: straight-line code, so that every reading understands it."""


class Discretised(Cell):
    """x' = x + step * (increment of a Runge-Kutta scheme of F), with the input held over the step.

    Args:
        flow: the vector field.
        step: time of one step, in the unit of the flow.
        method: "euler", "heun" or "rk4".

    Raises:
        ConfigError: no flow, an unknown method, or a step that is not positive.
    """

    flow: FlowLike
    step: float = eqx.field(static=True)
    method: str = eqx.field(static=True)
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(self, flow: FlowLike, step: float | int, method: str) -> None:
        check_flow(flow)
        if method not in METHODS:
            raise ConfigError(f"method={method!r}: expected one of {', '.join(METHODS)}")
        if not 0 < step < inf:
            raise ConfigError(f"step={step}: expected a positive number, in the time unit of the flow")
        self.flow, self.step, self.method = flow, float(step), method
        self.input_size, self.hidden_size = input_size(flow), _size(flow)

    takes_noise = False
    """A flow has no noise, whatever the signature of a step allows."""

    @property
    def name(self) -> str:
        """That of the flow."""
        return name_of(self.flow)

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        """That of the flow, where its input is not a vector."""
        return getattr(self.flow, "input_shape", None)

    def __call__(self, input: Input, state: State, *, key: PRNGKeyArray | None = None) -> State:
        """One step."""
        return METHODS[self.method](lambda state: rate_of(self.flow, input, state), state, self.step)

    def initial_state(self) -> State:
        """That of the flow."""
        return initial_state(self.flow)

    def exposed(self, state: State) -> Float[Array, " exposed"]:
        """What the flow exposes."""
        return exposed(self.flow, state)


def rate_of(flow: FlowLike, input: Input, state: State) -> State:
    """F(u, x), a change like the state itself.

    Raises:
        CellError: the vector field raised something.
        ShapeError: it is no change of such a state.
    """
    with calling(flow, "vector field"):
        slope = flow.vector_field(input, state)
    try:
        check_same_state(flow, state, slope, input=input)
    except ShapeError as problem:
        raise ShapeError(
            f"the vector field of {name_of(flow)} gives no change of its state, number by number: {problem}"
        ) from problem
    return slope


def check_flow(flow: object) -> None:
    """Refuse what is no flow as it stands: a function, a class, a cell.

    Raises:
        ConfigError: it is one; the message says what to write.
    """
    name = name_of(flow)
    if isclass(flow):
        raise ConfigError(f"{name} is a class; give a flow that it makes: {name}(...)")
    if callable(getattr(flow, "vector_field", None)):
        return
    if callable(flow) and (hasattr(flow, "initial_state") or hasattr(flow, "hidden_size")):
        raise ConfigError(f"{name} is a cell already, a map of one step; only a flow has to be discretised")
    if callable(flow):
        raise ConfigError(
            f"{name} is a function; make a flow of it first: attractor.flow({name}, input_size, initial), "
            "where initial is the state it starts from. The function gives the change of the state per unit "
            f"of time, as {name}(input, state), or {name}(state) with input_size 0"
        )
    raise ConfigError(
        f"{flow!r} is no flow; expected an attractor.Flow, or attractor.flow(function, input_size, initial)"
    )


def _size(flow: object) -> int:
    """Its `hidden_size`, or how many numbers its state holds."""
    own = getattr(flow, "hidden_size", None)
    return sum(int(jnp.size(leaf)) for leaf in jax.tree.leaves(initial_state(flow))) if own is None else own


def discretise(flow: FlowLike, step: float | int, method: str = "rk4") -> Discretised:
    """The map of one fixed step of a flow, a cell like any other.

    The map is a system of its own: an Euler step of a large `step` may be chaotic where the flow is not.

    Args:
        flow: a `Flow`, or any module with `vector_field(input, state)`, `input_size` and `initial_state()`;
            of a plain function `attractor.flow` makes one.
        step: time of one step, in the unit of the flow.
        method: "euler", "heun" or "rk4".

    Raises:
        ConfigError: no flow, an unknown method, or a step that is not positive.

    Example:
        >>> import jax
        >>> from attractor.cells import GatedFlow, discretise
        >>> cell = discretise(GatedFlow(1, 4, key=jax.random.key(0)), step=0.1)
        >>> cell(jnp.ones(1), cell.initial_state()).activity.shape
        (4,)
    """
    return Discretised(flow, step, method)
