"""How a cell is made of what a user hands in: a name, a class, a function that builds one, or a cell."""

from collections.abc import Callable
from inspect import Parameter, isclass, isfunction, signature
from typing import TypeGuard

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from attractor.errors import CellError, ConfigError
from attractor.registry import Registry

from .arguments import how_to_wrap, input_first, means_state, positional, state_first
from .calling import calling, check_derivative
from .constant import check_trained_arrays
from .contract import CellLike, name_of

CellBuilder = Callable[..., CellLike]
"""`build(input_size, hidden_size, *, key) -> cell`: a class or a function."""

FAMILIES = Registry[str, CellBuilder]("cell", "attractor.cells", __package__)
"""Families of cells by name, for the command line, estimators and run folders.

Every file of this package registers what it defines; another package does so by an entry point.
"""


def cell_class(name: str) -> CellBuilder:
    """The class behind a name.

    Raises:
        ConfigError: unknown name; the nearest one is suggested.
    """
    try:
        return FAMILIES.find(name)
    except ConfigError as problem:
        raise ConfigError(f"{problem}, or give a class of your own") from problem


def build_cell(
    build: Callable[..., object],
    input_size: int | None,
    hidden_size: int | None,
    *,
    key: PRNGKeyArray,
    fill: bool = False,
    **more: object,
) -> CellLike:
    """A cell from what builds it, called with what it asks for.

    Args:
        build: a class or function that takes sizes, first inputs and then units, and a `key`, or less: only
            the inputs, no key. Or a cell that is built already, for that number of inputs.
        input_size: number of inputs; None takes a cell that is built with the inputs that it has, and builds
            others with one.
        hidden_size: number of units; None for those of a cell that is built, and `UNITS` of others.
        key: draws the weights.
        fill: give sizes also where the signature has defaults for them.
        more: further arguments, handed over where the signature names them.

    Raises:
        ConfigError: it asks for something else, makes no cell, or is one for another number of inputs.
        CellError: it fails.
    """
    if is_built(build):
        return _as_it_stands(build, input_size)
    sizes = 1 if input_size is None else input_size, UNITS if hidden_size is None else hidden_size
    arguments, options = _arguments(build, sizes, {"key": key, **more}, fill)
    try:
        with calling(build, "constructor"):
            made = build(*arguments, **options)
    except CellError as problem:
        if not isfunction(build):
            raise
        raise CellError(f"{problem}. If it is an update equation: {how_to_wrap(build)}") from problem
    if callable(made) and _has_state(made):
        return made
    if hasattr(made, "vector_field"):
        raise ConfigError(_no_map(_named(build)))
    raise ConfigError(
        f"{_named(build)} made {type(made).__name__}, which is no cell. A cell is a module with "
        "`__call__(input, state)` and `initial_state()` (or `hidden_size`). If it is an update equation: "
        f"{how_to_wrap(build)}"
    )


UNITS = 64
"""Of a cell whose size nobody said."""


def _no_map(name: str) -> str:
    made = name[:1].upper() + name[1:] if name.isidentifier() else ""
    return (
        f"{name} is a flow, not a map: give its map, `{made}Map = attractor.cells.discretise(flow, step)`, "
        "with the flow itself and the time of one step"
    )


def is_built(thing: object) -> TypeGuard[CellLike]:
    """Whether something is a cell as it stands, and not a class or a function that builds one."""
    if isinstance(thing, eqx.Module):
        return True
    return callable(thing) and not isclass(thing) and _has_state(thing)


def _has_state(thing: object) -> bool:
    return hasattr(thing, "initial_state") or hasattr(thing, "hidden_size")


def trained_cell(
    build: Callable[..., object], input_size: int, hidden_size: int, *, key: PRNGKeyArray, **more: object
) -> CellLike:
    """As `build_cell`, for a cell that is to be trained.

    Raises:
        ConfigError: also where the input is not a vector, or where nobody can tell whether NumPy arrays in
            the cell are weights.
        CellError: the constructor fails, or the step has no derivative.
    """
    cell = _in_types_of_today(build_cell(build, input_size, hidden_size, key=key, fill=True, **more))
    check_module(cell)
    check_vector_input(cell)
    check_trained_arrays(cell)
    if not getattr(cell, "fixed", False):
        check_derivative(cell)
    return cell


def check_module(cell: object) -> None:
    """Refuse an object that JAX does not look into: its weights would silently stay as they are.

    Raises:
        ConfigError: it is no Equinox module.
    """
    if not isinstance(cell, eqx.Module):
        raise ConfigError(
            f"{name_of(cell)} is a plain object, whose numbers cannot be trained or saved; inherit from "
            "attractor.Cell or equinox.Module, or make a cell of its step: "
            "attractor.cell(step, input_size, initial)"
        )


def check_vector_input(cell: CellLike) -> None:
    """Refuse a cell whose input is not a vector, where inputs are the columns of a table.

    Raises:
        ConfigError: it is one.
    """
    shape = getattr(cell, "input_shape", None)
    if shape is not None and len(shape) != 1:
        raise ConfigError(
            f"{name_of(cell)} takes inputs of shape {shape}; here the inputs are the columns of a table, a "
            "vector: write `input_size` alone, and reshape the input inside the step"
        )


def _in_types_of_today(cell: CellLike) -> CellLike:
    """Arrays of 64 bits as 32, where JAX computes in these: the cell may have been made where it does not."""

    def narrow(leaf: object) -> object:
        if not isinstance(leaf, jax.Array) or jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return leaf
        return jnp.asarray(leaf, jax.dtypes.canonicalize_dtype(leaf.dtype))

    return jax.tree.map(narrow, cell)


def _as_it_stands(cell: CellLike, input_size: int | None) -> CellLike:
    own = getattr(cell, "input_size", input_size)
    if input_size is not None and own != input_size:
        raise ConfigError(f"{name_of(cell)} has {own} inputs, {input_size} are needed")
    if not callable(cell) and hasattr(cell, "vector_field"):
        raise ConfigError(_no_map(name_of(cell)))
    return cell


def _arguments(
    build: Callable[..., object], sizes: tuple[int, int], options: dict[str, object], fill: bool
) -> tuple[tuple[int, ...], dict[str, object]]:
    """What to call it with, or an error that says what it asks for beyond that."""
    try:
        parameters = list(signature(build).parameters.values())
    except (TypeError, ValueError):  # no signature to read: it is told what the contract says
        return sizes, options
    asked = [one.name for one in positional(build) or () if one.default is Parameter.empty]
    if not isclass(build) and _looks_like_step(asked):
        raise ConfigError(
            f"{_named(build)} looks like an update equation `step(input, state)`, not like something that "
            f"builds a cell: {how_to_wrap(build)}"
        )
    by_position = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    own = [one for one in by_position if one.name not in options]
    needed = [one for one in own if one.default is Parameter.empty]
    every = any(one.kind is Parameter.VAR_POSITIONAL for one in parameters)
    given = sizes if every else sizes[: max(len(needed), _sizes_with_defaults(own) if fill else 0)]
    missing = [one.name for one in needed[2:]] + [
        one.name
        for one in parameters
        if one.kind is Parameter.KEYWORD_ONLY and one.default is Parameter.empty and one.name not in options
    ]
    if missing:
        raise ConfigError(
            f"{_named(build)} needs {', '.join(missing)}; a cell is built with the number of inputs, the "
            "number of units and a key. Give the rest with functools.partial, or defaults"
        )
    open_ended = any(one.kind is Parameter.VAR_KEYWORD for one in parameters)
    names = {one.name for one in parameters}
    return given, {name: value for name, value in options.items() if name in names or open_ended}


def _looks_like_step(names: list[str]) -> bool:
    """Whether the arguments of a function are called like an input and a state, or like a state alone."""
    first, second = [*names, "", ""][:2]
    if not second:
        return means_state(first)
    # Somebody may well build a cell from numbers that are called inputs and hidden.
    return (input_first(first, second) or state_first(first, second)) and "hidden" not in (first, second)


def _sizes_with_defaults(own: list[Parameter]) -> int:
    """How many of the first two arguments are sizes: they must be given, or have the names of sizes."""
    count = 0
    for one in own[:2]:
        if one.default is not Parameter.empty and not any(word in one.name for word in _SIZES):
            break
        count += 1
    return count


_SIZES = ("size", "input", "hidden", "unit", "dim", "width", "feature", "channel", "n_")


def _named(thing: object) -> str:
    return getattr(thing, "__name__", None) or type(thing).__name__
