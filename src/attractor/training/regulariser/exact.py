"""P and Q exactly, along the path without noise.

Forwards runs the covariance that noise builds up in the state, and how far it shifts its mean
(`forward_moments`); backwards runs the Hessian of the loss in every state, which tells at which step noise
costs most (`fragility`). Both work in flat coordinates.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float

from attractor.cells import State, exposed, initial_state
from attractor.errors import ConfigError, ShapeError, UnsupportedError
from attractor.program import compiled, hessian_before, layout_of
from attractor.scan import unroll
from attractor.shown import at_prompt, in_notebook
from attractor.training.noise import floating, with_floating

from .problem import Derivatives, NoiseProblem, NoiseTerms, check_real, require_second_derivatives

MOST_BYTES = 1 << 31
"""What an exact form may need before it is refused."""


class Path(NamedTuple):
    """A run without noise, h_0 ... h_M, in flat coordinates: all floating arrays of the state in one vector.

    Args:
        before: input and whole old state of every step, leading axis M.
        starts: h_0 ... h_{M-1}, shape (M, units).
        deviations: of what is added to h_1 ... h_M, shape (M, units).
        common: whether one number disturbs all units of a step.
        step: (input and old state, h) -> next h.
        ends: whole new state of every step, leading axis M.
        last: h_M.
        loss: of a vector in place of h_M.
    """

    before: tuple[Array, State]
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

    def step(at: tuple[Array, State], vector: Array) -> Array:
        old = restored(at[1], vector)
        return flat(diffusion.mean(old, cell(at[0], old)))

    def deviation(input: Array, old: State) -> Array:
        return flat(diffusion.deviation(cell, input, old, cell(input, old)))

    return Path(
        before=(problem.inputs, before),
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
            f"more than {MOST_BYTES / 2**30:.0f} GiB: use `estimate`, which needs a few states per step"
        )
    return eqx.tree_at(
        lambda one: (one.inputs, one.length),
        problem,
        (problem.inputs[:steps], None),
        is_leaf=lambda leaf: leaf is None,
    )


class ForecastTube(NamedTuple):
    """What noise of size eps does to the states h_1 ... h_M, to second order and without sampling.

    Covariances and shifts are for eps = 1 and grow with eps^2, deviations with eps. In flat coordinates all
    floating arrays of a state stand in one vector, in the order of `jax.tree.leaves`.

    Args:
        terms: loss, P and Q of the last state.
        covariance: S, shape (M, units, units), in flat coordinates.
        shift: mu, of the mean of the state, shape (M, units), in flat coordinates; zeros without curvature.
        exposed_deviation: of what the cell exposes, shape (M, exposed): half the width of an error bar.
        exposed_shift: of the mean of what the cell exposes, shape (M, exposed); zeros without curvature.
    """

    terms: NoiseTerms
    covariance: Float[Array, "steps units units"]
    shift: Float[Array, "steps units"]
    exposed_deviation: Float[Array, "steps exposed"]
    exposed_shift: Float[Array, "steps exposed"]

    def __repr__(self) -> str:
        return at_prompt(self)

    def _repr_html_(self) -> str:
        return in_notebook(self)


def forward_moments(problem: NoiseProblem, *, curvature: bool = True) -> ForecastTube:
    """P and Q exactly, by moments that run forwards with the states.

    S' = J S J' + s s', mu' = J mu + f_hh[S] / 2 from zero, with J and f_hh the derivatives of a step on the
    path without noise and s the deviation of its noise; then P = tr(G S) and Q = 2 g' mu at the end, with the
    gradient g and the Hessian G of the loss. Work grows as steps * units^3; run it inside
    `jax.enable_x64(True)` with a problem from `program.trace.in_double_precision` for 15 digits.

    Args:
        problem: one sequence; its length must be known.
        curvature: with Q and shifts, which need second derivatives of the step.

    Raises:
        ConfigError: too large, Q of a step without second derivatives, or no noise.
        ShapeError: no valid step.
        UnsupportedError: a state with complex numbers.
    """
    if curvature:
        require_second_derivatives(problem)
    problem = affordable(problem, lambda steps, units: (steps + 16) * units**2)
    return _forward(problem, curvature)


@compiled
def _forward(problem: NoiseProblem, curvature: bool) -> ForecastTube:
    path = follow(problem)
    units = len(path.last)

    def advance(carry: tuple[Array, Array], slice_: tuple) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        spread, shift = carry
        at, start, deviation = slice_

        def step(vector: Array) -> Array:
            return path.step(at, vector)

        slope, source = jax.jacfwd(step)(start), path.directions(deviation)
        bend = bent_by(step, start, spread) / 2 if curvature else 0
        new = slope @ spread @ slope.T + source @ source.T, slope @ shift + bend
        return new, new

    zeros = jnp.zeros((units, units), path.last.dtype), jnp.zeros_like(path.last)
    (spread, shift), (spreads, shifts) = jax.lax.scan(
        advance, zeros, (path.before, path.starts, path.deviations)
    )
    gradient, hessian = jax.grad(path.loss)(path.last), jax.hessian(path.loss)(path.last)
    terms = NoiseTerms(
        path.loss(path.last), jnp.vdot(hessian, spread), 2 * gradient @ shift if curvature else None
    )
    return ForecastTube(terms, spreads, shifts, *_exposed(problem, path, spreads, shifts, curvature))


def bent_by(
    function: Callable[[Array], Array], at: Float[Array, " units"], spread: Float[Array, "units units"]
) -> Array:
    """The vector f_hh[S] = sum_ij S_ij d2f / dh_i dh_j, without the array of all second derivatives."""

    def one(unit: Array, column: Array) -> Array:
        return jax.jvp(lambda at: jax.jvp(function, (at,), (column,))[1], (at,), (unit,))[1]

    return jax.vmap(one)(jnp.eye(len(at), dtype=at.dtype), spread).sum(axis=0)


def _exposed(
    problem: NoiseProblem, path: Path, spreads: Array, shifts: Array, curvature: bool
) -> tuple[Array, Array]:
    """Deviation and shift of what the cell exposes after every step."""

    def one(slice_: tuple) -> tuple[Array, Array]:
        state, spread, shift = slice_
        at = flat(state)

        def show(vector: Array) -> Array:
            return exposed(problem.cell, restored(state, vector))

        slope = jax.jacfwd(show)(at)
        variance = jnp.einsum("ei,ij,ej->e", slope, spread, slope)
        moved = slope @ shift + bent_by(show, at, spread) / 2 if curvature else jnp.zeros_like(variance)
        return jnp.sqrt(jnp.maximum(variance, 0)), moved

    return jax.lax.map(one, (path.ends, spreads, shifts))


class Fragility(NamedTuple):
    """How much noise at each step adds to the loss, and how the loss bends in the states.

    Args:
        loss: without noise.
        profile: tr(s' R s) of every step, shape (M,); what noise of size eps in that step alone adds to the
            loss is eps^2 / 2 times it, and the sum over all steps is P + Q.
        trace: of R, the Hessian of the loss in the state after the step, shape (M,).
        largest: eigenvalue of R, the algebraically largest, shape (M,).
    """

    loss: Float[Array, ""]
    profile: Float[Array, " steps"]
    trace: Float[Array, " steps"]
    largest: Float[Array, " steps"]

    @property
    def total(self) -> Float[Array, ""]:
        """P + Q; P alone without curvature."""
        return self.profile.sum()

    def __repr__(self) -> str:
        return at_prompt(self)

    def _repr_html_(self) -> str:
        return in_notebook(self)


def fragility(problem: NoiseProblem, *, curvature: bool = True) -> Fragility:
    """P + Q exactly and by steps, with the Hessian R of the loss in every state running backwards.

    R = G and l = g at the end; before a step with derivatives J and f_hh they are J' R J + l . f_hh and J' l.
    Work grows as steps * units^3.

    Args:
        problem: one sequence; its length must be known.
        curvature: with the second derivatives of the steps; without them R is that of Gauss and Newton and
            the profile adds up to P.

    Raises:
        ConfigError: too large, curvature of a step without second derivatives, or no noise.
        ShapeError: no valid step.
        UnsupportedError: a state with complex numbers.
    """
    if curvature:
        require_second_derivatives(problem)
    return _backward(affordable(problem, lambda steps, units: 4 * steps * units + 24 * units**2), curvature)


@compiled
def _backward(problem: NoiseProblem, curvature: bool) -> Fragility:
    path = follow(problem)

    def retreat(carry: tuple[Array, Array], slice_: tuple) -> tuple[tuple[Array, Array], tuple[Array, ...]]:
        bend = carry[1]
        at, start, deviation = slice_
        source = path.directions(deviation)
        report = jnp.vdot(source, bend @ source), jnp.trace(bend), jnp.linalg.eigvalsh(bend)[-1]

        def step(vector: Array) -> Array:
            return path.step(at, vector)

        return hessian_before(step, start, carry, curvature=curvature), report

    end = jax.grad(path.loss)(path.last), jax.hessian(path.loss)(path.last)
    slices = (path.before, path.starts, path.deviations)
    _, reports = jax.lax.scan(retreat, end, slices, reverse=True)
    return Fragility(path.loss(path.last), *reports)
