"""Training cases whose labels look wrong, from the losses of one training."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from attractor.program import single_precision
from attractor.report.drawn import Drawn
from attractor.shown import Rows, Shown
from attractor.training.reweighting import Classes, class_medians, degree_of_suspicion, log_weights

_APART = 0.5
_PREFIX = "case_history."


@dataclass(frozen=True)
class Suspects(
    Drawn,
    picture="attractor.classification.classifier_figures:draw_suspects",
    next_call=".plot(), .ids[:10], .proposed",
):
    """Training cases in the order of suspicion, the most suspicious first.

    The order is what counts: it is by loss, and no probability. A network that has learned a wrong label by
    heart, or has not learned the task yet, says nothing of it by its losses.

    Args:
        positions: of the cases among the training cases.
        ids: how the user calls them.
        totals: their losses added over all epochs; the higher, the more suspicious.
        apart: whether a case stands apart: the losses form two humps, it is in the upper one, and its label
            was never learned; see `attractor.training.reweighting.degree_of_suspicion`.
        weights: at the end of the training, relative to equal weights.
        labels: as given, positions in the classes.
        proposed: the class that the final network finds most likely.
        confidence: its calibrated probability.
        epochs: over which the losses were added.
    """

    positions: Int[np.ndarray, " cases"]
    ids: tuple[str, ...]
    totals: Float[np.ndarray, " cases"]
    apart: Bool[np.ndarray, " cases"]
    weights: Float[np.ndarray, " cases"]
    labels: Int[np.ndarray, " cases"]
    proposed: Int[np.ndarray, " cases"]
    confidence: Float[np.ndarray, " cases"]
    epochs: int

    @property
    def scope(self) -> str:
        """Which cases were ranked, and what was found, in two sentences."""
        found = int(self.apart.sum())
        stand = "none stands" if not found else "1 stands" if found == 1 else f"{found} stand"
        return (
            f"{len(self)} training cases are ranked by their losses; those held out for validation and test "
            f"are not. {stand[0].upper()}{stand[1:]} apart from the others with losses like those of wrong "
            "labels, which is a reason to look and no probability."
        )

    @property
    def mean_losses(self) -> Float[np.ndarray, " cases"]:
        """The mean loss of each case over the epochs."""
        return self.totals / self.epochs

    def __len__(self) -> int:
        return len(self.positions)

    def scores(self) -> Float[np.ndarray, " cases"]:
        """The totals in the order of the training cases, for comparisons with other detectors."""
        scores = np.empty(len(self))
        scores[self.positions] = self.totals
        return scores

    def __str__(self) -> str:
        """What was ranked, and the first of them."""
        first = ", ".join(self.ids[:5])
        return "\n".join([*self.scope.split(". ", 1), *([f"first: {first}"] if first else [])])

    def rows_shown(self) -> Rows:
        """The cases, the most suspicious first; classes by their positions."""
        columns = zip(self.ids, self.mean_losses, self.labels, self.proposed, self.apart, strict=True)
        rows = (
            (name, f"{loss:.3g}", str(label), str(proposed), "yes" if apart else "")
            for name, loss, label, proposed, apart in columns
        )
        return Rows(("case", "mean loss", "class as given", "class proposed", "stands apart"), tuple(rows))


@dataclass(frozen=True)
class CaseHistory(Shown):
    """What the training noted about its cases, chosen replica.

    Args:
        scores: cross-entropy of every case after every epoch, shape (epochs, cases).
        strengths: of the reweighting after every epoch, shape (epochs,); zeros without it.
        weights: of the cases at the end, relative to equal weights, shape (cases,).
        labels: of the training cases.
        logits: of the training cases, by the final network.
    """

    scores: Float[np.ndarray, "epochs cases"]
    strengths: Float[np.ndarray, " epochs"]
    weights: Float[np.ndarray, " cases"]
    labels: Int[np.ndarray, " cases"]
    logits: Float[np.ndarray, "cases classes"]

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Its parts by name, for a run folder; scores in half precision."""
        return {
            _PREFIX + name: value.astype(np.float16) if name == "scores" else value
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
        history = cls(**{**parts, "scores": parts["scores"].astype(np.float32)})
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
def rank_suspects(history: CaseHistory, ids: tuple[str, ...], probabilities: np.ndarray) -> Suspects:
    """Rank the training cases by their total loss.

    Args:
        history: of the training.
        ids: how the user calls the cases.
        probabilities: calibrated, of the classes, for every training case.
    """
    totals = history.scores.sum(axis=0)
    degrees = np.asarray(
        degree_of_suspicion(
            jnp.asarray(totals),
            jnp.asarray(history.scores[-1]),
            jnp.asarray(history.scores[0].mean()),
            history.classes,
        )
    )
    order = np.argsort(-totals, kind="stable")
    return Suspects(
        positions=order,
        ids=tuple(ids[position] for position in order),
        totals=totals[order].astype(float),
        apart=degrees[order] > _APART,
        weights=history.weights[order],
        labels=history.labels[order],
        proposed=probabilities.argmax(axis=1)[order],
        confidence=probabilities.max(axis=1)[order],
        epochs=len(history.scores),
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
