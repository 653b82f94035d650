"""A program without complex numbers: every complex value becomes its real and its imaginary part.

Bounds, exports and other readings know real numbers. A step that computes with complex ones inside is the
same map of real numbers, written out: $(a + ib)(c + id) = (ac - bd) + i(ad + bc)$, and so on.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.extend.core import Jaxpr, JaxprEqn, Literal
from jaxtyping import Array

from attractor.errors import UnsupportedError

from .trace import Program, place, trace
from .walk import apply, array_of, bound, forward, results


class Parts(NamedTuple):
    """A complex value.

    Args:
        real: its real part.
        imaginary: its imaginary part, of the same shape.
    """

    real: Any
    imaginary: Any


def without_complex(program: Program, arguments: Sequence[Any]) -> Program:
    """The same program with real arithmetic only; one that has nothing else is returned as it is.

    Args:
        program: its arguments and results are real.
        arguments: examples of its flattened arguments.

    Raises:
        UnsupportedError: an operation on complex numbers that is not written out here; it is named.
    """
    variables = [atom for equation in program.jaxpr.eqns for atom in equation.outvars]
    if not any(_is_complex(atom) for atom in variables):
        return program
    written_out = trace(lambda *leaves: _evaluated(program, leaves), *arguments)
    return Program(written_out.jaxpr, written_out.constants, program.inputs, program.outputs)


def _is_complex(atom: Any) -> bool:
    return jnp.issubdtype(getattr(atom.aval, "dtype", bool), jnp.complexfloating)


def _evaluated(program: Program, arguments: Sequence[Any]) -> list[Any]:
    jaxpr, constants = program.jaxpr, map(_split, program.constants)
    written = forward(jaxpr, bound(jaxpr, constants, arguments), partial(_results, jaxpr), literal=_literal)
    return results(jaxpr, written, _literal)


def _results(jaxpr: Jaxpr, equation: JaxprEqn, operands: list[Any]) -> list[Any]:
    if not any(map(_is_complex, (*equation.invars, *equation.outvars))):
        return apply(jaxpr, equation, operands)
    name = equation.primitive.name
    if name in _COMPONENTWISE:
        return _componentwise(equation, operands)
    if name not in _RULES:
        raise UnsupportedError(
            f"'{name}' of complex numbers{place(equation)} is not written out in real ones; known: "
            f"{', '.join(sorted({*_RULES, *_COMPONENTWISE}))}"
        )
    return [_RULES[name](equation, *operands)]


def _literal(literal: Literal) -> Any:
    return _split(array_of(literal))


def _split(value: Any) -> Any:
    return Parts(jnp.real(value), jnp.imag(value)) if jnp.iscomplexobj(value) else value


def _componentwise(equation: JaxprEqn, operands: Sequence[Any]) -> list[Any]:
    """An operation that acts on both parts alike: it is linear with real factors, or it moves entries."""

    def on(part: int) -> list[Any]:
        given = [operand[part] if isinstance(operand, Parts) else operand for operand in operands]
        made = equation.primitive.bind(*given, **_real_parameters(equation))
        return list(made) if equation.primitive.multiple_results else [made]

    return [Parts(*both) for both in zip(on(0), on(1), strict=True)]


def _real_parameters(equation: JaxprEqn) -> dict[str, Any]:
    return {name: _real_type(value) for name, value in equation.params.items()}


def _real_type(value: Any) -> Any:
    if isinstance(value, jnp.dtype | type) and jnp.issubdtype(value, jnp.complexfloating):
        return jnp.finfo(value).dtype
    return value


def _convert(equation: JaxprEqn, one: Any) -> Parts:
    kind = _real_type(equation.params["new_dtype"])
    if isinstance(one, Parts):
        return Parts(one.real.astype(kind), one.imaginary.astype(kind))
    return Parts(jnp.asarray(one).astype(kind), jnp.zeros(jnp.shape(one), kind))


def _product(one: Parts, other: Parts, by: Callable[[Any, Any], Any] = jnp.multiply) -> Parts:
    return Parts(
        by(one.real, other.real) - by(one.imaginary, other.imaginary),
        by(one.real, other.imaginary) + by(one.imaginary, other.real),
    )


def _contraction(equation: JaxprEqn, one: Any, other: Any) -> Parts:
    """A product of matrices; JAX lets one of the two be real, and the other parts then stay apart."""
    parameters = _real_parameters(equation)

    def by(left: Any, right: Any) -> Any:
        return equation.primitive.bind(left, right, **parameters)

    if not isinstance(one, Parts):
        return Parts(by(one, other.real), by(one, other.imaginary))
    if not isinstance(other, Parts):
        return Parts(by(one.real, other), by(one.imaginary, other))
    return _product(one, other, by)


def _quotient(_: JaxprEqn, one: Parts, other: Parts) -> Parts:
    size = other.real**2 + other.imaginary**2
    above = _product(one, Parts(other.real, -other.imaginary))
    return Parts(above.real / size, above.imaginary / size)


def _power(equation: JaxprEqn, one: Parts) -> Parts:
    exponent = equation.params["y"]
    result = Parts(jnp.ones_like(one.real), jnp.zeros_like(one.real))
    for _ in range(abs(exponent)):
        result = _product(result, one)
    return result if exponent >= 0 else _quotient(equation, _one_like(one), result)


def _one_like(one: Parts) -> Parts:
    return Parts(jnp.ones_like(one.real), jnp.zeros_like(one.real))


def _exponential(_: JaxprEqn, one: Parts) -> Parts:
    size = jnp.exp(one.real)
    return Parts(size * jnp.cos(one.imaginary), size * jnp.sin(one.imaginary))


def _modulus(_: JaxprEqn, one: Parts) -> Array:
    return jnp.sqrt(one.real**2 + one.imaginary**2)


_COMPONENTWISE = frozenset({
    "add", "sub", "neg", "add_any", "reduce_sum", "cumsum", "select_n", "reshape", "broadcast_in_dim",
    "squeeze", "expand_dims", "transpose", "slice", "rev", "concatenate", "stack", "split", "pad",
    "dynamic_slice", "gather", "copy", "copy_p",
})  # fmt: skip
"""Operations under which real and imaginary parts stay apart."""

_RULES: dict[str, Callable[..., Any]] = {
    "complex": lambda _, real, imaginary: Parts(real, imaginary),
    "real": lambda _, one: one.real,
    "imag": lambda _, one: one.imaginary,
    "conj": lambda _, one: Parts(one.real, -one.imaginary) if isinstance(one, Parts) else _real_only(one),
    "mul": lambda _, one, other: _product(one, other),
    "square": lambda _, one: _product(one, one),
    "div": _quotient,
    "dot_general": _contraction,
    "integer_pow": _power,
    "exp": _exponential,
    "abs": _modulus,
    "convert_element_type": _convert,
    "eq": lambda _, one, other: (one.real == other.real) & (one.imaginary == other.imaginary),
}


def _real_only(one: Any) -> Parts:
    return Parts(one, jnp.zeros_like(one))


__all__ = ["without_complex"]
