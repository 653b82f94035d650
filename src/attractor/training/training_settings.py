"""How long and how fast to train."""

from dataclasses import dataclass
from typing import Annotated

from attractor.settings import Count, CountOrNone, NonNegative, PartialShare, Positive, Settings, Within

PositiveShare = Annotated[float, Within(0, 1, above=True)]


@dataclass(frozen=True)
class TrainingSettings(Settings):
    """Settings of the trainer; they hold for every task.

    Args:
        steps: updates of the weights.
        batch_size: examples a step.
        learning_rate: peak of the schedule (linear warm-up, then cosine).
        warmup: share of the steps that the learning rate needs to reach its peak.
        final_rate: last learning rate, as a share of the peak.
        clip_norm: gradients are scaled down to this norm.
        validate_every: steps between two validations; each writes a checkpoint.
        patience: validations without improvement after which a member stops; None never stops early.
        seeds: members trained side by side, each from its own seed.
        weight_decay: share of the learning rate by which weights shrink a step (AdamW, arXiv 1711.05101).
        momentum: None trains by Adam; a number from 0 to below 1 by stochastic gradient descent with that
            momentum, whose learning rates are larger (0.1 is usual).
        refine: most Gauss-Newton steps afterwards, for networks that are small enough; 0 for none.

    Raises:
        ConfigError: a value outside its range.
    """

    steps: Count = 4000
    batch_size: Count = 32
    learning_rate: Positive = 1e-2
    warmup: PositiveShare = 0.05
    final_rate: PositiveShare = 1e-3
    clip_norm: Positive = 1.0
    validate_every: Count = 200
    patience: Count | None = None
    seeds: Count = 1
    refine: CountOrNone = 0
    weight_decay: NonNegative = 0.0
    momentum: Annotated[PartialShare | None, "None for Adam"] = None
