"""Shift and scale signals to numbers of size one, and back; what float32 can hold."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from attractor.errors import InputDataError, ShapeError

from .labelled_sequences import Sequences

# Relative to the largest value: a smaller range is rounding, not signal.
_SMALLEST_SPREAD = 1e-12


@dataclass(frozen=True, eq=False)
class Scaling:
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

    def to_unit(self, values: Any) -> Any:
        """Engineering units to numbers of size one, shape (..., channels)."""
        return (values - self.offset) / self.scale

    def to_engineering(self, values: Any) -> Any:
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
    def from_spread(cls, values: Float[np.ndarray, "samples channels"], names: Sequence[str]) -> "Scaling":
        """Give each channel mean 0 and standard deviation 1.

        Args:
            values: samples in engineering units, shape (samples, channels).
            names: how the channels are called, for messages.

        Raises:
            InputDataError: a channel is constant or not finite.
        """
        _check_values(values, names)
        return cls(values.mean(axis=0), values.std(axis=0))

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
    return bool(np.ptp(values) <= _SMALLEST_SPREAD * np.abs(values).max())


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
            warnings.warn(f"variable {name!r} is constant at {seen[0]:g} in training", stacklevel=2)
        offsets.append(seen.mean())
        scales.append(1.0 if constant else seen.std())
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
