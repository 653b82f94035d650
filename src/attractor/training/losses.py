"""Losses for labels, some of which may be wrong."""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from attractor.errors import ConfigError
from attractor.settings import NonNegative, PartialShare, Settings, Within

Logits = Float[Array, "batch classes"]
Labels = Int[Array, " batch"]
Rows = Any
"""What a loss keeps about the examples of a batch; None for most."""


@runtime_checkable
class LabelLoss(Protocol):
    """A loss for every example of a batch."""

    def start(self, examples: int, classes: int) -> Rows:
        """What it keeps about all examples at first, an array with a row for each of them, or None."""
        ...

    def __call__(self, logits: Logits, labels: Labels, rows: Rows) -> tuple[Float[Array, " batch"], Rows]:
        """The losses, and what is kept about these examples from now on."""
        ...


def cross_entropy(logits: Logits, labels: Labels) -> Float[Array, " batch"]:
    """-log p_y of every example."""
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1)[:, 0]


class _Forgetful:
    """A loss that keeps nothing about its examples."""

    def start(self, examples: int, classes: int) -> None:
        """Nothing."""


@dataclass(frozen=True)
class CrossEntropy(_Forgetful, Settings):
    """-log p_y, or with a target that gives `smoothing` to the other classes in equal parts.

    Label smoothing: Szegedy et al. 2016, arXiv 1512.00567.

    Args:
        smoothing: probability of the target that is not at the label, in [0, 1).
    """

    smoothing: PartialShare = 0.0

    def __call__(self, logits: Logits, labels: Labels, rows: Rows) -> tuple[Float[Array, " batch"], Rows]:
        """The losses."""
        at_label = cross_entropy(logits, labels)
        if not self.smoothing:
            return at_label, rows
        others = -jax.nn.log_softmax(logits).sum(axis=1) - at_label
        spread = self.smoothing / max(logits.shape[1] - 1, 1)
        return (1 - self.smoothing) * at_label + spread * others, rows


@dataclass(frozen=True)
class GeneralisedCrossEntropy(_Forgetful, Settings):
    """(1 - p_y^q) / q, between cross-entropy (q to 0) and the mean absolute error (q = 1).

    Zhang and Sabuncu 2018, arXiv 1805.07836.

    Args:
        power: q, in (0, 1].
    """

    power: Annotated[float, Within(0, 1, above=True)] = 0.7

    def __call__(self, logits: Logits, labels: Labels, rows: Rows) -> tuple[Float[Array, " batch"], Rows]:
        """The losses."""
        return -jnp.expm1(-self.power * cross_entropy(logits, labels)) / self.power, rows


@dataclass(frozen=True)
class SymmetricCrossEntropy(_Forgetful, Settings):
    """a H(label, p) + b H(p, label), where log 0 of the label counts as `floor`.

    Wang et al. 2019, arXiv 1908.06112.

    Args:
        forward: a.
        backward: b.
        floor: A, negative.
    """

    forward: NonNegative = 0.1
    backward: NonNegative = 1.0
    floor: Annotated[float, Within(high=0, below=True)] = -4.0

    def __call__(self, logits: Logits, labels: Labels, rows: Rows) -> tuple[Float[Array, " batch"], Rows]:
        """The losses."""
        entropy = cross_entropy(logits, labels)
        reverse = self.floor * jnp.expm1(-entropy)  # -A (1 - p_y)
        return self.forward * entropy + self.backward * reverse, rows


@dataclass(frozen=True)
class EarlyLearning(Settings):
    """Cross-entropy + c log(1 - p . t), where t is a running mean of the predictions for the example.

    What the network believed early on, before it memorises wrong labels, holds it back later. Liu et al.
    2020, arXiv 2007.00151.

    Args:
        strength: c.
        memory: share of the old target that stays at each visit, in [0, 1).
    """

    strength: NonNegative = 3.0
    memory: PartialShare = 0.7

    def start(self, examples: int, classes: int) -> Float[Array, "examples classes"]:
        """No target yet: zeros."""
        return jnp.zeros((examples, classes))

    def __call__(self, logits: Logits, labels: Labels, rows: Rows) -> tuple[Float[Array, " batch"], Rows]:
        """The losses and the new targets."""
        believed = jnp.clip(jax.nn.softmax(logits), 1e-4, 1 - 1e-4)
        normal = jax.lax.stop_gradient(believed / believed.sum(axis=1, keepdims=True))
        targets = self.memory * rows + (1 - self.memory) * normal
        agreement = jnp.sum(targets * believed, axis=1)
        pull = jnp.log(jnp.maximum(1 - agreement, 1e-6))
        return cross_entropy(logits, labels) + self.strength * pull, targets


LOSSES: dict[str, Callable[[], LabelLoss]] = {
    "cross-entropy": CrossEntropy,
    "label-smoothing": lambda: CrossEntropy(0.1),
    "generalised-cross-entropy": GeneralisedCrossEntropy,
    "symmetric-cross-entropy": SymmetricCrossEntropy,
    "early-learning": EarlyLearning,
}
"""Losses by name, with the usual values of their papers."""


def label_loss(loss: str | LabelLoss) -> LabelLoss:
    """The loss behind a name; a loss comes back as it is.

    Raises:
        ConfigError: unknown name; the nearest one is suggested.
    """
    if not isinstance(loss, str):
        return loss
    if loss in LOSSES:
        return LOSSES[loss]()
    near = get_close_matches(loss, LOSSES, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise ConfigError(f"unknown loss {loss!r}{hint} Known: {', '.join(LOSSES)}")
