"""How long and how fast to train."""

import math
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any

from attractor.errors import ConfigError

LARGEST_WHOLE = 2**31 - 1
"""What a count of steps may reach: the trainer counts in 32 bits, whatever the process allows."""
_MAY_BE_OFF = (("patience", None), ("refine", 0), ("weight_decay", 0))


@dataclass(frozen=True)
class TrainingSettings:
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

    steps: int = 4000
    batch_size: int = 32
    learning_rate: float | int = 1e-2
    warmup: float | int = 0.05
    final_rate: float | int = 1e-3
    clip_norm: float | int = 1.0
    validate_every: int = 200
    patience: int | None = None
    seeds: int = 1
    refine: int = 0
    weight_decay: float | int = 0.0
    momentum: float | int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value: Any = getattr(self, field.name)
            if field.name == "momentum" or (field.name, value) in _MAY_BE_OFF:
                continue
            kind = Real if isinstance(field.default, float) else Integral
            most = LARGEST_WHOLE if kind is Integral else math.nextafter(math.inf, 0)
            if not isinstance(value, kind) or not 0 < float(value) <= most:
                what = f"whole number of at most {LARGEST_WHOLE}" if kind is Integral else "number"
                message = f"{field.name}={value!r}: expected a positive {what}"
                raise ConfigError(message)
        moving = isinstance(self.momentum, Real) and 0 <= self.momentum < 1
        if self.momentum is not None and not moving:
            message = f"momentum={self.momentum!r}: expected a number from 0 to below 1, or None for Adam"
            raise ConfigError(message)
        for name in ("warmup", "final_rate"):
            if getattr(self, name) > 1:
                message = f"{name}={getattr(self, name)}: expected a share between 0 and 1"
                raise ConfigError(message)
