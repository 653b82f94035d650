"""Searches: branch and bound over boxes, counterexamples to stability, the worst point of a ball."""

from .branch_and_bound import Bound, Bounder, Budget, Maximum, branch_and_bound
from .counterexamples import Witness, find_witness
from .projected_gradient import Ball, Descent, lowest_in_ball

__all__ = [
    "Ball", "Bound", "Bounder", "Budget", "Descent", "Maximum", "Witness", "branch_and_bound",
    "find_witness", "lowest_in_ball",
]  # fmt: skip
