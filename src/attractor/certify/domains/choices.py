"""Comparisons and choices: decided on the whole box, or continuous, or with slopes that have no bound."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend.core import JaxprEqn
from jaxtyping import Array

from attractor.errors import UnsupportedError
from attractor.program import Rule, is_exact, place

from .continuity import is_multiple, zero_where
from .extremes import enclose
from .interval import Interval, exactly, hull
from .operands import difference, enclosure_of, shaped, spread_enclosure
from .polynomial import Form, Zeros, branched_form, symbol_form

_SIDES = {"gt": 1, "ge": 1, "lt": -1, "le": -1}


def compare(
    holds: Callable[[Interval, Interval], Array], fails: Callable[[Interval, Interval], Array]
) -> Rule:
    """A comparison: 1 where it holds on the whole box, 0 where it fails on it, else undecided."""

    def rule(equation: JaxprEqn, one: Any, other: Any) -> Any:
        like = other if is_exact(one) else one
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
    compared: tuple[Any, Any]
    gap: Form
    side: int


def select(equation: JaxprEqn, which: Any, *cases: Any) -> Form:
    """A choice; where the box does not decide it, the result may jump, and then its slope has no bound."""
    if isinstance(which, Undecided):
        return _undecided(which, *cases)
    if not is_exact(which):
        message = f"interval bounds: a choice by a number that depends on the state{place(equation)}"
        raise UnsupportedError(message)
    same = None if isinstance(which, Tracer) else np.unique(np.asarray(which))
    if same is not None and len(same) == 1 and isinstance(cases[int(same[0])], Form):
        return cases[int(same[0])]
    like = next(case for case in cases if isinstance(case, Form))
    enclosures = [enclosure_of(case, like) for case in cases]
    index = jnp.asarray(which).astype(jnp.int32)
    value = Interval(
        *(_chosen(index, [getattr(one.value, end) for one in enclosures]) for end in ("low", "high"))
    )
    jacobian = Interval(
        *(
            _chosen(index[..., None], [getattr(one.jacobian, end) for one in enclosures])
            for end in ("low", "high")
        )
    )
    return symbol_form(value, jacobian)


def _undecided(which: Undecided, no: Any, yes: Any) -> Form:
    shape = jnp.broadcast_shapes(which.surely.shape, jnp.shape(shaped(no)), jnp.shape(shaped(yes)))
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
    continuous = jnp.isfinite(slopes.low) & jnp.isfinite(slopes.high)
    return Interval(*(jnp.where(continuous, end, steep) for end, steep in zip(met, jumps, strict=True)))


def _on_side(case: Any, value: Interval, which: Undecided, answer: int) -> Interval:
    """The range of a case where the comparison gave that answer: of the gap itself, one half."""
    if case is not which.gap or which.side == 0:
        return value
    if answer * which.side > 0:
        return Interval(*(jnp.maximum(end, 0.0) for end in value))
    return Interval(*(jnp.minimum(end, 0.0) for end in value))


def _meet(which: Undecided, no: Any, yes: Any) -> bool:
    """Whether the two cases differ by a multiple of the gap, so that they are equal where it is zero."""
    left, right = which.compared
    if (no is left and yes is right) or (no is right and yes is left):
        return True
    if is_exact(no) and is_exact(yes):
        return False
    between = difference(yes, no)
    return between.shape == which.gap.shape and is_multiple(between, which.gap)


def truth_form(one: Undecided) -> Form:
    """A truth value as a number: its slope has no bound where it jumps."""
    low, high = one.surely.astype(float), 1.0 - one.never.astype(float)
    zeros = exactly(jnp.zeros((*low.shape, one.gap.directions), low.dtype))
    decided = one.surely[..., None], one.never[..., None]
    return symbol_form(Interval(low, high), _pick(*decided, zeros, zeros, _unbounded(zeros)))


def _pick(surely: Array, never: Array, no: Interval, yes: Interval, either: Interval) -> Interval:
    ends = zip(no, yes, either, strict=True)
    return Interval(*(jnp.where(surely, one, jnp.where(never, zero, both)) for zero, one, both in ends))


def _chosen(index: Array, arrays: list[Array]) -> Array:
    result = arrays[0]
    for number, array in enumerate(arrays[1:], start=1):
        result = jnp.where(index == number, array, result)
    return result


def _unbounded(like: Interval) -> Interval:
    return Interval(jnp.full_like(like.low, -jnp.inf), jnp.full_like(like.high, jnp.inf))


__all__ = ["Undecided", "compare", "select", "truth_form"]
