"""Complete search: is there an input in a box at which all conditions of some clause hold?

The conditions are entries g_k(x) <= 0 (or < 0) of one network's output, a clause is a set of them. An attack
looks for such an input; branch and bound proves that there is none: a piece of the box is done with a clause
when the lower bound of one of its conditions is above zero there. Pieces are halved along the input that
moves the undecided condition most. Whatever ends the search, the answer is what is known by then.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from jaxtyping import Bool, Float, Int

from .network import Network
from .relaxation import NodeBoxes, Region, output_box, tightened, walk, wanted_of
from .tree import Journal, Tree

# Pieces in one batch, and numbers that a batch may hold for one objective of each piece.
_PIECES = 512
_NUMBERS = 200_000


class Found(Enum):
    """How a search ended."""

    ABSENT = "no input of the box satisfies a clause"
    PRESENT = "an input of the box satisfies a clause"
    OPEN = "not decided"


@dataclass(frozen=True, eq=False)
class Clauses:
    """Sets of conditions on the outputs g of a network.

    Args:
        members: which conditions each clause holds, shape (clauses, conditions).
        strict: whether a condition is g < 0 and not g <= 0, shape (conditions,).
    """

    members: Bool[np.ndarray, "clauses conditions"]
    strict: Bool[np.ndarray, " conditions"]

    def met(self, values: Float[np.ndarray, "rows conditions"]) -> Bool[np.ndarray, "rows clauses"]:
        """Whether all conditions of a clause hold at a row of values; what is no number meets none."""
        holds = np.where(self.strict, values < 0, values <= 0)
        return np.asarray((holds[:, None] | ~self.members).all(axis=-1))

    def refuted(self, lower: Float[np.ndarray, "rows conditions"]) -> Bool[np.ndarray, "rows clauses"]:
        """Whether lower bounds exclude some condition of a clause."""
        fails = np.where(self.strict, lower >= 0, lower > 0)
        return np.asarray((fails[:, None] & self.members).any(axis=-1))

    def worst(self, values: Float[np.ndarray, "rows conditions"]) -> Float[np.ndarray, "rows clauses"]:
        """The largest value among the conditions of every clause."""
        return np.where(self.members, values[:, None], -np.inf).max(axis=-1)


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


@dataclass(eq=False)
class _Pieces:
    """Pieces that are not decided, and what is known of each."""

    low: np.ndarray
    high: np.ndarray
    open: np.ndarray
    bound: np.ndarray
    boxes: NodeBoxes
    number: np.ndarray

    def taken(self, index: np.ndarray) -> "_Pieces":
        boxes = [tuple((low[index], high[index]) for low, high in node) for node in self.boxes]
        return _Pieces(
            self.low[index],
            self.high[index],
            self.open[index],
            self.bound[index],
            boxes,
            self.number[index],
        )

    def __len__(self) -> int:
        return len(self.low)


Check = Callable[[np.ndarray], bool]
Tell = Callable[[str], None]


@dataclass(eq=False)
class _Attack:
    """The best input so far."""

    network: Network
    clauses: Clauses
    check: Check
    best: float = np.inf
    point: np.ndarray | None = None
    near: np.ndarray | None = field(default=None)

    def tried(self, inputs: np.ndarray) -> bool:
        """Whether one of these inputs satisfies a clause, also by the outer check."""
        values = self.network.evaluate(inputs)
        worst = self.clauses.worst(values)
        worst = np.where(np.isnan(worst), np.inf, worst).min(axis=-1)
        first = int(np.argmin(worst))
        if worst[first] < self.best:
            self.best, self.near = float(worst[first]), inputs[first]
        for row in np.flatnonzero(self.clauses.met(values).any(axis=-1))[:8]:
            if self.check(inputs[row]):
                self.point = inputs[row]
                return True
        return False


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
    journal: Journal | None = None,
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
        journal: where to write down how the box is cut, for a certificate.
    """
    began = time.monotonic()
    deadline = began + seconds
    attack, region = _Attack(network, clauses, check), Region(network, low, high)

    def ended(found: Found, lower: float, pieces: int, left: int) -> Search:
        tree = None if journal is None else journal.tree
        return Search(found, attack.point, lower, attack.best, pieces, left, time.monotonic() - began, tree)

    with np.errstate(all="ignore"):
        if _attacked(attack, low, high, np.random.default_rng(seed), deadline):
            return ended(Found.PRESENT, -np.inf, 0, 0)
        return _branched(attack, region, deadline, tell, ended, journal or Journal())


def _branched(
    attack: _Attack,
    region: Region,
    deadline: float,
    tell: Tell,
    ended: Callable[[Found, float, int, int], Search],
    journal: Journal,
) -> Search:
    """Branch and bound over the inputs."""
    clauses = attack.clauses
    start = np.ones((1, len(clauses.members)), bool)
    left = _Pieces(
        region.low[None], region.high[None], start, np.full(1, -np.inf), region.root, np.zeros(1, int)
    )
    done, told, proved = 0, time.monotonic(), np.inf
    batch = max(
        min(
            _PIECES, _NUMBERS // max(region.network.inputs, *(node.size for node in region.network.nodes), 1)
        ),
        1,
    )
    while len(left):
        if time.monotonic() > deadline:
            return ended(Found.OPEN, min(proved, float(left.bound.min())), done, len(left))
        order = np.argsort(left.bound, kind="stable")
        now = left.taken(order[:batch])
        left = left.taken(np.sort(order[batch:]))
        done += len(now)
        rest, corners, axes, bounds = _bounded(region, clauses, now)
        decided = bounds[~rest]
        proved = min(proved, float(decided.min(initial=np.inf)))
        if rest.any() and _corners_tried(attack, region, now, rest, corners):
            return ended(Found.PRESENT, -np.inf, done, len(left))
        halves = _halved(now.taken(np.flatnonzero(rest)), axes[rest], journal)
        left = _joined(left, halves)
        if time.monotonic() > told + 1.0 and len(left):
            told = time.monotonic()
            tell(
                f"{done} pieces bounded, {len(left)} left, "
                f"between {left.bound.min():.4g} and {attack.best:.4g}"
            )
    return ended(Found.ABSENT, proved, done, 0)


def _bounded(
    region: Region, clauses: Clauses, now: _Pieces
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Bound all conditions on a batch of pieces.

    Returns:
        Which pieces are not decided, for each the inputs that its least conditions lie at by the relaxation,
        the axis to halve it along, and the bound of its clauses.
    """
    now.boxes, lines = tightened(region, now.low, now.high, now.boxes)
    output = region.network.output
    wanted, constant = wanted_of(region, output, -np.eye(len(output.bias)))
    found = walk(region, now.low, now.high, wanted, constant, lines)
    lower = np.maximum(-found.upper, output_box(region, now.low, now.high, now.boxes)[0])
    now.open &= ~clauses.refuted(lower)
    worst = clauses.worst(lower)
    now.bound = np.maximum(np.where(now.open, worst, np.inf).min(axis=-1), now.bound)
    bound = np.where(now.open.any(axis=-1), now.bound, worst.min(axis=-1))
    chosen = _condition_to_mend(clauses, lower, now.open)
    coefficients = found.inputs[np.arange(len(now)), chosen]
    corners = np.where(coefficients > 0, now.high, now.low)
    width = now.high - now.low
    reach = np.abs(coefficients).max(axis=-1, keepdims=True)
    axes = np.argmax((np.abs(coefficients) + 1e-3 * reach + 1e-300) * width, axis=-1)
    return np.asarray(now.open.any(axis=-1)), corners, axes, bound


def _condition_to_mend(clauses: Clauses, lower: np.ndarray, still: np.ndarray) -> np.ndarray:
    """The condition nearest to being refuted, of the open clause that is furthest from it."""
    within = np.where(clauses.members[None] & still[:, :, None], lower[:, None], -np.inf)
    best = within.max(axis=-1)
    clause = np.argmin(np.where(still, best, np.inf), axis=-1)
    return np.argmax(within[np.arange(len(lower)), clause], axis=-1)


def _corners_tried(
    attack: _Attack, region: Region, now: _Pieces, rest: np.ndarray, corners: np.ndarray
) -> bool:
    middle = (now.low[rest] + now.high[rest]) / 2
    if attack.tried(np.concatenate([middle, corners[rest]])):
        return True
    nearest = attack.near
    if nearest is None:
        return False
    return _descended(attack, region.low, region.high, np.vstack([nearest, corners[rest][:4]]), 4, 0.02)


def _halved(now: _Pieces, axes: np.ndarray, journal: Journal) -> _Pieces:
    rows = np.arange(len(now))
    middle = (now.low[rows, axes] + now.high[rows, axes]) / 2
    twice = now.taken(np.concatenate([rows, rows]))
    twice.high[rows, axes] = middle
    twice.low[len(rows) + rows, axes] = middle
    twice.number = journal.cut(now.number, axes, middle)
    return twice


def _joined(one: _Pieces, other: _Pieces) -> _Pieces:
    boxes = [
        tuple(
            (np.concatenate([a[0], b[0]]), np.concatenate([a[1], b[1]]))
            for a, b in zip(left, right, strict=True)
        )
        for left, right in zip(one.boxes, other.boxes, strict=True)
    ]
    return _Pieces(
        np.concatenate([one.low, other.low]),
        np.concatenate([one.high, other.high]),
        np.concatenate([one.open, other.open]),
        np.concatenate([one.bound, other.bound]),
        boxes,
        np.concatenate([one.number, other.number]),
    )


def _attacked(
    attack: _Attack, low: np.ndarray, high: np.ndarray, generator: np.random.Generator, deadline: float
) -> bool:
    """Corners, random inputs, and descents from the best of them."""
    sampled = _samples(low, high, generator, 512)
    if attack.tried(sampled):
        return True
    for count, steps in ((32, 30), (32, 100)):
        starts = _samples(low, high, generator, count)
        starts = starts if attack.near is None else np.concatenate([starts, attack.near[None]])
        if time.monotonic() > deadline or _descended(attack, low, high, starts, steps, 0.1):
            return attack.point is not None
    return False


def _samples(low: np.ndarray, high: np.ndarray, generator: np.random.Generator, count: int) -> np.ndarray:
    """The middle, random inputs and random corners."""
    inside = generator.uniform(low, high, (count // 2, len(low)))
    corners = np.where(generator.random((count - count // 2, len(low))) < 0.5, low, high)
    return np.clip(np.concatenate([(low + high)[None] / 2, inside, corners]), low, high)


def _descended(
    attack: _Attack, low: np.ndarray, high: np.ndarray, starts: np.ndarray, steps: int, size: float
) -> bool:
    """Projected gradient descent on what keeps the nearest clause from being met, by sign."""
    inputs, width = np.clip(starts, low, high), high - low
    for step in range(steps):
        values = attack.network.evaluate(inputs)
        clause = np.argmin(attack.clauses.worst(values), axis=-1)
        members = attack.clauses.members[clause]
        worst = np.where(members, values, -np.inf)
        rows = members * (values > 0) + (worst == worst.max(axis=-1, keepdims=True))
        slope = attack.network.gradient(inputs, rows.astype(float))
        moved = inputs - size * (1 - step / steps) * width * np.sign(np.nan_to_num(slope))
        inputs = np.clip(moved, low, high)
        if attack.tried(inputs):
            return True
    return False


def of_clauses(
    members: Sequence[Sequence[int]], conditions: int, strict: Sequence[bool] | None = None
) -> Clauses:
    """Clauses by the numbers of their conditions.

    Args:
        members: of each clause.
        conditions: how many there are.
        strict: which are strict; None for none.
    """
    held: Int[np.ndarray, "clauses conditions"] = np.zeros((len(members), conditions), bool)
    for row, indices in zip(held, members, strict=True):
        row[list(indices)] = True
    return Clauses(held, np.zeros(conditions, bool) if strict is None else np.asarray(strict, bool))
