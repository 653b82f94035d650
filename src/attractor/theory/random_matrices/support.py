r"""Where the eigenvalues of a step lie if the matrices in it are random: the level function.

With the parts of a step as in `local_maps`, an eigenvector of eigenvalue $\lambda$ gives $x_i = M_i(\lambda)
w_i$ with $M_i = C_i (\lambda - A_i)^{-1} B_i + E_i$ and w = U x. The random matrices U_k have the least
structure that gives every row and column its measured energy: entry (i, j) of matrix k has mean zero and
variance $\rho_{k,i} \kappa_{k,j} / E_k$, with the row energies $\rho_{k,i} = \sum_j U_{k,ij}^2$, the column
energies $\kappa_{k,j} = \sum_i U_{k,ij}^2$ and their sum $E_k$. Then the mean square of an entry of w_k is
$\rho_{k,i} e_k$, and for a large number of units

$$e_l = \sum_k Q_{lk} e_k, \qquad
Q_{lk}(\lambda) = \frac{1}{E_l} \sum_i \kappa_{l,i} |M_{lk,i}(\lambda)|^2 \rho_{k,i}.$$

The level $L(\lambda)$ is the largest eigenvalue of Q: the spectrum fills $L \ge 1$. It contains the published
curves of gated networks (Krishnamurthy, Can, Schwab 2022, arXiv 2007.14823; Can, Krishnamurthy, Schwab 2020,
arXiv 2002.00025), and the circular law.

Two kinds of correlations are kept where they are more than chance. Matrices whose same entries are correlated
(the matrix that a Runge-Kutta step uses twice) are followed by the mean products e_kk' of their results, so
that Q acts on pairs. Where entries (i, j) and (j, i) are correlated (matrices that are nearly symmetric or
antisymmetric), a unit hears its own echo: it gets $w_i + \Gamma_i x_i$, with $\Gamma_i$ a mean of the
responses of all others to it, which have echoes themselves. Outside of the support the iteration for
$\Gamma$ contracts; a point where it does not settle lies inside. (For one symmetric or antisymmetric part
this is the elliptic law.)
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Complex, Float
from scipy.linalg import schur
from scipy.spatial import KDTree

from .local_maps import Block, LocalMaps, Port, Units

# The mean square on the diagonal of a matrix, over that beside it, from which it is no chance.
_STANDS_OUT = 4.0
# Standard deviations of a correlation of independent matrices from which it is no chance.
_DEVIATIONS = 5.0
# Numbers of one intermediate array.
_CHUNK = 1 << 19

# A point nearer than this to an eigenvalue of a unit, relative to all of them, is moved off it.
_NEAREST = 1e-9

# Rounds of the iteration for the echoes without extrapolation, and all of them.
_PLAIN, _MOST = 10, 60

# Relative change of the echoes at which they have settled.
_SETTLED = 1e-11


# At least the level of a point where echoes do not settle, which lies inside; it has no level of its own.
_UNSETTLED = 2.0


@dataclass(frozen=True, eq=False)
class Responses:
    """Units of one kind in Schur form A = Z T Z*: T, Z* B, C Z and E, units last.

    The form is as exact as the step itself where eigenvalues of A meet, which those of gates with equal time
    constants do; an eigendecomposition is not.
    """

    triangle: Complex[np.ndarray, "states states units"]
    driven: Complex[np.ndarray, "states results units"]
    shown: Complex[np.ndarray, "vectors states units"]
    passed: Float[np.ndarray, "vectors results units"]

    @property
    def numbers(self) -> int:
        """Numbers of the intermediate arrays for one value and unit."""
        return int(np.prod(self.driven.shape[:2]) + np.prod(self.passed.shape[:2]))

    def at(self, values: np.ndarray) -> Complex[np.ndarray, "vectors results values units"]:
        """M for every value."""
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


def responses(units: Units) -> Responses:
    """Bring the derivatives of units into Schur form."""
    if units.own.shape[1] < 2:
        triangle, turn = units.own.astype(complex), np.ones_like(units.own, dtype=complex)
    else:
        forms = [schur(own, output="complex") for own in units.own]
        triangle, turn = (np.stack(part) for part in zip(*forms, strict=True))
    parts = triangle, np.swapaxes(turn, 1, 2).conj() @ units.driven, units.shown @ turn, units.passed
    return Responses(*(np.ascontiguousarray(np.moveaxis(part, 0, -1)) for part in parts))


def with_own_couplings(maps: LocalMaps) -> LocalMaps:
    """A diagonal that stands out of its matrix (I + W) acts on every unit by itself, and goes there."""
    own = [np.zeros((len(u.own), u.passed.shape[2], u.passed.shape[1])) for u in maps.units]
    blocks = []
    for block in maps.blocks:
        matrix = block.matrix
        if block.to.kind == block.origin.kind and _diagonal_stands_out(matrix):
            own[block.to.kind][:, block.to.index, block.origin.index] += np.diag(matrix)
            matrix = without_diagonal(matrix)
        blocks.append(Block(block.to, block.origin, matrix))
    units = tuple(_loop_closed(unit, loop) for unit, loop in zip(maps.units, own, strict=True))
    return LocalMaps(units, tuple(block for block in blocks if block.matrix.any()))


def without_diagonal(matrix: np.ndarray) -> np.ndarray:
    """A square matrix with zeros on its diagonal."""
    return matrix - np.diag(np.diag(matrix))


def _diagonal_stands_out(matrix: np.ndarray) -> bool:
    size = len(matrix)
    diagonal, whole = np.square(np.diag(matrix)).sum(), np.square(matrix).sum()
    return size > 1 and bool(diagonal * (size - 1) > _STANDS_OUT * (whole - diagonal))


def _loop_closed(unit: Units, loop: np.ndarray) -> Units:
    """A unit whose results are y = w + D x: x = (1 - E D)^-1 (C s + E w)."""
    if not loop.any():
        return unit
    inverse = np.linalg.inv(np.eye(unit.passed.shape[1]) - unit.passed @ loop)
    shown, passed = inverse @ unit.shown, inverse @ unit.passed
    back = unit.driven @ loop
    return Units(unit.own + back @ shown, unit.driven + back @ passed, shown, passed)


@dataclass(frozen=True, eq=False)
class RandomMatrix:
    """A matrix of which only energies are kept.

    Args:
        to: the results that it brings.
        origin: the vectors that it reads.
        rows: sqrt(rho).
        columns: sqrt(kappa / E).
    """

    to: Port
    origin: Port
    rows: Float[np.ndarray, " to"]
    columns: Float[np.ndarray, " origin"]


@dataclass(frozen=True, eq=False)
class Ensemble:
    """All random matrices of a step.

    Args:
        matrices: one for every block.
        alike: correlation of the same entry for pairs of matrices, 1 of each with itself.
        mirrored: correlation of entry (i, j) of the first with entry (j, i) of the second.
    """

    matrices: tuple[RandomMatrix, ...]
    alike: dict[tuple[int, int], float]
    mirrored: dict[tuple[int, int], float]


def ensemble(blocks: Sequence[Block]) -> Ensemble:
    """Measure energies and correlations."""
    matrices = tuple(map(_random, blocks))
    return Ensemble(matrices, _correlations(blocks, mirrored=False), _correlations(blocks, mirrored=True))


def _random(block: Block) -> RandomMatrix:
    squares = np.square(block.matrix)
    columns = np.sqrt(squares.sum(axis=0) / squares.sum())
    return RandomMatrix(block.to, block.origin, np.sqrt(squares.sum(axis=1)), columns)


def _correlations(blocks: Sequence[Block], *, mirrored: bool) -> dict[tuple[int, int], float]:
    """Those beyond chance of entries (i, j) of two matrices, the second one transposed where mirrored."""
    found = {}
    for (one, first), (other, second) in product(enumerate(blocks), repeat=2):
        ends = second.to.kind, second.origin.kind
        if (first.to.kind, first.origin.kind) != (ends[::-1] if mirrored else ends):
            continue
        matrices = first.matrix, second.matrix.T if mirrored else second.matrix
        if mirrored and first.to.kind == first.origin.kind:
            # an entry on the diagonal is its own mirror image
            matrices = without_diagonal(matrices[0]), without_diagonal(matrices[1])
        sizes = np.linalg.norm(matrices[0]) * np.linalg.norm(matrices[1])
        value = float(np.vdot(*matrices) / sizes) if sizes > 0 else 0.0
        same = one == other and not mirrored
        if same or abs(value) > min(0.99, _DEVIATIONS / first.matrix.size**0.5):
            found[one, other] = 1.0 if same else value
    return found


@dataclass(frozen=True, eq=False)
class Support:
    """The level function of one step.

    Args:
        kinds: responses of the units of every kind.
        random: the matrices between them.
        poles: eigenvalues of the units by themselves; L is infinite there, but for echoes.
    """

    kinds: tuple[Responses, ...]
    random: Ensemble
    poles: Complex[np.ndarray, " poles"]

    @property
    def scale(self) -> float:
        """A length of the order of the spectrum."""
        return float(np.abs(self.poles).max(initial=0.0)) or 1.0

    def level(self, values: ArrayLike) -> np.ndarray:
        """L at complex numbers of any shape: at least 1 inside the spectrum of the random network."""
        flat = np.asarray(values, complex)
        parts = [self._level(part) for part in self._parts(flat.reshape(-1))]
        return np.concatenate([*parts, np.zeros(0)]).reshape(flat.shape)

    def participation(self, values: ArrayLike) -> np.ndarray:
        """How many units carry L: (sum of shares)^2 over the sum of squared shares."""
        flat = np.asarray(values, complex)
        counts = [self._participation(part) for part in self._parts(flat.reshape(-1), 1)]
        return np.asarray(counts, float).reshape(flat.shape)

    def pole_distances(self, values: np.ndarray) -> np.ndarray:
        """From every value to the nearest eigenvalue of a unit by itself."""
        poles, points = (np.stack([np.real(at), np.imag(at)], axis=1) for at in (self.poles, values))
        return np.asarray(KDTree(poles).query(points)[0])

    def _parts(self, values: np.ndarray, length: int | None = None) -> Iterator[np.ndarray]:
        """The values, moved off the poles, some at a time.

        Yields:
            Values, shape (some,).
        """
        near = _NEAREST * self.scale
        moved = np.where(self.pole_distances(values) < near, values + 1j * near, values)
        largest = max(kind.numbers * kind.passed.shape[-1] for kind in self.kinds)
        length = length or max(1, _CHUNK // max(largest, 1))
        for first in range(0, len(values), length):
            yield moved[first : first + length]

    def _level(self, values: np.ndarray) -> np.ndarray:
        if not self.random.matrices:
            return np.zeros(len(values))
        answers, settled = self._answers(values)
        matrices = np.zeros((len(values), *2 * [len(self.random.alike)]), complex)
        for to, origin, share in self._terms(answers):
            matrices[:, to, origin] = share.sum(axis=-1)
        largest = _spectral_radius(matrices)
        return np.where(settled, largest, np.maximum(largest, _UNSETTLED))

    def _participation(self, value: np.ndarray) -> float:
        """Of every unit, what it adds to L = left^T Q right."""
        terms = [(to, origin, share[0]) for to, origin, share in self._terms(self._answers(value)[0])]
        matrix = np.zeros(2 * [len(self.random.alike)], complex)
        for to, origin, share in terms:
            matrix[to, origin] = share.sum()
        values, vectors = np.linalg.eig(matrix)
        largest = np.argmax(np.abs(values))
        right, left = vectors[:, largest], np.linalg.pinv(vectors)[largest]
        pairs = list(self.random.alike)
        shares = [np.zeros(kind.passed.shape[-1]) for kind in self.kinds]
        for to, origin, share in terms:
            kind = self.random.matrices[pairs[to][0]].origin.kind
            shares[kind] += (left[to] * right[origin] * share).real
        share = np.concatenate(shares)
        return float(share.sum() ** 2 / max(np.square(share).sum(), 1e-300))

    def _terms(self, answers: list[np.ndarray]) -> Iterator[tuple[int, int, np.ndarray]]:
        """Entries of Q before the sum over units.

        Yields:
            Row, column, and shares (values, units).
        """
        matrices = self.random.matrices
        pairs = [((matrices[k], matrices[m]), c) for (k, m), c in self.random.alike.items()]
        for to, (after, _) in enumerate(pairs):
            for origin, (before, correlation) in enumerate(pairs):
                kind = after[0].origin.kind
                if any(port.kind != kind for port in (after[1].origin, before[0].to, before[1].to)):
                    continue
                weight = after[0].columns * after[1].columns * before[0].rows * before[1].rows * correlation
                one, other = (
                    answers[kind][a.origin.index, b.to.index] for a, b in zip(after, before, strict=True)
                )
                yield to, origin, weight * (one * other.conj())

    def _answers(self, values: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """M of every kind of unit with its echoes, and where these have settled."""
        alone = [kind.at(values) for kind in self.kinds]
        if not self.random.mirrored:
            return alone, np.ones(len(values), bool)
        echo = np.zeros((len(self.random.mirrored), len(values)), complex)
        change = before = echo
        settled, answers = np.zeros(len(values), bool), alone
        for count in range(_MOST):
            answers = self._with_echoes(alone, echo)
            new = self._echoes(answers) - echo
            settled = np.abs(new).max(axis=0) <= _SETTLED * (1 + np.abs(echo).max(axis=0))
            if settled.all():
                break
            step = new if count < _PLAIN else _extrapolated(new, change, echo - before)
            before, change, echo = echo, new, echo + np.where(settled, 0, step)
        return answers, settled

    def _echoes(self, answers: list[np.ndarray]) -> np.ndarray:
        """Of every mirrored pair the mean answer of others, shape (pairs, values)."""
        matrices, means = self.random.matrices, []
        for (one, other), correlation in self.random.mirrored.items():
            first, second = matrices[one], matrices[other]
            answer = answers[first.origin.kind][first.origin.index, second.to.index]
            means.append(answer @ (correlation * first.columns * second.rows))
        return np.stack(means)

    def _with_echoes(self, alone: list[np.ndarray], echo: np.ndarray) -> list[np.ndarray]:
        """M of units that get w + Gamma x: (1 - M Gamma)^-1 M."""
        matrices = self.random.matrices
        loops = [np.zeros((*part.shape[1::-1], *part.shape[2:]), complex) for part in alone]
        for mean, (one, other) in zip(echo, self.random.mirrored, strict=True):
            first, second = matrices[one], matrices[other]
            loop = loops[first.to.kind][first.to.index, second.origin.index]
            loop += mean[:, None] * first.rows * second.columns
        return [_closed(part, loop) for part, loop in zip(alone, loops, strict=True)]


def _extrapolated(new: np.ndarray, change: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """One step of Anderson's mixing with a memory of one: the secant method where there is one echo."""
    difference = new - change
    size = np.square(np.abs(difference)).sum(axis=0)
    weight = (difference.conj() * new).sum(axis=0) / np.where(size > 0, size, 1.0)
    return new - weight * (moved + difference)


def _closed(alone: np.ndarray, loop: np.ndarray) -> np.ndarray:
    """(1 - M Gamma)^-1 M, M of shape (vectors, results, values, units), Gamma with the first two changed."""
    if not loop.any():
        return alone
    through = np.einsum("vrgu,rwgu->guvw", alone, loop)
    if len(alone) == 1:
        return alone / (1 - through[:, :, 0, 0])
    solved = np.linalg.solve(np.eye(len(alone)) - through, np.moveaxis(alone, (0, 1), (2, 3)))
    return np.moveaxis(solved, (2, 3), (0, 1))


def _spectral_radius(matrices: np.ndarray) -> np.ndarray:
    if matrices.shape[-1] == 1:
        return np.abs(matrices[:, 0, 0])
    return np.abs(np.linalg.eigvals(matrices)).max(axis=-1)


def support(maps: LocalMaps) -> Support:
    """The level function of a step whose matrices are replaced by random ones of the same energies."""
    closed = with_own_couplings(maps)
    poles = [np.linalg.eigvals(unit.own).reshape(-1) for unit in closed.units]
    kinds = tuple(map(responses, closed.units))
    return Support(kinds, ensemble(closed.blocks), np.concatenate(poles).astype(complex))
