"""The spectrum of a network beside that of a random network with the same units: what has it learned?"""

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import contourpy
import jax
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Complex, Float
from scipy.linalg import lu_factor, lu_solve
from scipy.optimize import elementwise

from attractor.cells import CellLike, State
from attractor.dynamics.jacobians import JacobianSpectrum, Point, eigenvalues_of, jacobian, point, time_scale
from attractor.errors import UnsupportedError
from attractor.program import double_precision
from attractor.report.drawn import Drawn
from attractor.shown import Shown

from .local_maps import Block, LocalMaps, Port, Units, local_maps
from .support import Support, support, without_diagonal

# An eigenvalue is an outlier where L < 1 - MARGIN / sqrt(units that carry L).
#
# Finite networks have eigenvalues a little outside of L = 1. Of 280 random networks (GRU in both layouts,
# LSTM, Elman, gated flow and its Heun step; contracting and chaotic gains; 150 units) the largest (1 - L)
# sqrt(units) was 2.9, of 28 with 800 units 1.9.
MARGIN = 3.0

# Distance, relative to the scale of the spectrum, below which an eigenvalue is that of one unit.
_SAME = 1e-7

# Units below which the theory of large networks is a rough guide.
_FEW = 30

# Correlation of entries (i, j) and (j, i) from which the support is nearly a line.
_NEARLY_ONE = 0.9

# A row or column with its energy in fewer entries than this is not a row of a random matrix.
_FEWEST = 5.0

# Cells of the grid along the real axis, and for a step whose level is costly.
#
# A region smaller than a cell is not drawn.
_CELLS, _FEW_CELLS = 96, 48

# Rows of Q from which the level is costly.
_COSTLY = 16

# Of points of the curve, relative to the scale of the spectrum.
_TOLERANCE = 1e-9

# Logarithm of the largest level on the grid.
_CLIPPED = 30.0


class NullKind(StrEnum):
    """Which parts of the network the random one shares; the value is the text that users see."""

    MATRICES = "random matrices: every matrix of the step with its row and column energies, the rest as it is"
    JACOBIAN = "random Jacobian: what units do to themselves, and row and column energies of all the rest"


@dataclass(frozen=True, eq=False)
class Outlier(Shown):
    """A mode that no random network with these units has: learned structure.

    Args:
        value: the eigenvalue.
        level: L there, below 1.
        time_scale: after which the mode has fallen by a factor e; see
            `attractor.theory.random_matrices.time_scale`.
        right: the pattern of the state that the mode is, flat, of norm 1.
        left: what it listens to: the mode starts with left^H x of a change x of the state; left^H right = 1.
    """

    value: complex
    level: float
    time_scale: float
    right: Complex[np.ndarray, " states"]
    left: Complex[np.ndarray, " states"]


@dataclass(frozen=True, eq=False)
class Boundary(Shown):
    """Closed curves L = 1, and the outermost points of the support.

    Args:
        curves: one array of complex numbers each, the last one equal to the first.
        right_edge: largest real part in the support.
        radius: largest absolute value in it.
    """

    curves: tuple[Complex[np.ndarray, " _"], ...]
    right_edge: float
    radius: float


@dataclass(frozen=True, eq=False)
class SpectralCurve(
    Drawn, picture="attractor.theory.dynamics_figures:draw_curve", next_call=".plot(), .outliers"
):
    """Eigenvalues of a network at a state, and where those of a random network would lie.

    Args:
        spectrum: the eigenvalues.
        support: the level function of the random network.
        boundary: its curve L = 1.
        null: what the random network shares with this one.
        reason: why this null model was used.
        notes: what speaks against it; empty where nothing does.
        levels: L at the eigenvalues.
        of_single_units: which eigenvalues are exactly those of a unit that nothing drives (-1/tau of a gate
            that
            does not act); no matrix moves them, and they count as inside.
        outliers: eigenvalues too far outside for a network of this size, the slowest first.
        seconds: time it took.
    """

    spectrum: JacobianSpectrum
    support: Support
    boundary: Boundary
    null: NullKind
    reason: str
    notes: tuple[str, ...]
    levels: Float[np.ndarray, " states"]
    of_single_units: np.ndarray
    outliers: tuple[Outlier, ...]
    seconds: float

    def level(self, values: ArrayLike) -> np.ndarray:
        """L at complex numbers of any shape."""
        return self.support.level(values)

    def inside(self, values: ArrayLike) -> np.ndarray:
        """Whether complex numbers are in the spectrum of the random network."""
        return np.asarray(self.level(values) >= 1)

    @property
    def share_inside(self) -> float:
        """Share of the eigenvalues inside of the curve, with those of single units."""
        return float(np.mean((self.levels >= 1) | self.of_single_units))

    def __str__(self) -> str:
        """What was compared with what, and the result."""
        lines = [
            f"null model: {self.null} ({self.reason})",
            f"{self.share_inside:.1%} of {len(self.levels)} eigenvalues inside",
            f"outliers: {len(self.outliers)}",
            *(f"note: {note}" for note in self.notes),
        ]
        return "\n".join(lines)


def spectral_curve(cell: CellLike, state: State, input: ArrayLike | None = None) -> SpectralCurve:
    """Compare the Jacobian of a cell at a state with that of a random network made of the same units.

    The units stay as they are at this state, gates and slopes included; the matrices between them are
    replaced by random ones that give the same energy to every row and column. The random network's
    eigenvalues fill a region whose boundary is known for large networks (see `support`). Eigenvalues far
    outside of it are structure that the matrices have beyond their energies.

    The theory holds to about 1/sqrt(units); below some thirty units it says little. A step that is not
    elementwise between products with matrices (a norm over units, attention, convolution) is compared with a
    cruder null model; `null` and `reason` say so.

    Args:
        cell: any cell, or a flow.
        state: where it is linearised; a pytree like the initial state.
        input: of the step; zeros when None.

    Raises:
        ShapeError: a state or an input that does not fit the cell.
        InputDataError: a state or an input that is not finite.
        DivergedError: a Jacobian that is not finite.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from attractor.cells import Elman
        >>> curve = spectral_curve(Elman(1, 60, key=jax.random.key(0)), jnp.zeros(60))
        >>> len(curve.outliers)
        0
    """
    start = time.perf_counter()
    with double_precision():
        here = point(cell, state, input)
        matrix = jacobian(here)
        maps, null, reason = _null_model(here, matrix)
    found = support(maps)
    values = eigenvalues_of(matrix, continuous=here.continuous)
    levels = found.level(values)
    single = found.pole_distances(values) < _SAME * found.scale
    far = _outside(found, values, levels, single)
    outliers = tuple(_outlier(here, matrix, value, level) for value, level in far)
    return SpectralCurve(
        spectrum=JacobianSpectrum(values[None], here.continuous, here.time_step),
        support=found,
        boundary=boundary(found),
        null=null,
        reason=reason,
        notes=tuple(_notes(maps, found)),
        levels=levels,
        of_single_units=single,
        outliers=outliers,
        seconds=time.perf_counter() - start,
    )


def _null_model(here: Point, matrix: np.ndarray) -> tuple[LocalMaps, NullKind, str]:
    """The finer null model where the step has the form that it needs."""
    try:
        maps = local_maps(here)
    except UnsupportedError as error:
        return variance_profile(matrix, here.state), NullKind.JACOBIAN, str(error)
    sparse = [block for block in maps.blocks if _is_sparse(block.matrix)]
    if sparse:
        message = f"a matrix of shape {sparse[0].matrix.shape} has rows or columns of a few large entries"
        return variance_profile(matrix, here.state), NullKind.JACOBIAN, message
    return maps, NullKind.MATRICES, "the step is elementwise between products with matrices"


def _is_sparse(matrix: np.ndarray) -> bool:
    """Whether most rows, or columns, have their energy in fewer entries than a random one would."""
    return any(_entries(matrix, axis) < min(_FEWEST, matrix.shape[axis] / 12) for axis in (0, 1))


def _entries(matrix: np.ndarray, axis: int) -> float:
    """Median over rows or columns of (sum of squares)^2 / sum of fourth powers, without the diagonal."""
    squares = np.square(without_diagonal(matrix) if len(set(matrix.shape)) == 1 else matrix)
    energy = squares.sum(axis=axis)
    return float(np.median(energy**2 / np.maximum(np.square(squares).sum(axis=axis), 1e-300)))


def _notes(maps: LocalMaps, found: Support) -> list[str]:
    """What the null model leaves out."""
    notes = []
    if min((min(block.matrix.shape) for block in maps.blocks), default=_FEW) < _FEW:
        notes.append(f"a matrix with fewer than {_FEW} rows or columns: the curve is that of a large network")
    if any(_is_sparse(block.matrix) for block in maps.blocks):
        notes.append("the Jacobian has rows or columns of a few large entries, which no random matrix has")
    if any(abs(value) > _NEARLY_ONE for value in found.random.mirrored.values()):
        notes.append(
            "nearly symmetric or antisymmetric matrices: the support is thin, and may not be drawn in full"
        )
    return notes


def _outside(
    found: Support, values: np.ndarray, levels: np.ndarray, single: np.ndarray
) -> list[tuple[complex, float]]:
    """Outliers and the levels there."""
    candidates = (levels < 1) & ~single
    values, levels = values[candidates], levels[candidates]
    far = levels < 1 - MARGIN / np.sqrt(found.participation(values))
    return list(zip(values[far].tolist(), levels[far].tolist(), strict=True))


def _outlier(here: Point, matrix: np.ndarray, value: complex, level: float) -> Outlier:
    """Its eigenvectors, by inverse iteration."""
    nudged = value + 1e-10 * np.linalg.norm(matrix, 1)  # the factors of a singular matrix would be useless
    factors: Any = lu_factor(matrix - nudged * np.eye(len(matrix)))
    start = np.random.default_rng(0).normal(size=len(matrix)).astype(complex)
    right = left = start
    for _ in range(3):
        right, left = lu_solve(factors, right), lu_solve(factors, left, trans=2)
        right, left = right / np.linalg.norm(right), left / np.linalg.norm(left)
    scale = time_scale(value, continuous=here.continuous, time_step=here.time_step)
    return Outlier(value, level, float(scale), right, left / np.vdot(left, right).conj())


def variance_profile(jacobian: np.ndarray, state: State) -> LocalMaps:
    """The Jacobian as a sum of what every unit does to itself and of random matrices between units.

    Where all arrays of the state are vectors of one length, entry i of each belongs to unit i: the (S, S)
    blocks of one unit stay, and each of the S x S matrices between units is replaced by a random one with
    the same row and column energies. In any other state every entry is a unit.

    Args:
        jacobian: of the flat state.
        state: the pytree behind it.
    """
    leaves = jax.tree.leaves(state)
    shapes = {np.shape(leaf) for leaf in leaves}
    states = len(leaves) if len(shapes) == 1 and len(next(iter(shapes))) == 1 else 1
    count = len(jacobian) // states
    grid = jacobian.reshape(states, count, states, count)
    own = np.moveaxis(np.diagonal(grid, axis1=1, axis2=3), -1, 0).copy()
    pairs = [(row, column) for row in range(states) for column in range(states)]
    blocks = [
        Block(Port(0, index), Port(0, index), without_diagonal(grid[row, :, column]))
        for index, (row, column) in enumerate(pairs)
    ]
    rows, columns = (
        np.eye(states)[:, [row for row, _ in pairs]],
        np.eye(states)[[column for _, column in pairs]],
    )
    units = Units(
        own,
        np.broadcast_to(rows, (count, *rows.shape)),
        np.broadcast_to(columns, (count, *columns.shape)),
        np.zeros((count, len(pairs), len(pairs))),
    )
    return LocalMaps((units,), tuple(block for block in blocks if block.matrix.any()))


def boundary(support: Support) -> Boundary:
    """Trace L = 1 on a grid and put every point of it on the curve by root finding.

    The logarithm of the level is subharmonic away from the eigenvalues of the single units (its poles). So
    every region L >= 1 holds a pole, and a box with all poles in it and L < 1 all along its edge holds the
    whole support.

    Units whose own eigenvalue stands alone have a region L >= 1 of their own, often too small to be drawn;
    the outermost points include them.
    """
    low, high = _box(support)
    cells = _CELLS if len(support.random.alike) < _COSTLY else _FEW_CELLS
    horizontal = np.linspace(low.real, high.real, cells + 1)
    spacing = horizontal[1] - horizontal[0]
    rows = max(2, int(np.ceil(high.imag / spacing)))
    half = (np.arange(rows) + 0.5) * high.imag / rows  # no row on the axis, where poles of real gates are
    upper = np.log(np.maximum(support.level(horizontal + 1j * half[:, None]), 1e-300))
    vertical = np.concatenate([-half[::-1], half])
    heights = np.clip(np.concatenate([upper[::-1], upper]), -_CLIPPED, _CLIPPED)
    lines = contourpy.contour_generator(horizontal, vertical, heights).lines(0.0)
    curves = tuple(_polished(support, line, horizontal, vertical) for line in map(np.asarray, lines))
    return Boundary(curves, _right_edge(support, curves, high.real), _radius(support, curves, low, high))


def _box(support: Support) -> tuple[complex, complex]:
    """Corners of a box around all poles with L < 1 on its edge, symmetric about the real axis."""
    poles, margin = support.poles, 0.02 * support.scale
    while True:
        left, right = np.real(poles).min() - margin, np.real(poles).max() + margin
        top = np.abs(np.imag(poles)).max() + margin
        side, roof = 1j * np.linspace(0, top, 33), np.linspace(left, right, 65) + 1j * top
        if support.level(np.concatenate([left + side, right + side, roof])).max() < 1:
            return complex(left, -top), complex(right, top)
        margin *= 1.5


def _polished(support: Support, line: np.ndarray, horizontal: np.ndarray, vertical: np.ndarray) -> np.ndarray:
    """Points of a contour, which lie on lines of the grid, moved along these onto L = 1."""
    column, row = (
        np.interp(line[:, axis], lines, np.arange(len(lines)))
        for axis, lines in enumerate((horizontal, vertical))
    )
    on_column = np.abs(column - np.round(column)) < np.abs(row - np.round(row))
    column, row = np.where(on_column, np.round(column), column), np.where(on_column, row, np.round(row))
    first = horizontal[np.floor(column).astype(int)] + 1j * vertical[np.floor(row).astype(int)]
    second = horizontal[np.ceil(column).astype(int)] + 1j * vertical[np.ceil(row).astype(int)]
    found = elementwise.find_root(
        lambda share, first, step: _height(support, first + share * step),
        (np.zeros(len(line)), np.ones(len(line))),
        args=(first, second - first),
        tolerances={"xatol": _TOLERANCE},
    )
    rough = line[:, 0] + 1j * line[:, 1]
    return np.where(found.success, first + found.x * (second - first), rough)


def _height(support: Support, values: np.ndarray) -> np.ndarray:
    return np.clip(np.log(np.maximum(support.level(values), 1e-300)), -_CLIPPED, _CLIPPED)


def _right_edge(support: Support, curves: tuple[np.ndarray, ...], end: float) -> float:
    pole = complex(support.poles[np.real(support.poles).argmax()])
    drawn = max((float(np.real(curve).max()) for curve in curves), default=-np.inf)
    axis = _outermost(support, 1.0, end)
    return max(drawn, axis, pole.real + _reach(support, pole, 1 + 0j, end - pole.real))


def _radius(support: Support, curves: tuple[np.ndarray, ...], low: complex, high: complex) -> float:
    pole = complex(support.poles[np.abs(support.poles).argmax()])
    drawn = max((float(np.abs(curve).max()) for curve in curves), default=0.0)
    axis = max(_outermost(support, 1.0, high.real), _outermost(support, -1.0, -low.real))
    outward = pole / abs(pole) if pole != 0 else 1 + 0j
    return max(drawn, axis, abs(pole) + _reach(support, pole, outward, abs(high - low)))


def _outermost(support: Support, sign: float, end: float) -> float:
    """The outermost point of the support on one half of the real axis: symmetric matrices do not leave it."""
    points = np.linspace(0.0, max(end, 0.0), 4 * _CELLS + 1)
    inside = np.flatnonzero(support.level(sign * points) >= 1)
    if len(inside) == 0 or inside[-1] == len(points) - 1:
        return -np.inf
    low, high = points[inside[-1]], points[inside[-1] + 1]
    while high - low > _TOLERANCE * support.scale:
        middle = (low + high) / 2
        low, high = (middle, high) if support.level(sign * middle) >= 1 else (low, middle)
    return float(low)


def _reach(support: Support, pole: complex, direction: complex, end: float) -> float:
    """How far L >= 1 goes from the outermost pole outward; 0 for a unit that nothing couples to others."""
    start = 10 * _TOLERANCE * support.scale
    if end <= start or support.level(pole + start * direction) < 1:
        return 0.0
    found = elementwise.find_root(
        lambda reach: _height(support, pole + reach * direction), (np.array([start]), np.array([end]))
    )
    return float(found.x[0]) if found.success[0] else 0.0
