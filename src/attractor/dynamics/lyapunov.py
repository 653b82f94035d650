"""Lyapunov exponents of a driven cell: how fast small differences of the state grow along a trajectory.

The QR method of Benettin et al. 1980 for any cell: an orthonormal basis is carried along by products of the
step's Jacobian with its vectors, and made orthonormal again after every step; the mean logarithms of the
diagonal of R are the exponents.
"""

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from attractor.cells import State
from attractor.errors import ConfigError, InputDataError

from .trajectory import check_finite, checked, flat_step, prepared

_USUAL_COUNT = 10


@dataclass(frozen=True)
class LyapunovSettings:
    """How Lyapunov exponents are measured.

    Args:
        count: how many of the largest; None means all, but at most ten.
        burn_in: steps at the start that do not count, while the basis turns to the fast directions.
        time_step: time of one step, for exponents per unit of time; None asks the cell for its `step`.
        seed: of the basis at the start.

    Raises:
        ConfigError: a value outside its range.
    """

    count: int | None = None
    burn_in: int = 100
    time_step: float | int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        good = {
            "count": self.count is None or self.count >= 1,
            "burn_in": self.burn_in >= 0,
            "time_step": self.time_step is None or 0 < self.time_step < np.inf,
        }
        for name in (name for name, fine in good.items() if not fine):
            message = f"{name}={getattr(self, name)}: expected a positive number (burn_in: at least 0)"
            raise ConfigError(message)


@dataclass(frozen=True, eq=False)
class LyapunovSpectrum:
    """The largest Lyapunov exponents along one trajectory.

    Args:
        per_step: growth of logarithms in one step, descending, shape (count,).
        time_step: time of one step; None for a cell without one.
        steps: steps that counted.
        last_state: the flat state at the end, to go on from.
    """

    per_step: Float[np.ndarray, " count"]
    time_step: float | None
    steps: int
    last_state: Float[np.ndarray, " states"]

    @property
    def per_time(self) -> Float[np.ndarray, " count"] | None:
        """Exponents per unit of time, None for a cell without a time step."""
        return None if self.time_step is None else self.per_step / self.time_step


_USUAL = LyapunovSettings()


def lyapunov_exponents(
    cell: Any,
    inputs: Float[Array | np.ndarray, "time inputs"],
    state: State | None = None,
    *,
    settings: LyapunovSettings = _USUAL,
    key: PRNGKeyArray | None = None,
) -> LyapunovSpectrum:
    """The largest Lyapunov exponents of a cell along the trajectory that inputs drive, in float64.

    With a key the trajectory is noisy and the Jacobians contain the derivative of the noise term: the
    exponents are those of two runs under the same inputs and the same noise.

    Args:
        cell: any cell; its state is taken as one flat vector.
        inputs: one sequence, longer than the burn-in.
        state: where to start; the cell's own initial state when None.
        settings: number of exponents, burn-in, time step.
        key: noise of the steps; None means no noise.

    Raises:
        ConfigError: more exponents than the state has entries.
        ShapeError: inputs that do not fit the cell.
        InputDataError: inputs that are no longer than the burn-in, or not finite.
        DivergedError: the state or a Jacobian left the finite numbers; the step is named.
    """
    values = checked(cell, inputs)
    if len(values) <= settings.burn_in:
        message = (
            f"{len(values)} steps with burn_in={settings.burn_in}: give more inputs, or a shorter burn-in"
        )
        raise InputDataError(message)
    with jax.enable_x64(True):
        wide, start, keys = prepared(cell, state, len(values), key)
        count = _count(settings, len(start))
        basis = jax.random.normal(jax.random.key(settings.seed), (len(start), count), jnp.float64)
        last, growth, sizes = _follow(wide, start, jnp.linalg.qr(basis)[0], (jnp.asarray(values), keys))
        growth, sizes, last = map(np.asarray, (growth, sizes, last))
    check_finite(sizes, growth)
    exponents = growth[settings.burn_in :].mean(axis=0)
    step = time_step(cell) if settings.time_step is None else float(settings.time_step)
    return LyapunovSpectrum(np.sort(exponents)[::-1], step, len(values) - settings.burn_in, last)


def time_step(cell: Any) -> float | None:
    """The time of one step where the cell has a `step`, the mean where units differ; else None."""
    step = getattr(cell, "step", None)
    if step is None or callable(step):
        return None
    return float(np.mean(np.asarray(step, np.float64)))


def _count(settings: LyapunovSettings, states: int) -> int:
    if settings.count is None:
        return min(states, _USUAL_COUNT)
    if settings.count > states:
        message = f"count={settings.count} exponents of a state with {states} entries"
        raise ConfigError(message)
    return settings.count


@eqx.filter_jit
def _follow(
    cell: Any, start: Array, basis: Array, driven: tuple[Array, Array | None]
) -> tuple[Array, Array, Array]:
    """Last state, log |diag R| (time, count), and the size of the state after every step (time,)."""
    flat = flat_step(cell)

    def body(
        carry: tuple[Array, Array], row: tuple[Array, Array | None]
    ) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        state, basis = carry
        new, push = jax.linearize(lambda state: flat(state, *row), state)
        turned, triangle = jnp.linalg.qr(jax.vmap(push, 1, 1)(basis))
        return (new, turned), (jnp.log(jnp.abs(jnp.diagonal(triangle))), jnp.max(jnp.abs(new)))

    (last, _), (growth, sizes) = jax.lax.scan(body, (start, basis), driven)
    return last, growth, sizes
