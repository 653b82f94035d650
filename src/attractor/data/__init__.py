"""Readers, splits and the data doctor: from a plant's log to a `Record`."""

from .archive import from_archive, to_archive
from .arff import read_arff
from .case_groups import read_case_groups
from .delimited import ColumnOptions, read_csv
from .doctor import examine
from .finding import Finding, Severity
from .long_csv import LongColumns, read_long_csv
from .missing_values import MISSING, FillState, channel_blocks, fill
from .npz import read_npz
from .record import Experiment, Record, Signal
from .record_checks import compare_ranges
from .record_file import guess_columns, write_record
from .representable import check_representable
from .roles import Roles, assign_roles
from .rows import RowBlock, apply_row_blocks, check_apart, parse_row_block
from .scaling import Scaling
from .sequence_doctor import compare_sequences, examine_sequences
from .sequence_file import read_sequences
from .sequence_noise import NOISES, corrupt
from .sequence_scaling import no_scaling, sequence_scaling
from .sequence_splits import stratified_hold_out
from .sequences import Sequences
from .splits import Split, hold_out
from .table import Table, read_table
from .ts import read_ts
from .writing import write_csv

__all__ = [
    "MISSING",
    "NOISES",
    "ColumnOptions",
    "Experiment",
    "FillState",
    "Finding",
    "LongColumns",
    "Record",
    "Roles",
    "RowBlock",
    "Scaling",
    "Sequences",
    "Severity",
    "Signal",
    "Split",
    "Table",
    "apply_row_blocks",
    "assign_roles",
    "channel_blocks",
    "check_apart",
    "check_representable",
    "compare_ranges",
    "compare_sequences",
    "corrupt",
    "examine",
    "examine_sequences",
    "fill",
    "from_archive",
    "guess_columns",
    "hold_out",
    "no_scaling",
    "parse_row_block",
    "read_arff",
    "read_case_groups",
    "read_csv",
    "read_long_csv",
    "read_npz",
    "read_sequences",
    "read_table",
    "read_ts",
    "sequence_scaling",
    "stratified_hold_out",
    "to_archive",
    "write_csv",
    "write_record",
]
