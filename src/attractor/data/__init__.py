"""Readers, splits and the data doctor: from a plant's log to a `Record`."""

from .record import Experiment, Record, Signal

__all__ = ["Experiment", "Record", "Signal"]
