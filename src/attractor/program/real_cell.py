"""A cell as a program of real arrays, written down when a claim about it begins.

Compiled functions are kept by the structure of their arguments. A cell whose step reads a global or a mutable
object has the same structure after that has changed, so that a compiled copy would go on with the old values.
A `TracedCell` is made of the program that the step has now; what it has read of elsewhere is an array of it,
or makes it another program.

Bounds, exports and other readings know real numbers. A step that computes with complex ones inside is the
same map of real numbers, written out: $(a + ib)(c + id) = (ac - bd) + i(ad + bc)$, and so on.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Atom
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var, jaxpr_as_fun
from jaxtyping import Array, PRNGKeyArray

from attractor.cells import CellLike, State, input_shape, name_of, shaped_input, take_step
from attractor.errors import UnsupportedError

from .agreement import in_double_precision
from .compiling import check_steady
from .flat import flat_map
from .trace import trace
from .walk import Program, apply, array_of, aval, bound, forward, location, results

# Programs whose compiled readings may be found again.
_KEPT = 256

_known: OrderedDict[Hashable, Jaxpr] = OrderedDict()


class TracedCell(eqx.Module):
    """One step as a program, with the calling convention of a cell and without noise.

    Args:
        constants: arrays that the program holds: weights, and what the step read of its surroundings.
        initial: the state that a sequence starts from.
        input_size: length of the input, a vector whatever the shape of the cell's own.
        jaxpr: the equations; equal programs share one.
        outputs: structure of the new state.
        name: of the cell, for messages.
    """

    constants: tuple[Array, ...]
    initial: State
    input_size: int = eqx.field(static=True)
    jaxpr: Jaxpr = eqx.field(static=True)
    outputs: Any = eqx.field(static=True)
    name: str = eqx.field(static=True)

    @property
    def choices(self) -> int:
        """How many values are chosen among others."""
        return sum(equation.primitive.name == "select_n" for equation in self.jaxpr.eqns)

    def initial_state(self) -> State:
        """That of the cell."""
        return self.initial

    def __call__(self, input: Array, state: State, *, key: PRNGKeyArray | None = None) -> State:
        """One step; constants that the step holds in a narrower type keep it, whoever made weights wider."""
        pairs = zip(self.constants, self.jaxpr.constvars, strict=True)
        constants = [constant.astype(aval(variable).dtype) for constant, variable in pairs]
        results = jaxpr_as_fun(ClosedJaxpr(self.jaxpr, constants))(*jax.tree.leaves((input, state)))
        return jax.tree.unflatten(self.outputs, results)


def real_cell(cell: CellLike, reading: str) -> TracedCell:
    """The program of one step as it is now, as a cell whose state is a tuple of real arrays in float64.

    Real leaves stand in the tuple as they are, complex ones as two arrays, real and imaginary part; whole
    leaves and keys are left out, which is possible where the others do not depend on them. Together the
    arrays are the vector of `flat_map`. Call it inside `jax.enable_x64(True)`.

    Args:
        cell: any cell.
        reading: what needs it, for messages: "interval bounds".

    Raises:
        CellError: a step that is another one each time it is called.
        UnsupportedError: a step that cannot be read as straight-line code of real numbers, or a whole leaf of
            the state on which the real ones depend.
        ShapeError: a step that returns something else than a state.
    """
    flat = flat_map(in_double_precision(cell)).still(reading, constants=False)
    check_steady(flat.cell, jnp.zeros(input_shape(flat.cell)), flat.restore(flat.start))
    begin = flat.restore(flat.start)
    initial = flat.layout.real_arrays(begin)
    example = jnp.zeros(flat.input_size), initial

    def step(input: Array, arrays: tuple[Array, ...]) -> tuple[Array, ...]:
        state = flat.layout.with_real_arrays(begin, arrays)
        return flat.layout.real_arrays(take_step(flat.cell, shaped_input(flat.cell, input), state))

    program = without_complex(trace(step, *example), jax.tree.leaves(example))
    shared, name = _shared(program), name_of(cell)
    return TracedCell(program.constants, initial, flat.input_size, shared, program.outputs, name)


def _shared(program: Program) -> Jaxpr:
    """The one jaxpr of all programs that are equal, so that what was compiled for it is found again."""
    key = _key(program.jaxpr)
    shared = _known.setdefault(key, program.jaxpr)
    _known.move_to_end(key)
    if len(_known) > _KEPT:
        _known.popitem(last=False)
    return shared


def _key(jaxpr: Jaxpr) -> Hashable:
    """Equal for two jaxprs only if they compute the same of the same arguments and constants."""
    numbers: dict[Var, int] = {}

    def name(atom: Atom) -> Hashable:
        if isinstance(atom, Literal):
            value = np.asarray(atom.val)
            return "literal", str(value.dtype), value.shape, value.tobytes(), _type(atom)
        return numbers.setdefault(atom, len(numbers)), _type(atom)

    head = tuple(map(name, (*jaxpr.constvars, *jaxpr.invars)))
    body = tuple(
        (
            equation.primitive,
            tuple(map(name, equation.invars)),
            tuple((option, _frozen(value)) for option, value in sorted(equation.params.items())),
            tuple(map(name, equation.outvars)),
        )
        for equation in jaxpr.eqns
    )
    return head, body, tuple(map(name, jaxpr.outvars)), len(jaxpr.constvars)


def _type(atom: Atom) -> Hashable:
    kind = aval(atom)
    return str(kind.dtype), tuple(kind.shape), bool(getattr(kind, "weak_type", False))


def _frozen(value: object) -> Hashable:
    """A parameter as something that can be compared; functions and other objects by what they are."""
    if isinstance(value, ClosedJaxpr):
        return _key(value.jaxpr), tuple(map(_frozen, value.consts))
    if isinstance(value, Jaxpr):
        return _key(value)
    if isinstance(value, tuple | list):
        return tuple(map(_frozen, value))
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tobytes()
    try:
        hash(value)
    except TypeError:
        return "object", id(value)
    return type(value), value


class Parts(NamedTuple):
    """A complex value.

    Args:
        real: its real part.
        imaginary: its imaginary part, of the same shape.
    """

    real: Any
    imaginary: Any


def without_complex(program: Program, arguments: Sequence[object]) -> Program:
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


def _is_complex(atom: Atom) -> bool:
    return jnp.issubdtype(getattr(aval(atom), "dtype", bool), jnp.complexfloating)


def _evaluated(program: Program, arguments: Sequence[object]) -> list[object]:
    jaxpr, constants = program.jaxpr, map(_split, program.constants)
    written = forward(jaxpr, bound(jaxpr, constants, arguments), partial(_results, jaxpr), literal=_literal)
    return results(jaxpr, written, _literal)


def _results(jaxpr: Jaxpr, equation: JaxprEqn, operands: list[object]) -> Sequence[object]:
    if not any(map(_is_complex, (*equation.invars, *equation.outvars))):
        return apply(jaxpr, equation, operands)
    name = equation.primitive.name
    if name in _COMPONENTWISE:
        return _componentwise(equation, operands)
    if name not in _RULES:
        raise UnsupportedError(
            f"'{name}' of complex numbers{location(equation)} is not written out in real ones; known: "
            f"{', '.join(sorted({*_RULES, *_COMPONENTWISE}))}"
        )
    return [_RULES[name](equation, *operands)]


def _literal(literal: Literal) -> object:
    return _split(array_of(literal))


def _split(value: Any) -> object:
    return Parts(jnp.real(value), jnp.imag(value)) if jnp.iscomplexobj(value) else value


def _componentwise(equation: JaxprEqn, operands: Sequence[object]) -> list[Parts]:
    """An operation that acts on both parts alike: it is linear with real factors, or it moves entries."""

    def on(part: int) -> list[Array]:
        chosen = [operand[part] if isinstance(operand, Parts) else operand for operand in operands]
        made = equation.primitive.bind(*chosen, **_real_parameters(equation))
        return made if equation.primitive.multiple_results else [made]

    return [Parts(*both) for both in zip(on(0), on(1), strict=True)]


def _real_parameters(equation: JaxprEqn) -> Mapping[str, object]:
    return {name: _real_type(value) for name, value in equation.params.items()}


def _real_type(value: object) -> object:
    if isinstance(value, jnp.dtype | type) and jnp.issubdtype(value, jnp.complexfloating):
        return jnp.finfo(value).dtype
    return value


def _convert(equation: JaxprEqn, one: Parts | Array) -> Parts:
    kind: Any = _real_type(equation.params["new_dtype"])
    if isinstance(one, Parts):
        return Parts(one.real.astype(kind), one.imaginary.astype(kind))
    return Parts(jnp.asarray(one).astype(kind), jnp.zeros(jnp.shape(one), kind))


def _product(one: Parts, other: Parts, by: Callable[..., Array] = jnp.multiply) -> Parts:
    return Parts(
        by(one.real, other.real) - by(one.imaginary, other.imaginary),
        by(one.real, other.imaginary) + by(one.imaginary, other.real),
    )


def _conjugate(one: Parts | Array) -> Parts:
    return Parts(one.real, -one.imaginary) if isinstance(one, Parts) else Parts(one, jnp.zeros_like(one))


def _contraction(equation: JaxprEqn, one: object, other: object) -> Parts:
    """A product of matrices; JAX lets one of the two be real, and the other parts then stay apart."""
    if not (isinstance(one, Parts) and isinstance(other, Parts)):
        return _componentwise(equation, [one, other])[0]
    return _product(one, other, partial(equation.primitive.bind, **_real_parameters(equation)))


def _quotient(_: JaxprEqn, one: Parts, other: Parts) -> Parts:
    size = other.real**2 + other.imaginary**2
    above = _product(one, Parts(other.real, -other.imaginary))
    return Parts(above.real / size, above.imaginary / size)


def _power(equation: JaxprEqn, one: Parts) -> Parts:
    exponent = equation.params["y"]
    unit = result = Parts(jnp.ones_like(one.real), jnp.zeros_like(one.real))
    for _ in range(abs(exponent)):
        result = _product(result, one)
    return result if exponent >= 0 else _quotient(equation, unit, result)


def _exponential(_: JaxprEqn, one: Parts) -> Parts:
    size = jnp.exp(one.real)
    return Parts(size * jnp.cos(one.imaginary), size * jnp.sin(one.imaginary))


# Operations under which real and imaginary parts stay apart.
_COMPONENTWISE = frozenset({
    "add", "sub", "neg", "add_any", "reduce_sum", "cumsum", "select_n", "reshape", "broadcast_in_dim",
    "squeeze", "expand_dims", "transpose", "slice", "rev", "concatenate", "stack", "unstack", "split", "pad",
    "dynamic_slice", "gather", "copy", "copy_p",
})  # fmt: skip

_RULES: dict[str, Callable[..., object]] = {
    "complex": lambda _, real, imaginary: Parts(real, imaginary),
    "real": lambda _, one: one.real,
    "imag": lambda _, one: one.imaginary,
    "conj": lambda _, one: _conjugate(one),
    "mul": lambda _, one, other: _product(one, other),
    "square": lambda _, one: _product(one, one),
    "div": _quotient,
    "dot_general": _contraction,
    "integer_pow": _power,
    "exp": _exponential,
    "abs": lambda _, one: jnp.sqrt(one.real**2 + one.imaginary**2),
    "convert_element_type": _convert,
    "eq": lambda _, one, other: (one.real == other.real) & (one.imaginary == other.imaginary),
}
