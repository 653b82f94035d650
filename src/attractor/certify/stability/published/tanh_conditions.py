"""The conditions for tanh networks: echo state networks, the cell of Elman, neural nonlinear autoregression.

Sources: arXiv 2111.13557, 1902.01618 (echo state), 2012.03741 (NNARX).
"""

from collections.abc import Callable
from math import inf

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from attractor.cells import NNARX, EchoState, Elman

from .condition import PUBLISHED, SLACK, Formula, PublishedCondition, as_weights, induced_norm, norm_name

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
    driving: Float[np.ndarray, "units inputs"],
    leak: float | None = None,
) -> PublishedCondition:
    norm, order = min((induced_norm(recurrent, order), order) for order in (2.0, inf))
    share = 1.0 if leak is None else leak
    gain = share * induced_norm(driving, order)
    size = len(recurrent) if leak is None else sum(driving.shape)  # a reservoir keeps its last input
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
        largest_state=np.full(size, inf),
        groups=np.zeros(size, int) if order == 2 else None,
    )


def _with_last_input(gain: float, order: float) -> float:
    """The gain of a reservoir and of the last input beside it, together."""
    return max(gain, 1.0) if order == inf else float(np.hypot(gain, 1.0)) * SLACK


def nnarx_condition(cell: NNARX) -> PublishedCondition | None:
    r"""$|U_0| \prod_i |U_i| < 1 / \sqrt N$ with spectral norms and tanh layers.

    $U_1$ holds the columns of the first layer that belong to the state, $U_0$ is the last layer, N the order
    of the regressor. With K the left side, $V = dx^T P dx$ and $P = blockdiag(1, ..., N)$:
    $V^+ - V \le -(1 - N K^2) |dx|^2$ and $V \le N |dx|^2$, hence the rate $\sqrt{1 - 1/N + K^2}$ in
    $\sqrt V$ (own derivation). The input bound plays no role.

    Args:
        cell: exactly an `NNARX`.

    Returns:
        The condition; None if the network of the cell was exchanged for one that is not a tanh network.
    """
    network = cell.network
    if not _is_tanh(network):
        return None
    weights = [as_weights(layer.weight) for layer in network.layers]
    blocks = cell.order
    of_state = blocks * (cell.output_size + cell.input_size)
    first = [weights[0][:, :of_state], weights[0][:, of_state:]]
    rest = float(np.prod([induced_norm(weight, 2.0) for weight in weights[1:]]))
    gain, input_effect = (induced_norm(part, 2.0) * rest * SLACK for part in first)
    residual = gain - 1 / np.sqrt(blocks)
    return PublishedCondition(
        family="NNARX",
        residual=float(residual),
        rate=float(np.sqrt(1 - 1 / blocks + gain**2)) * SLACK,
        iss_residual=float(residual),
        input_gain=float(np.sqrt(blocks * (1 + input_effect**2))) * SLACK,
        norm="Euclidean, block i of the regressor weighted by sqrt(i), oldest first",
        source="arXiv 2111.13557; 2012.03741",
        note="holds for any input and any state; rate and gain are derived here",
        order=2.0,
        largest_state=np.full(of_state, inf),
        weights=np.repeat(1 / np.sqrt(np.arange(1, blocks + 1)), of_state // blocks),
        groups=np.zeros(of_state, int),
    )


def _is_tanh(network: object) -> bool:
    """Whether hidden layers are tanh itself, and the last one has no activation."""
    layers = getattr(network, "layers", ())
    hidden_is_tanh = getattr(network, "activation", None) is jnp.tanh or len(layers) == 1
    final = getattr(network, "final_activation", None)
    return hidden_is_tanh and callable(final) and _is_identity(final)


def _is_identity(function: Callable[..., object]) -> bool:
    """Whether a function gives back its argument, read off its program: no sample of values could show it."""
    program = jax.make_jaxpr(function)(jnp.zeros(())).jaxpr
    return not program.eqns and list(program.outvars) == list(program.invars)


PUBLISHED.register(Elman, Formula(lambda cell, _: elman_condition(cell), lambda *_: 1.0), source=__name__)
PUBLISHED.register(
    EchoState,
    Formula(lambda cell, _: echo_state_condition(cell), lambda _, bound: max(1.0, bound)),  # its input, too
    source=__name__,
)
PUBLISHED.register(NNARX, Formula(lambda cell, _: nnarx_condition(cell)), source=__name__)
