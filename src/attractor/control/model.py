"""The model that observers and controllers work with: a flat state, scaled signals, float64."""

from collections.abc import Sequence
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from attractor.cells import CellLike, State, input_size
from attractor.data import Scaling
from attractor.errors import ConfigError, InputDataError, ShapeError, UnsupportedError
from attractor.program import FlatMap, double_precision, flat_map, in_double_precision, unrounded
from attractor.program.digest import cell_identity

from .identification import PlantModel, PlantNetwork
from .identification.recordings import Signals

# What observers and controllers exchange, scaled: traced by JAX, and in NumPy between the samples.
StateArray = Float[Array, " states"]
InputArray = Float[Array, " inputs"]
OutputArray = Float[Array, " outputs"]
StateVector = Float[np.ndarray, " states"]
InputVector = Float[np.ndarray, " inputs"]
OutputVector = Float[np.ndarray, " outputs"]
Numbers = ArrayLike | Sequence[object]


class ControlModel(eqx.Module):
    """x_{k+1} = f(x_k, u_k), y_k = g(x_k), with x a vector whatever the state of the cell looks like.

    u and y are scaled: inputs to [-1, 1] over the training data, outputs to unit standard deviation. All
    arithmetic is in float64; call the methods inside `jax.enable_x64(True)`. A stack, an LSTM or a cell of
    the user's own has all its real and complex arrays in x, as `attractor.program.flat_map` orders them.

    Args:
        network: the network in float64.
    """

    network: PlantNetwork

    def step(self, state: StateArray, input: InputArray) -> StateArray:
        """f: the state after one sample under an input."""
        return self.flat.step(state, input)

    def output(self, state: StateArray) -> OutputArray:
        """g: what the sensors show in a state."""
        return self.network.read(self.restore(state))

    def restore(self, state: StateArray) -> State:
        """The state as the cell knows it."""
        return self.flat.restore(state)

    def start(self, inputs: Float[Array, "past inputs"], outputs: Float[Array, "past outputs"]) -> StateArray:
        """The state after past samples (its encoder, a measurable state, or a washout); none: at rest."""
        return self.flat.flatten(self.network.start(inputs, outputs))

    @property
    def flat(self) -> FlatMap:
        """The cell as a map of vectors, whose derivatives are those of what it does.

        Raises:
            UnsupportedError: a counter, flag or key of the state decides what the rest of it does.
        """
        return flat_map(unrounded(self.network.cell)).still("observers and controllers")

    @property
    def input_size(self) -> int:
        """Number of inputs."""
        return input_size(self.network.cell)

    @property
    def state_size(self) -> int:
        """Numbers in the state."""
        with double_precision():
            return self.flat.size

    @property
    def output_size(self) -> int:
        """Number of outputs."""
        with double_precision():
            state = jax.ShapeDtypeStruct((self.state_size,), jnp.float64)
            return jax.eval_shape(self.output, state).shape[0]


@dataclass(frozen=True)
class ModelCard:
    """What the numbers of a `ControlModel` mean.

    Args:
        signals: names and units of inputs and outputs, and the sampling time.
        inputs: scaling of the inputs.
        outputs: scaling of the outputs.
    """

    signals: Signals
    inputs: Scaling
    outputs: Scaling

    @property
    def sampling_time(self) -> float:
        """Seconds from one sample to the next."""
        return self.signals.sampling_time


def control_model(model: PlantModel, replica: int | None = None) -> tuple[ControlModel, ModelCard]:
    """The network of an identified model in float64, and what its signals mean.

    Args:
        model: a fitted model.
        replica: which seed; the chosen one by default.

    Raises:
        UnsupportedError: an input acts on the output of the same sample, so that no measurement is there
            before the input must be chosen.
    """
    network = model.network(replica)
    if network.feedthrough:
        raise UnsupportedError(
            "in this model an input acts on the output of the same sample (feedthrough); a controller cannot "
            "measure before it acts. Give the same `attractor identify` command with `--feedthrough shift` "
            "(feedthrough='shift'), which takes the output of a row to be measured after its input acted, "
            "or with `--feedthrough False`, if the plant has none"
        )
    with double_precision():
        return ControlModel(in_double_precision(network)), card_of(model)


def card_of(model: PlantModel) -> ModelCard:
    """What the signals of an identified model mean."""
    return ModelCard(model.signals_, model.input_scaling_, model.output_scaling_)


def from_network(cell: CellLike, weight: Numbers, bias: Numbers) -> ControlModel:
    """A control model from a cell and a linear read-out y = C h(x) + c, for work without a recording.

    Args:
        cell: any cell.
        weight: C, shape (outputs, exposed).
        bias: c, shape (outputs,).
    """
    weight, bias = np.asarray(weight, float), np.asarray(bias, float)
    with double_precision():
        readout = eqx.nn.Linear(weight.shape[1], weight.shape[0], key=jax.random.key(0))
        pair = jnp.asarray(weight), jnp.asarray(bias)
        readout = eqx.tree_at(lambda linear: (linear.weight, linear.bias), readout, pair)
        return ControlModel(in_double_precision(PlantNetwork(cell, readout, None, feedthrough=False)))


def check_certificate(certificate: object, cell: CellLike) -> None:
    """Refuse a certificate of another cell, or of other weights; one made by hand does not name its cell.

    Args:
        certificate: any object; one of `attractor.certify` knows what it is about.
        cell: the cell that it is used with.

    Raises:
        ConfigError: it speaks of something else.
    """
    about = getattr(certificate, "about", "")
    if about and about != cell_identity(cell):
        raise ConfigError(
            f"the certificate speaks of another cell, or of other weights ({about[:12]}): certify the cell "
            "of this model, or leave the certificate out"
        )


def vector(name: str, values: ArrayLike, size: int, *, finite: bool = True) -> Float[np.ndarray, " size"]:
    """Numbers as a float64 vector.

    Args:
        name: what a message calls them.
        values: the numbers.
        size: how many there must be.
        finite: whether NaN and infinity are refused.

    Raises:
        ShapeError: another number of values.
        InputDataError: a value is not finite.
    """
    array = np.asarray(values, np.float64)
    if array.shape != (size,):
        raise ShapeError(f"the {name} has shape {array.shape}; expected ({size},)")
    if finite and not np.isfinite(array).all():
        raise InputDataError(f"the {name} holds values that are not finite: {array}; give finite numbers")
    return array
