"""Options and cells as plain JSON, for run folders and fingerprints, and back."""

from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from attractor.cells import FAMILIES, cell_class, initial_state, take_step
from attractor.errors import RunFolderError

from .starting import needs_values


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
    return cell_name(value) if callable(value) else value


def describe_program(plan: Callable[[PRNGKeyArray], Any], inputs: int) -> str:
    """What a network computes at its start and in a step, as text: tells a changed cell of the user's own.

    The same source gives the same text in every process of one version of JAX.

    Args:
        plan: builds a network with a `cell` from a key.
        inputs: numbers that the cell takes at a step.
    """
    network = plan(jax.random.key(0))
    arrays, static = eqx.partition(network.cell, eqx.is_array)

    def step(arrays: Any, given: Array, state: Any) -> Any:
        return take_step(eqx.combine(arrays, static), given, state)

    given = jnp.zeros(inputs)
    return _start(plan, arrays) + jax.jit(step).lower(arrays, given, initial_state(network.cell)).as_text()


def _start(plan: Callable[[PRNGKeyArray], Any], drawn: Any) -> str:
    """How a network is drawn; what it draws, where the constructor is plain Python that asks for values."""
    try:
        return jax.jit(lambda key: eqx.filter(plan(key), eqx.is_array)).lower(jax.random.key(0)).as_text()
    except Exception as problem:
        if not needs_values(problem):
            raise
        return " ".join(np.asarray(leaf).tobytes().hex() for leaf in jax.tree.leaves(drawn))


def cell_name(build: Callable[..., Any]) -> str:
    """The registered name of a cell, or what a cell of the user's own calls itself, not that."""
    for name, known in FAMILIES.items():
        if build is known:
            return name
    own = getattr(build, "__qualname__", type(build).__qualname__)
    return f"own {own}" if own in FAMILIES else own


def find_cell(saved: Any, own: Callable[..., Any] | None, kind: str) -> Any:
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
    if saved in FAMILIES:
        return own or saved
    if own is not None:
        return own
    raise RunFolderError(
        f"this run uses a cell of your own, {saved!r}: hand it in, {kind}.load(folder, cell=...) from "
        "Python, --cell file.py:Class on the command line"
    )


def _fixed(option: Any) -> Any:
    """Lists, which JSON made of tuples, as tuples again."""
    return tuple(_fixed(one) for one in option) if isinstance(option, list) else option
