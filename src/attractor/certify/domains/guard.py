"""What no rule may be asked for: arithmetic on truth values, and results of fewer digits than their operands.

A proof is about the map in exact arithmetic. A step that rounds to a narrower type on purpose is another map:
its rounding is a step function with thousands of jumps, and between two of them it may hold what the wide map
would let go. So it is refused by name, wherever it is written: as a cast, in a product, or as its precision.
"""

from collections.abc import Mapping
from math import inf
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend.core import JaxprEqn

from attractor.errors import UnsupportedError
from attractor.program import Kind, Rule, is_exact, of_kind, place

from .choices import Undecided

_TAKE_TRUTH = of_kind(Kind.CHOOSING) | {"convert_element_type"}
"""Primitives whose first operand may be a truth value that is not decided."""


def guarded(rules: Mapping[str, Rule]) -> dict[str, Rule]:
    """The same rules, each asked only for what it was derived for.

    Args:
        rules: one rule for each primitive, by name.
    """

    def guard(rule: Rule) -> Rule:
        def checked(equation: JaxprEqn, *operands: Any) -> Any:
            _refuse_truth(equation, operands)
            _refuse_narrow(equation, operands)
            return rule(equation, *map(_number, operands))

        return checked

    return {name: guard(rule) for name, rule in rules.items()}


def _number(operand: Any) -> Any:
    """A single number that is known while tracing stays known: in JAX's own array it would be traced."""
    known = isinstance(operand, jax.Array) and not isinstance(operand, Tracer)
    return np.asarray(operand) if known and operand.ndim == 0 else operand


def _refuse_truth(equation: JaxprEqn, operands: tuple[Any, ...]) -> None:
    free = 1 if equation.primitive.name in _TAKE_TRUTH else 0
    if any(isinstance(operand, Undecided) for operand in operands[free:]):
        message = (
            f"interval bounds: '{equation.primitive.name}' of a truth value that depends on the state"
            f"{place(equation)}"
        )
        raise UnsupportedError(message)


def _refuse_narrow(equation: JaxprEqn, operands: tuple[Any, ...]) -> None:
    pairs = zip(equation.invars, operands, strict=True)
    given = [_digits(atom) for atom, operand in pairs if not is_exact(operand)]
    kept = [_digits(atom) for atom in equation.outvars if _is_floating(atom)]
    if max(given) > min(kept, default=inf) or _low_precision(equation):
        result: Any = equation.outvars[0].aval
        message = (
            f"interval bounds: '{equation.primitive.name}' rounds what depends on the state to "
            f"{result.dtype}{place(equation)}: a step function, whose jumps no contraction survives. "
            "Compute the step in the type of its state"
        )
        raise UnsupportedError(message)


def _digits(atom: Any) -> int:
    """Bits of the fraction of a floating type; other types are judged by the rules."""
    return jnp.finfo(atom.aval.dtype).nmant if _is_floating(atom) else 0


def _is_floating(atom: Any) -> bool:
    return jnp.issubdtype(atom.aval.dtype, jnp.floating)


def _low_precision(equation: JaxprEqn) -> bool:
    """Whether a product asks for an algorithm with operands or sums of fewer digits."""
    asked = equation.params.get("precision")
    parts = asked if isinstance(asked, tuple) else (asked,)
    return any(type(part).__name__.startswith("DotAlgorithm") for part in parts)


__all__ = ["guarded"]
