"""A cell as a map of vectors: the one place that knows how a state becomes numbers and numbers a state.

Every analysis wants `x' = f(x, u)` with x a vector of real numbers. A state is any pytree of arrays. Its
leaves are sorted here, once for all readings:

* **real** leaves are entries of the vector as they stand,
* **complex** leaves are split into their real and imaginary parts, two entries for each number,
* **whole** leaves (counters, flags, indices) and **random keys** are carried along exactly, but nothing is
  differentiated with respect to them.

The vector holds the numbers of real and complex leaves first, in the order in which JAX flattens the pytree,
each array row by row (for a complex one all real parts, then all imaginary parts). Whole numbers and keys
come last. `FlatMap.real_size` says where they begin: only directions before it are directions in which a
state can move a little.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from math import prod
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from attractor.cells import (
    CellLike,
    State,
    exposed,
    initial_state,
    input_shape,
    input_size,
    name_of,
    shaped_input,
    take_step,
)
from attractor.errors import ShapeError, UnsupportedError

from .precision import in_precision, put
from .trace import trace
from .walk import needed


class LeafKind(Enum):
    """What a leaf of a state is made of."""

    REAL = "real"
    COMPLEX = "complex"
    WHOLE = "whole"
    KEY = "key"

    @property
    def differentiable(self) -> bool:
        """Whether a small change of the leaf is a change of the same kind."""
        return self in (LeafKind.REAL, LeafKind.COMPLEX)


@dataclass(frozen=True)
class Leaf:
    """One array of a state.

    Args:
        name: where it stands in the pytree, `['count']` or `[1].hidden`; empty for a state of one array.
        kind: what it is made of.
        shape: its shape.
        dtype: its type as the cell has it, a key type for random keys.
        numbers: how many entries of the vector it takes.
        generator: of random keys, how they are drawn from; None for other kinds.
    """

    name: str
    kind: LeafKind
    shape: tuple[int, ...]
    dtype: Any
    numbers: int
    generator: Any = None

    def __str__(self) -> str:
        """The leaf in words, for messages: its position and its type."""
        return f"{self.name or 'the state'} ({self.dtype})"


@dataclass(frozen=True)
class Layout:
    """Where the leaves of a state stand in the vector.

    Args:
        owner: name of the cell's class, for messages.
        structure: of the pytree.
        leaves: in the order of the pytree.
        dtype: floating type of the vector.
    """

    owner: str
    structure: Any
    leaves: tuple[Leaf, ...]
    dtype: Any

    @property
    def real_size(self) -> int:
        """Entries that can change a little: those of real and complex leaves, which come first."""
        return sum(leaf.numbers for leaf in self.leaves if leaf.kind.differentiable)

    @property
    def size(self) -> int:
        """All entries."""
        return sum(leaf.numbers for leaf in self.leaves)

    @property
    def discrete(self) -> tuple[Leaf, ...]:
        """The whole leaves and keys."""
        return tuple(leaf for leaf in self.leaves if not leaf.kind.differentiable)

    def _order(self) -> list[int]:
        """Leaves in the order of the vector."""
        return sorted(range(len(self.leaves)), key=lambda index: not self.leaves[index].kind.differentiable)

    def flatten(self, state: State) -> Float[Array, " numbers"]:
        """The vector of a state.

        Raises:
            ShapeError: the state has another structure, other shapes or types of another kind than the cell's
                initial state.
        """
        arrays = self.checked(state)
        known = not any(isinstance(array, Tracer) for array in arrays)
        numbers = _known_numbers if known else _numbers
        parts = [numbers(arrays[index], self.leaves[index], self.dtype) for index in self._order()]
        if known:
            return put(np.concatenate(parts))
        return jnp.concatenate(parts)

    def restore(self, vector: Float[Array, " numbers"]) -> State:
        """The state of a vector, every leaf with its own type."""
        arrays: list[Any] = [None] * len(self.leaves)
        start = 0
        for index in self._order():
            leaf = self.leaves[index]
            arrays[index] = _array(vector[start : start + leaf.numbers], leaf)
            start += leaf.numbers
        return jax.tree.unflatten(self.structure, arrays)

    def real_arrays(self, state: State) -> tuple[Array, ...]:
        """The arrays of which the real part of the vector is made, in its order: two for a complex leaf."""
        arrays: list[Array] = []
        for leaf, array in zip(self.leaves, self.checked(state), strict=True):
            if leaf.kind is LeafKind.REAL:
                arrays.append(array.astype(self.dtype))
            elif leaf.kind is LeafKind.COMPLEX:
                arrays += [jnp.real(array).astype(self.dtype), jnp.imag(array).astype(self.dtype)]
        return tuple(arrays)

    def with_real_arrays(self, state: State, arrays: Sequence[Array]) -> State:
        """A state whose real and complex leaves are made of other `real_arrays`."""
        left = iter(arrays)
        leaves = []
        for leaf, old in zip(self.leaves, jax.tree.leaves(state), strict=True):
            if leaf.kind is LeafKind.COMPLEX:
                leaves.append(jax.lax.complex(next(left), next(left)))
            else:
                leaves.append(next(left) if leaf.kind is LeafKind.REAL else old)
        return jax.tree.unflatten(self.structure, leaves)

    def with_real(self, state: State, vector: Float[Array, " real"]) -> State:
        """A state whose real and complex leaves are those of a vector; the others stay as they are."""
        rest = jnp.zeros(self.size - self.real_size, vector.dtype)
        made = self.restore(jnp.concatenate([vector, rest]))
        leaves = zip(self.leaves, jax.tree.leaves(made), jax.tree.leaves(state), strict=True)
        chosen = [new if leaf.kind.differentiable else old for leaf, new, old in leaves]
        return jax.tree.unflatten(self.structure, chosen)

    def checked(self, state: State) -> list[Array]:
        """The leaves of a state that is like the initial one, as arrays.

        Raises:
            ShapeError: it is not.
        """
        found = jax.tree.structure(state)
        if found != self.structure:
            raise ShapeError(
                f"{self.owner} turned a state {self.structure}, as of initial_state(), into {found}; a step "
                "returns the new state alone, of the same structure: `cell(input, state) -> state` (not the "
                "state beside an output)"
            )
        arrays = [self._array_of(leaf) for leaf in jax.tree.leaves(state)]
        for leaf, array in zip(self.leaves, arrays, strict=True):
            if array.shape != leaf.shape or _kind(array) is not leaf.kind:
                raise ShapeError(
                    f"{self.owner} turned {leaf}, shape {leaf.shape}, into {array.dtype} of shape "
                    f"{array.shape}; a step must return a state like initial_state(), of the same shapes and "
                    "kinds of numbers"
                )
        return arrays

    def _array_of(self, value: object) -> Array:
        try:
            return _as_array(value)
        except TypeError as problem:
            raise ShapeError(
                f"{self.owner} returned {type(value).__name__} in place of an array of numbers"
            ) from problem


class FlatMap(eqx.Module):
    """x' = f(x, u), y = g(x) of a cell, with x a vector of real numbers whatever the state looks like.

    Made by `flat_map`. It is a pytree: pass it to compiled functions, differentiate it, map over its arrays.

    Args:
        cell: the cell with its weights in the floating type of the map.
        start: the vector of the state that a sequence starts from, shape (size,).
        layout: where the leaves stand in it.
    """

    cell: CellLike
    start: Float[Array, " numbers"]
    layout: Layout = eqx.field(static=True)

    @property
    def size(self) -> int:
        """Length of x."""
        return len(self.start)

    @property
    def real_size(self) -> int:
        """Length of the part of x that can be differentiated, which comes first."""
        return min(self.layout.real_size, self.size)

    @property
    def input_size(self) -> int:
        """Length of u, an input of the cell row by row."""
        return input_size(self.cell)

    def step(
        self, state: Float[Array, " numbers"], input: Float[Array, " inputs"], key: PRNGKeyArray | None = None
    ) -> Float[Array, " numbers"]:
        """f: the vector after one step; without a key without noise.

        Raises:
            ShapeError: the step returns something else than a state.
        """
        own = shaped_input(self.cell, input)
        return self.flatten(take_step(self.cell, own, self.restore(state), key))

    def linearize(
        self, state: Float[Array, " numbers"], input: Float[Array, " inputs"], key: PRNGKeyArray | None = None
    ) -> tuple[Float[Array, " numbers"], Callable[[Array], Array]]:
        """The vector after one step, and the map that pushes a small change of its real part along."""
        real = self.real_size
        if real == self.size:
            return jax.linearize(lambda state: self.step(state, input, key), state)
        rest = state[real:]
        new, push = jax.linearize(
            lambda moved: self.step(jnp.concatenate([moved, rest]), input, key), state[:real]
        )
        return new, lambda change: push(change)[:real]

    def jacobian(
        self, state: Float[Array, " numbers"], input: Float[Array, " inputs"], key: PRNGKeyArray | None = None
    ) -> Float[Array, "real real"]:
        """Derivative of the real part after one step in that before it."""
        _, push = self.linearize(state, input, key)
        return jax.vmap(push, in_axes=1, out_axes=1)(jnp.eye(self.real_size, dtype=self.layout.dtype))

    def output(self, state: Float[Array, " numbers"]) -> Float[Array, " exposed"]:
        """g: what a read-out may see of a state."""
        return exposed(self.cell, self.restore(state))

    def flatten(self, state: State) -> Float[Array, " numbers"]:
        """The vector of a state of the cell.

        Raises:
            ShapeError: a state unlike the cell's initial state.
        """
        return self.layout.flatten(state)[: self.size]

    def restore(self, vector: Float[Array, " numbers"]) -> State:
        """The state that a vector stands for."""
        return self.layout.restore(vector)

    def still(self, reading: str, *, constants: bool = True) -> "HeldMap":
        """The map of the real part alone, whole leaves and keys held at their start.

        That is the cell's own map where the real part does not depend on what is held, or where that never
        changes. Anything else is refused: with its counter stopped the cell would be another one.

        Args:
            reading: what needs such a map, for the message: "fixed points".
            constants: whether the real part may depend on leaves that never change.

        Raises:
            UnsupportedError: a leaf that moves decides what the real part does; it is named.
        """
        if not self.layout.discrete:
            return HeldMap(self.cell, self.start, self.layout, self.start[:0])
        moving, used = _discrete_roles(self)
        for leaf in used:
            if leaf in moving or not constants:
                raise UnsupportedError(
                    f"{reading}: the step of {self.layout.owner} depends on {leaf} of its state, which "
                    + ("changes from step to step" if leaf in moving else "is no real number")
                    + "; only a map of real numbers can be read so. Keep it outside of the state, as a field "
                    "of the cell or as an input"
                )
        real = self.layout.real_size
        return HeldMap(self.cell, self.start[:real], self.layout, self.start[real:])


class HeldMap(FlatMap):
    """The real part of a map whose whole leaves and keys stay as they are at the start.

    Args:
        cell: the cell.
        start: its real part.
        layout: of the whole state.
        held: entries of whole leaves and keys.
    """

    held: Float[Array, " held"]

    def restore(self, vector: Float[Array, " numbers"]) -> State:
        """The state that a vector of the real part stands for."""
        return self.layout.restore(jnp.concatenate([vector, self.held.astype(vector.dtype)]))


def flat_map(cell: CellLike, state: State | None = None, *, dtype: DTypeLike = jnp.float64) -> FlatMap:
    """A cell as a map of vectors; for float64 call it inside `jax.enable_x64(True)`.

    Args:
        cell: any cell (a flow has its rates of change in place of a step: see `attractor.cells.discretise`).
        state: a state to start from; the cell's own initial state when None.
        dtype: floating type of the vector; weights and real leaves are converted to it, complex ones to the
            complex type of that precision.

    Raises:
        UnsupportedError: a leaf of the state that is no array of numbers, or a cell that does not say what
            its state is.
        ShapeError: a state unlike the cell's initial state.
    """
    converted = in_precision(cell, dtype)
    own = initial_state(converted)
    layout = layout_of(own, name_of(cell), dtype)
    return FlatMap(converted, layout.flatten(own if state is None else state), layout)


def layout_of(state: State, owner: str, dtype: DTypeLike = jnp.float64) -> Layout:
    """Where the leaves of a state stand in a vector.

    Args:
        state: a pytree of arrays.
        owner: whose state it is, for messages.
        dtype: floating type of the vector.

    Raises:
        UnsupportedError: a leaf that is no array of numbers, no leaf at all, or no number in them.
    """
    named, structure = jax.tree_util.tree_flatten_with_path(state)
    if not named:
        raise UnsupportedError(f"the initial state of {owner} holds no array; expected a pytree of arrays")
    leaves = tuple(_leaf(jax.tree_util.keystr(path), value, owner) for path, value in named)
    if not sum(leaf.numbers for leaf in leaves):
        raise UnsupportedError(f"the state of {owner} is empty (size 0); expected at least one number")
    return Layout(owner, structure, leaves, jnp.dtype(dtype))


def _leaf(name: str, value: object, owner: str) -> Leaf:
    try:
        array = _as_array(value)
        kind = _kind(array)
    except TypeError as problem:
        where = f"{type(value).__name__} at {name or 'its top'}"
        raise UnsupportedError(
            f"the initial state of {owner} holds {where}; expected arrays of numbers"
        ) from problem
    if kind is LeafKind.KEY:
        words = prod(jax.eval_shape(jax.random.key_data, array).shape)
        return Leaf(name, kind, tuple(array.shape), array.dtype, words, jax.random.key_impl(array))
    each = 2 if kind is LeafKind.COMPLEX else 1
    return Leaf(name, kind, tuple(array.shape), array.dtype, each * prod(array.shape))


def _as_array(value: object) -> Array:
    """An array as it stands; a Python number as JAX takes it."""
    return value if isinstance(value, jax.Array) else jnp.asarray(cast(ArrayLike, value))


def _kind(array: Array) -> LeafKind:
    if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
        return LeafKind.KEY
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        return LeafKind.COMPLEX
    if jnp.issubdtype(array.dtype, jnp.floating):
        return LeafKind.REAL
    return LeafKind.WHOLE


def _numbers(array: Array, leaf: Leaf, dtype: DTypeLike) -> Array:
    """The entries of a leaf; those of whole numbers have no derivative."""
    if leaf.kind is LeafKind.COMPLEX:
        return jnp.concatenate([jnp.real(array).ravel(), jnp.imag(array).ravel()]).astype(dtype)
    if leaf.kind is LeafKind.KEY:
        array = jax.random.key_data(array)
    entries = array.ravel().astype(dtype)
    return entries if leaf.kind is LeafKind.REAL else jax.lax.stop_gradient(entries)


def _known_numbers(array: Array, leaf: Leaf, dtype: DTypeLike) -> np.ndarray:
    """The same of an array that is not traced, by NumPy: JAX would compile a program for each shape."""
    values = np.asarray(jax.random.key_data(array) if leaf.kind is LeafKind.KEY else array)
    parts = (np.real(values), np.imag(values)) if leaf.kind is LeafKind.COMPLEX else (values,)
    return np.concatenate([part.ravel() for part in parts]).astype(dtype)


def _array(entries: Array, leaf: Leaf) -> Array:
    if leaf.kind is LeafKind.REAL:
        return entries.reshape(leaf.shape)
    if leaf.kind is LeafKind.COMPLEX:
        real, imaginary = entries.reshape(2, *leaf.shape)
        return jax.lax.complex(real, imaginary)
    fixed = jax.lax.stop_gradient(entries)
    if leaf.kind is LeafKind.KEY:
        words = fixed.astype(jnp.uint32).reshape(*leaf.shape, -1)
        return jax.random.wrap_key_data(words, impl=leaf.generator)
    return fixed.astype(leaf.dtype).reshape(leaf.shape)


def _discrete_roles(flat: FlatMap) -> tuple[set[Leaf], list[Leaf]]:
    """Whole leaves that may change in a step, and those on which the real part may depend, also by others.

    Read off the program: a leaf that is handed on as it came never changes, and what no operation of the real
    part has among its operands has no influence on it.
    """
    example = jnp.zeros(input_shape(flat.cell), flat.layout.dtype), flat.layout.restore(flat.start)
    program = trace(lambda input, state: take_step(flat.cell, input, state), *example)
    leaves = flat.layout.leaves
    incoming = program.jaxpr.invars[-len(leaves) :]
    outgoing = program.jaxpr.outvars
    moving = {leaf for leaf, old, new in zip(leaves, incoming, outgoing, strict=True) if old is not new}
    sources = [needed(program.jaxpr, [atom]) for atom in outgoing]
    reached: set[int] = set()
    more = {index for index, leaf in enumerate(leaves) if leaf.kind.differentiable}
    while not more <= reached:
        reached |= more
        more = {other for index in reached for other, old in enumerate(incoming) if old in sources[index]}
    used = [leaf for index, leaf in enumerate(leaves) if index in reached and not leaf.kind.differentiable]
    return {leaf for leaf in moving if not leaf.kind.differentiable}, used


def hessian_before(
    step: Callable[[Array], Array],
    state: Float[Array, " states"],
    after: tuple[Float[Array, " states"], Float[Array, "states states"]],
    *,
    curvature: bool = True,
) -> tuple[Float[Array, " states"], Float[Array, "states states"]]:
    r"""Gradient and Hessian of a loss in the state before a step, from those in the state after it.

    With J the Jacobian of the step f, $\lambda$ the gradient and R the Hessian after it, they are
    $J' \lambda$ and $J' R J + \sum_p \lambda_p \nabla^2 f_p$.

    Args:
        step: f, of flat states.
        state: before the step.
        after: gradient and Hessian after it.
        curvature: with the second derivatives of the step; without them R is that of Gauss and Newton.
    """
    slope, hessian = after
    jacobian = jax.jacfwd(step)(state)
    before = jacobian.T @ hessian @ jacobian
    if curvature:
        before += jax.hessian(lambda state: slope @ step(state))(state)
    return slope @ jacobian, before
