"""Where a model comes to rest: its static gain, input by input."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attractor.cells import initial_state
from attractor.data import Signal
from attractor.program import compiled, single_precision

from .plant_model import PlantModel
from .plant_network import PlantNetwork

LEVELS = 41
HOLD = 2000
_AT_REST = 1e-3


@dataclass(frozen=True)
class SteadyMap:
    """Outputs at rest while one input is held at each of several levels, the others at mid range.

    Args:
        input: the input that is moved.
        levels: its values, engineering units.
        outputs: the outputs at rest, engineering units; NaN where the model did not come to rest.
    """

    input: Signal
    levels: Float[np.ndarray, " levels"]
    outputs: Float[np.ndarray, "levels outputs"]


@single_precision()
def steady_maps(model: PlantModel) -> list[SteadyMap]:
    """The steady-state map of every input over the range of the training data.

    The model is held for 2000 steps at each level; it counts as at rest when its outputs moved by less than
    a thousandth of their spread over the last tenth.
    """
    count = len(model.signals_.inputs)
    network = model.network()
    maps = []
    for index, signal in enumerate(model.signals_.inputs):
        scaled = np.zeros((LEVELS, count))
        scaled[:, index] = np.linspace(-1, 1, LEVELS)
        late = np.asarray(_hold(network, jnp.asarray(scaled, jnp.float32)), float)
        resting = np.ptp(late, axis=1) < _AT_REST
        outputs = np.where(resting, model.output_scaling_.to_engineering(late[:, -1]), np.nan)
        maps.append(SteadyMap(signal, model.input_scaling_.to_engineering(scaled)[:, index], outputs))
    return maps


@compiled
def _hold(
    network: PlantNetwork, levels: Float[Array, "levels inputs"]
) -> Float[Array, "levels late outputs"]:
    """Outputs over the last tenth of a long hold."""

    def one(level: Float[Array, " inputs"]) -> Float[Array, "late outputs"]:
        steps = jnp.broadcast_to(level, (HOLD, len(level)))
        outputs, _ = network(steps, initial_state(network.cell))
        return outputs[-HOLD // 10 :]

    return jax.vmap(one)(levels)
