"""Which equation a saved model has, so that it is never read back with another one unnoticed.

A run folder keeps weights, not code: the cell is built again from its class when the run is read. If that
class was edited in the meantime, or another one of the same shapes is handed in, the weights still fit and
every number is wrong. So a card keeps the digest of the traced equation, one prediction for fixed inputs,
and the path of the user's file; all three are compared when the run is read.
"""

import hashlib
import inspect
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from attractor.cells import FAMILIES
from attractor.errors import ConfigError, RunFolderError
from attractor.program import quickly_compiled, single, single_precision
from attractor.program.digest import equation_digest
from attractor.runs import environment

from .checkpoint import Facts, holds_numbers, is_key
from .task import Model

Once = Callable[..., PyTree]
"""`once(network, *data)`: everything that a prediction hangs on, of one step over fixed data."""

_TOLERANCE = 1e-3
"""Two processors round one step differently by far less; another equation differs by more."""
_TRACERS = ("jax", "jaxlib", "equinox")
"""Packages that may trace the same source into another program."""


@single_precision()
def describe_equation(
    once: Once, network: Model, data: tuple[Array, ...], build: object
) -> dict[str, object]:
    """What a card keeps of an equation.

    Args:
        once: `once(network, *data)` makes one step and returns everything that a prediction hangs on.
        network: the trained one.
        data: fixed inputs of `once`.
        build: what built the cell: a name of the house, a class, or one with options.
    """
    return {
        "sha256": equation_digest(once, network, *data),
        "probe": _probe(once, network, data).tolist(),
        "cell_file": _file_of(build),
    }


@single_precision()
def check_rebuilds(
    once: Once,
    plan: Callable[[PRNGKeyArray], Model],
    data_of: Callable[[Model], tuple[Array, ...]],
    build: object,
) -> None:
    """Refuse a cell that is another one each time it is built, beyond the numbers that a run folder keeps.

    Args:
        once: `once(network, *data)`, see `describe_equation`.
        plan: builds a network from a key.
        data_of: gives the fixed inputs for a network.
        build: what built the cell.

    Raises:
        ConfigError: two builds have different equations.
    """
    facts = _file_of(build)
    if facts is None:
        return
    first, second = (plan(jax.random.key(seed)) for seed in (0, 1))
    data = data_of(first)
    if equation_digest(once, first, *data) == equation_digest(once, _with_numbers(second, first), *data):
        return
    raise ConfigError(
        f"{facts['name']} draws something while it is built that a run folder does not keep (in a static "
        "field, a closure or a global), so that a trained model could not be read back: draw it from the key "
        "into an array, or keep it in an ordinary field of the cell"
    )


def _with_numbers(built: Model, numbers: Model) -> Model:
    """A module with the arrays and numbers of another build of it, as a run folder gives them back."""
    leaves, structure = jax.tree.flatten(built)
    kept = jax.tree.leaves(numbers)
    if len(kept) != len(leaves):
        return built
    pairs = zip(leaves, kept, strict=True)
    return jax.tree.unflatten(structure, [other if holds_numbers(own) else own for own, other in pairs])


def check_equation(folder: Path, card: Facts, now: Facts) -> None:
    """Compare the equation of a card with that of the model that was built from it.

    Where the digests differ, but the cell is one of the house or JAX itself has changed since, the prediction
    decides: another version may write the same equation otherwise.

    Args:
        folder: of the run.
        card: its card.
        now: `describe_equation` of the model that was read.

    Raises:
        RunFolderError: the equations differ, or the same equation predicts something else.
    """
    saved, versions, made_with = card["equation"], _table(card.get("made_with")), environment()
    same = saved["sha256"] == now["sha256"]
    excused = now["cell_file"] is None or any(versions.get(one) != made_with.get(one) for one in _TRACERS)
    difference = _difference(saved.get("probe"), now["probe"])
    if difference <= _TOLERANCE and (same or excused):
        return
    if same:
        raise RunFolderError(
            f"{folder} does not predict what it did when it was saved (a probe differs by {difference:.2g}), "
            "though weights and equation are the same: the cell computes with something that JAX does not "
            "see, such as a callback; make it a field of the cell, or a constant"
        )
    raise RunFolderError(_refusal(folder, saved, now, difference))


def _refusal(folder: Path, saved: Facts, now: Facts, difference: float) -> str:
    was, here = _table(saved.get("cell_file")), _table(now["cell_file"])
    if _named(was) != _named(here):
        cause = f"it is read with {_named(here)}"
    elif not here:
        cause = "this version of Attractor computes it otherwise"
    elif was.get("sha256") != here["sha256"]:
        cause = "that file was edited since"
    else:
        cause = "what it imports, or draws while it is built, is not the same"
    if difference > _TOLERANCE:
        probe = f"The weights fit, but one step of a probe differs by {difference:.2g}"
    else:
        probe = "One step of a probe agrees, others need not"
    return (
        f"{folder} was trained with another equation, that of {_named(was)}: {cause}. {probe}. Take the "
        "equation back, hand in the right cell, or train again"
    )


def _named(cell_file: Facts) -> str:
    return f"{cell_file.get('name')} in {cell_file.get('path')}" if cell_file else "a cell of Attractor"


def _table(value: object) -> Facts:
    """What should be a table of facts, empty where a card holds something else."""
    return value if isinstance(value, Mapping) else {}


def _probe(once: Once, network: Model, data: tuple[Array, ...]) -> Float[np.ndarray, " numbers"]:
    """What one step gives, on the processor, so that an accelerator's rounding plays no part."""
    with jax.default_device(jax.devices("cpu")[0]):
        leaves = jax.tree.leaves(_computed(once, network, data))
    parts = [_real(np.asarray(leaf)) for leaf in leaves if not is_key(leaf)]
    return np.concatenate(parts) if parts else np.zeros(0)


@quickly_compiled
def _computed(once: Once, network: Model, data: tuple[Array, ...]) -> PyTree[Array]:
    return once(network, *data)


def _real(values: np.ndarray) -> Float[np.ndarray, " numbers"]:
    wide = values.astype(np.complex128 if values.dtype.kind == "c" else np.float64).ravel()
    return wide.view(np.float64)


def _difference(saved: object, now: object) -> float:
    """Largest difference relative to 1 + |value|; infinite where the numbers cannot be compared."""
    try:
        one, other = np.asarray(saved, float), np.asarray(now, float)
    except (TypeError, ValueError):
        return float("inf")
    if one.shape != other.shape:
        return float("inf")
    apart = np.abs(one - other) / (1 + np.abs(one))
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    return float(np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart)).max(initial=0.0))


def probe_rows(rows: int, channels: int) -> Float[Array, "rows channels"]:
    """Fixed numbers within [-1, 1] of which no two are alike, as inputs of a probe."""
    return single(np.sin(1.0 + np.arange(rows * channels)).reshape(rows, channels))


def _is_own(option: object) -> bool:
    """Whether this is code, and not of the house or of JAX."""
    if isinstance(option, str) or not callable(option) or option in FAMILIES.values():
        return False
    module = getattr(option, "__module__", None) or type(option).__module__
    return module.partition(".")[0] not in ("attractor", "jax", "jaxlib")


def _file_of(build: object) -> dict[str, str] | None:
    """Path, name and digest of the file that a cell of the user's own was written in.

    A cell of the house with a function of the user's own among its options or fields is one, too.
    """
    code = _code_of(build)
    if not _is_own(code):
        return None
    written = code if inspect.isroutine(code) or isinstance(code, type) else type(code)
    name = _name_in(sys.modules.get(written.__module__), build) or written.__qualname__
    try:
        path = Path(inspect.getfile(written))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, TypeError):
        return {"path": "no file", "name": name, "sha256": ""}
    return {"path": str(path.resolve()), "name": name, "sha256": digest}


def _code_of(build: object) -> object:
    """The class or function of the user's own behind what builds a cell, or the last thing that was found."""
    while not _is_own(build) or isinstance(build, partial):
        if isinstance(build, partial):
            parts, rest = build.keywords.values(), build.func
        elif isinstance(build, eqx.Module):
            parts, rest = vars(build).values(), None
        else:
            break
        build = next((part for part in parts if _is_own(part)), rest)
    return build


def _name_in(module: ModuleType | None, thing: object) -> str | None:
    """What a file calls a thing that it holds."""
    return next((name for name, value in vars(module).items() if value is thing), None) if module else None
