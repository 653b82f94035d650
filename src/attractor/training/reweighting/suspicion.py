"""Which labels look wrong, from the losses alone."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .weights import Classes, class_medians

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

    def improve(_: Any, mixture: Mixture) -> Mixture:
        return _components(unit, mixture.upper(unit))

    start = _components(unit, (unit > _threshold(unit)).astype(unit.dtype))
    means, deviations, shares = jax.lax.fori_loop(0, _ROUNDS, improve, start)
    return Mixture(values.mean() + spread * means, spread * deviations, shares)


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
