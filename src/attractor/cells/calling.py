"""The one place where a cell is called: what goes wrong in it is told as a mistake in it, with its line."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
from jaxtyping import Array, PRNGKeyArray

from attractor.errors import AttractorError, CellError

from .contract import State, name_of, step_options

_TO_NUMPY = jax.errors.TracerArrayConversionError
_ON_VALUES = jax.errors.ConcretizationTypeError
_LEAKED = jax.errors.UnexpectedTracerError


def take_step(cell: Any, input: Array, state: State, key: PRNGKeyArray | None = None) -> State:
    """The state after one step; without a key, or of a cell that takes none, without noise.

    Raises:
        CellError: the step raised something; the message names its line and, where that is known, the remedy.
    """
    with calling(cell):
        return cell(input, state, **step_options(cell, key))


@contextmanager
def calling(cell: Any, part: str = "step") -> Iterator[None]:
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
    where = _place(problem)
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


def _place(problem: Exception) -> str:
    """The user's line: the innermost one that stands neither here nor in an installed package."""
    own = str(Path(__file__).resolve().parents[1])
    frames = [
        frame
        for frame in traceback.extract_tb(problem.__traceback__)
        if not frame.filename.startswith((own, "<")) and "site-packages" not in frame.filename
    ]
    return f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""


__all__ = ["calling", "take_step"]
