"""Ridge regression on classes, whose penalty is chosen by leaving out each case."""

from dataclasses import dataclass
from operator import itemgetter

import numpy as np
from jaxtyping import Float

PENALTIES = np.logspace(-6, 1.5, 16)
"""Ridge penalties that are tried, as shares of the number of features."""


@dataclass(frozen=True)
class RidgeFit:
    """A ridge regression on the classes, +1 for the own one and -1 for the others.

    Args:
        weight: shape (features, classes).
        bias: shape (classes,).
        left_out: what a fit without a case says of it, for all cases, shape (cases, classes).
        penalty: chosen by the squared error of these.
    """

    weight: Float[np.ndarray, "features classes"]
    bias: Float[np.ndarray, " classes"]
    left_out: Float[np.ndarray, "cases classes"]
    penalty: float


def fit_ridge(
    features: Float[np.ndarray, "cases features"],
    targets: Float[np.ndarray, "cases classes"],
    weights: Float[np.ndarray, " cases"] | None = None,
) -> RidgeFit:
    """Ridge regression with an intercept that is not penalised, and its leave-one-out predictions.

    One eigendecomposition serves all penalties (Golub, Heath and Wahba 1979).

    Args:
        features: of the cases.
        targets: what they should give.
        weights: what the squared error of every case counts; None counts all the same.
    """
    counts = np.ones(len(features)) if weights is None else weights / weights.mean()
    roots, share = np.sqrt(counts)[:, None], counts / counts.sum()
    centre, level = share @ features, share @ targets
    rows, wanted = roots * (features - centre), roots * (targets - level)
    wide = features.shape[1] > len(features)
    values, vectors = np.linalg.eigh(rows @ rows.T if wide else rows.T @ rows)
    values = np.maximum(values, 0.0)
    basis = vectors if wide else rows @ vectors
    projected = basis.T @ wanted
    tried = []
    for penalty in PENALTIES * features.shape[1]:
        shrunk = values / (values + penalty) if wide else 1 / (values + penalty)
        fitted = basis @ (shrunk[:, None] * projected)
        leverage = (basis**2) @ shrunk + share
        residual = (wanted - fitted) / np.maximum(1 - leverage, 1e-9)[:, None]
        tried.append((float(np.square(residual).mean()), penalty, residual))
    _, penalty, residual = min(tried, key=itemgetter(0))
    inverse = projected / (values + penalty)[:, None]
    weight = rows.T @ (vectors @ inverse) if wide else vectors @ inverse
    left_out = targets - residual / np.maximum(roots, 1e-12)
    return RidgeFit(weight, level - centre @ weight, left_out, penalty)
