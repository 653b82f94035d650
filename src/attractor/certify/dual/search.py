"""Complete search: is there an input in a box at which all conditions of some clause hold?

The conditions are entries g_k(x) <= 0 (or < 0) of one network's output, a clause is a set of them. An attack
looks for such an input; branch and bound proves that there is none: a piece of the box is done with a clause
when a condition of it, or a mean of them, is above zero there. Pieces are cut along inputs where these are
few, else at inner values, whose slopes go on from those of the whole. A box that is one point is decided by
fractions where that is possible; a piece whose ends leave no number to cut at stays undecided. Whatever ends
the search, the answer is what is known by then.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from .attack import Attack, Check
from .branching import halvable, inner_cuts, input_cuts
from .clauses import Clauses
from .exact import below, exact_outputs, least_sum
from .network import Network
from .pieces import Cuts, Pieces, whole
from .relaxation import Region, Walked, output_box, walk, wanted_of
from .slopes import Descent, Means, descended, of_piece, slopes_of, started
from .tightening import Effort, Tightened, opened_entries, tightened
from .tree import Journal, Tree, Walk

# Pieces in one batch, and numbers that a batch may hold for one objective of each piece.
_PIECES, _NUMBERS = 512, 200_000
# Sums of a batch that are taken without rounding.
_SUMS = 64
# Inputs up to which cuts are along them.
FEW_INPUTS = 16
# Seconds that a batch may take, and the share of the time that goes into attacks after the first rounds.
_SECONDS, _ATTACKS = 0.4, 0.15
# Steps of descents: for boxes of the whole (with few inputs and with many), for means of the whole, of a
# piece, of a piece cut inside.
_BOXES_FEW, _BOXES, _ROOT, _PIECE, _INNER = 20, 60, 60, 12, 25
# Numbers that descents for boxes of the whole may go through.
_ROOT_NUMBERS = 1e8
# Numbers of a piece that walks for its inner values may go through.
_WALK_NUMBERS = 300_000

Tell = Callable[[str], None]


class Found(Enum):
    """How a search ended."""

    ABSENT = "no input of the box satisfies a clause"
    PRESENT = "an input of the box satisfies a clause"
    OPEN = "not decided"


@dataclass(frozen=True, eq=False)
class Search:
    """What a search found.

    Args:
        found: how it ended.
        point: the input that satisfies a clause; None otherwise.
        lower: no clause's largest condition is below this on the box (proved); positive when absent.
        attained: the smallest of them that was met at an input.
        pieces: pieces of the box bounded.
        left: pieces not decided.
        seconds: how long it took.
        tree: how the box was cut, where a journal was kept.
    """

    found: Found
    point: Float[np.ndarray, " inputs"] | None
    lower: float
    attained: float
    pieces: int
    left: int
    seconds: float
    tree: Tree | None = None


def search(  # noqa: PLR0913 (a search, its limits, and whom to tell)
    network: Network,
    low: Float[np.ndarray, " inputs"],
    high: Float[np.ndarray, " inputs"],
    clauses: Clauses,
    *,
    seconds: float | int = 60,
    check: Check = lambda _: True,
    tell: Tell = lambda _: None,
    seed: int = 0,
    tolerance: float | None = None,
    journal: Journal | None = None,
    exact: bool = True,
) -> Search:
    """Decide whether an input of a box satisfies all conditions of one of the clauses.

    Args:
        network: whose outputs are the conditions.
        low: least inputs.
        high: largest ones.
        clauses: of conditions.
        seconds: when to stop.
        check: whether an input that satisfies a clause by this arithmetic also does so by the network itself.
        tell: what to do with a line of progress.
        seed: of the attack.
        tolerance: go on until `lower` and `attained` are this close, whatever their signs; None to decide.
        journal: where to write down how the box is cut, for a certificate.
        exact: whether the numbers of the network are those that are meant, without any rounding, so that a
            single point, and a sum at its threshold, may be decided by fractions.
    """
    began = time.monotonic()
    attack = Attack(network, clauses, check, low, high, np.random.default_rng(seed), tolerance is None)
    one = _Searching(
        Region(network, low, high),
        attack,
        journal or Journal(),
        journal is not None,
        began,
        began + seconds,
        tell,
        tolerance,
        exact,
    )
    with np.errstate(all="ignore"):
        found = one.found()
    tree = None if journal is None else journal.tree
    return Search(
        found, attack.point, one.lower, attack.best, one.done, len(one.left) + one.stuck,
        time.monotonic() - began, tree,
    )  # fmt: skip


@dataclass(eq=False)
class _Searching:
    """The state of a search."""

    region: Region
    attack: Attack
    journal: Journal
    noting: bool
    began: float
    deadline: float
    tell: Tell
    tolerance: float | None
    exact: bool
    done: int = 0
    stuck: int = 0
    told: float = 0.0
    proved: float = np.inf
    batch: int = field(init=False)
    left: Pieces = field(init=False)

    def __post_init__(self) -> None:
        network = self.region.network
        widest = max(network.inputs, *(node.size for node in network.nodes), 1)
        self.batch = max(min(_PIECES, _NUMBERS // widest), 1)
        self.told = self.began
        self.left = whole(self.region, len(self.attack.clauses.members))

    @property
    def few(self) -> bool:
        """Whether pieces are cut along inputs."""
        return self.region.network.inputs <= FEW_INPUTS

    @cached_property
    def margin(self) -> float:
        """How far above zero a bound must be: for a certificate, as much as other roundings may cost."""
        if not self.noting:
            return 0.0
        return float(np.clip(1e-12 * self.region.magnitudes.output.max(initial=0.0), 0.0, 1e-7))

    @cached_property
    def alone(self) -> np.ndarray:
        """Conditions on one value each: their ranges are exact, whatever else is rounded."""
        output = self.region.network.output
        found = np.zeros(len(output.bias), bool)
        for rows, *_ in output.singles:
            found[rows] = True
        return found

    @property
    def lower(self) -> float:
        """No clause's largest condition is below this."""
        return min(self.proved, float(self.left.bounds.min(initial=np.inf)))

    def late(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() > self.deadline

    def enough(self, bounds: np.ndarray) -> np.ndarray:
        """Whether lower bounds of clauses need no more work."""
        if self.tolerance is None:
            return bounds > self.margin
        return bounds >= self.attack.best - self.tolerance

    def found(self) -> Found:
        """Attack, bound the whole, then cut it."""
        if self.exact and self.tolerance is None and (self.region.low == self.region.high).all():
            known = self._at_point()
            if known is not None:
                return known
        if self.late():
            return Found.OPEN
        if self.attack.round(self.region.low[None], self.region.high[None], self.deadline):
            return Found.PRESENT
        while len(self.left):
            if self.late():
                return Found.OPEN
            began = time.monotonic()
            if self._batch():
                return Found.PRESENT
            if time.monotonic() - began > _SECONDS:
                self.batch = max(self.batch // 2, 1)
            self._progress()
        return Found.OPEN if self.stuck else Found.ABSENT

    def _progress(self) -> None:
        if time.monotonic() > self.told + 1.0 and len(self.left):
            self.told = time.monotonic()
            self.tell(
                f"{self.done} pieces bounded, {len(self.left)} left, "
                f"between {self.left.bounds.min():.4g} and {self.attack.best:.4g}"
            )

    def _batch(self) -> bool:
        """Bound the pieces with the least bounds and cut what is not decided; whether an input was found."""
        now, self.left = self.left.first(self.batch)
        self.done += len(now)
        step = self._bounded(now)
        if not len(step.now):
            return False
        if self.late():  # nothing is thrown away
            self.left = self.left.joined(step.now)
            return False
        wide = halvable(step.now).any(axis=-1)
        cuts, kept = self._cuts(step), np.flatnonzero(wide)
        if len(kept):
            halves = step.now.taken(kept).halved(cuts.taken(kept), self.journal)
            self.left = self.left.joined(halves)
        self._set_aside(step.now.taken(np.flatnonzero(~wide)))
        return self._attacked(step)

    def _set_aside(self, now: Pieces) -> None:
        """Keep the bounds of pieces that cannot be cut."""
        self.proved = min(self.proved, float(now.bounds.min(initial=np.inf)))
        self.stuck += len(now)

    def _at_point(self) -> Found | None:
        """Decide a box of one point by fractions; None where that is not possible, or the check refuses."""
        point, clauses = self.region.low, self.attack.clauses
        values = exact_outputs(self.region.network, point)
        if values is None:
            return None
        signs = np.array([float((value > 0) - (value < 0)) for value in values])
        met = clauses.met(signs[None])[0]
        if met.any():
            return Found.PRESENT if self.attack.shown(point) else None
        lower = clauses.worst(np.array([[below(value) for value in values]]))
        self.proved = self.attack.best = float(lower.min(initial=np.inf))
        self.done, self.left = 1, self.left.taken(np.zeros(0, int))
        return Found.ABSENT

    def _attacked(self, step: "_Step") -> bool:
        """Try the middles and the worst inputs of the relaxations, and from time to time a round."""
        now = step.now
        coefficients = step.walked.inputs[np.arange(len(now)), step.chosen]
        worst = np.where(coefficients > 0, now.high, now.low)
        if self.attack.tried(np.concatenate([(now.low + now.high) / 2, worst])):
            return True
        if self.attack.rounds > 2 and self.attack.seconds > _ATTACKS * (time.monotonic() - self.began):
            return False
        return self.attack.round(now.low, now.high, self.deadline)

    def _bounded(self, now: Pieces) -> "_Step":
        """Bounds of all clauses on a batch of pieces; what is left of it."""
        first = bool(now.number[0] == 0)
        step = self._conditions(
            now, self._tightened(now, walks=first or self.few or self.noting or self._cheap(now))
        )
        step = self._means(step, self._steps(first=first))
        steps = self._steps_at_root(step.now) if first and len(step.now) else 0
        if steps < 2:
            return step
        again = whole(self.region, len(self.attack.clauses.members))
        if not self.noting:  # a certificate has one set of boxes for the whole, with which all is proved
            again.bounds[:] = step.now.bounds
        step = self._conditions(again, self._tightened(again, steps=steps))
        return self._means(step, _ROOT)

    def _steps(self, *, first: bool) -> int:
        """Of descents for means; pieces cut along inputs gain from them by weights alone."""
        if first:
            return _ROOT
        if not self.few:
            return _INNER
        return _PIECE if self._has_means else 0

    @property
    def _has_means(self) -> bool:
        return int(self.attack.clauses.members.sum(axis=-1).max(initial=1)) > 1

    def _steps_at_root(self, now: Pieces) -> int:
        """Steps of descents for the boxes of all inner values that are worth their time."""
        most = _BOXES_FEW if self.few else _BOXES
        return int(min(most, _ROOT_NUMBERS / max(self._numbers(now), 1)))

    def _cheap(self, now: Pieces) -> bool:
        """Whether walks for all inner values cost no more than a descent for the output."""
        return self._numbers(now) < _WALK_NUMBERS * len(now)

    def _numbers(self, now: Pieces) -> int:
        """How many numbers walks for all open inner values go through, for all pieces."""
        numbers, before = 0, self.region.network.inputs
        for index, node in enumerate(self.region.network.nodes):
            if index:
                numbers += 2 * sum(int(opened_entries(node, box).sum()) for box in now.boxes[index]) * before
            before += node.size
        return numbers

    def _tightened(self, now: Pieces, *, steps: int = 0, walks: bool = True) -> Tightened:
        """Boxes of all inner values; without walks those of pieces that were cut inside stay but there."""
        nodes = self.region.network.nodes

        def noted(node: int, argument: int, entries: np.ndarray, descent: Descent) -> None:
            count = len(entries) if self.noting else 0
            for sign, part in ((1, slice(0, count)), (-1, slice(count, 2 * count))):
                if count:
                    slopes = of_piece(nodes[:node], descent.walked, descent.lines, 0, part)
                    self.journal.walked(Walk(0, node, argument, entries, sign, slopes))

        effort = Effort(walks, steps, noted, lambda _: self.late())
        found = tightened(self.region, now.low, now.high, now.boxes, effort)
        now.boxes = found.boxes
        for node in found.boxes:
            for low, high in node:
                now.bounds[(low > high).any(axis=-1)] = np.inf  # no input is in such a piece
        return found

    def _conditions(self, now: Pieces, known: Tightened) -> "_Step":
        """Bound every condition by itself, with good slopes."""
        output, clauses = self.region.network.output, self.attack.clauses
        wanted, constant = wanted_of(self.region, output, -np.eye(len(output.bias)))
        walked = walk(self.region, now.low, now.high, wanted, constant, known.lines)
        least = output_box(self.region, now.low, now.high, now.boxes)[0]
        exact = np.where(self.alone, least, np.inf)
        lower = np.maximum(-walked.upper, least)
        for row, entry in self._at_threshold(now, lower):
            lower[row, entry] = exact[row, entry] = 0.0
        lower = self._where_defined(now, lower)
        now.bounds = np.maximum(now.bounds, clauses.worst(lower))
        refuted = np.zeros_like(now.open)
        if self.tolerance is None:
            refuted = clauses.refuted(np.where(lower == exact, lower, lower - self.margin))
        now.open &= ~(refuted | self.enough(now.bounds))
        return self._left(_Step(now, known, walked, self._to_mend(lower, now)))

    def _at_threshold(self, now: Pieces, lower: np.ndarray) -> Iterator[tuple[int, int]]:
        """Strict conditions that only rounding leaves open: their least sums are not below zero.

        Yields:
            The piece and the condition.
        """
        size = 1e-9 * np.minimum(self.region.magnitudes.output, 1e3)
        near = (lower < 0) & (lower > -size) & self.attack.clauses.strict & self.exact
        rows, entries = (index[:_SUMS] for index in np.nonzero(near))
        if not len(rows):
            return
        nodes, output = self.region.network.nodes, self.region.network.output
        ends = [node.rule.range(box) for node, box in zip(nodes, now.boxes, strict=True)]
        lows, highs = (
            [first, *(one[side] for one in ends)] for side, first in enumerate((now.low, now.high))
        )
        for row, entry in zip(rows.tolist(), entries.tolist(), strict=True):
            found = least_sum(output, entry, [one[row] for one in lows], [one[row] for one in highs])
            if found is not None and found >= 0:
                yield row, entry

    def _where_defined(self, now: Pieces, lower: np.ndarray) -> np.ndarray:
        """Bounds of pieces on which the network is defined; nothing is known of others."""
        return np.where(self.region.network.defined(now.boxes)[:, None], lower, -np.inf)

    def _to_mend(self, lower: np.ndarray, now: Pieces) -> np.ndarray:
        """The condition nearest to being refuted, of the open clause that is furthest from it."""
        members = self.attack.clauses.members
        clause = np.argmin(np.where(now.open, now.bounds, np.inf), axis=-1)
        return np.argmax(np.where(members[clause], lower, -np.inf), axis=-1)

    def _left(self, step: "_Step") -> "_Step":
        """What is not decided of a batch."""
        still = step.now.open.any(axis=-1)
        self.proved = min(self.proved, float(step.now.bounds[~still].min(initial=np.inf)))
        return step if still.all() else step.taken(np.flatnonzero(still))

    def _means(self, step: "_Step", steps: int) -> "_Step":
        """Bound means of the conditions of the open clauses, by descents."""
        if not (steps and len(step.now)) or self.late():
            return step
        now, members = step.now, self.attack.clauses.members
        kept = np.flatnonzero(now.open.any(axis=0))
        shares = members[kept] / members[kept].sum(axis=-1, keepdims=True)
        means = Means(self.region.network.output, members[kept], np.repeat(shares[None], len(now), axis=0))
        descent = descended(
            self.region, now.low, now.high, means, now.boxes, started(step.known.lines, now.slopes),
            steps=steps, done=lambda upper: self.late() or bool(self._all_enough(-upper, now, kept)),
        )  # fmt: skip
        lower = self._where_defined(now, -descent.walked.upper)
        before = now.open[:, kept]
        now.bounds[:, kept] = np.maximum(now.bounds[:, kept], lower)
        now.open[:, kept] &= ~self.enough(now.bounds[:, kept])
        self._note_means(now, kept, before & ~now.open[:, kept], descent)
        hardest = np.argmin(np.where(now.open[:, kept], lower, np.inf), axis=-1)
        if not self.few:
            now.slopes = slopes_of(descent.lines, hardest, len(now))
        return self._left(_Step(now, step.known, descent.walked, hardest))

    def _all_enough(self, lower: np.ndarray, now: Pieces, kept: np.ndarray) -> bool:
        return bool((self.enough(lower) | ~now.open[:, kept]).all())

    def _note_means(self, now: Pieces, kept: np.ndarray, refuted: np.ndarray, descent: Descent) -> None:
        """Write down what refuted a clause, for a certificate."""
        if not self.noting:
            return
        nodes = self.region.network.nodes
        for row, column in zip(*np.nonzero(refuted), strict=True):
            part = slice(int(column), int(column) + 1)
            weights = None if descent.weights is None else descent.weights[row, part]
            slopes = of_piece(nodes, descent.walked, descent.lines, int(row), part)
            piece = int(now.number[row])
            self.journal.walked(Walk(piece, len(nodes), 0, kept[part], -1, slopes, weights))

    def _cuts(self, step: "_Step") -> Cuts:
        if self.few:
            return input_cuts(step.now, step.known, step.walked, step.chosen)
        return inner_cuts(self.region.network.nodes, step.now, step.known, step.walked, step.chosen)


class _Step(NamedTuple):
    """A batch on its way through the bounds.

    Args:
        now: its pieces.
        known: of their inner values.
        walked: the last bounds.
        chosen: for each piece the objective of these that is to be mended.
    """

    now: Pieces
    known: Tightened
    walked: Walked
    chosen: np.ndarray

    def taken(self, index: np.ndarray) -> "_Step":
        """Some pieces of it."""
        nodes = [None if one is None else one if len(one) == 1 else one[index] for one in self.walked.nodes]
        walked = Walked(self.walked.upper[index], self.walked.inputs[index], nodes)
        return _Step(self.now.taken(index), self.known.taken(index), walked, self.chosen[index])
