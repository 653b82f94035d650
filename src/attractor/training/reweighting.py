"""Multiplicative weights of examples, against wrong labels.

An example of total loss L_i has the weight p_i proportional to exp(-eta L_i) (Bar, Koren and Giryes 2021,
arXiv 2102.12192), in closed form. Everything works on log p, so that no weight overflows and a batch of
examples that have all but vanished still has weights. What carries a weight is a whole example, or a token of
an example. Which labels look wrong is read off the losses alone.
"""

from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from attractor.settings import NonNegative, Settings, Share, Within


@dataclass(frozen=True)
class Reweighting(Settings):
    """Multiplicative weights of examples: p_i proportional to exp(-strength * total loss of i).

    Bar, Koren and Giryes 2021, arXiv 2102.12192. What keeps a high loss fades out: wrong labels and broken
    records, but also rare and hard examples; floor, cap and balance of classes are there for them. Where the
    examples have classes, a total counts against the median of its class, unlike in the paper: a class that
    is hard as a whole keeps its weight.

    Args:
        strength: eta; "auto" finds from the losses which share of the labels looks wrong and takes the
            strength that leaves the effective sample size of the others; 0 keeps equal weights.
        score: "evaluate" takes the losses of all examples after each epoch, without noise and dropout (a
            third more time); "reuse" takes those met in training (no extra time, up to one epoch old).
        batch: how weights enter a batch: "batch" weighs its losses relative to one another, "importance"
            by N p_i (unbiased, unequal gradients), "sample" draws examples by their weights (unbiased).
        balance: "class" keeps for every class its share of the examples; "none" does not.
        cap: m, the least share of the examples that carry all the weight: p_i <= 1 / (m N); 0 for no cap.
        warmup: share of the training before the first update.
        ramp: share of the training over which an automatic strength grows to its full effect; examples that
            are merely hard would be starved before they are learned, were it to come at once.
        memory: factor of the past losses at each update; below 1 old losses are forgotten.
        floor: the least effective sample size, as a share of the examples; 0 for none.

    Raises:
        ConfigError: a value outside its range.
    """

    strength: Literal["auto"] | NonNegative = "auto"
    score: Literal["evaluate", "reuse"] = "evaluate"
    batch: Literal["batch", "importance", "sample"] = "batch"
    balance: Literal["none", "class"] = "none"
    cap: Share = 0.0
    warmup: Share = 0.1
    ramp: Share = 0.3
    memory: Annotated[float, Within(0, 1, above=True)] = 1.0
    floor: Share = 0.2


class Classes(NamedTuple):
    """The classes of examples.

    Args:
        labels: of each example, 0 to number - 1, shape (examples,).
        number: how many classes there are.
    """

    labels: Int[Array, " examples"]
    number: int


_HALVINGS = 40
_LARGEST_STRENGTH = 1e6


def log_weights(totals: Float[Array, " examples"], strength: Float[Array, ""]) -> Float[Array, " examples"]:
    """Log p with p proportional to exp(-eta L) and sum p = 1.

    Args:
        totals: L, the losses of each example added over the updates so far.
        strength: eta, at least 0; 0 gives equal weights.
    """
    return jax.nn.log_softmax(-strength * (totals - totals.min()))


def balanced(log_weights: Float[Array, " examples"], classes: Classes) -> Float[Array, " examples"]:
    """The same weights within every class, and for every class the share that it has of the examples.

    Args:
        log_weights: log p, shape (examples,).
        classes: of the examples.
    """
    member = classes.labels[:, None] == jnp.arange(classes.number)
    mass = jax.nn.logsumexp(jnp.where(member, log_weights[:, None], -jnp.inf), axis=0)
    share = jnp.log(member.mean(axis=0))
    return log_weights + (share - mass)[classes.labels]


def class_medians(values: Float[Array, " examples"], classes: Classes) -> Float[Array, " classes"]:
    """The median of the values of every class; NaN for a class without examples."""
    member = classes.labels[:, None] == jnp.arange(classes.number)
    return jnp.nanmedian(jnp.where(member, values[:, None], jnp.nan), axis=0)


def shared_by_groups(values: Float[Array, " examples"], groups: Int[Array, " examples"], count: int) -> Array:
    """For every example the mean of `values` over its group: a group (patient, annotator) acts as one.

    Args:
        values: one for every example.
        groups: the group of each, 0 to count - 1.
        count: number of groups.
    """
    sums = jax.ops.segment_sum(values, groups, count)
    sizes = jax.ops.segment_sum(jnp.ones_like(values), groups, count)
    return (sums / jnp.maximum(sizes, 1))[groups]


def capped(log_weights: Float[Array, " examples"], largest: float | int) -> Float[Array, " examples"]:
    """The nearest weights (in relative entropy) of which none exceeds `largest`.

    The heaviest are cut to it and the rest are scaled up by one factor: the smallest number of cuts that
    leaves the rest below the limit, found from one sort.

    Args:
        log_weights: log p, shape (examples,).
        largest: c, at least 1 / examples.
    """
    count = len(log_weights)
    order = jnp.argsort(-log_weights)
    sorted_ = log_weights[order]
    cuts = jnp.arange(count, dtype=log_weights.dtype)
    tails = jax.lax.cumlogsumexp(sorted_, reverse=True)
    room = 1 - cuts * largest
    factors = jnp.where(room > 0, jnp.log(jnp.maximum(room, jnp.finfo(room.dtype).tiny)) - tails, -jnp.inf)
    fits = sorted_ + factors <= jnp.log(largest) * (1 + 1e-6) + 1e-6
    cut = jnp.argmax(fits & (room > 0))
    rest = jnp.where(jnp.any(fits & (room > 0)), sorted_ + factors[cut], jnp.log(largest))
    new = jnp.where(cuts < cut, jnp.log(largest), rest)
    return jnp.zeros_like(log_weights).at[order].set(new)


def effective_size(log_weights: Float[Array, " examples"]) -> Float[Array, ""]:
    """1 / sum p^2, the effective sample size: N for equal weights, 1 if one example has everything."""
    return jnp.exp(2 * jax.nn.logsumexp(log_weights) - jax.nn.logsumexp(2 * log_weights))


def strength_for(totals: Float[Array, " examples"], share: Float[Array, ""]) -> Float[Array, ""]:
    """The strength whose effective sample size is a given share of the examples.

    The effective size falls as the strength grows, so bisection (of its logarithm) finds the only answer.
    Where even the strongest weights keep more (equal losses), that strength is as good as any and comes back.

    Args:
        totals: L, shape (examples,).
        share: wanted effective size over N, in (0, 1]; 1 gives strength 0.
    """
    spread = jnp.maximum(totals.std(), jnp.finfo(totals.dtype).tiny ** 0.5)
    unit = (totals - totals.min()) / spread

    def halve(_: int | Array, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bracket
        middle = jnp.sqrt(low * high)
        enough = effective_size(log_weights(unit, middle)) >= share * len(totals)
        return jnp.where(enough, middle, low), jnp.where(enough, high, middle)

    start = (jnp.asarray(1e-6, totals.dtype), jnp.asarray(_LARGEST_STRENGTH, totals.dtype))
    low, _ = jax.lax.fori_loop(0, _HALVINGS, halve, start)
    return jnp.where(share >= 1, 0.0, low / spread)


_ROUNDS = 40
_APART, _UNLIKELY = 2.0, 0.5
_SMALLEST = 1e-3


class Mixture(NamedTuple):
    """Two normal components of a set of numbers, the lower one first.

    Args:
        means: shape (2,).
        deviations: shape (2,).
        shares: shape (2,); their sum is 1.
    """

    means: Float[Array, "2"]
    deviations: Float[Array, "2"]
    shares: Float[Array, "2"]

    def upper(self, values: Float[Array, " values"]) -> Float[Array, " values"]:
        """The probability of each value to belong to the upper component."""
        return jax.nn.softmax(self._joint(values), axis=-1)[:, 1]

    @property
    def distance(self) -> Float[Array, ""]:
        """How far apart the means are, in common deviations; two humps show from 2 on (Ashman's D)."""
        return jnp.diff(self.means)[0] / jnp.sqrt(jnp.mean(self.deviations**2))

    def _joint(self, values: Float[Array, " values"]) -> Float[Array, "values 2"]:
        scaled = (values[:, None] - self.means) / self.deviations
        return jnp.log(self.shares) - jnp.log(self.deviations) - scaled**2 / 2


def fit_mixture(values: Float[Array, " values"]) -> Mixture:
    """Two normal components by expectation maximisation, started from the two classes of Otsu's threshold.

    Args:
        values: of any scale.
    """
    spread = jnp.maximum(values.std(), jnp.finfo(values.dtype).tiny ** 0.5)
    unit = (values - values.mean()) / spread

    start = _components(unit, (unit > _threshold(unit)).astype(unit.dtype))
    _, (means, deviations, shares) = jax.lax.fori_loop(0, _ROUNDS, _improved, (unit, start))
    return Mixture(values.mean() + spread * means, spread * deviations, shares)


def _improved(_: int | Array, state: tuple[Float[Array, " values"], Mixture]) -> tuple[Array, Mixture]:
    """One round; what it needs it is handed, so that it is the same function and compiled once."""
    values, mixture = state
    return values, _components(values, mixture.upper(values))


def _components(values: Float[Array, " values"], upper: Float[Array, " values"]) -> Mixture:
    parts = jnp.stack([1 - upper, upper])
    masses = jnp.maximum(parts.sum(axis=1), _SMALLEST)
    means = parts @ values / masses
    squares = (parts * (values - means[:, None]) ** 2).sum(axis=1) / masses
    return Mixture(means, jnp.sqrt(squares + _SMALLEST), masses / masses.sum())


def _threshold(values: Float[Array, " values"]) -> Float[Array, ""]:
    """Otsu's: the cut with the largest variance between its two sides."""
    ordered = jnp.sort(values)
    count = len(values)
    below = jnp.arange(1, count, dtype=values.dtype)  # real: the product of two counts soon leaves int32
    share = below / count
    sums = jnp.cumsum(ordered)[:-1]
    difference = sums / below - (ordered.sum() - sums) / (count - below)
    between = share * (1 - share) * difference**2
    best = jnp.argmax(between)
    return (ordered[best] + ordered[best + 1]) / 2


def degree_of_suspicion(
    totals: Float[Array, " examples"],
    latest: Float[Array, " examples"],
    chance: Float[Array, ""],
    classes: Classes | None = None,
) -> Float[Array, " examples"]:
    """For every example a degree from 0 to 1 to which its losses speak against its label.

    It is no calibrated probability: 0 says that the losses tell nothing, not that the label is right.

    Three things must come together. The logarithms of the totals, from which the median of the class is taken
    away (a class may be hard as a whole), show two humps; the example belongs to the upper one; and the model
    has not come near its label, the loss being more than half of what it was by chance, where an example that
    is merely hard has got better.

    Args:
        totals: losses added over the updates so far, at least 0.
        latest: losses of the last update.
        chance: the mean loss before anything was learned.
        classes: of the examples; None if they have none.
    """
    values = jnp.log(jnp.maximum(totals, jnp.finfo(totals.dtype).tiny))
    values = values if classes is None else values - class_medians(values, classes)[classes.labels]
    mixture = fit_mixture(values)
    return jnp.where((mixture.distance > _APART) & (latest > _UNLIKELY * chance), mixture.upper(values), 0.0)


class Units(eqx.Module):
    """The units in one row, as the weights count them, and their positions, as a learning problem sees them.

    Args:
        positions: flat position of every unit in a table (examples, tokens); None where examples are the
            units.
        rows: the unit at every position, `count` where there is none, shape (examples, tokens); None
            likewise.
        shape: of a table of scores: (examples,), or (examples, tokens).
        count: how many units there are.
    """

    positions: Int[Array, " units"] | None
    rows: Int[Array, "examples tokens"] | None
    shape: tuple[int, ...] = eqx.field(static=True)
    count: int = eqx.field(static=True)

    def flat(self, table: Array) -> Array:
        """The values of all units in one row."""
        return table if self.positions is None else table.ravel()[self.positions]

    def log_weights(
        self, log_weights: Float[Array, " units"], ids: Int[Array, " batch"]
    ) -> Float[Array, "batch ..."]:
        """Those of the units of some examples; minus infinity at a position without a unit."""
        if self.rows is None:
            return log_weights[ids]
        return jnp.append(log_weights, -jnp.inf)[self.rows[ids]]

    def of_examples(self, values: Int[np.ndarray, " examples"]) -> Int[np.ndarray, " units"]:
        """For every unit the value of its example."""
        return values if self.positions is None else values[np.asarray(self.positions) // self.shape[1]]


def example_units(examples: int) -> Units:
    """Every example is a unit."""
    return Units(None, None, (examples,), examples)


def token_units(labels: Int[np.ndarray, "examples tokens"]) -> Units:
    """Every token with a label of at least 0 is a unit."""
    valid = np.asarray(labels) >= 0
    positions, count = np.flatnonzero(valid), int(valid.sum())
    rows = np.full(valid.size, count)
    rows[positions] = np.arange(count)
    return Units(
        jnp.asarray(positions, jnp.int32),
        jnp.asarray(rows.reshape(valid.shape), jnp.int32),
        valid.shape,
        count,
    )


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
