"""From a function to a flat program: a jaxpr in which every call is written out."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Var
from jaxtyping import Array, PyTree

from attractor.cells import CellLike, State, initial_state, input_shape
from attractor.errors import UnsupportedError

from .primitives import Kind, of_kind
from .walk import Program, apply, aval, bound, forward, location, needed, results

# Primitives that only call another jaxpr, and the parameter that holds it.
CALLS = {
    "jit": "jaxpr",
    "closed_call": "call_jaxpr",
    "remat2": "jaxpr",
    "checkpoint": "jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
}

# Primitives of one operand that compute nothing.
DROPPED = of_kind(Kind.PASSING)

# A loop of known length inside a step is written out up to this many rounds.
_LONGEST_LOOP = 256


def trace(function: Callable[..., PyTree], *arguments: PyTree) -> Program:
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
    outputs = inputs  # replaced when the function is traced

    def flat(*leaves: object) -> list[Array]:
        nonlocal outputs
        values, outputs = jax.tree.flatten(function(*jax.tree.unflatten(inputs, leaves)))
        return [jnp.asarray(value) for value in values]

    closed = jax.make_jaxpr(flat)(*leaves)
    written_out = jax.make_jaxpr(lambda *own: _evaluate(closed.jaxpr, closed.consts, own))(*leaves)
    jaxpr = _without_dead_code(written_out.jaxpr)
    return Program(jaxpr, tuple(map(jnp.asarray, written_out.consts)), inputs, outputs)


def step_program(cell: CellLike, *, read: Callable[[State], Array] | None = None) -> Program:
    """The program of one step, `(input, state) -> state'`, or `(input, state) -> (state', read(state'))`.

    Weights are constants of the program. Trace inside `jax.enable_x64(True)` with a cell from
    `in_double_precision` for analysis in float64.

    Args:
        cell: any cell.
        read: an output to compute beside the new state.
    """
    state = initial_state(cell)
    input = jnp.zeros(input_shape(cell), jax.tree.leaves(state)[0].dtype)

    def step(input: Array, state: State) -> State | tuple[State, Array]:
        after = cell(input, state)
        return after if read is None else (after, read(after))

    return trace(step, input, state)


def _evaluate(
    jaxpr: Jaxpr, constants: Sequence[object], arguments: Sequence[object], call: JaxprEqn | None = None
) -> list[Any]:
    """Evaluate a jaxpr, going into every call instead of making it.

    What stands inside a function of JAX has no line of the user's; it takes that of the `call`.
    """

    def rule(own: JaxprEqn, operands: list[object]) -> Sequence[object]:
        equation = own if call is None or location(own) else own.replace(source_info=call.source_info)
        return _applied(jaxpr, equation, operands)

    return results(jaxpr, forward(jaxpr, bound(jaxpr, constants, arguments), rule))


def _applied(jaxpr: Jaxpr, equation: JaxprEqn, operands: list[object]) -> Sequence[object]:
    name = equation.primitive.name
    if name in DROPPED:
        return operands
    if name in CALLS:
        called = equation.params[CALLS[name]]
        inner, constants = (called.jaxpr, called.consts) if isinstance(called, ClosedJaxpr) else (called, ())
        return _evaluate(inner, constants, operands, equation)
    if name == "scan":
        return _unrolled(equation, operands)
    if name in ("while", "cond"):
        raise UnsupportedError(
            f"a step with '{name}'{location(equation)} cannot be read as straight-line code; "
            "use jnp.where for a choice, and a loop of fixed length"
        )
    return apply(jaxpr, equation, operands)


def _unrolled(equation: JaxprEqn, operands: list[Any]) -> list[Array]:
    """A scan of known length, round by round."""
    parameters = equation.params
    fixed, carried = _scan_counts(parameters)
    length, inner = parameters["length"], parameters["jaxpr"]
    if length > _LONGEST_LOOP:
        raise UnsupportedError(
            f"a loop of {length} rounds inside a step{location(equation)}; at most {_LONGEST_LOOP} are read"
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


def _without_dead_code(jaxpr: Jaxpr) -> Jaxpr:
    used = needed(jaxpr, jaxpr.outvars)
    kept = [one for one in jaxpr.eqns if one.effects or not used.isdisjoint(one.outvars)]
    return jaxpr.replace(eqns=kept)


def without_repeats(jaxpr: Jaxpr) -> Jaxpr:
    """The same program, with an equation that stands there twice done once.

    XLA would find the second one as well, but only after differentiation, when the two have different
    cotangents: a step with its first and second derivative would cost four products backward, not three.
    """
    first: dict[Hashable, list[Var]] = {}
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


def _identity(equation: JaxprEqn) -> Hashable:
    """Equal for two equations that compute the same; None for one that must not be compared."""
    if equation.effects:
        return None
    atoms = [
        atom if isinstance(atom, Var) else (str(aval(atom)), np.asarray(atom.val).tobytes())
        for atom in equation.invars
    ]
    made = tuple(str(aval(atom)) for atom in equation.outvars)  # 1 and True are equal as parameters
    parameters = tuple(sorted(equation.params.items(), key=lambda item: item[0]))
    key = (equation.primitive, tuple(atoms), parameters, made)
    try:
        hash(key)
    except TypeError:
        return None
    return key
