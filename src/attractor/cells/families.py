"""Families of cells by name, for the command line, estimators and run folders."""

from collections.abc import Callable
from typing import Any

from attractor.errors import ConfigError
from attractor.registry import Registry

CellBuilder = Callable[..., Any]
"""`build(input_size, hidden_size, *, key) -> cell`: a class or a function."""

FAMILIES = Registry[str, CellBuilder]("cell", "attractor.cells", "attractor.cells")
"""Every file of this package registers what it defines; another package does so by an entry point."""


def cell_class(name: str) -> CellBuilder:
    """The class behind a name.

    Raises:
        ConfigError: unknown name; the nearest one is suggested.
    """
    try:
        return FAMILIES.find(name)
    except ConfigError as problem:
        raise ConfigError(f"{problem}, or give a class of your own") from problem
