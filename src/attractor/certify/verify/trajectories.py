"""What runs of a system reach: its series for many inputs at once, and an attack on every step of it.

A point is a start state (if that is free) and all inputs, end to end. All is plain NumPy on the normal form,
so that thousands of runs cost little; what is reached lies inside of what is proved, up to rounding.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from ..dual.network import Network

Points = Float[np.ndarray, "rows points"]
Series = Float[np.ndarray, "rows steps outputs"]


@runtime_checkable
class Runs(Protocol):
    """A system whose outputs are known for any point."""

    def evaluate(self, points: Points) -> Series:
        """The outputs of every step, for each point."""
        ...

    def gradient(self, points: Points, weights: Series) -> Points:
        """Derivative of the weighted sum of all outputs, for each point."""
        ...


@dataclass(frozen=True, eq=False)
class WholeRuns:
    """A function that gives all outputs at once.

    Args:
        network: its normal form, from a point to all outputs, step by step.
        outputs: of one step.
    """

    network: Network
    outputs: int

    def evaluate(self, points: Points) -> Series:
        """The outputs of every step, for each point."""
        return self.network.evaluate(points).reshape(len(points), -1, self.outputs)

    def gradient(self, points: Points, weights: Series) -> Points:
        """Derivative of the weighted sum of all outputs, for each point."""
        return self.network.gradient(points, weights.reshape(len(points), -1))


@dataclass(frozen=True, eq=False)
class SteppedRuns:
    """A step that is taken again and again.

    Args:
        step: from a state and an input to the outputs of the step and the next state.
        states: numbers in the state.
        steps: how many are taken.
    """

    step: Network
    states: int
    steps: int

    def evaluate(self, points: Points) -> Series:
        """The outputs of every step, for each point."""
        return np.stack([outputs for _, outputs in self._followed(points)], axis=1)

    def gradient(self, points: Points, weights: Series) -> Points:
        """Derivative of the weighted sum of all outputs, for each point."""
        given = [before for before, _ in self._followed(points)]
        wanted, found = np.zeros((len(points), self.states)), []
        for step in reversed(range(self.steps)):
            rows = np.concatenate([weights[:, step], wanted], axis=1)
            slopes = self.step.gradient(given[step], rows)
            wanted = slopes[:, : self.states]
            found.append(slopes[:, self.states :])
        return np.concatenate([wanted, *reversed(found)], axis=1)

    def _followed(self, points: Points) -> list[tuple[np.ndarray, np.ndarray]]:
        """What every step takes, and the outputs that it gives."""
        inputs = points[:, self.states :].reshape(len(points), self.steps, -1)
        state, found = points[:, : self.states], []
        for step in range(self.steps):
            given = np.concatenate([state, inputs[:, step]], axis=1)
            made = self.step.evaluate(given)
            outputs = made.shape[1] - self.states
            state = made[:, outputs:]
            found.append((given, made[:, :outputs]))
        return found


class Reached(NamedTuple):
    """What an attack reached.

    Args:
        low: smallest value of every output at every step.
        high: largest one.
        lowest: the point of each smallest value, end to end.
        highest: of each largest one.
    """

    low: Float[np.ndarray, "steps outputs"]
    high: Float[np.ndarray, "steps outputs"]
    lowest: Float[np.ndarray, "steps outputs points"]
    highest: Float[np.ndarray, "steps outputs points"]


# Part of the way to the corner that the gradient points at, try by try, and the share of inputs that move.
_MOVES = (*[(1.0, 1.0)] * 3, *[(1.0, 0.5), (0.3, 1.0), (1.0, 0.2), (0.1, 1.0)] * 2, (0.03, 1.0))
_RESTARTS, _PATH = 3, (0.5, 0.5, 0.5, 0.3, 0.3, 1.0, 1.0)
_CHUNK = 2000


@dataclass(eq=False)
class _Record:
    """The extremes so far, the largest of every output and of its negative."""

    runs: Runs
    best: np.ndarray
    points: np.ndarray

    def tried(self, points: np.ndarray) -> None:
        """Keep what some points reach beyond all before."""
        for begin in range(0, len(points), _CHUNK):
            chunk = points[begin : begin + _CHUNK]
            values = self.runs.evaluate(chunk)
            both = np.stack([-values, values], axis=1)
            both = np.where(np.isfinite(both), both, -np.inf)
            row = both.argmax(axis=0)
            most = np.take_along_axis(both, row[None], axis=0)[0]
            better = most > self.best
            self.points[better] = chunk[row[better]]
            self.best = np.where(better, most, self.best)


@np.errstate(all="ignore")
def attacked(
    runs: Runs,
    low: Float[np.ndarray, " points"],
    high: Float[np.ndarray, " points"],
    nominal: Float[np.ndarray, " points"],
    *,
    samples: int = 2000,
    seed: int = 0,
) -> Reached:
    """The extremes of every output at every step: random points, random corners, then ascent by signs.

    Args:
        runs: the system.
        low: least point.
        high: largest one.
        nominal: a point that is tried as well.
        samples: random ones.
        seed: of them.
    """
    generator = np.random.default_rng(seed)
    tried = _samples(low, high, nominal, generator, samples)
    first = runs.evaluate(tried[:1])[0]
    shape = (2, *first.shape)
    record = _Record(runs, np.full(shape, -np.inf), np.broadcast_to(nominal, (*shape, len(low))).copy())
    record.tried(tried)
    _ascended(record, low, high, generator)
    lowest, highest = record.points
    return Reached(-record.best[0], record.best[1], lowest, highest)


def _samples(
    low: np.ndarray, high: np.ndarray, nominal: np.ndarray, generator: np.random.Generator, count: int
) -> np.ndarray:
    """The nominal point, both ends, random points, corners, and corners that hold for some time."""
    inside = generator.uniform(low, high, (count // 2, len(low)))
    corners = np.where(generator.random((count - count // 2, len(low))) < 0.5, low, high)
    return np.concatenate([nominal[None], low[None], high[None], inside, corners])


def _ascended(record: _Record, low: np.ndarray, high: np.ndarray, generator: np.random.Generator) -> None:
    """Move points of every output and side towards the corner that their gradients point at.

    First the best ones; then others, each along a path of its own, for the best may stand on a lower hill.
    """
    steps, outputs = record.best.shape[1:]
    aims = np.eye(steps * outputs).reshape(-1, steps, outputs)
    aims = np.concatenate([-aims, aims])
    for share, moving in _MOVES:
        points = record.points.reshape(len(aims), -1)
        record.tried(
            _moved(record.runs, points, aims, (low, high), share, generator.random(points.shape) < moving)
        )
    for _ in range(_RESTARTS):
        points = np.where(generator.random((len(aims), len(low))) < 0.5, low, high)
        for share in _PATH:
            points = _moved(record.runs, points, aims, (low, high), share)
            record.tried(points)


def _moved(
    runs: Runs,
    points: np.ndarray,
    aims: np.ndarray,
    box: tuple[np.ndarray, np.ndarray],
    share: float,
    which: np.ndarray | bool = True,
) -> np.ndarray:
    """Points part of the way nearer to the corner that raises their aims."""
    low, high = box
    parts = [
        runs.gradient(points[begin : begin + _CHUNK], aims[begin : begin + _CHUNK])
        for begin in range(0, len(aims), _CHUNK)
    ]
    slope = np.where(which, np.concatenate(parts), 0.0)
    corner = np.where(slope > 0, high, np.where(slope < 0, low, points))
    return np.clip(points + share * (corner - points), low, high)
