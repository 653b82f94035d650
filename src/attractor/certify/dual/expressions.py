"""Arrays of a program as affine functions: the values that flow through the reading of a network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import NamedTuple, TypeAlias

import numpy as np
from jax.extend.core import JaxprEqn
from scipy import sparse

from attractor.errors import UnsupportedError
from attractor.program import location
from attractor.program.walk import aval

from .linear_maps import (
    LinearMap,
    Selection,
    Sparse,
    composed,
    dense_of,
    identity,
    is_power_of_two,
    is_signed_choice,
    numbers_of,
    summed,
)
from .network import Affine, Node

# Factors from this number to one over it: the product of two of them loses no digits in float64.
_LEAST = 1e-150

# Numbers of maps whose product is looked at more closely.
_MOST = 1 << 14

# Functions h whose product h(x) y is a function of its own.
PRODUCT_WITH = {"logistic": "gated", "tanh": "tanh_product"}

# What stands at a variable: an expression, or an array that is known.
Value: TypeAlias = "Expression | np.ndarray"


@dataclass(frozen=True, eq=False)
class Expression:
    """An array of the program: affine in the input and in results of nodes.

    Args:
        shape: of the array.
        affine: its entries, row by row.
    """

    shape: tuple[int, ...]
    affine: Affine


@dataclass(frozen=True, eq=False)
class Merge:
    """A node that stands for a sum of two others.

    Args:
        number: of the node.
        parts: the two and their factors, of which it is the sum.
    """

    number: int
    parts: Mapping[int, LinearMap]


@dataclass(eq=False)
class Lowering:
    """A network in the making.

    Args:
        inputs: length of the input vector.
        nodes: made so far.
        merges: which of them stand for a sum of two others.
        gates: arguments of gates that were read so far, by the node and its entries.
        limits: the larger (smaller) of an expression and a number, by the node that it was made with.
    """

    inputs: int
    nodes: list[Node] = field(default_factory=list)
    merges: list[Merge] = field(default_factory=list)
    gates: dict[tuple[int, bytes], Affine] = field(default_factory=dict)
    limits: dict[int, "Limit"] = field(default_factory=dict)

    def node(
        self, function: str, arguments: Sequence[Expression], equation: JaxprEqn, *parameters: float
    ) -> Expression:
        """The result of a function of expressions of one shape."""
        size, what = prod(arguments[0].shape), f"{equation.primitive.name}{location(equation)}"
        affine = tuple(one.affine for one in arguments)
        self.nodes.append(Node(function, affine, parameters, what))
        return Expression(arguments[0].shape, Affine({len(self.nodes): identity(size)}, np.zeros(size)))

    def gate(self, one: Expression) -> "Gate | None":
        """How an expression is entries of a sigmoid (tanh), each scaled and shifted; None if it is not."""
        affine = one.affine
        if affine.roundings or len(affine.terms) != 1:
            return None
        source, part = next(iter(affine.terms.items()))
        function = self.nodes[source - 1].function if source else ""
        if function not in PRODUCT_WITH or not isinstance(part, Selection):
            return None
        key = source, part.columns.tobytes()
        if key not in self.gates:
            self.gates[key] = self._entries(self.nodes[source - 1].arguments[0], part.columns)
        return Gate(PRODUCT_WITH[function], Expression(one.shape, self.gates[key]), part.factors, affine.bias)

    @staticmethod
    def _entries(whole: Affine, columns: np.ndarray) -> Affine:
        if np.array_equal(columns, np.arange(len(whole.bias))):
            return whole
        return taken(whole, columns).affine


class Limit(NamedTuple):
    """max(z, a) (side 1) or min(z, a) (side -1).

    Args:
        of: z.
        number: a.
        side: which.
    """

    of: Expression
    number: float
    side: float


class Gate(NamedTuple):
    """factors h(argument) + offset, entry by entry.

    Args:
        product: the function h(x) y.
        argument: what h is of.
        factors: one an entry.
        offset: one an entry.
    """

    product: str
    argument: Expression
    factors: np.ndarray
    offset: np.ndarray


def affine_of(value: Value) -> Affine:
    """The entries of a value, row by row."""
    if isinstance(value, Expression):
        return value.affine
    known = np.ravel(np.asarray(value, float))
    check_range(known)
    return Affine({}, known)


def stacked(parts: Sequence[Affine]) -> Affine:
    """Affine functions end to end."""
    if len(parts) == 1:
        return parts[0]
    whole = sum(len(part.bias) for part in parts)
    total, begin = Affine({}, np.zeros(whole)), 0
    for part in parts:
        size = len(part.bias)
        total = plus(total, mapped(_below(begin, size, whole), part))
        begin += size
    return total


def _below(begin: int, size: int, whole: int) -> Sparse:
    """The map that writes a vector into a longer one, from an entry on."""
    ones, columns = np.ones(size), np.arange(size)
    return Sparse(sparse.csr_array((ones, (columns + begin, columns)), shape=(whole, size)))


def check_range(numbers: np.ndarray) -> None:
    """Refuse factors whose products would be rounded to nothing, or to no number.

    Raises:
        UnsupportedError: a number other than zero beyond 1e-150 to 1e150.
    """
    sizes = np.abs(numbers)
    beyond = (sizes > 0) & (sizes < _LEAST) | (sizes > 1 / _LEAST) & np.isfinite(sizes)
    if beyond.any():
        number = float(np.ravel(numbers)[np.argmax(beyond)])
        raise UnsupportedError(
            f"verification: the function multiplies by {number:g}, or is made of that number; numbers "
            "beyond 1e-150 to 1e150 lose their digits where maps are folded; state it in other units"
        )


def mapped(one: LinearMap, inner: Affine) -> Affine:
    """A linear map of an affine function, with what folding them may cost."""
    check_range(numbers_of(one))
    terms = {source: composed(one, part) for source, part in inner.terms.items()}
    bias = one.apply(inner.bias)
    for part in terms.values():
        check_range(numbers_of(part))
    if inner.roundings == 0 and (is_signed_choice(one) or inner.plain or _is_exact(one, inner)):
        return Affine(terms, bias)
    size = one.magnitude
    sizes = {source: composed(size, part) for source, part in inner.reach_terms.items()}
    return Affine(terms, bias, sizes, size.apply(inner.reach_bias), inner.roundings + one.terms + 2)


def _is_exact(one: LinearMap, inner: Affine) -> bool:
    """Whether every number of a small product of maps is one product of two numbers, which loses nothing."""
    if max(prod(one.shape), *(prod(part.shape) for part in inner.terms.values()), 0) > _MOST:
        return False
    outer = dense_of(one)
    parts = [*(dense_of(part) for part in inner.terms.values()), inner.bias[:, None]]
    return all(_is_exact_product(outer, part) for part in parts)


def _is_exact_product(outer: np.ndarray, part: np.ndarray) -> bool:
    once = ((outer != 0).astype(int) @ (part != 0).astype(int)).max(initial=0) <= 1
    return bool(once) and any(is_power_of_two(side[side != 0]) for side in (outer, part))


def plus(one: Affine, other: Affine) -> Affine:
    """The sum of two affine functions, with what folding them may cost."""
    terms = _summed(one.terms, other.terms)
    bias = one.bias + other.bias
    shared = one.terms.keys() & other.terms.keys()
    if (
        one.roundings == other.roundings == 0
        and _is_exact_sum(bias, one.bias, other.bias)
        and all(_is_exact_map(terms[each], one.terms[each], other.terms[each]) for each in shared)
    ):
        return Affine(terms, bias)
    sizes = _summed(one.reach_terms, other.reach_terms)
    roundings = max(one.roundings, other.roundings) + 2
    return Affine(terms, bias, sizes, one.reach_bias + other.reach_bias, roundings)


def _is_exact_sum(total: np.ndarray, one: np.ndarray, other: np.ndarray) -> bool:
    """Whether a sum of numbers lost nothing: then each of both is left without the other."""
    return bool(((total - one == other) & (total - other == one)).all())


def _is_exact_map(total: LinearMap, one: LinearMap, other: LinearMap) -> bool:
    """The same of small maps; that large ones lost nothing is not looked for."""
    return prod(one.shape) <= _MOST and _is_exact_sum(*(dense_of(each) for each in (total, one, other)))


def _summed(one: Mapping[int, LinearMap], other: Mapping[int, LinearMap]) -> dict[int, LinearMap]:
    terms = dict(one)
    for source, part in other.items():
        terms[source] = summed(terms[source], part) if source in terms else part
    return terms


def scaled(value: Expression, factors: np.ndarray | float) -> Expression:
    """Every entry times a factor."""
    size = prod(value.shape)
    flat = np.broadcast_to(np.asarray(factors, float), value.shape).ravel()
    return Expression(value.shape, mapped(Selection(np.arange(size), flat, size), value.affine))


def doubted(value: Expression, units: int = 2) -> Expression:
    """An expression whose factors and constants were rounded by some units more than it says."""
    affine = value.affine
    return Expression(value.shape, replace(affine, roundings=affine.roundings + units))


def sum_of(one: Value, other: Value) -> Expression:
    """One plus the other, of equal shapes."""
    return Expression(shape_of(one), plus(affine_of(one), affine_of(other)))


def difference(one: Value, other: Value) -> Expression:
    """One minus the other, of equal shapes."""
    return sum_of(one, scaled(other, -1.0) if isinstance(other, Expression) else np.asarray(-other))


def spread(equation: JaxprEqn, *operands: Value) -> list[Value]:
    """Operands of the shape of the result; a single number may stand for all."""
    shape = result_shape(equation)
    return [
        _broadcast(one, shape)
        if isinstance(one, Expression)
        else np.broadcast_to(np.asarray(one, float), shape)
        for one in operands
    ]


def result_shape(equation: JaxprEqn) -> tuple[int, ...]:
    """Of the first result."""
    return tuple(aval(equation.outvars[0]).shape)


def shape_of(value: Value) -> tuple[int, ...]:
    """Of an expression or a known array."""
    return value.shape if isinstance(value, Expression) else np.shape(value)


def _broadcast(one: Expression, shape: tuple[int, ...]) -> Expression:
    if one.shape == shape:
        return one
    numbers = np.broadcast_to(np.arange(prod(one.shape)).reshape(one.shape), shape)
    return taken(one.affine, np.asarray(numbers))


def taken(whole: Affine, index: np.ndarray) -> Expression:
    """Some entries of an affine function, in any shape."""
    flat = index.ravel().astype(int)
    choice = Selection(flat, np.ones(len(flat)), len(whole.bias))
    return Expression(index.shape, mapped(choice, whole))
