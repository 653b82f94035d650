"""The conditions for gated recurrent units: one for each layout, and never one for the other.

In both layouts z is the keep gate. The published condition (arXiv 2011.06806, 2111.13557) is for the reset
gate before the product; used for the other layout it accepts cells with several equilibria.
"""

from dataclasses import dataclass

import equinox as eqx
import numpy as np
from jaxtyping import Float

from attractor.cells import GRU, ResetAfterGRU

from .condition import PublishedCondition
from .norms import SLACK, as_weights, gate_bound, product, quotient, row_norm

Given = Float[np.ndarray, "units inputs"]
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

    input_weights: tuple[Given, Given, Given]
    state_weights: tuple[Square, Square, Square]
    biases: tuple[Vector, Vector, Vector]
    candidate_bias: Vector | None


def gru_weights(cell: GRU | ResetAfterGRU | eqx.nn.GRUCell) -> GRUWeights:
    """The weights of a cell of one of the three classes, in float64."""
    if isinstance(cell, GRU):
        keep, reset = np.split(as_weights(cell.gate_weight), 2)
        given, bias = np.split(as_weights(cell.input_weight), 3), np.split(as_weights(cell.bias), 3)
        state = keep, reset, as_weights(cell.candidate_weight)
        return GRUWeights((given[0], given[1], given[2]), state, (bias[0], bias[1], bias[2]), None)
    given, state, bias, inner = _reset_after(cell)
    return GRUWeights(
        (given[1], given[0], given[2]), (state[1], state[0], state[2]), (bias[1], bias[0], bias[2]), inner
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
    scaled = [input_bound * given for given in weights.input_weights]
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
    scaled = [input_bound * given for given in weights.input_weights]
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
    given, beta = [row_norm(matrix) for matrix in weights.input_weights], layout.damping
    keep, write = gate_bound(
        input_bound * weights.input_weights[0], weights.state_weights[0], weights.biases[0]
    )
    through_keep = (1 + layout.candidate) * row_norm(weights.state_weights[0]) / 4
    # Linear in z: the largest value is at an end of [1 - s_z, s_z], at s_z whenever beta < 1.
    damped = max(keep + write * beta, write + keep * beta)
    gain = (1 + layout.candidate) * given[0] / 4 + given[2] + product(layout.reset_reach, given[1]) / 4
    return PublishedCondition(
        family=layout.family,
        residual=beta - 1 + quotient(through_keep, write),
        rate=(damped + through_keep) * SLACK,
        iss_residual=layout.iss_residual,
        input_gain=gain * SLACK,
        norm="largest component",
        source=layout.source,
        note=f"holds for inputs within {input_bound:g} (scaled) and {_SET}; rate and gain are derived here",
    )


def _reset_after(
    cell: ResetAfterGRU | eqx.nn.GRUCell,
) -> tuple[list[Given], list[Square], list[Vector], Vector]:
    """Weights in the order reset, keep, candidate, and the bias inside the reset product."""
    if isinstance(cell, ResetAfterGRU):
        arrays = cell.input_weight, cell.state_weight, cell.bias, cell.candidate_bias
    else:
        arrays = cell.weight_ih, cell.weight_hh, cell.bias, cell.bias_n
    zeros = np.zeros(3 * cell.hidden_size)
    bias = zeros if arrays[2] is None else as_weights(arrays[2])
    inner = zeros[: cell.hidden_size] if arrays[3] is None else as_weights(arrays[3])
    return np.split(as_weights(arrays[0]), 3), np.split(as_weights(arrays[1]), 3), np.split(bias, 3), inner
