"""Variables of an input in groups: checked once, and cut out of every input without a loop over groups.

People write them by names, patterns or positions.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
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
        >>> Partition(((0, 2), (1,))).table.tolist()
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
                raise ConfigError(
                    f"groups={self.groups}: {fault}; every variable belongs to exactly one group"
                )

    @classmethod
    def of(cls, groups: Sequence[Sequence[int]] | None, input_size: int) -> "Partition":
        """The partition of `input_size` variables; None puts every variable in a group of its own.

        Raises:
            ConfigError: no variable, or groups that are no partition of them.
        """
        if input_size < 1:
            raise ConfigError(f"input_size={input_size}: a cell with groups needs at least one variable")
        if groups is None:
            return cls(tuple((variable,) for variable in range(input_size)))
        made = cls(tuple(tuple(int(variable) for variable in group) for group in groups))
        if made.size != input_size:
            wrong = sorted(set(range(made.size)) ^ set(range(input_size)))
            what = "more than" if made.size > input_size else "not all of"
            raise ConfigError(
                f"groups={made.groups}: they name {what} the {input_size} variables 0 to {input_size - 1}; "
                f"look at {_listed(wrong)}"
            )
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
        """Which entries of (groups, widest) hold a variable."""
        return np.arange(self.widest) < np.asarray(self.sizes)[:, None]

    @property
    def table(self) -> np.ndarray:
        """The variable of each entry of (groups, widest); `size` where there is none."""
        table = np.full((len(self.groups), self.widest), self.size)
        table[self.filled] = self.order
        return table

    def arrange(self, values: Shaped[Array, " inputs"]) -> Shaped[Array, "groups widest"]:
        """Values of all variables by groups, zero (or False) where a group has no variable."""
        if self.size == len(self.groups) * self.widest and np.array_equal(self.order, np.arange(self.size)):
            return values.reshape(len(self.groups), self.widest)  # only a view
        padded = jnp.concatenate([values, jnp.zeros(1, values.dtype)])
        return padded.at[self.table].get(mode="promise_in_bounds")

    def observe(self, input: Shaped[Array, " inputs"]) -> Observation:
        """An input with its missing values made zero, by groups, and which groups have a value at all."""
        missing = jnp.isnan(input)
        values = jnp.where(missing, jnp.zeros_like(input), input)
        return Observation(values, self.arrange(values), self.arrange(~missing).any(axis=1))

    def _holding(self, variable: int) -> list[int]:
        return [index for index, group in enumerate(self.groups) for own in group if own == variable]


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


Groups = tuple[tuple[int, ...], ...]
"""Positions of variables, a tuple a group."""

_RANGE = re.compile(r"(\d+)(?:-(\d+))?")


def parse_groups(text: str | Sequence[str | int | Sequence[str | int]], names: Sequence[str]) -> Groups:
    """Groups of variables from a text such as "acc_*,gyro_*" or from a list.

    A comma separates groups, "+" joins parts of one group: "acc_*+gyro_x,gyro_y+gyro_z". A part is, tried in
    this order, the exact name of a variable, a position "3" or a range of positions "0-2" (both ends
    belong to it), a regular expression between slashes "/acc_[xy]/", or a pattern with "*", "?" and "[...]".
    In a list every entry is a group; an entry that is a list itself holds the parts of its group, which are
    then taken as they are, so that names may contain commas and plus signs.

    Args:
        text: the groups.
        names: the names of all variables in the order of the input.

    Returns:
        The positions of the variables of each group, in the order written.

    Raises:
        ConfigError: a part that means no variable, an empty group, a variable in two groups or in none; the
            message shows the names.

    Example:
        >>> parse_groups("acc_*,gyro", ("acc_x", "gyro", "acc_y"))
        ((0, 2), (1,))
    """
    entries = text.split(",") if isinstance(text, str) else list(text)
    groups = tuple(_group(entry, names) for entry in entries)
    empty = [str(entry) for entry, group in zip(entries, groups, strict=True) if not group]
    if empty or not groups:
        raise ConfigError(
            f"groups={text!r}: a group without a variable; write the groups as in 'acc_*,gyro_*'"
        )
    _check_cover(groups, names)
    return groups


def channelled_groups(groups: Sequence[Sequence[int]], copies: int) -> Groups:
    """The groups of an input in which every variable has several channels, such as its value and its mask.

    The channels stand in blocks, [values of all D variables | masks of all D variables | ...]; all channels
    of a variable join the group of the variable.

    Args:
        groups: the groups of the D variables.
        copies: number of blocks, the values included; 1 changes nothing.

    Raises:
        ConfigError: groups that are no partition, or less than one block.

    Example:
        >>> channelled_groups(((0, 2), (1,)), copies=2)
        ((0, 2, 3, 5), (1, 4))
    """
    if copies < 1:
        raise ConfigError(f"copies={copies}: expected at least 1, the block of the values themselves")
    size = Partition(tuple(tuple(group) for group in groups)).size
    return tuple(
        tuple(block * size + variable for block in range(copies) for variable in group) for group in groups
    )


def _group(entry: str | int | Sequence[str | int], names: Sequence[str]) -> tuple[int, ...]:
    parts = entry.split("+") if isinstance(entry, str) else [entry] if isinstance(entry, int) else entry
    found: list[int] = []
    for part in parts:
        found += [variable for variable in _variables(part, names) if variable not in found]
    return tuple(found)


def _variables(part: str | int, names: Sequence[str]) -> list[int]:
    """The positions that one part of a group means."""
    wanted = str(part).strip()
    if not wanted:
        return []
    if wanted in names and not isinstance(part, int):
        return [names.index(wanted)]
    if match := _RANGE.fullmatch(wanted):
        return _positions(wanted, int(match[1]), int(match[2] or match[1]), len(names))
    found = [position for position, name in enumerate(names) if _fits(name, wanted)]
    if not found:
        near = get_close_matches(wanted, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise ConfigError(f"group part {wanted!r} means no variable{hint} Variables: {', '.join(names)}")
    return found


def _positions(wanted: str, first: int, last: int, size: int) -> list[int]:
    if not first <= last < size:
        raise ConfigError(
            f"group part {wanted!r}: expected positions from 0 to {size - 1}, the smaller one first"
        )
    return list(range(first, last + 1))


def _fits(name: str, wanted: str) -> bool:
    if len(wanted) > 2 and wanted[0] == wanted[-1] == "/":
        try:
            return re.fullmatch(wanted[1:-1], name) is not None
        except re.error as error:
            raise ConfigError(f"group part {wanted!r} is no regular expression: {error}") from error
    return fnmatchcase(name, wanted)


def _check_cover(groups: Groups, names: Sequence[str]) -> None:
    holders = {
        name: [index for index, group in enumerate(groups) if position in group]
        for position, name in enumerate(names)
    }
    faults = [
        f"{name!r} is in groups {' and '.join(map(str, held))}"
        for name, held in holders.items()
        if len(held) > 1
    ]
    lost = [repr(name) for name, held in holders.items() if not held]
    faults += [f"in no group: {', '.join(lost)}"] if lost else []
    if faults:
        raise ConfigError(
            f"groups {groups}: {'; '.join(faults)}; every variable belongs to exactly one group"
        )
