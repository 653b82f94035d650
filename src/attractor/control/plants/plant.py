"""What every simulated plant offers, and how any of them is run over a sequence of inputs."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from attractor.data.record import Signal
from attractor.errors import InputDataError, ShapeError
from attractor.program import digest_or_new, double_precision
from attractor.program.digest import equation_digest

_RELATIVE_TOLERANCE = 1e-9
_MAX_STEPS = 4096


class Plant(eqx.Module):
    r"""A process in continuous time under inputs and disturbances.

    $$\dot x(t) = f(t, x(t), [u; d]), \qquad y(t) = g(x(t))$$

    with the state $x$ (states,), the manipulated inputs $u$ (inputs,), the disturbances $d$
    (disturbances,) and the outputs $y$ (outputs,), all in the plant's engineering units. $[u; d]$ is
    called the forcing. A subclass gives the abstract attributes and the four methods; `simulate` does the
    rest.

    Attributes:
        inputs: the signals an engineer may move.
        outputs: the signals a sensor measures.
        disturbances: what nature moves, possibly nothing.
        input_low: lower end of the working range of every input.
        input_high: upper end of it.
        nominal_disturbances: the disturbances of an ordinary day.
        nominal_inputs: the inputs of the published operating point.
        sampling_time: usual time between two samples, s.
        settling_time: roughly how long a step response takes, s; excitation is planned with it.
        state_scale: typical size of every state; the integrator's absolute tolerance follows it.
        measurement_noise: usual standard deviation of the noise on every output.
    """

    inputs: eqx.AbstractVar[tuple[Signal, ...]]
    outputs: eqx.AbstractVar[tuple[Signal, ...]]
    disturbances: eqx.AbstractVar[tuple[Signal, ...]]
    input_low: eqx.AbstractVar[tuple[float, ...]]
    input_high: eqx.AbstractVar[tuple[float, ...]]
    nominal_inputs: eqx.AbstractVar[tuple[float, ...]]
    nominal_disturbances: eqx.AbstractVar[tuple[float, ...]]
    sampling_time: eqx.AbstractVar[float]
    settling_time: eqx.AbstractVar[float]
    state_scale: eqx.AbstractVar[tuple[float, ...]]
    measurement_noise: eqx.AbstractVar[tuple[float, ...]]

    @abstractmethod
    def vector_field(
        self, time: ArrayLike, state: Float[Array, " states"], forcing: Float[Array, " forcing"]
    ) -> Float[Array, " states"]:
        """The time derivative of the state, unit of the state per second."""

    @abstractmethod
    def measure(self, state: Float[Array, " states"]) -> Float[Array, " outputs"]:
        """The outputs that noise-free sensors would show in this state."""

    @abstractmethod
    def equilibrium(self, forcing: Float[Array, " forcing"]) -> Float[Array, " states"]:
        """The state in which the plant rests under a constant forcing."""

    def possible(self, state: Float[Array, " states"], forcing: Float[Array, " forcing"]) -> Bool[Array, ""]:
        """Whether the equations hold at this state (states,) under this forcing (forcing,), plant units.

        For instance, no tank is below empty and no flow is negative. By default they hold everywhere.
        """
        del state, forcing
        return jnp.array(True)


def equations_of(plant: Plant) -> str:
    """What a compiled run of a plant is kept by beside its structure: its equations as they are now.

    A plant of this library has none that could change.
    """
    if type(plant).__module__.startswith("attractor."):
        return ""
    state, forcing = jnp.asarray(plant.state_scale), jnp.concatenate([
        jnp.asarray(plant.nominal_inputs), jnp.asarray(plant.nominal_disturbances)
    ])  # fmt: skip

    def equations(plant: Plant, state: Array, forcing: Array) -> tuple[Array, ...]:
        flow = plant.vector_field(0.0, state, forcing)
        return flow, plant.measure(state), plant.equilibrium(forcing), plant.possible(state, forcing)

    return digest_or_new(lambda: equation_digest(equations, plant, state, forcing, double=True))


def steady_state(
    plant: Plant,
    inputs: Sequence[float | int] | None = None,
    disturbances: Sequence[float | int] | None = None,
) -> tuple[Float[np.ndarray, " states"], Float[np.ndarray, " outputs"]]:
    """The state in which a plant rests under constant inputs, and what its sensors show there.

    Args:
        plant: the process.
        inputs: one value per input; the published operating point by default.
        disturbances: one value per disturbance; the nominal ones by default.

    Returns:
        State (states,) and outputs (outputs,), float64.

    Raises:
        InputDataError: if the plant has no such state.
        ShapeError: if the number of values is not the number of signals.
    """
    with double_precision():
        applied = _row("inputs", inputs, plant.nominal_inputs)
        disturbing = _row("disturbances", disturbances, plant.nominal_disturbances)
        state, outputs, possible = _rest(
            (plant, equations_of(plant)), jnp.asarray(np.concatenate([applied, disturbing]))
        )
        if not possible:
            raise InputDataError(
                f"the plant has no state of rest under the inputs {applied}, disturbances {disturbing}"
            )
        return np.asarray(state), np.asarray(outputs)


def simulate(
    plant: Plant,
    inputs: Float[np.ndarray, "time inputs"],
    sampling_time: float | None = None,
    *,
    state: Float[np.ndarray, " states"] | None = None,
    disturbances: Float[np.ndarray, "rows disturbances"] | None = None,
) -> tuple[Float[np.ndarray, "time states"], Float[np.ndarray, "time outputs"]]:
    """Run a plant in float64; every input is held constant from one sample to the next.

    Row k of the result is the plant at time k Ts, that is before input k has had any effect; row 0 is
    the initial state. The ordinary differential equation is solved by Tsitouras' 5(4) method with step
    size control at a relative tolerance of 1e-9 (Tsitouras 2011, through Diffrax), one solve per sample,
    so that no step crosses a jump of the input.

    Args:
        plant: the process.
        inputs: one row per sample, engineering units.
        sampling_time: time between two samples, s; the plant's usual one by default.
        state: where to start; by default the equilibrium of the first row of `disturbances` and the
            plant's nominal inputs.
        disturbances: one row per sample; the nominal values throughout by default.

    Returns:
        States (time, states) and noise-free outputs (time, outputs), float64.

    Raises:
        InputDataError: if a value is not finite, the sampling time is not positive, the solver fails, or the
            plant comes where its equations do not hold.
        ShapeError: if an array does not have one column per signal, or the state not one value per state.
    """
    interval = plant.sampling_time if sampling_time is None else sampling_time
    if not interval > 0:
        raise InputDataError(f"sampling_time is {interval}; give a positive number of seconds.")
    applied = signal_rows("inputs", inputs, plant.inputs, len(inputs))
    forcing = np.concatenate([applied, disturbance_rows(plant, disturbances, len(applied))], axis=1)
    if state is None:
        state, _ = steady_state(plant, disturbances=tuple(forcing[0, len(plant.inputs) :]))
    with double_precision():
        start = jnp.asarray(_start(plant, state))
        states, outputs, possible = _run(
            (plant, equations_of(plant)), start, jnp.asarray(forcing), jnp.asarray(float(interval))
        )
        states, outputs, possible = np.asarray(states), np.asarray(outputs), np.asarray(possible)
    if not possible.all():
        row = int(np.argmin(possible))
        raise InputDataError(
            f"at row {row} the plant is where its equations do not hold: state {states[row]}, inputs and "
            f"disturbances {forcing[row]}, the row before {forcing[max(row - 1, 0)]}; keep to possible inputs"
        )
    return states, outputs


def advance(
    plant: Plant,
    state: Float[Array, " states"],
    forcing: Float[Array, " forcing"],
    interval: Float[Array, ""],
) -> Float[Array, " states"]:
    """The state after `interval` seconds of constant forcing: one sample of `simulate`, traceable by JAX.

    Call it inside `jax.enable_x64(True)`; in float32 the tolerance of 1e-9 cannot be met.

    Args:
        plant: the process.
        state: where it is.
        forcing: inputs followed by disturbances.
        interval: how long, s.

    Returns:
        The new state; NaN where the solver needed more than 4096 steps.
    """
    solution = diffrax.diffeqsolve(
        # A function of this trace: Diffrax keeps what it compiled for a method, whatever that reads now.
        diffrax.ODETerm(lambda time, state, forcing: plant.vector_field(time, state, forcing)),
        diffrax.Tsit5(),
        t0=0.0,
        t1=interval,
        dt0=None,
        y0=state,
        args=forcing,
        stepsize_controller=diffrax.PIDController(
            rtol=_RELATIVE_TOLERANCE, atol=_RELATIVE_TOLERANCE * jnp.asarray(plant.state_scale)
        ),
        max_steps=_MAX_STEPS,
        throw=False,
    )
    after = solution.ys[0]  # pyright: ignore[reportOptionalSubscript]
    return jnp.where(solution.result == diffrax.RESULTS.successful, after, jnp.nan)


@eqx.filter_jit
def _rest(own: tuple[Plant, str], forcing: Float[Array, " forcing"]) -> tuple[Array, Array, Array]:
    plant, _ = own
    state = plant.equilibrium(forcing)
    outputs = plant.measure(state)
    return state, outputs, plant.possible(state, forcing) & jnp.isfinite(state).all()


@eqx.filter_jit
def _run(
    own: tuple[Plant, str],
    start: Float[Array, " states"],
    forcing: Float[Array, "time forcing"],
    interval: Array,
) -> tuple[Float[Array, "time states"], Float[Array, "time outputs"], Bool[Array, " time"]]:
    plant, _ = own

    def sample(state: Array, row: Array) -> tuple[Array, Array]:
        return advance(plant, state, row, interval), state

    _, states = jax.lax.scan(sample, start, forcing)
    possible = jax.vmap(plant.possible)(states, forcing) & jnp.isfinite(states).all(axis=1)
    return states, jax.vmap(plant.measure)(states), possible


def _start(plant: Plant, state: ArrayLike) -> Float[np.ndarray, " states"]:
    start = np.asarray(state, float)
    if start.shape != (len(plant.state_scale),):
        raise ShapeError(f"the start has shape {start.shape}, the plant has {len(plant.state_scale)} states")
    if not np.isfinite(start).all():
        raise InputDataError(f"the start {start} is not finite")
    return start


def signal_rows(
    name: str, values: ArrayLike, signals: Sequence[Signal], rows: int
) -> Float[np.ndarray, "time signals"]:
    """Values of a plant's signals, one row per sample and one column per signal.

    Args:
        name: what a message calls them.
        values: plant units.
        signals: what the columns are.
        rows: how many there must be, at least one.

    Raises:
        ShapeError: another shape.
        InputDataError: a value is not finite.
    """
    array = np.asarray(values, float)
    if array.shape != (rows, len(signals)) or not rows:
        wanted = ", ".join(signal.name for signal in signals)
        raise ShapeError(
            f"{name} has shape {array.shape}; expected (time, {len(signals)}): one column for {wanted}."
        )
    if not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        raise InputDataError(
            f"{name} has a value that is not finite in row {row}: {array[row]}. Remove or fill it."
        )
    return array


@runtime_checkable
class Disturbed(Protocol):
    """What has disturbances, and usual values of them."""

    @property
    def disturbances(self) -> tuple[Signal, ...]:
        """What nature moves."""
        ...

    @property
    def nominal_disturbances(self) -> tuple[float, ...] | np.ndarray:
        """Those of an ordinary day."""
        ...


def disturbance_rows(plant: Disturbed, disturbances: ArrayLike | None, rows: int) -> np.ndarray:
    """One row of disturbances per sample, see `signal_rows`; the nominal ones for None."""
    if disturbances is None:
        return np.tile(np.asarray(plant.nominal_disturbances, float), (rows, 1))
    return signal_rows("disturbances", disturbances, plant.disturbances, rows)


def _row(name: str, values: Sequence[float | int] | None, default: tuple[float, ...]) -> np.ndarray:
    row = np.asarray(default if values is None else values, float)
    if row.shape != (len(default),):
        raise ShapeError(f"{name} has shape {row.shape}; expected {len(default)} values.")
    return row
