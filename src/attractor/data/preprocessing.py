"""Signals as a model takes them: scaled to numbers of size one, within float32, without gaps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

import numpy as np
from jaxtyping import Float, Int

from attractor.errors import ConfigError, InputDataError, ShapeError, warn
from attractor.shown import Shown

from .labelled_sequences import Sequences

if TYPE_CHECKING:
    from jaxtyping import Array

    Values = TypeVar("Values", np.ndarray, Array)
else:  # this room does not import JAX
    Values = TypeVar("Values")

# Relative to the largest value: a smaller range is rounding, not signal.
_SMALLEST_RANGE = 1e-12


@dataclass(frozen=True, eq=False)
class Scaling(Shown):
    r"""The map $x' = (x - o) / s$ for each channel, from engineering units to numbers of size one.

    Only arithmetic is used, so NumPy and JAX arrays of shape (..., channels) both pass through.

    Args:
        offset: $o$, the value that becomes zero, shape (channels,), in engineering units.
        scale: $s > 0$, the difference that becomes one, shape (channels,), in engineering units.
    """

    offset: Float[np.ndarray, "_"]
    scale: Float[np.ndarray, "_"]

    def __post_init__(self) -> None:
        if self.offset.shape != self.scale.shape or self.offset.ndim != 1:
            raise ShapeError(
                f"offset has shape {self.offset.shape} and scale {self.scale.shape}; both are (channels,)"
            )
        if not (np.isfinite(self.offset).all() and np.isfinite(self.scale).all() and (self.scale > 0).all()):
            raise InputDataError(
                f"offset {self.offset} must be finite and scale {self.scale} finite and positive"
            )

    def to_unit(self, values: Values) -> Values:
        """Engineering units to numbers of size one, shape (..., channels).

        What is too large for a number becomes infinite, which `check_representable` refuses by its place.
        """
        with np.errstate(over="ignore"):
            return (values - self.offset) / self.scale

    def to_engineering(self, values: Values) -> Values:
        """The inverse of `to_unit`."""
        return values * self.scale + self.offset

    @classmethod
    def from_range(cls, values: Float[np.ndarray, "samples channels"], names: Sequence[str]) -> "Scaling":
        """Map the smallest value of each channel to -1 and the largest to 1.

        Args:
            values: samples in engineering units, shape (samples, channels).
            names: how the channels are called, for messages.

        Raises:
            InputDataError: a channel is constant or not finite.
        """
        _check_values(values, names)
        low, high = values.min(axis=0), values.max(axis=0)
        return cls((low + high) / 2, (high - low) / 2)

    @classmethod
    def standardised(cls, values: Float[np.ndarray, "samples channels"], names: Sequence[str]) -> "Scaling":
        """The scaling that gives each channel mean 0 and standard deviation 1.

        Args:
            values: samples in engineering units, shape (samples, channels).
            names: how the channels are called, for messages.

        Raises:
            InputDataError: a channel is constant or not finite.
        """
        _check_values(values, names)
        return cls(*mean_and_deviation(values))

    def to_dict(self) -> dict[str, list[float]]:
        """Plain lists, for JSON; `from_dict` gives the same bits back."""
        return {"offset": self.offset.tolist(), "scale": self.scale.tolist()}

    @classmethod
    def from_dict(cls, fields: Mapping[str, object]) -> "Scaling":
        """The scaling that `to_dict` wrote.

        Raises:
            InputDataError: a field is missing or not a list of numbers.
        """
        try:
            offset, scale = (np.asarray(fields[key], dtype=np.float64) for key in ("offset", "scale"))
        except (KeyError, TypeError, ValueError) as error:
            raise InputDataError(
                f"a scaling needs the lists of numbers 'offset' and 'scale', got {dict(fields)}: {error!r}"
            ) from None
        return cls(offset, scale)


def is_constant(values: Float[np.ndarray, "samples"]) -> bool:
    """Whether a signal differs from one sample to the next by no more than rounding."""
    half = values.max() / 2 - values.min() / 2  # the whole of it may be no number any more
    return bool(half <= _SMALLEST_RANGE * np.abs(values).max() / 2)


def mean_and_deviation(
    values: Float[np.ndarray, "samples *channels"],
) -> tuple[Float[np.ndarray, "*channels"], Float[np.ndarray, "*channels"]]:
    """Mean and standard deviation over samples, also where squares are too large or too small for numbers.

    They are computed in a unit that is a power of two, which changes no digit.

    Example:
        >>> import numpy as np
        >>> [float(one) for one in mean_and_deviation(np.array([1e300, 3e300]))]
        [2e+300, 1e+300]
    """
    exponent = np.frexp(np.abs(values).max(axis=0))[1]
    sized = np.ldexp(values, -exponent)
    mean, deviation = (np.ldexp(one, exponent) for one in (sized.mean(axis=0), sized.std(axis=0)))
    return np.asarray(mean), np.asarray(deviation)


def _check_values(values: Float[np.ndarray, "samples channels"], names: Sequence[str]) -> None:
    if len(names) != values.shape[1] or not len(values):
        raise ShapeError(
            f"values of shape {values.shape} for {len(names)} channels {list(names)}; give one name each"
        )
    for name, channel in zip(names, values.T, strict=True):
        if not np.isfinite(channel).all():
            raise InputDataError(
                f"signal '{name}' has NaN or infinite values; repair the data before scaling"
            )
        if is_constant(channel):
            raise InputDataError(
                f"signal '{name}' is constant at {channel[0]:g}; leave it out or record it while it moves"
            )


def sequence_scaling(data: Sequences) -> Scaling:
    """Mean 0 and standard deviation 1 for each variable, over values that are neither missing nor padding.

    A constant variable is centred and keeps its scale, with a warning: it says nothing, but it does no harm.

    Raises:
        InputDataError: a variable without a single value.
    """
    offsets, scales = [], []
    for position, name in enumerate(data.names):
        column = data.values[:, :, position][data.valid]
        seen = column[~np.isnan(column)]
        if not len(seen):
            raise InputDataError(f"variable {name!r} has no value in any training case; leave it out")
        constant = is_constant(seen)
        if constant:
            warn(f"variable {name!r} is constant at {seen[0]:g} in training")
        mean, deviation = mean_and_deviation(seen)
        offsets.append(mean)
        scales.append(1.0 if constant else deviation)
    return Scaling(np.array(offsets), np.array(scales))


def no_scaling(variables: int) -> Scaling:
    """The scaling that leaves values as they are."""
    return Scaling(np.zeros(variables), np.ones(variables))


LARGEST = float(np.finfo(np.float32).max)


def check_representable(scaled: Float[np.ndarray, "..."], describe: Callable[..., str]) -> None:
    """Refuse infinite values and those that would become infinite in float32; NaN passes.

    Args:
        scaled: what a model is given.
        describe: says of an index into it which value it is, in the user's terms.

    Raises:
        InputDataError: the first such value, and what to do.
    """
    outside = np.abs(scaled) > LARGEST
    for index in np.argwhere(outside)[:1]:
        raise InputDataError(
            f"{describe(*index.tolist())} is outside the numbers that the model computes with: single "
            f"precision, up to {LARGEST:.1e} in the scale of its training data; correct it or leave it out"
        )


MissingPolicy = Literal["error", "zero", "forward", "forward+mask", "forward+mask+age", "cell"]
# Policies by name; see `fill`.
MISSING: tuple[str, ...] = get_args(MissingPolicy)

_BLOCKS = {"forward+mask": 2, "forward+mask+age": 3}


def channel_blocks(policy: str) -> int:
    """How many channels a policy makes of each variable.

    Raises:
        ConfigError: an unknown policy.
    """
    if policy not in MISSING:
        raise ConfigError(f"missing={policy!r}: expected one of {', '.join(MISSING)}")
    return _BLOCKS.get(policy, 1)


def _position(case: object, step: object, variable: object) -> str:
    return f"case {case}, step {step}, variable {variable}"


def fill(
    values: Float[np.ndarray, "cases time variables"],
    lengths: Int[np.ndarray, " cases"],
    policy: str,
    where: Callable[..., str] = _position,
) -> Float[np.ndarray, "cases time channels"]:
    """Channels without gaps.

    - "error" refuses missing values;
    - "zero" puts 0, the mean of a scaled variable;
    - "forward" holds the last value, 0 before the first;
    - "forward+mask" adds a channel for each variable that is 1 where it was measured, else 0;
    - "forward+mask+age" also adds log(1 + steps since it was measured; since the start if it never was);
    - "cell" leaves NaN, for cells that know what to do.

    Args:
        values: scaled; NaN is missing.
        lengths: steps of each case; what lies beyond becomes 0.
        policy: one of the above.
        where: names a value for messages by case, step and variable, as `Sequences.where` does.

    Returns:
        Channels in blocks: all values, then all masks, then all ages.

    Raises:
        ConfigError: an unknown policy.
        InputDataError: a missing value where the policy refuses it; case, step and variable are named.
    """
    blocks = channel_blocks(policy)
    valid = (np.arange(values.shape[1]) < lengths[:, None])[:, :, None]
    measured = ~np.isnan(values)
    if policy == "error":
        missing = np.argwhere(~measured & valid)
        for case, step, variable in missing[:1]:
            raise InputDataError(
                f"{where(case, step, variable)} is missing; choose what becomes of missing values "
                f"({len(missing)} in all): missing={', '.join(MISSING[1:])}"
            )
    if policy in ("error", "zero", "cell"):
        return np.where(valid & (measured | (policy == "cell")), values, 0.0)
    steps = np.arange(values.shape[1])[:, None]
    last = np.maximum.accumulate(np.where(measured, steps, -1), axis=1)
    held = np.take_along_axis(values, np.maximum(last, 0), axis=1)
    channels = [np.where(last < 0, 0.0, held), measured, np.log1p(steps - np.maximum(last, 0))]
    return np.where(valid, np.concatenate(channels[:blocks], axis=2), 0.0)


@dataclass(frozen=True)
class FillState(Shown):
    """What filling sample by sample remembers.

    Args:
        last: last measured value of each variable; 0 before the first.
        age: steps since then, or since the first sample.
        started: whether there has been a sample.
    """

    last: Float[np.ndarray, " variables"]
    age: Int[np.ndarray, " variables"]
    started: bool = False

    @classmethod
    def start(cls, variables: int) -> "FillState":
        """Before the first sample."""
        return cls(np.zeros(variables), np.zeros(variables, int))

    def step(
        self, row: Float[np.ndarray, " variables"], policy: str
    ) -> tuple[Float[np.ndarray, " channels"], "FillState"]:
        """The channels of one more sample, equal to those `fill` gives, and what to remember.

        Raises:
            ConfigError: an unknown policy.
            InputDataError: a missing value where the policy refuses it.
        """
        blocks = channel_blocks(policy)
        measured = ~np.isnan(row)
        if policy in ("error", "zero", "cell"):
            whole = fill(row[None, None], np.ones(1, int), policy)[0, 0]
            return whole, self
        last = np.where(measured, row, self.last)
        age = np.where(measured, 0, self.age + self.started)
        channels = np.concatenate([last, measured, np.log1p(age)][:blocks])
        return channels, FillState(last, age, started=True)
