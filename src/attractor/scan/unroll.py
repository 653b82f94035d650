"""Run a cell over time, and tell how it is run and why."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray, PyTree, Shaped

from attractor.cells import (
    CellLike,
    State,
    check_same_state,
    in_words,
    initial_state,
    input_shape,
    knows_input,
    name_of,
    take_step,
)
from attractor.errors import ShapeError
from attractor.program import compiled, digest_or_new, may_change, same_each_time
from attractor.program.digest import program_digest
from attractor.shown import Shown, at_prompt, counted, in_notebook

from .split import AHEAD, ONCE, STEP, WORTH_HOISTING, SplitStep, split_step
from .strategies import Loop, Store, Strategy, strategy


class Unrolled(NamedTuple):
    """States of all steps (leading axis time) and the state after the last valid step.

    Args:
        states: what was read of the state after each step; the whole state without `read`.
        last: the whole state after the last valid step.
    """

    states: PyTree
    last: State

    def __repr__(self) -> str:
        return at_prompt(self)

    def _repr_html_(self) -> str:
        return in_notebook(self)


def unroll(  # noqa: PLR0913 (the contract of the house: one function that runs any cell)
    cell: CellLike,
    inputs: Shaped[Array, "time ..."],
    state: State | None = None,
    *,
    length: ArrayLike | None = None,
    key: PRNGKeyArray | None = None,
    memory: str | Strategy = "store",
    hoist: bool | None = None,
    read: Callable[[State], PyTree] | None = None,
) -> Unrolled:
    """States of `cell` along one sequence: s_{t+1} = cell(u_t, s_t).

    For a batch, map it: `jax.vmap(lambda u: unroll(cell, u).states)(inputs)`. Work of the cell that depends
    on the weights alone is done once, and work on inputs alone leaves the loop where that pays; `explain`
    tells what was chosen and why.

    Args:
        cell: any callable Equinox module `cell(input, state, *, key=None) -> state`.
        inputs: u, shape (time, inputs), or (time, *cell.input_shape); time may be 0.
        state: s_0; the cell's own initial state when None. Feeding `last` of one call into the next
            streams a sequence: the pieces equal the whole (to rounding where work leaves the loop,
            because a product over more steps may add in another order, and for pieces of one step, which
            have no loop; else bit for bit).
        length: number of valid steps; later steps leave the state untouched and what the inputs hold there
            (NaN, too) reaches neither states nor gradients. None: all. They are computed all the same, so
            prints and callbacks of a step run for them as well.
        key: noise of the step, split over time; None means no noise.
        memory: "store", "recompute", or a strategy such as `Recompute(every=20)`. A step that prints or calls
            back is stored whatever is asked, because it must not run a second time.
        hoist: force (True) or forbid (False) that work on inputs leaves the loop; None decides by size.
        read: what to keep of each state, a pytree of arrays: `lambda state: exposed(cell, state)`. States are
            then not stacked over time. It sees every s_t, those of masked steps too.

    Returns:
        The states s_1 ... s_T, or what `read` gave of them (each leaf with a leading time axis), and s_T.

    Raises:
        CellError: a step that fails, or is another one each time it is called.
        ShapeError: inputs that are not (time, *cell.input_shape), a state unlike the cell's initial state, a
            step that changes shapes or types, or a length that is no number of steps.
        UnsupportedError: a step that writes to a mutable reference.

    Example:
        >>> import jax, attractor
        >>> cell = attractor.cells.GRU(2, 3, key=jax.random.key(0))
        >>> attractor.unroll(cell, jax.numpy.ones((5, 2))).states.shape
        (5, 3)
    """
    inputs = jnp.asarray(inputs)
    _check_inputs(cell, inputs)
    _check_length(length, len(inputs))
    _check_start(cell, state)
    steps = None if length is None else jnp.asarray(length)
    plan = strategy(memory), hoist, _program_of(read, cell, state)
    return _run(cell, inputs, state, (steps, key), read, plan)


@compiled  # a second eager call with the same shapes compiles nothing; inside another jit it is free
def _run(
    cell: CellLike,
    inputs: Array,
    state: State | None,
    optional: tuple[Array | None, PRNGKeyArray | None],
    read: Callable[[State], PyTree] | None,
    plan: tuple[Strategy, bool | None, str],
) -> Unrolled:
    (length, key), (run, hoist, _) = optional, plan
    state = jax.tree.map(jnp.asarray, initial_state(cell) if state is None else state)
    split, _ = trace(cell, inputs, state, key=key, hoist=hoist)
    keys = None if key is None else jax.random.split(key, len(inputs))
    valid = None if length is None else jnp.arange(len(inputs)) < length
    if valid is not None:
        inputs = _without_padding(inputs, valid)
    loop = Loop(cell, _explicit(read, state), inputs, keys, state, valid, split)
    # A step that prints or calls back must not run a second time.
    last, states = (Store() if split.has_effects else run).run(loop)
    return Unrolled(states, last)


def _program_of(read: Callable[[State], PyTree] | None, cell: CellLike, state: State | None) -> str:
    """A text that changes with what `read` computes, so that a compiled copy of it is never stale."""
    if read is None or not may_change(read):
        return ""
    start = eqx.filter_eval_shape(initial_state, cell) if state is None else state
    return digest_or_new(lambda: program_digest(jax.make_jaxpr(_anew(read))(start)))


def _explicit(read: Callable[[State], PyTree] | None, state: State) -> Callable[[State], PyTree]:
    """The function with the arrays that it closes over as leaves of a pytree."""
    return _whole if read is None else eqx.filter_closure_convert(_anew(read), state)


def _anew(read: Callable[[State], PyTree]) -> Callable[[State], PyTree]:
    """The same function as another object: JAX finds the trace of a function again by its identity."""
    return lambda state: read(state)


def _whole(state: State) -> State:
    return state


def _without_padding(inputs: Shaped[Array, "time ..."], valid: Array) -> Shaped[Array, "time ..."]:
    """Inputs whose padding, which may hold anything, repeats the first one (or is ones if none is valid).

    Ones, because roots, norms and logarithms have no finite slope at zero: even a step whose result is thrown
    away must have a finite Jacobian.
    """
    valid = valid.reshape(-1, *[1] * (inputs.ndim - 1))
    first = jnp.where(valid[:1], inputs[:1], jnp.ones_like(inputs[:1]))
    return jnp.where(valid, inputs, jax.lax.stop_gradient(first))


def trace(
    cell: CellLike,
    inputs: Shaped[Array, "time ..."],
    state: State,
    *,
    key: PRNGKeyArray | None = None,
    hoist: bool | None = None,
) -> tuple[SplitStep, list[Array]]:
    """The split step of a cell and the leaves of its weights."""
    arrays, static = eqx.partition(cell, eqx.is_array)
    weights, structure = jax.tree.flatten(arrays)
    leaves, state_structure = jax.tree.flatten(state)

    def step(weights: list[Array], inputs: list[Array], state: list[Array]) -> list[Array]:
        whole = eqx.combine(jax.tree.unflatten(structure, weights), static)
        own_key = None if key is None else inputs[1]
        new = take_step(whole, inputs[0], jax.tree.unflatten(state_structure, state), own_key)
        check_same_state(cell, jax.tree.unflatten(state_structure, state), new, types=True, input=inputs[0])
        return jax.tree.leaves(new)

    first = [jax.ShapeDtypeStruct(inputs.shape[1:], inputs.dtype)]
    first += [] if key is None else [jax.ShapeDtypeStruct(key.shape, key.dtype)]
    if may_change(cell):
        same_each_time(step, (weights, first, leaves), name_of(cell))
    return split_step(step, weights, first, leaves, hoist=hoist), weights


def _check_inputs(cell: CellLike, inputs: Array) -> None:
    known = knows_input(cell)
    expected = input_shape(cell) if known else ("inputs",)
    if inputs.ndim > 0 and (inputs.shape[1:] == expected if known else inputs.ndim == 2):
        return
    shape = f"(time, {', '.join(map(str, expected))})"
    remedy = "map over a batch with jax.vmap"
    if expected == (0,):
        remedy = f"{name_of(cell)} has no inputs: jnp.zeros((steps, 0)) runs so many steps"
    elif inputs.ndim == 1 and expected == (1,):
        remedy = "write inputs[:, None]"
    raise ShapeError(f"inputs of shape {inputs.shape} given to {name_of(cell)}, expected {shape}; {remedy}")


def _check_length(length: Any, steps: int) -> None:
    if length is None:
        return
    if jnp.ndim(length) != 0 or not jnp.issubdtype(jnp.result_type(length), jnp.integer):
        raise ShapeError(
            f"length={length}: expected one whole number; map over a batch of lengths with jax.vmap"
        )
    if not isinstance(length, Tracer) and not 0 <= int(length) <= steps:
        raise ShapeError(f"length={length} of a sequence of {steps} steps: expected 0 <= length <= steps")


def _check_start(cell: CellLike, state: State | None) -> None:
    """A state given by the caller looks like the initial state, where the cell knows one."""
    if state is None or not (hasattr(cell, "initial_state") or hasattr(cell, "hidden_size")):
        return
    expected = eqx.filter_eval_shape(initial_state, cell)
    same = jax.tree.structure(expected) == jax.tree.structure(state)
    if not same or jax.tree.map(jnp.shape, expected) != jax.tree.map(jnp.shape, state):
        raise ShapeError(
            f"{name_of(cell)} was given {in_words(state)} to start from, expected {in_words(expected)}; map "
            "over a batch with jax.vmap"
        )


@dataclass(frozen=True)
class Explanation(Shown):
    """How `unroll` runs a cell; print it.

    Args:
        once: equations that depend on the weights alone, done once a sequence.
        hoisted: equations on inputs alone, done for all steps in one product ahead of the loop.
        stepped: equations inside the loop.
        memory: what the backward pass keeps.
        gradient_bytes: temporary memory of forward and backward for this input, from XLA's own analysis.
        devices: the devices over which `attractor.training.train` can spread a batch.
    """

    once: int
    hoisted: int
    stepped: int
    memory: str
    gradient_bytes: int
    devices: tuple[str, ...]

    def __str__(self) -> str:
        reason = (
            "work on inputs alone leaves the loop: its products are large, or you asked for it"
            if self.hoisted
            else f"no work on inputs leaves the loop: below {WORTH_HOISTING} multiplications, or you asked"
        )
        return "\n".join([
            f"{self.stepped} equations inside the loop, {self.hoisted} ahead of it, {self.once} once",
            reason,
            self.memory,
            f"{self.gradient_bytes / 2**20:.2f} MiB of temporary memory for forward and backward",
            f"a batch can be spread over {counted(len(self.devices), 'device')}: " + ", ".join(self.devices),
        ])


def explain(
    cell: CellLike,
    inputs: Float[Array, "time ..."],
    state: State | None = None,
    *,
    memory: str | Strategy = "store",
    hoist: bool | None = None,
) -> Explanation:
    """What `unroll` with the same arguments does, and what its gradient costs in memory.

    Args:
        cell: the cell.
        inputs: one sequence, as in `unroll`; only its shape and type matter.
        state: the state it would start from.
        memory: as in `unroll`.
        hoist: as in `unroll`.
    """
    start = initial_state(cell) if state is None else state
    split, _ = trace(cell, inputs, start, hoist=hoist)
    return Explanation(
        once=split.count(ONCE),
        hoisted=split.count(AHEAD),
        stepped=split.count(STEP),
        memory=str(strategy(memory)),
        gradient_bytes=_gradient_bytes(cell, inputs, start, memory, hoist),
        devices=tuple(str(device) for device in jax.devices()),
    )


def _gradient_bytes(
    cell: CellLike, inputs: Array, state: State, memory: str | Strategy, hoist: bool | None
) -> int:
    @eqx.filter_grad
    def gradient(cell: CellLike, inputs: Array, state: State) -> Array:
        last = unroll(cell, inputs, state, memory=memory, hoist=hoist).last
        return sum((jnp.sum(leaf**2) for leaf in jax.tree.leaves(last)), start=jnp.zeros(()))

    jitted: Any = eqx.filter_jit(gradient)
    compiled = jitted.lower(cell, inputs, state).compile()
    return int(compiled.compiled.memory_analysis().temp_size_in_bytes)
