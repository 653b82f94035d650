"""A linear classifier on random convolutions, which a recurrent network then corrects."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int
from scipy.special import log_softmax
from scipy.stats import t as student

from attractor.cells import State, take_step
from attractor.cells.convolutions import RandomConvolutions
from attractor.progress import Reporter, SilentReporter

from .classifier_metrics import fit_temperature, grouped_error, probabilities_of
from .ridge import RidgeFit, fit_ridge

SHARES = np.linspace(0, 1, 11)
ROUNDS = 3
"""Of reweighting; more of them take weight from classes that overlap."""
_LEAST_WEIGHT = 1e-4
_FEWEST_GROUPS = 3
"""To judge by: two of them would be fitted by a share and a temperature, whatever they are."""
_LEAST_SPREAD = 1e-6
_AT_ONCE, _PIECE = 8, 256


class ConvolutionBranch(eqx.Module):
    """Logits that are linear in the features of random convolutions.

    Args:
        cell: the convolutions.
        centre: mean features, which are taken off: what is left is small, and so is its rounding.
        weight: shape (classes, features).
        bias: shape (classes,).
    """

    cell: RandomConvolutions
    centre: Float[Array, " features"]
    weight: Float[Array, "classes features"]
    bias: Float[Array, " classes"]

    def __call__(
        self, inputs: Float[Array, "time channels"], length: ArrayLike | None = None
    ) -> Float[Array, " classes"]:
        """Logits of one series; a missing value counts as the mean, which is zero."""
        return self.logits(self.cell.whole(jnp.nan_to_num(inputs), length))

    def step(self, input: Float[Array, " channels"], state: State) -> State:
        """The state of the convolutions after one more sample."""
        return take_step(self.cell, jnp.nan_to_num(input), state)

    def logits(self, features: Float[Array, " features"]) -> Float[Array, " classes"]:
        """Logits of what the convolutions found."""
        # Sums in place of a product: it would round a case in another way among others than alone.
        return (self.weight * (features - self.centre)).sum(axis=1) + self.bias

    def of_all(
        self, inputs: Float[Array, "cases time channels"], lengths: Array | None
    ) -> Float[Array, "cases classes"]:
        """Logits of several series."""
        return jax.vmap(self.logits)(self.features(inputs, lengths))

    def features(
        self, inputs: Float[Array, "cases time channels"], lengths: Array | None
    ) -> Float[Array, "cases features"]:
        """What the convolutions find in several series."""
        return jnp.asarray(features_of(self.cell, jnp.nan_to_num(inputs), lengths))


@dataclass(frozen=True, eq=False)
class FittedBranch:
    """Random convolutions whose read-out was fitted to all cases that were given.

    Args:
        branch: the convolutions and their read-out.
        left_out: what a fit without a case, and without its relatives, says of it; calibrated logits.
        labels: of the cases.
        weights: what each case counts beside what was asked for, 1 on average.
    """

    branch: ConvolutionBranch
    left_out: Float[np.ndarray, "cases classes"]
    labels: Int[np.ndarray, " cases"]
    weights: Float[np.ndarray, " cases"]


@dataclass(frozen=True, eq=False)
class BranchFit:
    """How the read-out of random convolutions is fitted: by ridge regression, its penalty by leaving out.

    Args:
        classes: how many there are.
        weights: what every case counts; None counts all the same.
        related: what every case belongs to; cases that belong together are left out together. None leaves
            out one at a time.
        seed: decides on which series the convolutions are calibrated.
        reweighted: whether cases count by how likely their labels are, see `reweighted_ridge`.
    """

    classes: int
    weights: Float[np.ndarray, " cases"] | None = None
    related: Int[np.ndarray, " cases"] | None = None
    seed: int = 0
    reweighted: bool = False

    def __call__(
        self,
        cell: RandomConvolutions,
        cases: tuple[Float[Array, "cases time channels"], Int[Array, " cases"] | None, Int[Array, " cases"]],
        reporter: Reporter | None = None,
    ) -> FittedBranch:
        """The branch, and for every case the logits of a fit that has not seen its label.

        Both are scaled so that the latter are calibrated.

        Args:
            cell: convolutions; their thresholds are set here.
            cases: scaled series, their lengths (None for whole ones) and labels; a missing value counts as
                the mean, zero.
            reporter: hears about progress.
        """
        reporter = reporter or SilentReporter()
        known, lengths, labels = jnp.nan_to_num(cases[0]), cases[1], np.asarray(cases[2])
        cell = cell.calibrated(known, None if lengths is None else np.asarray(lengths), self.seed)
        features = features_of(cell, known, lengths, reporter).astype(float)
        count = len(features)
        reporter.update(count, count, f"ridge regression of {count} cases on {features.shape[1]} features")
        reporter.close()
        centre, spread = features.mean(axis=0), features.std(axis=0)
        spread = np.where(spread > _LEAST_SPREAD, spread, 1.0)
        rounds = ROUNDS if self.reweighted else 0
        rows = (features - centre) / spread
        found, weights = reweighted_ridge(rows, labels, self.classes, self.weights, self.related, rounds)
        sharpness = 1 / fit_temperature(found.left_out, labels)
        weight = sharpness * (found.weight / spread[:, None]).T
        parts = (jnp.asarray(part, jnp.float32) for part in (centre, weight, sharpness * found.bias))
        branch = ConvolutionBranch(cell, *parts)
        return FittedBranch(branch, sharpness * found.left_out, labels, weights)


def reweighted_ridge(
    features: Float[np.ndarray, "cases features"],
    labels: Int[np.ndarray, " cases"],
    classes: int,
    weights: Float[np.ndarray, " cases"] | None = None,
    related: Int[np.ndarray, " cases"] | None = None,
    rounds: int = ROUNDS,
) -> tuple[RidgeFit, Float[np.ndarray, " cases"]]:
    """A ridge regression in which cases with improbable labels count less.

    In every round the weight of a case is p(its label) / max p, from a fit without the case and its
    relatives: 1 where that fit agrees with the label, and the less the surer it is of another one. It is
    weighted again from the fit of the round before (iteratively reweighted least squares, Holland and Welsch
    1977). A case cannot vouch for its own label, so that wrong ones do not earn their weight back.

    Args:
        features: of the cases.
        labels: their classes.
        classes: how many there are.
        weights: what every case counts beside that; None counts all the same.
        related: cases of one number are left out together.
        rounds: 0 weighs all cases alike.

    Returns:
        The last fit, and the weights that it used beside those that were asked for, 1 on average.
    """
    targets = 2.0 * np.eye(classes)[labels] - 1.0
    found, own = fit_ridge(features, targets, weights, related), np.ones(len(labels))
    for _ in range(rounds):
        likely = probabilities_of(found.left_out, fit_temperature(found.left_out, labels))
        own = np.maximum(likely[np.arange(len(labels)), labels] / likely.max(axis=1), _LEAST_WEIGHT)
        own = own / own.mean()
        found = fit_ridge(features, targets, own if weights is None else own * weights, related)
    return found, own


def empty_branch(cell: RandomConvolutions, classes: int) -> ConvolutionBranch:
    """A branch that says nothing yet."""
    features = jnp.zeros(cell.hidden_size)
    return ConvolutionBranch(cell, features, jnp.zeros((classes, cell.hidden_size)), jnp.zeros(classes))


def features_of(
    cell: RandomConvolutions,
    inputs: Float[Array, "cases time channels"],
    lengths: Array | None,
    reporter: Reporter | None = None,
) -> Float[np.ndarray, "cases features"]:
    """What random convolutions find in several series, some of them at a time.

    Args:
        cell: the convolutions.
        inputs: the series.
        lengths: valid samples; None for all.
        reporter: hears about progress.
    """
    found, count = [], len(inputs)
    size = min(_PIECE, count)
    for first in range(0, count, size):
        # Filled up with the first cases, so that one compiled program serves all pieces.
        some = np.arange(first, first + size) % count
        found.append(np.asarray(_features(cell, inputs[some], None if lengths is None else lengths[some])))
        if reporter is not None:
            reporter.update(min(first + size, count), count, "random convolutions")
    return np.concatenate(found)[:count]


@eqx.filter_jit
def _features(
    cell: RandomConvolutions, inputs: Float[Array, "cases time channels"], lengths: Array | None
) -> Float[Array, "cases features"]:
    given = (inputs,) if lengths is None else (inputs, lengths)
    return jax.lax.map(lambda one: cell.whole(*one), given, batch_size=min(_AT_ONCE, len(inputs)))


def recurrent_share(
    offsets: Float[np.ndarray, "cases classes"],
    own: Float[np.ndarray, "cases classes"],
    labels: Int[np.ndarray, " cases"],
    groups: Int[np.ndarray, " cases"] | None = None,
) -> float:
    """How much of a recurrent network is added to what it corrects, from 0 to 1.

    The share with the lowest cross-entropy, each at its own best temperature so that mere confidence does not
    count. It must be lower than without the network by more than two standard errors of the mean over the
    cases, and no more cases may be wrong; else the share is 0. Of cases that come in groups the groups are
    what is drawn: the error is that over groups, and as many errors count as Student's t asks for.

    Args:
        offsets: logits of the convolutions, of cases that the network has not seen.
        own: those that the network adds.
        labels: of these cases.
        groups: what each of them belongs to; None where every case stands for itself.
    """
    logits = [offsets + share * own for share in SHARES]
    losses = np.array([_cross_entropies(one, labels) for one in logits])
    best = int(losses.mean(axis=1).argmin())
    gain = losses[0] - losses[best]
    wrong = [int((logits[one].argmax(axis=1) != labels).sum()) for one in (0, best)]
    return float(SHARES[best]) if gain.mean() > _reach(gain, groups) and wrong[1] <= wrong[0] else 0.0


def _reach(gain: Float[np.ndarray, " cases"], groups: Int[np.ndarray, " cases"] | None) -> float:
    """What a mean gain must exceed so as not to be chance."""
    if groups is None:
        return 2 * float(gain.std(ddof=1) / np.sqrt(len(gain))) if len(gain) > 1 else np.inf
    units = len(np.unique(groups))
    if units < _FEWEST_GROUPS:
        return np.inf
    return float(student.ppf(0.975, units - 1)) * grouped_error(gain, groups)


def _cross_entropies(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Of every case, at the temperature that is best for all of them."""
    scaled = logits / fit_temperature(logits, labels)
    return -log_softmax(scaled, axis=1)[np.arange(len(labels)), labels]
