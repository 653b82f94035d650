"""From a straight-line program to the normal form of its network.

Every value of the program is an affine function of the input and of results of nodes, one entry a number,
row by row. Sums, products with constants, moves and contractions fold into it; what is nonlinear becomes a
node. Two identities keep what bounds would lose: the larger of two numbers is b + max(a - b, 0), which for
leaky rectifiers, absolute values and pooling is their exact hull, and products of a gate share the gate:
z h + (1 - z) n is n + z (h - n), one product and not two.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import TypeAlias

import jax
import numpy as np
from jax.extend.core import JaxprEqn
from scipy import sparse

from attractor.errors import UnsupportedError
from attractor.program import Program, is_exact, location
from attractor.program.walk import apply, bound, forward, results, value_of

from .linear_maps import LinearMap, Selection, Sparse, composed, identity, summed
from .moves import MOVES, moved
from .network import Affine, Network, Node

# What stands at a variable: an expression, or an array that is known.
Value: TypeAlias = "Expression | np.ndarray"


@dataclass(frozen=True, eq=False)
class Expression:
    """An array of the program: affine in the input and in results of nodes.

    Args:
        shape: of the array.
        affine: its entries, row by row.
        gate: the number of the sigmoid node that it is, unscaled, if it is one; 0 for none.
    """

    shape: tuple[int, ...]
    affine: Affine
    gate: int = 0


@dataclass(eq=False)
class Lowering:
    """A network in the making.

    Args:
        inputs: length of the input vector.
        nodes: made so far.
    """

    inputs: int
    nodes: list[Node] = field(default_factory=list)

    def node(self, function: str, arguments: Sequence[Expression], equation: JaxprEqn, *parameters: float) -> Expression:
        """The result of a function of expressions of one shape."""
        size, what = prod(arguments[0].shape), f"{equation.primitive.name}{location(equation)}"
        affine = tuple(one.affine for one in arguments)
        self.nodes.append(Node(function, affine, parameters, what))
        number = len(self.nodes)
        result = Affine({number: identity(size)}, np.zeros(size))
        return Expression(arguments[0].shape, result, number if function == "logistic" else 0)


def network_of(program: Program) -> Network:
    """The normal form of a program of real arrays; its flattened arguments, end to end, are the input.

    Args:
        program: traced in float64 for bounds in exact arithmetic on its weights.

    Raises:
        UnsupportedError: a primitive that bounds have no rule for, named with the line that it came from.
    """
    sizes = [prod(shape) for shape in program.input_shapes]
    lowering = Lowering(sum(sizes))
    begins = np.cumsum([0, *sizes])
    arguments: list[Value] = [
        Expression(shape, Affine({0: _part(begin, size, lowering.inputs)}, np.zeros(size)))
        for shape, begin, size in zip(program.input_shapes, begins, sizes, strict=False)
    ]
    constants: list[Value] = [np.asarray(constant) for constant in program.constants]
    known = bound(program.jaxpr, constants, arguments)
    values = forward(program.jaxpr, known, _rule_of(program, lowering), literal=_number)
    made = [_affine(value_of(atom, values, _number)) for atom in program.jaxpr.outvars]
    return Network(lowering.inputs, tuple(lowering.nodes), _stacked(made))


def _number(literal: jax.extend.core.Literal) -> np.ndarray:
    return np.asarray(literal.val, literal.aval.dtype)


def _part(begin: int, size: int, whole: int) -> Selection:
    return Selection(np.arange(begin, begin + size), np.ones(size), whole)


def _rule_of(program: Program, lowering: Lowering) -> Callable[[JaxprEqn, list[Value]], Sequence[Value]]:
    def rule(equation: JaxprEqn, operands: list[Value]) -> Sequence[Value]:
        name = equation.primitive.name
        if all(map(is_exact, operands)):
            return _evaluated(program, equation, operands)
        if name in MOVES:
            return _moves(equation, operands)
        if name not in RULES:
            raise UnsupportedError(
                f"verification: there is no rule for the primitive '{name}'{location(equation)}. "
                f"Known: {', '.join(sorted([*RULES, *MOVES]))}"
            )
        found = RULES[name](lowering, equation, *operands)
        return found if isinstance(found, list) else [found]

    return rule


def _evaluated(program: Program, equation: JaxprEqn, operands: list[np.ndarray]) -> list[np.ndarray]:
    """An equation of known arrays; what only moves is moved by NumPy, for JAX would compile it."""
    if equation.primitive.name in MOVES:
        return moved(equation, operands)
    return [np.asarray(one) for one in apply(program.jaxpr, equation, operands)]


def _moves(equation: JaxprEqn, operands: Sequence[Value]) -> list[Value]:
    """A move of entries is a move of their numbers; entries of known arrays are numbered with the rest."""
    numbered, parts, begin = [], [], 0
    for operand in operands:
        size = np.size(operand) if is_exact(operand) else prod(operand.shape)
        whole = is_exact(operand) and np.asarray(operand).dtype.kind != "f"
        if whole:  # an index, which says what is moved
            numbered.append(np.asarray(operand))
            continue
        numbered.append(np.arange(begin, begin + size).reshape(np.shape(operand)))
        parts.append(_affine(operand))
        begin += size
    whole = _stacked(parts)
    return [_taken(whole, index) for index in moved(equation, numbered)]


def _taken(whole: Affine, index: np.ndarray) -> Expression:
    flat = index.ravel().astype(int)
    choice = Selection(flat, np.ones(len(flat)), len(whole.bias))
    return Expression(index.shape, _mapped(choice, whole))


def _affine(value: Value) -> Affine:
    return value.affine if isinstance(value, Expression) else Affine({}, np.ravel(np.asarray(value, float)))


def _stacked(parts: Sequence[Affine]) -> Affine:
    """Affine functions end to end."""
    if len(parts) == 1:
        return parts[0]
    whole = sum(len(part.bias) for part in parts)
    total, begin = Affine({}, np.zeros(whole)), 0
    for part in parts:
        size = len(part.bias)
        total = _plus(total, _mapped(_below(begin, size, whole), part))
        begin += size
    return total


def _below(begin: int, size: int, whole: int) -> Sparse:
    """The map that writes a vector into a longer one, from an entry on."""
    ones, columns = np.ones(size), np.arange(size)
    return Sparse(sparse.csr_array((ones, (columns + begin, columns)), shape=(whole, size)))


def _mapped(one: LinearMap, inner: Affine) -> Affine:
    terms = {source: composed(one, part) for source, part in inner.terms.items()}
    return Affine(terms, one.apply(inner.bias))


def _plus(one: Affine, other: Affine) -> Affine:
    terms = dict(one.terms)
    for source, part in other.terms.items():
        terms[source] = summed(terms[source], part) if source in terms else part
    return Affine(terms, one.bias + other.bias)


def _scaled(value: Expression, factors: np.ndarray | float) -> Expression:
    size = prod(value.shape)
    flat = np.broadcast_to(np.asarray(factors, float), value.shape).ravel()
    return Expression(value.shape, _mapped(Selection(np.arange(size), flat, size), value.affine))


def _sum(one: Value, other: Value) -> Expression:
    """One plus the other, of equal shapes."""
    shape = np.shape(one) if is_exact(one) else one.shape
    return Expression(shape, _plus(_affine(one), _affine(other)))


def _difference(one: Value, other: Value) -> Expression:
    negative = -other if is_exact(other) else _scaled(other, -1.0)
    return _sum(one, negative)


def _add(_: Lowering, equation: JaxprEqn, one: Value, other: Value) -> Expression:
    return _sum(*_spread(equation, one, other))


def _subtract(_: Lowering, equation: JaxprEqn, one: Value, other: Value) -> Expression:
    return _difference(*_spread(equation, one, other))


def _spread(equation: JaxprEqn, *operands: Value) -> list[Value]:
    """Operands of the shape of the result; a single number may stand for all."""
    shape = tuple(equation.outvars[0].aval.shape)
    return [
        np.broadcast_to(np.asarray(one, float), shape) if is_exact(one) else _broadcast(one, shape)
        for one in operands
    ]


def _broadcast(one: Expression, shape: tuple[int, ...]) -> Expression:
    if one.shape == shape:
        return one
    numbers = np.broadcast_to(np.arange(prod(one.shape)).reshape(one.shape), shape)
    return _taken(one.affine, numbers)


def _multiply(lowering: Lowering, equation: JaxprEqn, one: Value, other: Value) -> Expression:
    one, other = _spread(equation, one, other)
    if isinstance(one, np.ndarray):
        one, other = other, one
    if isinstance(other, np.ndarray):
        return _scaled(one, other) if isinstance(one, Expression) else _known_product()
    if one is other:
        return lowering.node("square", [one], equation)
    if other.gate:
        one, other = other, one
    if one.gate:
        return _gated(lowering, equation, one.gate, other)
    return lowering.node("product", [one, other], equation)


def _known_product() -> Expression:
    raise AssertionError("a product of known arrays is evaluated before it comes here")


def _gated(lowering: Lowering, equation: JaxprEqn, gate: int, other: Expression) -> Expression:
    """sigmoid(x) y, by the argument of the gate."""
    argument = lowering.nodes[gate - 1].arguments[0]
    return lowering.node("gated", [Expression(other.shape, argument), other], equation)


def _divide(lowering: Lowering, equation: JaxprEqn, one: Value, other: Value) -> Expression:
    one, other = _spread(equation, one, other)
    if isinstance(other, np.ndarray):
        with np.errstate(divide="ignore"):
            return _scaled(one, 1.0 / other) if isinstance(one, Expression) else _known_product()
    inverse = lowering.node("reciprocal", [other], equation)
    if isinstance(one, np.ndarray):
        return _scaled(inverse, one)
    return lowering.node("product", [one, inverse], equation)


def _largest(lowering: Lowering, equation: JaxprEqn, one: Value, other: Value) -> Expression:
    """b + max(a - b, 0)."""
    one, other = _spread(equation, one, other)
    above = lowering.node("relu", [_difference(one, other)], equation)
    return _sum(above, other)


def _least(lowering: Lowering, equation: JaxprEqn, one: Value, other: Value) -> Expression:
    """b - max(b - a, 0)."""
    one, other = _spread(equation, one, other)
    below = lowering.node("relu", [_difference(other, one)], equation)
    return _difference(other, below)


def _clamp(lowering: Lowering, equation: JaxprEqn, low: Value, one: Value, high: Value) -> Expression:
    ends = [np.unique(np.asarray(end)) for end in (low, high) if is_exact(end)]
    if len(ends) == 2 and isinstance(one, Expression) and len(ends[0]) == len(ends[1]) == 1:
        return lowering.node("clip", [one], equation, float(ends[0][0]), float(ends[1][0]))
    return _least(lowering, equation, _largest(lowering, equation, one, low), high)


def _absolute(lowering: Lowering, equation: JaxprEqn, one: Expression) -> Expression:
    """2 max(z, 0) - z."""
    return _difference(_scaled(lowering.node("relu", [one], equation), 2.0), one)


def _scalar(function: str, *parameters: float) -> Callable[..., Expression]:
    def rule(lowering: Lowering, equation: JaxprEqn, one: Expression) -> Expression:
        return lowering.node(function, [one], equation, *parameters)

    return rule


def _cosine(lowering: Lowering, equation: JaxprEqn, one: Expression) -> Expression:
    turned = Expression(one.shape, _plus(one.affine, Affine({}, np.full(prod(one.shape), np.pi / 2))))
    return lowering.node("sin", [turned], equation)


def _integer_power(lowering: Lowering, equation: JaxprEqn, one: Expression) -> Expression:
    exponent = equation.params["y"]
    if exponent < 0:
        inverse = lowering.node("reciprocal", [one], equation)
        return inverse if exponent == -1 else _raised(lowering, equation, inverse, -exponent)
    return one if exponent == 1 else _raised(lowering, equation, one, exponent)


def _raised(lowering: Lowering, equation: JaxprEqn, one: Expression, exponent: int) -> Expression:
    if exponent == 2:
        return lowering.node("square", [one], equation)
    return lowering.node("power", [one], equation, float(exponent))


def _power(lowering: Lowering, equation: JaxprEqn, one: Value, other: Value) -> Expression:
    """z^k for a known k: a whole one, a root, else exp(k log z)."""
    exponents = np.unique(np.asarray(other)) if is_exact(other) else np.zeros(0)
    if len(exponents) == 1 and isinstance(one, Expression):
        exponent = float(exponents[0])
        if exponent == 0.5:
            return lowering.node("sqrt", [one], equation)
        if exponent.is_integer() and exponent >= 1:
            return one if exponent == 1 else _raised(lowering, equation, one, int(exponent))
    if isinstance(one, Expression) and is_exact(other):
        _, other = _spread(equation, one, other)
        scaled = _scaled(lowering.node("log", [one], equation), np.asarray(other))
        return lowering.node("exp", [scaled], equation)
    raise UnsupportedError(f"verification: a power whose exponent is not known{location(equation)}")


def _contract(lowering: Lowering, equation: JaxprEqn, one: Value, other: Value) -> Expression:
    """A product of arrays: all pairs, in the order that sums need, then sums."""
    left, right, shape, summed_over = _pairs(equation, one, other)
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        known, index, whole, places = (
            (one, left, other, right) if isinstance(one, np.ndarray) else (other, right, one, left)
        )
        assert isinstance(whole, Expression)
        rows = np.repeat(np.arange(prod(shape)), summed_over)
        entries = np.asarray(known, float).ravel()[index.ravel()], (rows, places.ravel())
        matrix = sparse.csr_array(entries, shape=(prod(shape), prod(whole.shape)))
        return Expression(shape, _mapped(_dense_or_sparse(matrix), whole.affine))
    products = [_taken(_affine(side), index) for side, index in ((one, left), (other, right))]
    multiplied = lowering.node("product", products, equation)
    return _total(multiplied, prod(shape), summed_over, shape)


def _dense_or_sparse(matrix: sparse.csr_array) -> LinearMap:
    return composed(Sparse(matrix), identity(matrix.shape[1]))


def _total(one: Expression, rows: int, summed_over: int, shape: tuple[int, ...]) -> Expression:
    """Sums of so many neighbours."""
    columns = np.arange(rows * summed_over)
    entries = np.ones(len(columns)), (columns // max(summed_over, 1), columns)
    matrix = Sparse(sparse.csr_array(entries, shape=(rows, len(columns))))
    return Expression(shape, _mapped(matrix, one.affine))


def _pairs(
    equation: JaxprEqn, one: Value, other: Value
) -> tuple[np.ndarray, np.ndarray, tuple[int, ...], int]:
    """Which entries of both operands meet: arrays of shape (results, summed), and the shape of the result."""
    (left, right), (left_batch, right_batch) = equation.params["dimension_numbers"]
    numbers = [np.arange(prod(np.shape(side))).reshape(np.shape(side)) for side in map(_shaped, (one, other))]
    free = [axis for axis in range(numbers[0].ndim) if axis not in (*left, *left_batch)]
    other_free = [axis for axis in range(numbers[1].ndim) if axis not in (*right, *right_batch)]
    first = numbers[0].transpose([*left_batch, *free, *left])
    second = numbers[1].transpose([*right_batch, *other_free, *right])
    batch = first.shape[: len(left_batch)]
    rows, columns = first.shape[len(batch) : len(batch) + len(free)], second.shape[len(batch) : len(batch) + len(other_free)]
    summed_over = prod(first.shape[len(batch) + len(free) :])
    first = first.reshape(prod(batch), prod(rows), 1, summed_over)
    second = second.reshape(prod(batch), 1, prod(columns), summed_over)
    first, second = np.broadcast_arrays(first, second)
    return first.reshape(-1, summed_over), second.reshape(-1, summed_over), (*batch, *rows, *columns), summed_over


def _shaped(value: Value) -> np.ndarray:
    return np.empty(value.shape, bool)


def _reduce_sum(_: Lowering, equation: JaxprEqn, one: Expression) -> Expression:
    axes = tuple(equation.params["axes"])
    kept = [axis for axis in range(len(one.shape)) if axis not in axes]
    shape = tuple(one.shape[axis] for axis in kept)
    numbers = np.arange(prod(one.shape)).reshape(one.shape).transpose([*kept, *axes])
    count = prod(one.shape[axis] for axis in axes)
    return _total(_taken(one.affine, numbers.reshape(-1)), prod(shape), count, shape)


def _reduce_extreme(pair: Callable[..., Expression]) -> Callable[..., Expression]:
    """The largest (least) along axes, two by two."""

    def rule(lowering: Lowering, equation: JaxprEqn, one: Expression) -> Expression:
        axes = tuple(equation.params["axes"])
        kept = [axis for axis in range(len(one.shape)) if axis not in axes]
        numbers = np.arange(prod(one.shape)).reshape(one.shape).transpose([*kept, *axes])
        shape = tuple(one.shape[axis] for axis in kept)
        columns = list(np.moveaxis(numbers.reshape(*shape, -1), -1, 0))
        parts = [_taken(one.affine, column) for column in columns]
        while len(parts) > 1:
            rest = parts[len(parts) // 2 * 2 :]
            parts = [pair(lowering, equation, *two) for two in zip(parts[::2], parts[1::2], strict=False)] + rest
        return parts[0]

    return rule


def _compare(function: str, *, turned: bool, opposite: bool = False) -> Callable[..., Expression]:
    """A comparison as a number, 1 or 0, of the difference of both sides."""

    def rule(lowering: Lowering, equation: JaxprEqn, one: Value, other: Value) -> Expression:
        one, other = _spread(equation, one, other)
        gap = _difference(other, one) if turned else _difference(one, other)
        answer = lowering.node(function, [gap], equation)
        return _difference(np.ones(answer.shape), answer) if opposite else answer

    return rule


def _select(lowering: Lowering, equation: JaxprEqn, which: Value, *cases: Value) -> Expression:
    """no + which (yes - no) for a truth value that depends on the input; a choice by entry for a known one."""
    if isinstance(which, np.ndarray):
        index = np.broadcast_to(which.astype(int), equation.outvars[0].aval.shape)
        spread = _spread(equation, *cases)
        size = index.size
        whole = _stacked([_affine(case) for case in spread])
        return _taken(whole, index * size + np.arange(size).reshape(index.shape))
    if len(cases) != 2:
        raise UnsupportedError(f"verification: a choice between {len(cases)} cases{location(equation)}")
    which, no, yes = _spread(equation, which, *cases)
    return _sum(no, _multiply(lowering, equation, which, _difference(yes, no)))


def _not(_: Lowering, equation: JaxprEqn, one: Expression) -> Expression:
    return _difference(np.ones(one.shape), one)


def _and(lowering: Lowering, equation: JaxprEqn, one: Value, other: Value) -> Expression:
    return _multiply(lowering, equation, one, other)


def _or(lowering: Lowering, equation: JaxprEqn, one: Value, other: Value) -> Expression:
    both = _multiply(lowering, equation, one, other)
    return _difference(_sum(*_spread(equation, one, other)), both)


def _convert(lowering: Lowering, equation: JaxprEqn, one: Expression) -> Expression:
    """A wider type changes nothing, a truth value is whether a number is not zero; others are refused."""
    before, after = (np.dtype(atom.aval.dtype) for atom in (equation.invars[0], equation.outvars[0]))
    if after.kind == "b":
        zero = lowering.node("is_zero", [one], equation)
        return _difference(np.ones(one.shape), zero)
    if after.kind == "f" and (before.kind in "b" or (before.kind == "f" and after.itemsize >= before.itemsize)):
        return one
    raise UnsupportedError(
        f"verification: what depends on the input is rounded from {before} to {after}{location(equation)}; "
        "compute in one type"
    )


def _convolve(lowering: Lowering, equation: JaxprEqn, one: Value, other: Value) -> Expression:
    """A convolution with a known kernel, as the sparse map that JAX itself makes of unit inputs."""
    if not (isinstance(one, Expression) and isinstance(other, np.ndarray)):
        raise UnsupportedError(f"verification: a convolution with an unknown kernel{location(equation)}")
    size = prod(one.shape)

    def run(flat: jax.Array) -> jax.Array:
        return equation.primitive.bind(flat.reshape(one.shape), jax.numpy.asarray(other), **equation.params).ravel()

    rows = np.asarray(jax.jit(jax.vmap(run))(np.eye(size, dtype=other.dtype)))
    matrix = sparse.csr_array(rows.T.astype(float))
    return Expression(tuple(equation.outvars[0].aval.shape), _mapped(_dense_or_sparse(matrix), one.affine))


def _reciprocal_root(lowering: Lowering, equation: JaxprEqn, one: Expression) -> Expression:
    return lowering.node("reciprocal", [lowering.node("sqrt", [one], equation)], equation)


def _shifted_exponential(lowering: Lowering, equation: JaxprEqn, one: Expression) -> Expression:
    raised = lowering.node("exp", [one], equation)
    return _difference(raised, np.ones(one.shape))


def _shifted_logarithm(lowering: Lowering, equation: JaxprEqn, one: Expression) -> Expression:
    return lowering.node("log", [_sum(one, np.ones(one.shape))], equation)


RULES: Mapping[str, Callable[..., Expression | list[Expression]]] = {
    "add": _add,
    "add_any": _add,
    "sub": _subtract,
    "neg": lambda _, __, one: _scaled(one, -1.0),
    "mul": _multiply,
    "div": _divide,
    "max": _largest,
    "min": _least,
    "clamp": _clamp,
    "abs": _absolute,
    "integer_pow": _integer_power,
    "pow": _power,
    "cos": _cosine,
    "rsqrt": _reciprocal_root,
    "expm1": _shifted_exponential,
    "log1p": _shifted_logarithm,
    "dot_general": _contract,
    "conv_general_dilated": _convolve,
    "reduce_sum": _reduce_sum,
    "reduce_max": _reduce_extreme(_largest),
    "reduce_min": _reduce_extreme(_least),
    "select_n": _select,
    "convert_element_type": _convert,
    "gt": _compare("positive", turned=False),
    "ge": _compare("not_negative", turned=False),
    "lt": _compare("positive", turned=True),
    "le": _compare("not_negative", turned=True),
    "eq": _compare("is_zero", turned=False),
    "ne": _compare("is_zero", turned=False, opposite=True),
    "not": _not,
    "and": _and,
    "or": _or,
    **{name: _scalar(name) for name in ("tanh", "logistic", "erf", "exp", "log", "sqrt", "square", "sin")},
}
