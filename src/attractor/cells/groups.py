"""Groups of variables as people write them: by names, patterns or positions."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from attractor.errors import ConfigError

from .partition import Partition

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
        message = f"groups={text!r}: a group without a variable; write the groups as in 'acc_*,gyro_*'"
        raise ConfigError(message)
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
        message = f"copies={copies}: expected at least 1, the block of the values themselves"
        raise ConfigError(message)
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
        message = f"group part {wanted!r} means no variable{hint} Variables: {', '.join(names)}"
        raise ConfigError(message)
    return found


def _positions(wanted: str, first: int, last: int, size: int) -> list[int]:
    if not first <= last < size:
        message = f"group part {wanted!r}: expected positions from 0 to {size - 1}, the smaller one first"
        raise ConfigError(message)
    return list(range(first, last + 1))


def _fits(name: str, wanted: str) -> bool:
    if len(wanted) > 2 and wanted[0] == wanted[-1] == "/":
        try:
            return re.fullmatch(wanted[1:-1], name) is not None
        except re.error as error:
            message = f"group part {wanted!r} is no regular expression: {error}"
            raise ConfigError(message) from error
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
        message = f"groups {groups}: {'; '.join(faults)}; every variable belongs to exactly one group"
        raise ConfigError(message)
