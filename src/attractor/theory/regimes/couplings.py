"""The parameters of the theory, read from a cell and written into it, and the modes they give it at rest."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from scipy.special import expit

from attractor.cells import GRU, LSTM, Discretised, Elman, GatedFlow, ResetAfterGRU, name_of
from attractor.dynamics.jacobians import time_scale
from attractor.dynamics.roots import bracketed_root
from attractor.errors import UnsupportedError
from attractor.shown import Shown

# Name of the coupling that is no gate: a_h of a GRU, a_g of an LSTM, g_h of a gated flow.
CANDIDATE = "candidate"
# At which time scales are reported and compared.
QUANTILES = (0.1, 0.5, 0.9)
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Coupling(Shown):
    """How one gate, or the candidate, listens to the state.

    Args:
        gain: the standard deviation of the entries of its matrix, times sqrt(hidden).
        bias: of every unit; a larger one opens a gate.
    """

    gain: float | int
    bias: Float[Array | np.ndarray, " hidden"]


Couplings = Mapping[str, Coupling]
Network = TypeVar("Network")


@dataclass(frozen=True, eq=False)
class EffectiveParameters:
    r"""The numbers by which the theory of gated random networks knows a cell.

    A matrix U with independent entries of variance $a^2 / N$ has the gain a; of any other it is
    $\|U\|_F / \sqrt{N}$. Source: Krishnamurthy, Can and Schwab, arXiv 2007.14823; for GRU and LSTM
    arXiv 2002.00025.

    Args:
        couplings: by name. "candidate" for all; "keep" and "reset" for a GRU; "write", "keep" and "show"
            (input, forget and output gate) for an LSTM; "update" and "reset" for a gated flow with them.
    """

    couplings: Couplings

    @property
    def candidate_gain(self) -> float:
        """a_h of a GRU, a_g of an LSTM, g_h of a gated flow."""
        return float(self.couplings[CANDIDATE].gain)

    @property
    def reset_gain(self) -> float | None:
        """a_r; None for a cell without a reset gate."""
        return float(self.couplings["reset"].gain) if "reset" in self.couplings else None

    def to_dict(self) -> dict[str, float]:
        """Gains, and mean and standard deviation of the biases, by names such as "keep_gain"."""
        entries = {}
        for name, coupling in self.couplings.items():
            entries[f"{name}_gain"] = float(coupling.gain)
            entries[f"{name}_bias_mean"] = float(np.mean(coupling.bias))
            entries[f"{name}_bias_deviation"] = float(np.std(coupling.bias))
        return entries


@dataclass(frozen=True)
class Layout:
    """Where a published cell keeps its matrices and biases.

    Args:
        names: of the couplings, in the order of their rows.
        matrices: leaves that, stacked, hold the matrices.
        biases: the leaf that holds the biases in the same order.
        others: further leaves, which are zero in the theory.
    """

    names: tuple[str, ...]
    matrices: Callable[[Any], tuple[Array, ...]]
    biases: Callable[[Any], Array]
    others: Callable[[Any], tuple[Array, ...]] = lambda _: ()


_RESET_AFTER = ("reset", "keep", CANDIDATE)
_LSTM = ("write", "keep", CANDIDATE, "show")
_LAYOUTS: dict[type, Layout] = {
    GRU: Layout(
        ("keep", "reset", CANDIDATE), lambda c: (c.gate_weight, c.candidate_weight), lambda c: c.bias
    ),
    ResetAfterGRU: Layout(
        _RESET_AFTER, lambda c: (c.state_weight,), lambda c: c.bias, lambda c: (c.candidate_bias,)
    ),
    eqx.nn.GRUCell: Layout(_RESET_AFTER, lambda c: (c.weight_hh,), lambda c: c.bias, lambda c: (c.bias_n,)),
    LSTM: Layout(_LSTM, lambda c: (c.state_weight,), lambda c: c.bias),
    eqx.nn.LSTMCell: Layout(_LSTM, lambda c: (c.weight_hh,), lambda c: c.bias),
    Elman: Layout((CANDIDATE,), lambda c: (c.state_weight,), lambda c: c.bias),
}


def has_theory(cell: object) -> bool:
    """Whether the theory knows this kind of cell."""
    return flow_of(cell) is not None or (
        type(cell) in _LAYOUTS and _LAYOUTS[type(cell)].biases(cell) is not None
    )


def flow_of(cell: object) -> GatedFlow | None:
    """The gated flow that a cell is, or whose fixed step it takes."""
    flow = cell.flow if isinstance(cell, Discretised) else cell
    return flow if isinstance(flow, GatedFlow) else None


def coupling_names(cell: object) -> tuple[str, ...]:
    """Names of the couplings of a cell that the theory knows."""
    flow = flow_of(cell)
    if flow is None:
        return _LAYOUTS[type(cell)].names
    return tuple(name for name, where in _ROWS.items() if where(flow) is not None)


def effective_parameters(cell: object) -> EffectiveParameters:
    """Gains and biases of a GRU (both layouts), LSTM, gated flow or Elman cell, trained or not.

    Args:
        cell: of `attractor.cells`, or `equinox.nn.GRUCell` or `LSTMCell`.

    Raises:
        UnsupportedError: a cell of another kind.

    Example:
        >>> import jax
        >>> cell = GRU(1, 64, key=jax.random.key(0))
        >>> round(effective_parameters(cell).candidate_gain, 1)  # uniform entries: 1 / sqrt(3)
        0.6
    """
    if not has_theory(cell):
        raise UnsupportedError(
            f"{name_of(cell)} has no gates that the theory knows; it reads GRU, ResetAfterGRU, LSTM, "
            "Elman, GatedFlow and gated_rate, and equinox.nn.GRUCell and LSTMCell with biases"
        )
    flow = flow_of(cell)
    return EffectiveParameters(_of_layout(cell) if flow is None else _of_flow(flow))


def with_parameters(cell: Network, couplings: Couplings, key: PRNGKeyArray) -> Network:
    """The cell with new normal matrices of these gains, and these biases; its input weights stay.

    Only array operations: it can be traced, as builders of networks are.

    Args:
        cell: one that `has_theory`.
        couplings: for every coupling of the cell.
        key: draws the matrices.
    """
    keys = dict(zip(couplings, jax.random.split(key, len(couplings)), strict=True))
    flow = flow_of(cell)
    if flow is None:
        return _into_layout(cell, couplings, keys)
    written: Any = _into_flow(flow, couplings, keys)
    return eqx.tree_at(lambda cell: cell.flow, cell, written) if isinstance(cell, Discretised) else written


def _gain(matrix: Array | np.ndarray) -> float:
    return float(np.linalg.norm(np.asarray(matrix, np.float64)) / len(matrix) ** 0.5)


def _of_layout(cell: object) -> dict[str, Coupling]:
    layout = _LAYOUTS[type(cell)]
    matrices = np.concatenate([np.asarray(leaf, np.float64) for leaf in layout.matrices(cell)])
    biases = np.asarray(layout.biases(cell), np.float64)
    parts = (np.split(whole, len(layout.names)) for whole in (matrices, biases))
    return {
        name: Coupling(_gain(matrix), bias) for name, matrix, bias in zip(layout.names, *parts, strict=True)
    }


def _of_flow(flow: GatedFlow) -> dict[str, Coupling]:
    rows = {name: _ROWS[name](flow) for name in coupling_names(flow)}
    return {
        name: Coupling(float(row.gain) * _gain(row.coupling), np.asarray(row.bias, np.float64))
        for name, row in rows.items()
    }


def _normal(key: PRNGKeyArray, size: int, gain: float | int = 1.0) -> Float[Array, "hidden hidden"]:
    return gain / size**0.5 * jax.random.normal(key, (size, size))


def _into_layout(cell: Network, couplings: Couplings, keys: Mapping[str, PRNGKeyArray]) -> Network:
    layout = _LAYOUTS[type(cell)]
    old = layout.matrices(cell)
    size = old[0].shape[1]
    stacked = jnp.concatenate([_normal(keys[name], size, couplings[name].gain) for name in layout.names])
    borders = np.cumsum([len(leaf) for leaf in old])[:-1]
    bias = jnp.concatenate([jnp.asarray(couplings[name].bias, float) for name in layout.names])
    new = *jnp.split(stacked, borders), bias, *map(jnp.zeros_like, layout.others(cell))
    return eqx.tree_at(lambda c: (*layout.matrices(c), layout.biases(c), *layout.others(c)), cell, new)


def _into_flow(flow: GatedFlow, couplings: Couplings, keys: Mapping[str, PRNGKeyArray]) -> GatedFlow:
    for name, coupling in couplings.items():
        row = _ROWS[name](flow)
        matrix = _normal(keys[name], flow.hidden_size)
        new = matrix, jnp.asarray(coupling.gain, float), jnp.asarray(coupling.bias, float)
        written = eqx.tree_at(lambda row: (row.coupling, row.gain, row.bias), row, new)
        flow = written if row is flow else eqx.tree_at(_ROWS[name], flow, written)
    return flow


_ROWS: dict[str, Callable[[GatedFlow], Any]] = {
    CANDIDATE: lambda flow: flow,
    "update": lambda flow: flow.update_gate,
    "reset": lambda flow: flow.reset_gate,
}


@dataclass(frozen=True, eq=False)
class RestingModes(Shown):
    r"""Eigenvalues of the Jacobian at zero, of a large network: where $L(\lambda) \ge 1$.

    At zero the step (for a flow: the change) of a small state x is $D x + W U V x$ with diagonal D, W and V
    and a random U of gain a, and

    $$L(\lambda) = a^2 \Big\langle \frac{w_i^2 v_i^2}{|\lambda - d_i|^2} \Big\rangle$$

    A GRU has d = z, w = 1 - z, v = r; an LSTM d = f, w = i, v = o; a gated flow d = -s_z, w = s_z, v = s_r;
    an Elman cell d = 0, w = v = 1. Gains of gates do not matter at zero. Sources: arXiv 2007.14823,
    2002.00025.

    Args:
        centres: d, of every unit.
        leaks: how far d is from a mode that stays, 1 - d (for a flow -d), without the cancellation of a gate
            that is open but for 1e-17.
        weights: w v, of every unit.
        gain: a.
        continuous: whether eigenvalues are rates of a flow, not factors of a step.
        uncoupled: further eigenvalues, as many of each as there are units, which do not depend on U:
            those of h in an LSTM (0), of gates in a flow (-1 / tau).
    """

    centres: Float[np.ndarray, " hidden"]
    leaks: Float[np.ndarray, " hidden"]
    weights: Float[np.ndarray, " hidden"]
    gain: float
    continuous: bool
    uncoupled: tuple[float, ...] = ()

    @property
    def marginal(self) -> float:
        """The eigenvalue of a mode that neither grows nor decays."""
        return 0.0 if self.continuous else 1.0

    @property
    def edge_gain(self) -> float:
        r"""The gain at which zero loses stability, $L(1) = 1$ (for a flow $L(0) = 1$); 1 / r of a GRU."""
        return _edge_gain(self.leaks, self.weights)

    @property
    def unit_times(self) -> tuple[float, ...]:
        """Memories of units by their gates alone, -1/ln z steps, or 1/s_z for a flow, at the `QUANTILES`."""
        return time_quantiles(self.centres, continuous=self.continuous)

    @property
    def leading(self) -> float:
        """The largest eigenvalue, where L = 1 to the right of all centres."""
        start, beyond = float(self.centres.max()), self.leaks - self.leaks.min()
        slowest = np.abs(self.gain * self.weights[beyond == 0]).max()
        if slowest == 0:
            return start

        def excess(distance: float) -> float:
            return float(np.mean(np.square(self.gain * self.weights / (distance + beyond)))) - 1

        nearest = 0.5 * float(slowest) / len(self.centres) ** 0.5  # L >= 4 there
        farthest = (1 + 1e-9) * self.gain * float(np.abs(self.weights).max())  # L < 1 there
        return start + bracketed_root(excess, (nearest, farthest), 2e-12)

    @property
    def slowest_time(self) -> float:
        """Of the leading mode; infinite at the edge, negative where it grows."""
        leading = self.leading
        at_edge = abs(leading - self.marginal) < _ROUNDING
        return np.inf if at_edge else float(time_scale(leading, continuous=self.continuous))

    def level(self, value: complex | float) -> float:
        """L at an eigenvalue."""
        return float(np.mean(np.square(self.gain * self.weights / np.abs(value - self.centres))))

    @property
    def tolerance(self) -> float:
        r"""How far from `leading` the leading eigenvalue of a finite network may be by chance.

        $3 / (\sqrt{N} \langle 1 / |1 - d_i| \rangle)$, the mean over units that of their memories; of 150
        random networks of 24 to 192 units with memories of 2 to 400 steps the largest difference was 2.3
        instead of 3.
        """
        if self.leaks.min() == 0:
            return 0.0
        return 3.0 / len(self.centres) ** 0.5 / float(np.mean(1 / self.leaks))

    def own(self, values: np.ndarray) -> np.ndarray:
        """Eigenvalues of a measured Jacobian without the uncoupled ones."""
        for other in self.uncoupled:
            nearest = np.argsort(np.abs(values - other), kind="stable")[: len(self.centres)]
            values = np.delete(values, nearest)
        return values


def resting_modes(cell: object, couplings: Couplings) -> RestingModes:
    """The modes of a cell with these parameters at zero, without input.

    Args:
        cell: one that the theory knows; only its kind matters.
        couplings: gains and biases of its couplings.
    """
    flow = flow_of(cell)
    rates = [] if flow is None else [gate for gate in (flow.update_gate, flow.reset_gate) if gate is not None]
    uncoupled = tuple(-float(np.exp(-gate.log_time)) for gate in rates)
    return RestingModes(
        *_at_zero(cell, couplings),
        gain=float(couplings[CANDIDATE].gain),
        continuous=flow is not None,
        uncoupled=(0.0,) if "show" in couplings else uncoupled,
    )


def edge_gain(cell: object, couplings: Couplings) -> float:
    """The gain of the candidate at which zero loses stability; it can be asked while the cell is traced.

    Args:
        cell: one that the theory knows; only its kind matters.
        couplings: of which the biases matter.
    """
    _, leaks, weights = _at_zero(cell, couplings)
    return _edge_gain(leaks, weights)


def _edge_gain(leaks: np.ndarray, weights: np.ndarray) -> float:
    """Infinite where no unit hears another, 0 where one that does never leaks."""
    heard = weights != 0
    if np.any(leaks[heard] == 0):
        return 0.0
    total = np.sum(np.square(weights[heard] / leaks[heard]))
    return float((total / len(weights)) ** -0.5) if total > 0 else np.inf


def _at_zero(cell: object, couplings: Couplings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The centres d, the leaks and the weights w v of all units."""
    ones = np.ones(len(couplings[CANDIDATE].bias))
    biases = {name: np.asarray(coupling.bias, np.float64) for name, coupling in couplings.items()}
    gates = {name: expit(bias) for name, bias in biases.items() if name != CANDIDATE}
    if flow_of(cell) is not None:
        update = gates.get("update", ones)
        return -update, update, update * gates.get("reset", ones)
    if "keep" not in gates:
        return 0 * ones, ones, ones
    leaks = expit(-biases["keep"])  # 1 - keep would be 0 from a bias of 37
    if "show" in gates:
        return gates["keep"], leaks, gates["write"] * gates["show"]
    return gates["keep"], leaks, leaks * gates["reset"]


def time_quantiles(values: np.ndarray, *, continuous: bool) -> tuple[float, ...]:
    """Time scales of eigenvalues at the `QUANTILES`; growing modes count as infinitely long.

    Args:
        values: eigenvalues, or memories of units.
        continuous: whether they are rates.
    """
    times = time_scale(values, continuous=continuous)
    return tuple(map(float, np.quantile(np.where(times < 0, np.inf, times), QUANTILES, method="lower")))
