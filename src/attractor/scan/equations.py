"""What a single equation of a step costs, and a step rewritten so that it costs less."""

from collections.abc import Callable, Sequence
from itertools import chain
from math import prod
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Var
from jaxtyping import Array

from attractor.errors import UnsupportedError
from attractor.program import PRIMITIVES
from attractor.program.walk import apply, bound, forward, results

Values = list[Array]

CHEAP = frozenset(name for name, one in PRIMITIVES.items() if one.cheap)
"""Primitives that a processor does about as fast as it reads their result from memory."""


def flat(step: Callable[..., Any]) -> Callable[..., Values]:
    """The same step with jitted parts written out, and products with a vector turned to `vector @ matrix^T`.

    A batch is the leading axis of the vector, so the turned product leaves it leading: no transposition
    between the product and the elementwise equations around it.
    """

    def written_out(*arguments: Any) -> Values:
        closed = jax.make_jaxpr(step)(*arguments)
        _refuse_references(closed.jaxpr)
        return _written_out(closed, jax.tree.leaves(arguments))

    return written_out


def without_repeats(jaxpr: Jaxpr) -> Jaxpr:
    """The same program, with an equation that stands there twice done once.

    XLA would find the second one as well, but only after differentiation, when the two have different
    cotangents: a step with its first and second derivative would cost four products backward, not three.
    """
    first: dict[Any, list[Var]] = {}
    same: dict[Var, Var] = {}
    kept = []
    for own in jaxpr.eqns:
        atoms = [same.get(atom, atom) if isinstance(atom, Var) else atom for atom in own.invars]
        equation = own.replace(invars=atoms)
        key = _identity(equation)
        if key is not None and key in first:
            same.update(zip(own.outvars, first[key], strict=True))
            continue
        first |= {} if key is None else {key: own.outvars}
        kept.append(equation)
    outvars = [same.get(atom, atom) if isinstance(atom, Var) else atom for atom in jaxpr.outvars]
    return jaxpr.replace(eqns=kept, outvars=outvars)


def _identity(equation: JaxprEqn) -> Any:
    """Equal for two equations that compute the same; None for one that must not be compared."""
    if equation.effects:
        return None
    atoms = [
        atom if isinstance(atom, Var) else (str(_aval(atom)), np.asarray(atom.val).tobytes())
        for atom in equation.invars
    ]
    made = tuple(str(_aval(atom)) for atom in equation.outvars)  # 1 and True are equal as parameters
    parameters = tuple(sorted(equation.params.items(), key=lambda item: item[0]))
    key = (equation.primitive, tuple(atoms), parameters, made)
    try:
        hash(key)
    except TypeError:
        return None
    return key


def product_cost(equation: JaxprEqn) -> int:
    """Multiplications of the matrix products in an equation and what it calls, in every turn of a scan."""
    if equation.primitive.name != "dot_general":
        return equation.params.get("length", 1) * sum(product_cost(inner) for inner in _called(equation))
    (contracted, _), _ = equation.params["dimension_numbers"]
    return prod(_shape(equation.outvars[0])) * prod(_shape(equation.invars[0])[axis] for axis in contracted)


def is_cheap(equation: JaxprEqn) -> bool:
    """Whether repeating an equation costs about as little as keeping its results."""
    if equation.primitive.name in ("custom_jvp_call", "jit"):
        return all(is_cheap(inner) for inner in _called(equation))
    return equation.primitive.name in CHEAP


def stays_in_place(equation: JaxprEqn) -> bool:
    """Whether an equation must run once a step: a mapped callback may fail, and mapped draws may differ.

    Only the default generator draws the same numbers whether it is mapped over keys or not.
    """
    if equation.primitive.name in ("pure_callback", "rng_bit_generator"):
        return True
    kinds = {str(_aval(atom).dtype) for atom in equation.invars if hasattr(_aval(atom), "dtype")}
    other_keys = any(kind.startswith("key<") and kind != "key<fry>" for kind in kinds)
    return other_keys or any(stays_in_place(inner) for inner in _called(equation))


def _refuse_references(jaxpr: Jaxpr) -> None:
    variables = chain(jaxpr.constvars, *(equation.outvars for equation in jaxpr.eqns))
    if any(type(_aval(variable)).__name__ == "AbstractRef" for variable in variables):
        message = "the step writes to a mutable reference (jax.new_ref); keep what changes in the state"
        raise UnsupportedError(message)


def _written_out(closed: ClosedJaxpr, arguments: Sequence[Array | np.ndarray]) -> Values:
    jaxpr = closed.jaxpr

    def rule(equation: JaxprEqn, operands: list[Array | np.ndarray]) -> Values:
        if equation.primitive.name == "jit":
            return _written_out(equation.params["jaxpr"], operands)
        if equation.primitive.name == "dot_general" and (turned := _vector_first(equation)) is not None:
            return apply(jaxpr, turned, operands[::-1])
        return apply(jaxpr, equation, operands)

    return results(jaxpr, forward(jaxpr, bound(jaxpr, closed.consts, arguments), rule))


def _vector_first(equation: JaxprEqn) -> JaxprEqn | None:
    """Matrix . vector as vector . matrix: the vector has no free axis, so the result keeps its shape.

    None for a product of anything else.
    """
    (left, right), (left_batch, _) = equation.params["dimension_numbers"]
    precision = equation.params["precision"]
    if left_batch or len(_shape(equation.invars[1])) != len(right) or isinstance(precision, tuple):
        return None
    parameters = equation.params | {"dimension_numbers": ((right, left), ((), ()))}
    return equation.replace(invars=equation.invars[::-1], params=parameters)


def _shape(atom: Any) -> tuple[int, ...]:
    return _aval(atom).shape


def _aval(atom: Any) -> Any:
    return atom.aval


def _called(equation: JaxprEqn) -> list[JaxprEqn]:
    """The equations of the jaxprs among the parameters of an equation."""
    parameters = equation.params.values()
    parts = chain.from_iterable(part if isinstance(part, tuple | list) else (part,) for part in parameters)
    return [eqn for part in parts if isinstance(part, ClosedJaxpr | Jaxpr) for eqn in part.eqns]
