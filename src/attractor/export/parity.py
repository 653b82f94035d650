"""Whether an export computes what the cell computes, found by running it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from attractor.cells import initial_state, name_of, take_step
from attractor.errors import ConfigError
from attractor.program import double_precision, flat_map, in_double_precision, layout_of, usual_promotion

from .c.c_step import to_c
from .casadi_function import write_casadi
from .flat_step import deviation, flat_step, parts_of
from .numpy_step import to_numpy
from .onnx_model import to_onnx_step
from .written import run_written

Steps = Float[np.ndarray, "samples _"]

_ROUNDING = 1e-3
"""What float32 may lose in one step of a large cell."""


def check_parity(
    source: Any, *, targets: Sequence[str] = ("numpy", "c"), samples: int = 1000, seed: int = 0
) -> dict[str, float]:
    """Export a cell to each target, run one step at random inputs and states, and compare with the cell.

    Inputs are uniform in [-1, 1], states in [-1, 1] about the initial state; whole numbers of the state stay.
    The step that counts is the cell's own call, with its weights made wider, and with them as they are: where
    these two differ by more than rounding in the type of the cell, the second decides.

    Args:
        source: any cell, or a network with a cell and an output.
        targets: "numpy", "c" (needs a compiler), "casadi", "onnx" (float32).
        samples: number of inputs and states.
        seed: draws them.

    Returns:
        For each target the largest |export - cell| / (1 + |cell|) of any number in any new state, or in what
        a network shows of it.

    Raises:
        ConfigError: an unknown target.
        UnsupportedError: a primitive without a rule, or a missing package or compiler.
    """
    unknown = sorted(set(targets) - set(_WRITERS))
    if unknown:
        message = f"unknown targets {', '.join(unknown)}; known: {', '.join(_WRITERS)}"
        raise ConfigError(message)
    flat_step(source)  # says what is wrong with a source that is no cell
    probe = _probe(source, samples, seed)
    found = {}
    with TemporaryDirectory() as folder:
        for target in targets:
            name, write = _WRITERS[target]
            write(source, Path(folder) / name)
            found[target] = _deviation(target, Path(folder) / name, probe)
    return found


def written_deviation(source: Any, target: str, path: Path, *, samples: int = 1000, seed: int = 0) -> float:
    """The same for a file that is there already: it is read back and run.

    Args:
        source: what was exported.
        target: "numpy", "c", "casadi" or "onnx" (a step in float32).
        path: the file.
        samples: number of inputs and states.
        seed: draws them.

    Raises:
        AttractorError: the file cannot be read or run.
        UnsupportedError: what runs it is missing.
    """
    return _deviation(target, path, _probe(source, samples, seed))


class _Probe(NamedTuple):
    """Where a cell is compared with what was written, and what it gives there."""

    given: Steps
    states: Steps
    after: Steps
    seen: Steps


def _probe(source: Any, samples: int, seed: int) -> _Probe:
    cell, read = parts_of(source, None)
    given, states = _places(cell, samples, seed)
    after = _steps(cell, given, states)
    return _Probe(given, states, after, after[:, :0] if read is None else _outputs(source, after))


def _deviation(target: str, path: Path, probe: _Probe) -> float:
    after, seen = run_written(target, path, probe.given, probe.states, probe.seen.shape[1])
    return max(deviation(after, probe.after), deviation(seen, probe.seen))


def _outputs(source: Any, states: Steps) -> Steps:
    """What a network reads off states, in float64."""
    with double_precision():
        cell, read = parts_of(in_double_precision(source), None)
        layout = layout_of(initial_state(cell), name_of(cell), jnp.float64)

        def seen(state: Any) -> Any:
            return jnp.ravel(read(layout.restore(state))) if read is not None else state[:0]

        return np.asarray(jax.jit(jax.vmap(seen))(jnp.asarray(states)))


def _places(cell: Any, samples: int, seed: int) -> tuple[Steps, Steps]:
    """Random inputs and states, which float32 holds exactly, so that a cell sees them in any type."""
    numbers = np.random.default_rng(seed)
    flat = flat_map(cell, dtype=jnp.float32)
    given = numbers.uniform(-1, 1, (samples, flat.input_size)).astype(np.float32)
    states = np.tile(np.asarray(flat.start), (samples, 1))
    states[:, : flat.real_size] += numbers.uniform(-1, 1, (samples, flat.real_size)).astype(np.float32)
    return given.astype(float), states.astype(float)


def _steps(cell: Any, given: Steps, states: Steps) -> Steps:
    """The steps of the cell itself, in float64, unless that copy is another map than the cell."""
    with double_precision():
        wide = _called(in_double_precision(cell), given, states, jnp.float64)
    with usual_promotion():  # the cell as it is, whatever the process forbids
        own = _called(cell, given, states, jnp.float32)
    return own if deviation(own, wide) > _ROUNDING else wide


def _called(cell: Any, given: Steps, states: Steps, dtype: Any) -> Steps:
    """Steps of a cell whose types are left alone."""
    layout = layout_of(initial_state(cell), name_of(cell), dtype)

    def step(given: Any, state: Any) -> Any:
        return layout.flatten(take_step(cell, given, layout.restore(state)))

    # One after the other, as every step can be run; `vmap` knows no rule for a callback.
    rows = jnp.asarray(given, dtype), jnp.asarray(states, dtype)
    return np.asarray(jax.jit(lambda rows: jax.lax.map(lambda row: step(*row), rows))(rows), float)


_WRITERS: dict[str, tuple[str, Callable[[Any, Path], Any]]] = {
    "numpy": ("step.py", to_numpy),
    "c": ("step.c", to_c),
    "casadi": ("step.casadi", write_casadi),
    "onnx": ("step.onnx", to_onnx_step),
}
