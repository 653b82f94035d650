"""Solve a cell in continuous time, with step sizes that follow the error, by Diffrax."""

from dataclasses import dataclass

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from attractor.cells import FlowLike, State, check_flow, initial_state, input_shape, name_of, rate_of
from attractor.errors import ConfigError, DivergedError, ShapeError
from attractor.program import compiled
from attractor.settings import Count, Positive, Settings

from .unroll import Unrolled


@dataclass(frozen=True)
class FlowSolver(Settings):
    """How closely a flow is solved.

    Args:
        relative: tolerance relative to the state.
        absolute: tolerance near zero.
        most_steps: after which the solver gives up.
        method: an explicit or implicit solver of Diffrax; Tsit5 when None.

    Raises:
        ConfigError: a value that is not positive.
    """

    relative: Positive = 1e-6
    absolute: Positive = 1e-8
    most_steps: Count = 100_000
    method: diffrax.AbstractSolver | None = None


_USUAL = FlowSolver()


def solve_flow(
    flow: FlowLike,
    times: Float[Array | np.ndarray, " time"],
    inputs: Float[Array | np.ndarray, "rows ..."] | None = None,
    state: State | None = None,
    *,
    solver: FlowSolver = _USUAL,
) -> Unrolled:
    """States of dx/dt = F(u, x) at given times.

    Tolerances far below 1e-6 need `jax.enable_x64`, a flow and times in float64.

    Args:
        flow: a `Flow`, or any module with `vector_field(input, state)`; of a plain function
            `attractor.flow` makes one.
        times: strictly increasing; the flow starts at the first one.
        inputs: at these times, linear in between; zeros when None.
        state: at the first time; the flow's own initial state when None.
        solver: tolerances and method.

    Returns:
        States at all times, the first one included, and at the last time.

    Raises:
        ShapeError: fewer than two times, or inputs that do not fit.
        ConfigError: no flow, or times that do not increase.
        CellError: the vector field fails.
        DivergedError: the solver needed more than `most_steps` steps or met numbers that are not finite.
    """
    _check(flow, times, inputs)
    rows = jnp.zeros((len(times), *input_shape(flow))) if inputs is None else jnp.asarray(inputs)
    start = initial_state(flow) if state is None else state
    method = diffrax.Tsit5() if solver.method is None else solver.method
    numbers = (solver.relative, solver.absolute, solver.most_steps)
    states, good = _solved(flow, jnp.asarray(times), rows, start, (method, *numbers))
    if not bool(good):
        raise DivergedError(
            f"{name_of(flow)} could not be followed to time {float(times[-1]):g} in "
            f"{solver.most_steps} steps: it leaves all bounds, or needs looser tolerances or another method"
        )
    return Unrolled(states, jax.tree.map(lambda leaf: leaf[-1], states))


def _check(flow: FlowLike, times: Array | np.ndarray, inputs: Array | np.ndarray | None) -> None:
    check_flow(flow)
    if len(times) < 2:
        raise ShapeError(f"{len(times)} times: a flow needs at least the first and the last one")
    if not np.all(np.diff(np.asarray(times, np.float64)) > 0):
        raise ConfigError("times must increase strictly")
    expected = (len(times), *input_shape(flow))
    if inputs is not None and inputs.shape != expected:
        raise ShapeError(f"inputs of shape {inputs.shape}, expected {expected}")


@compiled
def _solved(flow: FlowLike, times: Array, rows: Array, start: State, how: tuple) -> tuple[State, ArrayLike]:
    method, relative, absolute, most_steps = how
    path = diffrax.LinearInterpolation(times, rows)
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda time, state, _: rate_of(flow, path.evaluate(time), state)),
        method,
        times[0],
        times[-1],
        None,
        start,
        saveat=diffrax.SaveAt(ts=times),
        stepsize_controller=diffrax.PIDController(rtol=relative, atol=absolute),
        max_steps=most_steps,
        throw=False,
    )
    return solution.ys, diffrax.is_okay(solution.result)
