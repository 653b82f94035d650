"""What simulation shows beside a certificate: how fast pairs of trajectories really meet."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attractor.program import FlatMap, double_precision, flat_map

from .certificate import Certificate

PAIRS = 60


class Contraction(NamedTuple):
    """Distances of simulated pairs in the norm of a certificate, each relative to its own start.

    Args:
        largest: of all pairs, shape (steps + 1,).
        typical: median of all pairs, shape (steps + 1,).
    """

    largest: Float[np.ndarray, " steps"]
    typical: Float[np.ndarray, " steps"]


def simulated_contraction(cell: Any, certificate: Certificate, steps: int, seed: int = 0) -> Contraction:
    """Run pairs of trajectories from the certified box under common random inputs that hold for a while.

    Distances are in the norm of the certificate, see `Certificate.distance`.

    Args:
        cell: the cell of the certificate.
        certificate: its box, norm and input bound are used.
        steps: how long to run.
        seed: starts and inputs follow from it.
    """
    generator = np.random.default_rng(seed)
    low, high = (np.clip(end, -1e3, 1e3) for end in (certificate.low, certificate.high))
    starts = generator.uniform(low, high, (2, PAIRS, len(low)))
    bound = certificate.input_bound
    levels = generator.uniform(-bound, bound, (PAIRS, steps // 10 + 1, len(bound)))
    inputs = levels.repeat(10, axis=1)[:, :steps]
    with double_precision():
        flat = flat_map(cell).still("certificates", constants=False)
        first, second = jnp.asarray(starts)
        differences = _differences(flat, first, second, jnp.asarray(inputs))
        distances = certificate.distance(np.asarray(differences))
    relative = distances / np.maximum(distances[:, :1], 1e-300)
    return Contraction(relative.max(axis=0), np.median(relative, axis=0))


@eqx.filter_jit
def _differences(flat: FlatMap, first: Array, second: Array, inputs: Array) -> Array:
    def run(one: Array, other: Array, given: Array) -> Array:
        def step(pair: tuple[Array, Array], row: Array) -> tuple[tuple[Array, Array], Array]:
            new = flat.step(pair[0], row), flat.step(pair[1], row)
            return new, new[0] - new[1]

        _, rest = jax.lax.scan(step, (one, other), given)
        return jnp.concatenate([(one - other)[None], rest])

    return jax.vmap(run)(first, second, inputs)
