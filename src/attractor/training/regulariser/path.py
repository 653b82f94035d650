"""The path without noise in flat coordinates, with what the exact forms of P and Q need at every step."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float

from attractor.cells import State, initial_state
from attractor.errors import ConfigError, ShapeError, UnsupportedError
from attractor.program import layout_of
from attractor.scan import unroll
from attractor.training.noise import floating, with_floating

from .problem import Derivatives, NoiseProblem, check_real

MOST_BYTES = 1 << 31
"""What an exact form may need before it is refused."""


class Path(NamedTuple):
    """A run without noise, h_0 ... h_M, in flat coordinates: all floating arrays of the state in one vector.

    Args:
        places: input and whole old state of every step, leading axis M.
        starts: h_0 ... h_{M-1}, shape (M, units).
        deviations: of what is added to h_1 ... h_M, shape (M, units).
        common: whether one number disturbs all units of a step.
        step: (input and old state, h) -> next h.
        ends: whole new state of every step, leading axis M.
        last: h_M.
        loss: of a vector in place of h_M.
    """

    places: tuple[Array, State]
    starts: Float[Array, "steps units"]
    deviations: Float[Array, "steps units"]
    common: bool
    step: Callable[[tuple[Array, State], Array], Array]
    ends: State
    last: Float[Array, " units"]
    loss: Callable[[Array], Array]

    def directions(self, deviation: Float[Array, " units"]) -> Float[Array, "units sources"]:
        """A matrix s such that the noise of one step has the covariance s s'."""
        return deviation[:, None] if self.common else jnp.diag(deviation)


def flat(state: State) -> Float[Array, " units"]:
    """The floating arrays of a state in one vector."""
    moving = floating(state)
    return layout_of(moving, "the noise", jnp.result_type(*jax.tree.leaves(moving))).flatten(moving)


def restored(state: State, vector: Float[Array, " units"]) -> State:
    """The state with the numbers of a vector in its floating arrays."""
    return with_floating(layout_of(floating(state), "the noise", vector.dtype).restore(vector), state)


def follow(problem: NoiseProblem) -> Path:
    """The path of a problem without padding."""
    cell, diffusion = problem.cell, problem.diffusion
    start = initial_state(cell) if problem.state is None else problem.state
    run = unroll(Derivatives(cell, diffusion, 0), problem.inputs, (start, ()))
    ends, last = run.states[0], run.last[0]
    before = jax.tree.map(lambda one, many: jnp.concatenate([one[None], many[:-1]]), start, ends)

    def step(place: tuple[Array, State], vector: Array) -> Array:
        old = restored(place[1], vector)
        return flat(diffusion.mean(old, cell(place[0], old)))

    def deviation(input: Array, old: State) -> Array:
        return flat(diffusion.deviation(cell, input, old, cell(input, old)))

    return Path(
        places=(problem.inputs, before),
        starts=jax.vmap(flat)(before),
        deviations=jax.vmap(deviation)(problem.inputs, before),
        common=diffusion.common,
        step=step,
        ends=ends,
        last=flat(last),
        loss=lambda vector: problem.loss_of(restored(last, vector)),
    )


def affordable(problem: NoiseProblem, arrays: Callable[[int, int], int]) -> NoiseProblem:
    """The problem without its padding, if an exact form of it fits into memory.

    Args:
        problem: one sequence.
        arrays: (steps, units) -> how many numbers the form holds at once.

    Raises:
        ConfigError: it does not fit.
        ShapeError: no valid step.
        UnsupportedError: a traced length or a complex state.
    """
    check_real(problem)
    if isinstance(problem.length, Tracer):
        raise UnsupportedError(
            "an exact form needs a length that is known; use `estimate` under jit and vmap"
        )
    steps = len(problem.inputs) if problem.length is None else int(jnp.asarray(problem.length))
    if not 0 < steps <= len(problem.inputs):
        raise ShapeError(
            f"length={steps} of {len(problem.inputs)} steps: expected at least one, and not more"
        )
    state = initial_state(problem.cell) if problem.state is None else problem.state
    units = sum(leaf.size for leaf in jax.tree.leaves(floating(state)))
    bytes_needed = arrays(steps, units) * jnp.result_type(flat(state)).itemsize
    if bytes_needed > MOST_BYTES:
        raise ConfigError(
            f"this exact form needs about {bytes_needed / 2**30:.1f} GiB for {steps} steps of {units} units, "
            f"more than {MOST_BYTES / 2**30:.0f} GiB: use `estimate`, which needs a few states a step"
        )
    return eqx.tree_at(
        lambda one: (one.inputs, one.length),
        problem,
        (problem.inputs[:steps], None),
        is_leaf=lambda leaf: leaf is None,
    )
