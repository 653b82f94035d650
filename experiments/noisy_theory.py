"""What the theory of noise says a trained network should show."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array

from attractor.audit import CurvatureSettings, WeightCurvature, weight_curvature
from attractor.classification import SequenceClassifier
from attractor.data import Sequences
from attractor.dynamics import LyapunovSettings, flow_norms, jacobian_norms, lyapunov_exponents
from attractor.training import cross_entropy

CASES, PATHS = 128, 8
CURVATURE = CurvatureSettings(steps=12, samples=32, double_precision=False)


class Theory(NamedTuple):
    """Measures of one trained network; with more noise in training the margin should grow, the others fall.

    Args:
        weight_trace: trace of the Hessian of the mean cross-entropy in the weights, on training cases: of
            what was minimised.
        weight_largest: its largest eigenvalue.
        lyapunov: largest Lyapunov exponent of a step, mean over test sequences.
        jacobian: mean spectral norm of the Jacobian of a step.
        flow: mean spectral norm of the Jacobian of the last state in an earlier one.
        margin: mean over test cases of the least score difference to another class, over the norm of the
            difference of the read-out weights: how far the last state may move.
        training_loss: mean cross-entropy without noise on the training cases of `weight_trace`; the
            curvature of a cross-entropy fades with it.
    """

    weight_trace: float
    weight_largest: float
    lyapunov: float
    jacobian: float
    flow: float
    margin: float
    training_loss: float


def measure_theory(model: SequenceClassifier, training: Sequences, test: Sequences) -> Theory:
    """All measures of one trained network.

    Args:
        model: trained.
        training: cases it was trained on; the first few are enough for the costly measures.
        test: cases it was not trained on.
    """
    network, prepared = model.network(), model.prepare(test)
    learned = model.prepare(training.select(np.arange(CASES)))
    curvature = _curvature(network, learned)
    settings = LyapunovSettings(count=1, burn_in=20)
    paths = [np.asarray(path, float) for path in prepared.inputs[:PATHS]]
    exponents = [lyapunov_exponents(network.cell, path, settings=settings).per_step[0] for path in paths]
    return Theory(
        weight_trace=curvature.trace,
        weight_largest=float(curvature.largest[0]),
        lyapunov=float(np.mean(exponents)),
        jacobian=float(np.mean([jacobian_norms(network.cell, path).mean for path in paths])),
        flow=float(np.mean([flow_norms(network.cell, path).mean for path in paths])),
        margin=float(np.mean(_state_margins(network, prepared.inputs, np.asarray(prepared.labels)))),
        training_loss=float(cross_entropy(_logits(network, learned.inputs), learned.labels).mean()),
    )


def _curvature(network: Any, cases: Any) -> WeightCurvature:
    """Of the mean cross-entropy of some cases."""
    inputs, labels = cases.inputs, cases.labels

    def loss(network: Any) -> Array:
        return cross_entropy(jax.vmap(network)(inputs.astype(_kind(network))), labels).mean()

    return weight_curvature(loss, network, CURVATURE)


def _kind(network: Any) -> Any:
    return network.readout.weight.dtype


def _state_margins(network: Any, inputs: Array, labels: np.ndarray) -> np.ndarray:
    """Least over j of (o_y - o_j) / |V_y - V_j|: the distance of the last state to the nearest boundary."""
    logits = np.asarray(_logits(network, inputs), float)
    weights = np.asarray(network.readout.weight, float)
    distances = np.linalg.norm(weights[labels][:, None] - weights[None], axis=2)
    gaps = logits[np.arange(len(labels)), labels][:, None] - logits
    others = np.arange(logits.shape[1]) != labels[:, None]
    return np.where(others, gaps / np.where(others, distances, 1.0), np.inf).min(axis=1)


@eqx.filter_jit
def _logits(network: Any, inputs: Array) -> Array:
    return jax.vmap(network)(inputs)
