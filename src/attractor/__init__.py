"""Attractor: recurrent networks you can depend on.

Write the update equation `state' = cell(input, state)` once, read it many ways.
Names are imported when first used, so that `import attractor` and `attractor --help` stay fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attractor.cells import Cell, Flow, cell, constant, flow
    from attractor.classification import SequenceClassifier
    from attractor.control import PlantModel
    from attractor.data import read_csv
    from attractor.errors import AttractorError
    from attractor.readings import check_cell
    from attractor.scan import explain, unroll

__version__ = "0.1.0"

_HOME = {
    "Cell": "attractor.cells",
    "Flow": "attractor.cells",
    "cell": "attractor.cells",
    "constant": "attractor.cells",
    "flow": "attractor.cells",
    "check_cell": "attractor.readings",
    "unroll": "attractor.scan",
    "explain": "attractor.scan",
    "PlantModel": "attractor.control",
    "SequenceClassifier": "attractor.classification",
    "read_csv": "attractor.data",
    "AttractorError": "attractor.errors",
}

_ROOMS = (
    "audit",
    "cells",
    "certify",
    "claims",
    "classification",
    "control",
    "data",
    "dynamics",
    "errors",
    "export",
    "program",
    "report",
    "runs",
    "scan",
    "theory",
    "training",
)

__all__ = [
    "AttractorError",
    "Cell",
    "Flow",
    "PlantModel",
    "SequenceClassifier",
    "cell",
    "check_cell",
    "constant",
    "explain",
    "flow",
    "read_csv",
    "unroll",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name in _ROOMS:
        return import_module(f"attractor.{name}")
    raise AttributeError(f"module 'attractor' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*(name for name in globals() if name.startswith("__")), *_HOME, *_ROOMS})
