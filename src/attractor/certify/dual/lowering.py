"""From a straight-line program to the normal form of its network.

Every value of the program is an affine function of the input and of results of nodes, one entry a number,
row by row. Sums, products with constants, moves and contractions fold into it; what is nonlinear becomes a
node. The larger of two numbers is b + max(a - b, 0), which for leaky rectifiers and absolute values is their
exact hull; a product with a sigmoid is a node of its own, whose hull is exact as well, and products that
share a factor are one where they are added.
"""

from collections.abc import Callable, Mapping, Sequence
from math import prod

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import JaxprEqn, Literal

from attractor.errors import UnsupportedError
from attractor.program import Program, location
from attractor.program.walk import apply, aval, bound, forward, value_of

from . import entry_rules as entries
from . import scatters
from .array_rules import contract, convolve, cumulative_sum, reduce_extreme, reduce_sum
from .expressions import Expression, Lowering, Value, affine_of, check_range, shape_of, stacked, taken
from .fusion import finished
from .linear_maps import Selection, numbers_of
from .moves import MOVES, moved
from .network import Affine, Network
from .origins import Reading
from .whole_numbers import Rule, convert, kept_whole, rounded


@np.errstate(all="ignore")
def network_of(program: Program) -> Network:
    """The normal form of a program of real arrays; its flattened arguments, end to end, are the input.

    Args:
        program: traced in float64 for bounds in exact arithmetic on its weights.

    Raises:
        UnsupportedError: a primitive that bounds have no rule for, named with the line that it came from.
    """
    sizes = [prod(shape) for shape in program.input_shapes]
    lowering = Reading(sum(sizes))
    begins = np.cumsum([0, *sizes])
    arguments: list[Value] = [
        Expression(shape, Affine({0: _part(int(begin), size, lowering.inputs)}, np.zeros(size)))
        for shape, begin, size in zip(program.input_shapes, begins, sizes, strict=False)
    ]
    constants: list[Value] = [np.asarray(constant) for constant in program.constants]
    known = bound(program.jaxpr, constants, arguments)
    values = forward(program.jaxpr, known, _rule_of(program, lowering), literal=_number)
    made = [affine_of(value_of(atom, values, _number)) for atom in program.jaxpr.outvars]
    whole = Network(lowering.inputs, tuple(lowering.nodes), stacked(made))
    found = finished(whole, lowering.merges)
    for one in (found.output, *(argument for node in found.nodes for argument in node.arguments)):
        for part in one.terms.values():
            check_range(numbers_of(part))
    return found


def _number(literal: Literal) -> np.ndarray:
    return np.asarray(literal.val, aval(literal).dtype)


def _part(begin: int, size: int, whole: int) -> Selection:
    return Selection(np.arange(begin, begin + size), np.ones(size), whole)


def _rule_of(program: Program, lowering: Lowering) -> Callable[[JaxprEqn, list[Value]], Sequence[Value]]:
    def rule(equation: JaxprEqn, operands: list[Value]) -> Sequence[Value]:
        name = equation.primitive.name
        known = [one for one in operands if not isinstance(one, Expression)]
        if len(known) == len(operands):
            return _evaluated(program, equation, known)
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
    if any(jnp.issubdtype(aval(one).dtype, jax.dtypes.extended) for one in equation.outvars):
        raise UnsupportedError(
            f"verification: random numbers are drawn within the function{location(equation)}; "
            "draw them before, and let it take or close over them"
        )
    return [np.asarray(one) for one in apply(program.jaxpr, equation, operands)]


def _moves(equation: JaxprEqn, operands: Sequence[Value]) -> list[Value]:
    """A move of entries is a move of their numbers; entries of known arrays are numbered with the rest."""
    numbered: list[np.ndarray] = []
    parts: list[Affine] = []
    begin = 0
    indexed = equation.primitive.name in ("gather", "dynamic_slice")
    for number, operand in enumerate(operands):
        if indexed and number:  # an index, which says what is moved
            numbered.append(_index(equation, operand))
            continue
        shape = shape_of(operand)
        numbered.append(np.arange(begin, begin + prod(shape)).reshape(shape))
        parts.append(affine_of(operand))
        begin += prod(shape)
    whole = stacked(parts)
    return [taken(whole, index) for index in moved(equation, numbered)]


def _index(equation: JaxprEqn, operand: Value) -> np.ndarray:
    if isinstance(operand, Expression):
        raise UnsupportedError(f"verification: an index that depends on the input{location(equation)}")
    return operand


_BARE: Mapping[str, Rule] = {
    "add": entries.add,
    "add_any": entries.add,
    "sub": entries.subtract,
    "neg": entries.negative,
    "mul": entries.multiply,
    "div": entries.divide,
    "max": entries.largest,
    "min": entries.least,
    "clamp": entries.clamp,
    "abs": entries.absolute,
    "integer_pow": entries.integer_power,
    "pow": entries.power,
    "cos": entries.cosine,
    "rsqrt": entries.reciprocal_root,
    "log": entries.logarithm,
    "erfc": entries.complement_of_erf,
    "is_finite": entries.finite,
    "expm1": entries.shifted_exponential,
    "log1p": entries.shifted_logarithm,
    "dot_general": contract,
    "conv_general_dilated": convolve,
    "cumsum": cumulative_sum,
    "reduce_sum": reduce_sum,
    "reduce_max": reduce_extreme(entries.largest),
    "reduce_min": reduce_extreme(entries.least),
    "select_n": entries.select,
    "convert_element_type": convert,
    "round": rounded,
    "scatter": scatters.written,
    "scatter-add": scatters.added,
    "gt": entries.compare("positive", turned=False),
    "ge": entries.compare("not_negative", turned=False),
    "lt": entries.compare("positive", turned=True),
    "le": entries.compare("not_negative", turned=True),
    "eq": entries.compare("is_zero", turned=False),
    "ne": entries.compare("is_zero", turned=False, opposite=True),
    "not": entries.negation,
    "and": entries.conjunction,
    "or": entries.disjunction,
    **{
        name: entries.scalar(name)
        for name in (
            "tanh", "logistic", "erf", "exp", "exp2", "sqrt", "cbrt", "square", "sin",
            "floor", "ceil", "sign",
        )
    },
}  # fmt: skip
RULES = kept_whole(_BARE)
