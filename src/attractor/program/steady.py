"""Whether a step is the same map each time it is called."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jax.core import Tracer

from attractor.cells import name_of, take_step
from attractor.errors import CellError

from .digest import program_digest

_OWN = ("attractor.cells.", "attractor.training.", "attractor.program.", "equinox.")
"""Modules whose code is the same at each call."""


def check_steady(cell: Any, input: Any, state: Any) -> None:
    """Refuse a step that is another one when it is called again.

    Compiled once, it would stay for ever what it was at that call; every reading would speak of another map.
    The step is traced twice and the two programs are compared; a change that comes later is not seen.

    Args:
        cell: any cell.
        input: one input, or its shape and type.
        state: a state.

    Raises:
        CellError: two calls of it are two programs; or it keeps values of an earlier call.
    """
    same_each_time(lambda *given: take_step(cell, *given), (input, state), name_of(cell))


def may_change(cell: Any) -> bool:
    """Whether a step holds code that is not of this library or of Equinox, and so may be unsteady."""
    own = type(cell).__module__.startswith(_OWN)
    if not own or has_own(cell, "step") or not isinstance(cell, eqx.Module):
        return True
    fields = vars(cell).values()
    parts = [part for value in fields for part in (value if isinstance(value, tuple) else (value,))]
    return any(may_change(part) for part in parts if isinstance(part, eqx.Module))


def has_own(thing: Any, name: str) -> bool:
    """Whether a thing or its class has an attribute; nothing is computed to find out."""
    return hasattr(type(thing), name) or name in getattr(thing, "__dict__", ())


def same_each_time(step: Callable[..., Any], arguments: Any, name: str) -> None:
    """The same of a function of any arguments.

    Args:
        step: traced twice.
        arguments: of it.
        name: of the cell, for the message.

    Raises:
        CellError: two calls of it are two programs.
    """
    first, second = (jax.make_jaxpr(lambda *given: step(*given))(*arguments) for _ in range(2))
    around = [[id(one) for one in closed.consts if isinstance(one, Tracer)] for closed in (first, second)]
    if around[0] and around[0] == around[1]:
        return  # a step that closes over what is being differentiated: its constants have no values yet
    if around[0] != around[1] or program_digest(first) != program_digest(second):
        raise CellError(
            f"the step of {name} is another one each time it is called: it changes a global, a list or an "
            "object, or draws a number of its own. Keep what changes in the state, and draw with `key`"
        )


__all__ = ["check_steady", "has_own", "may_change", "same_each_time"]
