"""The optimiser: Adam with warm-up, cosine decay and clipped gradients, all from Optax."""

import optax

from .settings import TrainingSettings


def make_optimiser(settings: TrainingSettings) -> optax.GradientTransformation:
    """Adam (arXiv 1412.6980) as the settings say, with decoupled weight decay if they ask for it."""
    schedule = make_schedule(settings)
    adam = optax.adamw(schedule, weight_decay=settings.weight_decay) if settings.weight_decay else None
    return optax.chain(optax.clip_by_global_norm(settings.clip_norm), adam or optax.adam(schedule))


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
