"""Look for an input at which all conditions of a clause hold.

Samples of the box, corners among them, and descents from the best, by Adam and by signs: on the largest
condition of the clause that is nearest to being met, in units of the widths of the box. Regions that violate
a property are often small, so that a round starts from many samples, and rounds with other starts go on for
as long as a search does.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from .clauses import Clauses
from .network import Network

Check = Callable[[np.ndarray], bool]

# Numbers of one batch of samples, and samples.
_NUMBERS = 4_000_000
_MOST = 20_000
# Parts of a batch of samples, between which the clock is looked at.
_PARTS = 16
# Steps, their size, and whether they go by signs, for one round after the other.
_PLANS = ((50, 0.1, False), (60, 0.1, True), (80, 0.3, False), (100, 0.05, True), (120, 0.03, False))


@dataclass(eq=False)
class Attack:
    """The best input so far.

    Args:
        network: whose outputs are the conditions.
        clauses: of them.
        check: whether an input that satisfies a clause by this arithmetic also does so by the network itself.
        low: least inputs.
        high: largest ones.
        generator: of samples.
        stops: whether an input that satisfies a clause ends it.
    """

    network: Network
    clauses: Clauses
    check: Check
    low: np.ndarray
    high: np.ndarray
    generator: np.random.Generator
    stops: bool = True
    best: float = np.inf
    point: np.ndarray | None = None
    near: np.ndarray | None = None
    rounds: int = 0
    seconds: float = 0.0
    refused: int = field(default=0, init=False)

    def tried(self, inputs: np.ndarray) -> bool:
        """Whether one of these inputs satisfies a clause, also by the outer check."""
        return self._looked(inputs, self.network.evaluate(inputs))

    def _looked(self, inputs: np.ndarray, values: np.ndarray) -> bool:
        worst = self._distances(values).min(axis=-1)
        first = int(np.argmin(worst))
        if worst[first] < self.best:
            self.best, self.near = float(worst[first]), inputs[first].copy()
        if not self.stops:
            return False
        met = np.flatnonzero(self.clauses.met(values).any(axis=-1))
        for row in met[np.argsort(worst[met])][:4]:
            if self.refused > 50 and self.generator.random() > 0.05:
                return False  # the outer check has other numbers; it is asked rarely then
            if self.shown(inputs[row]):
                return True
            self.refused += 1
        return False

    def shown(self, point: np.ndarray) -> bool:
        """Whether the outer check accepts an input that satisfies a clause; it ends the search then.

        Args:
            point: the input.
        """
        if not self.check(point):
            return False
        self.point = point.copy()
        return True

    def _distances(self, values: np.ndarray) -> np.ndarray:
        worst = self.clauses.worst(values)
        return np.where(np.isnan(worst), np.inf, worst)

    def round(self, low: np.ndarray, high: np.ndarray, deadline: float) -> bool:
        """One round: samples of boxes, then descents from the best of them.

        Args:
            low: least inputs of boxes to sample, shape (boxes, inputs).
            high: largest ones.
            deadline: of the clock, when to stop.
        """
        if (low == high).all():
            return self.tried(low)
        began = time.monotonic()
        sampled = self._samples(low, high)
        values = self._values(sampled, deadline)
        sampled = sampled[: len(values)]
        found = self._looked(sampled, values)
        if not found and time.monotonic() < deadline:
            order = np.argsort(self._distances(values).min(axis=-1), kind="stable")
            starts = sampled[order[: len(sampled) // 100 + 32]]
            starts = starts if self.near is None else np.vstack([starts, self.near])
            found = self.descended(starts, *_PLANS[self.rounds % len(_PLANS)], deadline)
        self.rounds += 1
        self.seconds += time.monotonic() - began
        return found

    def _values(self, inputs: np.ndarray, deadline: float) -> np.ndarray:
        """Outputs for inputs, or for the first of them where the time is over before."""
        values = []
        for part in np.array_split(inputs, _PARTS):
            values.append(self.network.evaluate(part))
            if time.monotonic() > deadline:
                break
        return np.concatenate(values)

    def _samples(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Middles, random inputs and random corners of random boxes."""
        widest = max(self.network.inputs, *(node.size for node in self.network.nodes), 1)
        count = int(np.clip(_NUMBERS // widest, 64, _MOST))
        which = self.generator.integers(len(low), size=count)
        share = self.generator.random((count, low.shape[1]))
        corners = count // 8
        share[:corners] = share[:corners] < 0.5
        share[corners] = 0.5
        inputs = low[which] + share * (high[which] - low[which])
        return np.clip(inputs, self.low, self.high)

    def descended(self, starts: np.ndarray, steps: int, size: float, signs: bool, deadline: float) -> bool:
        """Adam, or steps by the sign of the slope, on the largest condition of the nearest clause.

        Args:
            starts: shape (rows, inputs).
            steps: at most.
            size: of the first step, in widths of the box.
            signs: whether every input moves by the same share of its width.
            deadline: of the clock, when to stop.
        """
        inputs, width = np.clip(starts, self.low, self.high), self.high - self.low
        first, second = np.zeros_like(inputs), np.zeros_like(inputs)
        rows = np.arange(len(inputs))
        for step in range(steps):
            values = self.network.evaluate(inputs)
            if self._looked(inputs, values):
                return True
            if time.monotonic() > deadline:
                return False
            distances = self._distances(values)
            clause = np.argmin(distances, axis=-1)
            worst = distances[rows, clause][:, None]
            own = (np.where(self.clauses.members[clause], values, -np.inf) == worst).astype(float)
            slope = np.nan_to_num(self.network.gradient(inputs, own)) * width
            first = 0.9 * first + 0.1 * slope
            second = 0.99 * second + 0.01 * slope * slope
            mean, spread = first / (1 - 0.9 ** (step + 1)), second / (1 - 0.99 ** (step + 1))
            direction = np.sign(slope) if signs else mean / (np.sqrt(spread) + 1e-30)
            inputs = np.clip(inputs - size * (1 - step / steps) * width * direction, self.low, self.high)
        return self.tried(inputs)
