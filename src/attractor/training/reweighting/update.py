"""One update of the weights of all examples."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .reweighting_settings import Reweighting
from .suspicion import degree_of_suspicion
from .weights import Classes, balanced, capped, class_medians, log_weights, shared_by_groups, strength_for

_QUARTER, _LEARNED = 0.25, 0.5


class ExampleWeights(eqx.Module):
    """Where the weights stand.

    Args:
        log_weights: log p, shape (examples,); the sum of p is 1.
        totals: L, scores added over the epochs so far, shape (examples,).
        chance: the mean score after the first epoch; 0 before.
        grown: how much of an automatic strength is in effect, from 0 to 1.
    """

    log_weights: Float[Array, " examples"]
    totals: Float[Array, " examples"]
    chance: Float[Array, ""]
    grown: Float[Array, ""]


def equal_weights(examples: int) -> ExampleWeights:
    """Equal weights, before anything is known."""
    return ExampleWeights(
        log_weights=jnp.zeros(examples) - jnp.log(examples),
        totals=jnp.zeros(examples),
        chance=jnp.zeros(()),
        grown=jnp.zeros(()),
    )


def updated(
    task: Any, weights: ExampleWeights, scores: Float[Array, " examples"], progress: Float[Array, ""]
) -> tuple[ExampleWeights, Float[Array, ""]]:
    """The weights after an epoch, and the strength behind them.

    Args:
        task: an `EpochTask`: its settings, groups, labels and epochs count.
        weights: before.
        scores: of this epoch.
        progress: share of the training that lies behind.
    """
    settings = task.reweighting
    chance = jnp.where(weights.chance == 0, scores.mean(), weights.chance)
    if settings is None:
        added = ExampleWeights(weights.log_weights, weights.totals + scores, chance, weights.grown)
        return added, jnp.zeros(())
    totals = settings.memory * weights.totals + scores
    grown = _grown(settings, weights.grown, scores, (chance, progress, task.epochs))
    now = ExampleWeights(weights.log_weights, totals, chance, grown)
    shared = _shared(task, totals)
    strength = jnp.where(progress <= settings.warmup, 0.0, _strength(task, now, shared, scores))
    new = log_weights(shared, strength)
    if settings.balance == "class":
        new = balanced(new, _classes(task))
    if settings.cap:
        new = capped(new, 1 / (settings.cap * len(new)))
    return ExampleWeights(new, totals, chance, grown), strength


def _grown(
    settings: Reweighting, grown: Float[Array, ""], scores: Float[Array, " examples"], where: tuple[Any, ...]
) -> Float[Array, ""]:
    """A little more, once the warm-up is over and the better quarter of the examples has been learned.

    Before that, high losses tell what comes later, not what is wrong.
    """
    chance, progress, epochs = where
    learned = jnp.quantile(scores, _QUARTER) < _LEARNED * chance
    more = jnp.minimum(grown + 1 / max(settings.ramp * epochs, 1), 1)
    return jnp.where((progress > settings.warmup) & learned, more, grown)


def _shared(task: Any, totals: Float[Array, " examples"]) -> Float[Array, " examples"]:
    """What the weights are made of: totals against the median of their class, shared within groups.

    A class that is hard as a whole keeps its weight.
    """
    if task.labels is not None:
        totals = totals - class_medians(totals, _classes(task))[task.labels]
    return totals if task.groups is None else shared_by_groups(totals, task.groups, task.counts[0])


def _strength(
    task: Any, weights: ExampleWeights, shared: Float[Array, " examples"], scores: Float[Array, " examples"]
) -> Float[Array, ""]:
    """The strength asked for, held back where it would leave fewer examples than the floor.

    The automatic one aims at the effective sample size of the examples whose labels look right, and gets
    there gradually.
    """
    settings = task.reweighting
    floor = strength_for(shared, jnp.maximum(settings.floor, 1 / len(shared)))
    if not isinstance(settings.strength, str):
        return jnp.minimum(settings.strength, floor)
    classes = None if task.labels is None else _classes(task)
    wrong = degree_of_suspicion(weights.totals, scores, weights.chance, classes).mean()
    return jnp.minimum(strength_for(shared, 1 - weights.grown * wrong), floor)


def _classes(task: Any) -> Classes:
    return Classes(task.labels, task.counts[1])
