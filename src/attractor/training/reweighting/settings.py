"""How examples are weighted by their losses."""

from dataclasses import dataclass
from math import inf

from attractor.errors import ConfigError

SCORES = ("evaluate", "reuse")
BATCHES = ("batch", "importance", "sample")
BALANCES = ("none", "class")


def _check(name: str, value: object, good: bool, expected: str) -> None:
    if not good:
        message = f"{name}={value!r}: expected {expected}"
        raise ConfigError(message)


@dataclass(frozen=True)
class Reweighting:
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

    strength: str | float | int = "auto"
    score: str = "evaluate"
    batch: str = "batch"
    balance: str = "none"
    cap: float | int = 0.0
    warmup: float | int = 0.1
    ramp: float | int = 0.3
    memory: float | int = 1.0
    floor: float | int = 0.2

    def __post_init__(self) -> None:
        automatic = self.strength == "auto"
        valued = not isinstance(self.strength, str) and 0 <= self.strength < inf
        _check("strength", self.strength, automatic or valued, '"auto" or a number of at least 0')
        for name, known in (("score", SCORES), ("batch", BATCHES), ("balance", BALANCES)):
            value = getattr(self, name)
            _check(name, value, value in known, f"one of {', '.join(known)}")
        for name in ("cap", "warmup", "ramp", "floor"):
            value = getattr(self, name)
            _check(name, value, 0 <= value <= 1, "a share between 0 and 1")
        _check("memory", self.memory, 0 < self.memory <= 1, "a factor above 0, at most 1")
