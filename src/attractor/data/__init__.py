"""Readers, splits and the data doctor: from a plant's log to a `Record`."""

from .delimited import ColumnOptions, read_csv
from .doctor import examine
from .finding import Finding, Severity
from .record import Experiment, Record, Signal
from .record_checks import compare_ranges
from .rows import RowBlock, apply_row_blocks, parse_row_block
from .scaling import Scaling
from .splits import Split, hold_out
from .table import Table, read_table
from .writing import write_csv

__all__ = [
    "ColumnOptions",
    "Experiment",
    "Finding",
    "Record",
    "RowBlock",
    "Scaling",
    "Severity",
    "Signal",
    "Split",
    "Table",
    "apply_row_blocks",
    "compare_ranges",
    "examine",
    "hold_out",
    "parse_row_block",
    "read_csv",
    "read_table",
    "write_csv",
]
