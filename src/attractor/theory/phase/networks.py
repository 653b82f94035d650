"""The networks of many points of a diagram, as one family that a single compiled program runs."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from attractor.cells import GatedFlow, GatedForm, initial_state
from attractor.errors import ConfigError

from .parameter_names import with_values
from .phase_plan import Networks, PhasePlan

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


class Family(NamedTuple):
    """Networks that differ in some leaves.

    Args:
        leaves: what is the same in all of them as it is, what differs with a leading axis.
        axes: None for a leaf that all share, else 0, in the order of the leaves.
        others: leaves that are no numbers, None in place of those that are.
        structure: of the whole.
    """

    leaves: list[np.ndarray]
    axes: tuple[int | None, ...]
    others: tuple[Any, ...]
    structure: Any

    def member(self, leaves: Sequence[Any]) -> Any:
        """The network with these leaves."""
        numbers = iter(leaves)
        filled = [next(numbers) if other is None else other for other in self.others]
        return jax.tree.unflatten(self.structure, filled)


def family(flows: Sequence[Any]) -> Family:
    """Networks of one structure as one family; random couplings that are equal are held once.

    Args:
        flows: at least one.

    Raises:
        ConfigError: they differ in more than numbers.
    """
    structures = [jax.tree.structure(flow) for flow in flows]
    columns = list(zip(*map(jax.tree.leaves, flows), strict=True)) if len(set(structures)) == 1 else None
    if columns is None:
        message = "build: networks of different structure; make every parameter that changes an array leaf"
        raise ConfigError(message)
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


def _is_number(leaf: Any) -> bool:
    return eqx.is_array_like(leaf) and not isinstance(leaf, int | bool)


def _check_same(column: Sequence[Any]) -> None:
    if any(one != column[0] for one in column[1:]):
        message = f"build: a leaf is {column[0]!r} in one network and another in the next; make it an array"
        raise ConfigError(message)


def _check_shapes(column: Sequence[Any]) -> None:
    shapes = {np.shape(one) for one in column}
    if len(shapes) > 1:
        message = f"build: a leaf has the shapes {sorted(shapes)}; networks of one diagram have one size"
        raise ConfigError(message)


def networks_at(networks: Networks, points: Sequence[Mapping[str, float]], seed: int) -> list[Any]:
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
        message = f"build: it gives {type(flows[0]).__name__}, which has no `vector_field`; return a Flow"
        raise ConfigError(message)
    return flows


def _reformed(flow: GatedFlow, form: GatedForm) -> GatedFlow:
    """The same couplings with other gains, biases and time constants."""
    places, numbers = [lambda f: f.gain, lambda f: f.bias], [form.gain, form.bias]
    for gate in ("update", "reset"):
        if getattr(flow, f"{gate}_gate") is None:
            continue
        for leaf in ("gain", "bias", "log_time"):
            places.append(lambda f, gate=gate, leaf=leaf: getattr(getattr(f, f"{gate}_gate"), leaf))
        numbers += [getattr(form, f"{gate}_gain"), getattr(form, f"{gate}_bias")]
        numbers.append(np.log(getattr(form, f"{gate}_time")))
    old = [place(flow) for place in places]
    new = [np.full(leaf.shape, number, leaf.dtype) for leaf, number in zip(old, numbers, strict=True)]
    return eqx.tree_at(lambda f: [place(f) for place in places], flow, new)


def plan_facts(plan: PhasePlan) -> dict[str, Any]:
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


def _equations(flow: Any) -> str:
    """The vector field as JAX understands it, without addresses in memory."""
    field = jax.make_jaxpr(flow.vector_field)(jnp.zeros(flow.input_size), initial_state(flow))
    return _ADDRESS.sub("", str(field))
