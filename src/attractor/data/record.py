"""A plant's log: named signals, the experiments that recorded them, and blocks of rows as experiments."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from attractor.errors import ConfigError, InputDataError
from attractor.shown import Shown


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
class Experiment(Shown):
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
class Record(Shown, next_call="examine(record), PlantModel().fit(record)"):
    """A data set for identification: experiments of the same signals at the same sampling time.

    Args:
        inputs: the signals of the columns of `Experiment.inputs`.
        outputs: the signals of the columns of `Experiment.outputs`.
        experiments: the recordings; their lengths may differ.
        sampling_time: seconds between two samples.
        source: the file it was read from, if any.
        assumed: what had to be assumed about the sampling time; empty if it is known.
    """

    inputs: tuple[Signal, ...]
    outputs: tuple[Signal, ...]
    experiments: tuple[Experiment, ...]
    sampling_time: float = 1.0
    source: Path | None = None
    assumed: str = ""

    @property
    def known_sampling_time(self) -> float | None:
        """Seconds between two samples; None where that is only assumed."""
        return None if self.assumed else self.sampling_time

    @property
    def samples(self) -> int:
        """Number of rows over all experiments."""
        return sum(len(experiment) for experiment in self.experiments)

    def with_experiments(self, experiments: "tuple[Experiment, ...] | list[Experiment]") -> "Record":
        """The same signals with other experiments."""
        return replace(self, experiments=tuple(experiments))

    def __str__(self) -> str:
        """Signals, recordings and sampling time."""
        inputs, outputs = (", ".join(one.label for one in side) for side in (self.inputs, self.outputs))
        return "\n".join([
            f"{len(self.experiments)} recording(s), {self.samples} samples, one every "
            + describe_sampling(self.sampling_time, self.assumed),
            f"inputs: {inputs or 'none'}",
            f"outputs: {outputs or 'none'}",
        ])


def describe_sampling(sampling_time: float, assumed: str = "") -> str:
    """A sampling time in words, with what it stands on.

    Example:
        >>> describe_sampling(0.5), describe_sampling(1.0, "no column tells the time")
        ('0.5 s', '1 s (assumed: no column tells the time)')
    """
    return f"{sampling_time:g} s" + (f" (assumed: {assumed})" if assumed else "")


_RANGE = re.compile(r"\s*(?P<start>\d*)\s*:\s*(?P<stop>\d*)\s*")


@dataclass(frozen=True)
class RowBlock:
    """Rows `start` to `stop` (exclusive), counted from 0 at the first row of data, the header excluded.

    Args:
        name: how the experiment is called.
        start: first row.
        stop: the row after the last one; `None` means to the end.
    """

    name: str
    start: int = 0
    stop: int | None = None

    def __post_init__(self) -> None:
        if self.start < 0 or (self.stop is not None and self.stop - self.start < 2):
            raise ConfigError(
                f"rows {self.name!r} from {self.start} to {self.stop} (exclusive) are not at least two rows; "
                "rows count from 0 and the second number is the larger one"
            )

    @property
    def end(self) -> int | float:
        """The row after the last one, infinite for an open end."""
        return math.inf if self.stop is None else self.stop

    def bounds(self, available: int) -> tuple[int, int]:
        """Start and stop within `available` rows.

        Raises:
            InputDataError: the block reaches beyond the data.
        """
        stop = available if self.stop is None else self.stop
        if stop > available or stop - self.start < 2:
            raise InputDataError(
                f"rows {self.name!r} ({self.start}:{'' if self.stop is None else self.stop}) reach beyond "
                f"the data, which has {available} rows (0 to {available - 1}); choose smaller numbers"
            )
        return self.start, stop


def parse_row_block(text: str) -> RowBlock:
    """Read a block of rows from text: `name=0:25000`, `40600:` or `:512`.

    Args:
        text: an optional name and `=`, then first row, colon, and the row after the last one.

    Returns:
        The block; without a name it is called after its rows.

    Raises:
        ConfigError: the text has another form, or the rows are empty.
    """
    name, sign, numbers = text.rpartition("=")
    match = _RANGE.fullmatch(numbers)
    if match is None or (sign and not name.strip()) or len(numbers) > 40:
        raise ConfigError(
            f"rows {text!r} are not of the form name=start:stop, for instance train=0:25000, 40600: or :512"
        )
    stop = int(match["stop"]) if match["stop"] else None
    return RowBlock(name.strip() or f"rows {numbers.strip()}", int(match["start"] or 0), stop)


def check_names(blocks: Sequence[RowBlock]) -> None:
    """Raise an error if two blocks have the same name.

    Raises:
        ConfigError: names the first name that is used twice.
    """
    for name, count in Counter(block.name for block in blocks).items():
        if count > 1:
            raise ConfigError(f"two blocks of rows are called {name!r}; give each its own name")


def check_apart(parts: Mapping[str, Sequence[RowBlock]]) -> None:
    """Raise an error if parts of a data set that must not share rows do share some.

    Args:
        parts: blocks of rows by the name of the part.

    Raises:
        ConfigError: names two blocks with common rows.
    """
    for (one, blocks), (two, others) in combinations(parts.items(), 2):
        for block, other in product(blocks, others):
            if max(block.start, other.start) < min(block.end, other.end):
                raise ConfigError(
                    f"{one} {block.name!r} and {two} {other.name!r} share rows; a model must not be judged "
                    "by what it was trained on: choose blocks that are apart"
                )


def find_runs(mask: Bool[np.ndarray, "rows"]) -> list[tuple[int, int]]:
    """Start and stop (exclusive) of each run of true rows."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]
