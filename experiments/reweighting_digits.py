"""Digits with wrong labels, and a small network that memorises them: the place where reweighting shows."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray
from scipy.special import softmax

from attractor.audit import ATTACKS, RobustnessSettings, labelled_sequences, robustness_curves
from attractor.data import corrupt
from attractor.errors import UnsupportedError
from attractor.training import (
    EpochTask,
    ExampleContext,
    ExampleLosses,
    Examples,
    Reweighting,
    TrainingSettings,
    cross_entropy,
    label_loss,
    select_replica,
    train,
)
from attractor.training.epoch_task import CoTeaching
from attractor.training.reweighting import ExampleWeights

TRAINING, WIDTH, CLASSES, BATCH = 1000, 128, 10, 100
RATE, MOMENTUM = 0.1, 0.9
ATTACK = ATTACKS["pgd linf"].at(0.02, 0.05, 0.1)
"""Sizes of the change of every pixel, which is between 0 and 1."""


class Digits(NamedTuple):
    """Scikit-learn's digits, divided, with some training labels changed.

    Args:
        inputs: pixels in [0, 1] of the training digits, shape (cases, 64).
        labels: their labels, some of them wrong.
        wrong: which.
        test_inputs: pixels of the others.
        test_labels: their true labels.
    """

    inputs: Float[np.ndarray, "cases 64"]
    labels: Int[np.ndarray, " cases"]
    wrong: Bool[np.ndarray, " cases"]
    test_inputs: Float[np.ndarray, "others 64"]
    test_labels: Int[np.ndarray, " others"]


class Fitted(NamedTuple):
    """What one training says, after its last epoch.

    Args:
        accuracy: on the test cases.
        weights: of the training cases.
        totals: their losses added over all epochs.
        predicted: the classes the network gives them.
        attacked: accuracy on the test cases under `ATTACK`, a size each; NaN where it was not measured.
    """

    accuracy: float
    weights: Float[np.ndarray, " cases"]
    totals: Float[np.ndarray, " cases"]
    predicted: Int[np.ndarray, " cases"]
    attacked: tuple[float, ...] = (float("nan"),) * len(ATTACK.levels)


class DigitExamples(Examples):
    """The digits as a learning problem; see `attractor.training.Examples`."""

    inputs: Float[Array, "cases 64"]
    labels: Int[Array, " cases"]
    loss: Any = eqx.field(static=True)

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self.labels)

    def initial(self, key: PRNGKeyArray) -> eqx.nn.MLP:
        """One hidden layer."""
        return eqx.nn.MLP(64, CLASSES, WIDTH, 1, key=key)

    def start_memory(self) -> Any:
        """What the loss keeps."""
        return self.loss.start(self.size, CLASSES)

    def losses_of(
        self, model: eqx.nn.MLP, ids: Int[Array, " batch"], context: ExampleContext
    ) -> ExampleLosses:
        """Losses of some digits."""
        logits, labels = jax.vmap(model)(self.inputs[ids]), self.labels[ids]
        losses, rows = self.loss(logits, labels, context.memory)
        return ExampleLosses(losses, cross_entropy(logits, labels), rows)

    def scores_of(self, model: eqx.nn.MLP, ids: Int[Array, " batch"]) -> Float[Array, " batch"]:
        """Their cross-entropies."""
        return cross_entropy(jax.vmap(model)(self.inputs[ids]), self.labels[ids])

    def validation(self, model: eqx.nn.MLP) -> Float[Array, ""]:
        """Nothing is chosen here."""
        return jnp.zeros(())

    def describe_example(self, example: int) -> str:
        """Its place."""
        return f"digit {example}"


def digits(share: float, seed: int) -> Digits:
    """A division of the digits with a share of the training labels changed to another class.

    Raises:
        UnsupportedError: scikit-learn, which brings the digits, is not there.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as problem:
        raise UnsupportedError("the digits come with scikit-learn: pip install scikit-learn") from problem
    inputs, labels = (np.asarray(part) for part in load_digits(return_X_y=True))
    order = np.random.default_rng(seed).permutation(len(labels))
    chosen, others = order[:TRAINING], order[TRAINING:]
    noisy, wrong = corrupt(labels[chosen], CLASSES, share, seed=seed)
    return Digits(inputs[chosen] / 16, noisy, wrong, inputs[others] / 16, labels[others])


def fit_digits(data: Digits, options: dict[str, Any], seed: int, epochs: int) -> Fitted:
    """Train on all training digits and score the test digits once.

    Args:
        data: the digits.
        options: `loss`, `reweighting` or `coteaching`, as `SequenceClassifier` has them.
        seed: of the weights and the order.
        epochs: passes over the digits.
    """
    network, weights = _train(data, options, seed, epochs)
    return Fitted(
        accuracy=float(np.mean(_logits(network, data.test_inputs).argmax(axis=1) == data.test_labels)),
        weights=np.exp(np.asarray(weights.log_weights[0], float)),
        totals=np.asarray(weights.totals[0], float),
        predicted=_logits(network, data.inputs).argmax(axis=1),
        attacked=attacked_accuracy(network, data),
    )


class _Pixels(eqx.Module):
    """The network for digits as sequences of pixels, as attacks take them."""

    network: eqx.nn.MLP

    def __call__(self, inputs: Array, length: Array) -> Array:
        """Logits."""
        del length
        return self.network(inputs[:, 0])


def attacked_accuracy(network: eqx.nn.MLP, data: Digits) -> tuple[float, ...]:
    """Accuracy on the test digits under projected gradient descent, for every size of `ATTACK`."""
    cases = labelled_sequences(data.test_inputs[:, :, None].astype(np.float32), data.test_labels)
    found = robustness_curves(_Pixels(network), cases, (ATTACK,), RobustnessSettings(seeds=(0,)))
    return tuple(map(float, found.curves[0].mean))


def out_of_sample(data: Digits, seed: int, epochs: int, folds: int = 5) -> Float[np.ndarray, "cases 10"]:
    """Probabilities of the classes by networks that have not seen the digit, by cross-validation."""
    place = np.random.default_rng(seed).permutation(len(data.labels)) % folds
    probabilities = np.zeros((len(data.labels), CLASSES))
    for fold in range(folds):
        held = place == fold
        kept = data._replace(inputs=data.inputs[~held], labels=data.labels[~held])
        network, _ = _train(kept, {}, seed, epochs)
        probabilities[held] = softmax(_logits(network, data.inputs[held]), axis=1)
    return probabilities


def _train(
    data: Digits, options: dict[str, Any], seed: int, epochs: int
) -> tuple[eqx.nn.MLP, ExampleWeights]:
    """The network after the last epoch, and the weights of the examples, stacked."""
    examples = DigitExamples(
        jnp.asarray(data.inputs, jnp.float32),
        jnp.asarray(data.labels, jnp.int32),
        label_loss(options.get("loss", "cross-entropy")),
    )
    share = options.get("coteaching")
    task = EpochTask(
        CoTeaching(examples, share) if share else examples,
        batch_size=BATCH,
        epochs=epochs,
        reweighting=Reweighting() if options.get("reweighting") else None,
        labels=data.labels,
    )
    steps = task.steps_per_epoch
    settings = TrainingSettings(
        steps=epochs * steps,
        batch_size=BATCH,
        learning_rate=RATE,
        momentum=MOMENTUM,
        validate_every=steps,
    )
    trained = train(task, settings, seed)
    model = select_replica(trained.last, 0)
    return model[0] if share else model, trained.memory.weights


def _logits(network: eqx.nn.MLP, inputs: Float[np.ndarray, "cases 64"]) -> Float[np.ndarray, "cases 10"]:
    return np.asarray(jax.vmap(network)(jnp.asarray(inputs, jnp.float32)), float)
