"""What every observer of a state does and promises, and the simplest: the model run in open loop."""

from abc import abstractmethod
from dataclasses import dataclass
from math import ceil, log
from typing import Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PyTree

from attractor.errors import ConfigError
from attractor.program import compiled, double_precision, programs_of

from .model import (
    ControlModel,
    InputArray,
    InputVector,
    OutputArray,
    OutputVector,
    StateArray,
    StateVector,
    check_certificate,
    vector,
)


@dataclass(frozen=True)
class Convergence:
    """How fast the error of an estimate vanishes, measured by its largest component.

    |e(k)| <= amplification * rate^k |e(0)| + gain_from_noise * (largest measurement error), where e is the
    true state of the model minus its estimate, and the plant is the model.

    Args:
        rate: contraction of the error per sample; None where none is proved.
        guaranteed: whether the bound is proved for inputs within the bound it was asked for.
        text: the statement in words for the user.
        gain_from_noise: largest lasting error of a state per unit of measurement error (scaled units); None
            where none is proved.
        amplification: largest factor by which the error may grow before it shrinks; None if not known.
        exact_after: samples after which the error is zero without noise; None if it only shrinks.
        weights: w, if max |e_i| / w_i shrinks by `rate` at every single sample; None for another norm.
    """

    rate: float | None
    guaranteed: bool
    text: str
    gain_from_noise: float | None = None
    amplification: float | None = 1.0
    exact_after: int | None = None
    weights: tuple[float, ...] | None = None

    @classmethod
    def unproved(cls, text: str) -> "Convergence":
        """A statement that claims nothing."""
        return cls(None, guaranteed=False, text=text, amplification=None)

    def settling_steps(self, tolerance: float) -> int | None:
        """Samples after which the error is proved to be below `tolerance` times its first value.

        Returns:
            A number of samples; None where nothing is proved.

        Raises:
            ConfigError: a tolerance outside (0, 1).
        """
        if not 0 < tolerance < 1:
            raise ConfigError(f"tolerance={tolerance}: expected a share between 0 and 1")
        if self.exact_after is not None:
            return self.exact_after
        if not self.guaranteed or self.rate is None or self.amplification is None:
            return None
        if self.rate <= 0:
            return 1
        return max(0, ceil(log(tolerance / self.amplification) / log(self.rate)))


@runtime_checkable
class Observer(Protocol):
    """Estimates the state of a `ControlModel` from what was applied and what was measured.

    At sample k it takes the scaled input u(k) and the scaled output y(k) and gives the estimate of x(k+1). An
    output that is NaN was not measured; the observer then goes on with what the model expects of it.
    """

    def start(self, state: StateVector) -> None:
        """Begin anew from an estimate of the flat state."""
        ...

    def update(self, input: InputVector, measured: OutputVector) -> StateVector:
        """Take u(k) and y(k), and return the estimate of x(k+1)."""
        ...

    @property
    def estimate(self) -> StateVector:
        """The newest estimate of the flat state."""
        ...

    @property
    def statement(self) -> Convergence:
        """What is proved about the error."""
        ...


class ObserverMap(eqx.Module):
    """memory(k+1) = map(memory(k), u(k), y(k)): an observer without any memory of its own.

    The memory is the estimate itself unless a subclass says otherwise. All arithmetic is in float64.
    """

    model: eqx.AbstractVar[ControlModel]

    @abstractmethod
    def __call__(self, memory: PyTree, input: InputArray, measured: OutputArray) -> PyTree:
        """One sample; a measured output that is not a number is missing."""

    def begin(self, state: StateArray) -> PyTree:
        """The memory that an estimate starts from."""
        return state

    def estimate(self, memory: PyTree) -> StateArray:
        """The estimate of the flat state."""
        return memory


class RunningObserver:
    """Runs an `ObserverMap` sample by sample; follows the `Observer` protocol.

    Args:
        update_map: the observer.
        statement: what is proved about it.
        state: the first estimate; the rest of the model by default.
    """

    def __init__(
        self, update_map: ObserverMap, statement: Convergence, state: ArrayLike | None = None
    ) -> None:
        self.update_map = update_map
        self._programs = programs_of(update_map, double=True)
        self._statement = statement
        model = update_map.model
        self._inputs, self._outputs, self._states = model.input_size, model.output_size, model.state_size
        if state is None:
            with double_precision():
                state = model.start(jnp.zeros((0, self._inputs)), jnp.zeros((0, self._outputs)))
        self.start(np.asarray(state))

    def start(self, state: ArrayLike) -> None:
        """Begin anew from an estimate of the flat state.

        Raises:
            ShapeError: a state of another size than the model's.
            InputDataError: a state that is not finite.
        """
        with double_precision():
            memory = self.update_map.begin(jnp.asarray(vector("state", state, self._states)))
            self._memory, self._estimate = jax.device_get((memory, self.update_map.estimate(memory)))

    def update(self, input: ArrayLike, measured: ArrayLike) -> StateVector:
        """Take u(k) and y(k), scaled, and return the estimate of x(k+1).

        A measured output that is not finite counts as missing; the model's own output stands in for it.

        Raises:
            ShapeError: an input or an output of another size than the model's.
            InputDataError: an input that is not finite.
        """
        applied = vector("input", input, self._inputs)
        seen = vector("measured output", measured, self._outputs, finite=False)
        with double_precision():
            sample = jnp.asarray(applied), jnp.asarray(seen)
            step = _step(self.update_map, self._programs, self._memory, *sample)
            self._memory, self._estimate = jax.device_get(step)
        return self.estimate

    @property
    def estimate(self) -> StateVector:
        """The newest estimate of the flat state."""
        return np.array(self._estimate)

    @property
    def statement(self) -> Convergence:
        """What is proved about the error."""
        return self._statement


def estimates(
    update_map: ObserverMap,
    state: ArrayLike,
    inputs: Float[np.ndarray, "time inputs"],
    outputs: Float[np.ndarray, "time outputs"],
) -> Float[np.ndarray, "time states"]:
    """All estimates over a recording at once, x(0) to x(T - 1): row k has seen the samples before k only.

    Args:
        update_map: the observer.
        state: the first estimate.
        inputs: scaled inputs.
        outputs: scaled measured outputs.
    """
    with double_precision():
        memory = update_map.begin(jnp.asarray(state, jnp.float64))
        return np.asarray(_scan(update_map, memory, jnp.asarray(inputs), jnp.asarray(outputs)))


def filled(measured: OutputArray, predicted: OutputArray) -> OutputArray:
    """The measured outputs, with the model's own where one is missing."""
    return jnp.where(jnp.isfinite(measured), measured, predicted)


@eqx.filter_jit
def _step(
    update_map: ObserverMap, _programs: tuple[str, ...], memory: PyTree, input: Array, measured: Array
) -> tuple[PyTree, Array]:
    memory = update_map(memory, input, measured)
    return memory, update_map.estimate(memory)


@compiled
def _scan(update_map: ObserverMap, memory: PyTree, inputs: Array, outputs: Array) -> Array:
    def one(memory: PyTree, sample: tuple[Array, Array]) -> tuple[PyTree, Array]:
        return update_map(memory, *sample), update_map.estimate(memory)

    return jax.lax.scan(one, memory, (inputs, outputs))[1]


class OpenLoopMap(ObserverMap):
    """x(k+1) = f(x(k), u(k))."""

    model: ControlModel

    def __call__(self, memory: StateArray, input: InputArray, measured: OutputArray) -> StateArray:
        """One step of the model."""
        return self.model.step(memory, input)


def open_loop_observer(
    model: ControlModel, certificate: object = None, state: ArrayLike | None = None
) -> RunningObserver:
    """Run the model beside the plant.

    Args:
        model: the model.
        certificate: what proves that the model contracts: an object with `rate` and, if its norm is
            max |x_i| / w_i over the flat state, `weights` w.
        state: the first estimate; rest by default.

    Raises:
        ConfigError: the certificate speaks of another cell.
    """
    check_certificate(certificate, model.network.cell)
    return RunningObserver(OpenLoopMap(model), _statement(certificate), state)


def _statement(certificate: object) -> Convergence:
    rate = getattr(certificate, "rate", None)
    if rate is None or not rate < 1:
        return Convergence.unproved(
            "none stated: the model runs beside the plant, and no certificate says that it forgets its start"
        )
    known = getattr(certificate, "in_maximum_norm", True)
    weights = getattr(certificate, "weights", None) if known else None
    amplification = None if weights is None else float(np.max(weights) / np.min(weights))
    text = f"the error shrinks to at most {rate:.6g} times per sample, the certified rate of the model"
    bound = getattr(certificate, "input_bound", None)
    if bound is not None:
        text += f", for inputs within {float(np.min(bound)):g} (scaled) and starts in the certified set"
    # Measurements have no influence, so neither has their noise.
    return Convergence(float(rate), True, text, gain_from_noise=0.0, amplification=amplification)
