r"""Where the eigenvalues of a step lie if the matrices in it are random: the level function.

With the parts of a step as in `local_maps`, an eigenvector of eigenvalue $\lambda$ gives
$x_i = M_i(\lambda) w_i$ with $M_i = C_i (\lambda - A_i)^{-1} B_i + E_i$ and w = U x. Let the entries of the
matrices U_k be independent, of mean zero and variance $\rho_{k,i} \kappa_{k,j} / E_k$, with the row energies
$\rho_{k,i} = \sum_j U_{k,ij}^2$, the column energies $\kappa_{k,j}$ and their sum $E_k$. The mean square of an
entry of w_k is then $\rho_{k,i} e_k$, and for a large number of units

$$e_l = \sum_k Q_{lk} e_k, \qquad
Q_{lk}(\lambda) = \frac{1}{E_l} \sum_i \kappa_{l,i} |M_{lk,i}(\lambda)|^2 \rho_{k,i}.$$

The level $L(\lambda)$ is the largest eigenvalue of Q: the spectrum fills $L \ge 1$. It contains the published
curves of gated networks (Krishnamurthy, Can, Schwab 2022, arXiv 2007.14823; Can, Krishnamurthy, Schwab 2020,
arXiv 2002.00025). Matrices that are correlated (the same one, used twice by a Runge-Kutta step) are followed by
the mean products e_kl of their results, with the measured correlation in place of 1.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Complex, Float
from scipy.linalg import schur
from scipy.spatial import cKDTree

from .local_maps import Block, LocalMaps, Units

_CHUNK = 1 << 19
"""Numbers of one intermediate array."""

_NEAREST = 1e-9
"""A point nearer than this to an eigenvalue of a unit, relative to all of them, is moved off it."""

_STANDS_OUT = 4.0
"""The mean square on the diagonal of a matrix, over that beside it, from which it is no chance."""

_DEVIATIONS = 5.0
"""Standard deviations of a correlation of independent matrices from which it is no chance."""


@dataclass(frozen=True, eq=False)
class _Kind:
    """Units of one kind in Schur form A = Z T Z*: T, Z* B, C Z and E, units last."""

    triangle: Complex[np.ndarray, "states states units"]
    driven: Complex[np.ndarray, "states results units"]
    shown: Complex[np.ndarray, "vectors states units"]
    passed: Float[np.ndarray, "vectors results units"]

    def responses(self, values: np.ndarray) -> np.ndarray:
        """M for every value, shape (vectors, results, values, units)."""
        states, results, units = self.driven.shape
        solved = np.zeros((states, results, len(values), units), complex)
        for row in range(states)[::-1]:
            inverse = 1 / (values[:, None] - self.triangle[row, row])
            for result in range(results):
                total = self.driven[row, result] + np.zeros_like(inverse)
                for column in range(row + 1, states):
                    if self.triangle[row, column].any():
                        total += self.triangle[row, column] * solved[column, result]
                solved[row, result] = total * inverse
        response = np.repeat(self.passed[:, :, None].astype(complex), len(values), axis=2)
        for vector, state in np.argwhere(self.shown.any(axis=-1)):
            response[vector] += self.shown[vector, state] * solved[state]
        return response


@dataclass(frozen=True, eq=False)
class _Term:
    """One entry of Q: the pair of matrices it leads to, the pair it comes from, and the weight of every unit."""

    to: int
    origin: int
    vectors: tuple[int, int]
    results: tuple[int, int]
    weight: np.ndarray


@dataclass(frozen=True, eq=False)
class Support:
    """The level function of one step.

    Args:
        kinds: the units.
        terms: for every kind its entries of Q.
        size: rows of Q.
        poles: eigenvalues of the units by themselves; L is infinite there.
    """

    kinds: tuple[_Kind, ...]
    terms: tuple[tuple[_Term, ...], ...]
    size: int
    poles: Complex[np.ndarray, " poles"]

    @property
    def scale(self) -> float:
        """A length of the order of the spectrum."""
        return float(np.abs(self.poles).max(initial=0.0)) or 1.0

    def level(self, values: Any) -> np.ndarray:
        """L at complex numbers of any shape: at least 1 inside the spectrum of the random network."""
        flat = np.asarray(values, complex)
        matrices = [matrix for part in self._parts(flat.reshape(-1)) for matrix in _largest(self._matrix(part))]
        return np.asarray(matrices, float).reshape(flat.shape)

    def participation(self, values: Any) -> np.ndarray:
        """How many units carry L: (sum of shares)^2 over the sum of squared shares."""
        flat = np.asarray(values, complex)
        counts = [self._participation(value) for value in self._off_poles(flat.reshape(-1))]
        return np.asarray(counts, float).reshape(flat.shape)

    def _off_poles(self, values: np.ndarray) -> np.ndarray:
        distance = _tree(self.poles).query(np.stack([values.real, values.imag], axis=1))[0]
        near = _NEAREST * self.scale
        return np.where(distance < near, values + 1j * near, values)

    def _parts(self, values: np.ndarray) -> Iterator[np.ndarray]:
        largest = max(np.prod(kind.driven.shape) + np.prod(kind.passed.shape) for kind in self.kinds)
        length = max(1, int(_CHUNK // largest))
        moved = self._off_poles(values)
        for first in range(0, len(values), length):
            yield moved[first : first + length]

    def _matrix(self, values: np.ndarray) -> np.ndarray:
        """Q for every value."""
        matrix = np.zeros((len(values), self.size, self.size), complex)
        for kind, terms in zip(self.kinds, self.terms, strict=True):
            response = kind.responses(values)
            for term in terms:
                matrix[:, term.to, term.origin] += _squares(response, term) @ term.weight
        return matrix

    def _participation(self, value: complex) -> float:
        at = np.array([value])
        values, vectors = np.linalg.eig(self._matrix(at)[0])
        place = np.argmax(np.abs(values))
        right, left = vectors[:, place], np.linalg.pinv(vectors)[place]
        shares = []
        for kind, terms in zip(self.kinds, self.terms, strict=True):
            response, share = kind.responses(at), np.zeros(kind.passed.shape[-1])
            for term in terms:
                share = share + (left[term.to] * right[term.origin] * _squares(response, term)[0]).real * term.weight
            shares.append(share)
        share = np.abs(np.concatenate(shares))
        return float(share.sum() ** 2 / max(np.square(share).sum(), 1e-300))


def _squares(response: np.ndarray, term: _Term) -> np.ndarray:
    one, other = (response[v, r] for v, r in zip(term.vectors, term.results, strict=True))
    return np.square(one.real) + np.square(one.imag) if one is other else one * other.conj()


def _largest(matrices: np.ndarray) -> np.ndarray:
    """The spectral radius of matrices that have it as an eigenvalue."""
    if matrices.shape[-1] == 1:
        return np.abs(matrices[:, 0, 0])
    return np.abs(np.linalg.eigvals(matrices)).max(axis=-1)


def _tree(poles: np.ndarray) -> cKDTree:
    return cKDTree(np.stack([poles.real, poles.imag], axis=1))


def support(maps: LocalMaps) -> Support:
    """The level function of a step whose matrices are replaced by random ones of the same energies."""
    units, blocks = _with_own_couplings(maps)
    poles = [np.linalg.eigvals(unit.own).reshape(-1) for unit in units]
    kinds = tuple(map(_in_schur_form, units))
    pairs = _pairs(blocks)
    terms = tuple(tuple(_terms(kind, blocks, pairs)) for kind in range(len(units)))
    return Support(kinds, terms, max(len(pairs), 1), np.concatenate(poles).astype(complex))


def _with_own_couplings(maps: LocalMaps) -> tuple[list[Units], list[Block]]:
    """A diagonal that stands out of its matrix (I + W) acts on every unit by itself, and goes there."""
    own = [np.zeros((len(u.own), u.passed.shape[2], u.passed.shape[1])) for u in maps.units]
    blocks = []
    for block in maps.blocks:
        if block.to.kind == block.origin.kind and _diagonal_stands_out(block.matrix):
            diagonal = np.diag(block.matrix)
            own[block.to.kind][:, block.to.index, block.origin.index] += diagonal
            block = Block(block.to, block.origin, block.matrix - np.diag(diagonal))  # noqa: PLW2901
        blocks.append(block)
    units = [_closed(unit, loop) for unit, loop in zip(maps.units, own, strict=True)]
    return units, [block for block in blocks if block.matrix.any()]


def _diagonal_stands_out(matrix: np.ndarray) -> bool:
    size = len(matrix)
    diagonal, whole = np.square(np.diag(matrix)).sum(), np.square(matrix).sum()
    return size > 1 and diagonal * (size - 1) > _STANDS_OUT * (whole - diagonal)


def _closed(unit: Units, loop: np.ndarray) -> Units:
    """A unit whose results are y = w + D x: x = (1 - E D)^-1 (C s + E w)."""
    if not loop.any():
        return unit
    inverse = np.linalg.inv(np.eye(unit.passed.shape[1]) - unit.passed @ loop)
    shown, passed = inverse @ unit.shown, inverse @ unit.passed
    back = unit.driven @ loop
    return Units(unit.own + back @ shown, unit.driven + back @ passed, shown, passed)


def _in_schur_form(unit: Units) -> _Kind:
    states = unit.own.shape[1]
    if states < 2:
        triangle, turn = unit.own.astype(complex), np.ones_like(unit.own, dtype=complex)
    else:
        forms = [schur(own, output="complex") for own in unit.own]
        triangle, turn = (np.stack(part) for part in zip(*forms, strict=True))
    driven, shown = np.swapaxes(turn, 1, 2).conj() @ unit.driven, unit.shown @ turn
    return _Kind(*(np.ascontiguousarray(np.moveaxis(part, 0, -1)) for part in (triangle, driven, shown, unit.passed)))


def _pairs(blocks: Sequence[Block]) -> dict[tuple[int, int], float]:
    """Correlations of matrices: 1 of each with itself, and those between two that are no chance."""
    found = {}
    for one, first in enumerate(blocks):
        for other, second in enumerate(blocks):
            alike = (first.to.kind, first.origin.kind) == (second.to.kind, second.origin.kind)
            value = 1.0 if one == other else correlation(first.matrix, second.matrix) if alike else 0.0
            if abs(value) > min(0.99, _DEVIATIONS / first.matrix.size**0.5):
                found[one, other] = value
    return found


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """The mean product of the entries of two matrices over their root mean squares."""
    return float(np.vdot(one, other) / (np.linalg.norm(one) * np.linalg.norm(other)))


def _terms(kind: int, blocks: Sequence[Block], pairs: dict[tuple[int, int], float]) -> Iterator[_Term]:
    rows = [np.square(block.matrix).sum(axis=1) ** 0.5 for block in blocks]
    columns = [np.linalg.norm(block.matrix, axis=0) / np.linalg.norm(block.matrix) for block in blocks]
    leaving = [(i, pair) for i, pair in enumerate(pairs) if all(blocks[k].origin.kind == kind for k in pair)]
    arriving = [(i, pair) for i, pair in enumerate(pairs) if all(blocks[k].to.kind == kind for k in pair)]
    for to, after in leaving:
        for origin, before in arriving:
            weight = columns[after[0]] * columns[after[1]] * rows[before[0]] * rows[before[1]]
            vectors, results = ((blocks[k].origin.index for k in after), (blocks[k].to.index for k in before))
            yield _Term(to, origin, tuple(vectors), tuple(results), weight * pairs[before])
