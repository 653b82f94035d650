"""Run a cell over time."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from attractor.cells import State, initial_state
from attractor.errors import ShapeError

from .memory import Strategy, strategy
from .split import SplitStep, split_step


class Unrolled(NamedTuple):
    """States of all steps (leading axis time) and the state after the last valid step."""

    states: State
    last: State


def unroll(  # noqa: PLR0913 (the contract of the house: one function that runs any cell)
    cell: Any,
    inputs: Float[Array, "time inputs"],
    state: State | None = None,
    *,
    length: int | Int[Array, ""] | None = None,
    key: PRNGKeyArray | None = None,
    memory: str | Strategy = "store",
    hoist: bool | None = None,
) -> Unrolled:
    """States of `cell` along one sequence: s_{t+1} = cell(u_t, s_t).

    For a batch, map it: `jax.vmap(lambda u: unroll(cell, u).states)(inputs)`. Work of the cell that depends
    on the weights alone is done once, and work on inputs alone leaves the loop where that pays; `explain`
    tells what was chosen and why.

    Args:
        cell: any callable Equinox module `cell(input, state, *, key=None) -> state`.
        inputs: u, shape (time, inputs); time may be 0.
        state: s_0; the cell's own initial state when None. Feeding `last` of one call into the next
            streams a sequence: the pieces equal the whole.
        length: number of valid steps; later steps leave the state untouched. None: all.
        key: noise of the step, split over time; None means no noise.
        memory: "store", "recompute", or a strategy such as `Recompute(every=20)`.
        hoist: force (True) or forbid (False) that work on inputs leaves the loop; None decides by size.

    Returns:
        The states s_1 ... s_T (each leaf with a leading time axis) and the last of them.

    Raises:
        ShapeError: inputs that are not (time, cell.input_size).

    Example:
        >>> import jax, attractor
        >>> cell = attractor.cells.GRU(2, 3, key=jax.random.key(0))
        >>> attractor.unroll(cell, jax.numpy.ones((5, 2))).states.shape
        (5, 3)
    """
    _check_inputs(cell, inputs)
    run = strategy(memory)
    state = initial_state(cell) if state is None else state
    leaves, structure = jax.tree.flatten(state)
    keys = [] if key is None else [jax.random.split(key, len(inputs))]
    split, weights = trace(cell, inputs, state, noisy=key is not None, hoist=hoist)
    shared = split.prepare(weights)
    driven = jax.vmap(lambda *one: split.drive(shared, one))(inputs, *keys)
    steps = jnp.arange(len(inputs))

    def body(carry: list[Array], slice_: tuple[list[Array], Array]) -> tuple[list[Array], list[Array]]:
        driven, step = slice_
        new = split.advance(shared, driven, carry)
        if length is not None:
            new = [jnp.where(step < length, after, before) for after, before in zip(new, carry, strict=True)]
        return new, new

    last, states = run(body, leaves, (driven, steps))
    return Unrolled(jax.tree.unflatten(structure, states), jax.tree.unflatten(structure, last))


def trace(
    cell: Any, inputs: Float[Array, "time inputs"], state: State, *, noisy: bool, hoist: bool | None
) -> tuple[SplitStep, list[Array]]:
    """The split step of a cell and the leaves of its weights."""
    arrays, static = eqx.partition(cell, eqx.is_array)
    weights, structure = jax.tree.flatten(arrays)
    leaves, state_structure = jax.tree.flatten(state)

    def step(weights: list[Array], inputs: list[Array], state: list[Array]) -> list[Array]:
        whole = eqx.combine(jax.tree.unflatten(structure, weights), static)
        noise = {"key": inputs[1]} if noisy else {}
        new = whole(inputs[0], jax.tree.unflatten(state_structure, state), **noise)
        _check_state(cell, state_structure, state, new)
        return jax.tree.leaves(new)

    first = [jnp.zeros(inputs.shape[1:], inputs.dtype)] + ([jax.random.key(0)] if noisy else [])
    return split_step(step, weights, first, leaves, hoist=hoist), weights


def _check_inputs(cell: Any, inputs: Array) -> None:
    size = getattr(cell, "input_size", None)
    if inputs.ndim != 2 or (size is not None and inputs.shape[1] != size):
        message = (
            f"inputs of shape {inputs.shape} given to {type(cell).__name__}, expected (time, {size}); "
            "map over a batch with jax.vmap"
        )
        raise ShapeError(message)


def _check_state(cell: Any, structure: Any, old: list[Array], new: State) -> None:
    leaves, found = jax.tree.flatten(new)
    before = [(leaf.shape, str(leaf.dtype)) for leaf in old]
    after = [(leaf.shape, str(leaf.dtype)) for leaf in leaves]
    if found != structure or before != after:
        message = (
            f"{type(cell).__name__} turned a state {structure} of {before} into {found} of {after}; a step "
            "must return a state of the same structure, shapes and types"
        )
        raise ShapeError(message)
