"""The condition for stacks: every cell for itself, for a cascade of stable systems is stable."""

from collections.abc import Callable
from typing import Any

import equinox as eqx

from attractor.cells import GRU, LSTM, EchoState, Elman, ResetAfterGRU, Stack

from .condition import PublishedCondition

_WITHIN_ONE = GRU, ResetAfterGRU, eqx.nn.GRUCell, LSTM, eqx.nn.LSTMCell, Elman


def stack_condition(
    cell: Stack, input_bound: float, condition_of: Callable[[Any, float], PublishedCondition | None]
) -> PublishedCondition | None:
    r"""The largest residual of the cells; the rate is the largest rate, approached in the long run.

    Cell l sees what cell l - 1 exposes, so differences obey a lower triangular comparison matrix with the
    rates on its diagonal: its spectral radius is the largest rate (arXiv 2304.02975).

    Args:
        cell: exactly a `Stack`.
        input_bound: largest component of a scaled input.
        condition_of: the condition of one cell for an input bound.

    Returns:
        The condition; None if one cell has none, or if nothing bounds what a lower cell exposes.
    """
    found: list[PublishedCondition] = []
    bound: float | None = input_bound
    for part in cell.cells:
        if bound is None or (condition := condition_of(part, bound)) is None:
            return None
        found.append(condition)
        bound = exposed_bound(part, bound)
    return PublishedCondition(
        family="stack of " + ", ".join(one.family for one in found),
        residual=max(one.residual for one in found),
        rate=max(one.rate for one in found),
        iss_residual=max(one.iss_residual for one in found),
        input_gain=float("nan"),
        norm="spectral radius of the cascade; the bound holds up to a constant factor",
        source="arXiv 2304.02975; of the cells: " + ", ".join(sorted({one.source for one in found})),
        note="; ".join(f"cell {level}: {one.note}" for level, one in enumerate(found)),
    )


def exposed_bound(cell: Any, input_bound: float) -> float | None:
    """Largest component of what a cell exposes, from states within [-1, 1]; None if nothing bounds it."""
    if type(cell) in _WITHIN_ONE:
        return 1.0
    if type(cell) is EchoState:  # exposes its input as well
        return max(1.0, input_bound)
    if type(cell) is not Stack:
        return None
    bound: float | None = input_bound
    for part in cell.cells:
        bound = None if bound is None else exposed_bound(part, bound)
    return bound
