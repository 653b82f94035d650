"""Coefficients of forms: numbers or arrays that know how far rounding may have moved them.

A coefficient that is a Python number is known while tracing: one and minus one cost nothing and lose nothing.
Coefficients that were computed carry the sum of their rounding errors, which the bounds of the form include.
"""

from math import frexp, isfinite
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .interval import UNIT, Interval

_WHOLE = 2.0**53


class Coefficient(NamedTuple):
    """A factor in front of a product of symbols.

    Args:
        value: the factor as it was computed.
        error: bound of its distance from the exact one; the number 0.0 if there is none.
    """

    value: Array | float
    error: Array | float = 0.0

    @property
    def exact(self) -> bool:
        """Whether it is known while tracing to have no error."""
        return isinstance(self.error, float) and self.error == 0.0

    @property
    def never_zero(self) -> bool:
        """Whether it is known while tracing to be finite and not zero."""
        return self.exact and isinstance(self.value, float) and isfinite(self.value) and self.value != 0

    @property
    def interval(self) -> Interval:
        """The factor as an interval."""
        value = jnp.asarray(self.value)
        return Interval(value, value) if self.exact else Interval(value - self.error, value + self.error)


ONE = Coefficient(1.0)


def coefficient(value: Any, relative: float = 0.0) -> Coefficient:
    """The coefficient of an array or number that is wrong by at most a share `relative` of itself."""
    if not isinstance(value, float | int | np.ndarray | np.generic) or np.ndim(value) > 0:
        array = jnp.asarray(value)
        return Coefficient(array, relative * jnp.abs(array) if relative and _double(array) else 0.0)
    number = float(value)
    return Coefficient(number, relative * abs(number))


def added(one: Coefficient, other: Coefficient) -> Coefficient:
    """The sum; a rounded sum is wrong by at most half a unit of itself, so what cancels is exact."""
    value = one.value + other.value
    return Coefficient(value, _total(one.error, other.error, _rounding(value, one, other)))


def multiplied(one: Coefficient, other: Coefficient) -> Coefficient:
    """The product; times one, minus one or a power of two is exact."""
    if one.exact and _is_unit(one.value):
        return _signed(other, one.value)
    if other.exact and _is_unit(other.value):
        return _signed(one, other.value)
    value = one.value * other.value
    errors = [_rounding(value, one, other)]
    if not one.exact:
        errors.append(one.error * abs(other.value))
    if not other.exact:
        errors.append(other.error * (abs(one.value) + one.error))
    return Coefficient(value, _total(*errors))


def reciprocal(value: Any) -> Coefficient:
    """One over an exact array or number; not a number for zero, for 0 / 0 is none."""
    array = np.asarray(value, float) if isinstance(value, np.ndarray | np.generic | float | int) else value
    if isinstance(array, np.ndarray) and array.ndim == 0 and array != 0:
        number = float(array)
        power_of_two = abs(frexp(number)[0]) == 0.5
        return coefficient(1.0 / number, 0.0 if power_of_two else 2 * UNIT)
    divisor = jnp.asarray(array)
    return coefficient(1.0 / jnp.where(divisor == 0, jnp.nan, divisor), 2 * UNIT)


def finite_coefficient(value: Any) -> Coefficient:
    """The coefficient of an exact array or number; not a number where it is infinite, for 0 inf is none."""
    if isinstance(value, float | int | np.ndarray | np.generic) and np.isfinite(value).all():
        return coefficient(value)
    array = jnp.asarray(value)
    return coefficient(jnp.where(jnp.isfinite(array), array, jnp.nan))


def _signed(one: Coefficient, sign: Any) -> Coefficient:
    return one if sign == 1 else Coefficient(-one.value, one.error)


def _is_unit(value: Any) -> bool:
    return isinstance(value, float) and abs(value) == 1.0


def _rounding(value: Any, one: Coefficient, other: Coefficient) -> Any:
    """Bound of the rounding error of one sum or product."""
    if isinstance(value, float):
        numbers = (one.value, other.value, value)
        whole = all(isinstance(n, float) and n.is_integer() and abs(n) < _WHOLE for n in numbers)
        return 0.0 if whole else UNIT * abs(value)
    return UNIT * jnp.abs(value) if _double(value) else 0.0


def _total(*errors: Any) -> Any:
    total = 0.0
    for error in errors:
        total = error if _nothing(total) else total if _nothing(error) else total + error
    return total if _nothing(total) else 2 * total  # twice, for the rounding of the error itself


def _nothing(error: Any) -> bool:
    return isinstance(error, float) and error == 0.0


def _double(array: Array) -> bool:
    return array.dtype == jnp.float64
