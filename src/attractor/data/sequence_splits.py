"""Hold out whole cases for validation, class by class."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from attractor.errors import ConfigError, ShapeError


def stratified_hold_out(
    labels: Int[np.ndarray, " cases"],
    share: float | int,
    seed: int = 0,
    groups: Sequence[Any] | np.ndarray | None = None,
) -> tuple[Int[np.ndarray, " kept"], Int[np.ndarray, " held"]]:
    """Places of the cases that are kept for training and of those that are held out.

    Every class gives the same share, rounded; a class of one case stays in training. With groups (patients,
    devices) whole groups are held out, a group at a time from a random order, as long as the class that lacks
    most profits, and no class loses its last case in training.

    Args:
        labels: class of each case.
        share: to hold out, between 0 and 1.
        seed: of the random order.
        groups: for every case what must not be split; None if cases are independent.

    Raises:
        ConfigError: a share outside its range.
        ShapeError: more or fewer groups than cases.
    """
    if not 0 < share < 1:
        message = f"share={share}: expected a share above 0 and below 1"
        raise ConfigError(message)
    if groups is not None and len(groups) != len(labels):
        message = f"{len(groups)} groups for {len(labels)} cases; give one for each"
        raise ShapeError(message)
    rng = np.random.default_rng(seed)
    units = (
        np.arange(len(labels)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    )
    classes = int(labels.max()) + 1
    counts = np.zeros((int(units.max()) + 1, classes), int)
    np.add.at(counts, (units, labels), 1)
    totals = counts.sum(axis=0)
    wanted = np.minimum(np.round(share * totals), np.maximum(totals - 1, 0)).astype(int)
    held, taken = np.zeros(classes, int), np.zeros(len(counts), bool)
    for unit in rng.permutation(len(counts)):
        after = held + counts[unit]
        closer = np.abs(wanted - after).sum() < np.abs(wanted - held).sum()
        if closer and (after < np.maximum(totals, 1)).all():
            held, taken[unit] = after, True
    chosen = taken[units]
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)
