r"""What the groups of a memory-gated network remember, and what they contribute to its decisions.

Time scales: a memory that keeps the share z of its old value at a step has the time scale
$\tau = -1 / \log z$ in steps, z of a group's own memory, or g of the joint memory (arXiv 2012.13121).

Contributions: Shapley values of the groups in the game whose value v(S) is the mean log-probability of the
true class when the groups in S are as measured and all variables of the others are at their mean.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from attractor.audit import LabelledSequences
from attractor.cells import MemoryGated, Stack
from attractor.data import Sequences, channel_blocks
from attractor.errors import UnsupportedError
from attractor.program import compiled, single_precision
from attractor.report.drawn import Drawn
from attractor.scan import unroll
from attractor.shown import Rows

from .classifier import SequenceClassifier
from .reading import ValueLogits, bare_cell, channel_cases, scaled_cases, some_of, value_logits

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
JOINT = "joint memory"
MOST_EXACT = 8
"""With more groups than this, orders of the groups are sampled."""

_MOST_CASES = 256
_LEAST_ORDERS, _MOST_ORDERS, _EVALUATIONS = 4, 20, 400
_MOST_GATES = 4_000_000
_LONGEST_NAME = 24


@dataclass(frozen=True)
class GroupStudy(
    Drawn,
    picture="attractor.classification.classifier_figures:draw_groups",
    next_call=".plot(), .shares, .time_scales",
):
    """Contributions and time scales of groups of variables, by the names of the groups.

    Args:
        shares: Shapley value over the log-probability that all groups together gain; they add to 1. Empty
            where the groups together gain nothing.
        gain: what all groups together gain over none, in log-probability of the true class.
        errors: standard errors of the shares; zeros where every coalition was computed.
        drops: log-probability of the true class that is lost when this group alone is at its mean.
        accuracy_drops: the same in accuracy.
        time_scales: quantiles of tau in steps, over cases, steps and units; also of the joint memory.
        cases: how many the contributions are means over.
        exact: whether every coalition was computed.
    """

    shares: dict[str, float]
    gain: float
    errors: dict[str, float]
    drops: dict[str, float]
    accuracy_drops: dict[str, float]
    time_scales: dict[str, list[float]]
    cases: int
    exact: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and dictionaries, for the card of a run; `GroupStudy(**facts)` reads them back."""
        return dict(vars(self))

    def __str__(self) -> str:
        """What the groups gain, and which matter most."""
        order = sorted(self.shares, key=lambda name: -self.shares[name])
        shares = ", ".join(
            f"{name} {100 * self.shares[name]:.0f} % ± {100 * self.errors[name]:.1g}" for name in order[:4]
        )
        how = "every coalition computed" if self.exact else "random orders sampled"
        return "\n".join([
            f"all groups together gain {self.gain:.3g} in log-probability over {self.cases} cases ({how})",
            f"shares ± standard error: {shares}"
            if shares
            else "they gain nothing, so that there are no shares",
        ])

    def rows_shown(self) -> Rows:
        """What every group contributes."""
        rows = (
            (name, f"{share:.3f}", f"{self.errors[name]:.1g}", f"{self.accuracy_drops[name]:.3f}")
            for name, share in self.shares.items()
        )
        return Rows(("group", "share", "standard error", "accuracy lost without it"), tuple(rows))


@single_precision()
def group_memory(model: SequenceClassifier, data: Sequences, seed: int = 0) -> GroupStudy:
    """Contributions and time scales of the groups of a memory-gated classifier.

    With up to eight groups all coalitions are computed; with more, the mean over random orders of the groups
    estimates the Shapley values.

    Args:
        model: fitted, its first cell an mgrn.
        data: labelled cases that it was not trained on; at most 256 of them are used.
        seed: of the orders.

    Raises:
        UnsupportedError: a cell of another kind.
        InputDataError: cases without labels, or of unknown classes.
    """
    cell = gated_cell(model)
    names, some = group_names(model), some_of(data, _MOST_CASES)
    game = _Game(value_logits(model), scaled_cases(model, some), _members(model, cell))
    exact = len(names) <= MOST_EXACT
    values, errors = exact_shapley(game) if exact else sampled_shapley(game, seed, _orders(len(names)))
    whole, nothing = game.worth(np.ones(len(names), bool)), game.worth(np.zeros(len(names), bool))
    gain = float(whole[0] - nothing[0])
    alone = [whole - game.worth(np.arange(len(names)) != position) for position in range(len(names))]
    return GroupStudy(
        shares=_named(names, values / gain) if gain > 0 else {},
        gain=gain,
        errors=_named(names, errors / gain) if gain > 0 else {},
        drops=_named(names, [drop[0] for drop in alone]),
        accuracy_drops=_named(names, [drop[1] for drop in alone]),
        time_scales=_time_scales(model, cell, some, names),
        cases=len(some),
        exact=exact,
    )


def _orders(groups: int) -> int:
    """Random orders of the groups, as many as a fixed amount of work allows."""
    return max(_LEAST_ORDERS, min(_MOST_ORDERS, _EVALUATIONS // groups))


def gated_cell(model: SequenceClassifier) -> MemoryGated:
    """The memory-gated cell that reads the variables.

    Raises:
        UnsupportedError: the first cell is of another kind.
    """
    cell = bare_cell(model.network())
    first = cell.cells[0] if isinstance(cell, Stack) else cell
    if not isinstance(first, MemoryGated):
        raise UnsupportedError(f"a {type(first).__name__} has no memories of groups; use mgrn")
    return first


def group_names(model: SequenceClassifier) -> tuple[str, ...]:
    """What the user called the groups: a pattern, or the variables of the group, each name once."""
    if model.groups is None:
        return tuple(model.names_)
    entries = model.groups.split(",") if isinstance(model.groups, str) else model.groups
    texts = [
        entry.strip() if isinstance(entry, str) else "+".join(map(str, np.atleast_1d(entry)))
        for entry in entries
    ]
    short = [text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 1] + "…" for text in texts]
    return tuple(
        text if short.count(text) == 1 else f"{text} ({position + 1})" for position, text in enumerate(short)
    )


def _members(model: SequenceClassifier, cell: MemoryGated) -> Bool[np.ndarray, "groups variables"]:
    """Which variables belong to which group; the blocks of masks and ages follow the values."""
    width = len(model.names_)
    if cell.input_size != width * channel_blocks(model.missing):
        raise UnsupportedError(f"the cell reads {cell.input_size} channels, not those of {width} variables")
    groups = cell.partition.groups
    return np.array([[variable in group for variable in range(width)] for group in groups])


def _named(names: tuple[str, ...], values: Iterable[float | np.floating]) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, values, strict=True)}


@dataclass(eq=False)
class _Game:
    """Mean log-probability of the true class and accuracy by the groups that are as measured."""

    logits: ValueLogits
    cases: LabelledSequences
    members: Bool[np.ndarray, "groups variables"]

    def __post_init__(self) -> None:
        self.known: dict[bytes, np.ndarray] = {}
        inputs, lengths, labels = self.cases.inputs, self.cases.lengths, self.cases.labels
        self.placed = jnp.asarray(inputs), jnp.asarray(lengths), jnp.asarray(labels)

    @property
    def groups(self) -> int:
        return len(self.members)

    def worth(self, present: Bool[np.ndarray, " groups"]) -> Float[np.ndarray, " 2"]:
        """Mean log-probability and accuracy of a coalition; each is computed once."""
        key = np.asarray(present, bool).tobytes()
        if key not in self.known:
            kept = np.asarray(present) @ self.members
            self.known[key] = np.asarray(_worth(self.logits, self.placed, jnp.asarray(kept)), float)
        return self.known[key]


@compiled
def _worth(logits: ValueLogits, cases: tuple[Array, Array, Array], kept: Bool[Array, " variables"]) -> Array:
    def one(inputs: Array, length: Array, label: Array) -> tuple[Array, Array]:
        # A missing value stays missing: what is taken away is what it measured, not that it measured.
        hidden = jnp.where(kept | jnp.isnan(inputs), inputs, 0.0)
        scores = jax.nn.log_softmax(logits(hidden, length))
        return scores[label], jnp.argmax(scores) == label

    found = jax.vmap(one)(*cases)
    return jnp.stack([part.astype(float).mean() for part in found])


def _time_scales(
    model: SequenceClassifier, cell: MemoryGated, data: Sequences, names: tuple[str, ...]
) -> dict[str, list[float]]:
    """Quantiles of tau; steps at which a group is not observed, where z = 1 by definition, do not count."""
    size = data.values.shape[1] * (len(names) * cell.hidden_size + cell.joint_size)
    cases = channel_cases(model, some_of(data, max(1, _MOST_GATES // size)))
    keep, joint = map(np.asarray, _gates(cell, jnp.asarray(cases.inputs), jnp.asarray(cases.lengths)))
    valid = np.arange(keep.shape[1]) < cases.lengths[:, None]
    scales = {name: _quantiles(keep[valid][:, position]) for position, name in enumerate(names)}
    return {**scales, JOINT: _quantiles(joint[valid])}


@compiled
def _gates(cell: MemoryGated, inputs: Array, lengths: Array) -> tuple[Array, Array]:
    """The gates z (cases, time, groups, hidden) and g (cases, time, joint) along the cases."""

    def one(values: Array, length: Array) -> tuple[Array, Array]:
        start = cell.initial_state()
        states = unroll(cell, values, length=length).states
        before = jax.tree.map(lambda first, all: jnp.concatenate([first[None], all[:-1]]), start, states)
        gates = jax.vmap(cell.gates)(values, before)
        return gates.keep, gates.joint_keep

    return jax.vmap(one)(inputs, lengths)


def _quantiles(keep: np.ndarray) -> list[float]:
    """Quantiles of -1 / log z over the observed; NaN where there is none."""
    seen = np.asarray(keep, float)
    seen = seen[(seen < 1).any(axis=-1)] if seen.ndim > 1 else seen
    if not seen.size:
        return [float("nan")] * len(QUANTILES)
    # tau grows with z, so that the quantiles of z are those of tau.
    shares = np.clip(np.quantile(seen, QUANTILES), 1e-12, 1 - 1e-7)
    return (-1 / np.log(shares)).tolist()


@runtime_checkable
class Game(Protocol):
    """What a coalition is worth."""

    @property
    def groups(self) -> int:
        """How many players there are."""
        ...

    def worth(self, present: Bool[np.ndarray, " groups"]) -> Float[np.ndarray, " metrics"]:
        """Value of the coalition of those present; the first metric is the one that is shared."""
        ...


Values = tuple[Float[np.ndarray, " groups"], Float[np.ndarray, " groups"]]
"""Shapley values and their standard errors."""


def exact_shapley(game: Game) -> Values:
    """From all coalitions S: phi_k = sum of |S|! (n - |S| - 1)! / n! (v(S + k) - v(S)) over S without k.

    Args:
        game: of n players; its worth is asked for n 2^n times, 2^n of them different.

    Returns:
        The values, and zeros for their errors.
    """
    count = game.groups
    values, everyone = np.zeros(count), np.arange(count)
    for position in everyone:
        others = np.delete(everyone, position)
        for size in range(count):
            weight = 1 / (count * comb(count - 1, size))
            for chosen in combinations(others, size):
                present = np.isin(everyone, chosen)
                gained = game.worth(present | (everyone == position))[0] - game.worth(present)[0]
                values[position] += weight * gained
    return values, np.zeros(count)


def sampled_shapley(game: Game, seed: int = 0, orders: int = 20) -> Values:
    """Means of what every player adds when the players come in random orders; unbiased.

    Args:
        game: of n players; its worth is asked for (n + 1) times per order.
        seed: of the orders.
        orders: how many, at least 2.

    Returns:
        The values, which add up to the worth of all exactly, and the standard errors of the means.
    """
    rng, gains = np.random.default_rng(seed), np.zeros((orders, game.groups))
    for row in gains:
        present = np.zeros(game.groups, bool)
        before = game.worth(present)[0]
        for position in rng.permutation(game.groups):
            present[position] = True
            after = game.worth(present)[0]
            row[position], before = after - before, after
    return gains.mean(axis=0), gains.std(axis=0, ddof=1) / np.sqrt(orders)
