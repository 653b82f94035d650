"""What the steps of a user's cells compute now.

JAX compiles a function once for each structure of its arguments, and two cells have the same structure when
their code is the same. What that code reads of globals, closures and objects is not looked at again. So every
function here that is compiled for a cell takes the digests of `programs_of` as one more argument: a step that
has become another program is compiled anew.
"""

from collections.abc import Callable
from itertools import count
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from attractor.errors import CellError

from .digest import cell_digest
from .precision import plain
from .steady import has_own, may_change

_UNKNOWN = "unknown "
_count = count()


def programs_of(*trees: Any, double: bool | None = None) -> tuple[str, ...]:
    """A digest for every cell in some pytrees whose step may read what stands outside of it.

    Cells of this library and of Equinox have none. It takes some milliseconds a cell.

    Args:
        trees: arrays, modules, containers of them.
        double: the precision to trace in; None is that of the context, in which the step will run.
    """
    precise = jnp.result_type(float) == jnp.float64 if double is None else double
    nodes = jax.tree.leaves(trees, is_leaf=_may_be_another)
    found = (_digests(plain(node), double=precise) for node in nodes if _may_be_another(node))
    return tuple(text for texts in found for text in texts)


def _may_be_another(node: Any) -> bool:
    if isinstance(node, type) or not (callable(node) or has_own(node, "vector_field")):
        return False
    return (has_own(node, "initial_state") or has_own(node, "hidden_size")) and may_change(node)


def unchanged(tree: Any, known: tuple[str, ...] | None) -> tuple[str, ...]:
    """What `programs_of` says of a model, which is what it said before.

    Args:
        tree: the model.
        known: what was said when the model was trained or read; None says it for the first time.

    Raises:
        CellError: a step has become another program since.
    """
    found = programs_of(tree, double=False)  # as it was trained
    if known is not None and list(filter(_is_known, known)) != list(filter(_is_known, found)):
        raise CellError(
            "the step of the cell is not the one that this model was trained with: something that it reads, "
            "a global, a list or an object, has changed since. Put it back, or train again"
        )
    return found


def _is_known(digest: str) -> bool:
    return not digest.startswith(_UNKNOWN)


def _digests(cell: Any, *, double: bool) -> tuple[str, ...]:
    """Of the cell; of one that cannot be traced alone those inside of it, and something new at each call."""
    own = digest_or_new(lambda: cell_digest(cell, double=double))
    parts = list(vars(cell).values()) if isinstance(cell, eqx.Module) and not _is_known(own) else []
    return (own, *programs_of(parts, double=double))


def digest_or_new(digest: Callable[[], str]) -> str:
    """A digest, or where it cannot be made a text that is new each time: better compiled again than stale.

    Args:
        digest: makes it; what goes wrong in it is told where the code itself runs.
    """
    try:
        return digest()
    except Exception:  # noqa: BLE001 (a user's code may raise anything)
        return f"{_UNKNOWN}{next(_count)}"


__all__ = ["digest_or_new", "programs_of", "unchanged"]
