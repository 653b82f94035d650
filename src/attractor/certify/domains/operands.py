"""Operands of a rule: forms and exact arrays alike."""

from typing import Any

import jax.numpy as jnp

from attractor.program import is_exact

from .coefficient import Coefficient
from .continuity import is_nothing
from .extremes import enclose
from .form import plus, scaled, shifted
from .interval import exactly
from .polynomial import Enclosure, Form


def enclosure_of(operand: Any, like: Form) -> Enclosure:
    """The ranges of an operand, which may be an exact array."""
    if not is_exact(operand):
        return enclose(operand)
    value = jnp.broadcast_to(operand, like.shape)
    return Enclosure(exactly(value), exactly(jnp.zeros((*like.shape, like.directions), value.dtype)))


def difference(one: Any, other: Any) -> Form:
    """One minus the other, of which at most one is exact."""
    if is_exact(other):
        same = is_nothing(other) and jnp.shape(other) in ((), one.shape)
        return one if same else shifted(one, -other)
    negated = scaled(other, Coefficient(-1.0))
    return shifted(negated, one) if is_exact(one) else plus(one, negated)


def shaped(case: Any) -> Any:
    """An exact array with the shape of an operand."""
    return jnp.empty(case.shape) if isinstance(case, Form) else case


def spread_enclosure(case: Any, shape: tuple[int, ...], directions: int) -> Enclosure:
    """The ranges of an operand; an exact array is spread over a shape and depends on nothing."""
    if isinstance(case, Form):
        return enclose(case)
    value = jnp.broadcast_to(jnp.asarray(case), shape)
    return Enclosure(exactly(value), exactly(jnp.zeros((*shape, directions), value.dtype)))
