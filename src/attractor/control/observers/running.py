"""An observer as a pure map of its memory, and the object that holds the memory between samples."""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from attractor.control.model import ControlModel
from attractor.errors import InputDataError, ShapeError
from attractor.program import compiled, double_precision, programs_of

from .protocol import Convergence


class ObserverMap(eqx.Module):
    """memory(k+1) = map(memory(k), u(k), y(k)): an observer without any memory of its own.

    The memory is the estimate itself unless a subclass says otherwise. All arithmetic is in float64.
    """

    model: eqx.AbstractVar[ControlModel]

    @abstractmethod
    def __call__(
        self, memory: Any, given: Float[Array, " inputs"], measured: Float[Array, " outputs"]
    ) -> Any:
        """One sample; a measured output that is not a number is missing."""

    def begin(self, state: Float[Array, " states"]) -> Any:
        """The memory that an estimate starts from."""
        return state

    def estimate(self, memory: Any) -> Float[Array, " states"]:
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
        values = _checked("state", state, self._states)
        with double_precision():
            memory = self.update_map.begin(jnp.asarray(values))
            self._memory, self._estimate = jax.device_get((memory, self.update_map.estimate(memory)))

    def update(self, given: ArrayLike, measured: ArrayLike) -> Float[np.ndarray, " states"]:
        """Take u(k) and y(k), scaled, and return the estimate of x(k+1).

        A measured output that is not finite counts as missing; the model's own output stands in for it.

        Raises:
            ShapeError: an input or an output of another size than the model's.
            InputDataError: an input that is not finite.
        """
        given = _checked("input", given, self._inputs)
        measured = _checked("measured output", measured, self._outputs, finite=False)
        with double_precision():
            pair = jnp.asarray(given), jnp.asarray(measured)
            step = _step(self.update_map, self._programs, self._memory, *pair)
            self._memory, self._estimate = jax.device_get(step)
        return self.estimate

    @property
    def estimate(self) -> Float[np.ndarray, " states"]:
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


def filled(measured: Float[Array, " outputs"], predicted: Float[Array, " outputs"]) -> Array:
    """The measured outputs, with the model's own where one is missing."""
    return jnp.where(jnp.isfinite(measured), measured, predicted)


@eqx.filter_jit
def _step(
    update_map: ObserverMap, _programs: tuple[str, ...], memory: Any, given: Array, measured: Array
) -> tuple[Any, Array]:
    memory = update_map(memory, given, measured)
    return memory, update_map.estimate(memory)


@compiled
def _scan(update_map: ObserverMap, memory: Any, inputs: Array, outputs: Array) -> Array:
    def one(memory: Any, sample: tuple[Array, Array]) -> tuple[Any, Array]:
        return update_map(memory, *sample), update_map.estimate(memory)

    return jax.lax.scan(one, memory, (inputs, outputs))[1]


def _checked(name: str, values: ArrayLike, size: int, *, finite: bool = True) -> np.ndarray:
    array = np.asarray(values, np.float64)
    if array.shape != (size,):
        raise ShapeError(f"the {name} has shape {array.shape}; the model expects ({size},)")
    if finite and not np.isfinite(array).all():
        raise InputDataError(f"the {name} holds values that are not finite: {array}")
    return array
