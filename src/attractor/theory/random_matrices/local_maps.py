r"""The per-unit part of a step, and the random matrices between its parts.

Apart from products y = U x with matrices, a recurrent step acts on every unit by itself. Its derivatives
there are small matrices, one of each for every unit i:

$$s'_i = A_i s_i + B_i y_i, \qquad x_i = C_i s_i + E_i y_i$$

with s the entries of the state that belong to the unit, y what products bring to it and x what it gives to
products. E leads from one product to a later one (the reset gate of a GRU), or is that of a hidden layer.

Which entries belong to a unit is read off the program of the step. Matrices that do not depend on the state
are cut out; what is left links entries: two that meet in an elementwise operation belong to one unit. Nothing
is assumed about how a cell stacks its gates or orders its state.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import JaxprEqn
from jax.typing import ArrayLike
from jaxtyping import Array, Float
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from attractor.cells import shaped_input
from attractor.dynamics.jacobians import Point
from attractor.errors import UnsupportedError
from attractor.program import Kind, LeafKind, Program, interpret, location, of_kind, quickly_compiled, trace
from attractor.program.walk import apply, bound, forward, value_of

ELEMENTWISE = of_kind(Kind.ELEMENTWISE, Kind.CHOOSING)
MOVING = of_kind(Kind.MOVING)
REDUCING = of_kind(Kind.REDUCING)
# Number of an entry that does not depend on the state.
FREE = -1
# Entries of the state in one unit; more are units that meet outside of products (a norm, a mean).
_LARGEST_UNIT = 8


# More matrices than this are not a few large ones (a loop over units, written out).
_MOST_BLOCKS = 48


@dataclass(frozen=True, eq=False)
class Entries:
    """For every entry of an array the number of a state entry, or a product's entry, that it depends on."""

    numbers: np.ndarray


# What does not depend on the state comes as it is.
Operand = Entries | ArrayLike


@dataclass(frozen=True, eq=False)
class Product:
    """y = W x of a matrix and a vector that depends on the state.

    Args:
        matrix: W.
        vector: the variable of the program that holds x.
        result: the one that holds y.
        columns: numbers of the entries of x.
        rows: numbers of the entries of y.
    """

    matrix: np.ndarray
    vector: Any
    result: Any
    columns: np.ndarray
    rows: np.ndarray


@dataclass(frozen=True, eq=False)
class Cut:
    """A step cut open at its products.

    Args:
        products: in the order of the program.
        units: for every number of an entry the unit that it belongs to.
        states: entries of the flat state; their numbers come first.
    """

    products: tuple[Product, ...]
    units: np.ndarray
    states: int


def cut_at_products(program: Program, input: Array, shapes: Sequence[tuple[int, ...]]) -> Cut:
    """Cut a program `(input, state) -> state'` at its products with matrices.

    Args:
        program: the step.
        input: its first argument.
        shapes: of the leaves of the state.

    Raises:
        UnsupportedError: an operation that is neither elementwise, nor moves entries, nor a product of a
            matrix with a vector; the message names it and its line in the user's file.
    """
    walk = _Walk()
    state = [Entries(walk.new(shape)) for shape in shapes]
    size = walk.count
    results = interpret(program, walk.rules, [input, *state], "spectral curve")
    for before, after in zip(state, results, strict=True):
        if isinstance(after, Entries):  # both are the same coordinate of the unit
            walk.link(before.numbers, after.numbers)
    return Cut(tuple(walk.products), walk.units(), size)


@dataclass
class _Walk:
    """Numbers entries, and remembers links between them."""

    count: int = 0
    links: list[np.ndarray] = field(default_factory=list)
    products: list[Product] = field(default_factory=list)

    @property
    def rules(self) -> dict[str, Callable[..., object]]:
        return {
            **dict.fromkeys(ELEMENTWISE, self.elementwise),
            **dict.fromkeys(MOVING, _move),
            **dict.fromkeys(REDUCING, self.reduce),
            "dot_general": self.product,
        }

    def new(self, shape: tuple[int, ...]) -> np.ndarray:
        first, self.count = self.count, self.count + int(np.prod(shape))
        return np.arange(first, self.count).reshape(shape)

    def link(self, one: np.ndarray, other: np.ndarray) -> None:
        both = (one != FREE) & (other != FREE) & (one != other)
        self.links.append(np.stack([one[both], other[both]]))

    def units(self) -> np.ndarray:
        ends = np.concatenate([np.empty((2, 0), int), *self.links], axis=1)
        graph = coo_array((np.ones(ends.shape[1]), (ends[0], ends[1])), shape=(self.count, self.count))
        return connected_components(graph, directed=False)[1]

    def elementwise(self, equation: JaxprEqn, *operands: Operand) -> Entries:
        shape = _shape(equation)
        given = [np.broadcast_to(one.numbers, shape) for one in operands if isinstance(one, Entries)]
        joined = np.asarray(np.max(given, axis=0))
        for numbers in given:
            self.link(numbers, joined)
        return Entries(joined)

    def reduce(self, equation: JaxprEqn, operand: Entries) -> Entries:
        axes = tuple(equation.params["axes"])
        joined = np.asarray(operand.numbers.max(axes))
        self.link(operand.numbers, np.broadcast_to(np.expand_dims(joined, axes), operand.numbers.shape))
        return Entries(joined)

    def product(self, equation: JaxprEqn, left: Operand, right: Operand) -> Entries:
        vector, matrix = (left, right) if isinstance(left, Entries) else (right, left)
        contracted, batch = equation.params["dimension_numbers"]
        if (
            isinstance(matrix, Entries)
            or not isinstance(vector, Entries)
            or (vector.numbers.ndim, len(batch[0])) != (1, 0)
            or np.ndim(matrix) > 2
        ):
            raise UnsupportedError(
                f"a product that is not that of a fixed matrix and a vector{location(equation)}"
            )
        which = 0 if vector is left else 1
        turned = np.moveaxis(np.asarray(matrix), contracted[1 - which][0], -1)
        rows = self.new(_shape(equation))
        atom, result = equation.invars[which], equation.outvars[0]
        flat = np.atleast_2d(turned)
        self.products.append(Product(flat, atom, result, vector.numbers, rows.reshape(-1)))
        return Entries(rows)


def _shape(equation: JaxprEqn) -> tuple[int, ...]:
    result: Any = equation.outvars[0].aval
    return result.shape


def _move(equation: JaxprEqn, *operands: Operand) -> list[Entries]:
    """Let the primitive move the numbers."""
    name = equation.primitive.name
    moving = (
        range(len(operands)) if name == "concatenate" else (0, 1) if name == "dynamic_update_slice" else (0,)
    )
    given = [_numbers(operand) if index in moving else operand for index, operand in enumerate(operands)]
    if name == "pad":
        given[1] = jnp.asarray(FREE)
    if any(isinstance(one, Entries) for one in given):
        raise UnsupportedError(f"'{name}'{location(equation)} at an index that depends on the state")
    results = equation.primitive.bind(*given, **equation.params)
    several = results if equation.primitive.multiple_results else [results]
    return [Entries(np.asarray(np.maximum(np.asarray(moved), FREE))) for moved in several]


def _numbers(operand: Operand) -> Array:
    if isinstance(operand, Entries):
        return jnp.asarray(operand.numbers)
    return jnp.full(np.shape(operand), FREE)


@dataclass(frozen=True, eq=False)
class Units:
    """Units of one kind with their derivatives.

    Args:
        own: A, shape (units, states, states).
        driven: B, shape (units, states, results).
        shown: C, shape (units, vectors, states).
        passed: E, shape (units, vectors, results).
    """

    own: Float[np.ndarray, "units states states"]
    driven: Float[np.ndarray, "units states results"]
    shown: Float[np.ndarray, "units vectors states"]
    passed: Float[np.ndarray, "units vectors results"]


@dataclass(frozen=True)
class Port:
    """One of the results y, or of the vectors x, of all units of a kind: the kind, and which of them."""

    kind: int
    index: int


@dataclass(frozen=True, eq=False)
class Block:
    """The part of a matrix that leads from vectors of one kind of units to results of another."""

    to: Port
    origin: Port
    matrix: Float[np.ndarray, "to origin"]


@dataclass(frozen=True, eq=False)
class LocalMaps:
    """Everything that the eigenvalues of a step depend on at one state."""

    units: tuple[Units, ...]
    blocks: tuple[Block, ...]


@dataclass(frozen=True, eq=False)
class _Kind:
    """Which entries the units of one kind have, arrays (units, entries), and of which products."""

    states: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    row_products: tuple[int, ...]
    column_products: tuple[int, ...]


def local_maps(here: Point) -> LocalMaps:
    """Cut the step at its products and differentiate what is left, unit by unit.

    Raises:
        UnsupportedError: the step is not elementwise between products with matrices.
    """
    program, cut, kinds = cut_step(here)
    blocks = tuple(_blocks(cut, kinds))
    if len(blocks) > _MOST_BLOCKS:
        raise UnsupportedError(
            f"the step has {len(blocks)} matrices between units of {len(kinds)} kinds; at most {_MOST_BLOCKS}"
        )
    return LocalMaps(_differentiated(program, cut, here, kinds), blocks)


def cut_step(here: Point) -> tuple[Program, Cut, list[_Kind]]:
    """The step as a program, cut at its products, and the kinds of units between them.

    Raises:
        UnsupportedError: the step is not elementwise between products with matrices.
    """
    for leaf in here.flat.layout.leaves:
        if leaf.kind is not LeafKind.REAL:
            raise UnsupportedError(f"the state holds {leaf}; units are read off a state of real numbers")
    cell = here.flat.cell
    program = trace(lambda input, state: cell(shaped_input(cell, input), state), here.input, here.state)
    leaves = jax.tree.leaves(here.state)
    structure = program.outputs
    if structure != jax.tree.structure(here.state):
        raise UnsupportedError("the step returns a state of another structure")
    cut = cut_at_products(program, here.input, [leaf.shape for leaf in leaves])
    return program, cut, _kinds(cut, [leaf.size for leaf in leaves])


def _kinds(cut: Cut, sizes: Sequence[int]) -> list[_Kind]:
    """Units with the same entries of the same arrays, together."""
    table = _table(cut, sizes)
    first = np.flatnonzero(np.r_[True, np.diff(table[:, 0]) > 0])
    alike: dict[bytes, list[np.ndarray]] = defaultdict(list)
    for entries in np.split(table, first[1:]):
        alike[entries[:, 1:3].tobytes()].append(entries)
    kinds = [_kind(np.stack(units)) for units in alike.values()]
    return [kind for kind in kinds if kind.states.shape[1] or kind.columns.shape[1]]


_STATE, _ROW, _COLUMN = 0, 1, 2


def _table(cut: Cut, sizes: Sequence[int]) -> np.ndarray:
    """Rows (unit, what, of which array, position) of all entries, sorted."""
    parts: list[tuple[ArrayLike, ...]] = [
        (cut.units[: cut.states], _STATE, np.repeat(np.arange(len(sizes)), sizes), np.arange(cut.states))
    ]
    for index, product in enumerate(cut.products):
        dependent = np.flatnonzero(product.columns != FREE)
        parts.append((cut.units[product.rows], _ROW, index, np.arange(len(product.rows))))
        parts.append((cut.units[product.columns[dependent]], _COLUMN, index, dependent))
    rows = [np.stack(np.broadcast_arrays(*part), axis=1) for part in parts]
    table = np.concatenate(rows)
    return table[np.lexsort(table.T[::-1])]


def _kind(entries: np.ndarray) -> _Kind:
    """From the rows of the table of all units of a kind, shape (units, entries, 4)."""
    what, owner, position = entries[0, :, 1], entries[0, :, 2], entries[:, :, 3]
    states = position[:, what == _STATE]
    if states.shape[1] > _LARGEST_UNIT:
        raise UnsupportedError(
            f"the step links {states.shape[1]} entries of the state outside of products with matrices"
        )
    rows, columns = what == _ROW, what == _COLUMN
    owners = tuple(owner[rows].tolist()), tuple(owner[columns].tolist())
    return _Kind(states, position[:, rows], position[:, columns], *owners)


def _blocks(cut: Cut, kinds: Sequence[_Kind]) -> list[Block]:
    """Every matrix, split by the kinds of units that it joins; blocks of zeros are left out."""

    def ports(entries: str, owners: str) -> list[tuple[int, Port, np.ndarray]]:
        return [
            (product, Port(k, i), getattr(kind, entries)[:, i])
            for k, kind in enumerate(kinds)
            for i, product in enumerate(getattr(kind, owners))
        ]

    blocks = [
        Block(port, other, cut.products[product].matrix[np.ix_(rows, columns)])
        for product, port, rows in ports("rows", "row_products")
        for owner, other, columns in ports("columns", "column_products")
        if owner == product
    ]
    return [block for block in blocks if block.matrix.any()]


# Flat next state, vectors and results of all products.
_Moved = tuple[Array, list[Array], list[Array]]


def _differentiated(program: Program, cut: Cut, here: Point, kinds: Sequence[_Kind]) -> tuple[Units, ...]:
    products, jaxpr = cut.products, program.jaxpr
    seeds = _seeds(kinds, cut.states, [len(product.rows) for product in products])
    flat, restore = here.vector, here.flat.restore
    probe = np.random.default_rng(0).normal(size=len(flat))

    def moved(arguments: Sequence[Array], constants: Sequence[Array], results: list[Array] | None) -> _Moved:
        """The step with given results of its products, or with its own."""
        given = {} if results is None else dict(zip((p.result for p in products), results, strict=True))

        def rule(equation: JaxprEqn, operands: list[Array]) -> list[Array]:
            made = equation.outvars[0]
            return [given[made]] if made in given else apply(jaxpr, equation, operands)

        known = forward(jaxpr, bound(jaxpr, constants, arguments), rule)
        after = jnp.concatenate([value_of(atom, known).reshape(-1) for atom in jaxpr.outvars])
        return after, [known[p.vector] for p in products], [known[p.result] for p in products]

    def derivatives(
        constants: Sequence[Array], input: Array, flat: Array, seeds: tuple[Array, list[Array]], probe: Array
    ) -> tuple[tuple[Array, list[Array]], _Moved]:
        def run(flat: Array, results: list[Array] | None) -> _Moved:
            return moved([input, *jax.tree.leaves(restore(flat))], constants, results)

        results = run(flat, None)[2]
        local = jax.vmap(lambda seed: jax.jvp(lambda *at: run(*at)[:2], (flat, results), seed)[1])(seeds)
        return local, jax.jvp(lambda flat: run(flat, None), (flat,), (probe,))[1]

    pairs = zip(seeds[1], products, strict=True)
    shaped = [jnp.asarray(seed).reshape(-1, *product.result.aval.shape) for seed, product in pairs]
    local, whole = quickly_compiled(derivatives)(
        program.constants, here.input, flat, (jnp.asarray(seeds[0]), shaped), jnp.asarray(probe)
    )
    after, vectors = np.asarray(local[0]), [np.asarray(vector) for vector in local[1]]
    units = tuple(_gathered(kind, after, vectors) for kind in kinds)
    _verify(units, kinds, probe, whole)
    return units


def _seeds(
    kinds: Sequence[_Kind], states: int, lengths: Sequence[int]
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Tangents that move one entry of every unit at a time."""
    count = max(kind.states.shape[1] + kind.rows.shape[1] for kind in kinds)
    of_state = np.zeros((count, states))
    of_results = [np.zeros((count, length)) for length in lengths]
    for kind in kinds:
        own = kind.states.shape[1]
        for index in range(own):
            of_state[index, kind.states[:, index]] = 1
        for index, product in enumerate(kind.row_products):
            of_results[product][own + index, kind.rows[:, index]] = 1
    return of_state, of_results


def _gathered(kind: _Kind, after: np.ndarray, vectors: Sequence[np.ndarray]) -> Units:
    """The answers to the seeds at the entries of one kind."""
    own, count = kind.states.shape[1], kind.states.shape[1] + kind.rows.shape[1]
    state = np.moveaxis(after[:count, kind.states], 0, -1)
    seen = [vectors[p][:count, kind.columns[:, i]].T for i, p in enumerate(kind.column_products)]
    vector = np.stack(seen, axis=1) if seen else np.zeros((len(kind.states), 0, count))
    return Units(state[..., :own], state[..., own:], vector[..., :own], vector[..., own:])


def _verify(units: Sequence[Units], kinds: Sequence[_Kind], probe: np.ndarray, whole: _Moved) -> None:
    """That a random change of the state moves every unit as its own derivatives say."""
    after, vectors, results = jax.tree.map(np.asarray, whole)
    for unit, kind in zip(units, kinds, strict=True):
        own = probe[kind.states]
        brought = [results[p].reshape(-1)[kind.rows[:, i]] for i, p in enumerate(kind.row_products)]
        driven = np.stack(brought, axis=1) if brought else np.zeros((len(own), 0))
        expected = [vectors[p][kind.columns[:, i]] for i, p in enumerate(kind.column_products)]
        _compare(_acted(unit.own, own) + _acted(unit.driven, driven), after[kind.states])
        if expected:
            _compare(_acted(unit.shown, own) + _acted(unit.passed, driven), np.stack(expected, axis=1))


def _acted(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return np.einsum("uij,uj->ui", matrices, vectors)


def _compare(found: np.ndarray, expected: np.ndarray) -> None:
    size = np.abs(expected).max(initial=0.0)
    if np.abs(found - expected).max(initial=0.0) > 1e-9 * max(size, 1e-300):
        raise UnsupportedError("the derivatives of single units do not add up to the Jacobian")
