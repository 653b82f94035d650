"""What a plant's log is inside the house: named signals and the experiments that recorded them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class Signal:
    """A measured quantity, for instance `Signal("q3", "ml/s")`."""

    name: str
    unit: str = ""

    @property
    def label(self) -> str:
        """Name and unit as an axis shows them: `q3 [ml/s]`."""
        return f"{self.name} [{self.unit}]" if self.unit else self.name


@dataclass(frozen=True)
class Experiment:
    """One uninterrupted recording, uniformly sampled.

    Args:
        name: how tables and figures call it.
        inputs: what was applied to the plant, shape (time, inputs), engineering units, float64.
        outputs: what the plant answered, shape (time, outputs), engineering units, float64.
        source_rows: which rows of its file they are, counted from 0, if it comes from a file.
    """

    name: str
    inputs: Float[np.ndarray, "time inputs"]
    outputs: Float[np.ndarray, "time outputs"]
    source_rows: Int[np.ndarray, "time"] | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def rows(self, start: int, stop: int, name: str | None = None) -> "Experiment":
        """The rows `start` to `stop` (exclusive) as an experiment of their own."""
        source = None if self.source_rows is None else self.source_rows[start:stop]
        return Experiment(name or self.name, self.inputs[start:stop], self.outputs[start:stop], source)


@dataclass(frozen=True)
class Record:
    """A data set for identification: experiments of the same signals at the same sampling time.

    Args:
        inputs: the signals of the columns of `Experiment.inputs`.
        outputs: the signals of the columns of `Experiment.outputs`.
        experiments: the recordings; their lengths may differ.
        sampling_time: seconds between two samples.
        source: the file it was read from, if any.
    """

    inputs: tuple[Signal, ...]
    outputs: tuple[Signal, ...]
    experiments: tuple[Experiment, ...]
    sampling_time: float = 1.0
    source: Path | None = None

    @property
    def samples(self) -> int:
        """Number of rows over all experiments."""
        return sum(len(experiment) for experiment in self.experiments)

    def with_experiments(self, experiments: "tuple[Experiment, ...] | list[Experiment]") -> "Record":
        """The same signals with other experiments."""
        return Record(self.inputs, self.outputs, tuple(experiments), self.sampling_time, self.source)
