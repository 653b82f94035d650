"""What a cell does at rest, without input and under noise: measured, not predicted."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, PRNGKeyArray

from attractor.cells import discretise, initial_state, input_size
from attractor.dynamics.eigenvalues import JacobianSpectrum, jacobian_spectrum, time_scale
from attractor.dynamics.lyapunov import LyapunovSettings, lyapunov_exponents
from attractor.dynamics.trajectory import analysed, time_step
from attractor.errors import DivergedError
from attractor.program import FlatMap, compiled, double_precision, flat_map

from .couplings import flow_of

SETTLING = 400
"""Steps without input after which a state counts as at rest, if it moves no more."""

_AT_REST = 1e-6
_FLOW_STEP = 0.1
_NEWTON_STEPS = 8
_SPREAD = 0.1
"""Deviation of the random state from which exponents are measured: zero itself would not show chaos."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What a cell does.

    Times are in steps; for a gated flow and its fixed-step map in the time unit of the flow.

    Args:
        eigenvalues: of the Jacobian at rest without input, the slowest first; rates for a gated flow.
        continuous: whether they are rates.
        rest_residual: largest change of an entry of the state in a step from there; where it is not small,
            the eigenvalues are those of a passing state.
        autonomous_exponent: the largest Lyapunov exponent without input, from a random state.
        driven_exponent: the same under white normal input of variance 1.
        standard_errors: of both exponents.
    """

    eigenvalues: Complex[np.ndarray, " states"]
    continuous: bool
    rest_residual: float
    autonomous_exponent: float
    driven_exponent: float
    standard_errors: tuple[float, float]

    @property
    def leading(self) -> complex:
        """The leading eigenvalue: the largest by absolute value, for a flow by real part."""
        return complex(self.eigenvalues[0])

    @property
    def time_scales(self) -> np.ndarray:
        """Of all modes; infinite where a mode stays, negative where it grows."""
        return time_scale(self.eigenvalues, continuous=self.continuous)

    @property
    def slowest_time(self) -> float:
        """Of the leading mode."""
        return float(self.time_scales[0])

    @property
    def at_rest(self) -> bool:
        """Whether a resting state was found."""
        return self.rest_residual < _AT_REST


def measure(cell: Any, steps: int, key: PRNGKeyArray) -> Measured:
    """Eigenvalues at rest and the largest exponents of a cell.

    Args:
        cell: any cell, or a gated flow.
        steps: that count for the exponents; as many again before them do not, while the state settles.
        key: draws the input and the start.
    """
    moving = cell if callable(cell) else discretise(cell, _FLOW_STEP)
    spectrum, residual = spectrum_at_rest(cell)
    exponents, errors = _exponents(moving, steps, key)
    return Measured(
        eigenvalues=spectrum.values[0],
        continuous=spectrum.continuous,
        rest_residual=residual,
        autonomous_exponent=exponents[0],
        driven_exponent=exponents[1],
        standard_errors=errors,
    )


def spectrum_at_rest(cell: Any) -> tuple[JacobianSpectrum, float]:
    """Eigenvalues of a cell where it comes to rest, and how much its state still changes there.

    For a gated flow and its fixed-step map they are rates of the flow.
    """
    moving: Any = cell if callable(cell) else discretise(cell, _FLOW_STEP)
    with double_precision():
        flat = analysed(moving).still("the resting state")
        vector, residual = _at_rest(flat, jnp.zeros(flat.input_size))
        state = flat.restore(vector)
    return jacobian_spectrum(flow_of(cell) or cell, state), float(residual)


@compiled
def _at_rest(flat: FlatMap, silence: Array) -> tuple[Array, Array]:
    """Many steps, then Newton's method: near the edge a state would take for ever to settle."""

    def change(state: Array) -> Array:
        return flat.step(state, silence) - state

    def newton(_: Any, state: Array) -> Array:
        closer = state - jnp.linalg.lstsq(jax.jacfwd(change)(state), change(state))[0]
        better = jnp.abs(change(closer)).max() < jnp.abs(change(state)).max()
        return jnp.where(better, closer, state)

    settled = jax.lax.fori_loop(0, SETTLING, lambda _, state: state + change(state), flat.start)
    found = jax.lax.fori_loop(0, _NEWTON_STEPS, newton, settled)
    return found, jnp.abs(change(found)).max()


def _exponents(cell: Any, steps: int, key: PRNGKeyArray) -> tuple[tuple[float, float], tuple[float, float]]:
    """The largest exponents without and with input, and their standard errors, in one run of two rows."""
    noise_key, start_key = jax.random.split(key)
    driven = np.asarray(jax.random.normal(noise_key, (2 * steps, input_size(cell))))
    flat = flat_map(cell, dtype=jnp.float32)
    drawn = jax.random.normal(start_key, (flat.real_size,), jnp.float32)
    moved = flat.start[: flat.real_size] + _SPREAD * drawn
    start = flat.layout.with_real(initial_state(flat.cell), moved)
    settings = LyapunovSettings(count=1, burn_in=steps)
    found = lyapunov_exponents(cell, np.stack([0 * driven, driven]), start, settings=settings)
    for run, step in enumerate(found.broken):
        if step >= 0:
            message = f"{('without', 'with')[run]} input the state is not finite at step {step}"
            raise DivergedError(message, found)
    unit = time_step(cell) or 1.0
    still, moved = (found.alone(run) for run in (0, 1))
    errors = float(still.standard_error[0]) / unit, float(moved.standard_error[0]) / unit
    return (float(still.per_step[0]) / unit, float(moved.per_step[0]) / unit), errors
