"""One update of the weights of all examples."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .settings import Reweighting
from .suspicion import wrong_share
from .weights import balanced, capped, log_weights, shared_by_groups, strength_for


class Weighing(eqx.Module):
    """Where the weights stand.

    Args:
        log_weights: log p, shape (examples,); the sum of p is 1.
        totals: L, scores added over the epochs so far, shape (examples,).
    """

    log_weights: Float[Array, " examples"]
    totals: Float[Array, " examples"]


def updated(
    task: Any, weighing: Weighing, scores: Float[Array, " examples"], progress: Float[Array, ""]
) -> tuple[Weighing, Float[Array, ""]]:
    """The weights after an epoch, and the strength behind them.

    Args:
        task: an `EpochTask`: its settings, groups and labels count.
        weighing: before.
        scores: of this epoch.
        progress: share of the training that lies behind.
    """
    settings = task.reweighting
    if settings is None:
        return Weighing(weighing.log_weights, weighing.totals + scores), jnp.zeros(())
    totals = settings.memory * weighing.totals + scores
    shared = totals if task.groups is None else shared_by_groups(totals, task.groups, task.counts[0])
    strength = jnp.where(progress <= settings.warmup, 0.0, strength_of(settings, shared, progress))
    new = log_weights(shared, strength)
    if settings.balance == "class":
        new = balanced(new, task.labels, task.counts[1])
    if settings.cap:
        new = capped(new, 1 / (settings.cap * len(new)))
    return Weighing(new, totals), strength


def strength_of(
    settings: Reweighting, totals: Float[Array, " examples"], progress: Float[Array, ""]
) -> Float[Array, ""]:
    """The strength asked for, held back where it would leave fewer examples than the floor.

    The automatic one aims at the effective sample size of the examples whose labels look right, and gets
    there gradually.
    """
    floor = strength_for(totals, jnp.maximum(settings.floor, 1 / len(totals)))
    if not isinstance(settings.strength, str):
        return jnp.minimum(settings.strength, floor)
    grown = jnp.clip((progress - settings.warmup) / max(settings.ramp, 1e-9), 0, 1)
    return jnp.minimum(strength_for(totals, 1 - grown * wrong_share(totals)), floor)
