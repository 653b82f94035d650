"""How the models of a training begin: all seeds drawn in one compiled call, or one after the other.

Compiled is faster, but a constructor that asks for values (`float(draw)`, `if radius > 0.9`) cannot be
compiled; it runs as plain Python then.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PRNGKeyArray

from attractor.errors import CellError, ConfigError

_VALUES = (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError)


def needs_values(problem: BaseException) -> bool:
    """Whether a computation failed because it was compiled and asked for values."""
    return isinstance(problem, _VALUES) or isinstance(problem.__cause__, _VALUES)


def structure_of(initial: Callable[[PRNGKeyArray], Any]) -> Any:
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
    compiled: Callable[[Array], Any], one: Callable[[PRNGKeyArray], Any], keys: Key[Array, " seeds"]
) -> Any:
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


def _stacked(starts: list[Any]) -> Any:
    arrays, rest = zip(*(eqx.partition(start, eqx.is_array) for start in starts), strict=True)
    for other in rest[1:]:
        if not eqx.tree_equal(other, rest[0]):
            raise ConfigError(
                "a cell draws plain numbers or sizes that differ from seed to seed; keep what is drawn in "
                "JAX arrays (jnp.asarray), or train one seed at a time"
            )
    return eqx.combine(jax.tree.map(lambda *leaves: jnp.stack(leaves), *arrays), rest[0])


__all__ = ["needs_values", "start_all", "structure_of"]
