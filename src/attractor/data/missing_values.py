"""What becomes of missing values of scaled series: policies, for whole cases and sample by sample."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, Int

from attractor.errors import ConfigError, InputDataError

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


def fill(
    values: Float[np.ndarray, "cases time variables"], lengths: Int[np.ndarray, " cases"], policy: str
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

    Returns:
        Channels in blocks: all values, then all masks, then all ages.

    Raises:
        ConfigError: an unknown policy.
        InputDataError: a missing value where the policy refuses it; case, step and variable are named.
    """
    channel_blocks(policy)
    valid = (np.arange(values.shape[1]) < lengths[:, None])[:, :, None]
    missing = np.isnan(values) & valid
    if policy == "error":
        for case, step, variable in np.argwhere(missing)[:1]:
            raise InputDataError(
                f"case {case}, step {step}, variable {variable} is missing; choose what becomes of missing "
                f"values: missing={', '.join(MISSING[1:])}"
            )
    if policy == "cell":
        return np.where(valid, values, 0.0)
    if policy in ("error", "zero"):
        return np.where(valid & ~missing, values, 0.0)
    steps = np.arange(values.shape[1])[:, None]
    last = np.maximum.accumulate(np.where(np.isnan(values), -1, steps), axis=1)
    held = np.take_along_axis(values, np.maximum(last, 0), axis=1)
    blocks = [np.where(last < 0, 0.0, held), ~np.isnan(values), np.log1p(steps - np.maximum(last, 0))]
    whole = np.concatenate(blocks[: channel_blocks(policy)], axis=2)
    return np.where(valid, whole, 0.0)


@dataclass(frozen=True)
class FillState:
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
