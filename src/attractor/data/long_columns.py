"""What the columns of a table of series mean, and how a user writes that."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from typing import Any, ClassVar

from attractor.settings import Settings

CASE_NAMES = ("id", "case", "case_id", "series", "sequence")
LABEL_NAMES = ("label", "class", "target", "y")


@dataclass(frozen=True)
class LongColumns(Settings):
    """What the columns of a table of series mean, where the header alone does not say it.

    Args:
        case: the column that tells the cases apart, or several that do so together, as subject and trial
            where the trials of every subject are counted anew; one called id, case, case_id, series or
            sequence is found by itself.
        label: the class, the same in all rows of a case; one called label, class, target or y is found by
            itself. Without such a column the cases have no labels.
        time: numbers or dates by which the rows of a case are put in order; one called time, timestamp, t,
            datetime, date, elapsed, ts or epoch is found by itself, also with a unit in its name, as in t_ms.
            Without it the rows of a case follow one another as in the file.
        variables: the measured quantities, by name or by patterns such as "acc_*"; if empty all other columns
            but those that only count rows or tell the time (see `attractor.data.counting_variables`).
        delimiter: what separates the cells: one character, or comma, semicolon, tab, blanks. Sniffed if
            `None`.
        group: what a case comes from (a patient, a device), the same in all rows of a case: cases of one
            group stay on one side when some are held out.

    Example:
        >>> LongColumns(case=["subject", "trial"], label="activity", variables="acc_*").variables
        ('acc_*',)
    """

    other_names: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("id", "id_column", "case_column", "ids", "cases"), "case"),
        **dict.fromkeys(("label_column", "labels", "target", "y", "class_column"), "label"),
        **dict.fromkeys(("time_column", "times", "t"), "time"),
        **dict.fromkeys(("group_column", "groups", "weight_groups"), "group"),
        **dict.fromkeys(("columns", "features", "names"), "variables"),
    }

    case: str | tuple[str, ...] | None = None
    label: str | None = None
    time: str | None = None
    variables: tuple[str, ...] | str = ()
    delimiter: str | None = None
    group: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.variables, str):
            parts = (part.strip() for part in self.variables.split(","))
            object.__setattr__(self, "variables", tuple(part for part in parts if part))

    @property
    def asked(self) -> dict[str, str | tuple[str, ...]]:
        """What was said, by the name of the option."""
        values = {one.name: getattr(self, one.name) for one in fields(LongColumns)}
        return {name: value for name, value in values.items() if value not in (None, ())}

    @property
    def case_columns(self) -> tuple[str, ...]:
        """The columns that tell the cases apart together; empty where nobody said so."""
        return names_in(self.case)

    @property
    def wanted(self) -> tuple[str, ...]:
        """The variables, or the patterns of their names."""
        return names_in(self.variables)

    def completed(self, usual: "LongColumns | None", present: Sequence[str]) -> "LongColumns":
        """The same, where nothing was said as it is usually, so far as a table has these columns.

        Args:
            usual: how other tables of this kind are read; what it says of variables does not count.
            present: the columns of the table.
        """
        said = {} if usual is None else usual.asked
        taken = {name for value in self.asked.values() for name in names_in(value)}
        more: dict[str, Any] = {
            name: names_in(said[name]) if name == "case" else said[name]
            for name in ("case", "label", "time", "group")
            if name in said and name not in self.asked
            if {*names_in(said[name])} <= {*present} - taken
        }
        return replace(self, **more) if more else self

    def written(self, **parts: str | Sequence[str]) -> str:
        """How a user writes what some columns mean."""
        told = ", ".join(f"{name}={_quoted(value)}" for name, value in parts.items())
        return f"LongColumns({told})"


def names_in(value: str | Sequence[str] | None) -> tuple[str, ...]:
    """One name, several, or none as a tuple."""
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def _quoted(value: str | Sequence[str]) -> str:
    return json.dumps(value if isinstance(value, str) else list(value), ensure_ascii=False)


def named_by(patterns: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """Names and patterns with "*", "?" and "[...]" as the names that they mean, each once.

    What means nothing stays as it is, so that whoever looks for it can say that it is not there.

    Example:
        >>> named_by(["acc_*", "temp", "hr"], ["temp", "acc_x", "acc_y"])
        ('acc_x', 'acc_y', 'temp', 'hr')
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        known = pattern in names or not any(mark in pattern for mark in "*?[")
        meant = [] if known else [name for name in names if fnmatchcase(name, pattern)]
        found |= dict.fromkeys(meant or [pattern])
    return tuple(found)
