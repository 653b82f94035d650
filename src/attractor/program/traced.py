"""A cell that is read once and for all: its program, written down when a claim about it begins.

Compiled functions are kept by the structure of their arguments. A cell whose step reads a global or a mutable
object has the same structure after that has changed, so that a compiled copy would go on with the old values.
A `TracedCell` is made of the program that the step has now; what it has read of elsewhere is an array of it,
or makes it another program.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, jaxpr_as_fun
from jaxtyping import Array, PRNGKeyArray

from attractor.cells import State, input_shape, name_of, shaped_input, take_step

from .complex_parts import without_complex
from .flat import flat_map
from .precision import in_double_precision
from .steady import check_steady
from .trace import Program, trace

_KEPT = 256
"""Programs whose compiled readings may be found again."""

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
        constants = [constant.astype(_dtype(variable)) for constant, variable in pairs]
        results = jaxpr_as_fun(ClosedJaxpr(self.jaxpr, constants))(*jax.tree.leaves((input, state)))
        return jax.tree.unflatten(self.outputs, results)


def real_cell(cell: Any, reading: str) -> TracedCell:
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

    def step(given: Array, arrays: tuple[Array, ...]) -> tuple[Array, ...]:
        state = flat.layout.with_real_arrays(begin, arrays)
        return flat.layout.real_arrays(take_step(flat.cell, shaped_input(flat.cell, given), state))

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
    numbers: dict[Any, int] = {}

    def name(atom: Any) -> Hashable:
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


def _dtype(atom: Any) -> Any:
    return atom.aval.dtype


def _type(atom: Any) -> Hashable:
    return str(atom.aval.dtype), tuple(atom.aval.shape), bool(getattr(atom.aval, "weak_type", False))


def _frozen(value: Any) -> Hashable:
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


__all__ = ["TracedCell", "real_cell"]
