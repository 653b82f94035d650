"""What the scores of a classifier mean, in a sentence, measured against simple classifiers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from attractor.report.wording import count

from .baselines import SUMMARY, besides

_GOOD = 0.9


@dataclass(frozen=True)
class Judgement:
    """What is said first.

    Args:
        said: the finding.
        meaning: what follows from it.
        tone: how good it is.
    """

    said: str
    meaning: str
    tone: Literal["good", "fair", "poor"]


def judged(scores: Mapping[str, Any], *, left_out: bool = False) -> Judgement:
    """A verdict on the scores of a test: what simple classifiers reach is no skill of a network.

    Args:
        scores: as `classifier_study.scores_on_test` gives them.
        left_out: whether validation left the recurrent network out.
    """
    low, high = scores["accuracy_interval"]
    usual = max(row["support"] for row in scores["per_class"]) / scores["cases"]
    always = f"always naming the most frequent class ({100 * usual:.1f} %)"
    right, cases = f"{100 * scores['accuracy']:.1f} %", count(scores["cases"])
    ends = f"95 % interval {100 * low:.1f} to {100 * high:.1f} %"
    said = f"Right in {right} of {cases} cases it has never seen ({ends})"
    alone = " Random convolutions decide alone: the recurrent network did not help in validation."
    alone = alone if left_out else ""
    if low <= usual:
        return Judgement(
            f"{said}. That is not clearly better than {always}.{alone}",
            "Do not use it: it has found nothing in the series that tells the classes apart.",
            "poor",
        )
    simple = next((one for one in besides(scores.get("beside", ())) if one.name == SUMMARY), None)
    if simple is not None and not simple.is_beaten:
        return Judgement(
            f"{SUMMARY[0].upper()}{SUMMARY[1:]} does as well: right in {100 * simple.accuracy:.1f} % of "
            f"{cases} unseen cases, this model in {right} ({ends}).{alone}",
            "Nothing speaks for the larger model on these cases: take the simple one, or test on more cases.",
            "fair",
        )
    beside = "" if simple is None else f"{100 * simple.accuracy:.1f} % for {SUMMARY} and "
    verdict = f"{said}, against {beside}{always}.{alone}"
    if scores["balanced_accuracy"] >= _GOOD or scores["accuracy"] >= scores.get("attainable", 2.0):
        return Judgement(
            verdict, "Of new cases like those of the test, about so many are named rightly.", "good"
        )
    return Judgement(
        verdict, "It has learned something, but misses some classes often: see below which ones.", "fair"
    )
