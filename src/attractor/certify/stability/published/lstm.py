"""The condition for long short-term memory (arXiv 1910.04024, 2111.13557)."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot, isfinite, sqrt

import equinox as eqx
import numpy as np
from jaxtyping import Float

from attractor.cells import LSTM

from .condition import PublishedCondition
from .norms import (
    INFINITY,
    SLACK,
    as_weights,
    gate_bound,
    induced_norm,
    norm_name,
    product,
    quotient,
    row_norm,
)

Given = Float[np.ndarray, "units inputs"]
Square = Float[np.ndarray, "units units"]
Vector = Float[np.ndarray, " units"]


@dataclass(frozen=True)
class LSTMWeights:
    """The weights of a long short-term memory by gate, in the order i (write), f (keep), g, o (show)."""

    input_weights: tuple[Given, Given, Given, Given]
    state_weights: tuple[Square, Square, Square, Square]
    biases: tuple[Vector, Vector, Vector, Vector]


def lstm_weights(cell: LSTM | eqx.nn.LSTMCell) -> LSTMWeights:
    """The weights of a cell of one of the two classes, in float64."""
    if isinstance(cell, LSTM):
        arrays = cell.input_weight, cell.state_weight, cell.bias
    else:
        zeros = np.zeros(4 * cell.hidden_size)
        arrays = cell.weight_ih, cell.weight_hh, zeros if cell.bias is None else cell.bias
    given, state, bias = (np.split(as_weights(array), 4) for array in arrays)
    return LSTMWeights(
        (given[0], given[1], given[2], given[3]),
        (state[0], state[1], state[2], state[3]),
        (bias[0], bias[1], bias[2], bias[3]),
    )


def lstm_condition(cell: LSTM | eqx.nn.LSTMCell, input_bound: float) -> PublishedCondition:
    r"""The differences of memory c and hidden vector h obey $(|dc^+|, |dh^+|)^T \le A_d (|dc|, |dh|)^T$.

    $s_g = \sigma(|[\bar u W_g, U_g, b_g]|_\infty)$ bounds the gates, $p_c = \tanh$ of the same for the
    candidate, $\bar c = s_i p_c / (1 - s_f)$ the memory and $p_x = \tanh \bar c$. With
    $\alpha = |U_f| \bar c / 4 + s_i |U_c| + |U_i| p_c / 4$

    $$A_d = \begin{pmatrix} s_f & \alpha \\ s_o s_f & \alpha s_o + p_x |U_o| / 4 \end{pmatrix}, \quad
      v = s_f - 1 + \alpha s_o + (1 - s_f) p_x |U_o| / 4 < 0$$

    and v < 0 exactly if the spectral radius of A_d, which is the rate, is below one. For stability of the
    state alone $s_f + s_o s_i |U_c| < 1$ is enough. Norms of U are Euclidean or of largest row sums,
    whichever is better.

    Source: arXiv 1910.04024, 2111.13557; rate and gain are derived here.

    Args:
        cell: exactly an `LSTM` or an `equinox.nn.LSTMCell`, with or without bias.
        input_bound: largest component of a scaled input.
    """
    weights = lstm_weights(cell)
    conditions = [_in_norm(weights, input_bound, order) for order in (2.0, INFINITY)]
    return min(conditions, key=lambda condition: condition.residual)


def _in_norm(weights: LSTMWeights, input_bound: float, order: float) -> PublishedCondition:
    write, keep, show = (_gate(weights, gate, input_bound) for gate in (0, 1, 3))
    candidate = _candidate(weights, input_bound)
    memory = quotient(write[0] * candidate, keep[1]) * SLACK
    shown = float(np.tanh(memory))

    def through(matrices: Sequence[np.ndarray]) -> tuple[float, float]:
        """Effect of a difference behind these matrices on c, and on h through the gate o alone."""
        norms = [induced_norm(matrix, order) for matrix in matrices]
        on_memory = product(norms[1], memory) / 4 + write[0] * norms[2] + norms[0] * candidate / 4
        return on_memory * SLACK, shown * norms[3] / 4

    alpha, direct = through(weights.state_weights)
    lower = alpha * show[0] + direct
    weight = _perron_weight(keep[0], alpha, show[0], lower)
    rate = max(keep[0] + quotient(alpha, weight), show[0] * keep[0] * weight + lower)
    on_memory, on_hidden = through(weights.input_weights)
    gain = max(quotient(on_memory, weight), show[0] * on_memory + on_hidden) * SLACK
    name = norm_name(order)
    return PublishedCondition(
        family="LSTM",
        residual=-keep[1] + alpha * show[0] + direct * keep[1],
        rate=rate * SLACK,
        iss_residual=-keep[1] + show[0] * write[0] * induced_norm(weights.state_weights[2], order),
        input_gain=gain,
        norm=f"larger of |dc| / {weight:.6g} and |dh|, both {name}",
        source="arXiv 1910.04024; 2111.13557",
        note=(
            f"holds for inputs within {input_bound:g} (scaled), h within [-1, 1] and c within {memory:.6g}; "
            "rate and gain are derived here"
        ),
        memory_bound=float(memory),
        order=order,
        memory_weight=weight,
    )


def _gate(weights: LSTMWeights, gate: int, input_bound: float) -> tuple[float, float]:
    return gate_bound(
        input_bound * weights.input_weights[gate], weights.state_weights[gate], weights.biases[gate]
    )


def _candidate(weights: LSTMWeights, input_bound: float) -> float:
    largest = row_norm(input_bound * weights.input_weights[2], weights.state_weights[2], weights.biases[2])
    return float(np.tanh(largest))


def _perron_weight(keep: float, alpha: float, show: float, lower: float) -> float:
    """How much of dc counts as much as dh in the Perron vector of A_d: any positive number gives a norm.

    With the difference d = keep - lower and b = 4 alpha s_o keep, the spectral radius is (keep + lower +
    sqrt(d^2 + b)) / 2 and the weight (d + sqrt(d^2 + b)) / (2 s_o keep). For negative d that is
    2 alpha / (sqrt(d^2 + b) - d), without the difference of numbers that are nearly equal.
    """
    apart = keep - lower
    root = hypot(apart, 2 * sqrt(alpha) * sqrt(show * keep)) if isfinite(alpha) else INFINITY
    weight = quotient(apart + root, 2 * show * keep) if apart > 0 else quotient(2 * alpha, root - apart)
    return weight if isfinite(weight) and weight > 0 else 1.0
