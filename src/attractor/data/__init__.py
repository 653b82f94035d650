"""From files, DataFrames and arrays to a `Record` or `Sequences`: readers, splits and the data doctor."""

from .counters import counting_variables
from .doctor import examine
from .finding import Finding, Findings, Severity
from .honest_split import HeldOut, hold_out_recordings
from .labelled_sequences import Sequences
from .long_columns import LongColumns
from .long_table import read_case_groups
from .preprocessing import (
    MISSING,
    FillState,
    MissingPolicy,
    Scaling,
    channel_blocks,
    check_representable,
    fill,
    no_scaling,
    sequence_scaling,
)
from .record import Experiment, Record, RowBlock, Signal, check_apart, describe_sampling, parse_row_block
from .record_file import ColumnOptions, guess_columns, read_csv
from .sequence_doctor import compare_sequences, examine_sequences
from .sequence_file import read_sequences
from .sequence_labels import corrupt
from .shared_stretches import SharedStretches, common_stretches, shared_stretches
from .splits import Roles, assign_roles, from_archive, hold_out, stratified_hold_out, to_archive
from .table import Table, read_table
from .writing import to_frame, write_csv, write_record

__all__ = [
    "MISSING",
    "ColumnOptions",
    "Experiment",
    "FillState",
    "Finding",
    "Findings",
    "HeldOut",
    "LongColumns",
    "MissingPolicy",
    "Record",
    "Roles",
    "RowBlock",
    "Scaling",
    "Sequences",
    "Severity",
    "SharedStretches",
    "Signal",
    "Table",
    "assign_roles",
    "channel_blocks",
    "check_apart",
    "check_representable",
    "common_stretches",
    "compare_sequences",
    "corrupt",
    "counting_variables",
    "describe_sampling",
    "examine",
    "examine_sequences",
    "fill",
    "from_archive",
    "guess_columns",
    "hold_out",
    "hold_out_recordings",
    "no_scaling",
    "parse_row_block",
    "read_case_groups",
    "read_csv",
    "read_sequences",
    "read_table",
    "sequence_scaling",
    "shared_stretches",
    "stratified_hold_out",
    "to_archive",
    "to_frame",
    "write_csv",
    "write_record",
]
