"""What a proof is about: that no input of a box satisfies all conditions of any clause."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from ..dual.network import Network


@dataclass(frozen=True, eq=False)
class Claim:
    """For no x between low and high do all conditions of a clause hold; condition k is g_k(x) <= 0, or < 0.

    Args:
        network: g, in normal form.
        low: least inputs.
        high: largest ones.
        members: which conditions each clause holds, shape (clauses, conditions).
        strict: whether a condition is g_k < 0 and not g_k <= 0.
    """

    network: Network
    low: Float[np.ndarray, " inputs"]
    high: Float[np.ndarray, " inputs"]
    members: Bool[np.ndarray, "clauses conditions"]
    strict: Bool[np.ndarray, " conditions"]
