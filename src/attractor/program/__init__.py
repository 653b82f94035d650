"""A step as a flat list of primitive operations, and the one walk by which every reading interprets it."""

from .interpret import Rule, interpret, is_exact
from .trace import Program, in_double_precision, place, step_program, trace

__all__ = [
    "Program",
    "Rule",
    "in_double_precision",
    "interpret",
    "is_exact",
    "place",
    "step_program",
    "trace",
]
