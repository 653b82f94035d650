"""A step as a flat list of primitive operations, and the one walk by which every reading interprets it."""

from .arithmetic import (
    double_precision,
    single_precision,
    to_single_precision,
    usual_promotion,
    with_precision,
)
from .compiling import compiled, quickly_compiled
from .complex_parts import without_complex
from .constants import read_anew
from .flat import FlatMap, HeldMap, Layout, Leaf, LeafKind, flat_map, hessian_before, layout_of
from .interpret import Rule, interpret, is_exact
from .precision import in_double_precision, in_precision, plain, unrounded
from .present import programs_of, unchanged
from .primitives import PRIMITIVES, RULES, Kind, Primitive, ZeroRule, added_rules, of_kind, zeros_of
from .steady import check_steady, may_change, same_each_time
from .trace import Program, place, step_program, trace
from .traced import TracedCell, real_cell

read_anew()

__all__ = [
    "PRIMITIVES",
    "RULES",
    "FlatMap",
    "HeldMap",
    "Kind",
    "Layout",
    "Leaf",
    "LeafKind",
    "Primitive",
    "Program",
    "Rule",
    "TracedCell",
    "ZeroRule",
    "added_rules",
    "check_steady",
    "compiled",
    "double_precision",
    "flat_map",
    "hessian_before",
    "in_double_precision",
    "in_precision",
    "interpret",
    "is_exact",
    "layout_of",
    "may_change",
    "of_kind",
    "place",
    "plain",
    "programs_of",
    "quickly_compiled",
    "real_cell",
    "same_each_time",
    "single_precision",
    "step_program",
    "to_single_precision",
    "trace",
    "unchanged",
    "unrounded",
    "usual_promotion",
    "with_precision",
    "without_complex",
    "zeros_of",
]
