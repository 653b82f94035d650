"""Readers, splits and the data doctor: from a plant's log to a `Record`."""

from .delimited import ColumnOptions, read_csv
from .record import Experiment, Record, Signal
from .rows import RowBlock, apply_row_blocks, parse_row_block
from .table import Table, read_table
from .writing import write_csv

__all__ = [
    "ColumnOptions",
    "Experiment",
    "Record",
    "RowBlock",
    "Signal",
    "Table",
    "apply_row_blocks",
    "parse_row_block",
    "read_csv",
    "read_table",
    "write_csv",
]
