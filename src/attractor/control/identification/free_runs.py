"""Errors of free runs that start every few rows of recordings, and how long these errors last."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from attractor.program import compiled, single, single_precision

from .identification_task import free_run
from .plant_network import PlantNetwork

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
