"""Quadratic metrics of cells whose equations are known: searched, brought along, or solved for."""

import time

import jax
import numpy as np
from scipy.linalg import solve_discrete_lyapunov

from attractor.cells import EchoState, Elman, Linear, RecurrentEquilibrium
from attractor.program import double_precision, in_double_precision

from .lmi import (
    NOTHING,
    QuadraticSettings,
    QuadraticSolution,
    QuadraticStatus,
    SlopeSystem,
    search_metric,
    slope_system,
    verified,
)
from .premises import not_finite

WITH_METRICS = Elman, EchoState, Linear, RecurrentEquilibrium
"""Exactly these classes: a subclass may have another step."""
AT_HAND = Linear, RecurrentEquilibrium
"""Those of them whose metric is not searched."""
# The rate of a known metric is found up to this; a step is one small factorisation.
_RATE_STEP = 1e-6
_ABOVE = (0.1, 0.5, 0.9)
"""How far above the spectral radius, on the way to one, rates of a linear cell are tried."""


def cell_certificate(cell: object, settings: QuadraticSettings | None = None) -> QuadraticSolution:
    """Contraction of a cell, for all inputs and states.

    A recurrent equilibrium network brings its metric with it, and that of a linear cell is the solution of a
    linear equation, so nothing is searched and no solver is needed; their inequality is computed in float64
    and verified like any other. For the others a metric is searched.

    Args:
        cell: exactly an `Elman`, `EchoState` (its reservoir), `Linear` or `RecurrentEquilibrium` cell: a
            subclass may have another step.
        settings: for the search.

    Raises:
        UnsupportedError: another kind of cell, or no solver.
    """
    if not_finite(cell):
        return NOTHING
    if type(cell) is RecurrentEquilibrium:
        return _by_construction(cell)
    if type(cell) is Linear:
        return _by_lyapunov(cell)
    return search_metric(slope_system(cell), settings or QuadraticSettings())


def _by_construction(cell: RecurrentEquilibrium) -> QuadraticSolution:
    """The cell's own metric; with it and its multipliers kept, the smallest rate that they prove."""
    begin = time.perf_counter()
    with double_precision():
        made = jax.tree.map(np.asarray, in_double_precision(cell).matrices())
    system = slope_system(cell)
    # Twice, because the proof in the paper adds the condition with Lambda to its own transpose.
    multipliers = 2 * made.multipliers
    found, failed = verified(system, made.metric, multipliers, cell.rate), 0.0
    while found and found.rate - failed > _RATE_STEP:
        middle = 0.5 * (found.rate + failed)
        tried = verified(system, made.metric, multipliers, middle)
        found, failed = (found, middle) if tried is None else (tried, failed)
    status = QuadraticStatus.CERTIFIED if found else QuadraticStatus.NOT_VERIFIED
    residual = found.rate - failed if found else float("inf")
    return QuadraticSolution(status, found, residual, 0, time.perf_counter() - begin)


def _by_lyapunov(cell: Linear) -> QuadraticSolution:
    """A metric at a rate r a little above the spectral radius: r^2 P - A' P A = r^2 I (Lyapunov)."""
    began = time.perf_counter()
    with double_precision():
        cell = in_double_precision(cell)
        transition, gain = np.asarray(cell.transition), np.asarray(cell.input_weight)
    size, inputs = gain.shape
    # A neuron that hears nothing and acts on nothing.
    none = np.zeros((size, 1)), np.zeros((1, size)), np.zeros((1, 1)), np.zeros(1), np.ones(1)
    system = SlopeSystem(transition, *none, gain, np.zeros((1, inputs)))
    radius = float(np.abs(np.linalg.eigvals(transition)).max())
    for share in _ABOVE if radius < 1 else ():
        rate = radius + share * (1 - radius)
        metric = solve_discrete_lyapunov(transition.T / rate, np.eye(size))
        found = verified(system, metric * size / np.trace(metric), np.ones(1), rate)
        if found is not None:
            return QuadraticSolution(
                QuadraticStatus.CERTIFIED, found, rate - radius, 0, time.perf_counter() - began
            )
    status = QuadraticStatus.NOT_VERIFIED if radius < 1 else QuadraticStatus.NOT_FOUND
    return QuadraticSolution(status, None, float("inf"), 0, time.perf_counter() - began)
