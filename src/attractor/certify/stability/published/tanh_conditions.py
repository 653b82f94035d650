"""The condition for neural nonlinear autoregression (arXiv 2111.13557, 2012.03741)."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attractor.cells import NNARX

from .condition import PublishedCondition
from .norms import SLACK, as_weights, induced_norm


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
    )


def _is_tanh(network: object) -> bool:
    """Whether hidden layers are tanh itself, and the last one has no activation."""
    layers = getattr(network, "layers", ())
    hidden_is_tanh = getattr(network, "activation", None) is jnp.tanh or len(layers) == 1
    final = getattr(network, "final_activation", None)
    return hidden_is_tanh and callable(final) and _is_identity(final)


def _is_identity(function: Callable[..., Any]) -> bool:
    """Whether a function gives back its argument, read off its program: no sample of values could show it."""
    program = jax.make_jaxpr(function)(jnp.zeros(())).jaxpr
    return not program.eqns and list(program.outvars) == list(program.invars)
