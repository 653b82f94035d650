"""Straight-line programs and the two walks over them; a reading is a rule that is handed to one of the walks.

**Forward**, values of any kind flow from the arguments to the results: arrays, intervals, symbols of another
tool, names, sets of arguments that something depends on. **Backward**, what is said of the results flows to
the arguments: whether a value is needed, a cotangent, the coefficients of a linear relaxation.

A rule sees one equation and the values at its operands (backward: at its results). What it knows beside them,
constants of the reading for example, it closes over. No other module loops over equations to carry values
along them. `interpret` is the forward walk of readings that have one rule for each primitive.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Atom, Tracer
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var, jaxpr_as_fun
from jaxtyping import Array

from attractor.errors import UnsupportedError
from attractor.shown import Shown

Value = TypeVar("Value")
# `rule(equation, *operands) -> value`, or a list of values for a primitive with several results.
Rule = Callable[..., Any]


@dataclass(frozen=True)
class Program(Shown):
    """Straight-line code: equations of first-order primitives, in order.

    Args:
        jaxpr: the equations; its `invars` are the flattened arguments, its `constvars` the constants.
        constants: the values of the `constvars` (weights that were closed over, literal arrays).
        inputs: structure of the arguments, to flatten and restore pytrees.
        outputs: structure of the result.
    """

    jaxpr: Jaxpr
    constants: tuple[Array, ...]
    inputs: Any
    outputs: Any

    @property
    def primitives(self) -> tuple[str, ...]:
        """Names of the primitives that occur, sorted."""
        return tuple(sorted({equation.primitive.name for equation in self.jaxpr.eqns}))

    @property
    def input_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the flattened arguments."""
        return tuple(tuple(aval(variable).shape) for variable in self.jaxpr.invars)

    @property
    def output_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the flattened results."""
        return tuple(tuple(aval(atom).shape) for atom in self.jaxpr.outvars)


def aval(atom: Atom) -> Any:
    """What JAX knows of the values of a variable or literal: mostly their shape and dtype."""
    return atom.aval


def array_of(literal: Literal) -> Array:
    """A number that is written in a program, in its own type."""
    return jnp.asarray(literal.val, aval(literal).dtype)


def bound(jaxpr: Jaxpr, constants: Iterable[Value], arguments: Iterable[Value]) -> dict[Var, Value]:
    """Values where a forward walk begins: of the constants and the arguments of a jaxpr."""
    known = dict(zip(jaxpr.constvars, constants, strict=True))
    return known | dict(zip(jaxpr.invars, arguments, strict=True))


def forward(
    jaxpr: Jaxpr,
    known: Mapping[Var, Value],
    rule: Callable[[JaxprEqn, list[Value]], Sequence[Value]],
    *,
    equations: Iterable[JaxprEqn] | None = None,
    literal: Callable[[Literal], object] = array_of,
) -> dict[Var, Value]:
    """What is known of every variable after the equations, each done by the rule in its turn.

    Args:
        jaxpr: the program.
        known: values to begin with, see `bound`.
        rule: `rule(equation, operands) -> results`, one for each operand and each result of the equation.
        equations: some of the program's, in order; None for all.
        literal: the value of a number that is written in the program.
    """
    values = dict(known)
    for equation in jaxpr.eqns if equations is None else equations:
        operands = [value_of(atom, values, literal) for atom in equation.invars]
        values.update(zip(equation.outvars, rule(equation, operands), strict=True))
    return values


def results(
    jaxpr: Jaxpr, values: Mapping[Var, Value], literal: Callable[[Literal], object] = array_of
) -> list[Value]:
    """The values of a program's results after a forward walk."""
    return [value_of(atom, values, literal) for atom in jaxpr.outvars]


def value_of(atom: Atom, values: Mapping[Var, Value], literal: Callable[[Literal], Any] = array_of) -> Value:
    """The value of a variable or of a number that is written in the program."""
    return literal(atom) if isinstance(atom, Literal) else values[atom]


def backward(
    jaxpr: Jaxpr,
    wanted: Mapping[Var, Value],
    rule: Callable[[JaxprEqn, list[Value | None]], Sequence[Value | None]],
    join: Callable[[Value, Value], Value],
) -> dict[Var, Value]:
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


def needed(jaxpr: Jaxpr, wanted: Iterable[Atom]) -> set[Var]:
    """All variables on which some depend, themselves among them."""
    start = {atom: True for atom in wanted if isinstance(atom, Var)}
    return set(backward(jaxpr, start, lambda equation, _: [True] * len(equation.invars), lambda *_: True))


def apply(jaxpr: Jaxpr, equation: JaxprEqn, operands: Sequence[object]) -> list[Array]:
    """The results of one equation of a jaxpr for arrays that are known or traced: the rule of running it.

    The user's line stays with what it does.
    """
    pairs = zip(equation.invars, operands, strict=True)
    variables = {atom: operand for atom, operand in pairs if isinstance(atom, Var)}
    # A jaxpr of one equation, because evaluating it keeps what its primitive needs and the user's line.
    alone = jaxpr.replace(constvars=(), invars=list(variables), outvars=equation.outvars, eqns=[equation])
    return jaxpr_as_fun(ClosedJaxpr(alone, ()))(*variables.values())


def interpret(
    program: Program, rules: Mapping[str, Rule], arguments: Sequence[object], reading: str
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
        UnsupportedError: a primitive without a rule; the message names it and its line in the user's file.
    """
    jaxpr = program.jaxpr

    def by_rule(equation: JaxprEqn, operands: list[object]) -> Sequence[object]:
        if all(map(is_exact, operands)):
            return _evaluated(jaxpr, equation, operands)
        name = equation.primitive.name
        if name not in rules:
            raise UnsupportedError(
                f"{reading}: there is no rule for the primitive '{name}'{location(equation)}. "
                f"Known: {', '.join(sorted(rules))}"
            )
        found = rules[name](equation, *operands)
        return found if isinstance(found, list | tuple) else [found]

    constants: Sequence[object] = program.constants
    return results(jaxpr, forward(jaxpr, bound(jaxpr, constants, arguments), by_rule, literal=_number))


def _evaluated(jaxpr: Jaxpr, equation: JaxprEqn, operands: list[object]) -> list[Array]:
    """An equation of plain arrays; of numbers that are known while JAX traces the walk, a known number."""
    if any(isinstance(operand, Tracer) for operand in operands):
        return apply(jaxpr, equation, operands)
    with jax.ensure_compile_time_eval():
        return apply(jaxpr, equation, operands)


def _number(literal: Literal) -> np.ndarray:
    """A number written in the step stays a number, also while JAX traces the walk."""
    return np.asarray(literal.val, aval(literal).dtype)


# What is known as it stands: a plain array or number; traced weights count as known.
Exact = jax.Array | np.ndarray | np.generic | float | int | bool


def is_exact(value: object) -> bool:
    """Whether an operand is a plain array, known exactly."""
    return isinstance(value, Exact)


def location(equation: JaxprEqn) -> str:
    """Where the user wrote an equation, ` (cell.py:12)`, or nothing if that is not known."""
    try:
        from jax._src import source_info_util

        where = source_info_util.summarize(equation.source_info)
    except (ImportError, AttributeError):  # a private helper of JAX: a message without a line is a message
        return ""
    return f" ({where})" if where else ""
