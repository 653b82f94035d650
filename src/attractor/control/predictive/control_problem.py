"""What a predictive controller minimises, and the limits it keeps; checked once, used at every sample."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from jaxtyping import Array, Float

from attractor.data import Scaling
from attractor.errors import ConfigError, ShapeError
from attractor.settings import Count, Settings

PerChannel = float | int | Sequence[float | int] | np.ndarray
Values = TypeVar("Values", np.ndarray, Array)

# Over the horizon, in NumPy; `numbers` = horizon * inputs.
InputPlan = Float[np.ndarray, "horizon inputs"]
OutputPlan = Float[np.ndarray, "horizon outputs"]
Numbers = Float[np.ndarray, " numbers"]
Hessian = Float[np.ndarray, "numbers numbers"]


@dataclass(frozen=True, eq=False)
class ControlObjective:
    r"""The cost of a plan $u_0 \dots u_{N-1}$ over the horizon $N$, in scaled units.

    $$J = \sum_{k=1}^{N} |y_k - r_k|_Q^2 + \sum_{k=0}^{N-1} \left( |u_k - u_r|_R^2
        + |u_k - u_{k-1}|_S^2 \right) + \rho\, (x_N - x_r)' P (x_N - x_r)$$

    with outputs $y$ (outputs,), references $r$, inputs $u$ (inputs,) and the steady target $(x_r, u_r)$; the
    matrices $Q, R, S$ are diagonal and $P$ comes from the terminal rule. $y_0$ cannot be influenced and does
    not count. Every weight is one number, or one per channel.

    Args:
        output_weight: the diagonal of $Q$.
        input_weight: the diagonal of $R$: pulls every input to its steady target.
        move_weight: the diagonal of $S$: what moving the actuators costs.
        terminal_weight: $\rho$; 0 switches the terminal cost off.
    """

    output_weight: PerChannel = 1.0
    input_weight: PerChannel = 0.0
    move_weight: PerChannel = 0.1
    terminal_weight: float | int = 1.0

    def __post_init__(self) -> None:
        for name in ("output_weight", "input_weight", "move_weight", "terminal_weight"):
            _nonnegative(name, getattr(self, name))

    def diagonals(self, inputs: int, outputs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Q, R and S with one number per channel.

        Raises:
            ShapeError: a weight has another number of channels.
        """
        return (
            per_channel("output_weight", self.output_weight, outputs),
            per_channel("input_weight", self.input_weight, inputs),
            per_channel("move_weight", self.move_weight, inputs),
        )


@dataclass(frozen=True, eq=False)
class Limits:
    r"""What inputs may never and outputs should not leave.

    Input and rate limits are kept exactly. Output limits are softened, so that a plan always exists: a
    violation $s \ge 0$ of any predicted output costs $c_1 s + \frac{1}{2} c_2 s^2$. Values are one number or
    one per channel; which unit they have is for their user to say (the solver: scaled; the controller: the
    plant's).

    Args:
        input_low: smallest input.
        input_high: largest input.
        rate: largest change of an input from one sample to the next; None for none.
        output_low: smallest wanted output; None for none.
        output_high: largest wanted output; None for none.
        linear_penalty: $c_1$, on outputs in scaled units; large enough, a limit that can be kept is kept.
        quadratic_penalty: $c_2$, alike.
    """

    input_low: PerChannel = -1.0
    input_high: PerChannel = 1.0
    rate: PerChannel | None = None
    output_low: PerChannel | None = None
    output_high: PerChannel | None = None
    linear_penalty: float | int = 100.0
    quadratic_penalty: float | int = 1000.0

    def __post_init__(self) -> None:
        _nonnegative("linear_penalty", self.linear_penalty)
        if not 0 < self.quadratic_penalty < np.inf:
            raise ConfigError(f"quadratic_penalty={self.quadratic_penalty}: expected a positive number")
        if self.rate is not None and not (np.asarray(self.rate, float) > 0).all():
            raise ConfigError(
                f"rate={self.rate}: expected positive numbers, or None for no limit of the rate"
            )
        _ordered("input", self.input_low, self.input_high)
        if not (np.isfinite(self.input_low).all() and np.isfinite(self.input_high).all()):
            raise ConfigError(
                f"input limits {self.input_low} to {self.input_high}: every input needs finite limits"
            )
        _ordered("output", *self._output_limits)

    @property
    def _output_limits(self) -> tuple[PerChannel, PerChannel]:
        """Low and high, infinite where there is no limit."""
        low, high = self.output_low, self.output_high
        return (-np.inf if low is None else low), (np.inf if high is None else high)

    @property
    def has_output_limits(self) -> bool:
        """Whether any output is limited."""
        return self.output_low is not None or self.output_high is not None

    def penalty(self, outputs: Values, low: Values, high: Values) -> Array | np.floating:
        """What violations of the output limits cost; `low` and `high` have the shape of the outputs."""
        beyond = (low - outputs).clip(0.0) + (outputs - high).clip(0.0)
        return (self.linear_penalty * beyond + 0.5 * self.quadratic_penalty * beyond**2).sum()

    def input_box(self, inputs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Low, high and rate with one number per input.

        Raises:
            ShapeError: a limit has another number of channels.
        """
        low = per_channel("input_low", self.input_low, inputs)
        high = per_channel("input_high", self.input_high, inputs)
        return low, high, None if self.rate is None else per_channel("rate", self.rate, inputs)

    def output_box(self, outputs: int) -> tuple[np.ndarray, np.ndarray]:
        """Low and high with one number per output, infinite where there is no limit.

        Raises:
            ShapeError: a limit has another number of channels.
        """
        low, high = self._output_limits
        return per_channel("output_low", low, outputs), per_channel("output_high", high, outputs)

    def scaled(self, inputs: Scaling, outputs: Scaling) -> "Limits":
        """The same limits in scaled units, where inputs also stay within [-1, 1], the range of the training.

        A model says nothing about inputs it never saw, and no certificate holds there.

        Args:
            inputs: scaling of the inputs, from the unit of these limits.
            outputs: scaling of the outputs, alike.

        Raises:
            ConfigError: the limits and the range of the training have no input in common.
        """
        low, high, rate = self.input_box(len(inputs.scale))
        below, above = np.maximum(inputs.to_unit(low), -1.0), np.minimum(inputs.to_unit(high), 1.0)
        if not (below < above).all():
            trained = inputs.offset - inputs.scale, inputs.offset + inputs.scale
            raise ConfigError(
                f"input limits {low} to {high} do not meet the range of the training, {trained}"
            )
        slope = None if rate is None else rate / inputs.scale
        floor, ceiling = (
            None if end is None else outputs.to_unit(per_channel("output limit", end, len(outputs.scale)))
            for end in (self.output_low, self.output_high)
        )
        return Limits(below, above, slope, floor, ceiling, self.linear_penalty, self.quadratic_penalty)


@dataclass(frozen=True)
class ControlProblem(Settings):
    """Horizon, cost and limits, in scaled units.

    Args:
        horizon: how many samples a plan looks ahead.
        objective: the cost.
        limits: the limits.
    """

    horizon: Count = 20
    objective: ControlObjective = field(default_factory=ControlObjective)
    limits: Limits = field(default_factory=Limits)


def per_channel(name: str, values: PerChannel, channels: int) -> Float[np.ndarray, " channels"]:
    """One number per channel, from one for all or from as many.

    Args:
        name: what the numbers are, for messages.
        values: the numbers.
        channels: how many there must be.

    Raises:
        ShapeError: another number of values.
    """
    array = np.asarray(values, float)
    if array.ndim > 1 or (array.ndim == 1 and len(array) != channels):
        raise ShapeError(f"{name} has shape {array.shape}; give one number, or {channels}: one per channel")
    return np.broadcast_to(array, (channels,)).copy()


def _nonnegative(name: str, values: PerChannel) -> None:
    array = np.asarray(values, float)
    if not np.isfinite(array).all() or (array < 0).any():
        raise ConfigError(f"{name}={values}: expected finite numbers of at least 0")


def _ordered(name: str, low: PerChannel, high: PerChannel) -> None:
    below, above = np.asarray(low, float), np.asarray(high, float)
    if below.ndim and above.ndim and below.shape != above.shape:
        raise ShapeError(
            f"{name}_low has shape {below.shape} and {name}_high {above.shape}; give one per channel each"
        )
    if not (below < above).all():
        raise ConfigError(f"{name}_low={low} must lie below {name}_high={high} in every channel")
