"""How examples are weighted by their losses."""

from dataclasses import dataclass
from typing import Annotated, Literal

from attractor.settings import NonNegative, Settings, Share, Within


@dataclass(frozen=True)
class Reweighting(Settings):
    """Multiplicative weights of examples: p_i proportional to exp(-strength * total loss of i).

    Bar, Koren and Giryes 2021, arXiv 2102.12192. What keeps a high loss fades out: wrong labels and broken
    records, but also rare and hard examples; floor, cap and balance of classes are there for them. Where the
    examples have classes, a total counts against the median of its class, unlike in the paper: a class that
    is hard as a whole keeps its weight.

    Args:
        strength: eta; "auto" finds from the losses which share of the labels looks wrong and takes the
            strength that leaves the effective sample size of the others; 0 keeps equal weights.
        score: "evaluate" takes the losses of all examples after each epoch, without noise and dropout (a
            third more time); "reuse" takes those met in training (no extra time, up to one epoch old).
        batch: how weights enter a batch: "batch" weighs its losses relative to one another, "importance"
            by N p_i (unbiased, unequal gradients), "sample" draws examples by their weights (unbiased).
        balance: "class" keeps for every class its share of the examples; "none" does not.
        cap: m, the least share of the examples that carry all the weight: p_i <= 1 / (m N); 0 for no cap.
        warmup: share of the training before the first update.
        ramp: share of the training over which an automatic strength grows to its full effect; examples that
            are merely hard would be starved before they are learned, were it to come at once.
        memory: factor of the past losses at each update; below 1 old losses are forgotten.
        floor: the least effective sample size, as a share of the examples; 0 for none.

    Raises:
        ConfigError: a value outside its range.
    """

    strength: Literal["auto"] | NonNegative = "auto"
    score: Literal["evaluate", "reuse"] = "evaluate"
    batch: Literal["batch", "importance", "sample"] = "batch"
    balance: Literal["none", "class"] = "none"
    cap: Share = 0.0
    warmup: Share = 0.1
    ramp: Share = 0.3
    memory: Annotated[float, Within(0, 1, above=True)] = 1.0
    floor: Share = 0.2
