"""The curve L = 1 that bounds the spectrum of a random network.

The logarithm of the level is subharmonic away from the eigenvalues of the single units (its poles). So every
region L >= 1 holds a pole, and a box with all poles in it and L < 1 all along its edge holds the whole
support.
"""

from dataclasses import dataclass

import contourpy
import numpy as np
from jaxtyping import Complex
from scipy.optimize import elementwise

from .support import Support

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


@dataclass(frozen=True, eq=False)
class Boundary:
    """Closed curves L = 1, and the outermost points of the support.

    Args:
        curves: one array of complex numbers each, the last one equal to the first.
        right_edge: largest real part in the support.
        radius: largest absolute value in it.
    """

    curves: tuple[Complex[np.ndarray, " _"], ...]
    right_edge: float
    radius: float


def boundary(support: Support) -> Boundary:
    """Trace L = 1 on a grid and put every point of it on the curve by root finding.

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
