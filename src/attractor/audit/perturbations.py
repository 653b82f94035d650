"""The perturbation suite: what goes wrong with measured sequences, at levels one can dial.

A perturbation is a pure function of one sequence, so that it runs inside a compiled, mapped evaluation. It
need not care for padding and missing samples: whatever it returns there is thrown away. All are random;
the draws of a case follow from the seed and the number of the case, not from the rest of its batch, and are
the same at every level, so that a curve over levels is not roughened by new draws.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, Shaped
from numpy.typing import ArrayLike

from attractor.errors import ConfigError, InputDataError, ShapeError
from attractor.program import compiled
from attractor.shown import at_prompt, in_notebook

from .sequences import padded_batch, valid_steps


class ChannelRange(NamedTuple):
    """Smallest and largest value of every channel, from the training data; see `channel_range`.

    Args:
        low: shape (channels,).
        high: shape (channels,).
        clip: whether perturbed inputs are kept inside; off unless asked for.
    """

    low: Shaped[Array | np.ndarray, " channels"]
    high: Shaped[Array | np.ndarray, " channels"]
    clip: bool = False

    def __repr__(self) -> str:
        return at_prompt(self)

    def _repr_html_(self) -> str:
        return in_notebook(self)


def channel_range(inputs: ArrayLike, lengths: ArrayLike | None = None, *, clip: bool = False) -> ChannelRange:
    """The range of every channel over the valid steps of (training) sequences.

    Args:
        inputs: shape (cases, time, channels).
        lengths: number of valid steps, shape (cases,); None means that nothing is padded.
        clip: keep perturbed inputs in this range.

    Raises:
        ShapeError: sizes that do not fit.
        InputDataError: an infinite sample, or a channel without any sample.
    """
    values, steps = padded_batch(inputs, lengths)
    valid = valid_steps(steps, values.shape[1])[:, :, None] & ~np.isnan(values)
    for channel in np.flatnonzero(~valid.any(axis=(0, 1)))[:1]:
        raise InputDataError(f"channel {channel} has no sample at all, so it has no range")
    low = np.where(valid, values, np.inf).min(axis=(0, 1))
    high = np.where(valid, values, -np.inf).max(axis=(0, 1))
    return ChannelRange(low, high, clip)


Case = Float[Array, "time channels"]
Limits = ChannelRange | None
Function = Callable[[Array, Array, Array, Limits, PRNGKeyArray], Array]
"""`function(inputs (time, channels), length, level, limits, key) -> (time, channels)`."""


@dataclass(frozen=True)
class Perturbation:
    """A kind of perturbation and the levels at which it is usually tried.

    One of your own is a `Perturbation("name", function, (0.1, 0.2), "what the level is", "unit")`.

    Args:
        name: how it is called in results.
        function: `function(inputs (time, channels), length, level, limits, key)` of one sequence.
        levels: levels to try, at least 0, ascending.
        meaning: what the level stands for.
        unit: its unit.
        largest: largest level that makes sense.

    Raises:
        ConfigError: no level, or one that is negative, too large or no number.
    """

    name: str
    function: Function
    levels: tuple[float | int, ...]
    meaning: str
    unit: str
    largest: float | int = inf
    is_random: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_levels(self.name, self.levels, self.largest)

    def at(self, *levels: float | int) -> "Perturbation":
        """The same at other levels."""
        return replace(self, levels=levels)


def check_levels(name: str, levels: tuple[float | int, ...], largest: float | int = inf) -> None:
    """Refuse levels that make no sense.

    Raises:
        ConfigError: no level, or one that is negative, too large or not finite.
    """
    good = [0 <= level <= largest and level < inf for level in levels]
    if not levels or not all(good):
        upper = "" if largest == inf else f" and at most {largest:g}"
        raise ConfigError(
            f"levels={levels} of {name!r}: expected one or more finite numbers of at least 0{upper}"
        )


_INPUT_UNIT = "unit of the inputs"

PERTURBATIONS: dict[str, Perturbation] = {}
"""Every perturbation of the suite by its name."""


def _in_suite(
    name: str, levels: tuple[float, ...], meaning: str, unit: str, largest: float = inf
) -> Callable[[Function], Function]:
    """Add a function to the suite; see `Perturbation` for the arguments."""

    def add(function: Function) -> Function:
        PERTURBATIONS[name] = Perturbation(name, function, levels, meaning, unit, largest)
        return function

    return add


@_in_suite("white", (0.1, 0.2, 0.3), "standard deviation of added noise", _INPUT_UNIT)
def white_noise(inputs: Case, length: Array, level: Array, limits: Limits, key: Array) -> Case:
    """Noise is added: x + s z, z standard normal for every sample, s in the unit of the inputs."""
    del length, limits
    return inputs + level * jax.random.normal(key, inputs.shape, inputs.dtype)


@_in_suite("multiplicative", (0.1, 0.2, 0.4), "standard deviation of a random factor around 1", "relative")
def multiplicative_noise(inputs: Case, length: Array, level: Array, limits: Limits, key: Array) -> Case:
    """The gain flickers: x (1 + s z), z standard normal for every sample."""
    del length, limits
    return inputs * (1 + level * jax.random.normal(key, inputs.shape, inputs.dtype))


@_in_suite(
    "salt and pepper",
    (0.03, 0.05, 0.1),
    "probability that a sample jumps to an end of the range of its channel",
    "probability",
    largest=1.0,
)
def salt_and_pepper(inputs: Case, length: Array, level: Array, limits: Limits, key: Array) -> Case:
    """A sample becomes the channel's minimum with probability a/2, its maximum with probability a/2.

    Raises:
        ConfigError: no range of the channels is given.
    """
    del length
    if limits is None:
        raise ConfigError(
            "salt and pepper need the range of every channel: pass limits=channel_range(training_inputs)"
        )
    drawn = jax.random.uniform(key, inputs.shape, inputs.dtype)
    peppered = jnp.where(drawn < level / 2, jnp.asarray(limits.low, inputs.dtype), inputs)
    return jnp.where(drawn > 1 - level / 2, jnp.asarray(limits.high, inputs.dtype), peppered)


@_in_suite(
    "dropped samples",
    (0.1, 0.2, 0.4),
    "probability that a step is lost and the last one is held",
    "probability",
    largest=1.0,
)
def dropped_samples(inputs: Case, length: Array, level: Array, limits: Limits, key: Array) -> Case:
    """A step is lost with probability p, in all channels at once; the last sample that arrived is held.

    Before the first sample that arrived there is nothing to hold, and the lost one stays.
    """
    del length, limits
    steps = jnp.arange(len(inputs))[:, None]
    arrived = jax.random.uniform(key, (len(inputs), 1), inputs.dtype) >= level
    last = jax.lax.cummax(jnp.where(arrived & ~jnp.isnan(inputs), steps, -1))
    return jnp.take_along_axis(inputs, jnp.where(last < 0, steps, last), axis=0)


@_in_suite("time jitter", (0.5, 1.0, 2.0), "standard deviation of the sampling times", "steps")
def time_jitter(inputs: Case, length: Array, level: Array, limits: Limits, key: Array) -> Case:
    """The sequence is read at the times t + s z instead of t, in order, by linear interpolation.

    The times are sorted, so that no sample overtakes another, and stay between first and last valid step.
    Beside a missing sample there is nothing to interpolate, and the sample stays as it is.
    """
    del limits
    steps = jnp.arange(len(inputs))
    moved = steps + level * jax.random.normal(key, steps.shape, inputs.dtype)
    inside = jnp.clip(moved, 0, length - 1)
    times = jnp.sort(jnp.where(steps < length, inside, steps.astype(inputs.dtype)))
    before = jnp.floor(times).astype(int)
    after = jnp.minimum(before + 1, length - 1)
    share = (times - before)[:, None]
    read = jnp.where(share > 0, (1 - share) * inputs[before] + share * inputs[after], inputs[before])
    return jnp.where(jnp.isnan(read), inputs, read)


@_in_suite("drift", (0.1, 0.2, 0.4), "size of a ramp at the last step", _INPUT_UNIT)
def drift_ramp(inputs: Case, length: Array, level: Array, limits: Limits, key: Array) -> Case:
    """A ramp that has grown to s at the last valid step is added, with a random sign for every channel."""
    del limits
    signs = jax.random.rademacher(key, inputs.shape[1:], inputs.dtype)
    grown = (jnp.arange(1, len(inputs) + 1) / length).astype(inputs.dtype)
    return inputs + level * grown[:, None] * signs


def perturbed(
    perturbation: str | Perturbation,
    level: float | int,
    inputs: ArrayLike,
    lengths: ArrayLike | None = None,
    limits: Limits = None,
    seed: int = 0,
) -> Float[np.ndarray, "cases time channels"]:
    """Perturbed copies of padded sequences; padding and missing samples (NaN) are untouched.

    Args:
        perturbation: a name of `PERTURBATIONS`, or one of your own.
        level: how strong.
        inputs: shape (cases, time, channels).
        lengths: number of valid steps, shape (cases,); None means that nothing is padded.
        limits: range of the channels, for salt and pepper and for clipping.
        seed: the draws follow from it and from the number of the case.

    Raises:
        ConfigError: an unknown name, an impossible level, or a range that is needed and missing.
        ShapeError: sizes that do not fit, also of what the perturbation returns.
        InputDataError: an infinite sample or an impossible length.
    """
    if isinstance(perturbation, str):
        if perturbation not in PERTURBATIONS:
            raise ConfigError(f"unknown perturbation {perturbation!r}; known: {', '.join(PERTURBATIONS)}")
        perturbation = PERTURBATIONS[perturbation]
    kind = perturbation.at(level)
    values, steps = padded_batch(inputs, lengths)
    check_limits(limits, values.shape[2])
    cases = tuple(map(jnp.asarray, (values, steps, np.arange(len(values)))))
    how = jnp.asarray(level, float), limits, jax.random.key(seed)
    return np.asarray(_perturb_all(kind.function, cases, how))


def check_limits(limits: Limits, channels: int) -> None:
    """Refuse a range that does not fit the channels.

    Raises:
        ShapeError: another number of channels.
        InputDataError: a minimum above its maximum, or an end that is not finite.
    """
    if limits is None:
        return
    low, high = np.asarray(limits.low), np.asarray(limits.high)
    if low.shape != (channels,) or high.shape != (channels,):
        raise ShapeError(f"limits of shapes {low.shape} and {high.shape}, expected ({channels},) for both")
    for channel in np.flatnonzero(~((-np.inf < low) & (low <= high) & (high < np.inf)))[:1]:
        raise InputDataError(
            f"limits of channel {channel} are {low[channel]} to {high[channel]}; expected low <= high"
        )


@compiled
def _perturb_all(function: Function, cases: tuple[Array, ...], how: tuple[Array, Limits, Array]) -> Array:
    level, limits, key = how

    def one(inputs: Array, length: Array, number: Array) -> Array:
        return perturb_one(function, inputs, length, level, (limits, jax.random.fold_in(key, number)))

    return jax.vmap(one)(*cases)


def perturb_one(
    function: Function, inputs: Case, length: Array, level: Array, how: tuple[Limits, Array]
) -> Case:
    """One perturbed sequence, clipped if the range asks for it, with padding and missing samples restored.

    Args:
        function: the perturbation.
        inputs: one sequence.
        length: number of valid steps.
        level: how strong.
        how: range of the channels, and the key.

    Raises:
        ShapeError: the function returns something of another shape.
    """
    limits, key = how
    changed = function(inputs, length, level.astype(inputs.dtype), limits, key)
    if jnp.shape(changed) != inputs.shape:
        name = getattr(function, "__name__", "the perturbation")
        raise ShapeError(
            f"{name} turned a sequence of shape {inputs.shape} into {jnp.shape(changed)}; keep the shape"
        )
    if limits is not None and limits.clip:
        changed = jnp.clip(changed, jnp.asarray(limits.low), jnp.asarray(limits.high))
    free = (jnp.arange(len(inputs)) < length)[:, None] & ~jnp.isnan(inputs)
    return jnp.where(free, changed, inputs).astype(inputs.dtype)
