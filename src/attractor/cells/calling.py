"""Every call of a cell goes through here: an exception inside becomes a `CellError` that names the line."""

import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from weakref import WeakSet

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from attractor.errors import AttractorError, CellError, CellWarning

from .arguments import order_remark, positional
from .contract import CellLike, State, initial_state, input_shape, name_of, step_options
from .same_state import check_same_state

_TO_NUMPY = jax.errors.TracerArrayConversionError
_ON_VALUES = jax.errors.ConcretizationTypeError
_LEAKED = jax.errors.UnexpectedTracerError


def take_step(cell: CellLike, input: Array, state: State, key: PRNGKeyArray | None = None) -> State:
    """The state after one step; without a key, or of a cell that takes none, without noise.

    Raises:
        CellError: the step raised something; the message names its line and, where that is known, the remedy.
        ShapeError: it returned something else than a state like the one before.
    """
    warn_of_order(cell)
    with calling(cell):
        after = cell(input, state, **step_options(cell, key))
    check_same_state(cell, state, after, input=input)
    return after


def warn_of_order(cell: object) -> None:
    """Say once of a class that its step calls the first argument like a state, the second like an input."""
    text = _order_of(type(cell))
    if text and type(cell) not in _warned:
        _warned.add(type(cell))
        warnings.warn(CellWarning(text), stacklevel=3)


_warned: WeakSet[type] = WeakSet()


@cache
def _order_of(kind: type) -> str:
    step = getattr(kind, "__call__", None)  # noqa: B004 (its arguments are asked for)
    arguments = None if step is None else positional(step)
    return "" if arguments is None else order_remark(kind.__name__, [one.name for one in arguments[1:3]])


@contextmanager
def calling(cell: object, part: str = "step") -> Iterator[None]:
    """Tell errors raised inside as mistakes in a cell; those of this library say themselves what is wrong.

    Args:
        cell: whose code runs.
        part: of it, in words.

    Raises:
        CellError: in place of any other exception.
    """
    try:
        yield
    except AttractorError:
        raise
    except Exception as problem:
        raise CellError(_message(name_of(cell), part, problem)) from problem


def _message(name: str, part: str, problem: Exception) -> str:
    where = users_line(problem)
    if isinstance(problem, _TO_NUMPY):
        return (
            f"the {part} of {name} turns a value that is only known when it runs into a NumPy array{where}; "
            "use jax.numpy there (`jnp.array`, `jnp.where`, ...). Constants may be NumPy arrays"
        )
    if isinstance(problem, _ON_VALUES):
        return (
            f"the {part} of {name} asks for the value of an array with `if`, `while`, `float()`, `int()` or "
            f"an index{where}; the step is compiled, so use jnp.where, jnp.take or jax.lax"
        )
    if isinstance(problem, _LEAKED):
        return f"the {part} of {name} keeps a value of another call in a global or an object{where}"
    text = str(problem).strip().split("\n")[0]
    return f"the {part} of {name} failed{where}: {type(problem).__name__}: {text}"


def users_line(problem: Exception) -> str:
    """The user's line: the innermost one that stands neither here nor in an installed package."""
    own = str(Path(__file__).resolve().parents[1])
    frames = [
        frame
        for frame in traceback.extract_tb(problem.__traceback__)
        if not frame.filename.startswith((own, "<")) and "site-packages" not in frame.filename
    ]
    return f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""


def check_derivative(cell: CellLike) -> None:
    """Refuse a step without a derivative by weights and state for a batch, as training takes it.

    Nothing is computed: the derivative is traced only. Loops whose length depends on values have none, nor do
    calls of Python that say nothing of theirs.

    Args:
        cell: any cell.

    Raises:
        CellError: there is none; the message says why.
    """

    def total(parts: tuple[CellLike, State]) -> Array:
        module, states = parts
        new = jax.vmap(lambda input, state: take_step(module, input, state))(inputs, states)
        return sum((jnp.sum(jnp.real(leaf)) for leaf in jax.tree.leaves(new) if _moves(leaf)), jnp.zeros(()))

    inputs = jnp.zeros((_BATCH, *input_shape(cell)))
    with calling(cell, "derivative of the step"):
        states = jax.tree.map(_repeated, initial_state(cell))
        eqx.filter_eval_shape(eqx.filter_grad(total), (cell, states))


_BATCH = 2


def _repeated(leaf: Array) -> Array:
    array = jnp.asarray(leaf)
    return jnp.broadcast_to(array, (_BATCH, *array.shape))


def _moves(leaf: Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.inexact)
