"""Contraction in a quadratic metric, by a linear matrix inequality whose solution is checked afterwards.

The cells meant here have one layer of scalar activations in a linear loop: tanh cells, echo state networks
and recurrent equilibrium networks. Only slopes of the activations enter, so a certificate holds for all
inputs (with slopes that hold in a region only: while both runs stay in that region).
"""

import importlib.util
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any

import jax
import numpy as np
from jaxtyping import ArrayLike, Float

from attractor.cells import EchoState, Elman, RecurrentEquilibrium, name_of
from attractor.errors import ConfigError, ShapeError, UnsupportedError
from attractor.program import double_precision, in_double_precision
from attractor.settings import Positive, Settings, Within

from .premises import not_finite

Matrix = ArrayLike | Sequence[Sequence[float | int]]
# Smallest and largest slope of the activations, numbers or one value a unit.
Slopes = tuple[ArrayLike | Sequence[float | int], ArrayLike | Sequence[float | int]]

# Largest relative error of one rounding.
_UNIT = np.finfo(np.float64).eps / 2

# A solution is worth checking from this smallest eigenvalue on, with metrics of trace n.
_STRICT = 1e-9


@dataclass(frozen=True)
class SlopeSystem:
    """Differences of two runs: d' = A d + B q + B_u e, p = C d + D q + D_u e, with q_i = s_i p_i.

    d is the difference of the states, e that of the inputs, and s_i a mean slope of activation i, somewhere
    in [lower_i, upper_i]. D is strictly lower triangular.

    Args:
        transition: A, shape (hidden, hidden).
        acting: B, shape (hidden, neurons).
        sensing: C, shape (neurons, hidden).
        feedback: D, shape (neurons, neurons).
        lower: smallest slope of every activation, shape (neurons,).
        upper: largest slope of every activation, shape (neurons,).
        input_weight: B_u, shape (hidden, inputs).
        neuron_input_weight: D_u, shape (neurons, inputs).
    """

    transition: Float[np.ndarray, "hidden hidden"]
    acting: Float[np.ndarray, "hidden neurons"]
    sensing: Float[np.ndarray, "neurons hidden"]
    feedback: Float[np.ndarray, "neurons neurons"]
    lower: Float[np.ndarray, " neurons"]
    upper: Float[np.ndarray, " neurons"]
    input_weight: Float[np.ndarray, "hidden inputs"]
    neuron_input_weight: Float[np.ndarray, "neurons inputs"]

    @property
    def stacked(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """[A B], [C D] and [0 I], which make d', p and q out of (d, q)."""
        moved = np.hstack([self.transition, self.acting])
        heard = np.hstack([self.sensing, self.feedback])
        return moved, heard, np.eye(*heard.shape, k=len(self.transition))


@dataclass(frozen=True)
class QuadraticCertificate:
    """Two runs approach each other: |d'|_P <= rate |d|_P + input_gain |e|, with |d|_P^2 = d' P d.

    d is the difference of the states, e that of the inputs (Euclidean norm). Proved by

        rate^2 d' P d - |A d + B q|_P^2 - (q - lower p)' L (upper p - q) >= margin (|d|^2 + |q|^2)

    for all d and q, because the bracket with L cannot be negative.

    Args:
        rate: factor of the distance from step to step.
        metric: P, symmetric and positive definite, shape (hidden, hidden).
        multipliers: diagonal of L, shape (neurons,).
        input_gain: distance in the metric that one unit of difference of the inputs adds.
        margin: the smallest eigenvalue of the inequality is at least this, all roundings counted.
    """

    rate: float
    metric: Float[np.ndarray, "hidden hidden"]
    multipliers: Float[np.ndarray, " neurons"]
    input_gain: float
    margin: float


class QuadraticStatus(Enum):
    """How a search for a quadratic metric ended."""

    CERTIFIED = "certified: two runs under the same inputs approach each other"
    NOT_FOUND = "unknown: no quadratic metric with these multipliers shows contraction"
    NOT_VERIFIED = "unknown: a metric was found, but its margin is smaller than the rounding errors"
    NOT_FINITE = "unknown: a weight is not finite (NaN or infinite), so nothing can be proved of it"

    def __str__(self) -> str:
        """The text shown to users."""
        return self.value


@dataclass(frozen=True)
class QuadraticSolution:
    """What a search for a quadratic metric found.

    Args:
        status: how it ended.
        certificate: present when certified.
        residual: width of the last bracket of the rate: no metric was found at `rate - residual`.
        problems: semidefinite programs solved.
        seconds: wall time.
    """

    status: QuadraticStatus
    certificate: QuadraticCertificate | None
    residual: float
    problems: int
    seconds: float


# The answer for weights that are not finite.
NOTHING = QuadraticSolution(QuadraticStatus.NOT_FINITE, None, float("inf"), 0, 0.0)


@dataclass(frozen=True)
class QuadraticSettings(Settings):
    """How far to search.

    Args:
        diagonal: a diagonal P: one weight a unit, weaker but valid for boxes as well.
        tolerance: the rate is found up to this.
        largest_rate: the search succeeds at this rate or below; 1 asks for contraction.

    Raises:
        ConfigError: a setting outside its range.
    """

    diagonal: bool = False
    tolerance: Annotated[float, Within(0, 1, above=True, below=True)] = 1e-3
    largest_rate: Positive = 1.0


def quadratic_certificate(
    weight: Matrix,
    leak: float | int = 1.0,
    slopes: Slopes = (0.0, 1.0),
    *,
    input_weight: Matrix | None = None,
    settings: QuadraticSettings | None = None,
) -> QuadraticSolution:
    """Contraction of x' = (1 - a) x + a s(W x + W_u u + b), for scalar activations s with bounded slopes.

    The smallest rate with P > 0 and a diagonal L >= 0 is found by bisection; every step is a convex problem,
    solved by Clarabel through CVXPY. Its answer is only a proposal: `verified` decides.

    Args:
        weight: W, shape (hidden, hidden).
        leak: a, in (0, 1].
        slopes: smallest and largest slope of the activations, numbers or one value a unit; (0, 1) holds for
            tanh everywhere, and a box of reachable pre-activations gives a narrower pair.
        input_weight: W_u, shape (hidden, inputs); None leaves the input gain at zero.
        settings: diagonal or full metric, and how far to search.

    Raises:
        UnsupportedError: CVXPY or Clarabel is missing.
        ShapeError: sizes that do not fit each other.
        ConfigError: `leak` or `slopes` outside its range.
    """
    weight = np.asarray(weight, np.float64)
    size = len(weight)
    inputs = np.zeros((size, 1)) if input_weight is None else np.asarray(input_weight, np.float64)
    if weight.shape != (size, size) or len(inputs) != size:
        raise ShapeError(
            f"weight of shape {weight.shape}, input_weight of shape {inputs.shape}: expected equal rows"
        )
    if not 0 < leak <= 1:
        raise ConfigError(f"leak={leak}: expected a value in (0, 1]")
    return search_metric(_layer(weight, float(leak), slopes, inputs), settings or QuadraticSettings())


def slope_system(cell: object, slopes: Slopes = (0.0, 1.0)) -> SlopeSystem:
    """Differences of two runs of a cell, in float64.

    Args:
        cell: an `Elman`, `EchoState` (its reservoir) or `RecurrentEquilibrium` cell.
        slopes: smallest and largest slope of the activations, numbers or one value a unit.

    Raises:
        UnsupportedError: another kind of cell.
    """
    with double_precision():
        cell = in_double_precision(cell)
        if type(cell) is Elman:
            return _layer(np.asarray(cell.state_weight), 1.0, slopes, np.asarray(cell.input_weight))
        if type(cell) is EchoState:
            return _layer(np.asarray(cell.reservoir), cell.leak, slopes, np.asarray(cell.input_weight))
        if type(cell) is RecurrentEquilibrium:
            return _equilibrium(cell, slopes)
    raise UnsupportedError(
        f"{name_of(cell)} is no linear loop around one layer of activations; a quadratic certificate "
        "is there for Elman, EchoState and RecurrentEquilibrium"
    )


def search_metric(system: SlopeSystem, settings: QuadraticSettings) -> QuadraticSolution:
    """The smallest verified rate, by bisection over convex problems.

    Args:
        system: differences of two runs.
        settings: how far to search.

    Raises:
        UnsupportedError: no solver, or a problem that is larger than the memory of this machine.
    """
    if not_finite(vars(system)):
        return NOTHING
    _check_memory(sum(system.acting.shape))
    begin = time.perf_counter()
    propose = _Proposer(system, settings.diagonal)
    found: QuadraticCertificate | None = None
    failed, candidate, refused = 0.0, float(settings.largest_rate), False
    while True:
        metric, multipliers, promising = propose(candidate)
        tried = verified(system, metric, multipliers, candidate) if promising else None
        refused = refused or (promising and tried is None)
        found, failed = (found, candidate) if tried is None else (tried, failed)
        if found is None or found.rate - failed <= settings.tolerance:
            break
        candidate = 0.5 * (found.rate + failed)
    found = None if found is None else _strictly(system, found)
    lost = QuadraticStatus.NOT_VERIFIED if refused else QuadraticStatus.NOT_FOUND
    status = QuadraticStatus.CERTIFIED if found else lost
    residual = found.rate - failed if found else float("inf")
    return QuadraticSolution(status, found, residual, propose.problems, time.perf_counter() - begin)


def solver_bytes(side: int) -> int:
    """Memory of the solver for an inequality of so many rows: a square of the numbers in its triangle.

    Clarabel holds the scaling of a semidefinite cone as one dense block.
    """
    return 8 * (side * (side + 1) // 2) ** 2


def fits(wanted: int) -> bool:
    """Whether this machine has so many bytes of memory; True where nobody says."""
    return wanted <= _memory()


def _memory() -> float:
    known = hasattr(os, "sysconf")
    return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")) if known else float("inf")


def _check_memory(side: int) -> None:
    """Refuse a problem in whose allocation the process would die, without a word to whoever called it."""
    wanted = solver_bytes(side)
    if not fits(wanted):
        raise UnsupportedError(
            f"a quadratic metric is found by a program with an inequality of {side} rows, which takes "
            f"{wanted / 1e9:.3g} GB of memory; this machine has {_memory() / 1e9:.3g}"
        )


def _strictly(system: SlopeSystem, found: QuadraticCertificate) -> QuadraticCertificate:
    """The same metric at a smaller rate, where it was proved at a rate of one or more.

    The inequality holds with a margin m, and |d|^2 >= d' P d / trace P: at a square of the rate that is
    smaller by m / trace P it holds as well. Half of that leaves a margin for the check.
    """
    if found.rate < 1:
        return found
    square = found.rate**2 - 0.5 * found.margin / float(np.trace(found.metric))
    tried = verified(system, found.metric, found.multipliers, float(np.sqrt(max(square, 0.0))))
    return found if tried is None else tried


def verified(
    system: SlopeSystem,
    metric: Float[np.ndarray, "hidden hidden"],
    multipliers: Float[np.ndarray, " neurons"],
    rate: float,
) -> QuadraticCertificate | None:
    """A certificate, if the inequality holds with all rounding errors of float64 counted; None otherwise.

    The inequality and a bound on the errors made in computing it come from the same sums, once of the numbers
    and once of their magnitudes. What then decides is that the Cholesky factorisation of a shifted matrix
    does not break down, which proves a smallest eigenvalue (Rump 2006, Verification of positive
    definiteness).

    Args:
        system: differences of two runs.
        metric: P; only its symmetric part counts.
        multipliers: diagonal of L.
        rate: the rate to prove.
    """
    metric = 0.5 * (metric + metric.T)
    nonsense = not np.all(np.isfinite(metric)) or not np.all(multipliers >= 0) or not np.isfinite(rate)
    if nonsense or _smallest_eigenvalue(metric, 0.0) <= 0:
        return None
    matrix, magnitude = _inequality(system, metric, multipliers, rate)
    # Every entry is a sum of products: twice the longest sum, and a few factors each.
    error = 2 * (sum(system.acting.shape) + 12) * _UNIT * magnitude.sum(axis=1).max()
    margin = _smallest_eigenvalue(matrix, 2 * error)
    if margin <= 0:
        return None
    return QuadraticCertificate(rate, metric, multipliers, _input_gain(system, metric), margin)


def _inequality(
    system: SlopeSystem, metric: np.ndarray, multipliers: np.ndarray, rate: float
) -> tuple[np.ndarray, np.ndarray]:
    """The matrix that must be positive definite, and the sum of the magnitudes of all it is made of."""
    moved, heard, acted = system.stacked
    size = len(metric)
    kept = np.zeros((len(acted.T), len(acted.T)))
    kept[:size, :size] = rate**2 * metric
    above, weights = system.upper[:, None] * heard, multipliers[:, None]
    sector = (acted - system.lower[:, None] * heard).T @ (weights * (above - acted))
    matrix = kept - moved.T @ metric @ moved - 0.5 * (sector + sector.T)
    large = np.abs(system.lower)[:, None] * np.abs(heard) + acted
    spread = large.T @ (weights * (np.abs(above) + acted))
    magnitude = np.abs(kept) + np.abs(moved).T @ np.abs(metric) @ np.abs(moved) + 0.5 * (spread + spread.T)
    return 0.5 * (matrix + matrix.T), magnitude


def _smallest_eigenvalue(matrix: np.ndarray, error: float) -> float:
    """What the smallest eigenvalue surely exceeds, or -inf; `error` bounds the norm of what is unknown."""
    size = len(matrix)
    guess = float(np.linalg.eigvalsh(matrix)[0])
    rounding = 2 * (size + 2) * _UNIT * np.abs(np.trace(matrix)) + np.finfo(np.float64).tiny
    for share in (0.9, 0.5, 0.1):
        shift = share * guess + error + rounding
        try:
            np.linalg.cholesky(matrix - shift * np.eye(size))
        except np.linalg.LinAlgError:
            continue
        return share * guess
    return -np.inf


def _input_gain(system: SlopeSystem, metric: np.ndarray) -> float:
    """Bound on |B_u e + B q|_P / |e| for q that e alone drives: |q_i| <= upper_i (|D q| + |D_u e|)_i."""
    root = np.linalg.cholesky(metric).T
    steepest = np.maximum(np.abs(system.lower), np.abs(system.upper))[:, None]
    moved = steepest * system.neuron_input_weight
    if np.any(system.feedback):
        loop = np.eye(len(moved)) - steepest * np.abs(system.feedback)
        moved = np.linalg.solve(loop, np.abs(moved))
    direct, through = root @ system.input_weight, np.linalg.norm(root @ system.acting, 2)
    gain = np.linalg.norm(direct, 2) + through * np.linalg.norm(moved, 2)
    return float(gain * (1 + 1e-9))  # far more than the roundings of these few products


class _Proposer:
    """The convex problem of one rate: the metric of trace n with the largest smallest eigenvalue."""

    def __init__(self, system: SlopeSystem, diagonal: bool) -> None:
        cvxpy = _cvxpy()
        moved, heard, acted = system.stacked
        size, units = system.acting.shape
        self.metric: Any = (
            cvxpy.diag(cvxpy.Variable(size)) if diagonal else cvxpy.Variable((size, size), symmetric=True)
        )
        self.multipliers: Any = cvxpy.Variable(units, nonneg=True)
        self.square: Any = cvxpy.Parameter(nonneg=True)
        self.margin: Any = cvxpy.Variable()
        self.problems = 0
        low, high = acted - system.lower[:, None] * heard, system.upper[:, None] * heard - acted
        sector = low.T @ cvxpy.diag(self.multipliers) @ high
        embed = np.eye(size, size + units)
        matrix = self.square * (embed.T @ self.metric @ embed) - moved.T @ self.metric @ moved
        matrix = matrix - 0.5 * (sector + sector.T) - self.margin * np.eye(size + units)
        limits = [matrix >> 0, self.metric >> self.margin * np.eye(size), cvxpy.trace(self.metric) == size]
        self.problem: Any = cvxpy.Problem(cvxpy.Maximize(self.margin), limits)

    def __call__(self, rate: float) -> tuple[np.ndarray, np.ndarray, bool]:
        """(P, diagonal of L, whether they are worth checking)."""
        import cvxpy

        self.square.value = rate**2
        self.problems += 1
        size, units = self.metric.shape[0], self.multipliers.shape[0]
        try:
            self.problem.solve(solver=cvxpy.CLARABEL)
        except cvxpy.SolverError:
            return np.eye(size), np.zeros(units), False
        if self.metric.value is None or self.margin.value is None:
            return np.eye(size), np.zeros(units), False
        metric = self.metric.value
        metric = np.asarray(metric.toarray() if hasattr(metric, "toarray") else metric, np.float64)
        multipliers = np.maximum(np.asarray(self.multipliers.value, np.float64), 0.0)
        return metric, multipliers, bool(self.margin.value > _STRICT)


def _cvxpy() -> Any:
    missing = [name for name in ("cvxpy", "clarabel") if importlib.util.find_spec(name) is None]
    if missing:
        raise UnsupportedError(
            f"a quadratic metric is searched by CVXPY and Clarabel, and {' and '.join(missing)} cannot be "
            "imported: pip install attractor[lmi]"
        )
    import cvxpy

    return cvxpy


def _equilibrium(cell: RecurrentEquilibrium, slopes: Slopes) -> SlopeSystem:
    made = jax.tree.map(np.asarray, cell.matrices())
    return SlopeSystem(
        made.transition,
        made.neuron_weight,
        made.sensing,
        made.feedback,
        *_slopes(slopes, cell.neurons),
        input_weight=np.asarray(cell.input_weight),
        neuron_input_weight=np.asarray(cell.neuron_input_weight),
    )


def _layer(weight: np.ndarray, leak: float, slopes: Slopes, input_weight: np.ndarray) -> SlopeSystem:
    """Differences of x' = (1 - a) x + a s(W x + W_u u + b)."""
    identity, nothing = np.eye(len(weight)), np.zeros(weight.shape)
    lower, upper = _slopes(slopes, len(weight))
    direct = np.zeros(input_weight.shape)
    return SlopeSystem(
        (1 - leak) * identity, leak * identity, weight, nothing, lower, upper, direct, input_weight
    )


def _slopes(slopes: Slopes, size: int) -> tuple[np.ndarray, np.ndarray]:
    lower, upper = (np.broadcast_to(np.asarray(bound, np.float64), (size,)) for bound in slopes)
    if not np.all(lower <= upper) or not np.all(np.isfinite([lower, upper])):
        raise ConfigError("slopes: expected finite numbers with smallest <= largest for every unit")
    return lower, upper
