"""Choices that do not jump: two cases that are equal wherever the comparison changes its answer.

Leaky rectifiers and exponential units are written as a choice between p and what is zero where p is. The
comparison changes its answer where its gap g is zero, so that a case c must be zero *wherever g is*. What is
known of zeros are steps "c is zero where s is", and two of them must not be confused:

- from the case downward, c = f(s) with f(0) = 0: s = 0 gives c = 0;
- from the gap downward, g = h(s): here g = 0 must give s = 0. That h(0) = 0 says nothing of it: sin(80 s) is
  zero at s = 0 and at 25 other places between 0 and 1.

What is told while tracing is told for every value; what cannot be told counts as a jump.
"""

from fractions import Fraction
from typing import Any

import numpy as np
from jax.core import Tracer

from .polynomial import Form, Monomial


def is_nothing(constant: Any) -> bool:
    """Whether an exact operand is known to be zero; a traced one is not."""
    return not isinstance(constant, Tracer) and not np.any(np.asarray(constant))


def zero_where(case: Any, gap: Form) -> bool:
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


__all__ = ["is_multiple", "is_nothing", "zero_where"]
