"""Cases whose labels look wrong: from fits without them, or from the losses of one training."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import log_softmax
from scipy.stats import binomtest

from attractor.program import single_precision
from attractor.report.drawn import Drawn
from attractor.shown import Rows, Shown
from attractor.training.reweighting import Classes, class_medians, degree_of_suspicion, log_weights

if TYPE_CHECKING:
    import pandas as pd

_APART = 0.5
_PREFIX = "case_history."
_HEADER = ("case", "given", "proposed", "confidence", "mean loss", "stands apart", "weight")


@dataclass(frozen=True, eq=False)
class Suspects(
    Drawn,
    picture="attractor.classification.classifier_figures:draw_suspects",
    next_call=".plot(), .to_frame(), .ids[:10]",
):
    """Cases in the order of suspicion, the most suspicious first.

    The order is what counts: it is by loss, and no probability. Where random convolutions decide alone, the
    loss of a case is that of a fit without it, and all cases that `fit` was given are ranked. Else it is that
    of the training cases over the epochs: a network that has learned a wrong label by heart, or has not
    learned the task yet, says nothing of it.

    As many of the first cases stand apart as a rule counts. Of fits without the case: those for which another
    class is at least as likely as it is on average for the cases that have it (confident learning: Northcutt,
    Jiang and Chuang 2021). Of losses over epochs: those in the upper one of two humps whose label was never
    learned, see `attractor.training.reweighting.degree_of_suspicion`.

    Args:
        positions: of the cases among those that are ranked.
        ids: how the user calls them.
        totals: their losses added over all epochs; the higher, the more suspicious.
        apart: whether a case stands apart; no case does that comes after one that does not.
        weights: at the end of the training, relative to equal weights.
        labels: the classes as given.
        proposed: the classes that the model finds most likely.
        confidence: their calibrated probability.
        epochs: over which the losses were added.
        left_out: whether each loss is that of a fit without the case; all cases are then ranked.
        held: how many of the cases were held out for validation.
    """

    positions: Int[np.ndarray, " cases"]
    ids: tuple[str, ...]
    totals: Float[np.ndarray, " cases"]
    apart: Bool[np.ndarray, " cases"]
    weights: Float[np.ndarray, " cases"]
    labels: np.ndarray
    proposed: np.ndarray
    confidence: Float[np.ndarray, " cases"]
    epochs: int
    left_out: bool = False
    held: int = 0

    @property
    def scope(self) -> str:
        """Which cases were ranked, and what was found, in two sentences."""
        found = int(self.apart.sum())
        some = "the first stands" if found == 1 else f"the first {found} stand"
        stand = some if found else "none stands"
        ranked = (
            f"{len(self)} cases are ranked by what fits without each of them say of its label"
            f"{', those of validation too' if self.held else ''}; test cases are not ranked."
            if self.left_out
            else f"{len(self)} training cases are ranked by their losses; those held out for validation and "
            "test are not."
        )
        meaning = ", which is a reason to look and no probability" if found else ""
        return (
            f"{ranked} {stand[0].upper()}{stand[1:]} apart from the others with losses like those of wrong "
            f"labels{meaning}."
        )

    @property
    def mean_losses(self) -> Float[np.ndarray, " cases"]:
        """The mean loss of each case over the epochs."""
        return self.totals / self.epochs

    def __len__(self) -> int:
        return len(self.positions)

    def in_order_of_cases(self) -> Float[np.ndarray, " cases"]:
        """The totals in the order of the cases, for comparisons with other detectors."""
        totals = np.empty(len(self))
        totals[self.positions] = self.totals
        return totals

    def to_frame(self) -> "pd.DataFrame":
        """The ranking as a table with a row for each case."""
        import pandas as pd

        names = [name.replace(" ", "_") for name in _HEADER]
        columns = self.ids, self.labels, self.proposed, self.confidence, self.mean_losses
        return pd.DataFrame(dict(zip(names, (*columns, self.apart, self.weights), strict=True)))

    def __str__(self) -> str:
        """What was ranked, and the first of them."""
        first = ", ".join(self.ids[:5])
        return "\n".join([*self.scope.split(". ", 1), *([f"first: {first}"] if first else [])])

    def rows_shown(self) -> Rows:
        """The cases, the most suspicious first."""
        frame = zip(
            self.ids,
            map(str, self.labels),
            map(str, self.proposed),
            (f"{sure:.2f}" for sure in self.confidence),
            (f"{loss:.3g}" for loss in self.mean_losses),
            ("yes" if apart else "" for apart in self.apart),
            (f"{weight:.2g}" for weight in self.weights),
            strict=True,
        )
        return Rows(_HEADER, tuple(frame))


@dataclass(frozen=True)
class CaseHistory(Shown):
    """What the training noted about its cases, chosen replica.

    Args:
        scores: cross-entropy of every case after every epoch, shape (epochs, cases).
        strengths: of the reweighting after every epoch, shape (epochs,); zeros without it.
        weights: of the cases at the end, relative to equal weights, shape (cases,).
        labels: of the training cases.
        logits: of the training cases, by the final network.
        left_out: whether scores and logits come from fits without the case; it is then about all cases that
            were given, and there is one epoch.
    """

    scores: Float[np.ndarray, "epochs cases"]
    strengths: Float[np.ndarray, " epochs"]
    weights: Float[np.ndarray, " cases"]
    labels: Int[np.ndarray, " cases"]
    logits: Float[np.ndarray, "cases classes"]
    left_out: bool = False

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Its parts by name, for a run folder; scores in half precision."""
        return {
            _PREFIX + name: np.asarray(value, np.float16) if name == "scores" else np.asarray(value)
            for name, value in vars(self).items()
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], cases: int, classes: int) -> "CaseHistory":
        """What `to_arrays` wrote, among other arrays.

        Raises:
            ValueError: not one row for each of the cases, or one column for each of the classes.
        """
        parts = {
            name.removeprefix(_PREFIX): value for name, value in arrays.items() if name.startswith(_PREFIX)
        }
        left_out = bool(parts.get("left_out", False))
        history = cls(**{**parts, "scores": parts["scores"].astype(np.float32), "left_out": left_out})
        found = history.scores.shape[1:], history.weights.shape, history.labels.shape, history.logits.shape
        if found != ((cases,), (cases,), (cases,), (cases, classes)) or history.labels.dtype.kind not in "iu":
            raise ValueError(
                f"notes about cases of shapes {found}, expected {cases} cases and {classes} classes"
            )
        return history

    @property
    def classes(self) -> Classes:
        """The classes of the training cases."""
        return Classes(jnp.asarray(self.labels), self.logits.shape[1])

    @single_precision()
    def weights_over_time(self, memory: float | int = 1.0) -> Float[np.ndarray, "epochs cases"]:
        """Weights of the cases after every epoch relative to equal ones, before caps and class balance."""
        totals, weights = np.zeros(self.scores.shape[1], np.float32), []
        for scores, strength in zip(self.scores, self.strengths, strict=True):
            totals = memory * totals + scores
            shown = jnp.asarray(totals)
            shown = shown - class_medians(shown, self.classes)[self.classes.labels]
            weights.append(np.exp(np.asarray(log_weights(shown, jnp.asarray(strength)))))
        return np.array(weights) * self.scores.shape[1]


@single_precision()
def rank_suspects(
    history: CaseHistory,
    ids: tuple[str, ...],
    probabilities: Float[np.ndarray, "cases classes"],
    classes: np.ndarray,
    held: int = 0,
) -> Suspects:
    """Rank cases by their total loss.

    Args:
        history: of the training.
        ids: how the user calls the cases.
        probabilities: calibrated, of the classes, for every case.
        classes: as the user calls them.
        held: how many of the cases were held out for validation.
    """
    totals = history.scores.sum(axis=0)
    if history.left_out:
        found = confidently_other(probabilities, history.labels)
    else:
        degrees = degree_of_suspicion(
            jnp.asarray(totals),
            jnp.asarray(history.scores[-1]),
            jnp.asarray(history.scores[0].mean()),
            history.classes,
        )
        found = np.asarray(degrees) > _APART
    order = np.argsort(-totals, kind="stable")
    return Suspects(
        positions=order,
        ids=tuple(ids[position] for position in order),
        totals=totals[order].astype(float),
        apart=np.arange(len(order)) < np.count_nonzero(found),
        weights=history.weights[order],
        labels=classes[history.labels[order]],
        proposed=classes[probabilities.argmax(axis=1)[order]],
        confidence=probabilities.max(axis=1)[order],
        epochs=len(history.scores),
        left_out=history.left_out,
        held=held,
    )


_CHANCE = 0.01
"""How often fits that have learned nothing may be taken for some that have."""


def confidently_other(
    probabilities: Float[np.ndarray, "cases classes"], labels: Int[np.ndarray, " cases"]
) -> Bool[np.ndarray, " cases"]:
    """Cases for which another class is as likely as it is on average for those that have it.

    Their number estimates how many labels are wrong (confident learning: Northcutt, Jiang and Chuang 2021,
    arXiv 1911.00068, equations 1 and 2). There are none where the fits are no better than the most frequent
    class by more than chance: who has learned nothing accuses nobody.

    Args:
        probabilities: of fits that have not seen the case.
        labels: as given.
    """
    usual = np.ones(probabilities.shape[1])
    for label in np.unique(labels):
        usual[label] = probabilities[labels == label, label].mean()
    likely = probabilities.argmax(axis=1)
    frequent = float(np.unique(labels, return_counts=True)[1].max() / len(labels))
    right = int(np.sum(likely == labels))
    if binomtest(right, len(labels), frequent, alternative="greater").pvalue > _CHANCE:
        return np.zeros(len(labels), bool)
    return (likely != labels) & (probabilities.max(axis=1) >= usual[likely])


def left_out_history(
    labels: Int[np.ndarray, " cases"],
    logits: Float[np.ndarray, "cases classes"],
    weights: Float[np.ndarray, " cases"],
) -> CaseHistory:
    """The same of a ridge regression, from what fits without a case say of it.

    Args:
        labels: of the cases.
        logits: calibrated, of such fits.
        weights: of the cases, 1 on average.
    """
    losses = -log_softmax(logits, axis=1)[np.arange(len(labels)), labels]
    return CaseHistory(
        losses[None].astype(np.float32), np.zeros(1), weights, np.asarray(labels, int), logits, left_out=True
    )


def case_history(memory: Any, replica: int, labels: np.ndarray, logits: np.ndarray) -> CaseHistory:
    """What the memory of a training in epochs says about one replica.

    Args:
        memory: of all replicas, stacked.
        replica: which.
        labels: of the training cases.
        logits: of the training cases.
    """
    weights = np.exp(np.asarray(memory.weights.log_weights[replica], float))
    scores = np.asarray(memory.scores[replica], np.float32)
    # A training that stopped early left the rows of later epochs at zero.
    epochs = max(int(np.flatnonzero(scores.any(axis=1)).max(initial=0)) + 1, 1)
    return CaseHistory(
        scores=scores[:epochs],
        strengths=np.asarray(memory.strengths[replica], float)[:epochs],
        weights=weights * len(weights),
        labels=np.asarray(labels, int),
        logits=np.asarray(logits, float),
    )


def check_ranked(
    ranked: tuple[str, ...], training: tuple[str, ...], arrays: Mapping[str, np.ndarray], *, judged: bool
) -> None:
    """Refuse names of ranked cases that do not go with those of the training cases.

    Args:
        ranked: how the user calls the cases that are ranked.
        training: the same of the training cases.
        arrays: of the run.
        judged: whether there were validation cases, which fits without each case rank as well.

    Raises:
        ValueError: they do not.
    """
    more = judged and bool(arrays.get(f"{_PREFIX}left_out", False))
    if not (set(training) <= set(ranked) if more else training == ranked):
        raise ValueError(f"{len(ranked)} cases are ranked, which are not the {len(training)} training cases")
