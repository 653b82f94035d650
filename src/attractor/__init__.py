"""Attractor: recurrent networks you can depend on.

Write the update equation `state' = cell(input, state)` once, read it many ways.
Names are imported when first used, so that `import attractor` and `attractor --help` stay fast.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Cell": "attractor.cells",
    "unroll": "attractor.scan",
    "explain": "attractor.scan",
    "PlantModel": "attractor.control",
    "read_csv": "attractor.data",
    "AttractorError": "attractor.errors",
}

__all__ = ["AttractorError", "Cell", "PlantModel", "explain", "read_csv", "unroll"]  # noqa: F822


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    message = f"module 'attractor' has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
