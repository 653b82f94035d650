"""Bounds of one step of any cell: intervals for values and derivatives, by a walk over its program."""

from .interval import Interval
from .polynomial_rules import RULES
from .step_bounds import Box, StepBounds, centred_image, floating_state, step_bounds, step_image, unit_box

__all__ = [
    "RULES",
    "Box",
    "Interval",
    "StepBounds",
    "centred_image",
    "floating_state",
    "step_bounds",
    "step_image",
    "unit_box",
]
