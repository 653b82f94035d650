"""How a cell runs over time: unrolling and its memory."""

from .flow_solver import FlowSolver, solve_flow
from .strategies import Loop, Recompute, Store, Strategy, keep_freed_memory
from .unroll import Explanation, Unrolled, explain, unroll

__all__ = [
    "Explanation", "FlowSolver", "Loop", "Recompute", "Store", "Strategy", "Unrolled", "explain",
    "keep_freed_memory", "solve_flow", "unroll",
]  # fmt: skip
