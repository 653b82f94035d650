r"""Where the eigenvalues of a step lie if the matrices in it are random: the level function.

With the parts of a step as in `local_maps`, an eigenvector of eigenvalue $\lambda$ gives $x_i = M_i(\lambda)
w_i$ with $M_i = C_i (\lambda - A_i)^{-1} B_i + E_i$ and w = U x. For random matrices U_k as in `ensemble`
the mean square of an entry of w_k is $\rho_{k,i} e_k$, and for a large number of units

$$e_l = \sum_k Q_{lk} e_k, \qquad
Q_{lk}(\lambda) = \frac{1}{E_l} \sum_i \kappa_{l,i} |M_{lk,i}(\lambda)|^2 \rho_{k,i}.$$

The level $L(\lambda)$ is the largest eigenvalue of Q: the spectrum fills $L \ge 1$. It contains the published
curves of gated networks (Krishnamurthy, Can, Schwab 2022, arXiv 2007.14823; Can, Krishnamurthy, Schwab 2020,
arXiv 2002.00025), and the circular law.

Matrices whose same entries are correlated with c_kk' are followed by the mean products e_kk' of their
results, so that Q acts on pairs. Where entries (i, j) and (j, i) are correlated, a unit hears its own echo:
it gets $w_i + \Gamma_i x_i$, $\Gamma_i$ a mean of the responses of all others to it, which themselves have
echoes. Outside of the support the iteration for $\Gamma$ contracts; a point where it does not settle lies
inside. (For one symmetric or antisymmetric part this is the elliptic law.)
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Complex
from scipy.spatial import KDTree

from .ensemble import Ensemble, ensemble
from .local_maps import LocalMaps
from .responses import Responses, responses, with_own_couplings

_CHUNK = 1 << 19
"""Numbers of one intermediate array."""

_NEAREST = 1e-9
"""A point nearer than this to an eigenvalue of a unit, relative to all of them, is moved off it."""

_PLAIN, _MOST = 10, 60
"""Rounds of the iteration for the echoes without extrapolation, and all of them."""

_SETTLED = 1e-11
"""Relative change of the echoes at which they have settled."""


_UNSETTLED = 2.0
"""At least the level of a point where echoes do not settle, which lies inside; it has no level of its own."""


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

    def level(self, values: Any) -> np.ndarray:
        """L at complex numbers of any shape: at least 1 inside the spectrum of the random network."""
        flat = np.asarray(values, complex)
        parts = [self._level(part) for part in self._parts(flat.reshape(-1))]
        return np.concatenate([*parts, np.zeros(0)]).reshape(flat.shape)

    def participation(self, values: Any) -> np.ndarray:
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
        place = np.argmax(np.abs(values))
        right, left = vectors[:, place], np.linalg.pinv(vectors)[place]
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
