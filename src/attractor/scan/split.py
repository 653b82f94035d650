"""Split one step of a cell by what its equations depend on.

Some equations of a step depend on the weights alone (a structured matrix), some on the input but not on the
state (the input projection), and only the rest must wait for the state. The split reads the jaxpr of the
step, so it works for every cell without a word from its author.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from math import prod

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.core import Atom
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Var, jaxprs_in_params
from jax.typing import ArrayLike
from jaxtyping import Array, PyTree

from attractor.errors import UnsupportedError
from attractor.program import PRIMITIVES
from attractor.program.trace import without_repeats
from attractor.program.walk import apply, aval, bound, forward, results, value_of

Values = list[Array]
# Of an array, only shape and type matter.
Example = ArrayLike | jax.ShapeDtypeStruct

# An equation runs once a sequence, for all steps ahead of the loop, or inside the loop.
ONCE, AHEAD, STEP = 0, 1, 2

# Name of the results in a step that are kept for the backward pass while the rest is computed again.
COSTLY = "attractor.costly"

# Multiplications a step from which an input projection is worth a product over all steps.
#
# Measured forward and backward on two cores: 650 x 1950 (1.3 million) gains a factor 1.3 to 1.6, 28 x 768 and
# 8 x 96 lose up to 1.2, because the projected inputs must then be stored and read again.
WORTH_HOISTING = 1 << 18


class SplitStep(eqx.Module):
    """One step of a cell, in the three pieces `prepare`, `drive` and `advance`.

    `advance(shared, drive(shared, input), state)` with `shared = prepare(weights)` equals the step.

    Args:
        constants: arrays that the step closes over, the leaves of this pytree.
    """

    constants: tuple[Array, ...]
    _jaxpr: Jaxpr = eqx.field(static=True)
    _levels: tuple[int, ...] = eqx.field(static=True)
    _weights: tuple[Var, ...] = eqx.field(static=True)
    _inputs: tuple[Var, ...] = eqx.field(static=True)
    _state: tuple[Var, ...] = eqx.field(static=True)
    _costly: frozenset[Var] = eqx.field(static=True)

    def prepare(self, weights: Sequence[Array]) -> Values:
        """What does not change over time: weights, constants and all that follows from them alone."""
        own = (*self._weights, *self._jaxpr.constvars)
        known = dict(zip(own, (*weights, *self.constants), strict=True))
        return self._done(ONCE, known, self._shared)

    def drive(self, shared: Values, inputs: Sequence[Array]) -> Values:
        """What one input contributes to the step, whatever the state."""
        known = dict(zip(self._shared, shared, strict=True)) | dict(zip(self._inputs, inputs, strict=True))
        return self._done(AHEAD, known, self._driven)

    def advance(self, shared: Values, driven: Values, state: Sequence[Array]) -> Values:
        """The next state; what is costly in it carries the name `COSTLY`."""
        known = dict(zip(self._shared, shared, strict=True)) | dict(zip(self._driven, driven, strict=True))
        known |= dict(zip(self._state, state, strict=True))
        return self._done(STEP, known, self._jaxpr.outvars)

    def count(self, level: int) -> int:
        """Number of equations at a level."""
        return self._levels.count(level)

    @property
    def has_effects(self) -> bool:
        """Whether a step does more than compute (prints, callbacks), so that it must not be repeated."""
        return bool(self._jaxpr.effects)

    def _done(self, level: int, known: dict[Var, Array], wanted: Sequence[Atom]) -> Values:
        """The values that are wanted after the equations of a level."""
        rule = self._apply_named if level == STEP else partial(apply, self._jaxpr)
        values = forward(self._jaxpr, known, rule, equations=self._equations(level))
        return [value_of(atom, values) for atom in wanted]

    def _apply_named(self, equation: JaxprEqn, operands: Values) -> Values:
        values = apply(self._jaxpr, equation, operands)
        costly = not self._costly.isdisjoint(equation.outvars)
        return [_named(value) for value in values] if costly else values

    def _equations(self, level: int) -> list[JaxprEqn]:
        pairs = zip(self._jaxpr.eqns, self._levels, strict=True)
        return [equation for equation, own in pairs if own == level]

    @property
    def _shared(self) -> list[Var]:
        made = [*self._weights, *self._jaxpr.constvars, *_made(self._equations(ONCE))]
        return _intersection(made, [*self._used(AHEAD), *self._used(STEP)])

    @property
    def _driven(self) -> list[Var]:
        return _intersection([*self._inputs, *_made(self._equations(AHEAD))], self._used(STEP))

    def _used(self, level: int) -> list[Var]:
        atoms = list(chain.from_iterable(equation.invars for equation in self._equations(level)))
        if level == STEP:
            atoms += self._jaxpr.outvars
        return [atom for atom in atoms if isinstance(atom, Var)]


def split_step(
    step: Callable[[Values, Values, Values], Values],
    weights: Sequence[Example],
    inputs: Sequence[Example],
    state: Sequence[Example],
    *,
    hoist: bool | None = None,
) -> SplitStep:
    """Trace `step(weights, inputs, state)` and split it.

    Args:
        step: the step on flat lists of arrays.
        weights: the leaves of the cell; of these and the next two only shapes and types matter.
        inputs: the leaves of one input (and of the key of the step, if there is noise).
        state: the leaves of the state.
        hoist: whether work on inputs alone leaves the loop; None decides by `WORTH_HOISTING`.
    """
    closed = jax.make_jaxpr(flat(step))(weights, inputs, state)
    jaxpr = without_repeats(closed.jaxpr)
    cut, end = len(weights), len(weights) + len(inputs)
    own, driving, carried = jaxpr.invars[:cut], jaxpr.invars[cut:end], jaxpr.invars[end:]
    levels = _levels(jaxpr, dict.fromkeys(driving, AHEAD) | dict.fromkeys(carried, STEP))
    costly = frozenset(_costly(jaxpr, levels))
    if hoist is None:
        pairs = zip(jaxpr.eqns, levels, strict=True)
        hoist = sum(product_cost(equation) for equation, level in pairs if level == AHEAD) >= WORTH_HOISTING
    if not hoist:
        levels = [STEP if level == AHEAD else level for level in levels]
    constants = tuple(map(jnp.asarray, closed.consts))
    return SplitStep(constants, jaxpr, tuple(levels), tuple(own), tuple(driving), tuple(carried), costly)


def _named(value: Array) -> Array:
    """Marked as worth keeping; of a complex value both parts, because JAX can only keep real ones."""
    if not jnp.iscomplexobj(value):
        return checkpoint_name(value, COSTLY)
    return jax.lax.complex(checkpoint_name(value.real, COSTLY), checkpoint_name(value.imag, COSTLY))


def _levels(jaxpr: Jaxpr, begin: dict[Var, int]) -> list[int]:
    """For every equation, the highest level among what it depends on."""
    found: list[int] = []

    def rule(equation: JaxprEqn, operands: list[int]) -> list[int]:
        found.append(STEP if equation.effects or stays_in_place(equation) else max(operands, default=ONCE))
        return [found[-1]] * len(equation.outvars)

    known = dict.fromkeys((*jaxpr.constvars, *jaxpr.invars), ONCE) | begin
    forward(jaxpr, known, rule, literal=lambda _: ONCE)
    return found


def _costly(jaxpr: Jaxpr, levels: Sequence[int]) -> list[Var]:
    """First results of the equations that a backward pass should rather keep than repeat."""
    pairs = [pair for pair in zip(jaxpr.eqns, levels, strict=True) if pair[1] != ONCE and pair[0].outvars]
    return [
        equation.outvars[0]
        for equation, level in pairs
        if not is_cheap(equation) and (level == STEP or not 0 < product_cost(equation) < WORTH_HOISTING)
    ]


def _made(equations: Sequence[JaxprEqn]) -> list[Var]:
    return [variable for equation in equations for variable in equation.outvars]


def _intersection(made: Sequence[Var], used: Sequence[Var]) -> list[Var]:
    wanted = set(used)
    return [variable for variable in dict.fromkeys(made) if variable in wanted]


def flat(step: Callable[..., PyTree]) -> Callable[..., Values]:
    """The same step with jitted parts written out, and products with a vector turned to `vector @ matrix^T`.

    A batch is the leading axis of the vector, so the turned product leaves it leading: no transposition
    between the product and the elementwise equations around it.
    """

    def written_out(*arguments: PyTree) -> Values:
        closed = jax.make_jaxpr(step)(*arguments)
        _refuse_references(closed.jaxpr)
        return _written_out(closed, jax.tree.leaves(arguments))

    return written_out


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
    known = PRIMITIVES.get(equation.primitive.name)
    return known is not None and known.cheap


def stays_in_place(equation: JaxprEqn) -> bool:
    """Whether an equation must run once a step: a mapped callback may fail, and mapped draws may differ.

    Only the default generator draws the same numbers whether it is mapped over keys or not.
    """
    if equation.primitive.name in ("pure_callback", "rng_bit_generator"):
        return True
    kinds = {str(aval(atom).dtype) for atom in equation.invars if hasattr(aval(atom), "dtype")}
    other_keys = any(kind.startswith("key<") and kind != "key<fry>" for kind in kinds)
    return other_keys or any(stays_in_place(inner) for inner in _called(equation))


def _refuse_references(jaxpr: Jaxpr) -> None:
    variables = chain(jaxpr.constvars, *(equation.outvars for equation in jaxpr.eqns))
    if any(type(aval(variable)).__name__ == "AbstractRef" for variable in variables):
        raise UnsupportedError(
            "the step writes to a mutable reference (jax.new_ref); keep what changes in the state"
        )


def _written_out(closed: ClosedJaxpr, arguments: Sequence[ArrayLike]) -> Values:
    jaxpr = closed.jaxpr

    def rule(equation: JaxprEqn, operands: list[ArrayLike]) -> Values:
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


def _shape(atom: Atom) -> tuple[int, ...]:
    return aval(atom).shape


def _called(equation: JaxprEqn) -> list[JaxprEqn]:
    """The equations of the jaxprs among the parameters of an equation."""
    return [inner for jaxpr in jaxprs_in_params(equation.params) for inner in jaxpr.eqns]
