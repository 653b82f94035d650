"""From a function to a flat program: a jaxpr in which every call is written out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn
from jaxtyping import Array

from attractor.cells import initial_state, input_shape
from attractor.errors import UnsupportedError

from .primitives import Kind, of_kind
from .walk import apply, bound, forward, needed, results

CALLS = {
    "jit": "jaxpr",
    "closed_call": "call_jaxpr",
    "remat2": "jaxpr",
    "checkpoint": "jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
}
"""Primitives that only call another jaxpr, and the parameter that holds it."""

DROPPED = of_kind(Kind.PASSING)
"""Primitives of one operand that compute nothing."""

_LONGEST_LOOP = 256
"""A loop of known length inside a step is written out up to this many rounds."""


@dataclass(frozen=True)
class Program:
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
        return tuple(tuple(_aval(variable).shape) for variable in self.jaxpr.invars)

    @property
    def output_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the flattened results."""
        return tuple(tuple(_aval(atom).shape) for atom in self.jaxpr.outvars)


def trace(function: Callable[..., Any], *arguments: Any) -> Program:
    """The flat program of a function of pytrees of arrays.

    Jitted functions, custom derivatives and checkpoints are written out, loops of known length are unrolled,
    and equations that nothing uses are dropped. Derivatives are taken before, not after: trace
    `jax.jacfwd(step)` to get the program of a Jacobian.

    Args:
        function: what to trace; arrays that it closes over become constants.
        arguments: examples of its arguments; only structure, shapes and types matter.

    Raises:
        UnsupportedError: a loop whose length depends on values, or a branch.
    """
    leaves, inputs = jax.tree.flatten(arguments)
    result: list[Any] = []

    def flat(*leaves: Any) -> list[Array]:
        values, structure = jax.tree.flatten(function(*jax.tree.unflatten(inputs, leaves)))
        result[:] = [structure]
        return [jnp.asarray(value) for value in values]

    closed = jax.make_jaxpr(flat)(*leaves)
    outputs = result[0]
    written_out = jax.make_jaxpr(lambda *given: _evaluate(closed.jaxpr, closed.consts, given))(*leaves)
    jaxpr = _without_dead_code(written_out.jaxpr)
    return Program(jaxpr, tuple(map(jnp.asarray, written_out.consts)), inputs, outputs)


def step_program(cell: Any, *, read: Callable[[Any], Array] | None = None) -> Program:
    """The program of one step, `(input, state) -> state'`, or `(input, state) -> (state', read(state'))`.

    Weights are constants of the program. Trace inside `jax.enable_x64(True)` with a cell from
    `in_double_precision` for analysis in float64.

    Args:
        cell: any cell.
        read: an output to compute beside the new state.
    """
    state = initial_state(cell)
    given = jnp.zeros(input_shape(cell), jax.tree.leaves(state)[0].dtype)

    def step(given: Array, state: Any) -> Any:
        after = cell(given, state)
        return after if read is None else (after, read(after))

    return trace(step, given, state)


def _evaluate(
    jaxpr: Jaxpr, constants: Sequence[Any], arguments: Sequence[Any], call: JaxprEqn | None = None
) -> list[Any]:
    """Evaluate a jaxpr, going into every call instead of making it.

    What stands inside a function of JAX has no line of the user's; it takes that of the `call`.
    """

    def rule(own: JaxprEqn, operands: list[Any]) -> Sequence[Any]:
        equation = own if call is None or place(own) else own.replace(source_info=call.source_info)
        return _applied(jaxpr, equation, operands)

    return results(jaxpr, forward(jaxpr, bound(jaxpr, constants, arguments), rule))


def _applied(jaxpr: Jaxpr, equation: JaxprEqn, operands: list[Any]) -> list[Any]:
    name = equation.primitive.name
    if name in DROPPED:
        return operands
    if name in CALLS:
        inner = equation.params[CALLS[name]]
        if isinstance(inner, ClosedJaxpr):
            return _evaluate(inner.jaxpr, inner.consts, operands, equation)
        return _evaluate(inner, (), operands, equation)
    if name == "scan":
        return _unrolled(equation, operands)
    if name in ("while", "cond"):
        raise UnsupportedError(
            f"a step with '{name}'{place(equation)} cannot be read as straight-line code; "
            "use jnp.where for a choice, and a loop of fixed length"
        )
    return apply(jaxpr, equation, operands)


def _unrolled(equation: JaxprEqn, operands: list[Any]) -> list[Any]:
    """A scan of known length, round by round."""
    parameters = equation.params
    fixed, carried = _scan_counts(parameters)
    length, inner = parameters["length"], parameters["jaxpr"]
    if length > _LONGEST_LOOP:
        raise UnsupportedError(
            f"a loop of {length} rounds inside a step{place(equation)}; at most {_LONGEST_LOOP} are read"
        )
    constants, carry = operands[:fixed], operands[fixed : fixed + carried]
    sequences = operands[fixed + carried :]
    rounds = reversed(range(length)) if parameters["reverse"] else range(length)
    collected: dict[int, list[Any]] = {}
    for index in rounds:
        slices = [sequence[index] for sequence in sequences]
        after = _evaluate(inner.jaxpr, inner.consts, [*constants, *carry, *slices], equation)
        carry, collected[index] = after[:carried], after[carried:]
    stacked = [jnp.stack(column) for column in zip(*(collected[i] for i in range(length)), strict=True)]
    return [*carry, *stacked]


def _scan_counts(parameters: Mapping[str, Any]) -> tuple[int, int]:
    """How many operands of a scan are constants, and how many are carried; JAX 0.11 words it anew."""
    if "num_consts" in parameters:
        return parameters["num_consts"], parameters["num_carry"]
    constants, carried, _ = parameters["ft_in"].unpack()
    return len(constants), len(carried)


def place(equation: JaxprEqn) -> str:
    """Where the user wrote an equation, ` (cell.py:12)`, or nothing if that is not known."""
    try:
        from jax._src import source_info_util

        where = source_info_util.summarize(equation.source_info)
    except (ImportError, AttributeError):  # a private helper of JAX: a message without a place is a message
        return ""
    return f" ({where})" if where else ""


def _without_dead_code(jaxpr: Jaxpr) -> Jaxpr:
    used = needed(jaxpr, jaxpr.outvars)
    kept = [one for one in jaxpr.eqns if one.effects or not used.isdisjoint(one.outvars)]
    return jaxpr.replace(eqns=kept)


def _aval(atom: Any) -> Any:
    return atom.aval
