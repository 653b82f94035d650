"""From the card of a run back to a network: nothing is built that is larger than what was stored.

A card is text, and text can claim anything. Its digest finds accidents; whoever writes a card of his own can
write the digest as well. So every fact has its kind checked, and the size that the facts ask for is compared
with the size of the stored weights before memory is taken.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import equinox as eqx
import jax
import numpy as np

from attractor.data import Scaling

from .checkpoint import from_arrays
from .starting import needs_values, start_all

Kind = TypeVar("Kind", bool, int, float, str)

_SLACK = 2**20
"""Bytes that a network may have beside its stored weights: constants that are built anew."""
_MOST_ROWS = 2**20
"""Rows that may set the initial state; no recording settles for longer."""


def fact(table: Mapping[str, Any], name: str, kind: type[Kind]) -> Kind:
    """A fact of a card, once it is known to be a flag, a whole number, a number or a text.

    Raises:
        KeyError: there is none.
        TypeError: it is of another kind.
    """
    value = table[name]
    right = isinstance(value, int | float if kind is float else kind)
    if not right or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"{name} is {str(value)[:80]!r}, expected a {_NAMES[kind]}")
    return kind(value)


_NAMES: dict[type, str] = {bool: "flag", int: "whole number", float: "number", str: "text"}


def texts(table: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """A list of texts of a card.

    Raises:
        KeyError: there is none.
        TypeError: it is something else.
    """
    values = table[name]
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError(f"{name} is {str(values)[:80]!r}, expected a list of texts")
    return tuple(values)


def check_scaling(scaling: Scaling, signals: int) -> None:
    """Refuse a scaling of another number of signals.

    Raises:
        ValueError: it is one.
    """
    if len(scaling.offset) != signals:
        raise ValueError(f"a scaling of {len(scaling.offset)} signals where there are {signals}")


def check_sizes(options: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse options that no network with these weights can have.

    A unit has a weight in the read-out at least, a layer an array, and every replica a row in an array.

    Args:
        options: `hidden_size`, `layers`, `replicas`, `replica` and, if there is one, `washout`.
        arrays: the stored weights.

    Raises:
        KeyError: an option is missing.
        TypeError: one is no whole number.
        ValueError: one is not possible.
    """
    units = sum(array.size for array in arrays.values())
    replicas = max((array.shape[0] for array in arrays.values() if array.ndim), default=0)
    most = {"hidden_size": units, "layers": len(arrays), "replicas": replicas, "washout": _MOST_ROWS}
    for name, limit in most.items():
        if (name in options or name != "washout") and not 1 <= fact(options, name, int) <= limit:
            raise ValueError(f"{name}={options[name]}, but the stored weights allow at most {limit}")
    if not 0 <= fact(options, "replica", int) < options["replicas"]:
        raise ValueError(f"replica {options['replica']} of {options['replicas']}")


def restored(plan: Callable[..., Any], replicas: int, arrays: Mapping[str, np.ndarray], folder: Path) -> Any:
    """The replicas of a run with their stored weights.

    Args:
        plan: builds one from a key.
        replicas: how many.
        arrays: the stored weights.
        folder: of the run, for messages.

    Raises:
        RunFolderError: names, shapes or types of the weights are not those of the plan.
        ValueError: the plan asks for much more than was stored.
    """
    keys = jax.random.split(jax.random.key(0), replicas)
    build = eqx.filter_vmap(plan)
    try:
        _check_bytes(eqx.filter_eval_shape(build, keys), arrays)
    except Exception as problem:
        if not needs_values(problem):  # a constructor that does is code of the user's own, no claim of a card
            raise
    return from_arrays(start_all(build, plan, keys), arrays, str(folder))


def _check_bytes(blank: Any, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse a structure that asks for much more memory than was stored."""
    shapes = [one for one in jax.tree.leaves(blank) if isinstance(one, jax.ShapeDtypeStruct)]
    asked = sum(math.prod(one.shape) * one.dtype.itemsize for one in shapes)
    stored = sum(array.nbytes for array in arrays.values())
    if asked > 2 * stored + _SLACK:
        raise ValueError(f"the options ask for weights of {asked} bytes, and {stored} are stored")
