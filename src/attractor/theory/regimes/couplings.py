"""The parameters of the theory, read from the weights of a cell and written into them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from attractor.cells import GRU, LSTM, CellLike, Discretised, Elman, GatedFlow, ResetAfterGRU, name_of
from attractor.errors import UnsupportedError

# Name of the coupling that is no gate: a_h of a GRU, a_g of an LSTM, g_h of a gated flow.
CANDIDATE = "candidate"


@dataclass(frozen=True, eq=False)
class Coupling:
    """How one gate, or the candidate, listens to the state.

    Args:
        gain: the standard deviation of the entries of its matrix, times sqrt(hidden).
        bias: of every unit; a larger one opens a gate.
    """

    gain: float | int
    bias: Float[Array | np.ndarray, " hidden"]


Couplings = Mapping[str, Coupling]


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
    matrices: Callable[[CellLike], tuple[Array, ...]]
    biases: Callable[[CellLike], Array]
    others: Callable[[CellLike], tuple[Array, ...]] = lambda _: ()


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


def has_theory(cell: CellLike) -> bool:
    """Whether the theory knows this kind of cell."""
    return flow_of(cell) is not None or (
        type(cell) in _LAYOUTS and _LAYOUTS[type(cell)].biases(cell) is not None
    )


def flow_of(cell: CellLike) -> GatedFlow | None:
    """The gated flow that a cell is, or whose fixed step it takes."""
    flow = cell.flow if isinstance(cell, Discretised) else cell
    return flow if isinstance(flow, GatedFlow) else None


def coupling_names(cell: CellLike) -> tuple[str, ...]:
    """Names of the couplings of a cell that the theory knows."""
    flow = flow_of(cell)
    if flow is None:
        return _LAYOUTS[type(cell)].names
    return tuple(name for name, where in _ROWS.items() if where(flow) is not None)


def effective_parameters(cell: CellLike) -> EffectiveParameters:
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


def with_parameters(cell: CellLike, couplings: Couplings, key: PRNGKeyArray) -> CellLike:
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
    written = _into_flow(flow, couplings, keys)
    return eqx.tree_at(lambda cell: cell.flow, cell, written) if isinstance(cell, Discretised) else written


def _gain(matrix: Array | np.ndarray) -> float:
    return float(np.linalg.norm(np.asarray(matrix, np.float64)) / len(matrix) ** 0.5)


def _of_layout(cell: CellLike) -> dict[str, Coupling]:
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


def _into_layout(cell: CellLike, couplings: Couplings, keys: Mapping[str, PRNGKeyArray]) -> CellLike:
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


_ROWS: dict[str, Callable[[CellLike], CellLike]] = {
    CANDIDATE: lambda flow: flow,
    "update": lambda flow: flow.update_gate,
    "reset": lambda flow: flow.reset_gate,
}
