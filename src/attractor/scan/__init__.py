"""How a cell runs over time: unrolling, memory, batches over devices."""

from .devices import sharded_gradient
from .explain import Explanation, explain
from .memory import Recompute, Store
from .unroll import Unrolled, unroll

__all__ = ["Explanation", "Recompute", "Store", "Unrolled", "explain", "sharded_gradient", "unroll"]
