"""The cost of everything after the horizon, under the input of the target."""

import warnings
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import ArrayLike, Float

from attractor.control.model import OutputVector, StateVector
from attractor.errors import ConfigError, ControlWarning, ShapeError
from attractor.shown import Shown, counted

Square = Float[np.ndarray, "states states"]
Reading = Float[np.ndarray, "outputs states"]

# The most that entries of a diagonal P may differ by. With 1e6 a third of the solves ended at their limit of
# iterations, with 1e18 none had an answer.
_MOST_UNEVEN = {"double": 1e5, "float": 1e3}
# 2^30 samples: what has not died out by then never does.
_DOUBLINGS = 30


@dataclass(frozen=True, eq=False)
class TerminalCost(Shown):
    r"""$V_f(x) = (x - x_r)' P (x - x_r)$.

    Args:
        matrix: P, symmetric and positive semidefinite, shape (states, states).
        local: True if what is said about it holds near the target only.
        decreases_after: number of samples under the target's input after which it has certainly fallen; None
            if that is not known.
        infinite: whether the cost to come is infinite, and P therefore zero.
    """

    matrix: Square
    local: bool
    decreases_after: int | None
    infinite: bool = False


@runtime_checkable
class TerminalRule(Protocol):
    """What makes a terminal cost for a target."""

    def at(self, jacobian: Square, reading: Reading, output_weight: OutputVector) -> TerminalCost:
        """The terminal cost, from A and C at the target and the diagonal of Q."""
        ...


@dataclass(frozen=True)
class NoTerminal:
    """No terminal cost: everything after the horizon is ignored."""

    def at(self, jacobian: Square, reading: Reading, output_weight: OutputVector) -> TerminalCost:
        """Zeros."""
        del reading, output_weight
        return TerminalCost(np.zeros_like(jacobian), local=False, decreases_after=None)


@dataclass(frozen=True)
class LocalTerminal:
    r"""The cost to come of the linearisation at the target: $P = A'PA + A'C'QCA$.

    Then $V_f(A \Delta) - V_f(\Delta) = -|C A \Delta|_Q^2$ exactly for the linearisation, and approximately
    near the target for the model: a local statement. Where the target is not stable ($\rho(A) \ge 1$) the
    cost to come is infinite, and there is no terminal cost.
    """

    def at(self, jacobian: Square, reading: Reading, output_weight: OutputVector) -> TerminalCost:
        """P by doubling: $P_{j+1} = P_j + M_j' P_j M_j$, $M_{j+1} = M_j^2$, from $M_0 = A$."""
        seen = reading @ jacobian
        cost, power = seen.T @ (output_weight[:, None] * seen), jacobian
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in range(_DOUBLINGS):
                more = power.T @ cost @ power
                cost = cost + more
                if not np.isfinite(cost).all():
                    break
                if np.abs(more).max() <= 1e-14 * np.abs(cost).max():
                    return TerminalCost((cost + cost.T) / 2, local=True, decreases_after=1)
                power = power @ power
        return TerminalCost(np.zeros_like(jacobian), local=True, decreases_after=None, infinite=True)


@runtime_checkable
class ContractionCertificate(Protocol):
    r"""A proof of $|\Delta x^+|_w \le \lambda |\Delta x|_w$ for equal inputs, $|v|_w = \max_i |v_i|/w_i$."""

    @property
    def weights(self) -> ArrayLike:
        """w, shape (states,)."""
        ...

    @property
    def rate(self) -> float:
        r"""$\lambda < 1$."""
        ...


@dataclass(frozen=True, eq=False)
class CertifiedTerminal(Shown):
    r"""A terminal cost from a certificate of contraction, valid wherever the certificate is.

    With $L_i = \sum_j |C_{ij}| w_j$ every later output obeys $|y_i(N + k) - y_{r,i}| \le L_i \lambda^k
    |x_N - x_r|_w$ under the target's input. So the cost to come is at most

    $$p\,|x_N - x_r|_w^2 \le p \sum_j (x_{N,j} - x_{r,j})^2 / w_j^2, \qquad
      p = \frac{\lambda^2}{1 - \lambda^2} \sum_i Q_i L_i^2.$$

    The left form falls by at least $(1 - \lambda^2) p |x - x_r|_w^2$ in every sample but has kinks; the
    right form, used here, is smooth and bounds the same cost to come. It lies between the left form and n
    times the left form (n states), so it has certainly fallen after M samples as soon as
    $n \lambda^{2M} < 1$; after one sample only if $n \lambda^2 < 1$.

    Args:
        weights: w, positive, shape (states,).
        rate: the proven rate.
    """

    weights: StateVector
    rate: float

    def __post_init__(self) -> None:
        if not 0 <= self.rate < 1:
            raise ConfigError(
                f"the certificate has the rate {self.rate}; a contraction has a rate from 0 to below 1"
            )
        if self.weights.ndim != 1 or not ((self.weights > 0) & np.isfinite(self.weights)).all():
            raise ConfigError("the weights of a certificate are positive numbers, one per state")

    @property
    def decreases_after(self) -> int:
        """M above."""
        states = len(self.weights)
        if states * self.rate**2 < 1:
            return 1
        return int(np.floor(np.log(states) / (-2.0 * np.log(self.rate)))) + 1

    @property
    def unevenness(self) -> float:
        """The largest entry of P over its smallest."""
        return unevenness(self.weights)

    def at(self, jacobian: Square, reading: Reading, output_weight: OutputVector) -> TerminalCost:
        """P = p diag(1/w^2); C is taken at the target, which is exact for a linear read-out."""
        if len(self.weights) != len(jacobian):
            raise ShapeError(
                f"the certificate has {counted(len(self.weights), 'weight')}, the model "
                f"{counted(len(jacobian), 'state')}"
            )
        gain = np.abs(reading) @ self.weights
        price = self.rate**2 / (1.0 - self.rate**2) * (output_weight @ gain**2)
        matrix = np.diag(price / self.weights**2)
        return TerminalCost(matrix, local=False, decreases_after=self.decreases_after)


@dataclass(frozen=True, eq=False)
class ComparisonTerminal(Shown):
    r"""A smooth terminal cost from a comparison matrix: $|\Delta x^+| \le A_d |\Delta x|$, entry by entry.

    A nonnegative matrix with spectral radius below 1 is diagonally stable: with $\eta = (I - A_d)^{-1} 1$
    and $\zeta = (I - A_d')^{-1} 1$, both positive, $D = \mathrm{diag}(\zeta_i / \eta_i)$ satisfies
    $A_d' D A_d - D < 0$. Since D is diagonal and $A_d$ nonnegative, $V_f = c\,\Delta x' D \Delta x$ falls by
    at least $q |\Delta x|^2$ in every sample wherever $A_d$ is valid, without a kink. c makes it so for
    $q = \lambda_{max}(A_d' |C|' Q |C| A_d)$: no less than the outputs of the next sample can cost, C being
    taken at the target, which is exact for a linear read-out.

    Source: Berman and Plemmons, Nonnegative Matrices in the Mathematical Sciences (1994), ch. 6.

    Args:
        matrix: A_d, shape (states, states).
    """

    matrix: Square

    def __post_init__(self) -> None:
        check_comparison(self.matrix)

    @property
    def unevenness(self) -> float:
        """The largest entry of P over its smallest."""
        diagonal = diagonal_comparison_cost(self.matrix)
        return float(diagonal.max() / diagonal.min())

    def at(self, jacobian: Square, reading: Reading, output_weight: OutputVector) -> TerminalCost:
        """P = c D."""
        if self.matrix.shape != jacobian.shape:
            raise ShapeError(f"the comparison matrix has shape {self.matrix.shape}, A has {jacobian.shape}")
        seen = np.abs(reading) @ self.matrix
        price = np.linalg.norm(np.sqrt(output_weight)[:, None] * seen, 2) ** 2
        diagonal = diagonal_comparison_cost(self.matrix, float(price))
        return TerminalCost(np.diag(diagonal), local=False, decreases_after=1)


def diagonal_comparison_cost(matrix: Square, price: float | int = 1.0) -> StateVector:
    r"""The diagonal of $cD$ in `ComparisonTerminal`: $A_d' (cD) A_d - cD \le -q I$.

    Args:
        matrix: A_d, nonnegative, spectral radius below 1.
        price: q.

    Raises:
        ConfigError: the matrix is not such a one.
        ShapeError: it is not square.
    """
    check_comparison(matrix)
    ones, identity = np.ones(len(matrix)), np.eye(len(matrix))
    diagonal = np.linalg.solve(identity - matrix.T, ones) / np.linalg.solve(identity - matrix, ones)
    left = np.diag(diagonal) - matrix.T @ (diagonal[:, None] * matrix)
    return diagonal * (price / np.linalg.eigvalsh((left + left.T) / 2)[0])


def check_comparison(matrix: Float[np.ndarray, "rows columns"]) -> None:
    """Refuse what is no comparison matrix of a contraction.

    Args:
        matrix: any matrix.

    Raises:
        ConfigError: an entry is negative or not finite, or the spectral radius is not below 1.
        ShapeError: it is not square.
    """
    if matrix.shape[0] != matrix.shape[1]:
        raise ShapeError(f"a comparison matrix is square, this one has shape {matrix.shape}")
    if not np.isfinite(matrix).all() or (matrix < 0).any():
        raise ConfigError("a comparison matrix has finite entries of at least 0")
    radius = float(np.abs(np.linalg.eigvals(matrix)).max())
    if radius >= 1:
        raise ConfigError(
            f"the comparison matrix has the spectral radius {radius:.4g}; a contraction needs one below 1"
        )


def unevenness(weights: ArrayLike) -> float:
    """The largest entry of the P of a certificate over its smallest: both are 1/w^2 of the weights w."""
    values = np.asarray(weights, float)
    return float((values.max() / values.min()) ** 2)


def too_uneven(ratio: float, precision: Literal["double", "float"] = "double") -> str:
    """Why a diagonal terminal cost is none for a solver, in words; empty where it is one.

    Args:
        ratio: of its largest entry and its smallest, see `unevenness`.
        precision: that a solver computes in.
    """
    most = _MOST_UNEVEN[precision]
    if ratio <= most:
        return ""
    return (
        f"the cost from the certificate would count some states {ratio:.0e} times as much as others, and no "
        f"more than {most:.0e} can be solved well"
    )


def terminal_rule(terminal: object, precision: Literal["double", "float"] = "double") -> TerminalRule:
    """The rule for what a user gives: None, a rule, or a certificate.

    A cost so uneven that no quadratic program is solved well with it gives way to the local one, with a
    `ControlWarning`.

    Args:
        terminal: None for the local rule; an object with `weights` and `rate`; or a rule.
        precision: that the solver computes in.

    Raises:
        ConfigError: none of these, or a certificate in another norm, which says nothing about this cost.
    """
    rule = _rule(terminal)
    why = too_uneven(float(getattr(rule, "unevenness", 1.0)), precision)
    if not why:
        return rule
    warnings.warn(
        ControlWarning(f"{why}: what comes after the horizon counts as the linearised model says"),
        stacklevel=2,
    )
    return LocalTerminal()


def _rule(terminal: object) -> TerminalRule:
    if terminal is None:
        return LocalTerminal()
    if isinstance(terminal, TerminalRule):
        return terminal
    if not getattr(terminal, "in_maximum_norm", True):
        raise ConfigError(
            "this certificate is in another norm than max |x_i| / w_i; give one of level 1, 2 or 3, or None "
            "for the local terminal cost"
        )
    if isinstance(terminal, ContractionCertificate):
        return CertifiedTerminal(np.asarray(terminal.weights, float), float(terminal.rate))
    raise ConfigError(
        f"terminal={terminal!r}: expected None, a terminal rule, or a certificate with `weights` and `rate`"
    )


def horizon_steadies(
    dynamics: Square,
    driven: Float[np.ndarray, "states inputs"],
    reading: Reading,
    weights: tuple[np.ndarray, np.ndarray, np.ndarray],
    horizon: int,
) -> bool:
    r"""Whether a plan without a terminal cost brings a linear model back to rest, again and again.

    The first input of the plan is linear in state and last input, $u_0 = K [x; u_{-1}]$, by the Riccati
    recursion over the horizon with $P_N = 0$. The loop is stable if $\rho(F + G K) < 1$ with
    $[x; u]^+ = F [x; u_{-1}] + G u$; limits of the inputs play no role near a rest within them.

    Args:
        dynamics: A.
        driven: B.
        reading: C.
        weights: the diagonals of Q, R and S of the cost of a plan.
        horizon: N.

    Source: Rawlings, Mayne and Diehl, Model Predictive Control (2017), section 1.3.
    """
    states, inputs = driven.shape
    output, input, move = map(np.diag, weights)
    keep = np.zeros((states + inputs, states + inputs))
    keep[:states, :states] = dynamics
    push = np.vstack([driven, np.eye(inputs)])
    seen = np.hstack([reading @ dynamics, np.zeros((len(reading), inputs))])
    change = np.hstack([np.zeros((inputs, states)), -np.eye(inputs)])
    direct = reading @ driven
    ahead, gain = np.zeros_like(keep), np.zeros((inputs, states + inputs))
    for _ in range(horizon):
        curve = direct.T @ output @ direct + input + move + push.T @ ahead @ push
        cross = direct.T @ output @ seen + move @ change + push.T @ ahead @ keep
        gain = -np.linalg.lstsq(curve, cross, rcond=None)[0]
        ahead = seen.T @ output @ seen + change.T @ move @ change + keep.T @ ahead @ keep + cross.T @ gain
        ahead = (ahead + ahead.T) / 2
    loop = keep + push @ gain
    return bool(np.isfinite(loop).all() and np.abs(np.linalg.eigvals(loop)).max() < 1)
