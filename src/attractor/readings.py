"""Which readings a cell gets, and why not the others: `check_cell`."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from attractor.cells import (
    FunctionCell,
    build_cell,
    calling,
    check_derivative,
    check_module,
    check_trained_arrays,
    check_vector_input,
    exposed_size,
    initial_state,
    input_shape,
    input_size,
    is_built,
    name_of,
    take_step,
    takes_key,
)
from attractor.certify.domains import step_bounds, unit_box
from attractor.errors import AttractorError, CellError, ConfigError, UnsupportedError
from attractor.export import EXPORTERS
from attractor.program import (
    FlatMap,
    Leaf,
    LeafKind,
    check_agreement,
    check_steady,
    double_precision,
    flat_map,
    real_cell,
    unrounded,
)
from attractor.progress import Reporter, interactive_reporter
from attractor.shown import Rows, Shown, counted
from attractor.training.noise import floating

from .dynamics.jacobians import point
from .theory.random_matrices.local_maps import cut_step


@dataclass(frozen=True)
class Reading:
    """One thing that can be done with a cell.

    Args:
        name: of the reading.
        available: whether this cell gets it.
        reason: why not, or what to know about it; empty where nothing is.
    """

    name: str
    available: bool
    reason: str = ""


@dataclass(frozen=True)
class CellReport(Shown, next_call="print(), ['certificates'].reason"):
    """What a cell is, and what can be done with it. Print it.

    Args:
        name: of its class or function.
        input_size: how many numbers its input holds.
        leaves: the arrays of its state, sorted by what they are made of.
        exposed_size: length of the vector that a read-out sees; None if it shows none.
        noisy: whether its step takes a key.
        readings: what it gets, and why not the rest.
        arguments: what its step is called with, in order: "first argument = input (4), second = state (4)".
    """

    name: str
    input_size: int
    leaves: tuple[Leaf, ...]
    exposed_size: int | None
    noisy: bool
    readings: tuple[Reading, ...]
    arguments: str = ""

    def __getitem__(self, name: str) -> Reading:
        """One reading by its name."""
        for reading in self.readings:
            if reading.name == name:
                return reading
        raise KeyError(f"no reading {name!r}; there are {', '.join(one.name for one in self.readings)}")

    @property
    def complete(self) -> bool:
        """Whether it gets every reading."""
        return all(one.available for one in self.readings)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        leaves = [{"name": leaf.name, "kind": leaf.kind.value, "shape": leaf.shape} for leaf in self.leaves]
        readings = {one.name: {"available": one.available, "reason": one.reason} for one in self.readings}
        return {
            "name": self.name,
            "input_size": self.input_size,
            "state": leaves,
            "exposed_size": self.exposed_size,
            "noisy": self.noisy,
            "arguments": self.arguments,
            "readings": readings,
        }

    def __str__(self) -> str:
        """A table."""
        state = ", ".join(f"{leaf.name or 'state'} {leaf.kind.value} {leaf.shape}" for leaf in self.leaves)
        shown = "nothing" if self.exposed_size is None else counted(self.exposed_size, "number")
        noise = "takes a key for noise" if self.noisy else "takes no key: without noise of its own"
        inputs = counted(self.input_size, "input")
        lines = [f"{self.name}: {inputs}; state: {state}; a read-out sees {shown}; {noise}"]
        lines += [f"its step: {self.arguments}"] * bool(self.arguments)
        width = max((len(one.name) for one in self.readings), default=0)
        for one in self.readings:
            mark = "yes" if one.available else "no "
            lines.append(f"  {mark} {one.name:<{width}}  {one.reason}".rstrip())
        return "\n".join(lines)

    def in_brief(self) -> str:
        """What it is, and which readings it gets."""
        missing = [one for one in self.readings if not one.available]
        count = len(self.readings)
        gets = (
            f"gets all {count} readings"
            if not missing
            else f"gets {count - len(missing)} of {count} readings"
        )
        lost = [f"not {one.name}: {one.reason}" for one in missing[:1]]
        more = [f"and {len(missing) - 1} more"] if len(missing) > 1 else []
        return "\n".join([*str(self).splitlines()[: 1 + bool(self.arguments)], gets, *lost, *more])

    def rows_shown(self) -> Rows:
        """Every reading, and why it is not had."""
        rows = ((one.name, "yes" if one.available else "no", one.reason) for one in self.readings)
        return Rows(("reading", "available", "why not"), tuple(rows))


def check_cell(
    cell: Any, input_size: int = 1, hidden_size: int = 4, *, reporter: Reporter | None = None
) -> CellReport:
    """Check the parts of a cell, and tell which readings it gets.

    One step is traced for each reading and written for each export target; nothing is run over time. Large
    constants in the step take time: a matrix of a million numbers a few seconds. What makes a cell unusable
    for everything is an error; what shuts it out of one reading stands in the table. A step whose arguments
    are called the wrong way round is told of by a `CellWarning`.

    Args:
        cell: a cell, or a class or function that builds one from sizes and a key.
        input_size: number of inputs, for what is not built yet.
        hidden_size: number of units, for what is not built yet.
        reporter: hears which reading is looked at; without one a person who waits is told after two seconds.

    Raises:
        CellError: the step or the initial state fails; the message names the line.
        ConfigError: it is no cell; or it has no `input_size`.
        ShapeError: the step returns something else than a state like the initial one.
        UnsupportedError: the state holds something that is no array of numbers.

    Example:
        >>> import attractor, jax
        >>> report = attractor.check_cell(attractor.cells.GRU)
        >>> report["certificates"].available
        True
    """
    cell = _built(cell, input_size, hidden_size)
    name = name_of(cell)
    flat, own = _structure(cell)
    checks = _READINGS | {exporter.title: exporter.check for exporter in EXPORTERS.values()}
    told = interactive_reporter("check_cell") if reporter is None else reporter
    readings = []
    try:
        with _each_warning_once():
            for done, (title, ask) in enumerate(checks.items()):
                told.update(done, len(checks), title)
                readings.append(_asked(title, ask, cell))
            told.update(len(checks), len(checks))
    finally:
        told.close()
    leaves = flat.layout.leaves
    arguments = _arguments(cell, leaves)
    return CellReport(name, own, leaves, _shown(cell), takes_key(cell), tuple(readings), arguments)


@contextmanager
def _each_warning_once() -> Iterator[None]:
    """Several readings say the same of a cell; it is passed on once, at the end."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        yield
    for category, text in dict.fromkeys((one.category, str(one.message)) for one in heard):
        warnings.warn(category(text), stacklevel=4)


def _arguments(cell: Any, leaves: tuple[Leaf, ...]) -> str:
    """What a step is called with, in order and with its sizes."""
    shapes = [", ".join(map(str, leaf.shape)) if leaf.shape else "one number" for leaf in leaves]
    named = [
        f"{leaf.name} {shape}" if len(leaves) > 1 else shape
        for leaf, shape in zip(leaves, shapes, strict=True)
    ]
    parts = [f"input ({', '.join(map(str, input_shape(cell)))})", f"state ({'; '.join(named)})"]
    if isinstance(cell, FunctionCell):
        parts = ["weights"] * (cell.weights is not None) + parts[not cell.takes_input :]
    if len(parts) == 1:
        return f"its only argument = {parts[0]}"
    return ", ".join(
        f"{place} = {part}" for place, part in zip(("first argument", "second", "third"), parts, strict=False)
    )


def _built(cell: Any, inputs: int, hidden: int) -> Any:
    if is_built(cell):
        return cell
    if not callable(cell):
        raise ConfigError(f"{cell!r} is no cell; expected an Equinox module, or a class that builds one")
    return build_cell(cell, inputs, hidden, key=jax.random.key(0))


def _structure(cell: Any) -> tuple[FlatMap, int]:
    """The cell as a map, after one abstract step in each type."""
    if not callable(cell):
        raise ConfigError(
            f"{name_of(cell)} has no step; of a flow give its map, attractor.cells.discretise(flow, step)"
        )
    size = input_size(cell)
    with double_precision():
        flat = flat_map(cell)
        jax.eval_shape(flat.step, flat.start, jnp.zeros(size))
        check_steady(flat.cell, jnp.zeros(input_shape(flat.cell)), flat.restore(flat.start))
    return flat, size


def _shown(cell: Any) -> int | None:
    try:
        return exposed_size(cell)
    except AttractorError:
        return None


def _asked(title: str, ask: Callable[[Any], str], cell: Any) -> Reading:
    try:
        return Reading(title, True, ask(cell))
    except AttractorError as problem:
        return Reading(title, False, _short(problem))


def _short(problem: Exception) -> str:
    """The first line of a message, without the list of what is known."""
    return str(problem).split("\n")[0].split(". Known:")[0].split("; known:")[0]


def _runs(cell: Any) -> str:
    """In its own types, as `unroll` runs it: also the types must come back as they went in."""
    state = jax.tree.map(jnp.asarray, initial_state(cell))
    dtype = next((leaf.dtype for leaf in jax.tree.leaves(cell) if eqx.is_inexact_array(leaf)), jnp.float32)
    given = jnp.zeros(input_shape(cell), jnp.finfo(dtype).dtype)
    after = eqx.filter_eval_shape(lambda state: take_step(cell, given, state), state)
    kinds = [[(one.shape, str(one.dtype)) for one in jax.tree.leaves(tree)] for tree in (state, after)]
    if kinds[0] != kinds[1]:
        raise CellError(f"the step turns leaves {kinds[0]} into {kinds[1]}; they must keep shapes and types")
    return ""


def _trains(cell: Any) -> str:
    check_module(cell)
    check_trained_arrays(cell)
    exposed_size(cell)
    if getattr(cell, "fixed", False):
        return "the cell is fixed; only a read-out is trained"
    check_derivative(cell)
    if not any(eqx.is_inexact_array(leaf) for leaf in jax.tree.leaves(cell)):
        return "the cell has no weights; only a read-out is trained"
    if len(input_shape(cell)) != 1:
        return "by a task of your own; PlantModel and SequenceClassifier have vectors as inputs"
    return ""


def _takes_noise(cell: Any) -> str:
    if not jax.tree.leaves(floating(jax.tree.map(jnp.asarray, initial_state(cell)))):
        raise UnsupportedError("the state holds no real or complex numbers to be disturbed")
    return ""


def _regularised(cell: Any) -> str:
    flat = _analysed(cell)
    for leaf in flat.layout.leaves:
        if leaf.kind is LeafKind.COMPLEX:
            raise UnsupportedError(f"the state holds {leaf}; the regulariser is for real states")
    check_derivative(cell)
    return _takes_noise(cell)


def _analysed(cell: Any) -> FlatMap:
    """The map that analyses take; a cast that they refuse is an error here."""
    with double_precision():
        flat = flat_map(unrounded(cell))
        jax.eval_shape(flat.step, flat.start, jnp.zeros(flat.input_size))
        return flat


def _exact(cell: Any) -> FlatMap:
    """The same of analyses that speak of the cell as it runs: in float64 it must be the same map."""
    check_agreement(cell)
    return _analysed(cell)


def _differentiated(flat: FlatMap) -> None:
    """Refuse a map without a Jacobian."""
    with double_precision(), calling(flat.cell, "derivative of the step"):
        given = jnp.zeros(flat.input_size)
        jax.eval_shape(jax.jacfwd(lambda vector: flat.step(vector, given)), flat.start)


def _has_exponents(cell: Any) -> str:
    flat = _exact(cell)
    _differentiated(flat)
    if not flat.real_size:
        raise UnsupportedError("the state holds no real or complex numbers")
    held = ", ".join(map(str, flat.layout.discrete))
    return f"{held} carried along, not differentiated" if held else ""


def _rests(cell: Any) -> str:
    with double_precision():
        flat = _exact(cell).still("fixed points")
    _differentiated(flat)
    held = ", ".join(map(str, flat.layout.discrete))
    return f"{held} held at the start" if held else ""


def _has_a_curve(cell: Any) -> str:
    _differentiated(_exact(cell))
    with double_precision():
        place = point(cell, initial_state(cell))
        try:
            cut_step(place)
        except UnsupportedError as problem:
            return f"of a cruder model: {_short(problem)}"
    return ""


def _certifiable(cell: Any) -> str:
    with double_precision():
        step = real_cell(cell, "certificates")
        eqx.filter_eval_shape(step_bounds, step, unit_box(step))
    return "tried; a proof is not promised"


def _controls(cell: Any) -> str:
    check_vector_input(cell)
    check_agreement(cell)
    with double_precision():
        flat = flat_map(cell).still("observers and controllers")
    _differentiated(flat)
    exposed_size(cell)
    return ""


_READINGS: dict[str, Callable[[Any], str]] = {
    "run": _runs,
    "training": _trains,
    "noise": _takes_noise,
    "regulariser": _regularised,
    "Lyapunov exponents": _has_exponents,
    "fixed points": _rests,
    "spectral curve": _has_a_curve,
    "certificates": _certifiable,
    "control": _controls,
}
"""The readings in the order of the table: each a check that gives a remark, or raises why it is not there.

The targets of exports follow, in alphabetical order.
"""
