"""The condition for tanh cells: echo state networks and the cell of Elman (arXiv 2111.13557, 1902.01618)."""

import numpy as np
from jaxtyping import Float

from attractor.cells import EchoState, Elman

from .condition import PublishedCondition
from .norms import INFINITY, SLACK, as_weights, induced_norm, norm_name

_NOTE = "holds for any input and any state; the better of the Euclidean and the largest-component norm"


def echo_state_condition(cell: EchoState) -> PublishedCondition:
    r"""$|W_x| < 1$; the leaky reservoir contracts by $(1 - a) + a |W_x|$ a step.

    No output is fed back, so the read-out plays no role. The state holds the last input as well, which
    differs by |du| at once. With g = a |W_u| the gain is $\max(g, 1)$ for the largest component. Euclidean
    lengths add up: $(\lambda d + g e)^2 + e^2 \le (\lambda d + \sqrt{g^2 + 1}\, e)^2$, so that it is
    $\sqrt{g^2 + 1}$.
    """
    return _tanh_condition("echo state", as_weights(cell.reservoir), as_weights(cell.input_weight), cell.leak)


def elman_condition(cell: Elman) -> PublishedCondition:
    r"""$|U| < 1$, which is also the rate: tanh has slopes of at most one."""
    return _tanh_condition("tanh (Elman)", as_weights(cell.state_weight), as_weights(cell.input_weight))


def _tanh_condition(
    family: str,
    recurrent: Float[np.ndarray, "units units"],
    given: Float[np.ndarray, "units inputs"],
    leak: float | None = None,
) -> PublishedCondition:
    norm, order = min((induced_norm(recurrent, order), order) for order in (2.0, INFINITY))
    share = 1.0 if leak is None else leak
    gain = share * induced_norm(given, order)
    return PublishedCondition(
        family=family,
        residual=norm - 1,
        rate=(1 - share + share * norm) * SLACK,
        iss_residual=norm - 1,
        input_gain=gain if leak is None else _with_last_input(gain, order),
        norm=f"{norm_name(order)} of states and inputs",
        order=order,
        source="arXiv 2111.13557; 1902.01618",
        note=_NOTE,
    )


def _with_last_input(gain: float, order: float) -> float:
    """The gain of a reservoir and of the last input beside it, together."""
    return max(gain, 1.0) if order == INFINITY else float(np.hypot(gain, 1.0)) * SLACK
