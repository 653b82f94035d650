"""How one unit answers to what products bring it, at any complex frequency: M = C (lambda - A)^-1 B + E."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex, Float
from scipy.linalg import schur

from .local_maps import Block, LocalMaps, Units

_STANDS_OUT = 4.0
"""The mean square on the diagonal of a matrix, over that beside it, from which it is no chance."""


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
    units = tuple(_closed(unit, loop) for unit, loop in zip(maps.units, own, strict=True))
    return LocalMaps(units, _not_zero(blocks))


def without_diagonal(matrix: np.ndarray) -> np.ndarray:
    """A square matrix with zeros on its diagonal."""
    return matrix - np.diag(np.diag(matrix))


def _not_zero(blocks: Sequence[Block]) -> tuple[Block, ...]:
    return tuple(block for block in blocks if block.matrix.any())


def _diagonal_stands_out(matrix: np.ndarray) -> bool:
    size = len(matrix)
    diagonal, whole = np.square(np.diag(matrix)).sum(), np.square(matrix).sum()
    return size > 1 and bool(diagonal * (size - 1) > _STANDS_OUT * (whole - diagonal))


def _closed(unit: Units, loop: np.ndarray) -> Units:
    """A unit whose results are y = w + D x: x = (1 - E D)^-1 (C s + E w)."""
    if not loop.any():
        return unit
    inverse = np.linalg.inv(np.eye(unit.passed.shape[1]) - unit.passed @ loop)
    shown, passed = inverse @ unit.shown, inverse @ unit.passed
    back = unit.driven @ loop
    return Units(unit.own + back @ shown, unit.driven + back @ passed, shown, passed)
