"""The two walks over straight-line equations; a reading is a rule that is handed to one of them.

**Forward**, values of any kind flow from the arguments to the results: arrays, intervals, symbols of another
tool, names, sets of arguments that something depends on. **Backward**, what is said of the results flows to
the arguments: whether a value is needed, a cotangent, the coefficients of a linear relaxation.

A rule sees one equation and the values at its operands (backward: at its results). What it knows beside them,
constants of the reading for example, it closes over. No other module loops over equations to carry values
along them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var, jaxpr_as_fun
from jaxtyping import Array

Value = TypeVar("Value")
Values = dict[Any, Any]
"""What is known of the variables of a jaxpr."""

Rule = Callable[[JaxprEqn, list[Any]], Sequence[Any]]
"""`rule(equation, operands) -> results`, one for each operand and each result of the equation."""


def array_of(literal: Literal) -> Array:
    """A number that is written in a program, in its own type."""
    kind: Any = literal.aval
    return jnp.asarray(literal.val, kind.dtype)


def bound(jaxpr: Jaxpr, constants: Iterable[Any], arguments: Iterable[Any]) -> Values:
    """Values where a forward walk begins: of the constants and the arguments of a jaxpr."""
    known = dict(zip(jaxpr.constvars, constants, strict=True))
    return known | dict(zip(jaxpr.invars, arguments, strict=True))


def forward(
    jaxpr: Jaxpr,
    known: Mapping[Any, Any],
    rule: Rule,
    *,
    equations: Iterable[JaxprEqn] | None = None,
    literal: Callable[[Literal], Any] = array_of,
) -> Values:
    """What is known of every variable after the equations, each done by the rule in its turn.

    Args:
        jaxpr: the program.
        known: values to begin with, see `bound`.
        rule: the results of one equation.
        equations: some of the program's, in order; None for all.
        literal: the value of a number that is written in the program.
    """
    values = dict(known)
    for equation in jaxpr.eqns if equations is None else equations:
        operands = [value_of(atom, values, literal) for atom in equation.invars]
        values.update(zip(equation.outvars, rule(equation, operands), strict=True))
    return values


def results(
    jaxpr: Jaxpr, values: Mapping[Any, Any], literal: Callable[[Literal], Any] = array_of
) -> list[Any]:
    """The values of a program's results after a forward walk."""
    return [value_of(atom, values, literal) for atom in jaxpr.outvars]


def value_of(atom: Any, values: Mapping[Any, Any], literal: Callable[[Literal], Any] = array_of) -> Any:
    """The value of a variable or of a number that is written in the program."""
    return literal(atom) if isinstance(atom, Literal) else values[atom]


def backward(
    jaxpr: Jaxpr,
    wanted: Mapping[Any, Value],
    rule: Callable[[JaxprEqn, list[Value | None]], Sequence[Value | None]],
    join: Callable[[Value, Value], Value],
) -> dict[Any, Value]:
    """What is wanted of every variable, given what is wanted of some (mostly of the results).

    Equations nothing is wanted of are passed over, unless they have effects.

    Args:
        jaxpr: the program.
        wanted: of variables, to begin with.
        rule: from what is wanted of an equation's results (None: nothing) to what it wants of its operands.
        join: two wishes for one variable as one: the sum of cotangents, the union of sets.
    """
    wishes = dict(wanted)
    for equation in reversed(jaxpr.eqns):
        here = [wishes.get(variable) for variable in equation.outvars]
        if all(wish is None for wish in here) and not equation.effects:
            continue
        for atom, wish in zip(equation.invars, rule(equation, here), strict=True):
            if isinstance(atom, Var) and wish is not None:
                wishes[atom] = join(wishes[atom], wish) if atom in wishes else wish
    return wishes


def needed(jaxpr: Jaxpr, wanted: Iterable[Any]) -> set[Any]:
    """All variables on which some depend, themselves among them."""
    start = {atom: True for atom in wanted if isinstance(atom, Var)}
    return set(backward(jaxpr, start, lambda equation, _: [True] * len(equation.invars), lambda *_: True))


def apply(jaxpr: Jaxpr, equation: JaxprEqn, operands: Sequence[Any]) -> list[Array]:
    """The results of one equation of a jaxpr for arrays that are known or traced: the rule of running it.

    The user's line stays with what it does.
    """
    pairs = zip(equation.invars, operands, strict=True)
    given = {atom: operand for atom, operand in pairs if isinstance(atom, Var)}
    # A jaxpr of one equation, because evaluating it keeps what its primitive needs and the user's line.
    alone = jaxpr.replace(constvars=(), invars=list(given), outvars=equation.outvars, eqns=[equation])
    return jaxpr_as_fun(ClosedJaxpr(alone, ()))(*given.values())


__all__ = [
    "Rule", "Values", "apply", "array_of", "backward", "bound", "forward", "needed", "results", "value_of",
]  # fmt: skip
