"""How a cell runs over time: unrolling, memory, batches over devices."""

from .allocation import keep_freed_memory
from .explain import Explanation, explain
from .flow import FlowSolver, solve_flow
from .memory import Recompute, Store
from .unroll import Unrolled, unroll

__all__ = [
    "Explanation",
    "FlowSolver",
    "Recompute",
    "Store",
    "Unrolled",
    "explain",
    "keep_freed_memory",
    "solve_flow",
    "unroll",
]
