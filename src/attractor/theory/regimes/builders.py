"""Regimes for networks that build their cells themselves, such as those of the estimators."""

from collections.abc import Callable
from functools import partial
from inspect import signature
from typing import Any

import jax
from jaxtyping import PRNGKeyArray

from attractor.cells import cell_class
from attractor.claims import Solution
from attractor.errors import UnsupportedError

from .couplings import has_theory
from .edge_scaling import edge_of, scaled, state_matrices
from .goals import Timescales, goal_of
from .initialising import drawn


def builder(
    cell: str | Callable[..., Any], regime: str, timescales: Timescales | None = None
) -> Callable[..., Any]:
    """What builds a cell in a regime: give it wherever a cell class can stand.

    It is called as `build(input_size, hidden_size, *, key)`. It is a `functools.partial` of `in_regime`, so
    that a run folder keeps the options; to read such a run, hand in `in_regime`, or the builder itself.

    Args:
        cell: a name of `attractor.cells.FAMILIES`, or a class of your own.
        regime: "contracting", "edge" or "integrator", see `initialise`.
        timescales: shortest and longest memory of the units, in steps.

    Raises:
        ConfigError: an unknown cell or regime, or an integrator without time scales.

    Example:
        >>> import attractor
        >>> cell = builder("gru", "integrator", timescales=(2, 400))
        >>> model = attractor.SequenceClassifier(cell=cell)  # load(folder, cell=in_regime) reads it back
    """
    goal_of(regime, timescales)
    if isinstance(cell, str):
        cell_class(cell)
    return partial(in_regime, cell=cell, regime=regime, timescales=timescales)


def in_regime(
    input_size: int,
    hidden_size: int,
    *,
    cell: str | Callable[..., Any] = "gru",
    regime: str = "contracting",
    timescales: Timescales | None = None,
    key: PRNGKeyArray,
) -> Any:
    """A new cell in a regime, unmeasured; `initialise` measures one, too.

    It can be traced. A cell that the theory does not know gets the factor that brings a sample of it, drawn
    from a fixed key, into the regime; its constructor gets the time scales.

    Args:
        input_size: length of the input.
        hidden_size: length of the state.
        cell: a name, or anything that builds a cell by `cell(input_size, hidden_size, *, key)`.
        regime: see `initialise`.
        timescales: see `initialise`.
        key: draws the weights.

    Raises:
        ConfigError: an unknown cell or regime, or time scales that are missing, in the wrong order or too
            short.
        UnsupportedError: a regime that the cell cannot have.
    """
    goal = goal_of(regime, timescales)
    build = cell_class(cell) if isinstance(cell, str) else cell
    own_key, draw_key = jax.random.split(key)
    made = build(input_size, hidden_size, key=own_key)
    if has_theory(made):
        return drawn(made, regime, timescales, draw_key)
    if timescales is not None:
        build = _with_timescales(build, timescales)
        made = build(input_size, hidden_size, key=own_key)
    matrices, edge = _edge_of_sample(build, input_size, hidden_size)
    return scaled(made, matrices, goal.criticality * edge.value)


def _with_timescales(build: Callable[..., Any], timescales: Timescales) -> Callable[..., Any]:
    if "timescales" not in signature(build).parameters:
        message = (
            f"timescales={timescales}: the gates of {getattr(build, '__name__', build)} are not known here, "
            "and it takes no `timescales`; leave them out, and take the contracting or the edge regime"
        )
        raise UnsupportedError(message)
    return partial(build, timescales=timescales)


def _edge_of_sample(
    build: Callable[..., Any], input_size: int, hidden_size: int
) -> tuple[tuple[bool, ...], Solution[float]]:
    with jax.ensure_compile_time_eval():  # networks are built inside a trace; the sample must have numbers
        sample = build(input_size, hidden_size, key=jax.random.key(0))
        matrices = state_matrices(sample)
        return matrices, edge_of(sample, matrices)
