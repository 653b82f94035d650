"""Domains: abstract values that flow through a program, and what they say of its results over a box.

A domain is a kind of value, how a box becomes one, a rule for each primitive (a mapping that the one forward
walk runs, `attractor.program.interpret`), and how a value becomes an interval. There is one now, polynomial
forms with interval coefficients of their derivatives: `symbol_form`, `RULES`, `program_forms` and `enclose`.
"""

from .algebra import enclose
from .cell_bounds import (
    Box,
    StepBounds,
    centred_image,
    floating_state,
    program_forms,
    step_bounds,
    step_image,
    unit_box,
)
from .interval import Interval, ScalarFunction
from .polynomial import Form, symbol_form
from .polynomial_rules import RULES, register_function

__all__ = [
    "RULES", "Box", "Form", "Interval", "ScalarFunction", "StepBounds", "centred_image", "enclose",
    "floating_state", "program_forms", "register_function", "step_bounds", "step_image", "symbol_form",
    "unit_box",
]  # fmt: skip
