"""Many networks from two starts in one compiled program: growth of a tangent vector, and activity."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from attractor.cells import State, discretise, initial_state
from attractor.program import with_precision

from .networks import Family, family, networks_at
from .phase_plan import PhasePlan, PhaseSimulation

_ALIGNING = 4
"""One part in so many of the transient turns the tangent vector to the direction of fastest growth."""

Grown = tuple[State, State, Array, Array]
"""State, tangent vector, logarithm of its growth, and sum of mean squares of the activity."""


class Measured(NamedTuple):
    """What the points of a tile did.

    Args:
        growth: of the tangent vector per unit of time; NaN where the state left the finite numbers.
        variance: mean square of the activity over units and the last block.
    """

    growth: Float[np.ndarray, "points starts blocks"]
    variance: Float[np.ndarray, "points starts"]


class _How(NamedTuple):
    """All that the compiled program is made for; hashable."""

    axes: tuple[int | None, ...]
    others: tuple[Any, ...]
    structure: Any
    step: float
    method: str
    blocks: int
    block_steps: int
    transient_steps: int


def simulate_points(plan: PhasePlan, points: Float[np.ndarray, "points 2"], seed: int) -> Measured:
    """Follow every point of a tile from the large and from the small start.

    Args:
        plan: of the diagram.
        points: values of x and y.
        seed: of the couplings, the starts and the tangent vector.
    """
    flows = networks_at(plan.networks, [plan.values_at(point) for point in points], seed)
    starts = starts_of(flows[0], plan.simulation, seed)
    growth, variance, _ = follow(family(flows), starts, plan.simulation, every_start)
    return Measured(np.asarray(growth, np.float64), np.asarray(variance, np.float64))


def starts_of(flow: Any, simulation: PhaseSimulation, seed: int) -> tuple[State, State]:
    """The large and the small start, and their tangent vectors; both with a leading axis of two.

    All are normal numbers about the initial state of the flow.
    """
    own = initial_state(flow)
    direction, tangent = jax.random.split(jax.random.fold_in(jax.random.key(seed), 1))
    sizes = np.array([simulation.large, simulation.small], np.float32)
    drawn = _drawn(own, direction)
    states = jax.tree.map(lambda one, noise: np.stack([one + size * noise for size in sizes]), own, drawn)
    return states, jax.tree.map(lambda one: np.stack([one, one]), _drawn(own, tangent))


def _drawn(like: State, key: PRNGKeyArray) -> State:
    leaves, structure = jax.tree.flatten(like)
    keys = jax.random.split(key, len(leaves))
    pairs = zip(keys, leaves, strict=True)
    noise = [np.asarray(jax.random.normal(one, jnp.shape(leaf))) for one, leaf in pairs]
    return jax.tree.unflatten(structure, noise)


def follow(
    networks: Family, starts: tuple[State, State], simulation: PhaseSimulation, pairing: Callable[..., Any]
) -> tuple[Array, Array, State]:
    """Transient and blocks of many networks.

    Args:
        networks: of the points.
        starts: states and tangent vectors, with leading axes.
        simulation: steps, blocks, precision.
        pairing: which network begins where: `every_start`, or `one_start_each`.

    Returns:
        Growth of the tangent vector per unit of time in every block, mean square of the activity over the
        last block, and the last states; leading axes as the pairing has them.
    """
    with with_precision(double=simulation.precision == "float64"):
        kind = jnp.dtype(simulation.precision)
        leaves, begun = jax.tree.map(partial(_cast, kind=kind), (networks.leaves, starts))
        how = _How(
            *networks[1:],
            float(simulation.step),
            simulation.method,
            simulation.blocks,
            simulation.block_steps,
            simulation.transient_steps,
        )
        return _program(pairing)(how, leaves, *begun)


def _cast(leaf: Array | np.ndarray, kind: Any) -> np.ndarray:
    values = np.asarray(leaf)
    return values.astype(kind) if values.dtype.kind == "f" else values


@cache
def _program(pairing: Callable[..., Any]) -> Any:
    """The compiled program; on a CPU its products use one thread.

    Workers that share a machine then do not get into each other's way, and a sum is added in one order
    however many cores there are: a point has the same bits wherever it is computed.
    """
    options = {"xla_cpu_multi_thread_eigen": False} if jax.default_backend() == "cpu" else None
    return jax.jit(pairing, static_argnums=0, compiler_options=options)


def every_start(how: _How, leaves: list[Array], states: State, tangents: State) -> tuple[Array, Array, State]:
    """Every network from every start: leading axes (networks, starts)."""
    by_start = jax.vmap(partial(_one, how), in_axes=(None, 0, 0))
    return jax.vmap(by_start, in_axes=(list(how.axes), None, None))(leaves, states, tangents)


def one_start_each(
    how: _How, leaves: list[Array], states: State, tangents: State
) -> tuple[Array, Array, State]:
    """Every network from a start of its own: leading axis (networks,)."""
    return jax.vmap(partial(_one, how), in_axes=(list(how.axes), 0, 0))(leaves, states, tangents)


def _one(how: _How, leaves: list[Array], state: State, tangent: State) -> tuple[Array, Array, State]:
    flow = Family([], how.axes, how.others, how.structure).member(leaves)
    return _measured(how, flow, state, tangent)


def _measured(how: _How, flow: Any, state: State, tangent: State) -> tuple[Array, Array, State]:
    cell = discretise(flow, how.step, how.method)
    still = jnp.zeros(flow.input_size, jax.tree.leaves(state)[0].dtype)

    def move(state: State) -> State:
        return cell(still, state)

    def grow(_: Any, grown: Grown) -> Grown:
        state, tangent, growth, squares = grown
        state, tangent = jax.jvp(move, (state,), (tangent,))
        length = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(tangent)))
        tangent = jax.tree.map(lambda leaf: leaf / length, tangent)
        return state, tangent, growth + jnp.log(length), squares + mean_square(state)

    def block(carried: tuple[State, State], _: None) -> tuple[tuple[State, State], tuple[Array, Array]]:
        nothing = jnp.zeros((), still.dtype)
        grown = jax.lax.fori_loop(0, how.block_steps, grow, (*carried, nothing, nothing))
        return grown[:2], (grown[2] / (how.block_steps * how.step), grown[3] / how.block_steps)

    aligning = how.transient_steps // _ALIGNING
    state = jax.lax.fori_loop(0, how.transient_steps - aligning, lambda _, one: move(one), state)
    nothing = jnp.zeros((), still.dtype)
    grown = jax.lax.fori_loop(0, aligning, grow, (state, tangent, nothing, nothing))
    (state, _), (growth, squares) = jax.lax.scan(block, grown[:2], None, length=how.blocks)
    finite = jnp.isfinite(squares[-1]) & jnp.all(jnp.isfinite(growth))
    return jnp.where(finite, growth, jnp.nan), squares[-1], state


def mean_square(state: State) -> Float[Array, ""]:
    """<h^2> of a gated network, of all entries of any other state."""
    leaves = jax.tree.leaves(getattr(state, "activity", state))
    return jnp.mean(jnp.concatenate([jnp.ravel(leaf) for leaf in leaves]) ** 2)
