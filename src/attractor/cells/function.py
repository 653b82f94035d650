"""A plain function as a cell, or as a flow."""

import warnings
from collections.abc import Callable
from inspect import Parameter, isclass, signature

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, PRNGKeyArray, PyTree

from attractor.errors import CellError, CellWarning, ConfigError

from .arguments import means_state, order_remark, positional
from .contract import State, check_key, takes_key
from .flow import Flow

_NUMBERS = (jax.Array, np.ndarray, np.generic, bool, int, float, complex)


class FunctionCell(eqx.Module):
    """state' = step(input, state), step(state) or step(weights, input, state); made by `cell`.

    Args:
        initial: the state a sequence starts from.
        weights: what is trained; None if the function has none.
        step: the function.
        input_size: length of the input vector.
        show: what a read-out may see of a state; None shows a state of one vector whole.
        takes_input: whether the function has an argument for the input.
    """

    initial: State
    weights: PyTree
    step: Callable[..., State] = eqx.field(static=True)
    input_size: int = eqx.field(static=True)
    show: Callable[[State], Array] | None = eqx.field(static=True, default=None)
    takes_input: bool = eqx.field(static=True, default=True)

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
        return self.step(*_given(self.weights, input, state, self.takes_input), **noise)


class FunctionFlow(Flow):
    """dx/dt = field(input, state), field(state) or field(weights, input, state); made by `flow`.

    Args:
        initial: the state a trajectory starts from.
        weights: what is trained; None if the function has none.
        field: the function.
        input_size: length of the input vector.
        hidden_size: how many numbers the state holds.
        show: what a read-out may see of a state; None shows a state of one vector whole.
        takes_input: whether the function has an argument for the input.
    """

    initial: State
    weights: PyTree
    field: Callable[..., State] = eqx.field(static=True)
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    show: Callable[[State], Array] | None = eqx.field(static=True, default=None)
    takes_input: bool = eqx.field(static=True, default=True)

    @property
    def name(self) -> str:
        """Name of the function."""
        return _name(self.field)

    def initial_state(self) -> State:
        """The state a trajectory starts from; it is not trained."""
        return jax.tree.map(jax.lax.stop_gradient, self.initial)

    def exposed(self, state: State) -> PyTree:
        """What a read-out may see: all of it where nothing else was said."""
        return state if self.show is None else self.show(state)

    def vector_field(self, input: Array, state: State) -> State:
        """F(u, x)."""
        return self.field(*_given(self.weights, input, state, self.takes_input))


def _given(weights: PyTree, input: Array, state: State, takes_input: bool) -> tuple[PyTree, ...]:
    """The arguments of a function: weights and input only where it has them."""
    return (*(() if weights is None else (weights,)), *((input,) if takes_input else ()), state)


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
        step: `step(input, state) -> state`, or `step(weights, input, state) -> state` with `weights`. A map
            without inputs, `input_size=0`, may leave the input out: `step(state) -> state`. Further
            arguments need defaults; a `key=None` among them is for noise. What it closes over is constant.
        input_size: length of the input vector; 0 for a map without inputs.
        initial: the state a sequence starts from: an array of floats, or a pytree of arrays.
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
        >>> halved = attractor.cell(lambda x: x / 2, 0, jnp.ones(1))
        >>> attractor.unroll(halved, jnp.zeros((3, 0))).last
        Array([0.125], dtype=float32)
    """
    takes_input = _checked("cell", "step", step, input_size, initial, weights)
    start = jax.tree.map(jnp.asarray, initial)
    return FunctionCell(start, weights, step, int(input_size), exposed, takes_input)


def flow(
    field: Callable[..., State],
    input_size: int,
    initial: State | ArrayLike,
    *,
    weights: PyTree = None,
    exposed: Callable[[State], Array] | None = None,
) -> FunctionFlow:
    """A flow made of a function, the right side of dx/dt = field(input, state).

    `attractor.cells.discretise(flow, step)` makes its map, a cell for every reading;
    `attractor.scan.solve_flow` solves the equation itself.

    Args:
        field: `field(input, state) -> change of the state per unit of time`, like the state in structure and
            shapes; or `field(weights, input, state)` with `weights`. Without inputs, `input_size=0`, it may
            leave the input out: `field(state)`. What it closes over is constant.
        input_size: length of the input vector; 0 for a flow without inputs.
        initial: the state a trajectory starts from: an array of floats, or a pytree of arrays.
        weights: a pytree of arrays to be trained.
        exposed: `exposed(state) -> vector`, what a read-out may see; needed for states of several arrays.

    Raises:
        CellError: the function asks for other arguments.
        ConfigError: it is no function or a module with arrays, the number of inputs no whole number of at
            least 0, or the start no tree of arrays.

    Example:
        >>> import attractor, jax.numpy as jnp
        >>> swing = attractor.flow(lambda x: jnp.stack([x[1], -jnp.sin(x[0])]), 0, jnp.array([1.0, 0.0]))
        >>> attractor.unroll(attractor.cells.discretise(swing, 0.01), jnp.zeros((100, 0))).states.shape
        (100, 2)
    """
    takes_input = _checked("flow", "field", field, input_size, initial, weights)
    start = jax.tree.map(jnp.asarray, initial)
    return FunctionFlow(
        initial=start,
        weights=weights,
        field=field,
        input_size=int(input_size),
        hidden_size=sum(int(jnp.size(leaf)) for leaf in jax.tree.leaves(start)),
        show=exposed,
        takes_input=takes_input,
    )


def _checked(
    maker: str,
    role: str,
    function: Callable[..., State],
    input_size: int,
    initial: State | ArrayLike,
    weights: PyTree,
) -> bool:
    """Check what a function is wrapped with; whether it takes an input."""
    order = f"attractor.{maker}({role}, input_size, initial)"
    if not callable(function):
        raise ConfigError(f"{role}={function!r}: expected a function {role}(input, state) -> state; {order}")
    if isclass(function):
        raise ConfigError(
            f"{role}={function.__name__}, a class; give a function {role}(input, state), or use the class "
            "itself as a cell if its `__call__` is the step"
        )
    if any(eqx.is_array(leaf) for leaf in jax.tree.leaves(function)):
        raise ConfigError(
            f"{role}={type(function).__name__}, a module with arrays; write attractor.{maker}(lambda module, "
            "input, state: module(input, state), ..., weights=module)"
        )
    if not isinstance(input_size, int | np.integer) or isinstance(input_size, bool) or input_size < 0:
        raise ConfigError(
            f"input_size={input_size!r}: expected a whole number of at least 0, the number of inputs; the "
            f"order is {order}"
        )
    if not all(_is_numbers(leaf) for leaf in jax.tree.leaves(initial)):
        raise ConfigError(
            f"initial={initial!r}: expected an array, or a tree of arrays; the order is {order}"
        )
    check_key(function, _name(function))
    takes_input = _takes_input(maker, role, function, int(input_size), weights)
    _warn_of_order(function, weights, takes_input)
    return takes_input


def _name(step: object) -> str:
    return getattr(step, "__name__", type(step).__name__)


def _is_numbers(leaf: object) -> bool:
    return isinstance(leaf, _NUMBERS) and getattr(leaf, "dtype", np.dtype(float)) != np.dtype(object)


def _takes_input(
    maker: str, role: str, function: Callable[..., State], input_size: int, weights: PyTree
) -> bool:
    """Whether a function has an argument for the input; one that cannot be called is refused.

    A function of the state alone has one argument without a default, or a second one that is not called like
    a state: `def logistic(x, r=3.9)`.
    """
    before = 0 if weights is None else 1
    arguments = positional(function)
    own = None if arguments is None else arguments[before:]
    alone = own is not None and _is_of_one(own)
    takes_input = not (alone and input_size == 0)
    called = [*["weights"] * before, *["input"] * takes_input, "state"]
    problem = _objection(function, len(called))
    if problem is None and alone and input_size > 0:
        problem = "the state would be given as an argument that has a default"
    if problem is None:
        return takes_input
    text = f"the {role} of {_name(function)} cannot be called as {role}({', '.join(called)}): {problem}"
    raise CellError(f"{text}; {_remedy(maker, function, own, alone, before)}")


def _is_of_one(arguments: list[Parameter]) -> bool:
    needed = [one for one in arguments if one.default is Parameter.empty]
    return len(needed) == 1 and (len(arguments) == 1 or not means_state(arguments[1].name))


def _objection(function: Callable[..., State], count: int) -> str | None:
    """Why a function cannot be called with so many arguments, in the words of Python."""
    try:
        signature(function).bind(*[None] * count)
    except ValueError:  # without a signature: the call will tell
        return None
    except TypeError as problem:
        return str(problem)
    return None


def _remedy(
    maker: str, function: Callable[..., State], own: list[Parameter] | None, alone: bool, before: int
) -> str:
    name = _name(function) if _name(function).isidentifier() else "f"
    if alone and own is not None:
        weights, given = ("weights, ", ", weights=...") if before else ("", "")
        return (
            f"it takes {own[0].name} alone: write {name}({weights}input, {own[0].name}), or, without inputs, "
            f"attractor.{maker}({name}, 0, initial{given})"
        )
    return (
        "a function of three arguments needs `weights=`, one of two must do without; further arguments "
        "need defaults"
    )


def _warn_of_order(function: Callable[..., State], weights: PyTree, takes_input: bool) -> None:
    """Say so where the first argument is called like a state and the second like an input."""
    arguments = positional(function)
    if arguments is None or not takes_input:
        return
    names = [one.name for one in arguments[0 if weights is None else 1 :]]
    text = order_remark(_name(function), names[:2])
    if text:
        warnings.warn(CellWarning(text), stacklevel=4)
