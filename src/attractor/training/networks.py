"""How networks are made: from keys when a training begins, and from the card of a run when it is read back.

All seeds are drawn in one compiled call, which is fast. A constructor that asks for values (`float(draw)`,
`if radius > 0.9`) cannot be compiled; it runs as plain Python, one seed after the other.

A card describes options and cells as plain JSON. It is text, and text can claim anything: its digest finds
accidents, but whoever writes a card can write the digest as well. So the kind of every fact is checked, and
the size that the facts ask for is compared with the size of the stored weights before memory is taken.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PRNGKeyArray

from attractor.cells import (
    FAMILIES,
    CellLike,
    Stack,
    State,
    cell_class,
    exposed_size,
    initial_state,
    take_step,
)
from attractor.cells.building import CellBuilder
from attractor.data import Scaling
from attractor.errors import CellError, ConfigError, RunFolderError
from attractor.program import programs_of
from attractor.settings import checked

from .checkpoint import Facts, from_arrays
from .task import Model

AUTO = "auto"
"""The name of a cell where an estimator chooses the family itself and keeps its choice among its facts."""
_Shape = jax.ShapeDtypeStruct
_VALUES = (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError)


def needs_values(problem: BaseException) -> bool:
    """Whether a computation failed because it was compiled and asked for values."""
    return isinstance(problem, _VALUES) or isinstance(problem.__cause__, _VALUES)


def structure_of(initial: Callable[[PRNGKeyArray], Model]) -> Model:
    """What a function of a key makes, without its values where that is possible.

    Args:
        initial: draws a model.

    Raises:
        CellError: it fails.
    """
    key = jax.random.key(0)
    try:
        return eqx.filter_eval_shape(initial, key)
    except (CellError, *_VALUES) as problem:
        if not needs_values(problem):
            raise
        return initial(key)


def start_all(
    compiled: Callable[[Array], Model], one: Callable[[PRNGKeyArray], Model], keys: Key[Array, " seeds"]
) -> Model:
    """Starts for all keys, on a leading axis of their arrays.

    Args:
        compiled: all keys -> all starts.
        one: a key -> one start, uncompiled.
        keys: one for every seed.

    Raises:
        CellError: a start fails.
        ConfigError: starts of different keys differ in more than their arrays.
    """
    try:
        return compiled(keys)
    except (CellError, *_VALUES) as problem:
        if not needs_values(problem):
            raise
    return _stacked([one(key) for key in keys])


def _stacked(starts: list[Model]) -> Model:
    arrays, rest = zip(*(eqx.partition(start, eqx.is_array) for start in starts), strict=True)
    for other in rest[1:]:
        if not eqx.tree_equal(other, rest[0]):
            raise ConfigError(
                "a cell draws plain numbers or sizes that differ from seed to seed; keep what is drawn in "
                "JAX arrays (jnp.asarray), or train one seed at a time"
            )
    return eqx.combine(jax.tree.map(lambda *leaves: jnp.stack(leaves), *arrays), rest[0])


def stacked(
    build: Callable[[int, int, PRNGKeyArray], CellLike], layers: int, inputs: int, key: PRNGKeyArray
) -> CellLike:
    """One cell, or several one above the other, each of which reads what the one below exposes.

    Args:
        build: level from 0, numbers that the cell takes, key -> the cell of that level.
        layers: how many.
        inputs: numbers that the first one takes.
        key: draws all of them.
    """
    if layers == 1:
        return build(0, inputs, key)
    cells: list[CellLike] = []
    for level, own in enumerate(jax.random.split(key, layers)):
        cells.append(build(level, exposed_size(cells[-1]) if cells else inputs, own))
    return Stack(tuple(cells))


def describe_option(value: Any) -> Any:
    """An option as plain JSON: the same in every process, for a cell of the user's own as well."""
    if isinstance(value, partial):
        options = {name: describe_option(option) for name, option in value.keywords.items()}
        return {"cell": describe_option(value.func), "options": options}
    if isinstance(value, eqx.Module) and callable(value):  # a cell as it stands; what it computes is traced
        return cell_name(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {name: describe_option(setting) for name, setting in asdict(value).items()}
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        return np.asarray(value).tolist()
    if isinstance(value, tuple | list):
        return [describe_option(one) for one in value]
    return cell_name(value) if callable(value) else value  # pyright: ignore[reportArgumentType]


def describe_program(plan: Callable[[PRNGKeyArray], Model], inputs: int) -> str:
    """What a network computes at its start and in a step, as text: tells a changed cell of the user's own.

    The same source gives the same text in every process of one version of JAX.

    Args:
        plan: builds a network with a `cell` from a key.
        inputs: numbers that the cell takes at a step.
    """
    network = plan(jax.random.key(0))
    arrays, static = eqx.partition(network.cell, eqx.is_array)

    def step(arrays: CellLike, given: Array, state: State) -> State:
        return take_step(eqx.combine(arrays, static), given, state)

    given = jnp.zeros(inputs)
    return _start(plan, arrays) + jax.jit(step).lower(arrays, given, initial_state(network.cell)).as_text()


def _start(plan: Callable[[PRNGKeyArray], Model], drawn: CellLike) -> str:
    """How a network is drawn; what it draws, where the constructor is plain Python that asks for values."""
    try:
        return jax.jit(lambda key: eqx.filter(plan(key), eqx.is_array)).lower(jax.random.key(0)).as_text()
    except Exception as problem:
        if not needs_values(problem):
            raise
        return " ".join(np.asarray(leaf).tobytes().hex() for leaf in jax.tree.leaves(drawn))


def cell_name(build: CellBuilder) -> str:
    """The registered name of a cell, or the name of its class or function, marked where both are alike."""
    for name, known in FAMILIES.items():
        if build is known:
            return name
    own = getattr(build, "__qualname__", type(build).__qualname__)
    return f"own {own}" if own in FAMILIES else own


def find_cell(saved: Any, own: CellBuilder | None, kind: str) -> str | CellBuilder:
    """The cell of a card: a registered name, the user's own, or one of them with options.

    Args:
        saved: what `describe_option` made of it.
        own: a cell that the user hands in.
        kind: the estimator that is being read, for the message.

    Raises:
        RunFolderError: the run has a cell of the user's own, or one with options that a card only describes,
            and none was handed in.
    """
    if isinstance(own, partial):
        return own
    if isinstance(saved, dict):
        described = [name for name, option in saved["options"].items() if isinstance(option, dict)]
        if described:
            raise RunFolderError(
                f"this run's cell was built with {', '.join(described)}=..., which a run folder only "
                f"describes: hand the cell in, {kind}.load(folder, cell=partial(...)) as it was trained"
            )
        inner = find_cell(saved["cell"], own, kind)
        options = {name: _fixed(option) for name, option in saved["options"].items()}
        return partial(cell_class(inner) if isinstance(inner, str) else inner, **options)
    if saved in FAMILIES or saved == AUTO:
        return own or saved
    if own is not None:
        return own
    raise RunFolderError(
        f"this run uses a cell of your own, {saved!r}: hand it in, {kind}.load(folder, cell=...) from "
        "Python, --cell file.py:Class on the command line"
    )


def _fixed(option: object) -> object:
    """Lists, which JSON made of tuples, as tuples again."""
    return tuple(_fixed(one) for one in option) if isinstance(option, list) else option


_SLACK = 2**20
"""Bytes that a network may have beside its stored weights: constants that are built anew."""
_MOST_ROWS = 2**20
"""Rows that may set the initial state; no recording settles for longer."""


def fact(table: Facts, name: str, kind: object) -> Any:
    """A fact of a card, once it is known to be what an annotation says, see `attractor.settings`.

    Raises:
        KeyError: there is none.
        ConfigError: it is something else.
    """
    return checked(name, kind, table[name])


def check_scaling(scaling: Scaling, signals: int) -> None:
    """Refuse a scaling of another number of signals.

    Raises:
        ValueError: it is one.
    """
    if len(scaling.offset) != signals:
        raise ValueError(f"a scaling of {len(scaling.offset)} signals where there are {signals}")


def check_sizes(options: Facts, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse options that no network with these weights can have.

    A unit has a weight in the read-out at least, a layer an array, and every replica a row in an array.

    Args:
        options: `hidden_size`, `layers`, `replicas`, `replica` and, if there is one, `washout`.
        arrays: the stored weights.

    Raises:
        KeyError: an option is missing.
        ConfigError: one is no whole number.
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


def restored(
    plan: Callable[[PRNGKeyArray], Model], replicas: int, arrays: Mapping[str, np.ndarray], folder: Path
) -> Model:
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
        blank = eqx.filter_eval_shape(build, keys)
        _check_bytes(blank, arrays)
    except Exception as problem:
        if not needs_values(problem):  # a constructor that does is code of the user's own, no claim of a card
            raise
        blank = None
    empty = None if blank is None else _without_values(blank)
    # A cell of the house holds no arrays but those that are stored; one of the user's own may, in a closure.
    like = start_all(build, plan, keys) if empty is None or programs_of(empty, double=False) else empty
    return from_arrays(like, arrays, str(folder))


def _without_values(blank: Model) -> Model | None:
    """Zeros in place of shapes and types, for which nothing is compiled; None where there are random keys."""
    if not all(isinstance(one.dtype, np.dtype) for one in _shapes(blank)):
        return None
    return jax.tree.map(
        lambda one: jax.device_put(np.zeros(one.shape, one.dtype)) if isinstance(one, _Shape) else one, blank
    )


def _shapes(blank: Model) -> list[_Shape]:
    return [one for one in jax.tree.leaves(blank) if isinstance(one, _Shape)]


def _check_bytes(blank: Model, arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse a structure that asks for much more memory than was stored."""
    asked = sum(math.prod(one.shape) * one.dtype.itemsize for one in _shapes(blank))
    stored = sum(array.nbytes for array in arrays.values())
    if asked > 2 * stored + _SLACK:
        raise ValueError(f"the options ask for weights of {asked} bytes, and {stored} are stored")
