"""The report of a run folder, whatever was trained there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from attractor.classification.storage import KIND
from attractor.runs import load_run

from .classifier_page import write_classifier_report
from .run_report import write_run_report


def write_any_report(folder: Path, cell: Callable[..., Any] | None = None) -> Path:
    """Write `report.html` into a run folder; the card says what it holds.

    Args:
        folder: a finished run, saved with its data.
        cell: the class of a cell of the user's own.

    Raises:
        RunFolderError: the folder is missing, damaged or foreign, or was saved without its data.
    """
    is_classifier = load_run(folder).card.get("kind") == KIND
    return (write_classifier_report if is_classifier else write_run_report)(folder, cell)
