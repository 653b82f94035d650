"""Options that several commands share, and what they stand for."""

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_type_hints

from attractor.errors import ConfigError
from attractor.settings import Count, CountOrNone, PartialShare, Positive, Seed, checked


@dataclass(frozen=True)
class Columns:
    """How the columns of the file are read."""

    time: str | None = None
    """Column of the time stamps; one called time, t or timestamp is found by itself."""
    experiment: str | None = None
    """Column that names the experiment of a row; one called experiment is found by itself."""
    sampling_time: Positive | None = None
    """Seconds between two rows, where no time column says it."""
    missing: Literal["error", "interpolate", "split"] = "error"
    """What to do with missing cells."""
    resample: bool = False
    """Put irregular time stamps onto a regular grid."""
    delimiter: str | None = None
    """What stands between two cells; found by itself if not given."""


@dataclass(frozen=True)
class TestData:
    """Where the test data come from; the last fifth of the data if nothing is said."""

    test: Path | None = None
    """A file of its own."""
    test_inputs: tuple[str, ...] = ()
    """Input columns of the test data, if they have other names."""
    test_outputs: tuple[str, ...] = ()
    """Output columns of the test data, if they have other names."""
    train_rows: tuple[str, ...] = ()
    """Rows for training and validation, such as 40600:110000; counted from 0 without the header."""
    validation_rows: tuple[str, ...] = ()
    """Rows for validation."""
    test_rows: tuple[str, ...] = ()
    """Rows for the test, such as arrow=0:25000; several blocks are several experiments."""
    validation_share: PartialShare = 0.2
    """Last part of the training rows that chooses the weights; 0 trains on everything."""


@dataclass(frozen=True)
class Model:
    """What is trained."""

    cell: str = "gru"
    """tanh, gru, gru-reset-after, lstm, esn, nnarx, state-space, ren, or your own class: file.py:Class."""
    hidden: Count = 8
    """Units a layer."""
    layers: Count = 1
    """Cells in the stack."""
    initial_state: Literal["encoder", "washout", "zero"] = "encoder"
    """How a recording starts: learned from its first samples, forgotten over them, or at rest."""
    washout: Count = 20
    """Samples that set the initial state and are not counted."""
    feedthrough: bool | None = None
    """Whether an input acts on the output of the same sample; decided from the data if not given."""
    certified: bool = False
    """Train for a certificate: a model that forgets its past for every input in the range of the data.
    Nothing is proved by that; `attractor certify` proves it."""


@dataclass(frozen=True)
class Training:
    """How it is trained."""

    steps: Count = 4000
    """Updates of the weights."""
    window: Count = 150
    """Rows simulated in one training example."""
    batch_size: Count = 32
    """Examples a step."""
    learning_rate: Positive = 1e-2
    """Peak of the learning rate."""
    patience: Count | None = None
    """Validations without improvement before a seed stops."""
    seeds: Count = 1
    """Models trained side by side; the best on validation data is kept."""
    refine: CountOrNone = 0
    """Gauss-Newton steps afterwards: slower, and much closer for small networks on clean data."""
    seed: Seed = 0
    """All randomness follows from it."""


def check_words(command: Any) -> None:
    """Compare what a command was given with what its options may be, before it does anything.

    Args:
        command: a dataclass, whose fields may be groups of options; anything else has nothing to compare.

    Raises:
        ConfigError: names the option, its value, and what was expected.
    """
    if not is_dataclass(command):
        return
    hints = get_type_hints(type(command), include_extras=True)
    for one in fields(command):
        value = getattr(command, one.name)
        check_words(value)
        if not is_dataclass(value):
            checked(f"--{one.name.replace('_', '-')}", hints[one.name], value)


def column_options(columns: Columns, rows: tuple[str, ...] = ()) -> Any:
    """The options of the reader, with blocks of rows as they are written."""
    from attractor.data import ColumnOptions, parse_row_block

    blocks = tuple(parse_row_block(text) for text in rows)
    return ColumnOptions(**vars(columns), rows=blocks)


def own_cell(text: str | None) -> Any:
    """The class behind `file.py:Class`; None for a name of the house."""
    if text is None or ":" not in text:
        return None
    from importlib.util import module_from_spec, spec_from_file_location

    path, _, name = text.rpartition(":")
    spec = spec_from_file_location(f"_attractor_own_cell_{Path(path).stem}", path)
    if not Path(path).is_file() or spec is None or spec.loader is None:
        raise ConfigError(f"--cell {text}: there is no Python file {path}")
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up while it is being run
    try:
        with _importing_from(Path(path).resolve().parent):
            spec.loader.exec_module(module)
    except Exception as problem:
        raise ConfigError(
            f"--cell {text}: {path} cannot be run: {type(problem).__name__}: {problem}"
        ) from problem
    if not hasattr(module, name):
        raise ConfigError(f"--cell {text}: {path} has no class {name}")
    return getattr(module, name)


@contextlib.contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Let a file import what stands beside it, as a script may; what it imports later is found last."""
    place = str(folder)
    sys.path.insert(0, place)
    try:
        yield
    finally:
        sys.path.remove(place)
        if place not in sys.path:
            sys.path.append(place)
