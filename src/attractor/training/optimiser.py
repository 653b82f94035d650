"""The optimiser: Adam or momentum with warm-up, cosine decay and clipped gradients, all from Optax."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, ArrayLike

from .training_settings import TrainingSettings


def make_optimiser(settings: TrainingSettings) -> optax.GradientTransformation:
    """Adam (arXiv 1412.6980) or momentum, as the settings say, with decoupled weight decay if asked for."""
    rule = optax.scale_by_adam() if settings.momentum is None else optax.trace(settings.momentum)
    decay = [_decay_of_moving(settings.weight_decay)] if settings.weight_decay else []
    rate = optax.scale_by_learning_rate(make_schedule(settings))
    return optax.chain(optax.clip_by_global_norm(settings.clip_norm), rule, *decay, rate)


def _decay_of_moving(rate: float | int) -> optax.GradientTransformation:
    """Decoupled weight decay of the arrays that the loss moves: what is held constant does not shrink."""

    def decayed(update: Array, weight: ArrayLike) -> Array:
        return jnp.where(jnp.any(update != 0), update + rate * weight, update)

    def update(updates: optax.Updates, state: optax.OptState, params: optax.Params | None = None) -> Any:
        return jax.tree.map(decayed, updates, params), state

    def init(params: optax.Params) -> optax.OptState:
        del params
        return optax.EmptyState()

    return optax.GradientTransformation(init, update)


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
