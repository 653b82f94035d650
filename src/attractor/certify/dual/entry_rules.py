"""Rules of one entry at a time: arithmetic, functions, comparisons and choices."""

from collections.abc import Callable
from math import prod

import numpy as np
from jax.extend.core import JaxprEqn

from attractor.errors import AttractorError, UnsupportedError
from attractor.program import location
from attractor.program.walk import aval

from .exponential_sums import log_softmax, logarithm_of_sum, softmax
from .expressions import (
    PRODUCT_WITH,
    Expression,
    Gate,
    Lowering,
    Value,
    affine_of,
    difference,
    doubted,
    plus,
    result_shape,
    scaled,
    shape_of,
    spread,
    stacked,
    sum_of,
    taken,
)
from .function import TRANSCENDENTAL
from .fusion import merged
from .kinks import clipped, rectified
from .linear_maps import is_power_of_two
from .network import Affine
from .origins import noted
from .recognised import added_unit, chosen_unit, cut_off, is_defined, is_positive, self_gated, softened


def add(lowering: Lowering, equation: JaxprEqn, one: Value, other: Value) -> Expression:
    """A sum; softplus and exponential units as programs write them are functions of their own."""
    one, other = spread(equation, one, other)
    if isinstance(one, Expression) and isinstance(other, Expression):
        for recognised in (softened, added_unit):
            own = recognised(lowering, equation, one, other) or recognised(lowering, equation, other, one)
            if own is not None:
                return own
    return merged(lowering, sum_of(one, other))


def subtract(lowering: Lowering, equation: JaxprEqn, one: Value, other: Value) -> Expression:
    """A difference; less nothing is the same expression."""
    before, whole = shape_of(other), other
    one, other = spread(equation, one, other)
    if not isinstance(one, Expression):
        return merged(lowering, difference(one, other))
    if not isinstance(other, Expression):
        return difference(one, other) if other.any() else one
    index = np.broadcast_to(np.arange(prod(before)).reshape(before), one.shape)
    share = log_softmax(lowering, equation, one, whole, index) if isinstance(whole, Expression) else None
    if share is not None:
        return share
    found = merged(lowering, difference(one, other))
    return noted(lowering, found, "shifted", one, index)


def negative(lowering: Lowering, _: JaxprEqn, one: Expression) -> Expression:
    """The opposite."""
    return times(lowering, one, np.full(one.shape, -1.0))


def times(lowering: Lowering, one: Expression, factors: np.ndarray | float) -> Expression:
    """Every entry times a known number, which is remembered; nothing is left of what is times zero."""
    if not np.any(factors) and one.affine.finite:
        return Expression(one.shape, Affine({}, np.zeros(prod(one.shape))))
    return noted(lowering, scaled(one, factors), "multiple", one, np.broadcast_to(factors, one.shape))


def multiply(lowering: Lowering, equation: JaxprEqn, one: Value, other: Value) -> Expression:
    """A product: by known numbers, of a number with itself, with a gate, or of any two."""
    one, other = spread(equation, one, other)
    if not isinstance(one, Expression):
        one, other = other, one
    if not isinstance(one, Expression):
        raise _known(equation)
    if not isinstance(other, Expression):
        return times(lowering, one, other)
    if one is other:
        return lowering.node("square", [one], equation)
    own = self_gated(lowering, equation, one, other) or self_gated(lowering, equation, other, one)
    if own is not None:
        return merged(lowering, own)
    gates = [(lowering.gate(other), one), (lowering.gate(one), other)]
    for product in PRODUCT_WITH.values():
        for gate, gated in gates:
            if gate is not None and gate.product == product:
                return merged(lowering, _gated(lowering, equation, gate, gated))
    return lowering.node("product", [one, other], equation)


def _known(equation: JaxprEqn) -> AttractorError:
    """What is known is evaluated before a rule is asked."""
    return AttractorError(f"an operation on known arrays came to a rule of networks{location(equation)}")


def _gated(lowering: Lowering, equation: JaxprEqn, gate: Gate, other: Expression) -> Expression:
    """(f h(x) + c) y = f h(x) y + c y, by the argument of the gate."""
    inner = lowering.node(gate.product, [gate.argument, other], equation)
    own = scaled(inner, gate.factors.reshape(other.shape))
    return sum_of(own, scaled(other, gate.offset.reshape(other.shape))) if gate.offset.any() else own


def divide(lowering: Lowering, equation: JaxprEqn, one: Value, other: Value) -> Expression:
    """A quotient: by known numbers, or a product with one over the other."""
    one, other = spread(equation, one, other)
    if not isinstance(other, Expression):
        if not isinstance(one, Expression):
            raise _known(equation)
        with np.errstate(divide="ignore"):
            found = times(lowering, one, 1.0 / other)
        # One over a number is rounded, but for powers of two.
        if is_power_of_two(other):
            return found
        return noted(lowering, doubted(found), "quotient", one, np.broadcast_to(other, one.shape))
    share = softmax(lowering, equation, one, other) if isinstance(one, Expression) else None
    if share is not None:
        return share
    inverse = lowering.node("reciprocal", [other], equation)
    if not isinstance(one, Expression):
        return scaled(inverse, one)
    return lowering.node("product", [one, inverse], equation)


def largest(lowering: Lowering, equation: JaxprEqn, one: Value, other: Value) -> Expression:
    """B + max(a - b, 0); between two numbers where one is a minimum already."""
    return clipped(lowering, equation, one, other, 1.0)


def least(lowering: Lowering, equation: JaxprEqn, one: Value, other: Value) -> Expression:
    """B - max(b - a, 0); between two numbers where one is a maximum already."""
    return clipped(lowering, equation, one, other, -1.0)


def clamp(lowering: Lowering, equation: JaxprEqn, low: Value, one: Value, high: Value) -> Expression:
    """Between two numbers."""
    ends = [np.unique(end) for end in (low, high) if not isinstance(end, Expression)]
    if len(ends) == 2 and isinstance(one, Expression) and len(ends[0]) == len(ends[1]) == 1:
        return lowering.node("clip", [one], equation, float(ends[0][0]), float(ends[1][0]))
    return least(lowering, equation, largest(lowering, equation, one, low), high)


def absolute(lowering: Lowering, equation: JaxprEqn, one: Expression) -> Expression:
    """2 max(z, 0) - z; of sums of exponentials, what they are."""
    if is_positive(lowering, one.affine):
        return one
    found = difference(scaled(lowering.node("relu", [one], equation), 2.0), one)
    return noted(lowering, found, "absolute", one, np.ones(one.shape))


def scalar(function: str, *parameters: float) -> Callable[..., Expression]:
    """The rule of a function of one number."""

    def rule(lowering: Lowering, equation: JaxprEqn, one: Expression) -> Expression:
        return lowering.node(function, [one], equation, *parameters)

    return rule


def cosine(lowering: Lowering, equation: JaxprEqn, one: Expression) -> Expression:
    """A sine a quarter of a turn on."""
    quarter = Affine({}, np.full(prod(one.shape), np.pi / 2), roundings=1)
    turned = Expression(one.shape, plus(one.affine, quarter))
    return lowering.node("sin", [turned], equation)


def integer_power(lowering: Lowering, equation: JaxprEqn, one: Expression) -> Expression:
    """A whole power, one over it for a negative one."""
    exponent = equation.params["y"]
    if exponent < 0:
        inverse = lowering.node("reciprocal", [one], equation)
        return inverse if exponent == -1 else _raised(lowering, equation, inverse, -exponent)
    return one if exponent == 1 else _raised(lowering, equation, one, exponent)


def _raised(lowering: Lowering, equation: JaxprEqn, one: Expression, exponent: int) -> Expression:
    if exponent == 2:
        return lowering.node("square", [one], equation)
    return lowering.node("power", [one], equation, float(exponent))


def power(lowering: Lowering, equation: JaxprEqn, one: Value, other: Value) -> Expression:
    """A whole power, a root, a power of a known number; else exp(k log z), which is defined where log is."""
    one, other = spread(equation, one, other)
    if not isinstance(one, Expression):
        if not isinstance(other, Expression):
            raise _known(equation)
        return _of_base(lowering, equation, one, other)
    exponents = np.zeros(0) if isinstance(other, Expression) else np.unique(other)
    if len(exponents) == 1:
        exponent = float(exponents[0])
        if exponent == 0.5:
            return lowering.node("sqrt", [one], equation)
        if exponent.is_integer() and exponent >= 1:
            return one if exponent == 1 else _raised(lowering, equation, one, int(exponent))
    logarithm_of_base = lowering.node("log", [one], equation)
    if isinstance(other, Expression):
        exponent_ = lowering.node("product", [other, logarithm_of_base], equation)
    else:
        exponent_ = scaled(logarithm_of_base, other)
    return lowering.node("exp", [exponent_], equation)


def _of_base(lowering: Lowering, equation: JaxprEqn, base: np.ndarray, exponent: Expression) -> Expression:
    """a^z = exp(z log a), whose logarithm is rounded; of powers of two 2^(z k), which is not.

    Raises:
        UnsupportedError: a base that is not above zero.
    """
    if not (base > 0).all():
        raise UnsupportedError(
            f"verification: a power of {float(base.min()):g} whose exponent depends on the input"
            f"{location(equation)}; the base must be above zero"
        )
    sizes, exponents = np.frexp(base)
    if (sizes == 0.5).all():
        return lowering.node("exp2", [scaled(exponent, exponents - 1.0)], equation)
    return lowering.node("exp", [doubted(scaled(exponent, np.log(base)), TRANSCENDENTAL)], equation)


def compare(function: str, *, turned: bool, opposite: bool = False) -> Callable[..., Value]:
    """A comparison as a number, 1 or 0, of the difference of both sides; known of a number with itself."""
    of_equal = (function != "positive") != opposite

    def rule(lowering: Lowering, equation: JaxprEqn, one: Value, other: Value) -> Value:
        one, other = spread(equation, one, other)
        if one is other:
            return np.full(result_shape(equation), of_equal)
        one, other = (other, one) if turned else (one, other)
        bare = isinstance(one, Expression) and not isinstance(other, Expression) and not other.any()
        gap = one if bare and isinstance(one, Expression) else difference(one, other)
        answer = lowering.node(function, [gap], equation)
        return difference(np.ones(answer.shape), answer) if opposite else answer

    return rule


def select(lowering: Lowering, equation: JaxprEqn, which: Value, *cases: Value) -> Expression:
    """No + which (yes - no) for an unknown truth value; a choice by entry for a known one."""
    if not isinstance(which, Expression):
        index = np.broadcast_to(which.astype(int), result_shape(equation))
        size = index.size
        whole = stacked([affine_of(case) for case in spread(equation, *cases)])
        return taken(whole, np.asarray(index * size + np.arange(size).reshape(index.shape)))
    if len(cases) != 2 or aval(equation.invars[0]).dtype != bool:
        raise UnsupportedError(
            f"verification: a choice between {len(cases)} cases by a number{location(equation)}"
        )
    which, no, yes = spread(equation, which, *cases)
    if not isinstance(which, Expression):
        raise _known(equation)
    unit = chosen_unit(lowering, equation, which, no, yes) or cut_off(lowering, equation, which, no, yes)
    if unit is not None:
        return unit
    gain = _gain(yes, no)
    turned = rectified(lowering, equation, which, gain) if isinstance(gain, Expression) else None
    chosen = multiply(lowering, equation, which, gain) if turned is None else turned
    return merged(lowering, sum_of(no, chosen))


def _gain(yes: Value, no: Value) -> Value:
    """Yes - no, which is known where both are."""
    if isinstance(yes, Expression) or isinstance(no, Expression):
        return difference(yes, no)
    found = np.asarray(yes - no)
    exact = ((found + no == yes) & (yes - found == no)).all()
    return found if exact else difference(yes, no)


def negation(_: Lowering, equation: JaxprEqn, one: Expression) -> Expression:
    """One minus a truth value."""
    return difference(np.ones(one.shape), one)


def conjunction(lowering: Lowering, equation: JaxprEqn, one: Value, other: Value) -> Expression:
    """The product of two truth values."""
    return multiply(lowering, equation, one, other)


def disjunction(lowering: Lowering, equation: JaxprEqn, one: Value, other: Value) -> Expression:
    """Their sum less their product."""
    both = multiply(lowering, equation, one, other)
    return difference(sum_of(*spread(equation, one, other)), both)


def reciprocal_root(lowering: Lowering, equation: JaxprEqn, one: Expression) -> Expression:
    """One over the square root."""
    return lowering.node("reciprocal", [lowering.node("sqrt", [one], equation)], equation)


def shifted_exponential(lowering: Lowering, equation: JaxprEqn, one: Expression) -> Expression:
    """An exponential less one."""
    raised = lowering.node("exp", [one], equation)
    return difference(raised, np.ones(one.shape))


def shifted_logarithm(lowering: Lowering, equation: JaxprEqn, one: Expression) -> Expression:
    """The logarithm of one more."""
    return lowering.node("log", [sum_of(one, np.ones(one.shape))], equation)


def logarithm(lowering: Lowering, equation: JaxprEqn, one: Expression) -> Expression:
    """The logarithm; of a sum of exponentials, without them."""
    return logarithm_of_sum(lowering, equation, one) or lowering.node("log", [one], equation)


def complement_of_erf(lowering: Lowering, equation: JaxprEqn, one: Expression) -> Expression:
    """One less the error function."""
    return difference(np.ones(one.shape), lowering.node("erf", [one], equation))


def finite(lowering: Lowering, equation: JaxprEqn, one: Expression) -> np.ndarray:
    """True of what is defined everywhere: a number of exact arithmetic is finite."""
    if is_defined(lowering, one.affine):
        return np.ones(one.shape, bool)
    raise UnsupportedError(
        "verification: whether a quotient, a root or a logarithm of what depends on the input is a finite "
        f"number is not known{location(equation)}; keep it away from where it is not defined"
    )
