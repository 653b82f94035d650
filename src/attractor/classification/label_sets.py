"""Sets of labels that hold the true one with a stated probability, by split conformal prediction."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Int

from attractor.errors import ConfigError, InputDataError
from attractor.report.drawn import Drawn
from attractor.shown import Rows, Shown

from .classifier_metrics import probabilities_of, share_interval

if TYPE_CHECKING:
    import pandas as pd

ASSUMPTION = (
    "This holds on average over new cases that are drawn like those of the calibration, none of them special "
    "(exchangeable): the same kinds of subjects, sensors and circumstances, and no windows of one recording "
    "or cases of one subject among them; name their groups if there are."
)
GROUPED = (
    "This holds on average over cases of new groups (subjects, devices, recordings) that are drawn like "
    "those of the calibration, none of them special (exchangeable); for one new group it may hold far less "
    "often."
)
LEFT_OUT = (
    "Training cases calibrate too, each judged by a fit without it: close to cases kept apart, and no proof."
)


@dataclass(frozen=True, eq=False)
class Calibration(Shown):
    """Cases whose labels the classifier had not seen, by which sets of labels are calibrated.

    Where cases come in groups, what is drawn are the groups: cases of one subject are nearly one case, and a
    hundred of two subjects say little of a third. All cases of a group then share the weight of one, and the
    new group counts as one whose cases are all missed (hierarchical conformal prediction: Lee, Barber and
    Willett 2023; Dunn, Wasserman and Ramdas 2022).

    Args:
        logits: of these cases.
        labels: their classes.
        left_out: whether training cases are among them, each judged by a fit without it. Then what holds for
            cases that were kept apart is no theorem any more: fits without one case are not the fit with all.
        groups: what every case belongs to; None where every case stands for itself.
    """

    logits: Float[np.ndarray, "cases classes"]
    labels: Int[np.ndarray, " cases"]
    left_out: bool = False
    groups: Int[np.ndarray, " cases"] | None = None

    @property
    def units(self) -> int:
        """How many cases, or groups of them, were drawn independently."""
        return len(self.labels) if self.groups is None else len(np.unique(self.groups))

    @property
    def highest(self) -> float:
        """The highest coverage that excludes any label: n units say nothing of one in n + 1."""
        return self.units / (self.units + 1)

    @property
    def votes(self) -> Float[np.ndarray, " cases"]:
        """What every case counts; together they count 1, and every unit the same."""
        if self.groups is None:
            return np.full(len(self.labels), 1 / len(self.labels))
        codes = np.unique(self.groups, return_inverse=True)[1]
        return 1 / (self.units * np.bincount(codes)[codes])

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Its parts by name, for a run folder."""
        known = {name: value for name, value in vars(self).items() if value is not None}
        return {f"calibration.{name}": np.asarray(value) for name, value in known.items()}

    def threshold(self, temperature: float, coverage: float) -> float:
        """The probability from which on a class belongs to a set.

        With n units, the largest probability t of a true class for which the votes n / (n + 1) of the cases
        below t and the 1 / (n + 1) of the new unit are at most 1 - coverage: a new case drawn like them falls
        below it with a probability of at most that (Vovk, Gammerman and Shafer 2005; Sadinle, Lei and
        Wasserman 2019). 0 where there are too few units to exclude anything.

        Raises:
            ConfigError: a coverage outside (0, 1).
        """
        if not 0 < coverage < 1:
            raise ConfigError(f"coverage={coverage}: expected a probability between 0 and 1, such as 0.9")
        true = probabilities_of(self.logits, temperature)[np.arange(len(self.labels)), self.labels]
        order = np.argsort(true)
        below = np.concatenate([[0.0], np.cumsum(self.votes[order])])[np.searchsorted(true[order], true)]
        allowed = (below * self.units + 1) / (self.units + 1) <= 1 - coverage + 1e-9
        return float(true[allowed].max(initial=0.0))

    def sets(
        self, logits: Float[np.ndarray, "cases classes"], temperature: float, coverage: float
    ) -> "LabelSets":
        """The labels of some cases, at least one for each.

        What is stated is how often the sets hold the labels of the calibration, with the new unit as one more
        that is missed: the threshold comes from the same cases.
        """
        threshold = self.threshold(temperature, coverage)
        own = _members(self.logits, temperature, threshold)
        held = own[np.arange(len(self.labels)), self.labels]
        members = _members(logits, temperature, threshold)
        stated = max(float(self.votes @ held) * self.highest, coverage) if threshold else 1.0
        groups = None if self.groups is None else self.units
        return LabelSets(members, coverage, stated, len(self.labels), self.left_out, groups)


@dataclass(frozen=True, eq=False)
class LabelSets(
    Drawn,
    picture="attractor.classification.classifier_figures:draw_sets",
    next_call=".plot(), .to_frame(), .sizes",
):
    """For every case the labels that cannot be excluded.

    Args:
        members: which classes are in the set of each case.
        coverage: the share of new cases whose set holds the true label is at least this, see `assumption`.
        stated: what that share is expected to be, from the calibration. It is more than `coverage` where the
            most likely class alone is right more often, for no set is empty.
        cases: of the calibration.
        left_out: whether training cases are among these, see `Calibration`.
        groups: how many groups the cases of the calibration come from, where that is known: the coverage is
            then that of cases of new groups.
        classes: as the user calls them; None where that is not known.
        ids: how the user calls the cases; None where that is not known.
    """

    members: Bool[np.ndarray, "cases classes"]
    coverage: float
    stated: float
    cases: int
    left_out: bool = False
    groups: int | None = None
    classes: np.ndarray | None = None
    ids: tuple[str, ...] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What the classes are called; their positions where that is not known."""
        known = range(self.members.shape[1]) if self.classes is None else self.classes
        return tuple(map(str, known))

    def to_frame(self) -> "pd.DataFrame":
        """A table with a row for each case: whether each class is in its set, and how many are."""
        import pandas as pd

        index = None if self.ids is None else pd.Index(self.ids, name="case")
        frame = pd.DataFrame(self.members, index=index, columns=list(self.names))
        return frame.assign(size=self.sizes)

    def rows_shown(self) -> Rows:
        """The cases with the labels of their sets."""
        ids = self.ids or tuple(str(case) for case in range(len(self.members)))
        names = np.array(self.names)
        rows = ((case, ", ".join(names[row])) for case, row in zip(ids, self.members, strict=True))
        return Rows(("case", "labels"), tuple(rows))

    @property
    def assumption(self) -> str:
        """Of which new cases the coverage holds, and under what."""
        return assumption(grouped=self.groups is not None, left_out=self.left_out)

    @property
    def calibrated_by(self) -> str:
        """What the coverage is known from."""
        groups = "" if self.groups is None else f" of {self.groups} groups"
        return f"{self.cases} other cases{groups}"

    @property
    def objection(self) -> str:
        """Why no label was excluded, where there are too few units; else empty."""
        units = self.cases if self.groups is None else self.groups
        kind = "cases" if self.groups is None else "groups"
        if self.coverage <= units / (units + 1) + 1e-9:
            return ""
        return (
            f"No label is excluded: {self.calibrated_by} say nothing of more than "
            f"{100 * units / (units + 1):.1f} % of new {kind}. Ask for a "
            "lower coverage, or calibrate by more of them."
        )

    @property
    def sizes(self) -> Int[np.ndarray, " cases"]:
        """How many labels each set has."""
        return self.members.sum(axis=1)

    def assessed(
        self, labels: Int[np.ndarray, " cases"], groups: Int[np.ndarray, " cases"] | None = None
    ) -> dict[str, Any]:
        """How often the sets hold the true label, with its interval of 95 %, and how large they are.

        Args:
            labels: true classes.
            groups: what every case belongs to, see `share_interval`.

        Returns:
            `coverage`, `stated`, `measured`, `interval` (None for a single group), `mean_size`, `single`, and
            `objection`, which is empty unless no label could be excluded.

        Raises:
            InputDataError: another number of labels, or none.
        """
        if len(labels) != len(self.members) or not len(labels):
            raise InputDataError(f"{len(labels)} labels for {len(self.members)} sets")
        held = self.members[np.arange(len(labels)), labels]
        return {
            "coverage": self.coverage,
            "stated": self.stated,
            "measured": float(held.mean()),
            "interval": None if (ends := share_interval(held, groups)) is None else list(ends),
            "mean_size": float(self.sizes.mean()),
            "single": float((self.sizes == 1).mean()),
            "objection": self.objection,
        }

    def __str__(self) -> str:
        """What the sets hold, and what is assumed."""
        cases, single = len(self.members), int((self.sizes == 1).sum())
        whose = "new cases" if self.groups is None else "cases of new groups"
        if self.objection:
            return f"{cases} sets of all {self.members.shape[1]} labels\n{self.objection}"
        return "\n".join([
            f"{cases} sets of labels; at least {100 * self.coverage:g} % of {whose} have theirs in it",
            f"{single} hold a single label; about {100 * self.stated:.1f} % should hold the true one, by "
            f"{self.calibrated_by}",
            self.assumption,
        ])


def assumption(*, grouped: bool, left_out: bool) -> str:
    """Of which new cases a coverage holds, and under what.

    Args:
        grouped: whether the calibration knows of groups.
        left_out: whether training cases are among it.
    """
    said = GROUPED if grouped else ASSUMPTION
    return f"{said} {LEFT_OUT}" if left_out else said


def calibration_of(arrays: Mapping[str, np.ndarray], classes: int) -> Calibration | None:
    """Back from the arrays of a run; None if it kept no case for validation.

    Raises:
        ValueError: arrays of other shapes.
    """
    if "calibration.logits" not in arrays:
        return None
    logits, labels, left_out = (arrays[f"calibration.{name}"] for name in ("logits", "labels", "left_out"))
    if logits.shape != (len(labels), classes) or not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(f"calibration of shapes {logits.shape}, {labels.shape} for {classes} classes")
    groups = arrays.get("calibration.groups")
    if groups is not None and (groups.shape != labels.shape or groups.dtype.kind not in "iu"):
        raise ValueError(f"calibration groups of shape {groups.shape} for {len(labels)} cases")
    return Calibration(logits.astype(float), labels.astype(int), bool(left_out), groups)


def _members(logits: np.ndarray, temperature: float, threshold: float) -> np.ndarray:
    probabilities = probabilities_of(logits, temperature)
    likely = np.eye(logits.shape[1], dtype=bool)[probabilities.argmax(axis=1)]
    return (probabilities >= threshold) | likely
