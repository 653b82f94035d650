"""A step gives back a state like the one it got; what differs is told in words, with the usual remedy."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from attractor.errors import ShapeError

from .contract import State, name_of


def check_same_state(
    owner: object, before: State, after: State, *, types: bool = False, input: Array | None = None
) -> None:
    """Refuse what a step returned where it is no state like the one before.

    Args:
        owner: whose step it is, for messages.
        before: the state that the step got.
        after: what it returned.
        types: whether also the types (float32, float64) must be the same, not only the kinds of numbers.
        input: that the step got, for the remedy; None if it is not known.

    Raises:
        ShapeError: another structure, another shape, or another kind of number; the message names the leaf.
    """
    name = name_of(owner)
    if after is None:
        raise ShapeError(f"the step of {name} returned nothing (None); it must `return` the new state")
    old, structure = jax.tree_util.tree_flatten_with_path(before)
    if jax.tree.structure(after) != structure:
        raise ShapeError(
            f"{name} turned {in_words(before)} into {in_words(after)}; "
            f"{_remedy_of_structure(before, after)}. A step returns the new state alone, of the same "
            "structure: `cell(input, state) -> state` (not the state beside an output)"
        )
    for (path, one), other in zip(old, jax.tree.leaves(after), strict=True):
        where = jax.tree_util.keystr(path)
        if not _is_number(other):
            raise ShapeError(f"{name} returned {type(other).__name__} in place of an array of numbers")
        if jnp.shape(one) != jnp.shape(other):
            _refuse_shape(name, where, one, other, input)
        if _kind(one) != _kind(other) or (types and jnp.result_type(one) != jnp.result_type(other)):
            _refuse_kind(name, where, one, other, input)


def in_words(state: State) -> str:
    """What a state looks like.

    Example:
        >>> in_words(jnp.zeros(4)), in_words({"c": jnp.zeros(()), "h": jnp.zeros(4)})
        ('a state of shape (4,)', "a dict of 2 arrays: ['c'] (), ['h'] (4,)")
    """
    leaves = jax.tree_util.tree_leaves_with_path(state)
    if jax.tree.structure(state) == jax.tree.structure(0):
        return f"a state of shape {_shape(state)}"
    kept = ", ".join(f"{jax.tree_util.keystr(path)} {_shape(leaf)}" for path, leaf in leaves[:_MOST])
    more = f", and {len(leaves) - _MOST} more" if len(leaves) > _MOST else ""
    count = f"{len(leaves)} array{'' if len(leaves) == 1 else 's'}"
    return f"a {type(state).__name__} of {count}: {kept}{more}" if leaves else "a state without an array"


_MOST = 6
"""Arrays of a state that a message lists."""


def _shape(leaf: object) -> str:
    return str(jnp.shape(leaf)) if _is_number(leaf) else type(leaf).__name__  # pyright: ignore[reportArgumentType]


def _remedy_of_structure(before: State, after: State) -> str:
    whole = jax.tree.structure(0)
    if jax.tree.structure(after) == whole and isinstance(before, list | tuple):
        return "start from one array: `jnp.array([...])` in place of a list or tuple"
    if jax.tree.structure(before) == whole and isinstance(after, list):
        return "return one array: `jnp.stack([...])` in place of a list"
    return "return what looks like initial_state()"


def _refuse_shape(name: str, where: str, before: Array, after: Array, input: Array | None) -> None:
    old, new = jnp.shape(before), jnp.shape(after)
    remedy = ""
    if old == () and input is not None and new == jnp.shape(input):
        remedy = (
            f"; the input is a vector of {len(input)}, the state is one number: take the number out of the "
            "input (`u[0]`), or start from a vector (`jnp.zeros(1)`)"
        )
    raise ShapeError(
        f"{name} turned a state{f' {where}' * bool(where)} of shape {old} into one of shape {new}{remedy}; "
        "a step must return a state like initial_state(), of the same structure, shapes and kinds of numbers"
    )


def _refuse_kind(name: str, where: str, before: Array, after: Array, input: Array | None) -> None:
    old, new, remedy = jnp.result_type(before), jnp.result_type(after), ""
    if _kind(before) == "whole" and _kind(after) == "real":
        shape = jnp.shape(before)
        start = f"jnp.zeros({shape[0] if len(shape) == 1 else shape})" if shape else "0.0"
        remedy = f"; start from floats, e.g. {start}"
    elif _kind(before) == "real" and _kind(after) == "complex":
        remedy = "; start from complex numbers, e.g. `jnp.zeros(..., complex)`, or return a real part"
    elif input is not None and jnp.result_type(input) == new:
        remedy = f"; the inputs are {new} as well: give them as {old}"
    elif _kind(before) == _kind(after):
        remedy = "; write `x.astype(state.dtype)` where the step makes or casts an array"
    raise ShapeError(
        f"{name} turned a state{f' {where}' * bool(where)} of shape {jnp.shape(before)}, {old}, into one of "
        f"{new}{remedy}; a step must return a state like initial_state(), of the same structure, shapes and "
        "types"
    )


def _is_number(leaf: object) -> bool:
    if isinstance(leaf, bool | int | float | complex):
        return True
    kind = getattr(leaf, "dtype", None)
    return kind is not None and kind != np.dtype(object)


def _kind(leaf: Array) -> str:
    dtype = jnp.result_type(leaf)
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):
        return "key"
    if jnp.issubdtype(dtype, jnp.complexfloating):
        return "complex"
    return "real" if jnp.issubdtype(dtype, jnp.floating) else "whole"
