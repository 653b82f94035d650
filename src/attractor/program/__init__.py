"""A step as a flat list of primitive operations, and the one walk by which every reading interprets it."""

from .compiling import quickly_compiled
from .interpret import Rule, interpret, is_exact
from .trace import Program, in_double_precision, place, step_program, trace

__all__ = [
    "Program",
    "Rule",
    "in_double_precision",
    "interpret",
    "is_exact",
    "place",
    "quickly_compiled",
    "step_program",
    "trace",
]
