"""Probabilities that mean what they say: one temperature, fitted on validation data."""

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

_WIDEST = 3.0


def fit_temperature(logits: Float[np.ndarray, "cases classes"], labels: Int[np.ndarray, " cases"]) -> float:
    """T > 0 for which softmax(logits / T) has the least cross-entropy on cases that were not trained on.

    Guo et al. 2017, arXiv 1706.04599. Few cases that are all right would call for T = 0 and certainty, so
    that, as in Platt's scaling, the target has one case more than the N there are, of all classes at once.

    Args:
        logits: of the validation cases.
        labels: their classes.
    """
    cases, classes = logits.shape
    target = (np.eye(classes)[labels] * cases + 1 / classes) / (cases + 1)

    def cost(log_temperature: float) -> float:
        return float(-(target * log_softmax(logits / np.exp(log_temperature), axis=1)).sum(axis=1).mean())

    best = minimize_scalar(cost, bounds=(-_WIDEST, _WIDEST), method="bounded")
    return float(np.exp(best.x))


def calibration_error(
    probabilities: Float[np.ndarray, "cases classes"], labels: Int[np.ndarray, " cases"], bins: int = 15
) -> float:
    """Expected calibration error: mean distance of confidence and accuracy over bins of confidence.

    Args:
        probabilities: of the classes.
        labels: true classes.
        bins: of equal width.
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(place, right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def probabilities_of(
    logits: Float[np.ndarray, "cases classes"], temperature: float | int
) -> Float[np.ndarray, "cases classes"]:
    """softmax(logits / T), in float64."""
    return softmax(np.asarray(logits, float) / temperature, axis=1)
