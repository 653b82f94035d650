"""Adversarial inputs: the fast gradient sign method and projected gradient descent over whole sequences.

The engine is `attractor.certify.search.lowest_in_ball`. An attack is a lower bound on how fragile a network
is: a stronger one may find more.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from attractor.certify.search import Ball, Descent, lowest_in_ball
from attractor.errors import ConfigError, InputDataError
from attractor.program import compiled
from attractor.settings import Count, Positive, Settings
from attractor.shown import at_prompt, in_notebook

from .margins import class_margin
from .perturbations import ChannelRange, check_levels, check_limits
from .sequences import LabelledSequences, Logits, Piece, check_classes, check_finite_margins, in_pieces

_NORMS = {"linf": "largest change of a sample", "l2": "Euclidean norm of the change over the sequence"}


@dataclass(frozen=True)
class Attack(Settings):
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
    levels: tuple[float, ...] = (0.01, 0.03, 0.1)
    norm: Literal["linf", "l2"] = "linf"
    steps: Count = 20
    restarts: Count = 2
    relative_step: Positive = 2.5
    random_start: bool = True
    loss: Literal["margin", "cross-entropy"] = "margin"
    channels: tuple[int, ...] | None = None
    unit: ClassVar[str] = "unit of the inputs"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_levels(self.name, self.levels)
        self.expect(self.channels is None or len(self.channels) > 0, "at least one channel", "channels")

    @property
    def meaning(self) -> str:
        """What epsilon stands for."""
        return _NORMS[self.norm]

    @property
    def descent(self) -> Descent:
        """The search of one case."""
        return Descent(self.steps, self.restarts, self.relative_step, self.random_start)

    @property
    def is_random(self) -> bool:
        """Whether another seed gives another attack."""
        return self.random_start

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

    def in_brief(self) -> str:
        """What the attack cost."""
        clean = float(np.mean(self.clean_margins > 0))
        right = (
            f"right in {100 * self.accuracy:.1f} % of {len(self.margins)} cases under the worst inputs found"
        )
        caution = "worse inputs may exist: an attack proves nothing for the cases that it spares"
        return f"{right}, {100 * clean:.1f} % without\n{caution}"

    def __repr__(self) -> str:
        return at_prompt(self)

    def _repr_html_(self) -> str:
        return in_notebook(self)


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
    inputs, margins, clean, finite = in_pieces(
        lambda piece: attack_piece(logits, attack, piece, how), data, batch
    )
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
            raise ConfigError(
                f"channels={attack.channels} of {attack.name!r}: inputs have channels 0 to {channels - 1}"
            )


def check_finite_gradients(finite: np.ndarray, first: int = 0) -> None:
    """Refuse gradients that are no numbers: an attack that fails would look like a strong model.

    Raises:
        InputDataError: the first such case is named.
    """
    for case in np.flatnonzero(~finite)[:1]:
        raise InputDataError(
            f"the gradient of the logits in the inputs of case {first + case} is not finite, so it cannot be "
            "attacked; look for a root, a norm or a logarithm at zero"
        )


How = tuple[Array, ChannelRange | None, PRNGKeyArray]
"""Epsilon, the range of the channels, and the key of a whole batch."""


@compiled
def attack_piece(logits: Logits, attack: Attack, piece: Piece, how: How) -> tuple[Array, ...]:
    """Worst inputs, their margins, clean margins, and whether all gradients were finite, for one piece."""
    epsilon, limits, key = how

    def one(inputs: Array, length: Array, label: Array, number: Array) -> tuple[Array, ...]:
        def loss_and_margin(values: Array) -> tuple[Array, Array]:
            scores = logits(values, length)
            margin = class_margin(scores, label)
            return (margin if attack.loss == "margin" else jax.nn.log_softmax(scores)[label]), margin

        ball = _ball(attack, inputs, length, (epsilon.astype(inputs.dtype), limits))
        worst, clean = lowest_in_ball(loss_and_margin, ball, attack.descent, jax.random.fold_in(key, number))
        return worst.inputs, worst.value, clean, worst.finite

    return jax.vmap(one)(*piece)


def _ball(attack: Attack, inputs: Array, length: Array, how: tuple[Array, ChannelRange | None]) -> Ball:
    epsilon, limits = how
    free = (jnp.arange(len(inputs)) < length)[:, None] & ~jnp.isnan(inputs)
    if attack.channels is not None:
        free &= jnp.isin(jnp.arange(inputs.shape[1]), jnp.asarray(attack.channels))
    low, high = jnp.full_like(inputs, -jnp.inf), jnp.full_like(inputs, jnp.inf)
    if limits is not None and limits.clip:
        low = jnp.where(free, jnp.minimum(jnp.asarray(limits.low) - inputs, 0.0), 0.0).astype(inputs.dtype)
        high = jnp.where(free, jnp.maximum(jnp.asarray(limits.high) - inputs, 0.0), 0.0).astype(inputs.dtype)
    return Ball(inputs, free, low, high, epsilon, attack.norm)
