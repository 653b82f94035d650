"""Which cases train a classifier, which choose its weights, and which of them belong together."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from attractor.data import Sequences, SharedStretches, hold_out_recordings, shared_stretches
from attractor.data.per_case import in_order_of
from attractor.data.wild_values import UsualRange, check_far
from attractor.errors import ConfigError, InputDataError, warn

from .cases import ClassWeight, case_weights, known_labels, labels_given, tell

Validation = Sequences | np.ndarray | list | tuple | None


@dataclass(frozen=True, eq=False)
class Division:
    """Cases by what they are for.

    Args:
        training: to learn from.
        checking: to choose weights and temperature; None for none.
        chosen: positions of the training cases among those that were given.
        held: the same for validation; None for cases from elsewhere, or none.
        related: for every case that was given what it belongs to, a patient or a recording: what is said of a
            case may not come from its relatives. None where every case stands for itself.
        elsewhere: the same for validation cases that were not among those that were given.
    """

    training: Sequences
    checking: Sequences | None
    chosen: Int[np.ndarray, " training"]
    held: Int[np.ndarray, " validation"] | None
    related: Int[np.ndarray, " cases"] | None
    elsewhere: Int[np.ndarray, " validation"] | None = None

    @property
    def ids(self) -> tuple[str, ...]:
        """How the user calls the cases that were given."""
        own = (
            [self.training] if self.held is None or self.checking is None else [self.training, self.checking]
        )
        names = np.empty(sum(len(part) for part in own), object)
        for part, places in zip(own, (self.chosen, self.held), strict=False):
            names[places] = part.ids
        return tuple(names)

    @property
    def judging(self) -> Int[np.ndarray, " validation"] | None:
        """What every validation case belongs to; None where every case stands for itself."""
        if self.held is None:
            return self.elsewhere
        return None if self.related is None else self.related[self.held]

    @property
    def with_judging(self) -> Int[np.ndarray, " both"] | None:
        """What all cases belong to, those that were given and after them validation cases from elsewhere."""
        judges = 0 if self.checking is None else len(self.checking)
        if self.related is None and self.elsewhere is None:
            return None
        own = np.arange(len(self.chosen)) if self.related is None else self.related
        others = np.arange(judges) if self.elsewhere is None else self.elsewhere
        return np.concatenate([own, own.max() + 1 + others])

    def weights(
        self, weights: Float[np.ndarray, " cases"], classes: np.ndarray, class_weight: ClassWeight
    ) -> tuple[Float[np.ndarray, " training"], Float[np.ndarray, " validation"] | None]:
        """What training and validation cases count; validation cases from elsewhere count by their class.

        Args:
            weights: of all cases that were given.
            classes: as the user calls them.
            class_weight: see `case_weights`.
        """
        if self.held is not None:
            return weights[self.chosen], weights[self.held]
        if self.checking is None:
            return weights[self.chosen], None
        return weights[self.chosen], case_weights(labels_given(self.checking), classes, class_weight)

    @property
    def seen(self) -> dict[str, object]:
        """What a training sees of them, for its fingerprint."""
        both = {"training": self.training, "validation": self.checking}
        return {
            role: None if data is None else [data.names, data.values, data.lengths, data.labels]
            for role, data in both.items()
        }


def divide_cases(
    data: Sequences,
    classes: np.ndarray,
    validation: Validation,
    share: float,
    seed: int,
) -> Division:
    """Keep cases for validation: those that are named, or a share of every class.

    Cases of one group stay on one side; without groups those that share stretches of values, as windows of
    one recording do.

    Args:
        data: all cases, with their groups where these are known.
        classes: as the user calls them.
        validation: other cases, or the positions of some of these; None keeps a share.
        share: to keep.
        seed: of the draw.

    Raises:
        InputDataError: positions that are none.
    """
    groups = data.groups
    everything = np.arange(len(data))
    shared = shared_stretches(data) if groups is None else None
    related = numbered(groups) if shared is None else found_groups(shared)
    if isinstance(validation, Sequences):
        checking = replace(validation, labels=known_labels(validation, classes))
        tell(check_far(checking, UsualRange.of(data)))
        own = checking.groups
        elsewhere = found_groups(shared_stretches(checking)) if own is None else numbered(own)
        return Division(data, checking, everything, None, related, elsewhere)
    if validation is not None:
        held = _positions(validation, len(data))
        kept = np.setdiff1d(everything, held)
    elif not share:
        return Division(data, None, everything, None, related)
    else:
        parts = hold_out_recordings(data, share, seed, shared)
        kept, held = parts.kept, parts.held
        if shared is not None and (parts.objection or parts.recordings):
            warn(
                f"validation: {' '.join(filter(None, (parts.recordings, parts.objection)))} For scores of "
                "your own, split by the groups attractor.data.shared_stretches(cases).recordings."
            )
    if not len(held):
        warn(_none_held(share, together=groups is not None or related is not None))
        return Division(data, None, everything, None, related)
    return Division(data.select(kept), data.select(held), kept, held, related)


def _none_held(share: float, *, together: bool) -> str:
    """What it means that no case validates, and what to do."""
    why = (
        "the classes have too few groups or recordings to spare one"
        if together
        else f"{100 * share:g} % of the cases of each class rounds to none"
    )
    return (
        f"no case could be kept for validation: {why}. So nothing tells which epoch is best, or whether a "
        "recurrent network helps: random convolutions decide alone, and a network without them "
        "(readout__convolutions=0) keeps its last weights and says probabilities that are not calibrated. "
        "Give more cases of every class, other cases as validation=, or a larger training__validation_share"
    )


def found_groups(shared: SharedStretches) -> Int[np.ndarray, " cases"] | None:
    """The recording of every case; None where no two cases are of one."""
    return shared.recordings if shared.sharing.any() else None


def numbered(groups: np.ndarray | None) -> Int[np.ndarray, " cases"] | None:
    """Groups of any names as numbers from 0."""
    return None if groups is None else np.unique(groups, return_inverse=True)[1]


def with_groups(X: object, data: Sequences, weight_groups: object, groups: object) -> Sequences:
    """Cases with the groups that `fit` was given, or else with their own.

    Args:
        X: the cases as they were given.
        data: the same.
        weight_groups: one for every case.
        groups: the same, as scikit-learn calls it.

    Raises:
        ConfigError: both are given.
        InputDataError: they are none.
    """
    if weight_groups is not None and groups is not None:
        raise ConfigError("groups and weight_groups both say what every case comes from; give one of them")
    given = groups if weight_groups is None else weight_groups
    if given is None:
        return data
    return data.grouped(given if isinstance(given, str) else in_order_of(X, given, "groups"))


def _positions(asked: object, count: int) -> Int[np.ndarray, " held"]:
    held = np.asarray(asked)
    if held.ndim != 1 or held.dtype.kind not in "iu" or not len(held) or len(np.unique(held)) != len(held):
        raise InputDataError(
            f"validation={asked!r}: expected Sequences, or positions of cases, each at most once"
        )
    if held.min() < 0 or held.max() >= count or len(held) == count:
        raise InputDataError(
            f"validation names positions {held.min()} to {held.max()} ({len(held)} in all) of {count} cases: "
            "expected some of them, counted from 0, and others left to learn from"
        )
    return held
