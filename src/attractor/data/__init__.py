"""Readers, splits and the data doctor: from a plant's log to a `Record`."""

from .archive import from_archive, to_archive
from .delimited import ColumnOptions, read_csv
from .doctor import examine
from .finding import Finding, Severity
from .record import Experiment, Record, Signal
from .record_checks import compare_ranges
from .record_file import guess_columns, write_record
from .roles import Roles, assign_roles
from .rows import RowBlock, apply_row_blocks, check_apart, parse_row_block
from .scaling import Scaling
from .splits import Split, hold_out
from .table import Table, read_table
from .writing import write_csv

__all__ = [
    "ColumnOptions",
    "Experiment",
    "Finding",
    "Record",
    "Roles",
    "RowBlock",
    "Scaling",
    "Severity",
    "Signal",
    "Split",
    "Table",
    "apply_row_blocks",
    "assign_roles",
    "check_apart",
    "compare_ranges",
    "examine",
    "from_archive",
    "guess_columns",
    "hold_out",
    "parse_row_block",
    "read_csv",
    "read_table",
    "to_archive",
    "write_csv",
    "write_record",
]
