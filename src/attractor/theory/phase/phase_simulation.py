"""Many networks from two starts in one compiled program: growth of a tangent vector, and activity."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cache, partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from attractor.cells import CellLike, GatedFlow, GatedForm, State, discretise, initial_state
from attractor.errors import ConfigError
from attractor.program import with_precision

from .phase_plan import Networks, PhasePlan, PhaseSimulation, with_values

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
# One part in so many of the transient turns the tangent vector to the direction of fastest growth.
_ALIGNING = 4

# State, tangent vector, logarithm of its growth, and sum of mean squares of the activity.
Grown = tuple[State, State, Array, Array]


class Family(NamedTuple):
    """Networks that differ in some leaves.

    Args:
        leaves: what is the same in all of them as it is, what differs with a leading axis.
        axes: None for a leaf that all share, else 0, in the order of the leaves.
        others: leaves that are no numbers, None for those that are.
        structure: of the whole.
    """

    leaves: list[np.ndarray]
    axes: tuple[int | None, ...]
    others: tuple[Any, ...]
    structure: Any

    def member(self, leaves: Sequence[ArrayLike]) -> CellLike:
        """The network with these leaves."""
        numbers = iter(leaves)
        filled = [next(numbers) if other is None else other for other in self.others]
        return jax.tree.unflatten(self.structure, filled)


def family(flows: Sequence[CellLike]) -> Family:
    """Networks of one structure as one family; random couplings that are equal are held once.

    Args:
        flows: at least one.

    Raises:
        ConfigError: they differ in more than numbers.
    """
    structures = [jax.tree.structure(flow) for flow in flows]
    columns = list(zip(*map(jax.tree.leaves, flows), strict=True)) if len(set(structures)) == 1 else None
    if columns is None:
        raise ConfigError(
            "build: networks of different structure; make every parameter that changes an array leaf"
        )
    leaves, axes, others = [], [], []
    for column in columns:
        if not _is_number(column[0]):
            _check_same(column)
            others.append(column[0])
            continue
        others.append(None)
        shared = all(one is column[0] or np.array_equal(one, column[0]) for one in column[1:])
        _check_shapes(column)
        leaves.append(np.asarray(column[0]) if shared else np.stack([np.asarray(one) for one in column]))
        axes.append(None if shared else 0)
    return Family(leaves, tuple(axes), tuple(others), structures[0])


def _is_number(leaf: object) -> bool:
    return eqx.is_array_like(leaf) and not isinstance(leaf, int | bool)


def _check_same(column: Sequence[object]) -> None:
    if any(one != column[0] for one in column[1:]):
        raise ConfigError(
            f"build: a leaf is {column[0]!r} in one network and another in the next; make it an array"
        )


def _check_shapes(column: Sequence[ArrayLike]) -> None:
    shapes = {np.shape(one) for one in column}
    if len(shapes) > 1:
        raise ConfigError(
            f"build: a leaf has the shapes {sorted(shapes)}; networks of one diagram have one size"
        )


def networks_at(networks: Networks, points: Sequence[Mapping[str, float]], seed: int) -> list[CellLike]:
    """The network of every point, all with the random couplings of one seed.

    They are drawn in float32 whatever the arithmetic of the simulation, so that both see one network.

    Args:
        networks: to choose from.
        points: values by name.
        seed: draws the couplings.

    Raises:
        ConfigError: `build` gives something that is no flow.
    """
    key = jax.random.key(seed)
    if networks.build is None:
        base = GatedFlow(0, networks.size, form=networks.form, key=key)
        return [_reformed(base, with_values(networks.form, values)) for values in points]
    flows = [networks.build(dict(values), key) for values in points]
    if not hasattr(flows[0], "vector_field"):
        raise ConfigError(
            f"build: it gives {type(flows[0]).__name__}, which has no `vector_field`; return a Flow"
        )
    return flows


def _reformed(flow: GatedFlow, form: GatedForm) -> GatedFlow:
    """The same couplings with other gains, biases and time constants."""
    selectors, numbers = [lambda f: f.gain, lambda f: f.bias], [form.gain, form.bias]
    for gate in ("update", "reset"):
        if getattr(flow, f"{gate}_gate") is None:
            continue
        for leaf in ("gain", "bias", "log_time"):
            selectors.append(lambda f, gate=gate, leaf=leaf: getattr(getattr(f, f"{gate}_gate"), leaf))
        numbers += [getattr(form, f"{gate}_gain"), getattr(form, f"{gate}_bias")]
        numbers.append(np.log(getattr(form, f"{gate}_time")))
    old = [selector(flow) for selector in selectors]
    new = [np.full(leaf.shape, number, leaf.dtype) for leaf, number in zip(old, numbers, strict=True)]
    return eqx.tree_at(lambda f: [selector(f) for selector in selectors], flow, new)


def plan_facts(plan: PhasePlan) -> dict[str, object]:
    """The plan as plain words and numbers."""
    return {
        "x": asdict(plan.x),
        "y": asdict(plan.y),
        "network": plan.network,
        "form": asdict(plan.form) if plan.build is None else None,
        "size": plan.size if plan.build is None else None,
        "simulation": {**asdict(plan.simulation), "seeds": list(plan.simulation.seeds)},
        "tile": plan.tile,
    }


def plan_hash(plan: PhasePlan) -> str:
    """A name of what is computed: equal plans have equal ones, whoever made them.

    It covers the settings, and the equations and numbers of the networks in the four corners, so that a
    `build` that changed is noticed.
    """
    digest = hashlib.sha256(json.dumps(plan_facts(plan), sort_keys=True).encode())
    corners = [
        plan.values_at(np.array([x, y])) for x in (plan.x.low, plan.x.high) for y in (plan.y.low, plan.y.high)
    ]
    for flow in networks_at(plan.networks, corners, plan.simulation.seeds[0]):
        digest.update(_equations(flow).encode())
        for leaf in filter(_is_number, jax.tree.leaves(flow)):
            digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()


def _equations(flow: CellLike) -> str:
    """The vector field as JAX understands it, without addresses in memory."""
    field = jax.make_jaxpr(flow.vector_field)(jnp.zeros(flow.input_size), initial_state(flow))
    return _ADDRESS.sub("", str(field))


class Measured(NamedTuple):
    """What the points of a tile did.

    Args:
        growth: of the tangent vector per unit of time; NaN where the state left the finite numbers.
        variance: mean square of the activity over units and the last block.
    """

    growth: Float[np.ndarray, "points starts blocks"]
    variance: Float[np.ndarray, "points starts"]


# Which network begins where: `every_start` or `one_start_each`.
Pairing = Callable[..., tuple[Array, Array, State]]


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


def starts_of(flow: CellLike, simulation: PhaseSimulation, seed: int) -> tuple[State, State]:
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
    networks: Family, starts: tuple[State, State], simulation: PhaseSimulation, pairing: Pairing
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


def _cast(leaf: Array | np.ndarray, kind: np.dtype) -> np.ndarray:
    values = np.asarray(leaf)
    return values.astype(kind) if values.dtype.kind == "f" else values


@cache
def _program(pairing: Pairing) -> Any:
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


def _measured(how: _How, flow: CellLike, state: State, tangent: State) -> tuple[Array, Array, State]:
    cell = discretise(flow, how.step, how.method)
    still = jnp.zeros(flow.input_size, jax.tree.leaves(state)[0].dtype)

    def move(state: State) -> State:
        return cell(still, state)

    def grow(_: Array, grown: Grown) -> Grown:
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
