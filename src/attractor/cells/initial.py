"""How weights start."""

from math import inf

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from attractor.errors import ConfigError

Timescales = tuple[float | int, float | int]
"""The shortest and the longest memory of units, in steps."""


def uniform_weight(
    key: PRNGKeyArray, rows: int, columns: int, fan_in: int | None = None
) -> Float[Array, "rows columns"]:
    """Uniform in +-1/sqrt(fan_in); `fan_in` is `columns` unless given."""
    bound = (fan_in or max(columns, 1)) ** -0.5
    return jax.random.uniform(key, (rows, columns), minval=-bound, maxval=bound)


def timescale_bias(size: int, timescales: Timescales) -> Float[Array, " size"]:
    """Biases of a keep gate so that unit i forgets with its own time constant.

    A gate that stays at z keeps a memory of about tau = 1/(1-z) steps, so the bias is log(tau - 1), with tau
    spread geometrically over `timescales` (in steps). Tallec and Ollivier 2018, arXiv 1804.11188.

    Raises:
        ConfigError: a time constant of one step or less.
    """
    return jnp.asarray(memory_bias(size, timescales), float)  # compiles nothing


def memory_bias(size: int, timescales: Timescales) -> Float[np.ndarray, " size"]:
    """The numbers of `timescale_bias`, which are known also while JAX traces.

    Raises:
        ConfigError: a time constant of one step or less.
    """
    shortest, longest = map(float, timescales)
    if not 1 < shortest <= longest < inf:
        raise ConfigError(
            f"timescales={(shortest, longest)}: expected 1 < shortest <= longest, both finite, in steps"
        )
    return np.log(np.geomspace(shortest, longest, size) - 1.0)
