"""A search over several processes, or machines: the box in parts, each of them searched by itself.

Where it runs is what joblib says: `with joblib.parallel_config(n_jobs=2)` around a call takes two processes,
`backend="dask"` a cluster; without it everything stays in this process. A search that does not end soon is
cut along the inputs that move its conditions most; a network of many inputs, which is cut inside, stays
whole.
"""

import time
import warnings
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, cast

import joblib
import numpy as np
from jaxtyping import Float

from .attack import Check
from .bounds import bounds_of
from .clauses import Clauses
from .network import Network
from .search import FEW_INPUTS, Found, Search, Tell, search

# Seconds before a search is spread, and parts for each process.
_PATIENCE, _PARTS = 3.0, 8


class _Task(NamedTuple):
    """What every part is about, and until when, in seconds of the clock."""

    network: Network
    clauses: Clauses
    until: float
    seed: int
    exact: bool


def spread_search(  # noqa: PLR0913 (a search, its limits, and whom to tell)
    network: Network,
    low: Float[np.ndarray, " inputs"],
    high: Float[np.ndarray, " inputs"],
    clauses: Clauses,
    *,
    seconds: float | int = 60,
    check: Check = lambda _: True,
    tell: Tell = lambda _: None,
    seed: int = 0,
    exact: bool = True,
) -> Search:
    """Decide whether an input of a box satisfies a clause, on as many processes as joblib is told to use.

    Args:
        network: whose outputs are the conditions; see `search` for what is not said here.
        low: least inputs.
        high: largest ones.
        clauses: of conditions.
        seconds: when to stop.
        check: asked in this process alone.
        tell: what to do with a line of progress.
        seed: of the attacks.
        exact: see `search`.
    """
    began, workers = time.monotonic(), joblib.effective_n_jobs(cast(Any, None))
    alone = workers == 1 or len(low) > FEW_INPUTS
    first = search(
        network, low, high, clauses,
        seconds=seconds if alone else min(seconds, _PATIENCE), check=check, tell=tell, seed=seed, exact=exact,
    )  # fmt: skip
    left = seconds - (time.monotonic() - began)
    if alone or first.found is not Found.OPEN or left <= 0 or (first.left and first.lower > 0):
        return first
    parts = _parts(network, low, high, _PARTS * workers)
    if len(parts) < 2:
        return first
    task = _Task(network, clauses, time.time() + left, seed, exact)
    pool: Any = joblib.Parallel(return_as="generator_unordered", batch_size=cast(Any, 1))
    running = pool(joblib.delayed(_searched)(task, *part) for part in parts)
    found = []
    try:
        for one in running:
            found.append(one)
            tell(f"{len(found)} of {len(parts)} parts searched, {sum(each.pieces for each in found)} pieces")
            if one.point is not None and check(one.point):
                return replace(one, seconds=time.monotonic() - began)
    finally:
        _stop(running)
    return _joined(found, first, time.monotonic() - began)


def _stop(running: Generator[Search]) -> None:
    """End what still runs; that it is cut short needs no warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        running.close()


def _searched(task: _Task, low: np.ndarray, high: np.ndarray) -> Search:
    """One part, in whatever process."""
    seconds = max(task.until - time.time(), 0.0)
    return search(task.network, low, high, task.clauses, seconds=seconds, seed=task.seed, exact=task.exact)


def _joined(found: Sequence[Search], first: Search, seconds: float) -> Search:
    """What is known of the whole; an input that the check refused leaves its part open."""
    absent = all(one.found is Found.ABSENT for one in found)
    return Search(
        Found.ABSENT if absent else Found.OPEN,
        None,
        max(min(one.lower for one in found), first.lower),
        min(first.attained, *(one.attained for one in found)),
        first.pieces + sum(one.pieces for one in found),
        0 if absent else sum(one.left for one in found),
        seconds,
    )


def _parts(
    network: Network, low: np.ndarray, high: np.ndarray, count: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """A box in so many parts, the one that moves the outputs most halved along what moves them, in turn."""
    parts = [_weighed(network, low, high)]
    while len(parts) < count:
        widest = max(range(len(parts)), key=lambda index: parts[index][2].max())
        least, most, moved = parts.pop(widest)
        axis = int(np.argmax(moved))
        middle = least[axis] + (most[axis] - least[axis]) / 2
        if not least[axis] < middle < most[axis]:
            parts.append((least, most, moved))
            break
        below, above = most.copy(), least.copy()
        below[axis] = above[axis] = middle
        parts += [_weighed(network, least, below), _weighed(network, above, most)]
    return [part[:2] for part in parts]


def _weighed(
    network: Network, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A box, and how far each input of it moves the bounds of the outputs."""
    bounds = bounds_of(network, low, high)
    slopes = np.maximum(np.abs(bounds.low_slopes), np.abs(bounds.high_slopes)).max(axis=0)
    return low, high, np.where(high > low, (np.nan_to_num(slopes) + 1e-12) * (high - low), 0.0)
