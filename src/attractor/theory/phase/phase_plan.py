"""What a phase diagram shows: two axes, a network, and how it is simulated."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from attractor.cells import FlowLike, GatedForm
from attractor.errors import ConfigError
from attractor.settings import Count, NonNegative, Positive, Seed, Settings, Within

# Letters of Krishnamurthy, Can and Schwab 2022 (arXiv 2007.14823), with our sign of the biases.
LETTERS = {
    "g_h": "gain",
    "alpha_z": "update_gain",
    "alpha_r": "reset_gain",
    "b_h": "bias",
    "b_z": "update_bias",
    "b_r": "reset_bias",
    "tau_z": "update_time",
    "tau_r": "reset_time",
}

# What an axis is called in a figure.
SYMBOLS = {
    "gain": "g",
    "update_gain": "\u03b1 of the update gate",
    "reset_gain": "\u03b1 of the reset gate",
    "bias": "b of the activation",
    "update_bias": "b of the update gate",
    "reset_bias": "b of the reset gate",
    "update_time": "τ of the update gate",
    "reset_time": "τ of the reset gate",
}

# `build(values, key) -> Flow`: a network with the values of the two axes, drawn with a key.
Build = Callable[..., FlowLike]

USUAL_FORM = GatedForm(open_update=True)


def parameter_name(name: str) -> str:
    """The name of a parameter, for that name or its letter; any other name as it is."""
    return LETTERS.get(name, name)


class Networks(NamedTuple):
    """The networks that parameters choose from.

    Args:
        form: of gated networks.
        size: their units.
        build: makes other networks; None for gated ones.
    """

    form: GatedForm
    size: int
    build: Build | None


@dataclass(frozen=True)
class PhaseAxis(Settings):
    """A parameter and the values it takes, evenly spaced with both ends.

    Args:
        name: of the parameter; for gated networks a field of `GatedForm` or its letter, as g_h or alpha_r.
        low: first value.
        high: last value.
        points: how many.

    Raises:
        ConfigError: fewer than two points, or ends that are not finite and in order.
    """

    name: str
    low: float
    high: float
    points: Annotated[int, Within(2)]

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "name", parameter_name(self.name))
        if not self.low < self.high:
            raise ConfigError(
                f"axis {self.name}: {self.low} to {self.high}, expected two finite numbers, rising"
            )

    @property
    def values(self) -> Float[np.ndarray, " points"]:
        """All values."""
        return np.linspace(self.low, self.high, self.points)

    @property
    def label(self) -> str:
        """What a figure calls it."""
        return SYMBOLS.get(self.name, self.name)


def check_axis(form: GatedForm, axis: PhaseAxis, side: str) -> None:
    """Refuse an axis that does not move a gated network, or leaves the range of its parameter.

    Args:
        form: of the network.
        axis: to check.
        side: which one it is, for the message.

    Raises:
        ConfigError: what is refused.
    """
    if axis.name not in SYMBOLS:
        letters = ", ".join(f"{ours} ({letter})" for letter, ours in LETTERS.items())
        raise ConfigError(f"{side}: {axis.name!r} is no parameter of a gated network; give one of {letters}")
    always_open = f"open_{axis.name.split('_')[0]}"
    if getattr(form, always_open, False):
        raise ConfigError(
            f"{side}: {axis.name} has no effect on a gate that is always open; set {always_open}=False"
        )
    replace(form, **{axis.name: axis.low})  # the range of a parameter has no upper end


@dataclass(frozen=True)
class PhaseSimulation(Settings):
    """How every point of a diagram is simulated.

    The exponent belongs to the map of one step, so a step must follow the flow: 0.2 times the shortest time
    constant gives the signs of exponents that a finer step gives, for gated networks of 200 units.

    Args:
        time: over which exponents are measured, in the time unit of the flow.
        transient: before that.
        step: of the integrator.
        method: "euler", "heun" or "rk4".
        blocks: parts of the time whose means tell how sure an exponent is; many, where growth is slow.
        large: standard deviation of the entries of the large start.
        small: that of the small start, near zero.
        confidence: probability with which a sign must be sure.
        precision: "float32" or "float64".
        seeds: one random network for each; their exponents are averaged.

    Raises:
        ConfigError: a value outside its range.
    """

    time: Positive = 200.0
    transient: NonNegative = 200.0
    step: Positive = 0.2
    method: Literal["euler", "heun", "rk4"] = "heun"
    blocks: Annotated[int, Within(4)] = 40
    large: Positive = 1.0
    small: Positive = 1e-3
    confidence: Annotated[float, Within(0.5, 1, above=True, below=True)] = 0.99
    precision: Literal["float32", "float64"] = "float32"
    seeds: tuple[Seed, ...] = (0,)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.expect(self.blocks * self.step <= self.time, "at least a step for every block", "time")
        self.expect(self.small < self.large, "a number above that of the small start", "large", "small")
        different = len(set(self.seeds)) == len(self.seeds) >= 1
        self.expect(different, "at least one seed, all different", "seeds")

    @property
    def block_steps(self) -> int:
        """Steps of one block."""
        return round(self.time / self.step / self.blocks)

    @property
    def transient_steps(self) -> int:
        """Steps before the first block."""
        return round(self.transient / self.step)


USUAL_SIMULATION = PhaseSimulation()


def check_step(form: GatedForm, axes: Sequence[PhaseAxis], simulation: PhaseSimulation) -> None:
    """Refuse a step that cannot follow the fastest variable of a gated network.

    Args:
        form: of the network; h has the time constant 1.
        axes: that change it.
        simulation: with the step.

    Raises:
        ConfigError: a step of more than half of the shortest time constant.
    """
    lowest = replace(form, **{axis.name: axis.low for axis in axes})
    times = {"h": 1.0}
    for gate in ("update", "reset"):
        if not getattr(form, f"open_{gate}"):
            times[f"{gate}_time"] = getattr(lowest, f"{gate}_time")
    name = min(times, key=lambda one: times[one])
    if simulation.step > times[name] / 2:
        raise ConfigError(
            f"step={simulation.step}: too long for the time constant {times[name]:g} of {name}; take "
            f"{times[name] / 5:g}"
        )


@dataclass(frozen=True)
class PhasePlan(Settings):
    """Everything that determines a phase diagram.

    Args:
        x: horizontal axis.
        y: vertical axis.
        form: what the two axes leave fixed of a gated network.
        size: units of a gated network.
        build: makes other networks than gated ones, `build(values, key) -> Flow` with the values of both axes
            by name and a key that draws what is random; the parameters must be leaves, float numbers or
            arrays. `form` and `size` then have no effect, and no theory is drawn.
        simulation: how every point is simulated.
        tile: most points that run in one compiled call.

    Raises:
        ConfigError: axes that are the same, that no parameter answers to, or values that cannot be.

    Example:
        >>> plan = PhasePlan(PhaseAxis("g_h", 1.5, 4, 64), PhaseAxis("alpha_r", 0, 20, 64))
        >>> plan.x.name, len(plan.tiles)
        ('gain', 64)
    """

    x: PhaseAxis
    y: PhaseAxis
    form: GatedForm = USUAL_FORM
    size: Count = 200
    build: Build | None = None
    simulation: PhaseSimulation = USUAL_SIMULATION
    tile: Count = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.x.name == self.y.name:
            raise ConfigError(f"x and y: both are {self.x.name}; give two parameters")
        if self.build is None:
            for side, axis in (("x", self.x), ("y", self.y)):
                check_axis(self.form, axis, side)
            check_step(self.form, (self.x, self.y), self.simulation)

    @property
    def networks(self) -> Networks:
        """What the values of the axes choose from."""
        return Networks(self.form, self.size, self.build)

    @property
    def network(self) -> str:
        """What is simulated: "gated", or the name of `build`, which is its `name` if it has one."""
        if self.build is None:
            return "gated"
        own = getattr(self.build, "__qualname__", type(self.build).__name__)
        return str(getattr(self.build, "name", own))

    @property
    def points(self) -> Float[np.ndarray, "points 2"]:
        """Values of x and y of every point, row after row."""
        x, y = np.meshgrid(self.x.values, self.y.values)
        return np.stack([x.ravel(), y.ravel()], axis=1)

    @property
    def tiles(self) -> list[Float[np.ndarray, "points 2"]]:
        """The points in parts of one size; the last repeats its last point, so that one program fits all."""
        points = self.points
        length = min(self.tile, len(points))
        filled = np.concatenate([points, np.repeat(points[-1:], -len(points) % length, axis=0)])
        return list(filled.reshape(-1, length, 2))

    def values_at(self, point: Float[np.ndarray, " 2"]) -> dict[str, float]:
        """Values by name."""
        return {self.x.name: float(point[0]), self.y.name: float(point[1])}
