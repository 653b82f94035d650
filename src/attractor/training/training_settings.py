"""How long and how fast to train, and the optimiser that follows: Adam or momentum, all from Optax."""

from dataclasses import dataclass
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from attractor.settings import Count, CountOrNone, NonNegative, PartialShare, Positive, Settings, Within

PositiveShare = Annotated[float, Within(0, 1, above=True)]


@dataclass(frozen=True)
class TrainingSettings(Settings):
    """Settings of the trainer; they hold for every task.

    Args:
        steps: updates of the weights.
        batch_size: examples per step.
        learning_rate: peak of the schedule (linear warm-up, then cosine).
        warmup: share of the steps that the learning rate needs to reach its peak.
        final_rate: last learning rate, as a share of the peak.
        clip_norm: gradients are scaled down to this norm.
        validate_every: steps between two validations.
        patience: validations without improvement after which a replica stops; None never stops early.
        seeds: replicas trained side by side, each from its own seed.
        weight_decay: share of the learning rate by which weights shrink per step (AdamW, arXiv 1711.05101).
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


def make_optimiser(settings: TrainingSettings) -> optax.GradientTransformation:
    """Adam (arXiv 1412.6980) or momentum, as the settings say, with decoupled weight decay if asked for."""
    rule = optax.scale_by_adam() if settings.momentum is None else optax.trace(settings.momentum)
    decay = [_decay_of_moving(settings.weight_decay)] if settings.weight_decay else []
    rate = optax.scale_by_learning_rate(make_schedule(settings))
    return optax.chain(optax.clip_by_global_norm(settings.clip_norm), rule, *decay, rate)


def _decay_of_moving(rate: float | int) -> optax.GradientTransformation:
    """Decoupled weight decay of the arrays that the loss moves: what is held constant does not shrink."""

    def decayed(update: Array, weight: Array | np.ndarray) -> Array:
        return jnp.where(jnp.any(update != 0), update + rate * weight, update)

    return optax.stateless(lambda updates, params: jax.tree.map(decayed, updates, params))


def make_schedule(settings: TrainingSettings) -> optax.Schedule:
    """The learning rate of every step: a linear warm-up, then half a cosine."""
    warmup_steps = max(round(settings.warmup * settings.steps), 1)
    return optax.warmup_cosine_decay_schedule(
        init_value=settings.learning_rate * settings.final_rate,
        peak_value=settings.learning_rate,
        warmup_steps=warmup_steps,
        decay_steps=max(settings.steps, warmup_steps + 1),  # the decay needs at least one step
        end_value=settings.learning_rate * settings.final_rate,
    )
