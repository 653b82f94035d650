"""Which entries of a step belong to which unit, read off its program.

Matrices that do not depend on the state are cut out of the step. What is left links entries: two that meet
in an elementwise operation belong to one unit. Nothing is assumed about how a cell stacks its gates or
orders its state.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.extend.core import JaxprEqn
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from attractor.errors import UnsupportedError
from attractor.program import Kind, Program, interpret, is_exact, of_kind
from attractor.program.trace import place

ELEMENTWISE = of_kind(Kind.ELEMENTWISE, Kind.CHOOSING)
MOVING = of_kind(Kind.MOVING)
REDUCING = of_kind(Kind.REDUCING)
FREE = -1
"""Number of an entry that does not depend on the state."""


@dataclass(frozen=True, eq=False)
class Entries:
    """For every entry of an array the number of a state entry, or a product's entry, that it depends on."""

    numbers: np.ndarray


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


def cut_at_products(program: Program, input: Any, shapes: Sequence[tuple[int, ...]]) -> Cut:
    """Cut a program `(input, state) -> state'` at its products with matrices.

    Args:
        program: the step.
        input: its first argument.
        shapes: of the leaves of the state.

    Raises:
        UnsupportedError: an operation that is neither elementwise, nor moves entries, nor a product of a
            matrix with a vector; the message names it and its place in the user's file.
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
    def rules(self) -> dict[str, Any]:
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

    def elementwise(self, equation: JaxprEqn, *operands: Any) -> Entries:
        shape = _shape(equation)
        given = [np.broadcast_to(operand.numbers, shape) for operand in operands if not is_exact(operand)]
        joined = np.asarray(np.max(given, axis=0))
        for numbers in given:
            self.link(numbers, joined)
        return Entries(joined)

    def reduce(self, equation: JaxprEqn, operand: Any) -> Entries:
        axes = tuple(equation.params["axes"])
        joined = np.asarray(operand.numbers.max(axes))
        self.link(operand.numbers, np.broadcast_to(np.expand_dims(joined, axes), operand.numbers.shape))
        return Entries(joined)

    def product(self, equation: JaxprEqn, left: Any, right: Any) -> Entries:
        place_of_vector = 1 if is_exact(left) else 0
        vector, matrix = (right, left) if place_of_vector else (left, right)
        contracted, batch = equation.params["dimension_numbers"]
        if not is_exact(matrix) or vector.numbers.ndim != 1 or np.ndim(matrix) > 2 or batch[0]:
            message = f"a product that is not that of a fixed matrix and a vector{place(equation)}"
            raise UnsupportedError(message)
        wide = np.moveaxis(np.asarray(matrix), contracted[1 - place_of_vector][0], -1)
        rows = self.new(_shape(equation))
        atom, result = equation.invars[place_of_vector], equation.outvars[0]
        flat = np.atleast_2d(wide)
        self.products.append(Product(flat, atom, result, vector.numbers, rows.reshape(-1)))
        return Entries(rows)


def _shape(equation: JaxprEqn) -> tuple[int, ...]:
    result: Any = equation.outvars[0].aval
    return result.shape


def _move(equation: JaxprEqn, *operands: Any) -> list[Entries]:
    """Let the primitive move the numbers."""
    name = equation.primitive.name
    moving = (
        range(len(operands)) if name == "concatenate" else (0, 1) if name == "dynamic_update_slice" else (0,)
    )
    given = [_numbers(operand) if index in moving else operand for index, operand in enumerate(operands)]
    if name == "pad":
        given[1] = jnp.asarray(FREE)
    if not all(map(is_exact, given)):
        message = f"'{name}'{place(equation)} at an index that depends on the state"
        raise UnsupportedError(message)
    results = equation.primitive.bind(*given, **equation.params)
    several = results if equation.primitive.multiple_results else [results]
    return [Entries(np.asarray(np.maximum(np.asarray(moved), FREE))) for moved in several]


def _numbers(operand: Any) -> Any:
    return jnp.full(np.shape(operand), FREE) if is_exact(operand) else jnp.asarray(operand.numbers)
