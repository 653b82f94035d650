"""Reach tubes: for every step of a run a band that no input of a set makes any output leave, proved.

Beside the proved band stands the one that runs really reach: they are sampled, and attacked along gradients.
The truth lies between the two. What a bound owes to each input is the map of sensitivities.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from attractor.cells import CellLike, State
from attractor.errors import ConfigError, ShapeError
from attractor.program import double_precision, flat_map, trace
from attractor.program.flat import FlatMap
from attractor.program.walk import aval
from attractor.progress import Reporter, SilentReporter
from attractor.report.drawn import Drawn
from attractor.shown import Rows, counted

from ..dual.bounds import bounds_of
from ..dual.lowering import network_of
from ..dual.network import Network
from .box import box_of, inside
from .trajectories import Reached, Runs, SteppedRuns, WholeRuns, attacked

_LONGEST, _SHORTEST, _NUMBERS = 100, 20, 800
"""Steps of a window, at most and at least, and states times steps: 100 steps of 8 states take some 20 s."""


@dataclass(frozen=True, eq=False)
class Tube(
    Drawn,
    picture="attractor.certify.verify.verify_figures:draw_tube",
    next_call=".plot(), .low, .high, .sensitivity(step)",
):
    """What outputs can be at every step, for all inputs (and starts) of a set.

    Args:
        low: no run is below this; proved.
        high: no run is above this; proved.
        least: the smallest value that a run of the attack reached.
        most: the largest one.
        nominal: the run of the nominal inputs.
        input_low: least inputs.
        input_high: largest ones.
        input_nominal: the nominal ones.
        influence: half of the width of a band that the input so many steps before it accounts for, the input
            of its own step first.
        lowest: the inputs that reach `least`, end to end, behind the start where that was free.
        highest: those that reach `most`.
        names: of the outputs.
        channels: of the inputs.
        window: steps that the proof went back.
        seconds: how long it took.
    """

    low: Float[np.ndarray, "steps outputs"]
    high: Float[np.ndarray, "steps outputs"]
    least: Float[np.ndarray, "steps outputs"]
    most: Float[np.ndarray, "steps outputs"]
    nominal: Float[np.ndarray, "steps outputs"]
    input_low: Float[np.ndarray, "steps channels"]
    input_high: Float[np.ndarray, "steps channels"]
    input_nominal: Float[np.ndarray, "steps channels"]
    influence: Float[np.ndarray, "steps outputs back channels"]
    lowest: Float[np.ndarray, "steps outputs points"]
    highest: Float[np.ndarray, "steps outputs points"]
    names: tuple[str, ...]
    channels: tuple[str, ...]
    window: int
    seconds: float

    @property
    def looseness(self) -> float:
        """How many times as wide the proved band is as the reached one, in the mean over steps and outputs.

        Outputs that no input moves do not count; 1 if none is moved.
        """
        proved, reached = self.high - self.low, self.most - self.least
        moved = reached > 1e-9 * np.maximum(np.abs(self.nominal).max(initial=0.0), 1e-300)
        return float(np.mean(proved[moved] / reached[moved])) if moved.any() else 1.0

    def sensitivity(self, step: int | None = None, output: int = 0) -> Float[np.ndarray, "steps channels"]:
        """Half of the width of the band of an output at a step that each input at each step accounts for.

        Args:
            step: of the output; the last one if not given.
            output: which.
        """
        step = len(self.low) - 1 if step is None else step
        found = np.zeros(self.input_low.shape)
        for back, row in enumerate(self.influence[step, output]):
            if back <= step:
                found[step - back] = row
        return found

    def __str__(self) -> str:
        """Each output, proved beside reached."""
        steps = counted(len(self.low), "step")
        lines = [f"tube over {steps}, {counted(len(self.names), 'output')}: proved beside reached"]
        for index, name in enumerate(self.names):
            lines.append(
                f"{name}: within {self.low[:, index].min():.6g} and {self.high[:, index].max():.6g} (proved),"
                f" {self.least[:, index].min():.6g} to {self.most[:, index].max():.6g} was reached"
            )
        lines.append(f"the proved band is {self.looseness:.3g} times as wide as the reached one, in the mean")
        return "\n".join(lines)

    def rows_shown(self) -> Rows:
        """Proved and reached ends of every output at every step."""
        header = ("step", "output", "proved low", "reached low", "nominal", "reached high", "proved high")
        ends = (self.low, self.least, self.nominal, self.most, self.high)
        rows = [
            (str(step), name, *(f"{end[step, index]:.6g}" for end in ends))
            for step in range(len(self.low))
            for index, name in enumerate(self.names)
        ]
        return Rows(header, tuple(rows))


class _Problem(NamedTuple):
    """A box of points (start and inputs, end to end) and what it is made of."""

    low: np.ndarray
    high: np.ndarray
    nominal: np.ndarray
    states: int
    shape: tuple[int, int]


@dataclass(frozen=True)
class TubeNames:
    """What outputs and inputs are called.

    Args:
        outputs: one name each; y0, y1 ... if there are none.
        inputs: one name each; u0, u1 ... if there are none.
    """

    outputs: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()


def reach_tube(
    function: Callable[[Array], Array],
    low: ArrayLike,
    high: ArrayLike,
    *,
    nominal: ArrayLike | None = None,
    names: TubeNames | None = None,
    seed: int = 0,
) -> Tube:
    """The tube of a function from inputs (steps, channels) to outputs (steps, outputs).

    All steps are bounded through the whole function, back to the first input. `cell_tube` does the same with
    a cell, over horizons of any length.

    Args:
        function: anything that JAX can trace; the output of a step may depend on any input.
        low: least inputs, shape (steps, channels).
        high: largest ones.
        nominal: inputs between both, whose run is shown; the middle if not given.
        names: of outputs and inputs.
        seed: of the attack.

    Raises:
        InputDataError: ends that are no finite numbers, or a lower one above the upper one.
        ShapeError: ends of different shapes, or outputs that are not (steps, outputs).
        UnsupportedError: an operation that bounds have no rule for; it is named.

    Example:
        >>> import jax.numpy as jnp
        >>> tube = reach_tube(lambda u: jnp.tanh(jnp.cumsum(u, axis=0)), [[-1.0]] * 2, [[1.0]] * 2)
        >>> bool(tube.high[1, 0] >= jnp.tanh(2.0))
        True
    """
    began = time.monotonic()
    problem = _problem(low, high, nominal, None)
    with double_precision():
        program = trace(lambda flat: function(jnp.reshape(flat, problem.shape)), jnp.asarray(problem.nominal))
    shape = tuple(aval(program.jaxpr.outvars[0]).shape)
    if len(program.jaxpr.outvars) != 1 or len(shape) != 2 or shape[0] != problem.shape[0]:
        raise ShapeError(
            f"the function returns {shape} for inputs {problem.shape}; a tube needs (steps, outputs), "
            f"of {counted(problem.shape[0], 'step')}"
        )
    network = network_of(program)
    found = bounded_steps(network, problem.low, problem.high, problem.shape, shape[1], 0)
    return _tube(WholeRuns(network, shape[1]), problem, found, names, (problem.shape[0], seed, began))


def cell_tube(  # noqa: PLR0913 (a system, its set, and how it is looked at)
    cell: CellLike,
    low: ArrayLike,
    high: ArrayLike,
    *,
    start: tuple[ArrayLike, ArrayLike] | None = None,
    read: Callable[[State], Array] | None = None,
    nominal: ArrayLike | None = None,
    window: int | None = None,
    names: TubeNames | None = None,
    reporter: Reporter | None = None,
    seed: int = 0,
) -> Tube:
    """The tube of what a cell shows after every step.

    The proof goes back through the equations of `window` steps at most; before them stands a proved box of
    the state. Windows overlap by half, and what any of them proves holds.

    Args:
        cell: any cell, also one of your own.
        low: least inputs, shape (steps, channels).
        high: largest ones.
        start: least and largest state to start from, as vectors in the order of
            `attractor.program.flat_map`; the cell's own start if not given.
        read: the outputs that a state shows, a vector; what the cell exposes if not given.
        nominal: inputs between both, whose run is shown; the middle if not given.
        window: steps; 100 if not given, down to 20 for more than 8 states. A longer one is tighter and costs
            its square.
        names: of outputs and inputs.
        reporter: of progress.
        seed: of the attack.

    Raises:
        InputDataError: ends that are no finite numbers, or a lower one above the upper one.
        ShapeError: ends that do not fit the cell.
        ConfigError: a window of less than two steps.
        UnsupportedError: an operation that bounds have no rule for, or a counter that decides what the cell
            does; it is named.
    """
    began = time.monotonic()
    if window is not None and window < 2:
        raise ConfigError(f"window={window}: a proof goes back at least 2 steps")
    with double_precision():
        flat = flat_map(cell)
        flat = flat.still("reach tubes") if flat.layout.discrete else flat
        own = np.asarray(flat.start, float)
        window = usual_window(len(own)) if window is None else window
        unrolled = Unrolled(flat, read, _checked(low, flat))
        problem = _problem(low, high, nominal, (own, own) if start is None else start)
        if problem.states != len(own):
            raise ShapeError(f"a start of {problem.states} numbers, the state of the cell has {len(own)}")
        step = unrolled.network(1)
        found = _in_windows(unrolled, problem, window, reporter or SilentReporter())
    runs = SteppedRuns(step, problem.states, problem.shape[0])
    return _tube(runs, problem, found, names, (min(window, problem.shape[0]), seed, began))


def usual_window(states: int) -> int:
    """Steps that a proof goes back through the equations before it takes a box of the state.

    Args:
        states: numbers in the state.
    """
    return min(max(_NUMBERS // max(states, 1), _SHORTEST), _LONGEST)


def _checked(low: ArrayLike, flat: FlatMap) -> int:
    shape = np.shape(low)
    if len(shape) != 2 or shape[1] != flat.input_size or not shape[0]:
        raise ShapeError(
            f"inputs of shape {shape} for {flat.layout.owner}; a tube needs (steps, {flat.input_size}), at "
            "least one step"
        )
    return shape[1]


def _problem(
    low: ArrayLike, high: ArrayLike, nominal: ArrayLike | None, start: tuple[ArrayLike, ArrayLike] | None
) -> _Problem:
    lows, highs = box_of(low, high)
    if lows.ndim != 2 or not lows.size:
        raise ShapeError(
            f"inputs of shape {lows.shape}; a tube needs (steps, channels), at least one of each"
        )
    middle = inside(nominal, lows, highs)
    begins = box_of(*start, what="the start") if start is not None else (np.zeros(0), np.zeros(0))
    first, last = (one.ravel() for one in begins)
    return _Problem(
        np.concatenate([first, lows.ravel()]),
        np.concatenate([last, highs.ravel()]),
        np.concatenate([inside(None, first, last), middle.ravel()]),
        first.size,
        (lows.shape[0], lows.shape[1]),
    )


@dataclass(eq=False)
class Unrolled:
    """Networks of so many steps, from a state and inputs to all outputs and the last state.

    Args:
        flat: the cell as a map of vectors.
        read: the outputs that a state shows; None for what the cell exposes.
        channels: inputs of a step.
    """

    flat: FlatMap
    read: Callable[[State], Array] | None
    channels: int

    def network(self, steps: int, kept: int | None = None) -> Network:
        """The normal form of some steps; `kept` is the step whose state is given, the last if not said."""
        states, kept = self.flat.size, steps if kept is None else kept

        def run(point: Array) -> Array:
            state, parts, last = point[:states], [], point[:states]
            for step in range(steps):
                begin = states + step * self.channels
                state = self.flat.step(state, point[begin : begin + self.channels])
                parts.append(self._shown(state))
                last = state if step + 1 == kept else last
            return jnp.concatenate([*parts, last])

        return network_of(trace(run, jnp.zeros(states + steps * self.channels)))

    def _shown(self, state: Array) -> Array:
        if self.read is None:
            return jnp.ravel(self.flat.output(state))
        return jnp.ravel(self.read(self.flat.restore(state)))


class StepBands(NamedTuple):
    """Proved ends and influences of some steps, and of the state that they lead to."""

    low: np.ndarray
    high: np.ndarray
    influence: np.ndarray
    state_low: np.ndarray
    state_high: np.ndarray


def _in_windows(unrolled: Unrolled, problem: _Problem, window: int, reporter: Reporter) -> StepBands:
    """Bounds of all steps, window by window; the first of each starts in a box that one before has proved."""
    steps, channels = problem.shape
    length, states = min(window, steps), problem.states
    stride = length if length == steps else window // 2
    network = unrolled.network(length, stride)
    outputs = (len(network.output.bias) - states) // length
    found = _nothing(steps, outputs, length, channels)
    ends = [one[states:].reshape(steps, channels) for one in (problem.low, problem.high)]
    state = problem.low[:states], problem.high[:states]
    for begin in range(0, steps, stride):
        if begin and begin + length - stride >= steps:
            break
        if begin + length > steps:
            length = steps - begin
            network = unrolled.network(length, min(stride, length))
        box = [
            np.concatenate([first, end[begin : begin + length].ravel()])
            for first, end in zip(state, ends, strict=True)
        ]
        if not all(np.isfinite(end).all() for end in box):
            break  # what comes after a state without bounds has none
        part = bounded_steps(network, *box, (length, channels), outputs, states)
        _joined(found, part, begin)
        state = part.state_low, part.state_high
        reporter.update(min(begin + length, steps), steps)
    reporter.close()
    return found


def _nothing(steps: int, outputs: int, back: int, channels: int) -> StepBands:
    low = np.full((steps, outputs), -np.inf)
    return StepBands(low, -low, np.zeros((steps, outputs, back, channels)), np.zeros(0), np.zeros(0))


def _joined(found: StepBands, part: StepBands, begin: int) -> None:
    """Keep the better of what is known and what a window has found."""
    rows = slice(begin, begin + len(part.low))
    better = part.high - part.low < found.high[rows] - found.low[rows]
    back = part.influence.shape[2]
    found.influence[rows, :, :back][better] = part.influence[better]
    found.low[rows] = np.maximum(found.low[rows], part.low)
    found.high[rows] = np.minimum(found.high[rows], part.high)


def bounded_steps(
    network: Network, low: np.ndarray, high: np.ndarray, inputs: tuple[int, int], outputs: int, states: int
) -> StepBands:
    """Bands of all outputs of some steps, and of the state that they lead to.

    Args:
        network: of `Unrolled`, from a state and the inputs of all steps.
        low: least state and inputs, end to end.
        high: largest ones.
        inputs: steps, and inputs of each.
        outputs: of each step.
        states: numbers in the state.
    """
    bounds = bounds_of(network, low, high)
    steps, channels = inputs
    count = steps * outputs
    slopes = (np.abs(bounds.low_slopes[:count]) + np.abs(bounds.high_slopes[:count])) / 2
    moved = (slopes * (high - low) / 2)[:, states:].reshape(steps, outputs, steps, channels)
    influence = np.zeros_like(moved)
    for step in range(steps):
        influence[step, :, : step + 1] = moved[step, :, step::-1]
    least, most = (end[:count].reshape(steps, outputs) for end in (bounds.low, bounds.high))
    return StepBands(least, most, influence, bounds.low[count:], bounds.high[count:])


def _tube(
    runs: Runs, problem: _Problem, found: StepBands, names: TubeNames | None, how: tuple[int, int, float]
) -> Tube:
    window, seed, began = how
    reached: Reached = attacked(runs, problem.low, problem.high, problem.nominal, seed=seed)
    nominal = runs.evaluate(problem.nominal[None])[0]
    low, high, given = (
        one[problem.states :].reshape(problem.shape) for one in (problem.low, problem.high, problem.nominal)
    )
    outputs, channels = _named(names or TubeNames(), nominal.shape[1], problem.shape[1])
    return Tube(
        low=found.low,
        high=found.high,
        least=reached.low,
        most=reached.high,
        nominal=nominal,
        input_low=low,
        input_high=high,
        input_nominal=given,
        influence=found.influence,
        lowest=reached.lowest,
        highest=reached.highest,
        names=outputs,
        channels=channels,
        window=window,
        seconds=time.monotonic() - began,
    )


def _named(names: TubeNames, outputs: int, inputs: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    found = []
    for letter, given, count in (("y", names.outputs, outputs), ("u", names.inputs, inputs)):
        if given and len(given) != count:
            raise ShapeError(f"{counted(len(given), 'name')} for {counted(count, 'signal')}: {given}")
        found.append(given or tuple(f"{letter}{index}" for index in range(count)))
    return found[0], found[1]
