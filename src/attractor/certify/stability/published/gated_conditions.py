"""The conditions for gated units: recurrent units in two layouts, and long short-term memory.

In both layouts of a gated recurrent unit z is the keep gate. The published condition (arXiv 2011.06806,
2111.13557) is for the reset gate before the product; used for the other layout it accepts cells with several
equilibria. So there is one for each layout, and never one for the other. The condition for long short-term
memory is that of arXiv 1910.04024 and 2111.13557.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot, isfinite, sqrt

import equinox as eqx
import numpy as np
from jaxtyping import Float

from attractor.cells import GRU, LSTM, ResetAfterGRU

from .condition import PUBLISHED, Formula, PublishedCondition
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

InputMatrix = Float[np.ndarray, "units inputs"]
Square = Float[np.ndarray, "units units"]
Vector = Float[np.ndarray, " units"]

_SET = "states within [-1, 1]"


@dataclass(frozen=True)
class GRUWeights:
    """The weights of a gated recurrent unit by gate: z keeps, f resets, r is the candidate.

    Args:
        input_weights: W_z, W_f, W_r.
        state_weights: U_z, U_f, U_r.
        biases: b_z, b_f, b_r.
        candidate_bias: the bias c inside the reset product f * (U_r x + c); None for the layout whose reset
            gate acts before the product.
    """

    input_weights: tuple[InputMatrix, InputMatrix, InputMatrix]
    state_weights: tuple[Square, Square, Square]
    biases: tuple[Vector, Vector, Vector]
    candidate_bias: Vector | None


def gru_weights(cell: GRU | ResetAfterGRU | eqx.nn.GRUCell) -> GRUWeights:
    """The weights of a cell of one of the three classes, in float64."""
    if isinstance(cell, GRU):
        keep, reset = np.split(as_weights(cell.gate_weight), 2)
        driven, bias = np.split(as_weights(cell.input_weight), 3), np.split(as_weights(cell.bias), 3)
        state = keep, reset, as_weights(cell.candidate_weight)
        return GRUWeights((driven[0], driven[1], driven[2]), state, (bias[0], bias[1], bias[2]), None)
    driven, state, bias, inner = _reset_after(cell)
    return GRUWeights(
        (driven[1], driven[0], driven[2]), (state[1], state[0], state[2]), (bias[1], bias[0], bias[2]), inner
    )


def gru_condition(cell: GRU, input_bound: float) -> PublishedCondition:
    r"""$\nu = |U_r| (|U_f|/4 + s_f) - 1 + (1 + p_r) |U_z| / (4 (1 - s_z)) < 0$, norms by row sums.

    $s_g = \sigma(|[\bar u W_g, U_g, b_g]|)$ bounds gate g = z, f; $p_r = \tanh(|[\bar u W_r, U_r, b_r]|)$.
    The rate is $s_z + (1 - s_z) |U_r| (s_f + |U_f|/4) + (1 + p_r) |U_z|/4 = 1 + (1 - s_z) \nu$, and the gain
    $(1 + p_r) |W_z|/4 + |W_r| + |U_r| |W_f|/4$ (own derivation). For stability of the state alone
    $|U_r| s_f < 1$ is enough.

    Source: arXiv 2011.06806, 2111.13557.

    Args:
        cell: exactly a `GRU`.
        input_bound: largest component of a scaled input.
    """
    weights = gru_weights(cell)
    scaled = [input_bound * matrix for matrix in weights.input_weights]
    reset, _ = gate_bound(scaled[1], weights.state_weights[1], weights.biases[1])
    norms = [row_norm(matrix) for matrix in weights.state_weights]
    candidate = np.tanh(row_norm(scaled[2], weights.state_weights[2], weights.biases[2]))
    return _condition(
        weights,
        input_bound,
        _Layout(
            family="GRU, reset gate before the product",
            damping=norms[2] * (reset + norms[1] / 4),
            iss_residual=norms[2] * reset - 1,
            candidate=float(candidate),
            reset_reach=norms[2],
            source="arXiv 2011.06806; 2111.13557",
        ),
    )


def reset_after_condition(cell: ResetAfterGRU | eqx.nn.GRUCell, input_bound: float) -> PublishedCondition:
    r"""The condition for the layout of cuDNN and torch, in which the reset gate acts after the product.

    As in `gru_condition` with $|U_r| (s_f + |U_f|/4)$ replaced by $s_f |U_r| + |U_f| |[U_r, c]| / 4$, where
    c is the bias inside the reset product, and $p_r = \tanh(|[\bar u W_r, U_r, b_r, c]|)$; in the gain
    $|U_r| |W_f|/4$ becomes $|[U_r, c]| |W_f|/4$.

    Args:
        cell: exactly a `ResetAfterGRU` or an `equinox.nn.GRUCell`, with or without biases.
        input_bound: largest component of a scaled input.
    """
    weights = gru_weights(cell)
    inner = weights.candidate_bias
    if inner is None:
        inner = np.zeros(len(weights.biases[0]))
    scaled = [input_bound * matrix for matrix in weights.input_weights]
    reset, _ = gate_bound(scaled[1], weights.state_weights[1], weights.biases[1])
    norms = [row_norm(matrix) for matrix in weights.state_weights]
    reach = row_norm(weights.state_weights[2], inner)
    candidate = np.tanh(row_norm(scaled[2], weights.state_weights[2], weights.biases[2], inner))
    return _condition(
        weights,
        input_bound,
        _Layout(
            family="GRU, reset gate after the product",
            damping=reset * norms[2] + norms[1] * reach / 4,
            iss_residual=norms[2] * reset - 1,
            candidate=float(candidate),
            reset_reach=reach,
            source="derived here after arXiv 2011.06806, whose formula is not valid for this layout",
        ),
    )


@dataclass(frozen=True)
class _Layout:
    """What differs between the layouts: beta, residual of plain stability, p_r, bound of what f scales."""

    family: str
    damping: float
    iss_residual: float
    candidate: float
    reset_reach: float
    source: str


def _condition(weights: GRUWeights, input_bound: float, layout: _Layout) -> PublishedCondition:
    driven, beta = [row_norm(matrix) for matrix in weights.input_weights], layout.damping
    keep, write = gate_bound(
        input_bound * weights.input_weights[0], weights.state_weights[0], weights.biases[0]
    )
    through_keep = (1 + layout.candidate) * row_norm(weights.state_weights[0]) / 4
    # Linear in z: the largest value is at an end of [1 - s_z, s_z], at s_z whenever beta < 1.
    damped = max(keep + write * beta, write + keep * beta)
    gain = (1 + layout.candidate) * driven[0] / 4 + driven[2] + product(layout.reset_reach, driven[1]) / 4
    return PublishedCondition(
        family=layout.family,
        residual=beta - 1 + quotient(through_keep, write),
        rate=(damped + through_keep) * SLACK,
        iss_residual=layout.iss_residual,
        input_gain=gain * SLACK,
        norm="largest component",
        source=layout.source,
        note=f"holds for inputs within {input_bound:g} (scaled) and {_SET}; rate and gain are derived here",
        largest_state=np.ones(len(weights.biases[0])),
    )


def _reset_after(
    cell: ResetAfterGRU | eqx.nn.GRUCell,
) -> tuple[list[InputMatrix], list[Square], list[Vector], Vector]:
    """Weights in the order reset, keep, candidate, and the bias inside the reset product."""
    if isinstance(cell, ResetAfterGRU):
        arrays = cell.input_weight, cell.state_weight, cell.bias, cell.candidate_bias
    else:
        arrays = cell.weight_ih, cell.weight_hh, cell.bias, cell.bias_n
    zeros = np.zeros(3 * cell.hidden_size)
    bias = zeros if arrays[2] is None else as_weights(arrays[2])
    inner = zeros[: cell.hidden_size] if arrays[3] is None else as_weights(arrays[3])
    return np.split(as_weights(arrays[0]), 3), np.split(as_weights(arrays[1]), 3), np.split(bias, 3), inner


@dataclass(frozen=True)
class LSTMWeights:
    """The weights of a long short-term memory by gate, in the order i (write), f (keep), g, o (show)."""

    input_weights: tuple[InputMatrix, InputMatrix, InputMatrix, InputMatrix]
    state_weights: tuple[Square, Square, Square, Square]
    biases: tuple[Vector, Vector, Vector, Vector]


def lstm_weights(cell: LSTM | eqx.nn.LSTMCell) -> LSTMWeights:
    """The weights of a cell of one of the two classes, in float64."""
    if isinstance(cell, LSTM):
        arrays = cell.input_weight, cell.state_weight, cell.bias
    else:
        zeros = np.zeros(4 * cell.hidden_size)
        arrays = cell.weight_ih, cell.weight_hh, zeros if cell.bias is None else cell.bias
    driven, state, bias = (np.split(as_weights(array), 4) for array in arrays)
    return LSTMWeights(
        (driven[0], driven[1], driven[2], driven[3]),
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
    name, units = norm_name(order), len(weights.biases[0])
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
        order=order,
        # The flat state is the hidden vector, then the memory.
        largest_state=np.repeat([1.0, float(memory)], units),
        weights=np.repeat([1.0, weight], units),
        groups=np.repeat([0, 1], units) if order == 2 else None,
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


for _class, _condition_of in (
    (GRU, gru_condition),
    (ResetAfterGRU, reset_after_condition),
    (eqx.nn.GRUCell, reset_after_condition),
    (LSTM, lstm_condition),
    (eqx.nn.LSTMCell, lstm_condition),
):
    PUBLISHED.register(_class, Formula(_condition_of, lambda *_: 1.0), source=__name__)
