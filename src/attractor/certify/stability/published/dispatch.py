"""Which published formula belongs to a cell; the class must match exactly."""

from collections.abc import Callable
from math import isfinite
from typing import Any

import equinox as eqx
import numpy as np

from attractor.cells import GRU, LSTM, NNARX, EchoState, Elman, ResetAfterGRU, Stack, initial_state, name_of
from attractor.errors import ConfigError
from attractor.program import layout_of

from ..premises import not_finite
from .condition import PublishedCondition, nothing_shown
from .gated_conditions import gru_condition, reset_after_condition
from .lstm import lstm_condition
from .reservoir import echo_state_condition, elman_condition
from .stack_condition import stack_condition
from .tanh_conditions import nnarx_condition

_FORMULAS: dict[type, Callable[[Any, float], PublishedCondition | None]] = {
    NNARX: lambda cell, _: nnarx_condition(cell),
    EchoState: lambda cell, _: echo_state_condition(cell),
    Elman: lambda cell, _: elman_condition(cell),
    GRU: gru_condition,
    ResetAfterGRU: reset_after_condition,
    eqx.nn.GRUCell: reset_after_condition,
    LSTM: lstm_condition,
    eqx.nn.LSTMCell: lstm_condition,
    Stack: lambda cell, input_bound: stack_condition(cell, input_bound, published_condition),
}


def published_condition(cell: Any, input_bound: float | int = 1.0) -> PublishedCondition | None:
    """The published stability condition of a cell, evaluated on its weights in float64.

    A formula is used for exactly the class that it was derived for: a subclass may have overridden the step,
    and the two layouts of a gated unit have two formulas, of which one is unsound for the other.

    Args:
        cell: any cell.
        input_bound: largest component of a scaled input that the condition shall hold for.

    Returns:
        The condition; None if no formula was published for this cell. It is not satisfied, and its numbers
        are NaN, if a weight is not finite.

    Raises:
        ConfigError: `input_bound` is negative or not finite.

    Example:
        >>> import jax
        >>> from attractor.cells import Elman
        >>> published_condition(Elman(1, 4, key=jax.random.key(0))).family
        'tanh (Elman)'
    """
    if not (isfinite(input_bound) and input_bound >= 0):
        message = f"input_bound={input_bound}: expected a finite number of at least 0, in scaled units"
        raise ConfigError(message)
    formula = _FORMULAS.get(type(cell))
    if formula is None:
        return None
    reason = not_finite(cell)
    return nothing_shown(name_of(cell), reason) if reason else formula(cell, float(input_bound))


def published_set(cell: Any, condition: PublishedCondition) -> np.ndarray | None:
    """The states within +- this for which a condition of the cell speaks, flat; None for a stack.

    The layers of a stack have sets of their own.
    """
    if type(cell) is Stack:
        return None
    if isinstance(cell, LSTM | eqx.nn.LSTMCell):
        return np.concatenate([np.ones(cell.hidden_size), np.full(cell.hidden_size, condition.memory_bound)])
    gated = isinstance(cell, GRU | ResetAfterGRU | eqx.nn.GRUCell)
    return np.full(layout_of(initial_state(cell), name_of(cell)).real_size, 1.0 if gated else np.inf)


def published_norm(cell: Any, condition: PublishedCondition) -> tuple[np.ndarray, np.ndarray | None]:
    """The norm of a condition: what entries of the flat state are divided by, and their Euclidean groups.

    Args:
        cell: any but a stack.
        condition: of the cell.

    Returns:
        Weights, shape (states,), and group numbers, shape (states,); None for the largest component.
    """
    size = layout_of(initial_state(cell), name_of(cell)).real_size
    weights, groups = np.ones(size), np.zeros(size, int)
    if isinstance(cell, LSTM | eqx.nn.LSTMCell):  # the hidden vector comes first, then the memory
        weights[cell.hidden_size :] = condition.memory_weight
        groups[cell.hidden_size :] = 1
    if isinstance(cell, NNARX):
        weights = np.repeat(1 / np.sqrt(np.arange(1, cell.order + 1)), size // cell.order)
    return weights, groups if condition.order == 2 else None
