"""Free runs of an identified network over recordings: one in engineering units, and many for their errors."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from attractor.data import Scaling
from attractor.errors import InputDataError, ShapeError
from attractor.program import compiled, single, single_precision

from .identification_task import free_run
from .plant_network import PlantNetwork
from .recordings import Signals, as_columns, check_finite, check_held, known_names
from .timing import Timing


@dataclass(frozen=True, eq=False)
class Simulator:
    """A network, and what the numbers that it takes and gives mean.

    Args:
        network: in single precision.
        signals: names and units of inputs and outputs.
        input_scaling: from engineering units to those of the network.
        output_scaling: likewise.
        timing: what is delayed or shifted before it enters the network.
        washout: measured rows that set the initial state, where there are any.
    """

    network: PlantNetwork
    signals: Signals
    input_scaling: Scaling
    output_scaling: Scaling
    timing: Timing
    washout: int

    @property
    def reads_state(self) -> bool:
        """Whether a simulation begins with measured rows."""
        return self.network.reads_state and self.washout > 0

    def applied(self, inputs: Float[np.ndarray, "time inputs"]) -> Float[np.ndarray, "time inputs"]:
        """The inputs of a recording as the network takes them: scaled, and early by a row if shifted."""
        return self.timing.lined_up(self.input_scaling.to_unit(inputs))

    @single_precision()
    def run(self, inputs: np.ndarray, measured: object) -> Float[np.ndarray, "time outputs"]:
        """Simulate one recording; the rows that set the state come back as NaN.

        Args:
            inputs: of shape (time, inputs).
            measured: outputs of the same rows, of which the first set the state; None starts from rest.

        Raises:
            InputDataError: too few rows, or values that are not finite or not held by float32.
            ShapeError: another number of columns or rows.
        """
        washout = self._state_rows(measured, len(inputs))
        self._check_inputs(inputs)
        scaled = self.applied(inputs)
        check_held("the inputs", self.signals.inputs, inputs, scaled)
        shape = (len(inputs), len(self.signals.outputs))
        seen = np.zeros(shape)
        if washout:
            past = self._past(measured, shape)[:washout]
            seen[:washout] = self.output_scaling.to_unit(past)
            check_held("the measured outputs", self.signals.outputs, past, seen[:washout])
        result = np.full(shape, np.nan)
        simulated = _free_run(self.network, single(scaled), single(seen), washout)
        result[washout:] = self.output_scaling.to_engineering(np.asarray(simulated, float))
        return result

    def _state_rows(self, measured: object, rows: int) -> int:
        """Rows from which the initial state is read; none if there is nothing to read or no need."""
        if measured is None or not self.reads_state:
            return 0
        if rows <= self.washout:
            raise InputDataError(
                f"a recording of {rows} rows is not longer than the washout of {self.washout} rows"
            )
        return self.washout

    def _check_inputs(self, inputs: Float[np.ndarray, "time inputs"]) -> None:
        expected = len(self.signals.inputs)
        if inputs.shape[1] != expected:
            raise ShapeError(f"{inputs.shape[1]} input columns given, the model was trained with {expected}")
        check_finite("the inputs", self.signals.inputs, inputs)

    def _past(self, measured: object, shape: tuple[int, int]) -> Float[np.ndarray, "time outputs"]:
        """Measured outputs that fit the inputs and are finite where they set the state."""
        values = as_columns(measured, "measured outputs", known_names("y", self.signals.outputs))
        if values.shape != shape:
            raise ShapeError(
                f"measured outputs of shape {values.shape}, expected {shape} beside these inputs"
            )
        check_finite("the measured outputs", self.signals.outputs, values[: self.washout])
        return values


@compiled
def _free_run(network: PlantNetwork, inputs: Array, measured: Array, washout: int) -> Array:
    return free_run(network, inputs, measured, washout)


STARTS = 48
"""Free runs over all recordings, about."""
MOST_ROWS = 2_000_000
"""Rows of all these runs together, about; longer runs are cut."""


@dataclass(frozen=True, eq=False)
class FreeRuns:
    """Errors of free runs over recordings that a model has not learned from.

    Args:
        errors: measured less predicted, scaled; NaN behind the end of a recording, infinite where a run left
            the finite numbers. Row 0 is the first one that is predicted.
        recordings: which one each run is over.
        starts: row of its recording that row 0 of a run is, counted from the first one that can be predicted.
    """

    errors: Float[np.ndarray, "runs rows outputs"]
    recordings: Int[np.ndarray, " runs"]
    starts: Int[np.ndarray, " runs"]

    @property
    def memory(self) -> int:
        """Rows over which the sizes of errors remember each other: their integrated autocorrelation time.

        Taken over the first run of every recording, and for the output where it is longest. The sum of
        autocorrelations ends at five times itself (Sokal 1997), or where half of the rows are over.
        """
        sizes = [np.abs(run[np.isfinite(run).all(axis=1)]) for run in self.errors[self.starts == 0]]
        sizes = [run for run in sizes if len(run) > 1]
        if not sizes:
            return 1
        times = [_time(_autocorrelation(sizes, output)) for output in range(self.errors.shape[2])]
        return int(np.ceil(max(times)))

    def stretches(self, length: int) -> Int[np.ndarray, "runs rows"]:
        """Which stretch of the recorded rows each row of each run belongs to; -1 for none.

        Stretches of `length` rows follow each other without a gap, and what is left over at the end of a
        recording is none. All runs over the same rows are of one stretch, for they met the same disturbance.
        """
        rows = self.starts[:, None] + np.arange(self.errors.shape[1])
        known = ~np.isnan(self.errors).any(axis=2)
        found = np.full(rows.shape, -1)
        first = 0
        for one in np.unique(self.recordings):
            mine = (self.recordings == one)[:, None] & known
            whole = int(rows[mine].max(initial=-1) + 1) // length
            inside = mine & (rows < whole * length)
            found[inside] = first + rows[inside] // length
            first += whole
        return found


def _autocorrelation(runs: Sequence[Float[np.ndarray, "_ outputs"]], output: int) -> np.ndarray:
    """Autocorrelation of one output over all runs, from lag 0 to half of the longest."""
    mean = np.concatenate(runs)[:, output].mean()
    total = np.zeros(max(map(len, runs)) // 2 + 1)
    for run in runs:
        centred = run[:, output] - mean
        power = np.abs(np.fft.rfft(centred, 2 * len(centred))) ** 2
        lags = np.fft.irfft(power)[: min(len(total), len(centred))]
        total[: len(lags)] += lags
    return total / total[0] if total[0] > 0 else np.eye(1, len(total))[0]


def _time(correlation: Float[np.ndarray, " lags"]) -> float:
    """1 + 2 times the sum of autocorrelations, up to a lag of five times that."""
    times = 2.0 * np.cumsum(correlation) - 1.0
    enough = np.arange(len(times)) >= 5.0 * times
    return max(float(times[np.argmax(enough)] if enough.any() else times[-1]), 1.0)


@single_precision()
def free_runs(
    network: PlantNetwork,
    inputs: Sequence[Float[np.ndarray, "_ inputs"]],
    outputs: Sequence[Float[np.ndarray, "_ outputs"]],
    settled: int,
) -> FreeRuns:
    """Simulate scaled recordings from about 48 starts, each to the end of its recording.

    Args:
        network: any.
        inputs: of each recording.
        outputs: likewise.
        settled: measured rows that set the state before each start. With 0 recordings start at rest, so that
            each is simulated once, from its beginning.
    """
    lengths = [len(one) - settled for one in inputs]
    every = max(-(-sum(lengths) // STARTS), 1) if settled else max(lengths)
    chosen = [(one, start) for one, rows in enumerate(lengths) for start in range(0, rows, every)]
    reach = min(max(lengths), max(MOST_ROWS // len(chosen), 1))
    sides = [
        np.stack([_window(side[one], start, settled + reach) for one, start in chosen])
        for side in (inputs, outputs)
    ]
    errors = np.array(_errors(network, single(sides[0]), single(sides[1]), settled), float)
    errors[~np.isfinite(errors)] = np.inf
    recordings, starts = np.array(chosen).T
    left = np.array(lengths)[recordings] - starts
    errors[np.arange(reach) >= left[:, None]] = np.nan
    return FreeRuns(errors, recordings, starts)


def _window(values: Float[np.ndarray, "_ channels"], start: int, rows: int) -> np.ndarray:
    """Rows of a recording from a start on, zeros behind its end."""
    found = values[start : start + rows]
    return np.pad(found, ((0, rows - len(found)), (0, 0)))


@compiled
def _errors(
    network: PlantNetwork,
    inputs: Float[Array, "runs time inputs"],
    outputs: Float[Array, "runs time outputs"],
    settled: int,
) -> Float[Array, "runs rows outputs"]:
    def one(applied: Array, answered: Array) -> Array:
        return answered[settled:] - free_run(network, applied, answered, settled)

    return jax.vmap(one)(inputs, outputs)
