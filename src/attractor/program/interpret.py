"""Walk over a program with values of any kind: intervals, polynomials, symbols of another tool, C names."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.core import Tracer
from jax.extend.core import Jaxpr, JaxprEqn, Literal

from attractor.errors import UnsupportedError

from .trace import Program, place
from .walk import apply, bound, forward, results

Rule = Callable[..., Any]
"""`rule(equation, *operands) -> value`, or a list of values for a primitive with several results."""


def interpret(
    program: Program, rules: Mapping[str, Rule], arguments: Sequence[Any], reading: str
) -> list[Any]:
    """The results of a program when its arguments are values of another kind.

    An equation whose operands are all plain arrays (weights, constants) is evaluated as it stands; for every
    other one the rule of its primitive is called. Operands may be a mixture of both.

    Args:
        program: what to walk over.
        rules: one rule for each primitive, by name.
        arguments: values of the flattened arguments of the program.
        reading: what the walk is good for, for the message: "CasADi", "interval bounds".

    Raises:
        UnsupportedError: a primitive without a rule; the message names it and its place in the user's file.
    """
    jaxpr = program.jaxpr

    def rule(equation: JaxprEqn, operands: list[Any]) -> Sequence[Any]:
        if all(map(is_exact, operands)):
            return _evaluated(jaxpr, equation, operands)
        return _by_rule(equation, operands, rules, reading)

    values = forward(jaxpr, bound(jaxpr, program.constants, arguments), rule, literal=_number)
    return results(jaxpr, values)


def _evaluated(jaxpr: Jaxpr, equation: JaxprEqn, operands: list[Any]) -> list[Any]:
    """An equation of plain arrays; of numbers that are known while JAX traces the walk, a known number."""
    if any(isinstance(operand, Tracer) for operand in operands):
        return apply(jaxpr, equation, operands)
    with jax.ensure_compile_time_eval():
        return apply(jaxpr, equation, operands)


def _number(literal: Literal) -> np.ndarray:
    """A number written in the step stays a number, also while JAX traces the walk."""
    kind: Any = literal.aval
    return np.asarray(literal.val, kind.dtype)


def is_exact(value: Any) -> bool:
    """Whether an operand is a plain array, known exactly (traced weights count as known)."""
    return isinstance(value, jax.Array | np.ndarray | np.generic | float | int | bool)


def _by_rule(equation: JaxprEqn, operands: list[Any], rules: Mapping[str, Rule], reading: str) -> list[Any]:
    name = equation.primitive.name
    if name not in rules:
        raise UnsupportedError(
            f"{reading}: there is no rule for the primitive '{name}'{place(equation)}. "
            f"Known: {', '.join(sorted(rules))}"
        )
    found = rules[name](equation, *operands)
    return list(found) if isinstance(found, list | tuple) else [found]
