"""What a published stability condition says about one network."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedCondition:
    """Incremental input-to-state stability by a closed formula on the weights.

    With equal inputs two states of the cell approach each other, |dx(k+1)| <= rate |dx(k)|, if the residual
    is negative; with inputs that differ, |dx(k+1)| <= rate |dx(k)| + input_gain |du(k)|. All of it holds for
    inputs within the bound that the condition was asked for, and for gated cells from states within
    [-1, 1] (and the memory of an LSTM within its invariant set).

    Args:
        family: the cells that the formula is for.
        residual: left side minus right side of the condition; negative is satisfied.
        rate: contraction a step in `norm`; at least 1 proves nothing, NaN where the formula gives none.
        iss_residual: the same as `residual` for input-to-state stability, which is weaker.
        input_gain: effect of a difference of inputs on the state, in `norm`; NaN where none is stated.
        norm: the norm of state and input differences.
        source: paper, or where the formula was derived.
        note: what a reader must know besides.
        memory_bound: largest memory of an LSTM for which it holds, its invariant set; infinite for others.
        order: of the norm, 2 for the Euclidean one, infinity for the largest component.
        memory_weight: what a difference of the memory of an LSTM is divided by in the norm.
    """

    family: str
    residual: float
    rate: float
    iss_residual: float
    input_gain: float
    norm: str
    source: str
    note: str
    memory_bound: float = float("inf")
    order: float = float("inf")
    memory_weight: float = 1.0

    @property
    def satisfied(self) -> bool:
        """Whether the condition holds; never for weights that are not finite."""
        return self.residual < 0

    @property
    def asymptotic_gain(self) -> float:
        """|dx| for ever after a lasting |du| of one: input_gain / (1 - rate); infinite if not satisfied."""
        if not (self.satisfied and self.rate < 1):
            return float("inf")
        return self.input_gain / (1 - self.rate)


def nothing_shown(family: str, reason: str) -> PublishedCondition:
    """A condition that is not satisfied, for weights about which nothing can be shown."""
    nan = float("nan")
    return PublishedCondition(family, nan, nan, nan, nan, "none", "none", reason)
