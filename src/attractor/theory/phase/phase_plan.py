"""What a phase diagram shows: two axes, a network, and how it is simulated."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from math import inf, isfinite
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from attractor.cells import METHODS, CellLike, GatedForm
from attractor.errors import ConfigError

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

_OPEN = {"update": "open_update", "reset": "open_reset"}
# `build(values, key) -> Flow`: a network with the values of the two axes, drawn with a key.
Build = Callable[..., CellLike]

USUAL_FORM = GatedForm(open_update=True)


def parameter_name(name: str) -> str:
    """The name of a parameter, for that name or its letter; any other name as it is."""
    return LETTERS.get(name, name)


def gate_of(name: str) -> str | None:
    """The gate a parameter belongs to, "update" or "reset"; None for those of h."""
    first = name.split("_", maxsplit=1)[0]
    return first if first in _OPEN else None


def check_moves(form: GatedForm, name: str, axis: str) -> None:
    """Refuse an axis that is no parameter, or one of a gate that is not there.

    Args:
        form: of the network.
        name: of the parameter.
        axis: which axis it is on, for the message.

    Raises:
        ConfigError: it does not move anything.
    """
    if name not in SYMBOLS:
        letters = ", ".join(f"{ours} ({letter})" for letter, ours in LETTERS.items())
        raise ConfigError(f"{axis}: {name!r} is no parameter of a gated network; give one of {letters}")
    gate = gate_of(name)
    if gate is not None and getattr(form, _OPEN[gate]):
        raise ConfigError(
            f"{axis}: {name} has no effect on a gate that is always open; set {_OPEN[gate]}=False"
        )


def with_values(form: GatedForm, values: Mapping[str, float]) -> GatedForm:
    """The form with other numbers."""
    kept: dict[str, Any] = {field.name: getattr(form, field.name) for field in fields(form)}
    return GatedForm(**{**kept, **values})


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


PRECISIONS = ("float32", "float64")


@dataclass(frozen=True)
class PhaseAxis:
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
    low: float | int
    high: float | int
    points: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", parameter_name(self.name))
        if not (isfinite(self.low) and isfinite(self.high) and self.low < self.high):
            raise ConfigError(
                f"axis {self.name}: {self.low} to {self.high}, expected two finite numbers, rising"
            )
        if self.points < 2:
            raise ConfigError(f"axis {self.name}: {self.points} points, expected at least 2")

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
    check_moves(form, axis.name, side)
    positive = axis.name in {"update_time", "reset_time"}
    if (positive and axis.low <= 0) or (axis.name.endswith("gain") and axis.low < 0):
        least = "above 0" if positive else "at least 0"
        raise ConfigError(f"{side}: {axis.name} from {axis.low}: expected values {least}")


@dataclass(frozen=True)
class PhaseSimulation:
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

    time: float | int = 200
    transient: float | int = 200
    step: float | int = 0.2
    method: str = "heun"
    blocks: int = 40
    large: float | int = 1.0
    small: float | int = 1e-3
    confidence: float = 0.99
    precision: str = "float32"
    seeds: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        good = {
            "step": (0 < self.step < inf, "a positive number"),
            "time": (self.blocks * self.step <= self.time < inf, "at least a step for every block"),
            "transient": (0 <= self.transient < inf, "at least 0"),
            "method": (self.method in METHODS, f"one of {', '.join(METHODS)}"),
            "blocks": (self.blocks >= 4, "at least 4"),
            "large": (self.small < self.large < inf, "a number above that of the small start"),
            "small": (0 < self.small < inf, "a positive number"),
            "confidence": (0.5 < self.confidence < 1, "between 0.5 and 1"),
            "precision": (self.precision in PRECISIONS, f"one of {', '.join(PRECISIONS)}"),
            "seeds": (len(set(self.seeds)) == len(self.seeds) >= 1, "at least one seed, all different"),
        }
        for name, (fine, expected) in good.items():
            if not fine:
                raise ConfigError(f"{name}={getattr(self, name)}: expected {expected}")

    @property
    def block_steps(self) -> int:
        """Steps of one block."""
        return round(float(self.time) / float(self.step) / self.blocks)

    @property
    def transient_steps(self) -> int:
        """Steps before the first block."""
        return round(float(self.transient) / float(self.step))


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
    lowest = {axis.name: float(axis.low) for axis in axes}
    times = {"h": 1.0}
    for gate, always_open in (("update_time", form.open_update), ("reset_time", form.open_reset)):
        if not always_open:
            times[gate] = lowest.get(gate, float(getattr(form, gate)))
    name = min(times, key=lambda one: times[one])
    if simulation.step > times[name] / 2:
        raise ConfigError(
            f"step={simulation.step}: too long for the time constant {times[name]:g} of {name}; take "
            f"{times[name] / 5:g}"
        )


@dataclass(frozen=True)
class PhasePlan:
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
    size: int = 200
    build: Build | None = None
    simulation: PhaseSimulation = USUAL_SIMULATION
    tile: int = 64

    def __post_init__(self) -> None:
        if self.x.name == self.y.name:
            raise ConfigError(f"x and y: both are {self.x.name}; give two parameters")
        for name in ("size", "tile"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)}: expected at least 1")
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
