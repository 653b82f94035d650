"""How a result shows itself: a few lines at the prompt, the same with a table and a figure in a notebook.

A result is a dataclass that derives from `Shown`. Its `__str__` says what was found, the verdict first;
without one its fields are told, arrays by shape and range. `repr` gives the first lines of that and what to
call next. Whoever has a table says so by `rows_shown`; `attractor.report.drawn.Drawn` adds a picture.

Nothing here computes for long or fails: a person who looks at a result must never be stopped by the looking.
"""

import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from html import escape
from typing import Any, ClassVar, NamedTuple

import numpy as np

from attractor.errors import printable

MOST_LINES = 5
"""Lines of a result at the prompt, before the one that says what to call next."""
_WIDTH = 100
_LONGEST = 180
_LONGEST_TEXT = 60
_MOST_ROWS = 12
_FEW = 4
"""A list of so many numbers is told in full."""


class Rows(NamedTuple):
    """The table of a result: what stands above the columns, and its lines, all of them texts."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def counted(count: int, one: str, several: str = "") -> str:
    """A number of things in words.

    Args:
        count: how many.
        one: the word for a single thing.
        several: for any other number; the same with an s if it is left out.

    Example:
        >>> counted(1, "state"), counted(0, "state"), counted(2, "minimum", "minima")
        ('1 state', '0 states', '2 minima')
    """
    return f"{count} {one if count == 1 else several or f'{one}s'}"


class Shown:
    """Base of results that people look at."""

    next_call: ClassVar[str] = ""
    """What to do with the result, in Python: ".plot(), .require()"."""
    picture: ClassVar[str] = ""
    """Who draws it, see `attractor.report.drawn.Drawn`."""

    def __init_subclass__(cls, *, next_call: str = "", picture: str = "", **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.next_call, cls.picture = next_call or cls.next_call, picture or cls.picture
        # A dataclass writes a `__repr__` of its own, a dump of all its arrays, unless its class has one.
        if "__repr__" not in vars(cls):
            cls.__repr__ = cls.__repr__

    def __repr__(self) -> str:
        return at_prompt(self)

    def __str__(self) -> str:
        """The fields, arrays by shape and range."""
        return "\n".join(fields_in_words(self))

    def called_next(self) -> str:
        """What to do with this very result: nothing that would fail on it, where `next_call` may."""
        return self.next_call

    def in_brief(self) -> str:
        """What the prompt shows; the first lines of the whole text, where nothing shorter is at hand."""
        return str(self)

    def _repr_html_(self) -> str:
        return in_notebook(self)

    def rows_shown(self) -> Rows | None:
        """The table of a notebook; None where there is none."""
        return None

    def picture_shown(self) -> str:
        """The figure of a notebook as the address of an image; empty where there is none."""
        return ""


def at_prompt(result: object) -> str:
    """The first lines of what a result says, and what to call next."""
    usual = getattr(type(result), "next_call", "")
    following = _unless_it_fails(getattr(result, "called_next", lambda: usual), usual)
    return "\n".join([*_lines(result), *([f"next: {following}"] if following else [])])


def in_notebook(result: object) -> str:
    """The same as HTML that needs nothing from elsewhere, with the table and the figure of the result."""
    first, *others = at_prompt(result).splitlines()
    words = "<br>".join([f"<b>{escape(first)}</b>", *map(escape, others)])
    rows = _unless_it_fails(getattr(result, "rows_shown", lambda: None), None)
    image = _unless_it_fails(getattr(result, "picture_shown", str), "")
    figure = f'<img alt="{escape(type(result).__name__)}" style="max-width:100%" src="{escape(image)}">'
    parts = [f"<p>{words}</p>", _table(rows) if rows else "", figure if image else ""]
    return f"<div>{''.join(parts)}</div>"


def fields_in_words(result: object) -> list[str]:
    """The name of the type and its fields, in lines of some hundred characters."""
    told = "; ".join(f"{name} {in_words(value)}" for name, value in _fields(result))
    return [type(result).__name__, *textwrap.wrap(told, _WIDTH, break_long_words=False)]


def in_words(value: object) -> str:
    """A value in a few words; of an array shape and range.

    Example:
        >>> import numpy as np
        >>> in_words(np.arange(6.0).reshape(2, 3)), in_words(np.array([1.0, np.nan])), in_words(0.123456)
        ('(2, 3), 0 to 5', '[1, nan]', '0.1235')
    """
    if value is None or isinstance(value, bool | int | str):
        return _short(str(value))
    if isinstance(value, float | complex | np.number):
        return _number(value)
    if isinstance(value, Enum):
        return value.name.lower().replace("_", " ")
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return _unless_it_fails(lambda: _array(value), "array")
    if isinstance(value, Mapping | tuple | list) and not hasattr(value, "_fields"):
        return _several(value)
    name = getattr(value, "__name__", type(value).__name__)
    return _short(_lines(value)[0] if isinstance(value, Shown) else name)


def _lines(result: object) -> list[str]:
    said = _unless_it_fails(lambda: _said(result), [])
    said = said or _unless_it_fails(lambda: fields_in_words(result), []) or [type(result).__name__]
    lines = [_short(line, _LONGEST) for line in said if line.strip()]
    return lines if len(lines) <= MOST_LINES else [*lines[: MOST_LINES - 1], "… print() shows the rest"]


def _said(result: object) -> list[str]:
    # A tuple, which cannot derive from `Shown`, may have a brief text all the same.
    brief = getattr(result, "in_brief", None)
    text = "\n".join(fields_in_words(result)) if brief is None else brief()
    return [printable(line) for line in text.splitlines()]


def _unless_it_fails(make: Callable[[], Any], otherwise: Any) -> Any:
    """What is made, or something else: results may be empty, not finite, or put together by hand."""
    try:
        with np.errstate(all="ignore"):
            return make()
    except Exception:  # noqa: BLE001 (whoever looks at a result is not to be stopped by it)
        return otherwise


def _fields(result: object) -> Iterator[tuple[str, object]]:
    names = getattr(result, "_fields", None) or (
        [one.name for one in fields(result)] if is_dataclass(result) else []
    )
    return ((name, getattr(result, name)) for name in names)


def _several(value: Mapping | tuple | list) -> str:
    if isinstance(value, Mapping):
        return f"of {_short(', '.join(map(str, value)))}" if value else "empty"
    plain = all(isinstance(one, int | float | str) for one in value)
    return f"({', '.join(map(in_words, value))})" if plain and len(value) <= _FEW else f"{len(value)} entries"


def _array(value: Any) -> str:
    shape = f"({', '.join(map(str, value.shape))})"
    # Under a transformation of JAX an array has no values, and a key of random numbers no order.
    if not hasattr(value, "__array__") or np.dtype(value.dtype).kind not in "biufc":
        return f"{shape} {value.dtype}"
    numbers = np.asarray(value)
    if numbers.ndim <= 1 and numbers.size <= _FEW:
        return f"[{', '.join(map(_number, numbers))}]" if numbers.ndim else _number(numbers.item())
    if numbers.dtype.kind == "b":
        return f"{shape}, {int(numbers.sum())} true"
    finite = numbers[np.isfinite(numbers)]
    missing = numbers.size - finite.size
    lost = f", {missing} not finite" if missing else ""
    if numbers.dtype.kind == "c":
        return (
            f"{shape}, modulus up to {_number(np.abs(finite).max())}{lost}" if finite.size else shape + lost
        )
    ends = f", {_number(finite.min())} to {_number(finite.max())}" if finite.size else ""
    return f"{shape}{ends}{lost}"


def _number(value: Any) -> str:
    return f"{value:.4g}"


def _short(text: str, most: int = _LONGEST_TEXT) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _table(table: Rows) -> str:
    head = "".join(f"<th>{_cell(text)}</th>" for text in table.header)
    body = "".join(
        f"<tr>{''.join(f'<td>{_cell(text)}</td>' for text in row)}</tr>" for row in table.rows[:_MOST_ROWS]
    )
    left = len(table.rows) - _MOST_ROWS
    more = f'<tr><td colspan="{len(table.header)}">and {left} more</td></tr>' if left > 0 else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}{more}</tbody></table>"


def _cell(text: str) -> str:
    return escape(printable(_short(str(text), _LONGEST)))
