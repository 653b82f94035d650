"""Settings that check themselves: the annotation of a field says what it may be.

A frozen dataclass derived from `Settings` compares every field with its annotation when it is built:

    @dataclass(frozen=True)
    class SearchSettings(Settings):
        starts: Count = 256
        tolerance: Annotated[float, Within(1e-14, 1e-6)] = 1e-12
        method: Literal["euler", "heun"] = "heun"
        budget: Positive | None = None

The annotations understood are bool, int, float, str, None, `Literal`, unions, `tuple[X, ...]`, `tuple[X, Y]`,
`Callable`, nested settings, and `Annotated` with a range (`Within`) and advice (a text). Other classes are
compared by `isinstance`; what Python cannot compare (shapes of arrays) is taken as it is.

Numbers may come from NumPy or JAX and become plain ones, whole numbers become floats where a float is asked
for, lists become tuples. Truth values, texts and NaN are no numbers, and infinity is one only where a range
allows it.
"""

import collections.abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from math import inf, isfinite, nan
from numbers import Integral, Real
from sys import float_info
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from attractor.errors import ConfigError

LARGEST_WHOLE = 2**31 - 1
"""What a count may reach: JAX counts in 32 bits, whatever the process allows."""


@dataclass(frozen=True)
class Within:
    """The range of a number, both ends included unless said otherwise.

    Args:
        low: the smallest value.
        high: the largest value.
        above: whether `low` itself is excluded.
        below: whether `high` itself is excluded.
        infinite: whether an infinite number may be in the range.
    """

    low: float | int = -inf
    high: float | int = inf
    above: bool = False
    below: bool = False
    infinite: bool = False

    def __contains__(self, value: Any) -> bool:
        size = _size(value)
        if not (size < inf or (self.infinite and size == inf)):
            return False
        too_low = value <= self.low if self.above else value < self.low
        too_high = value >= self.high if self.below else value > self.high
        return not (too_low or too_high)

    def describe(self, kind: str) -> str:
        """A kind of number in this range, in words."""
        if self.above and self.low == 0 and self.high == inf:
            return f"a positive {kind}"
        if -inf < self.low and self.high < inf and not (self.above or self.below):
            return f"a {kind} from {self.low:g} to {_plain(self.high)}"
        low = f"{'above' if self.above else 'of at least'} {self.low:g}" if self.low > -inf else ""
        high = f"{'below' if self.below else 'at most'} {_plain(self.high)}" if self.high < inf else ""
        return f"a {kind} {' and '.join(part for part in (low, high) if part)}".strip()


Count = Annotated[int, Within(1, LARGEST_WHOLE)]
"""How many, at least one."""
CountOrNone = Annotated[int, Within(0, LARGEST_WHOLE)]
"""How many, where 0 means none."""
Seed = Annotated[int, Within(0, LARGEST_WHOLE)]
"""What randomness starts from."""
Positive = Annotated[float, Within(0, above=True)]
NonNegative = Annotated[float, Within(0)]
Share = Annotated[float, Within(0, 1)]
"""A part of a whole: 0 for nothing, 1 for all of it."""
PartialShare = Annotated[float, Within(0, 1, below=True)]
"""A part of a whole that always leaves something."""

Made = TypeVar("Made", bound="Settings")


class Settings:
    """Base of frozen dataclasses whose fields are compared with their annotations when one is built.

    Raises:
        ConfigError: a field is not what its annotation says; the message names it, its value, what was
            expected, and what to write instead where that can be said; or there is no such field.
    """

    other_names: ClassVar[Mapping[str, str]] = {}
    """What people may call an option, and its name."""

    def __new__(cls, *_values: object, **options: object) -> Any:
        """Refuse an option that is not there, and say which one may be meant."""
        for name in options if is_dataclass(cls) else ():
            check_name(name, names_of(cls), cls.__name__, cls.other_names)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        for name, value in checked_fields(self).items():
            object.__setattr__(self, name, value)

    @classmethod
    def from_facts(cls: type[Made], facts: Mapping[str, object]) -> Made:
        """Settings from values by name, such as a card has them; nested settings are tables in it.

        Raises:
            ConfigError: an unknown name, or a value that does not fit.
        """
        for name in facts:
            check_name(name, names_of(cls), cls.__name__, cls.other_names)
        return cls(**facts)

    def expect(self, good: bool, expected: str, *names: str) -> None:
        """Refuse fields that do not fit together.

        Args:
            good: whether they do.
            expected: what they should be like.
            names: of the fields.

        Raises:
            ConfigError: they do not.
        """
        if not good:
            values = ", ".join(f"{name}={shown(getattr(self, name))}" for name in names)
            raise ConfigError(f"{values}: expected {expected}")


def checked_fields(owner: object) -> dict[str, Any]:
    """The fields of a dataclass as their annotations have them.

    Args:
        owner: any dataclass; it is not changed.

    Raises:
        ConfigError: names the first field that does not fit.
    """
    hints = _hints(type(owner))
    names = names_of(type(owner))
    return {name: checked(name, hints[name], getattr(owner, name)) for name in names}


def names_of(kind: type) -> list[str]:
    """The names of the fields of a dataclass."""
    return [one.name for one in fields(kind)]


def checked(name: str, annotation: object, value: object) -> Any:
    """A value as an annotation has it.

    Args:
        name: what the user calls it.
        annotation: see the module.
        value: as given.

    Raises:
        ConfigError: it does not fit.
    """
    try:
        return _taken(annotation, value)
    except _RefusedError:
        raise ConfigError(
            f"{name}={shown(value)}: expected {describe(annotation)}{_remedy(annotation, value)}"
        ) from None


def check_name(name: str, known: Sequence[str], owner: str, others: Mapping[str, str] = {}) -> None:
    """Refuse the name of an option that does not exist.

    Args:
        name: as given.
        known: the names of all options.
        owner: of the options.
        others: what people may call some of them.

    Raises:
        ConfigError: with the nearest name and all others.
    """
    if name not in known:
        near = [others[name]] if name in others else get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ";"
        raise ConfigError(f"{owner} has no option {name!r}{hint} It has {', '.join(known)}")


def shown(value: object) -> str:
    """A value as a message shows it, a long one cut."""
    text = repr(_unwrapped(value))
    return text if len(text) <= 200 else f"{text[:200]}..."


def describe(annotation: object) -> str:
    """What an annotation asks for, in words."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _describe_annotated(inner[0], inner[1:])
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(map(describe, inner)))
    if origin is Literal:
        return f"{'one of ' if len(inner) > 1 else ''}{', '.join(map(repr, inner))}"
    if origin is tuple:
        return f"a list, each {describe(inner[0])}" if inner[-1] is ... else f"{len(inner)} values"
    return _KINDS[annotation][2] if annotation in _KINDS else _named(annotation, origin)


def _named(annotation: object, origin: Any) -> str:
    """What a class is called."""
    if origin is collections.abc.Callable:
        return "a function or class"
    name = getattr(annotation, "__name__", str(annotation))
    return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"


def _describe_annotated(kind: object, notes: tuple[object, ...]) -> str:
    ranges = [note for note in notes if isinstance(note, Within)]
    advice = [note for note in notes if isinstance(note, str)]
    word = "whole number" if kind is int else "number"
    text = ranges[0].describe(word) if ranges else describe(kind)
    return ", ".join([text, *advice])


class _RefusedError(Exception):
    """A value does not fit an annotation."""


def _taken(annotation: object, value: object) -> object:
    """The value as the annotation has it, or `_RefusedError`."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _within(inner[0], inner[1:], value)
    if origin in (Union, UnionType):
        return _first(inner, value)
    if origin is tuple:
        return _each(inner, value)
    if origin is Literal:
        return _one_of(inner, value)
    if annotation in _KINDS:
        fits, plain, _ = _KINDS[annotation]
        if not fits(_unwrapped(value)):
            raise _RefusedError
        return plain(_unwrapped(value))
    return _instance(collections.abc.Callable if origin is collections.abc.Callable else annotation, value)


def _within(kind: object, notes: tuple[object, ...], value: object) -> object:
    ranges = [note for note in notes if isinstance(note, Within)]
    infinite = kind is float and any(one.infinite for one in ranges)
    result = _taken(_EXTENDED if infinite else kind, value)
    if not all(result in one for one in ranges):
        raise _RefusedError
    return result


def _first(kinds: tuple[object, ...], value: object) -> object:
    """By the first annotation of a union that takes it."""
    for kind in kinds:
        try:
            return _taken(kind, value)
        except _RefusedError:
            continue
    raise _RefusedError


def _each(kinds: tuple[object, ...], value: Any) -> tuple[object, ...]:
    value = value.tolist() if getattr(value, "ndim", 0) == 1 else value
    if not isinstance(value, list | tuple):
        raise _RefusedError
    every = (kinds[0],) * len(value) if kinds[-1] is ... else kinds
    if len(every) != len(value):
        raise _RefusedError
    return tuple(_taken(kind, one) for kind, one in zip(every, value, strict=True))


def _one_of(known: tuple[object, ...], value: object) -> object:
    value = _unwrapped(value)
    for one in known:
        if type(one) is type(value) and one == value:
            return one
    raise _RefusedError


def _instance(kind: object, value: object) -> object:
    if isinstance(kind, type) and issubclass(kind, Settings) and isinstance(value, Mapping):
        return kind.from_facts(value)
    try:
        fits = isinstance(value, kind)  # pyright: ignore[reportArgumentType] (of any kind: see below)
    except TypeError:  # what Python cannot compare, such as Any
        return value
    if not fits:
        raise _RefusedError
    return value


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_real(value: Any) -> bool:
    """Whether a float can hold this number: whole ones may be larger, and NaN is none."""
    return not isinstance(value, bool) and (_size(value) <= float_info.max or _size(value) == inf)


def _size(value: Any) -> Any:
    """The magnitude of a real number; NaN, which compares with nothing, of anything else."""
    return abs(value) if isinstance(value, Real) else nan


_EXTENDED = "a number or infinity"
_NONE = (lambda value: value is None, lambda _: None, "None")
_KINDS: dict[object, tuple[Callable[[Any], bool], Callable[[Any], object], str]] = {
    bool: (lambda value: isinstance(value, bool), bool, "True or False"),
    int: (_is_whole, int, "a whole number"),
    float: (lambda value: _is_real(value) and abs(value) < inf, float, "a number"),
    _EXTENDED: (_is_real, float, _EXTENDED),
    str: (lambda value: isinstance(value, str), str, "a text"),
    None: _NONE,
    NoneType: _NONE,
}
"""Of the plain types: which values fit, what they become, and what they are called."""


def _unwrapped(value: Any) -> object:
    """A number of NumPy or JAX as a plain one."""
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def _remedy(annotation: object, value: object) -> str:
    """What to write instead, where that can be said."""
    value, kinds = _unwrapped(value), list(_alternatives(annotation))
    if isinstance(value, str):
        texts = [one for kind in kinds if get_origin(kind) is Literal for one in get_args(kind)]
        near = get_close_matches(value, [one for one in texts if isinstance(one, str)], n=1)
        if near:
            return f"; did you mean {near[0]!r}?"
        return f"; write {value.strip()}, without quotes" if _fits(annotation, _number_in(value)) else ""
    if isinstance(value, float) and value.is_integer() and _fits(annotation, int(value)):
        return f"; write {int(value)}"
    return ""


def _alternatives(annotation: object) -> tuple[object, ...]:
    """The members of a union, or the annotation alone."""
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _fits(annotation: object, value: object) -> bool:
    try:
        _taken(annotation, value)
    except _RefusedError:
        return False
    return value is not None


def _number_in(text: str) -> float | int | None:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _plain(number: float | int) -> str:
    """A number without an exponent where it is whole."""
    return str(int(number)) if isfinite(number) and number == int(number) else f"{number:g}"
