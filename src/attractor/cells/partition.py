"""Variables of an input in groups: checked once, and cut out of every input without a loop over groups."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Shaped

from attractor.errors import ConfigError


class Observation(NamedTuple):
    """One input with its missing values (NaN) made zero.

    Args:
        values: all variables in their own order.
        grouped: the same by groups, with zeros after the variables of a short group.
        observed: whether a group has at least one value.
    """

    values: Shaped[Array, " inputs"]
    grouped: Shaped[Array, "groups widest"]
    observed: Bool[Array, " groups"]


@dataclass(frozen=True)
class Partition:
    """Every variable of the input in exactly one group.

    Args:
        groups: the positions of the variables, a tuple a group.

    Raises:
        ConfigError: no group, an empty one, a variable in two groups or in none.

    Example:
        >>> Partition(((0, 2), (1,))).places.tolist()
        [[0, 2], [1, 3]]
    """

    groups: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        empty = [index for index, group in enumerate(self.groups) if not group]
        count = Counter(variable for group in self.groups for variable in group)
        several = [
            f"variable {variable} in groups {_listed(self._holding(variable))}"
            for variable in sorted(count)
            if count[variable] > 1
        ]
        lost = sorted(set(range(max(count, default=0) + 1)) - set(count))
        for found, fault in (
            (not self.groups, "no group"),
            (empty, f"group {_listed(empty)} is empty"),
            (several, "; ".join(several)),
            (min(count, default=0) < 0, f"variable {min(count, default=0)} is negative"),
            (lost, f"variable {_listed(lost)} in no group"),
        ):
            if found:
                message = f"groups={self.groups}: {fault}; every variable belongs to exactly one group"
                raise ConfigError(message)

    @classmethod
    def of(cls, groups: Sequence[Sequence[int]] | None, input_size: int) -> "Partition":
        """The partition of `input_size` variables; None puts every variable in a group of its own.

        Raises:
            ConfigError: no variable, or groups that are no partition of them.
        """
        if input_size < 1:
            message = f"input_size={input_size}: a cell with groups needs at least one variable"
            raise ConfigError(message)
        if groups is None:
            return cls(tuple((variable,) for variable in range(input_size)))
        made = cls(tuple(tuple(int(variable) for variable in group) for group in groups))
        if made.size != input_size:
            wrong = sorted(set(range(made.size)) ^ set(range(input_size)))
            what = "more than" if made.size > input_size else "not all of"
            message = (
                f"groups={made.groups}: they name {what} the {input_size} variables 0 to {input_size - 1}; "
                f"look at {_listed(wrong)}"
            )
            raise ConfigError(message)
        return made

    @property
    def size(self) -> int:
        """Number of variables."""
        return sum(self.sizes)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of variables of each group."""
        return tuple(len(group) for group in self.groups)

    @property
    def widest(self) -> int:
        """Variables of the largest group."""
        return max(self.sizes)

    @property
    def order(self) -> np.ndarray:
        """All variables, group after group."""
        return np.concatenate([np.asarray(group, int) for group in self.groups])

    @property
    def filled(self) -> np.ndarray:
        """Which places of (groups, widest) hold a variable."""
        return np.arange(self.widest) < np.asarray(self.sizes)[:, None]

    @property
    def places(self) -> np.ndarray:
        """Which variable stands at each place of (groups, widest); `size` where there is none."""
        table = np.full((len(self.groups), self.widest), self.size)
        table[self.filled] = self.order
        return table

    def arrange(self, values: Shaped[Array, " inputs"]) -> Shaped[Array, "groups widest"]:
        """Values of all variables by groups, zero (or False) where a group has no variable."""
        if self.size == len(self.groups) * self.widest and np.array_equal(self.order, np.arange(self.size)):
            return values.reshape(len(self.groups), self.widest)  # only a view
        padded = jnp.concatenate([values, jnp.zeros(1, values.dtype)])
        return padded.at[self.places].get(mode="promise_in_bounds")

    def observe(self, input: Shaped[Array, " inputs"]) -> Observation:
        """An input with its missing values made zero, by groups, and which groups have a value at all."""
        missing = jnp.isnan(input)
        values = jnp.where(missing, jnp.zeros_like(input), input)
        return Observation(values, self.arrange(values), self.arrange(~missing).any(axis=1))

    def _holding(self, variable: int) -> list[int]:
        return [index for index, group in enumerate(self.groups) for own in group if own == variable]


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
