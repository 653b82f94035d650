"""The optimiser: Adam or momentum with warm-up, cosine decay and clipped gradients, all from Optax."""

import optax

from .settings import TrainingSettings


def make_optimiser(settings: TrainingSettings) -> optax.GradientTransformation:
    """Adam (arXiv 1412.6980) or momentum, as the settings say, with decoupled weight decay if asked for."""
    rule = optax.scale_by_adam() if settings.momentum is None else optax.trace(settings.momentum)
    decay = [optax.add_decayed_weights(settings.weight_decay)] if settings.weight_decay else []
    rate = optax.scale_by_learning_rate(make_schedule(settings))
    return optax.chain(optax.clip_by_global_norm(settings.clip_norm), rule, *decay, rate)


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
