"""Ridge regression on classes, whose penalty is chosen by leaving out each case."""

from dataclasses import dataclass
from operator import itemgetter

import numpy as np
from jaxtyping import Float, Int

PENALTIES = np.logspace(-6, 1.5, 16)
"""Ridge penalties that are tried, as shares of the number of features."""
_LEAST = 1e-9
_LEAST_COUNT = 1e-12
"""Of a case beside the mean: it decides nothing, and what the fit without it says of it is still known."""


@dataclass(frozen=True)
class RidgeFit:
    """A ridge regression on the classes, +1 for the own one and -1 for the others.

    Args:
        weight: shape (features, classes).
        bias: shape (classes,).
        left_out: what a fit without a case, and without its relatives, says of it, shape (cases, classes).
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
    related: Int[np.ndarray, " cases"] | None = None,
) -> RidgeFit:
    """Ridge regression with an intercept that is not penalised, and its leave-out predictions.

    One eigendecomposition serves all penalties (Golub, Heath and Wahba 1979). What a fit without some cases
    says of them follows from their block of the hat matrix H: its residuals are (I - H)^-1 times those of the
    fit with them.

    Args:
        features: of the cases.
        targets: what they should give.
        weights: what the squared error of every case counts; None counts all the same. A case of weight 0 is
            no part of the fit, which says of it what it says of any other one.
        related: cases of one number are left out together; None leaves out one at a time.
    """
    counts = np.ones(len(features)) if weights is None else weights / weights.mean()
    counts = np.maximum(counts, _LEAST_COUNT)
    roots = np.sqrt(counts)
    share = counts / counts.sum()
    centre, level = share @ features, share @ targets
    rows, wanted = roots[:, None] * (features - centre), roots[:, None] * (targets - level)
    wide = features.shape[1] > len(features)
    values, vectors = np.linalg.eigh(rows @ rows.T if wide else rows.T @ rows)
    values = np.maximum(values, 0.0)
    basis = vectors if wide else rows @ vectors
    projected = basis.T @ wanted
    blocks = [] if related is None else [np.flatnonzero(related == one) for one in np.unique(related)]
    joined = [block for block in blocks if len(block) > 1]
    tried = []
    for penalty in PENALTIES * features.shape[1]:
        shrunk = values / (values + penalty) if wide else 1 / (values + penalty)
        residual = wanted - basis @ (shrunk[:, None] * projected)
        left = residual / np.maximum(1 - (basis**2) @ shrunk - share, _LEAST)[:, None]
        for block in joined:
            hat = (basis[block] * shrunk) @ basis[block].T + np.outer(
                roots[block], roots[block]
            ) / counts.sum()
            left[block] = np.linalg.lstsq(np.eye(len(block)) - hat, residual[block], rcond=None)[0]
        tried.append((float(np.square(left).mean()), penalty, left))
    _, penalty, left = min(tried, key=itemgetter(0))
    inverse = projected / (values + penalty)[:, None]
    weight = rows.T @ (vectors @ inverse) if wide else vectors @ inverse
    left_out = targets - left / roots[:, None]
    return RidgeFit(weight, level - centre @ weight, left_out, penalty)
