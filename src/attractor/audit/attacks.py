"""Adversarial inputs: the fast gradient sign method and projected gradient descent over whole sequences.

Goodfellow, Shlens and Szegedy 2015, arXiv 1412.6572; Madry et al. 2018, arXiv 1706.06083. An attack is a
lower bound on how fragile a network is: a stronger one may find more.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from attractor.errors import ConfigError, InputDataError
from attractor.program import compiled

from .margins import class_margin
from .perturbations import ChannelRange, check_levels, check_limits
from .sequences import LabelledSequences, Logits, Piece, check_classes, check_finite_margins, pieces

_NORMS = {"linf": "largest change of a sample", "l2": "Euclidean norm of the change over the sequence"}
_LOSSES = ("margin", "cross-entropy")


@dataclass(frozen=True)
class Attack:
    """How to look for the worst inputs within a distance epsilon of the given ones.

    Gradient steps of the size `relative_step * epsilon / steps` follow the sign of the gradient (linf) or
    its direction (l2) and are projected onto the ball. Every point on the way counts, the clean inputs too,
    and the one with the lowest margin is kept: an attack never makes a case look better than it is.

    Args:
        name: how it is called in results.
        levels: epsilons to try in robustness curves, at least 0.
        norm: "linf", or "l2" over the valid samples of a sequence.
        steps: gradient steps of one start.
        restarts: how many starts.
        relative_step: size of a step, in units of epsilon / steps.
        random_start: start at a random point of the ball, not at the clean inputs.
        loss: what the steps follow, "margin" (its gradient never fades) or "cross-entropy".
        channels: the only channels that may be changed; None means all.

    Raises:
        ConfigError: a value outside its range.
    """

    name: str
    levels: tuple[float | int, ...] = (0.01, 0.03, 0.1)
    norm: str = "linf"
    steps: int = 20
    restarts: int = 2
    relative_step: float | int = 2.5
    random_start: bool = True
    loss: str = "margin"
    channels: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        check_levels(self.name, self.levels)
        expected = {
            "norm": (self.norm in _NORMS, f"one of {', '.join(_NORMS)}"),
            "loss": (self.loss in _LOSSES, f"one of {', '.join(_LOSSES)}"),
            "steps": (self.steps >= 1, "at least 1"),
            "restarts": (self.restarts >= 1, "at least 1"),
            "relative_step": (0 < self.relative_step < np.inf, "a positive number"),
            "channels": (self.channels is None or len(self.channels) > 0, "at least one channel"),
        }
        for option, (good, words) in expected.items():
            if not good:
                message = f"{option}={getattr(self, option)!r} of {self.name!r}: expected {words}"
                raise ConfigError(message)

    @property
    def meaning(self) -> str:
        """What epsilon stands for."""
        return _NORMS[self.norm]

    @property
    def unit(self) -> str:
        """The unit of epsilon."""
        return "unit of the inputs"

    def at(self, *levels: float | int) -> "Attack":
        """The same at other levels."""
        return replace(self, levels=levels)


ATTACKS: dict[str, Attack] = {
    attack.name: attack
    for attack in (
        Attack("fgsm", steps=1, restarts=1, relative_step=1.0, random_start=False, loss="cross-entropy"),
        Attack("pgd linf"),
        Attack("pgd l2", (0.1, 0.3, 1.0), norm="l2"),
    )
}
"""The usual attacks by their names."""


class AttackResult(NamedTuple):
    """The worst inputs that were found.

    Args:
        inputs: shape (cases, time, channels); padding and missing samples as they were.
        margins: min_j (o_y - o_j) there, shape (cases,), at most the clean ones.
        clean_margins: the same of the given inputs.
    """

    inputs: Float[np.ndarray, "cases time channels"]
    margins: Float[np.ndarray, " cases"]
    clean_margins: Float[np.ndarray, " cases"]

    @property
    def accuracy(self) -> float:
        """Share of cases that are still classified correctly."""
        return float(np.mean(self.margins > 0))


def run_attack(  # noqa: PLR0913 (the classifier, the data, the attack with its size, and how it is run)
    logits: Logits,
    data: LabelledSequences,
    attack: Attack,
    epsilon: float | int,
    *,
    limits: ChannelRange | None = None,
    seed: int = 0,
    batch: int = 256,
) -> AttackResult:
    """Attack every case; only valid, present samples of the allowed channels move.

    Args:
        logits: `logits(inputs (time, channels), length) -> (classes,)`, differentiable.
        data: the cases.
        attack: the kind, as one of `ATTACKS`.
        epsilon: radius of the ball.
        limits: with `clip`, samples stay in the range of their channel (a clean sample outside of it may
            only move towards it).
        seed: random starts follow from it and from the number of the case.
        batch: cases at a time.

    Raises:
        ConfigError: a negative epsilon, a channel that does not exist, a batch below 1.
        ShapeError: sizes that do not fit.
        InputDataError: a label beyond the classes, or scores or gradients that are not finite; the case is
            named.
    """
    check_levels(attack.name, (epsilon,))
    check_classes(logits, data)
    check_limits(limits, data.inputs.shape[2])
    check_channels(attack, data.inputs.shape[2])
    how = jnp.asarray(epsilon, float), limits, jax.random.key(seed)
    found = [
        [np.asarray(part)[:count] for part in attack_piece(logits, attack, piece, how)]
        for piece, count in pieces(data, batch)
    ]
    inputs, margins, clean, finite = (np.concatenate(part) for part in zip(*found, strict=True))
    check_finite_margins(clean, data)
    check_finite_gradients(finite)
    return AttackResult(inputs, margins, clean)


def check_channels(attack: Attack, channels: int) -> None:
    """Refuse channels that the inputs do not have.

    Raises:
        ConfigError: a channel outside 0..channels-1.
    """
    for channel in attack.channels or ():
        if not 0 <= channel < channels:
            message = (
                f"channels={attack.channels} of {attack.name!r}: inputs have channels 0 to {channels - 1}"
            )
            raise ConfigError(message)


def check_finite_gradients(finite: np.ndarray, first: int = 0) -> None:
    """Refuse gradients that are no numbers: an attack that follows them finds nothing and says so of no one.

    Raises:
        InputDataError: the first such case is named.
    """
    for case in np.flatnonzero(~finite)[:1]:
        message = (
            f"the gradient of the logits in the inputs of case {first + case} is not finite, so it cannot be "
            "attacked; look for a root, a norm or a logarithm at zero"
        )
        raise InputDataError(message)


How = tuple[Array, ChannelRange | None, PRNGKeyArray]
"""Epsilon, the range of the channels, and the key of a whole batch."""


@compiled
def attack_piece(logits: Logits, attack: Attack, piece: Piece, how: How) -> tuple[Array, ...]:
    """Worst inputs, their margins, clean margins, and whether all gradients were finite, for one piece."""
    epsilon, limits, key = how

    def one(inputs: Array, length: Array, label: Array, number: Array) -> tuple[Array, ...]:
        target = _Target(lambda values: logits(values, length), label, attack.loss)
        ball = _ball(attack, inputs, length, (epsilon.astype(inputs.dtype), limits))
        return _attack_one(target, attack, ball, jax.random.fold_in(key, number))

    return jax.vmap(one)(*piece)


class _Target(NamedTuple):
    """What is attacked: the scores of one sequence, its label, and the loss that steps follow."""

    scores: Callable[[Array], Array]
    label: Array
    loss: str

    def loss_and_margin(self, inputs: Array) -> tuple[Array, Array]:
        """What is to be lowered, and the margin."""
        scores = self.scores(inputs)
        margin = class_margin(scores, self.label)
        return (margin if self.loss == "margin" else jax.nn.log_softmax(scores)[self.label]), margin


class _Ball(NamedTuple):
    """Where changes of one sequence may lie: `free` samples, between `low` and `high`, within `epsilon`."""

    inputs: Float[Array, "time channels"]
    free: Bool[Array, "time channels"]
    low: Float[Array, "time channels"]
    high: Float[Array, "time channels"]
    epsilon: Float[Array, ""]
    norm: str

    def project(self, change: Array) -> Array:
        """The change inside the ball and the range; shrinking to the range never leaves the ball."""
        change = jnp.where(self.free, change, 0.0)
        if self.norm == "linf":
            change = jnp.clip(change, -self.epsilon, self.epsilon)
        else:
            change = change * jnp.minimum(1.0, self.epsilon * _inverse_norm(change))
        return jnp.clip(change, self.low, self.high)

    def direction(self, gradient: Array) -> Array:
        """The steepest way up, of size one in the norm of the ball."""
        gradient = jnp.where(self.free, gradient, 0.0)
        return jnp.sign(gradient) if self.norm == "linf" else gradient * _inverse_norm(gradient)

    def random(self, key: PRNGKeyArray) -> Array:
        """A point drawn uniformly from the ball."""
        shape, dtype = self.inputs.shape, self.inputs.dtype
        if self.norm == "linf":
            return self.epsilon * jax.random.uniform(key, shape, dtype, -1.0, 1.0)
        first, second = jax.random.split(key)
        direction = self.direction(jax.random.normal(first, shape, dtype))
        dimension = jnp.maximum(jnp.sum(self.free), 1)
        return self.epsilon * jax.random.uniform(second, (), dtype) ** (1.0 / dimension) * direction


def _inverse_norm(values: Array) -> Array:
    size = jnp.linalg.norm(values)
    return jnp.where(size > 0, 1.0 / jnp.where(size > 0, size, 1.0), 0.0)


def _ball(attack: Attack, inputs: Array, length: Array, how: tuple[Array, ChannelRange | None]) -> _Ball:
    epsilon, limits = how
    free = (jnp.arange(len(inputs)) < length)[:, None] & ~jnp.isnan(inputs)
    if attack.channels is not None:
        free &= jnp.isin(jnp.arange(inputs.shape[1]), jnp.asarray(attack.channels))
    low, high = jnp.full_like(inputs, -jnp.inf), jnp.full_like(inputs, jnp.inf)
    if limits is not None and limits.clip:
        low = jnp.where(free, jnp.minimum(jnp.asarray(limits.low) - inputs, 0.0), 0.0).astype(inputs.dtype)
        high = jnp.where(free, jnp.maximum(jnp.asarray(limits.high) - inputs, 0.0), 0.0).astype(inputs.dtype)
    return _Ball(inputs, free, low, high, epsilon, attack.norm)


class _Best(NamedTuple):
    """The lowest margin so far, where it is, and whether all gradients so far were finite."""

    inputs: Array
    margin: Array
    finite: Array

    def or_better(self, inputs: Array, margin: Array) -> "_Best":
        better = margin < self.margin
        return _Best(
            jnp.where(better, inputs, self.inputs), jnp.where(better, margin, self.margin), self.finite
        )


def _attack_one(target: _Target, attack: Attack, ball: _Ball, key: PRNGKeyArray) -> tuple[Array, ...]:
    slope = jax.value_and_grad(target.loss_and_margin, has_aux=True)
    size = attack.relative_step * ball.epsilon / attack.steps

    def step(carry: tuple[Array, _Best], _: None) -> tuple[tuple[Array, _Best], None]:
        change, best = carry
        inputs = ball.inputs + change
        (_, margin), gradient = slope(inputs)
        finite = jnp.all(jnp.isfinite(jnp.where(ball.free, gradient, 0.0)))
        best = best.or_better(inputs, margin)._replace(finite=best.finite & finite)
        return (ball.project(change - size * ball.direction(gradient)), best), None

    def restart(best: _Best, key: Array) -> tuple[_Best, None]:
        start = ball.project(ball.random(key)) if attack.random_start else jnp.zeros_like(ball.inputs)
        (change, best), _ = jax.lax.scan(step, (start, best), None, attack.steps)
        inputs = ball.inputs + change
        return best.or_better(inputs, target.loss_and_margin(inputs)[1]), None

    clean = target.loss_and_margin(ball.inputs)[1]
    start = _Best(ball.inputs, clean, jnp.array(True))
    best, _ = jax.lax.scan(restart, start, jax.random.split(key, attack.restarts))
    return best.inputs, best.margin, clean, best.finite
