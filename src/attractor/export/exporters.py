"""What an export target is, where it is registered, and whether an export computes what the cell computes.

A target is one file of this package, or of another one, that registers an `Exporter` here. The command line,
`check_parity` and `check_cell` read the table.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attractor.cells import CellLike, initial_state, name_of
from attractor.errors import AttractorError, ConfigError, UnsupportedError
from attractor.files import make_folder
from attractor.origin import Origin, check_replaceable
from attractor.program import (
    deviation,
    double_precision,
    in_double_precision,
    in_precision,
    layout_of,
    sampled_rows,
    steps_at,
    usual_promotion,
)
from attractor.registry import Registry
from attractor.runs import check_origin

from .flat_step import flat_step, parts_of, rounding_explains

Rows = Float[np.ndarray, "samples _"]

_GAPS = 0.3
"""Share of the values that are missing where a step is compared that takes missing values."""
_ROUNDING = 1e-3
"""What float32 may lose in one step of a large cell."""


def needed(package: str, extra: str) -> ModuleType:
    """A package that an export needs and Attractor itself does not.

    Args:
        package: its name.
        extra: of Attractor, that installs it.

    Raises:
        UnsupportedError: it is not installed.
    """
    try:
        return import_module(package)
    except ImportError as problem:
        raise UnsupportedError(
            f"this export needs the package {package}: pip install attractor[{extra}]"
        ) from problem


@dataclass(frozen=True)
class Exporter:
    """How a cell, or a network with a cell and an output, is written for another tool.

    Args:
        title: what a table calls it: "NumPy".
        files: for each file that is written its name and `write(source, path, origin)`, which gives the
            largest difference from the source where it has compared, else None. The first file is one step;
            others, such as a whole sequence, have to compare themselves.
        run: `run(path, inputs, states, outputs) -> new states, outputs`: the first file read back and run,
            one row a sample; `outputs` is the length of the output, and 0 does not ask for it.
        check: looks whether a cell can be written, and writes nothing; a remark for `check_cell`, or the
            error that says why not.
        runs_here: whether this machine has what `run` needs, a compiler for instance.
        tolerance: a step that differs by more, relative to 1 + |value|, is another step. What rounding
            explains is far smaller.
        single: the same with all numbers in single precision (float32); None where a target has no choice.
            Its tolerance is what rounding explains in sums as long as those of the step.
    """

    title: str
    files: Mapping[str, "Write"]
    run: "Run"
    check: Callable[[object], str]
    runs_here: Callable[[], bool] = lambda: True
    tolerance: float = 1e-3
    single: "Exporter | None" = None


Write = Callable[[object, Path, Origin | None], float | None]
Run = Callable[[Path, Rows, Rows, int], tuple[Rows, Rows]]

EXPORTERS = Registry[str, Exporter]("export target", "attractor.exporters", "attractor.export")

Precision = Literal["double", "float"]
"""Of the numbers in exported code."""


def exporter_for(target: str, precision: Precision = "double") -> Exporter:
    """What writes a target in a precision.

    Raises:
        ConfigError: an unknown target, or one without a choice of the precision.
    """
    exporter = EXPORTERS.find(target)
    if precision == "double":
        return exporter
    if exporter.single is None:
        able = ", ".join([name for name, one in EXPORTERS.items() if one.single is not None])
        raise ConfigError(
            f"{target} is not written in single precision; --precision float is for: {able}, controller"
        )
    return exporter.single


def export(
    source: object,
    target: str,
    folder: Path,
    *,
    origin: Origin | None = None,
    precision: Precision = "double",
) -> list[tuple[Path, float | None]]:
    """Write all files of a target; a step is read back and run before it counts.

    Args:
        source: a cell, or a network with a cell and an output.
        target: a name of `EXPORTERS`: "numpy", "c", "casadi", "onnx".
        folder: to write into.
        origin: what the source is made from.
        precision: of the numbers in the files, where a target has a choice: "c" has.

    Returns:
        The files, each with the largest difference from the source on random states and inputs (relative to
        1 + |value|); None where nothing could be compared, as in C without a compiler.

    Raises:
        ConfigError: an unknown target, or one without a choice of the precision; or a file of that name is
            there that was not made from a run, while the new one is to carry an origin.
        RunFolderError: the folder holds a run of another origin.
        UnsupportedError: the cell uses a primitive that the target cannot express; or a package is missing.
        AttractorError: a file does not compute what the source computes; no file of this target is left.
        StorageError: a file cannot be written.
    """
    exporter = exporter_for(target, precision)
    make_folder(folder)
    if origin is not None:
        check_origin(folder, origin)
        for name in exporter.files:
            check_replaceable(folder / name)
    found: dict[Path, float | None] = {}
    try:
        for number, (name, write) in enumerate(exporter.files.items()):
            path = folder / name
            found[path] = write(source, path, origin)
            if number == 0 and found[path] is None and exporter.runs_here():
                allowed = exporter.tolerance
                if precision == "float":
                    allowed = rounding_explains(flat_step(source), np.float32)
                found[path] = _checked(source, exporter, path, allowed)
    except AttractorError:
        for path in found:  # half an export is none
            path.unlink(missing_ok=True)
        raise
    return list(found.items())


def _checked(source: object, exporter: Exporter, path: Path, allowed: float) -> float:
    difference = _deviation(exporter, path, _probe(source, 1000, 0))
    if not difference <= allowed:
        raise AttractorError(
            f"{path} deviates from the model by {difference:.1e} of the values, where {allowed:.1e} "
            "is allowed, "
            "and was taken away again. Please report this cell"
        )
    return difference


def check_parity(
    source: object,
    *,
    targets: Sequence[str] = ("numpy", "c"),
    samples: int = 1000,
    seed: int = 0,
    precision: Precision = "double",
) -> dict[str, float]:
    """Export a cell to each target, run one step at random inputs and states, and compare with the cell.

    Inputs are uniform in [-1, 1], states in [-1, 1] about the initial state; whole numbers of the state stay.
    The step that counts is the cell's own call, with its weights in float64, and with them as they are: where
    these two differ by more than rounding in the type of the cell, the second decides.

    Args:
        source: any cell, or a network with a cell and an output.
        targets: names of `EXPORTERS`: "numpy", "c" (needs a compiler), "casadi", "onnx" (float32).
        samples: number of inputs and states.
        seed: draws them.
        precision: of the exported numbers, where a target has a choice.

    Returns:
        For each target the largest |export - cell| / (1 + |cell|) of any number in any new state, or in what
        a network shows of it.

    Raises:
        ConfigError: an unknown target.
        UnsupportedError: a primitive without a rule, or a missing package or compiler.
    """
    exporters = {target: exporter_for(target, precision) for target in targets}
    flat_step(source)  # says what is wrong with a source that is no cell
    with TemporaryDirectory() as folder:
        paths = {}
        for target, exporter in exporters.items():
            name, write = next(iter(exporter.files.items()))
            make_folder(Path(folder) / target)
            paths[target] = Path(folder) / target / name
            write(source, paths[target], None)
        probe = _probe(source, samples, seed)  # last: it is compiled, and a target may refuse the cell
        return {target: _deviation(exporters[target], path, probe) for target, path in paths.items()}


def written_deviation(
    source: object, target: str, path: Path, *, samples: int = 1000, seed: int = 0
) -> float:
    """The same for a file that is there already: it is read back and run.

    Args:
        source: what was exported.
        target: "numpy", "c", "casadi" or "onnx" (a step in float32).
        path: the file.
        samples: number of inputs and states.
        seed: draws them.

    Raises:
        AttractorError: the file cannot be read or run: it was cut or changed on its way to the disk.
        UnsupportedError: what runs it is missing.
    """
    return _deviation(EXPORTERS.find(target), path, _probe(source, samples, seed))


class _Probe(NamedTuple):
    """Where a cell is compared with what was written, and what it gives there."""

    inputs: Rows
    states: Rows
    after: Rows
    seen: Rows


def _with_gaps(cell: CellLike, inputs: Rows, seed: int) -> Rows:
    """Inputs of which some are missing (NaN), for a cell that takes missing values."""
    if not getattr(cell, "takes_missing", False):
        return inputs
    return np.where(np.random.default_rng(seed).random(inputs.shape) < _GAPS, np.nan, inputs)


def _probe(source: object, samples: int, seed: int) -> _Probe:
    cell, read = parts_of(source, None)
    inputs, states = sampled_rows(cell, samples, seed)
    inputs = _with_gaps(cell, inputs, seed)
    after = _steps(cell, inputs, states)
    return _Probe(inputs, states, after, after[:, :0] if read is None else _outputs(source, after))


def _deviation(exporter: Exporter, path: Path, probe: _Probe) -> float:
    try:
        after, seen = exporter.run(path, probe.inputs, probe.states, probe.seen.shape[1])
    except (AttractorError, ImportError):
        raise
    except Exception as problem:
        raise AttractorError(
            f"{path} does not run, so that it was not written as it should be: {problem}"
        ) from problem
    return max(deviation(after, probe.after), deviation(seen, probe.seen))


def _outputs(source: object, states: Rows) -> Rows:
    """What a network reads off states, in float64."""
    with double_precision():
        cell, read = parts_of(in_double_precision(source), None)
        layout = layout_of(initial_state(cell), name_of(cell), jnp.float64)

        def seen(state: Array) -> Array:
            return jnp.ravel(read(layout.restore(state))) if read is not None else state[:0]

        return np.asarray(jax.jit(jax.vmap(seen))(jnp.asarray(states)))


def _steps(cell: CellLike, inputs: Rows, states: Rows) -> Rows:
    """The steps of the cell itself, in float64, unless that copy is another map than the cell."""
    with double_precision():
        double = steps_at(in_precision(cell, jnp.float64), inputs, states, jnp.dtype(jnp.float64))
    with usual_promotion():  # the cell as it is, whatever the process forbids
        own = steps_at(cell, inputs, states, jnp.dtype(jnp.float32))
    return own if deviation(own, double) > _ROUNDING else double
