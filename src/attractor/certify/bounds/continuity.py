"""Choices that do not jump: two cases that are equal wherever the comparison changes its answer.

Leaky rectifiers and exponential units are written as a choice between p and what is zero where p is.
What is told while tracing is told for every value; what cannot be told counts as a jump.
"""

from fractions import Fraction
from typing import Any

import numpy as np
from jax.core import Tracer

from .form import Form, Monomial


def is_nothing(constant: Any) -> bool:
    """Whether an exact operand is known to be zero; a traced one is not."""
    return not isinstance(constant, Tracer) and not np.any(np.asarray(constant))


def zero_source(form: Form) -> Form:
    """The form that it was made of by steps that keep zeros: where that is zero, this is zero."""
    while form.zero_with is not None:
        form = form.zero_with
    return form


def zero_where(case: Any, gap: Form) -> bool:
    """Whether a case of a choice, a form or an exact array, is zero wherever the gap is."""
    return zero_source(case) is zero_source(gap) if isinstance(case, Form) else is_nothing(case)


def is_multiple(difference: Form, gap: Form) -> bool:
    """Whether one form is a number times another, as 2 x - 2 and x - 1; all coefficients must be known."""
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


__all__ = ["is_multiple", "is_nothing", "zero_source", "zero_where"]
