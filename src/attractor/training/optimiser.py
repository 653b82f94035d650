"""The optimiser: Adam with warm-up, cosine decay and clipped gradients, all from Optax."""

import optax

from .settings import TrainingSettings


def make_optimiser(settings: TrainingSettings) -> optax.GradientTransformation:
    """Adam (arXiv 1412.6980) as the settings say."""
    schedule = optax.warmup_cosine_decay_schedule(
        init_value=settings.learning_rate * settings.final_rate,
        peak_value=settings.learning_rate,
        warmup_steps=max(round(settings.warmup * settings.steps), 1),
        decay_steps=max(settings.steps, 2),
        end_value=settings.learning_rate * settings.final_rate,
    )
    return optax.chain(optax.clip_by_global_norm(settings.clip_norm), optax.adam(schedule))
