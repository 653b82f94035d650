"""Many networks from two starts in one compiled program: growth of a tangent vector, and activity."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache, partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from attractor.cells import FlowLike, GatedFlow, GatedForm, State, discretise, initial_state
from attractor.errors import ConfigError
from attractor.program import with_precision
from attractor.sweeps import Arrays

from .phase_plan import Networks, PhasePlan, PhaseSimulation

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
# One part in so many of the transient turns the tangent vector to the direction of fastest growth.
_ALIGNING = 4

# State, tangent vector, logarithm of its growth, and sum of mean squares of the activity.
Grown = tuple[State, State, Array, Array]


class Family(NamedTuple):
    """Networks that differ in some numbers.

    Args:
        numbers: a network of arrays, those that differ with a leading axis; None for what is no number.
        axes: the same network with 0 for arrays that differ, None for those that all share.
        others: the same network with what is no number.
        members: how many networks; they may all be the same, as in a tile that repeats its only point.
    """

    numbers: PyTree
    axes: PyTree
    others: PyTree
    members: int

    def member(self, numbers: PyTree) -> FlowLike:
        """The network with these numbers."""
        return eqx.combine(numbers, self.others)

    def some(self, indices: list[int]) -> "Family":
        """A part of the networks."""

        def chosen(axis: int | None, array: np.ndarray | None) -> np.ndarray | None:
            return array if axis is None or array is None else array[indices]

        numbers = jax.tree.map(chosen, self.axes, self.numbers, is_leaf=_is_none)
        return self._replace(numbers=numbers, members=len(indices))


def _is_none(leaf: object) -> bool:
    return leaf is None


def family(flows: Sequence[object]) -> Family:
    """Networks of one structure as one family; random couplings that are equal are held once.

    Args:
        flows: at least one.

    Raises:
        ConfigError: they differ in more than numbers.
    """
    if len({jax.tree.structure(flow) for flow in flows}) > 1:
        raise ConfigError(
            "build: networks of different structure; make every parameter that changes an array leaf"
        )
    numbers, others = zip(*(eqx.partition(flow, _is_number) for flow in flows), strict=True)
    for first, *rest in zip(*map(jax.tree.leaves, others), strict=True):
        if any(one != first for one in rest):
            raise ConfigError(
                f"build: a leaf is {first!r} in one network and another in the next; make it an array"
            )
    axes = jax.tree.map(_axis, *numbers)
    return Family(jax.tree.map(_joined, *numbers), axes, others[0], len(flows))


def _is_number(leaf: object) -> bool:
    return eqx.is_array_like(leaf) and not isinstance(leaf, int | bool)


def _axis(first: ArrayLike, *rest: ArrayLike) -> int | None:
    """Along which axis of the joined array the networks lie; None where they share one."""
    shapes = {np.shape(one) for one in (first, *rest)}
    if len(shapes) > 1:
        raise ConfigError(
            f"build: a leaf has the shapes {sorted(shapes)}; networks of one diagram have one size"
        )
    return None if all(one is first or np.array_equal(one, first) for one in rest) else 0


def _joined(*column: ArrayLike) -> np.ndarray:
    return np.asarray(column[0]) if _axis(*column) is None else np.stack([np.asarray(one) for one in column])


def networks_at(networks: Networks, points: Sequence[Mapping[str, float]], seed: int) -> Sequence[FlowLike]:
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
        return [_reformed(base, replace(networks.form, **values)) for values in points]
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


def _equations(flow: FlowLike) -> str:
    """The vector field as JAX understands it, without addresses in memory."""
    field = jax.make_jaxpr(flow.vector_field)(jnp.zeros(flow.input_size), initial_state(flow))
    return _ADDRESS.sub("", str(field))


# Which network begins where: `every_start` or `one_start_each`.
Pairing = Callable[..., tuple[Array, Array, Array, State]]


def simulate_points(plan: PhasePlan, points: Float[np.ndarray, "points 2"], seed: int) -> Arrays:
    """Follow every point of a tile from the large and from the small start.

    Args:
        plan: of the diagram.
        points: values of x and y.
        seed: of the couplings, the starts and the tangent vector.

    Returns:
        "growth", of the tangent vector per unit of time, shape (points, starts, blocks), NaN where the state
        left the finite numbers; "variance", mean square of the activity over units and the last block, and
        "change", the root mean square change of the state in one more step, both of shape (points, starts).
    """
    flows = networks_at(plan.networks, [plan.values_at(point) for point in points], seed)
    starts = starts_of(flows[0], plan.simulation, seed)
    growth, variance, change, _ = follow(family(flows), starts, plan.simulation, every_start)
    found = {"growth": growth, "variance": variance, "change": change}
    return {name: np.asarray(one, np.float64) for name, one in found.items()}


def starts_of(flow: FlowLike, simulation: PhaseSimulation, seed: int) -> tuple[State, State]:
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
) -> tuple[Array, Array, Array, State]:
    """Transient and blocks of many networks.

    Args:
        networks: of the points.
        starts: states and tangent vectors, with leading axes.
        simulation: steps, blocks, precision.
        pairing: which network begins where: `every_start`, or `one_start_each`.

    Returns:
        Growth of the tangent vector per unit of time in every block, mean square of the activity over the
        last block, the root mean square change in one more step, and the last states; leading axes as the
        pairing has them.
    """
    with with_precision(double=simulation.precision == "float64"):
        kind = jnp.dtype(simulation.precision)
        numbers, begun = jax.tree.map(partial(_cast, kind=kind), (networks.numbers, starts))
        return _program(pairing)(networks._replace(numbers=numbers), simulation, *begun)


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
    jitted: Any = eqx.filter_jit  # hands further options on to `jax.jit`, which its type does not show
    return jitted(pairing, compiler_options=options)


def every_start(
    networks: Family, simulation: PhaseSimulation, states: State, tangents: State
) -> tuple[Array, Array, Array, State]:
    """Every network from every start: leading axes (networks, starts)."""

    def one(numbers: PyTree) -> tuple[Array, Array, Array, State]:
        return jax.vmap(partial(_measured, simulation, networks.member(numbers)))(states, tangents)

    return jax.vmap(one, in_axes=(networks.axes,), axis_size=networks.members)(networks.numbers)


def one_start_each(
    networks: Family, simulation: PhaseSimulation, states: State, tangents: State
) -> tuple[Array, Array, Array, State]:
    """Every network from a start of its own: leading axis (networks,)."""

    def one(numbers: PyTree, state: State, tangent: State) -> tuple[Array, Array, Array, State]:
        return _measured(simulation, networks.member(numbers), state, tangent)

    over = jax.vmap(one, in_axes=(networks.axes, 0, 0), axis_size=networks.members)
    return over(networks.numbers, states, tangents)


def _measured(
    how: PhaseSimulation, flow: FlowLike, state: State, tangent: State
) -> tuple[Array, Array, Array, State]:
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
    return jnp.where(finite, growth, jnp.nan), squares[-1], _change(state, move(state)), state


def _change(state: State, after: State) -> Float[Array, ""]:
    """Root mean square over all entries."""
    squares = jax.tree.map(lambda one, other: jnp.ravel(one - other) ** 2, state, after)
    return jnp.sqrt(jnp.mean(jnp.concatenate(jax.tree.leaves(squares))))


def mean_square(state: State) -> Float[Array, ""]:
    """<h^2> of a gated network, of all entries of any other state."""
    leaves = jax.tree.leaves(getattr(state, "activity", state))
    return jnp.mean(jnp.concatenate([jnp.ravel(leaf) for leaf in leaves]) ** 2)
