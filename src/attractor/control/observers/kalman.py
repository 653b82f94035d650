"""Extended Kalman filters: one for any cell, with nothing proved, and one that keeps a proved rate."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from attractor.cells import GRU, LSTM, Cell, EchoState, ResetAfterGRU, name_of
from attractor.control.model import ControlModel, InputArray, OutputArray, StateArray, StateVector
from attractor.control.observer import Convergence, ObserverMap, RunningObserver
from attractor.errors import ConfigError, ShapeError, UnsupportedError
from attractor.program import double_precision
from attractor.shown import Shown

from .injection import SLACK

Gain = Float[Array, "states outputs"]
Memory = tuple[StateArray, Float[Array, "states states"]]
"""(estimate of the state, its covariance)."""


@dataclass(frozen=True)
class NoiseLevels:
    """Standard deviations in scaled units; one number, or one for each state or output.

    Args:
        process: what moves the state besides the model, per sample. It also stands for the mismatch of the
            model, so it is not the noise of the plant alone.
        measurement: noise of the sensors; outputs have unit variance.
        initial: error of the first estimate.
    """

    process: float | tuple[float, ...] = 0.02
    measurement: float | tuple[float, ...] = 0.05
    initial: float | tuple[float, ...] = 0.5


class KalmanMap(ObserverMap):
    r"""Measurement and time update of a filter that linearises the model at its own estimate.

    $S = C P C^T + R$, $K = P C^T S^{-1}$, $\tilde x = \hat x + K (y - g(\hat x))$,
    $\tilde P = (I - K C) P (I - K C)^T + K R K^T$ (Joseph form), then $\hat x^+ = f(\tilde x, u)$ and
    $P^+ = A \tilde P A^T + Q$, with $C = \partial g / \partial x$ at $\hat x$ and
    $A = \partial f / \partial x$ at $\tilde x$. A missing output has no column in C.

    Args:
        model: the model.
        process: Q.
        measurement: R.
        initial: P at the start.
    """

    model: ControlModel
    process: Float[Array, "states states"]
    measurement: Float[Array, "outputs outputs"]
    initial: Float[Array, "states states"]

    def begin(self, state: StateArray) -> Memory:
        """The state and the covariance of its error."""
        return state, self.initial

    def estimate(self, memory: Memory) -> StateArray:
        """The predicted state."""
        return memory[0]

    def limit(self, gain: Gain, seen: Float[Array, "outputs states"]) -> Gain:
        """The gain that is used; Joseph's form holds for any."""
        return gain

    def project(self, state: StateArray) -> StateArray:
        """The corrected state that is used."""
        return state

    def __call__(self, memory: Memory, input: InputArray, measured: OutputArray) -> Memory:
        """One sample."""
        state, covariance = memory
        there = jnp.isfinite(measured)
        error = jnp.where(there, measured - self.model.output(state), 0.0)
        seen = jnp.where(there[:, None], jax.jacfwd(self.model.output)(state), 0.0)
        innovation = seen @ covariance @ seen.T + self.measurement
        gain = self.limit(jnp.linalg.solve(innovation, seen @ covariance).T, seen)
        rest = jnp.eye(len(state)) - gain @ seen
        state = self.project(state + gain @ error)
        covariance = rest @ covariance @ rest.T + gain @ self.measurement @ gain.T
        jacobian = jax.jacfwd(self.model.step)(state, input)
        covariance = jacobian @ covariance @ jacobian.T + self.process
        return self.model.step(state, input), (covariance + covariance.T) / 2


def kalman_observer(
    model: ControlModel, noise: NoiseLevels | None = None, state: ArrayLike | None = None
) -> RunningObserver:
    """An extended Kalman filter for a model with any cell that can be differentiated.

    Args:
        model: the model.
        noise: standard deviations in scaled units; defaults that suit outputs of unit variance.
        state: the first estimate; rest by default.

    Raises:
        ConfigError: a standard deviation that is negative, zero for the measurement, or of the wrong length.
    """
    text = "local, none proved: a filter that linearises at its own estimate may lose the state"
    return RunningObserver(KalmanMap(model, **covariances(model, noise)), Convergence.unproved(text), state)


def covariances(model: ControlModel, noise: NoiseLevels | None) -> dict[str, Array]:
    """The matrices of a filter by the names of the fields of `KalmanMap`.

    Raises:
        ConfigError: a standard deviation that is negative, zero for the measurement, or of the wrong length.
    """
    noise = noise or NoiseLevels()
    sizes = {"process": model.state_size, "measurement": model.output_size, "initial": model.state_size}
    matrices = {name: _covariance(name, getattr(noise, name), size) for name, size in sizes.items()}
    if not np.diag(matrices["measurement"]).min() > 0:
        raise ConfigError(f"measurement={noise.measurement}: expected positive standard deviations")
    with double_precision():
        return {name: jnp.asarray(matrix) for name, matrix in matrices.items()}


def _covariance(name: str, levels: float | tuple[float, ...], size: int) -> np.ndarray:
    values = np.atleast_1d(np.asarray(levels, float))
    if len(values) not in (1, size) or not (np.isfinite(values).all() and (values >= 0).all()):
        raise ConfigError(f"{name}={levels}: expected one standard deviation, or {size}, of at least 0")
    return np.diag(np.broadcast_to(values, size) ** 2)


_SHOWS_PART_OF_ITS_STATE = GRU, ResetAfterGRU, LSTM, EchoState, eqx.nn.GRUCell, eqx.nn.LSTMCell
_PARTS = 40
"""Parts of the gain that are tried, from all of it down to a thousandth, and none."""


@dataclass(frozen=True, eq=False)
class Contraction(Shown):
    """A proof that a model contracts: |f(a, u) - f(b, u)|_w <= rate |a - b|_w, |v|_w = max |v_i| / w_i.

    Args:
        rate: below 1.
        weights: w over the flat state, positive.
        low: lower corner of the box of states for which it is proved; the model must not leave it.
        high: upper corner.
    """

    rate: float
    weights: StateVector
    low: StateVector
    high: StateVector


class GuardedKalmanMap(KalmanMap):
    r"""An extended Kalman filter with the gain T K, T diagonal and as large as $|I - T K C|_w \le m$ allows.

    The norm is a largest row sum, so every state has its own part $t_i \in [0, 1]$ of its gain: a slow state
    that dominates the read-out is corrected fully where faster ones may not be. The read-out is affine, so
    the correction multiplies the error by $I - T K C$ exactly, whatever K is; the projection onto a box that
    holds the true state does not enlarge it, and the step of the model shrinks it by its rate. Hence
    $|e^+|_w \le rate \cdot m |e|_w$ without noise (derived here).

    Args:
        model: the model.
        process: Q.
        measurement: R.
        initial: P at the start.
        weights: w.
        low: lower corner of the box.
        high: upper corner of the box.
        margin: m, above 1.
    """

    weights: StateArray
    low: StateArray
    high: StateArray
    margin: Float[Array, ""]

    def begin(self, state: StateArray) -> Memory:
        """The nearest state in the box, and the covariance of its error."""
        return self.project(state), self.initial

    def project(self, state: StateArray) -> StateArray:
        """The nearest state in the box."""
        return jnp.clip(state, self.low, self.high)

    def limit(self, gain: Gain, seen: Float[Array, "outputs states"]) -> Gain:
        """The largest part of every row that keeps the rate; none of it is always allowed."""
        effect, unit = gain @ seen, jnp.eye(len(gain))
        parts = jnp.append(2.0 ** -(jnp.arange(_PARTS) / 4), 0.0)

        def growth(part: Array) -> Array:
            return jnp.abs(unit - part * effect) @ self.weights / self.weights

        allowed = jax.vmap(growth)(parts) <= self.margin
        return jnp.max(jnp.where(allowed, parts[:, None], 0.0), axis=0)[:, None] * gain


def guarded_kalman_observer(
    model: ControlModel,
    contraction: Contraction,
    noise: NoiseLevels | None = None,
    rate: float | None = None,
    state: ArrayLike | None = None,
) -> RunningObserver:
    """An extended Kalman filter that provably forgets a wrong start.

    Args:
        model: a model whose read-out is affine in the state.
        contraction: what is proved about the model.
        noise: standard deviations in scaled units.
        rate: the rate to keep, between that of the contraction and 1; its square root by default, so that
            forgetting takes at most twice as long as for the model alone.
        state: the first estimate; rest by default.

    Raises:
        ConfigError: a contraction that is none, or a rate outside its range.
        ShapeError: a contraction for another number of states.
        UnsupportedError: a cell that shows a nonlinear function of its state.
    """
    _check(model, contraction)
    kept = contraction.rate**0.5 if rate is None else rate
    if not contraction.rate < kept < 1:
        raise ConfigError(
            f"rate={kept}: expected between {contraction.rate:.6g}, that of the contraction, and 1"
        )
    with double_precision():
        update_map = GuardedKalmanMap(
            model,
            **covariances(model, noise),
            **{name: jnp.asarray(getattr(contraction, name)) for name in ("weights", "low", "high")},
            margin=jnp.asarray(kept / contraction.rate / SLACK),
        )
    weights = np.asarray(contraction.weights)
    text = (
        f"the error shrinks to at most {kept:.6g} times per sample without noise, if the plant is the model; "
        "the gain of the filter is held back where it would not"
    )
    growth = float(weights.max() / weights.min())
    statement = Convergence(kept, True, text, amplification=growth, weights=tuple(weights.tolist()))
    return RunningObserver(update_map, statement, state)


def _check(model: ControlModel, contraction: Contraction) -> None:
    cell = model.network.cell
    shows_all = getattr(type(cell), "exposed", None) is Cell.exposed
    if type(cell) not in _SHOWS_PART_OF_ITS_STATE and not shows_all:
        raise UnsupportedError(
            f"{name_of(cell)} may show a nonlinear function of its state: nothing can be proved"
        )
    shapes = {np.shape(part) for part in (contraction.weights, contraction.low, contraction.high)}
    if shapes != {(model.state_size,)}:
        raise ShapeError(
            f"a contraction with shapes {sorted(shapes)} for a model of {model.state_size} states"
        )
    if not (0 < contraction.rate < 1 and np.min(contraction.weights) > 0):
        raise ConfigError(
            f"rate={contraction.rate}, w={contraction.weights}: expected 0 < rate < 1 and w > 0"
        )
