"""Conditions on the outputs of a network, and sets of them that are to hold together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int


@dataclass(frozen=True, eq=False)
class Clauses:
    """Sets of conditions on the outputs g of a network.

    Args:
        members: which conditions each clause holds, shape (clauses, conditions).
        strict: whether a condition is g < 0 and not g <= 0, shape (conditions,).
    """

    members: Bool[np.ndarray, "clauses conditions"]
    strict: Bool[np.ndarray, " conditions"]

    def met(self, values: Float[np.ndarray, "rows conditions"]) -> Bool[np.ndarray, "rows clauses"]:
        """Whether all conditions of a clause hold at a row of values; what is no number meets none."""
        holds = np.where(self.strict, values < 0, values <= 0)
        return np.asarray((holds[:, None] | ~self.members).all(axis=-1))

    def refuted(self, lower: Float[np.ndarray, "rows conditions"]) -> Bool[np.ndarray, "rows clauses"]:
        """Whether lower bounds exclude some condition of a clause."""
        fails = np.where(self.strict, lower >= 0, lower > 0)
        return np.asarray((fails[:, None] & self.members).any(axis=-1))

    def worst(self, values: Float[np.ndarray, "rows conditions"]) -> Float[np.ndarray, "rows clauses"]:
        """The largest value among the conditions of every clause."""
        return np.where(self.members, values[:, None], -np.inf).max(axis=-1)


def of_clauses(
    members: Sequence[Sequence[int]], conditions: int, strict: Sequence[bool] | None = None
) -> Clauses:
    """Clauses by the numbers of their conditions.

    Args:
        members: of each clause.
        conditions: how many there are.
        strict: which are strict; None for none.
    """
    held: Int[np.ndarray, "clauses conditions"] = np.zeros((len(members), conditions), bool)
    for row, indices in zip(held, members, strict=True):
        row[list(indices)] = True
    return Clauses(held, np.zeros(conditions, bool) if strict is None else np.asarray(strict, bool))
