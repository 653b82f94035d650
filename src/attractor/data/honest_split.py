"""Cases held out so that no recording stands on both sides, found by the stretches that cases share."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from attractor.errors import InputDataError
from attractor.shown import Shown

from .labelled_sequences import Sequences, name_some
from .shared_stretches import SharedStretches, shared_stretches
from .splits import stratified_hold_out


@dataclass(frozen=True, eq=False)
class HeldOut(Shown):
    """Cases in two parts.

    Args:
        kept: positions of those for training.
        held: positions of those held out.
        recordings: what was found about recordings, and what was done; empty if no two cases share anything.
        objection: why the parts are not apart, or not as wanted; empty if they are.
    """

    kept: Int[np.ndarray, " kept"]
    held: Int[np.ndarray, " held"]
    recordings: str = ""
    objection: str = ""


def hold_out_recordings(
    data: Sequences, share: float, seed: int = 0, shared: SharedStretches | None = None
) -> HeldOut:
    """Hold out a share of every class; cases of one group, or that share stretches of values, stay together.

    Groups that the cases have are what counts; where nobody gave any, stretches in common are looked for.

    A class whose cases are all of one recording cannot stand on both sides so: the cases of that recording
    are divided one by one, and the objection says that what is measured for that class is too good.

    Args:
        data: labelled cases.
        share: to hold out, between 0 and 1.
        seed: of the random order.
        shared: what is known about stretches in common; looked for if `None`.

    Raises:
        InputDataError: the cases have no labels.
    """
    if data.labels is None:
        raise InputDataError("these cases have no labels; to hold out a share of every class needs them")
    if data.groups is not None:
        kept, held = stratified_hold_out(data.labels, share, seed, data.groups)
        return HeldOut(kept, held, "Cases of one group stay on one side.")
    shared = shared_stretches(data) if shared is None else shared
    if not shared.sharing.any():
        objection = "" if shared.is_complete else "There are too many cases to look for stretches in common."
        return HeldOut(*stratified_hold_out(data.labels, share, seed), objection=objection)
    units, torn = _divisible(data.labels, shared.recordings)
    kept, held = stratified_hold_out(data.labels, share, seed, units)
    if not torn:
        return HeldOut(kept, held, f"{shared}; they stay on one side.")
    classes = name_some([repr(data.classes[label]) for label in torn])
    objection = (
        f"All cases of class {classes} are of one recording, which was divided case by case: windows of it "
        "stand on both sides, so that results are too good. Record each class more than once, or give test "
        "cases that were recorded apart."
    )
    return HeldOut(kept, held, f"{shared}.", objection)


def _divisible(
    labels: Int[np.ndarray, " cases"], recordings: Int[np.ndarray, " cases"]
) -> tuple[Int[np.ndarray, " cases"], list[int]]:
    """What must stay together, and the classes for which a recording had to be divided."""
    units, torn = recordings.copy(), []
    for label in np.unique(labels):
        inside = np.unique(recordings[labels == label])
        if len(inside) == 1 and np.count_nonzero(labels == label) > 1:
            torn.append(int(label))
            alone = np.flatnonzero(recordings == inside[0])
            units[alone] = len(labels) + alone
    return units, torn
