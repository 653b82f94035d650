"""Comparisons and choices: decided on the whole box, or continuous, or with slopes that have no bound.

Leaky rectifiers and exponential units are written as a choice between p and what is zero where p is: two
cases that are equal wherever the comparison changes its answer. That is where its gap g is zero, so that a
case c must be zero *wherever g is*. What is known of zeros are steps "c is zero where s is", and two of them
must not be confused:

- from the case downward, c = f(s) with f(0) = 0: s = 0 gives c = 0;
- from the gap downward, g = h(s): here g = 0 must give s = 0. That h(0) = 0 says nothing of it: sin(80 s) is
  zero at s = 0 and at 25 other points between 0 and 1.

What is told while tracing is told for every value; what cannot be told counts as a jump.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import cast

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend.core import JaxprEqn
from jaxtyping import Array

from attractor.errors import UnsupportedError
from attractor.program import Rule, location

from .algebra import enclose, plus, scaled, shifted
from .interval import Interval, exactly, hull
from .polynomial import (
    Coefficient,
    Enclosure,
    Exact,
    Form,
    Monomial,
    Operand,
    Zeros,
    branched_form,
    symbol_form,
)

_SIDES = {"gt": 1, "ge": 1, "lt": -1, "le": -1}


def compare(
    holds: Callable[[Interval, Interval], Array], fails: Callable[[Interval, Interval], Array]
) -> Rule:
    """A comparison: 1 where it holds on the whole box, 0 where it fails on it, else undecided."""

    def rule(equation: JaxprEqn, one: Operand, other: Operand) -> Undecided:
        like = next(side for side in (one, other) if isinstance(side, Form))
        left, right = enclosure_of(one, like).value, enclosure_of(other, like).value
        if one is other:  # x != x asks for NaN, which a quantity is not where it has bounds
            number = jnp.isfinite(left.low) & jnp.isfinite(left.high)
            nowhere = jnp.zeros(like.shape, bool)
            equal = equation.primitive.name in ("eq", "le", "ge")
            truth = (number, nowhere) if equal else (nowhere, number)
            return Undecided(*truth, (one, other), difference(one, other), 0)
        side = _SIDES.get(equation.primitive.name, 0)
        return Undecided(holds(left, right), fails(left, right), (one, other), difference(one, other), side)

    return rule


@dataclass(frozen=True, eq=False)
class Undecided:
    """A truth value that may change over the box.

    Args:
        surely: whether it holds on all of the box.
        never: whether it fails on all of it.
        compared: the two sides, forms or exact arrays.
        gap: the difference of the two sides that are compared: zero where the answer changes.
        side: its sign where the comparison holds, and the opposite where it fails; 0 says nothing.
    """

    surely: Array
    never: Array
    compared: tuple[Operand, Operand]
    gap: Form
    side: int


def _apart(one: Interval, other: Interval) -> Array:
    return (one.high < other.low) | (one.low > other.high)


def _nowhere(one: Interval, _: Interval) -> Array:
    return jnp.zeros(one.low.shape, bool)


COMPARISONS: dict[str, Rule] = {
    "lt": compare(lambda a, b: a.high < b.low, lambda a, b: a.low >= b.high),
    "le": compare(lambda a, b: a.high <= b.low, lambda a, b: a.low > b.high),
    "gt": compare(lambda a, b: a.low > b.high, lambda a, b: a.high <= b.low),
    "ge": compare(lambda a, b: a.low >= b.high, lambda a, b: a.high < b.low),
    "eq": compare(_nowhere, _apart),
    "ne": compare(_apart, _nowhere),
}


LOGIC = ("not", "and", "or", "reduce_and", "reduce_or")


def truth(equation: JaxprEqn, *operands: "Undecided | Exact") -> Undecided:
    """What a function makes of truth values that may be undecided: whether it holds, not where it changes.

    All but `not` are monotone: what surely holds follows from what surely holds, and what may from what may.
    """
    ends = zip(*(_least_and_most(operand) for operand in operands), strict=True)
    least, most = (equation.primitive.bind(*map(jnp.asarray, end), **equation.params) for end in ends)
    surely, never = (most, ~least) if equation.primitive.name == "not" else (least, ~most)
    like = next(one.gap for one in operands if isinstance(one, Undecided))
    jump = _jump(surely, never, like.directions)
    return Undecided(surely, never, (jump, jump), jump, 0)


def _least_and_most(operand: "Undecided | Exact") -> "tuple[Exact, Exact]":
    return (operand.surely, ~operand.never) if isinstance(operand, Undecided) else (operand, operand)


def select(equation: JaxprEqn, which: "Undecided | Operand", *cases: Operand) -> Form:
    """A choice; where the box does not decide it, the result may jump, and then its slope has no bound."""
    if isinstance(which, Undecided):
        return _undecided(which, *cases)
    if isinstance(which, Form):
        raise UnsupportedError(
            f"interval bounds: a choice by a number that depends on the state{location(equation)}"
        )
    same = None if isinstance(which, Tracer) else np.unique(np.asarray(which))
    if same is not None and len(same) == 1 and isinstance(case := cases[int(same[0])], Form):
        return case
    like = next(case for case in cases if isinstance(case, Form))
    enclosures = [enclosure_of(case, like) for case in cases]
    index = jnp.asarray(which).astype(jnp.int32)
    value = _chosen(index, [one.value for one in enclosures])
    return symbol_form(value, _chosen(index[..., None], [one.jacobian for one in enclosures]))


def _undecided(which: Undecided, no: Operand, yes: Operand) -> Form:
    shape = jnp.broadcast_shapes(which.surely.shape, shape_of(no), shape_of(yes))
    closed_no, closed_yes = (spread_enclosure(case, shape, which.gap.directions) for case in (no, yes))
    either = hull(_on_side(no, closed_no.value, which, -1), _on_side(yes, closed_yes.value, which, 1))
    both_zero = shape == which.gap.shape and all(zero_where(case, which.gap) for case in (no, yes))
    value = _pick(which.surely, which.never, closed_no.value, closed_yes.value, either)
    never, always = closed_no.jacobian, closed_yes.jacobian
    jumps = _unbounded(closed_no.jacobian)
    branches = [jumps]
    if both_zero or _meet(which, no, yes):
        branches = [_where_gap_is_continuous(which.gap, case, jumps) for case in (never, always)]
    decided = which.surely[..., None], which.never[..., None]
    result = branched_form(value, [_pick(*decided, never, always, branch) for branch in branches])
    return replace(result, zeros=Zeros(which.gap, both=False)) if both_zero else result


def _where_gap_is_continuous(gap: Form, met: Interval, jumps: Interval) -> Interval:
    """Slopes of a choice whose cases meet at the zeros of the gap, where the gap does not jump.

    Between two points where the comparison differs, a continuous gap has a zero, at which the cases are
    equal: the difference of the result is a sum of differences of one case before it and of the other case
    after it, and its derivative is a mean of theirs. A gap that jumps changes sign without a zero; then the
    cases need not be equal anywhere, and their difference is a jump.
    """
    slopes = enclose(gap).jacobian
    return met.where(jnp.isfinite(slopes.low) & jnp.isfinite(slopes.high), jumps)


def _on_side(case: Operand, value: Interval, which: Undecided, answer: int) -> Interval:
    """The range of a case where the comparison gave that answer: of the gap itself, one half."""
    if case is not which.gap or which.side == 0:
        return value
    half = jnp.maximum if answer * which.side > 0 else jnp.minimum
    return value.each(lambda end: half(end, 0.0))


def _meet(which: Undecided, no: Operand, yes: Operand) -> bool:
    """Whether the two cases differ by a multiple of the gap, so that they are equal where it is zero."""
    left, right = which.compared
    if (no is left and yes is right) or (no is right and yes is left):
        return True
    if not (isinstance(no, Form) or isinstance(yes, Form)):
        return False
    between = difference(yes, no)
    return between.shape == which.gap.shape and is_multiple(between, which.gap)


def truth_form(one: Undecided) -> Form:
    """A truth value as a number: its slope has no bound where it jumps."""
    return _jump(one.surely, one.never, one.gap.directions)


def _jump(surely: Array, never: Array, directions: int) -> Form:
    low, high = surely.astype(float), 1.0 - never.astype(float)
    zeros = exactly(jnp.zeros((*low.shape, directions), low.dtype))
    decided = surely[..., None], never[..., None]
    return symbol_form(Interval(low, high), _pick(*decided, zeros, zeros, _unbounded(zeros)))


def _pick(surely: Array, never: Array, no: Interval, yes: Interval, either: Interval) -> Interval:
    return yes.where(surely, no.where(never, either))


def _chosen(index: Array, cases: list[Interval]) -> Interval:
    result = cases[0]
    for number, case in enumerate(cases[1:], start=1):
        result = case.where(index == number, result)
    return result


def _unbounded(like: Interval) -> Interval:
    return Interval(jnp.full_like(like.low, -jnp.inf), jnp.full_like(like.high, jnp.inf))


def is_nothing(constant: Exact) -> bool:
    """Whether an exact operand is known to be zero; a traced one is not."""
    return not isinstance(constant, Tracer) and not np.any(np.asarray(constant))


def zero_where(case: Operand, gap: Form) -> bool:
    """Whether a case of a choice, a form or an exact array, is zero wherever the gap is.

    If g = 0 gives s = 0, and s = 0 gives c = 0, then g = 0 gives c = 0; s may be any form that both reach.
    """
    if not isinstance(case, Form):
        return is_nothing(case)
    certain = {id(form) for form in _zero_with_gap(gap)}
    return any(id(form) in certain for form in _making_zero(case))


def _making_zero(case: Form) -> list[Form]:
    """Forms at whose zeros the case is zero: itself, and what it was made from by functions with f(0) = 0."""
    found = [case]
    while (zeros := found[-1].zeros) is not None:
        found.append(zeros.source)
    return found


def _zero_with_gap(gap: Form) -> list[Form]:
    """Forms that are zero at all zeros of the gap: itself, and down to the first step without a converse."""
    found = [gap]
    while (zeros := found[-1].zeros) is not None and zeros.both:
        found.append(zeros.source)
    return found


def is_multiple(difference: Form, gap: Form) -> bool:
    """Whether one form is a number times another, as 2 x - 2 and x - 1; all coefficients must be known.

    Then it is zero wherever the other is. (The converse, which holds unless the number is zero, is not used.)
    """
    ours, theirs = _known(difference), _known(gap)
    if not ours:
        return ours is not None
    if not theirs or ours.keys() != theirs.keys():
        return False
    key = next(iter(ours))
    return all(ours[other] * theirs[key] == ours[key] * theirs[other] for other in ours)


def _known(form: Form) -> dict[Monomial, Fraction] | None:
    """The terms that are not zero; None if a coefficient is not known while tracing."""
    known: dict[Monomial, Fraction] = {}
    for key, factor in form.terms.items():
        if not (factor.exact and isinstance(factor.value, float) and np.isfinite(factor.value)):
            return None
        if factor.value != 0:
            known[key] = Fraction(factor.value)
    return known


def enclosure_of(operand: Operand, like: Form) -> Enclosure:
    """The ranges of an operand, which may be an exact array."""
    return spread_enclosure(operand, like.shape, like.directions)


def difference(one: Operand, other: Operand) -> Form:
    """One minus the other, of which at most one is exact."""
    if not isinstance(one, Form):
        return shifted(_negative(cast(Form, other)), one)
    if isinstance(other, Form):
        return plus(one, _negative(other))
    same = is_nothing(other) and jnp.shape(other) in ((), one.shape)
    return one if same else shifted(one, -other)


def _negative(form: Form) -> Form:
    return scaled(form, Coefficient(-1.0))


def shape_of(operand: Operand) -> tuple[int, ...]:
    """The shape of an operand."""
    return operand.shape if isinstance(operand, Form) else jnp.shape(operand)


def spread_enclosure(case: Operand, shape: tuple[int, ...], directions: int) -> Enclosure:
    """The ranges of an operand; an exact array is spread over a shape and depends on nothing."""
    if isinstance(case, Form):
        return enclose(case)
    value = jnp.broadcast_to(jnp.asarray(case), shape)
    return Enclosure(exactly(value), exactly(jnp.zeros((*shape, directions), value.dtype)))
