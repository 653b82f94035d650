"""Bounds of one step of a cell over a box of states and inputs.

A proof is about the map in exact arithmetic. A step that rounds to a narrower type on purpose is another map:
its rounding is a step function with thousands of jumps, and between two of them it may hold what the map in
float64 would let go. So it is refused by name, wherever it is written: as a cast, in a product, or as its
precision. So are whole numbers that depend on the state, whose arithmetic wraps and rounds, and arithmetic on
truth values.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf, prod
from typing import TypeAlias, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Atom, Tracer
from jax.extend.core import JaxprEqn
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from attractor.cells import CellLike, State, initial_state, input_size, name_of, shaped_input
from attractor.errors import ShapeError, UnsupportedError
from attractor.program import Kind, Program, Rule, interpret, layout_of, location, of_kind, trace
from attractor.program.trace import without_repeats
from attractor.program.walk import aval

from .algebra import enclose, row_corners
from .choices import Undecided, truth
from .interval import SCALAR, TINY, UNIT, Interval, exactly, intersection, widened
from .polynomial import Exact, Form, Operand, dtype_of, symbol_form
from .polynomial_rules import OF_TRUTH, RULES

# What stands at a variable of a program: a form, what is known exactly, or a truth value.
Value: TypeAlias = Operand | Undecided


class Box(eqx.Module):
    """A box of flat states and inputs.

    Args:
        low: least states and inputs, shape (states + inputs,).
        high: largest ones.
        states: how many of them are states.
    """

    low: Float[Array, " axes"]
    high: Float[Array, " axes"]
    states: int = eqx.field(static=True)

    @property
    def state(self) -> Interval:
        """The box of states."""
        return Interval(self.low[: self.states], self.high[: self.states])

    @property
    def input(self) -> Interval:
        """The box of inputs."""
        return Interval(self.low[self.states :], self.high[self.states :])

    def with_state(self, state: Interval) -> "Box":
        """The same inputs with another box of states."""
        low = jnp.concatenate([state.low, self.low[self.states :]])
        high = jnp.concatenate([state.high, self.high[self.states :]])
        return Box(low, high, self.states)


class StepBounds(eqx.Module):
    """What one step does to a box.

    Args:
        image: box of the new states.
        jacobian: entrywise range of the derivative of the new states, shape (states, states + inputs).
        corners: for every leaf of the state the absolute derivatives at the corners of its form, shape
            (corners, leaf, states + inputs); see `attractor.certify.domains.algebra.row_corners`.
        curvature: for every state and input, how much the slopes of scalar functions may vary along it,
            summed over all of them: where a box is worth splitting.
    """

    image: Interval
    jacobian: Interval
    corners: list[Array]
    curvature: Float[Array, " axes"]

    def row_sums(self, weights: Float[Array, " states"]) -> Float[Array, " states"]:
        """For every state, a bound of sum_j |dx'_i / dx_j| w_j over the box."""
        sums = [jnp.max(corner[..., : len(weights)] @ weights, axis=0).ravel() for corner in self.corners]
        return _above(jnp.concatenate(sums), len(weights))

    def input_sums(self) -> Float[Array, " states"]:
        """For every state, a bound of sum_j |dx'_i / du_j| over the box."""
        count = len(self.image.low)
        sums = [jnp.max(corner[..., count:].sum(axis=-1), axis=0).ravel() for corner in self.corners]
        return _above(jnp.concatenate(sums), self.jacobian.low.shape[1])

    @property
    def bounded(self) -> Bool[Array, ""]:
        """Whether the image is finite; false for NaN."""
        return jnp.isfinite(self.image.low).all() & jnp.isfinite(self.image.high).all()


def unit_box(cell: CellLike, input_bound: ArrayLike = 1.0) -> Box:
    """States and inputs between -1 and 1 (inputs: between -input_bound and input_bound)."""
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(floating_state(cell))]
    states = sum(leaf.size for leaf in leaves)
    dtype = jnp.result_type(*leaves, input_bound)  # a bound in float64 is not rounded to the state's type
    bound = jnp.broadcast_to(jnp.asarray(input_bound, dtype), (input_size(cell),))
    high = jnp.concatenate([jnp.ones(states, dtype), bound])
    return Box(-high, high, states)


def floating_state(cell: CellLike) -> State:
    """The initial state of a cell, all of which is made of real numbers.

    Raises:
        UnsupportedError: a part of the state is a whole number, a truth value or complex, or it is empty.
    """
    start = initial_state(cell)
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(start)]
    others = [str(leaf.dtype) for leaf in leaves if not jnp.issubdtype(leaf.dtype, jnp.floating)]
    if others or not sum(leaf.size for leaf in leaves):
        raise UnsupportedError(
            f"interval bounds: the state of {name_of(cell)} holds {', '.join(others) or 'nothing'}; "
            "expected real numbers only: keep counters and flags outside the state"
        )
    return start


def step_bounds(cell: CellLike, box: Box) -> StepBounds:
    """Interpret one step of any cell with forms over a box.

    In float64 (inside `jax.enable_x64(True)`, with a cell in float64) every result is an outward bound: it
    holds what exact arithmetic would give. In float32 it is an estimate that can be differentiated, for
    training.

    Args:
        cell: any cell; its arrays may be traced, so that the bound can be compiled once and differentiated.
        box: of states and inputs.

    Raises:
        UnsupportedError: the step uses a primitive that bounds have no rule for; it is named with its line.
    """
    directions = jnp.eye(len(box.low), dtype=box.low.dtype)
    seen: list[Array] = []
    forms = _forms(cell, box, directions, _watched(seen))
    enclosures = [enclose(form) for form in forms]
    return StepBounds(
        image=_joined([one.value for one in enclosures], 0),
        jacobian=_joined([one.jacobian for one in enclosures], 1),
        corners=[row_corners(form).reshape(-1, _size(form), len(box.low)) for form in forms],
        curvature=sum(seen, jnp.zeros_like(box.low)),
    )


def step_image(cell: CellLike, box: Box) -> Interval:
    """The box of the new states only: no derivative is followed."""
    nothing = jnp.zeros((len(box.low), 0), box.low.dtype)
    return _joined([enclose(form).value for form in _forms(cell, box, nothing, RULES)], 0)


def centred_image(cell: CellLike, box: Box) -> Interval:
    """The box of the new states, by the mean value theorem where that is tighter.

    f(x) lies in f(c) + J (x - c) with c the middle of the box and J the range of the derivative on it. A
    residual step h + d F(h) is the case for it: a matrix product forgets that it was made of h, its
    derivative does not.
    """
    bounds = step_bounds(cell, box)
    middle = (box.low + box.high) / 2
    at = step_image(cell, Box(middle, middle, box.states))
    radius = jnp.maximum(box.high - middle, middle - box.low)
    reach = _above(bounds.jacobian.magnitude @ radius, len(radius)) + TINY
    usable = jnp.isfinite(reach)
    away = jnp.where(usable, reach, jnp.inf)
    low, high = at.low - away, at.high + away
    around = widened(Interval(low, high), 1, jnp.where(usable, at.magnitude + reach, 0.0))
    return intersection(bounds.image, around)


def _forms(cell: CellLike, box: Box, directions: Array, rules: Mapping[str, Rule]) -> list[Form]:
    """A form for every leaf of the new state; row k of `directions` is the derivative of state or input k."""
    start = jax.tree.map(lambda leaf: jnp.asarray(leaf, box.low.dtype), floating_state(cell))
    nothing = jnp.zeros(input_size(cell), box.low.dtype)
    program = trace(lambda input, state: cell(shaped_input(cell, input), state), nothing, start)
    _check_structure(cell, program, start)
    layout = layout_of(start, name_of(cell), box.low.dtype)
    numbered = jax.tree.leaves(layout.restore(jnp.arange(box.states, dtype=box.low.dtype)))
    arguments = [symbol_form(box.input, exactly(directions[box.states :]))]
    for leaf in numbered:
        rows = leaf.astype(jnp.int32)
        arguments.append(symbol_form(Interval(box.low[rows], box.high[rows]), exactly(directions[rows])))
    return program_forms(program, arguments, rules)


def program_forms(
    program: Program, arguments: Sequence[Form], rules: Mapping[str, Rule] = RULES
) -> list[Form]:
    """A form for every result of a program.

    Args:
        program: any straight-line program.
        arguments: a form for each of its flattened arguments, see `symbol_form`; all follow the same
            directions.
        rules: of the primitives.

    Raises:
        UnsupportedError: a primitive without a rule, or a result that is a truth value.
    """
    program = replace(program, jaxpr=without_repeats(program.jaxpr))  # what is computed twice is one quantity
    results = interpret(program, guarded(rules), arguments, "interval bounds")
    return [as_form(result, dtype_of(arguments[0]), arguments[0].directions) for result in results]


def _check_structure(cell: CellLike, program: Program, start: State) -> None:
    """That a step gives back what it takes: the same leaves of the same shapes."""
    shapes = tuple(jnp.shape(leaf) for leaf in jax.tree.leaves(start))
    if program.outputs != jax.tree.structure(start) or program.output_shapes != shapes:
        raise ShapeError(
            f"the step of {name_of(cell)} returns {program.outputs} with leaves of shapes "
            f"{program.output_shapes}; expected what initial_state() gives: {jax.tree.structure(start)} with "
            f"{shapes}. Return the new state, with every leaf of it"
        )


def _watched(seen: list[Array]) -> dict[str, Rule]:
    """The rules, and beside them a note of how far the slope of every scalar function varies."""

    def watch(rule: Rule) -> Rule:
        def watching(equation: JaxprEqn, *operands: Value) -> Value | list[Form]:
            result = rule(equation, *operands)
            for symbol in result.symbols.values() if isinstance(result, Form) else ():
                varied = None
                if symbol.slope is not None:
                    varied = symbol.slope.width[..., None] * symbol.jacobian.magnitude
                elif symbol.branches:
                    varied = jnp.nan_to_num(symbol.jacobian.width, posinf=0.0)  # no piece mends a jump
                if varied is not None:
                    seen.append(varied.reshape(-1, varied.shape[-1]).sum(axis=0))
            return result

        return watching

    rules = dict(RULES)  # read before SCALAR, to which what another package registers is added
    names = [*SCALAR, "max", "min", "integer_pow", "pow", "reduce_max", "reduce_min", "select_n"]
    return {name: watch(rule) if name in names else rule for name, rule in rules.items()}


def as_form(result: Value, dtype: np.dtype, directions: int) -> Form:
    """A state that is the same whatever comes in has a form too."""
    if isinstance(result, Form):
        return result
    if isinstance(result, Undecided):
        raise UnsupportedError("interval bounds: a truth value as a part of the new state")
    value = jnp.asarray(result, dtype)
    return symbol_form(exactly(value), exactly(jnp.zeros((*value.shape, directions), dtype)))


def _above(sums: Array, terms: int) -> Array:
    """Sums of so many products of positive numbers, outward."""
    return sums * (1 + 2 * (terms + 2) * UNIT) if sums.dtype == jnp.float64 else sums


def _size(form: Form) -> int:
    return prod(form.shape)


def _joined(intervals: list[Interval], trailing: int) -> Interval:
    """The leaves of a state end to end."""

    def flat(array: Array) -> Array:
        return array.reshape(-1, *array.shape[array.ndim - trailing :])

    return Interval(*(jnp.concatenate([flat(end) for end in ends]) for ends in zip(*intervals, strict=True)))


_CHOOSING = of_kind(Kind.CHOOSING)


def guarded(rules: Mapping[str, Rule]) -> dict[str, Rule]:
    """The same rules, each asked only for what it was derived for.

    Args:
        rules: one rule for each primitive, by name.
    """

    def guard(rule: Rule) -> Rule:
        def checked(equation: JaxprEqn, *operands: Value) -> Value | list[Form]:
            if _is_logic(equation, operands):
                return truth(equation, *cast("Sequence[Undecided | Exact]", operands))
            _refuse_truth(equation, operands)
            _refuse_whole(equation)
            _refuse_narrow(equation, operands)
            return rule(equation, *map(_number, operands))

        return checked

    return {name: guard(rule) for name, rule in rules.items()}


def _number(operand: Value) -> Value:
    """A single number that is known while tracing stays known: in JAX's own array it would be traced."""
    if isinstance(operand, jax.Array) and not isinstance(operand, Tracer) and operand.ndim == 0:
        return np.asarray(operand)
    return operand


def _is_logic(equation: JaxprEqn, operands: Sequence[Value]) -> bool:
    truths = any(isinstance(operand, Undecided) for operand in operands)
    quantities = any(isinstance(operand, Form) for operand in operands)
    return truths and not quantities and equation.primitive.name in OF_TRUTH


def _refuse_truth(equation: JaxprEqn, operands: Sequence[Value]) -> None:
    name = equation.primitive.name
    free = 1 if name == "convert_element_type" or name in _CHOOSING else 0  # may take one that is not decided
    if any(isinstance(operand, Undecided) for operand in operands[free:]):
        raise UnsupportedError(
            f"interval bounds: '{name}' of a truth value that depends on the state{location(equation)}"
        )


def _refuse_whole(equation: JaxprEqn) -> None:
    """Arithmetic of whole numbers wraps and rounds; rules are about real ones."""
    name = equation.primitive.name
    truths = all(jnp.issubdtype(_dtype(atom), jnp.bool_) for atom in equation.outvars)
    if truths and name in _CHOOSING:
        raise UnsupportedError(
            f"interval bounds: '{name}' chooses between truth values{location(equation)}; join the "
            "conditions with &, | and ~"
        )
    if not (truths or all(map(_is_floating, equation.outvars))):
        raise UnsupportedError(
            f"interval bounds: '{name}' makes a whole number or complex number of state or input"
            f"{location(equation)}; choose between 1.0 and 0.0 where 1 and 0 are meant"
        )


def _refuse_narrow(equation: JaxprEqn, operands: Sequence[Value]) -> None:
    pairs = zip(equation.invars, operands, strict=True)
    unknown = [
        _digits_of(_compared_type(operand) if isinstance(operand, Undecided) else _dtype(atom))
        for atom, operand in pairs
        if isinstance(operand, Form | Undecided)
    ]
    kept = [_digits_of(_dtype(atom)) for atom in equation.outvars if _is_floating(atom)]
    if max(unknown) > min(kept, default=inf) or _low_precision(equation):
        raise UnsupportedError(
            f"interval bounds: '{equation.primitive.name}' rounds what depends on the state to "
            f"{_dtype(equation.outvars[0])}{location(equation)}: a step function, whose jumps no contraction "
            "survives. Compute the step in the type of its state"
        )


def _compared_type(truth_value: Undecided) -> np.dtype:
    """What was compared has it; a number that is made of the answer may have no coarser one."""
    kinds = [symbol.value.low.dtype for symbol in truth_value.gap.symbols.values()]
    return np.result_type(*kinds) if kinds else np.dtype(np.float64)


def _digits_of(kind: np.dtype) -> int:
    """Bits of the fraction of a floating type; others are refused by name."""
    return jnp.finfo(kind).nmant if jnp.issubdtype(kind, jnp.floating) else 0


def _is_floating(atom: Atom) -> bool:
    return jnp.issubdtype(_dtype(atom), jnp.floating)


def _dtype(atom: Atom) -> np.dtype:
    return aval(atom).dtype


def _low_precision(equation: JaxprEqn) -> bool:
    """Whether a product asks for an algorithm with operands or sums of fewer digits."""
    asked = equation.params.get("precision")
    parts = asked if isinstance(asked, tuple) else (asked,)
    return any(type(part).__name__.startswith("DotAlgorithm") for part in parts)
