"""A step as a flat list of primitive operations, and the one walk by which every reading interprets it."""

from .agreement import check_agreement, deviation, in_double_precision, sampled_rows, steps_at
from .arithmetic import (
    double_precision,
    read_anew,
    single,
    single_precision,
    to_single_precision,
    usual_promotion,
    with_precision,
)
from .compiling import (
    check_steady,
    compiled,
    digest_or_new,
    may_change,
    programs_of,
    quickly_compiled,
    same_each_time,
    unchanged,
)
from .flat import FlatMap, HeldMap, Layout, Leaf, LeafKind, flat_map, hessian_before, layout_of
from .precision import in_precision, plain, unrounded
from .primitives import (
    JAX_PRIMITIVES,
    PRIMITIVES,
    RULES,
    Kind,
    Primitive,
    ZeroRule,
    added_rules,
    of_kind,
    zeros_of,
)
from .real_cell import TracedCell, real_cell, without_complex
from .trace import step_program, trace
from .walk import Exact, Program, Rule, interpret, is_exact, location

read_anew()

__all__ = [
    "JAX_PRIMITIVES",
    "PRIMITIVES",
    "RULES",
    "Exact",
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
    "check_agreement",
    "check_steady",
    "compiled",
    "deviation",
    "digest_or_new",
    "double_precision",
    "flat_map",
    "hessian_before",
    "in_double_precision",
    "in_precision",
    "interpret",
    "is_exact",
    "layout_of",
    "location",
    "may_change",
    "of_kind",
    "plain",
    "programs_of",
    "quickly_compiled",
    "real_cell",
    "same_each_time",
    "sampled_rows",
    "single",
    "single_precision",
    "step_program",
    "steps_at",
    "to_single_precision",
    "trace",
    "unchanged",
    "unrounded",
    "usual_promotion",
    "with_precision",
    "without_complex",
    "zeros_of",
]
