"""Rounding, casts, and arithmetic in whole numbers, as rules for the reading of a network.

Rounding is exact here, as all arithmetic is: floor is 2 of a number that a network
computes in float32 just below 3 where the exact one is 3, as its other results differ by a rounding.

Whole numbers of a computer begin anew behind their largest one. Arithmetic here does not; so every result in
whole numbers must be proved to be one that there is, or nothing is proved.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from jax.extend.core import JaxprEqn

from attractor.errors import UnsupportedError
from attractor.program import location
from attractor.program.walk import aval

from .expressions import Expression, Lowering, Value, difference

Rule: TypeAlias = Callable[..., Expression | np.ndarray | list[Expression]]

# Of whole numbers, what gives the same as with real ones if nothing overflows, and what cannot overflow.
_ARITHMETIC = (
    "add",
    "add_any",
    "sub",
    "neg",
    "mul",
    "abs",
    "integer_pow",
    "dot_general",
    "cumsum",
    "reduce_sum",
    "scatter-add",
)
_CHOICES = (
    "max",
    "min",
    "clamp",
    "reduce_max",
    "reduce_min",
    "select_n",
    "sign",
    "convert_element_type",
    "scatter",
)


def rounded(lowering: Lowering, equation: JaxprEqn, one: Expression) -> Expression:
    """To the nearest whole number, halves to the even one or away from zero."""
    to_even = int(equation.params["rounding_method"]) == 1
    return lowering.node("round" if to_even else "round_away", [one], equation)


def convert(lowering: Lowering, equation: JaxprEqn, one: Expression) -> Expression:
    """A wider type changes nothing, a whole number cuts off, a truth value says whether it is not zero."""
    before, after = (np.dtype(aval(atom).dtype) for atom in (equation.invars[0], equation.outvars[0]))
    if after.kind == "b":
        zero = lowering.node("is_zero", [one], equation)
        return difference(np.ones(one.shape), zero)
    if after.kind in "iu":
        cut = lowering.node("trunc", [one], equation) if before.kind == "f" else one
        return cut if before.kind == "b" else _within(lowering, equation, cut, after)
    exact = before.kind == "b" or after.itemsize >= (4 if before.kind in "iu" else before.itemsize)
    if after.kind == "f" and exact:
        return one
    raise UnsupportedError(
        f"verification: what depends on the input is rounded from {before} to {after}{location(equation)}; "
        "compute in one type"
    )


def _within(lowering: Lowering, equation: JaxprEqn, one: Expression, kind: np.dtype) -> Expression:
    """What has to be a whole number of a type."""
    limits = np.iinfo(kind)
    most = float(limits.max)  # of 64 bits it is no float, and rounded up
    most = most if int(most) == limits.max else float(np.nextafter(most, 0.0))
    return lowering.node("within", [one], equation, float(limits.min), most)


def kept_whole(rules: Mapping[str, Rule]) -> Mapping[str, Rule]:
    """Rules that keep whole numbers within their type, and refuse what means something else for them.

    Args:
        rules: by the names of primitives.
    """
    return {name: _kept(name, rule) for name, rule in rules.items()}


def _kept(name: str, rule: Rule) -> Rule:
    def own(
        lowering: Lowering, equation: JaxprEqn, *operands: Value
    ) -> Expression | np.ndarray | list[Expression]:
        _check_sizes(equation, operands)
        kind = np.dtype(aval(equation.outvars[0]).dtype)
        if kind.kind not in "iu" or name in _CHOICES:
            return rule(lowering, equation, *operands)
        if name not in _ARITHMETIC:
            raise UnsupportedError(
                f"verification: '{name}' of whole numbers that depend on the input{location(equation)}; "
                f"cast them to real numbers before (known: {', '.join(_ARITHMETIC + _CHOICES)})"
            )
        found = rule(lowering, equation, *operands)
        return _within(lowering, equation, found, kind) if isinstance(found, Expression) else found

    return own


def _check_sizes(equation: JaxprEqn, operands: Sequence[Value]) -> None:
    """Refuse known whole numbers that float64 would round."""
    for one in operands:
        if (
            isinstance(one, np.ndarray)
            and one.dtype.kind in "iu"
            and (np.abs(one.astype(float)) >= 2.0**53).any()
        ):
            raise UnsupportedError(
                f"verification: a whole number from 2^53 on{location(equation)}; state it in other units"
            )
