"""Sets of labels that hold the true one with a stated probability, by split conformal prediction."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from attractor.errors import ConfigError, InputDataError
from attractor.report.drawn import Drawn
from attractor.shown import Shown

from .classifier_metrics import probabilities_of, wilson_interval

ASSUMPTION = (
    "This holds on average over new cases that are drawn like those of the calibration, none of them special "
    "(exchangeable): the same kinds of subjects, sensors and circumstances, and no windows of one recording "
    "among them."
)
LEFT_OUT = (
    "Training cases calibrate too, each judged by a fit without it: close to cases kept apart, and no proof."
)


@dataclass(frozen=True, eq=False)
class Calibration(Shown):
    """Cases whose labels the classifier had not seen, by which sets of labels are calibrated.

    Args:
        logits: of these cases.
        labels: their classes.
        left_out: whether training cases are among them, each judged by a fit without it. Then what holds for
            cases that were kept apart is no theorem any more: fits without one case are not the fit with all.
    """

    logits: Float[np.ndarray, "cases classes"]
    labels: Int[np.ndarray, " cases"]
    left_out: bool = False

    def threshold(self, temperature: float, coverage: float) -> float:
        """The probability from which on a class belongs to a set.

        With n cases, the m-th smallest probability of a true class, m = floor((1 - coverage) (n + 1)): a new
        case drawn like them falls below it with a probability of at most 1 - coverage (Vovk, Gammerman and
        Shafer 2005; Sadinle, Lei and Wasserman 2019). 0 where there are too few cases to exclude anything.

        Raises:
            ConfigError: a coverage outside (0, 1).
        """
        if not 0 < coverage < 1:
            raise ConfigError(f"coverage={coverage}: expected a probability between 0 and 1, such as 0.9")
        true = np.sort(probabilities_of(self.logits, temperature)[np.arange(len(self.labels)), self.labels])
        excluded = int(np.floor((1 - coverage) * (len(true) + 1) + 1e-9))
        return float(true[excluded - 1]) if excluded else 0.0

    def sets(
        self, logits: Float[np.ndarray, "cases classes"], temperature: float, coverage: float
    ) -> "LabelSets":
        """The labels of some cases, at least one for each."""
        threshold = self.threshold(temperature, coverage)
        own = _members(self.logits, temperature, threshold)
        held = own[np.arange(len(self.labels)), self.labels]
        members = _members(logits, temperature, threshold)
        stated = float(max(held.mean(), coverage))
        return LabelSets(members, coverage, stated, len(self.labels), self.left_out)


@dataclass(frozen=True, eq=False)
class LabelSets(
    Drawn,
    picture="attractor.classification.classifier_figures:draw_sets",
    next_call=".plot(), .members, .sizes",
):
    """For every case the labels that cannot be excluded.

    Args:
        members: which classes are in the set of each case.
        coverage: the share of new cases whose set holds the true label is at least this, see `assumption`.
        stated: what that share is expected to be, from the calibration. It is more than `coverage` where the
            most likely class alone is right more often, for no set is empty.
        cases: of the calibration.
        left_out: whether training cases are among these, see `Calibration`.
    """

    members: Bool[np.ndarray, "cases classes"]
    coverage: float
    stated: float
    cases: int
    left_out: bool = False

    @property
    def assumption(self) -> str:
        """Under what the coverage holds."""
        return f"{ASSUMPTION} {LEFT_OUT}" if self.left_out else ASSUMPTION

    @property
    def sizes(self) -> Int[np.ndarray, " cases"]:
        """How many labels each set has."""
        return self.members.sum(axis=1)

    def assessed(self, labels: Int[np.ndarray, " cases"]) -> dict[str, Any]:
        """How often the sets hold the true label, with Wilson's interval of 95 %, and how large they are.

        Raises:
            InputDataError: another number of labels, or none.
        """
        if len(labels) != len(self.members) or not len(labels):
            raise InputDataError(f"{len(labels)} labels for {len(self.members)} sets")
        held = int(self.members[np.arange(len(labels)), labels].sum())
        return {
            "coverage": self.coverage,
            "stated": self.stated,
            "measured": held / len(labels),
            "interval": list(wilson_interval(held, len(labels)) or (0.0, 1.0)),
            "mean_size": float(self.sizes.mean()),
            "single": float((self.sizes == 1).mean()),
        }

    def __str__(self) -> str:
        """What the sets hold, and what is assumed."""
        cases, single = len(self.members), int((self.sizes == 1).sum())
        return "\n".join([
            f"{cases} sets of labels; at least {100 * self.coverage:g} % of new cases have theirs in it",
            f"{single} hold a single label; expected {100 * self.stated:.1f} %, by {self.cases} other cases",
            self.assumption,
        ])


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
    return Calibration(logits.astype(float), labels.astype(int), bool(left_out))


def _members(logits: np.ndarray, temperature: float, threshold: float) -> np.ndarray:
    probabilities = probabilities_of(logits, temperature)
    likely = np.eye(logits.shape[1], dtype=bool)[probabilities.argmax(axis=1)]
    return (probabilities >= threshold) | likely
