"""Results of any type, made up from the annotations of their fields."""

import dataclasses
import enum
import importlib
import inspect
import pkgutil
import types
import typing

import numpy as np

import attractor
from attractor.certify import Verdict
from attractor.settings import Settings

SIZE = 4
"""Of every axis of an array."""


def public_types():
    """Every class that some `__all__` of the library names."""
    return [one for one in public_things() if inspect.isclass(one)]


def public_things():
    """Whatever some `__all__` of the library names."""
    found = []
    for module in pkgutil.walk_packages(attractor.__path__, "attractor."):
        if ".cli" in module.name or module.name.endswith("__main__"):
            continue
        loaded = importlib.import_module(module.name)
        for name in getattr(loaded, "__all__", ()):
            one = getattr(loaded, name)
            if callable(one) and getattr(one, "__module__", "").startswith("attractor.") and one not in found:
                found.append(one)
    return found


def returned_types():
    """Every class of the library that a public function or method returns, alone or among others."""
    found = set()
    for function in public_things():
        methods = (
            [one for one in vars(function).values() if callable(one)] if inspect.isclass(function) else []
        )
        for one in (function, *methods):
            try:
                hint = typing.get_type_hints(one).get("return")
            except (TypeError, NameError):  # no annotations, or those of a package that is imported late
                continue
            parts = (hint, *typing.get_args(hint))
            found |= {
                part for part in parts if inspect.isclass(part) and part.__module__.startswith("attractor.")
            }
    return sorted(found, key=lambda one: one.__name__)


def holds_arrays(kind):
    """Whether a dataclass or a named tuple has a field of arrays."""
    if not (dataclasses.is_dataclass(kind) or hasattr(kind, "_fields")) or issubclass(kind, Settings):
        return False
    return any(_is_array(part) for hint in hints_of(kind).values() for part in (hint, *typing.get_args(hint)))


def hints_of(kind):
    """The annotations of the fields."""
    hints = typing.get_type_hints(kind, include_extras=False)
    names = getattr(kind, "_fields", None) or [one.name for one in dataclasses.fields(kind)]
    return {name: hints[name] for name in names}


def built(kind, fill=None, size=SIZE, **given):
    """An instance: numbers that rise, or all `fill`, on axes of one size; `given` fields stay as they are."""
    parts = {
        name: given[name] if name in given else value_of(hint, fill, size)
        for name, hint in hints_of(kind).items()
    }
    if issubclass(kind, tuple):
        return kind(**parts)
    one = object.__new__(kind)  # made up numbers need not pass the checks of a constructor
    for name, value in parts.items():
        object.__setattr__(one, name, value)
    return one


def _is_array(hint):
    return hint is np.ndarray or hasattr(hint, "dim_str")


def value_of(hint, fill, size):  # noqa: PLR0911 (one branch for every kind of annotation)
    """Something of the annotated type."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if _is_array(hint):
        return array_of(hint, fill, size)
    if origin in (typing.Union, types.UnionType):
        arrays = [one for one in inner if _is_array(one)]
        return value_of((arrays or [one for one in inner if one is not type(None)])[0], fill, size)
    if origin is tuple:
        return tuple(value_of(one, fill, size) for one in inner if one is not Ellipsis) * (
            1 + (Ellipsis in inner)
        )
    if origin is list:
        return [value_of(inner[0], fill, size)]
    if origin in (dict, typing.get_origin(typing.Mapping[str, float])):
        return {"first": value_of(inner[1], fill, size)}
    if origin is typing.Literal:
        return inner[0]
    if inspect.isclass(hint) and issubclass(hint, enum.Enum):
        return next(iter(hint), Verdict.UNKNOWN)
    if inspect.isclass(hint) and issubclass(hint, Settings):
        return _usual(hint)
    if inspect.isclass(hint) and dataclasses.is_dataclass(hint) and not issubclass(hint, Settings):
        return built(hint, fill, size)
    return {str: "text", int: 3, float: 0.5 if fill is None else fill, bool: True, complex: 0.5j}.get(hint)


def _usual(settings):
    try:
        return settings()
    except TypeError:  # an option without a default
        return None


def array_of(hint, fill, size):
    """Numbers that rise from 0.1 to 0.9, or one number everywhere."""
    dims = getattr(hint, "dim_str", "one").replace("...", "")
    shape = tuple(int(one) if one.isdigit() else size for one in dims.split())
    types_of = str(getattr(hint, "dtypes", ["float64"]))
    if "bool" in types_of and "float" not in types_of:
        return np.arange(int(np.prod(shape))).reshape(shape) % 2 == 0
    if "int" in types_of and "float" not in types_of:
        return np.arange(1, 1 + int(np.prod(shape))).reshape(shape)
    numbers = np.linspace(0.1, 0.9, int(np.prod(shape))).reshape(shape)
    if "complex" in types_of and "float" not in types_of:
        numbers = numbers * (1 + 1j)
    return numbers if fill is None else np.full(shape, fill)
