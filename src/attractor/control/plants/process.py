"""What a closed loop asks of a plant, whoever wrote it; plants are matched to a model by names of signals."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from attractor.control.identification.recordings import Signals
from attractor.data import Signal
from attractor.errors import ConfigError, InputDataError
from attractor.program import double_precision

from .plant import Plant, advance, equations_of, steady_state

Inputs = Float[np.ndarray, " inputs"]
Outputs = Float[np.ndarray, " outputs"]
Disturbances = Float[np.ndarray, " disturbances"]
Levels = Sequence[float | int] | np.ndarray


@runtime_checkable
class Process(Protocol):
    """A plant that runs sample by sample, in its engineering units."""

    @property
    def inputs(self) -> tuple[Signal, ...]:
        """The signals a controller may move."""
        ...

    @property
    def outputs(self) -> tuple[Signal, ...]:
        """The signals a sensor measures."""
        ...

    @property
    def disturbances(self) -> tuple[Signal, ...]:
        """What nature moves, possibly nothing."""
        ...

    @property
    def input_low(self) -> Levels | None:
        """Smallest inputs; None where the plant states none."""
        ...

    @property
    def input_high(self) -> Levels | None:
        """Largest inputs; None where the plant states none."""
        ...

    @property
    def nominal_inputs(self) -> Levels:
        """Applied before the loop begins."""
        ...

    @property
    def nominal_disturbances(self) -> tuple[float, ...] | np.ndarray:
        """Those of an ordinary day."""
        ...

    @property
    def measurement_noise(self) -> Levels:
        """Usual standard deviation of the noise on every output."""
        ...

    @property
    def rests(self) -> bool:
        """Whether it begins at rest under the inputs applied until then."""
        ...

    @property
    def remarks(self) -> tuple[str, ...]:
        """What was assumed of the plant because it does not say so, in sentences."""
        ...

    def begin(self, inputs: Inputs, disturbances: Disturbances) -> None:
        """Go to where a loop begins, with these inputs applied until then."""
        ...

    def measure(self) -> Outputs:
        """What sensors without noise show now."""
        ...

    def advance(self, inputs: Inputs, disturbances: Disturbances) -> None:
        """Go on for one sample of constant inputs and disturbances."""
        ...


class SimulatedPlant:
    """A `Plant` of differential equations, solved from sample to sample; it begins at rest.

    Args:
        plant: the equations.
        interval: seconds of one sample.
    """

    remarks: tuple[str, ...] = ()
    rests = True

    def __init__(self, plant: Plant, interval: float) -> None:
        self.inputs, self.outputs, self.disturbances = plant.inputs, plant.outputs, plant.disturbances
        self.input_low, self.input_high = plant.input_low, plant.input_high
        self.nominal_inputs, self.nominal_disturbances = plant.nominal_inputs, plant.nominal_disturbances
        self.measurement_noise = plant.measurement_noise
        self._own, self._interval = (plant, equations_of(plant)), np.asarray(interval, float)
        self._state = np.zeros(len(plant.state_scale))

    def begin(self, inputs: Inputs, disturbances: Disturbances) -> None:
        """Rest under constant inputs and disturbances."""
        self._state, _ = steady_state(self._own[0], tuple(inputs), tuple(disturbances))

    def measure(self) -> Outputs:
        """What sensors without noise show."""
        with double_precision():
            return np.asarray(_measure(self._own, self._state))

    def advance(self, inputs: Inputs, disturbances: Disturbances) -> None:
        """One sample on.

        Raises:
            InputDataError: the plant comes where its equations do not hold.
        """
        forcing = np.concatenate([inputs, disturbances])
        with double_precision():
            after, possible = jax.device_get(_sample(self._own, self._state, forcing, self._interval))
        if not possible or not np.isfinite(after).all():
            raise InputDataError(
                f"the plant is where its equations do not hold: state {self._state}, inputs and disturbances "
                f"{forcing}; keep to possible inputs"
            )
        self._state = after


# Compiled once for all loops on a kind of plant.
@eqx.filter_jit
def _measure(own: tuple[Plant, str], state: ArrayLike) -> Array:
    return own[0].measure(jnp.asarray(state))


@eqx.filter_jit
def _sample(
    own: tuple[Plant, str], state: ArrayLike, forcing: ArrayLike, interval: ArrayLike
) -> tuple[Array, Array]:
    plant, _ = own
    state, forcing, interval = map(jnp.asarray, (state, forcing, interval))
    return advance(plant, state, forcing, interval), plant.possible(state, forcing)


def process_of(plant: Plant | Process, interval: float) -> Process:
    """A plant as a closed loop takes it.

    Args:
        plant: differential equations, or what runs by itself.
        interval: seconds of one sample.
    """
    return SimulatedPlant(plant, interval) if isinstance(plant, Plant) else plant


class MatchedPlant:
    """A plant whose signals are those of a model, in the order of the model.

    Inputs of the plant that the model does not know stay at their nominal values, outputs that it does not
    know are not looked at.

    Args:
        process: the plant.
        signals: of the model.

    Raises:
        InputDataError: a signal of the model is none of the plant, or has another unit there.
    """

    def __init__(self, process: Process, signals: Signals) -> None:
        self._process = process
        self._inputs = positions("input", signals.inputs, process.inputs, process.disturbances)
        self._outputs = positions("output", signals.outputs, process.outputs)
        self.inputs, self.outputs = signals.inputs, signals.outputs
        self.disturbances, self.nominal_disturbances = process.disturbances, process.nominal_disturbances
        self.input_low: Levels | None = _picked(process.input_low, self._inputs)
        self.input_high: Levels | None = _picked(process.input_high, self._inputs)
        self.nominal_inputs = np.asarray(process.nominal_inputs, float)[self._inputs]
        self.measurement_noise = np.asarray(process.measurement_noise, float)[self._outputs]
        self._all = np.asarray(process.nominal_inputs, float).copy()
        held = [one.label for at, one in enumerate(process.inputs) if at not in self._inputs]
        self.remarks, self.rests = process.remarks, process.rests
        if held:
            self.remarks += (
                f"The model does not know {', '.join(held)} of the plant: held at the nominal value.",
            )

    def begin(self, inputs: Inputs, disturbances: Disturbances) -> None:
        """Where the loop begins."""
        self._process.begin(self._whole(inputs), disturbances)

    def measure(self) -> Outputs:
        """The outputs that the model knows."""
        return np.asarray(self._process.measure())[self._outputs]

    def advance(self, inputs: Inputs, disturbances: Disturbances) -> None:
        """One sample on."""
        self._process.advance(self._whole(inputs), disturbances)

    def _whole(self, inputs: Inputs) -> Float[np.ndarray, " known"]:
        whole = self._all.copy()
        whole[self._inputs] = inputs
        return whole


def _picked(values: Levels | None, positions: list[int]) -> Levels | None:
    return None if values is None else np.asarray(values, float)[positions]


def positions(
    kind: str, wanted: tuple[Signal, ...], given: tuple[Signal, ...], elsewhere: tuple[Signal, ...] = ()
) -> list[int]:
    """Where the signals of a model stand among those of a plant.

    Args:
        kind: "input" or "output", for messages.
        wanted: signals of the model.
        given: signals of the plant.
        elsewhere: signals of the plant that no controller can move.

    Raises:
        InputDataError: one is missing, or has another unit.
    """
    names = [signal.name for signal in given]
    found = []
    for signal in wanted:
        if signal.name not in names:
            raise InputDataError(_missing(kind, signal.name, wanted, names, elsewhere))
        found.append(names.index(signal.name))
        unit = given[found[-1]].unit
        if signal.unit and unit and signal.unit != unit:
            raise InputDataError(
                f"the {kind} {signal.name} is in {signal.unit} in the log of the model and in {unit} in the "
                "plant; let the plant take and show the unit of the log"
            )
    return found


def _missing(
    kind: str, name: str, wanted: tuple[Signal, ...], names: list[str], elsewhere: tuple[Signal, ...]
) -> str:
    known = f"the model has the {kind}s {', '.join(one.name for one in wanted)}, the plant {', '.join(names)}"
    if name in {one.name for one in elsewhere}:
        return f"{known}: {name} is a disturbance of this plant, which no controller can move; choose another"
    near = get_close_matches(name.lower(), [one.lower() for one in names], n=1)
    hint = ""
    if near:
        close = next(one for one in names if one.lower() == near[0])
        hint = f" ({close!r} looks like it)"
    return (
        f"{known}: there is no {kind} {name!r} in the plant{hint}. Choose the plant that the log is "
        "of, or call "
        f"its signals by the names in the log"
    )


def check_levels(what: str, values: object, size: int, *, least: float = -np.inf) -> Float[np.ndarray, " _"]:
    """One finite number for each signal, from what a plant of a user's own states.

    Args:
        what: "input_low of Tank".
        values: as they are stated; one number stands for all.
        size: how many there must be.
        least: the smallest that is allowed.

    Raises:
        ConfigError: other numbers, another count, or no numbers at all.
    """
    try:
        array = np.asarray(values, float)
    except (TypeError, ValueError):
        raise ConfigError(f"{what} is {values!r}; expected {size} numbers") from None
    if array.ndim > 1 or (array.ndim == 1 and len(array) != size):
        raise ConfigError(f"{what} has shape {array.shape}; expected one number, or {size}: one per signal")
    if not (np.isfinite(array).all() and (array >= least).all()):
        raise ConfigError(f"{what} is {values}; expected finite numbers{' of at least 0' * (least == 0)}")
    return np.broadcast_to(array, (size,)).copy()
