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

from .condition import (
    INFINITY,
    PUBLISHED,
    SLACK,
    Formula,
    PublishedCondition,
    as_weights,
    gate_bound,
    induced_norm,
    norm_name,
    product,
    quotient,
    row_norm,
)

Vector = Float[np.ndarray, " units"]


@dataclass(frozen=True)
class GateWeights:
    """The weights of a gated cell in float64, one entry a gate.

    A gated recurrent unit has the gates z (keeps), f (resets) and r (the candidate), a long short-term memory
    i (writes), f (keeps), g (the candidate) and o (shows).

    Args:
        input_weights: W.
        state_weights: U.
        biases: b.
    """

    input_weights: list[Float[np.ndarray, "units inputs"]]
    state_weights: list[Float[np.ndarray, "units units"]]
    biases: list[Vector]

    def blocks(self, gate: int, input_bound: float) -> tuple[np.ndarray, ...]:
        r"""$\bar u W_g, U_g, b_g$: their row norm bounds the argument of a gate."""
        return input_bound * self.input_weights[gate], self.state_weights[gate], self.biases[gate]


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
    state = np.concatenate([as_weights(cell.gate_weight), as_weights(cell.candidate_weight)])
    arrays = as_weights(cell.input_weight), state, as_weights(cell.bias)
    weights = GateWeights(*(np.split(array, 3) for array in arrays))
    return _gru_condition(
        weights,
        None,
        input_bound,
        family="GRU, reset gate before the product",
        source="arXiv 2011.06806; 2111.13557",
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
    if isinstance(cell, ResetAfterGRU):
        arrays = cell.input_weight, cell.state_weight, cell.bias, cell.candidate_bias
    else:
        arrays = cell.weight_ih, cell.weight_hh, cell.bias, cell.bias_n
    zeros = np.zeros(3 * cell.hidden_size)
    bias = zeros if arrays[2] is None else as_weights(arrays[2])
    inner = zeros[: cell.hidden_size] if arrays[3] is None else as_weights(arrays[3])
    parts = (np.split(array, 3) for array in (as_weights(arrays[0]), as_weights(arrays[1]), bias))
    return _gru_condition(
        GateWeights(*([keep, reset, candidate] for reset, keep, candidate in parts)),
        inner,
        input_bound,
        family="GRU, reset gate after the product",
        source="derived here after arXiv 2011.06806, whose formula is not valid for this layout",
    )


def _gru_condition(
    weights: GateWeights, inner: Vector | None, input_bound: float, *, family: str, source: str
) -> PublishedCondition:
    """Either layout; `inner` is the bias c inside the reset product, which only the second one has."""
    keep, write = gate_bound(*weights.blocks(0, input_bound))
    reset, _ = gate_bound(*weights.blocks(1, input_bound))
    inputs, norms = (list(map(row_norm, one)) for one in (weights.input_weights, weights.state_weights))
    within = () if inner is None else (inner,)
    reach = row_norm(weights.state_weights[2], *within)
    beta = norms[2] * (reset + norms[1] / 4) if inner is None else reset * norms[2] + norms[1] * reach / 4
    candidate = float(np.tanh(row_norm(*weights.blocks(2, input_bound), *within)))
    through_keep = (1 + candidate) * norms[0] / 4
    # Linear in z: the largest value is at an end of [1 - s_z, s_z], at s_z whenever beta < 1.
    damped = max(keep + write * beta, write + keep * beta)
    gain = (1 + candidate) * inputs[0] / 4 + inputs[2] + product(reach, inputs[1]) / 4
    return PublishedCondition(
        family=family,
        residual=beta - 1 + quotient(through_keep, write),
        rate=(damped + through_keep) * SLACK,
        iss_residual=norms[2] * reset - 1,
        input_gain=gain * SLACK,
        norm="largest component",
        source=source,
        note=(
            f"holds for inputs within {input_bound:g} (scaled) and states within [-1, 1]; rate and gain are "
            "derived here"
        ),
        largest_state=np.ones(len(weights.biases[0])),
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
    if isinstance(cell, LSTM):
        arrays = cell.input_weight, cell.state_weight, cell.bias
    else:
        zeros = np.zeros(4 * cell.hidden_size)
        arrays = cell.weight_ih, cell.weight_hh, zeros if cell.bias is None else cell.bias
    weights = GateWeights(*(np.split(as_weights(array), 4) for array in arrays))
    conditions = [_in_norm(weights, input_bound, order) for order in (2.0, INFINITY)]
    return min(conditions, key=lambda condition: condition.residual)


def _in_norm(weights: GateWeights, input_bound: float, order: float) -> PublishedCondition:
    write, keep, show = (gate_bound(*weights.blocks(gate, input_bound)) for gate in (0, 1, 3))
    candidate = float(np.tanh(row_norm(*weights.blocks(2, input_bound))))
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
