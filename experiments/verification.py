"""What is proved of trained networks, beside what attacks reach: arXiv 1803.06567 at the scale of a laptop.

The paper (Dvijotham et al. 2018) bounds image classifiers under changes of every pixel, a classifier with
constraints on its features and monotone outputs, and a sum of digits. Its tables could not be read, so none
is quoted. Here the networks are recurrent: they read images row by row, and speech frame by frame.

1. Digits and speakers: the class under changes of every value, plainly trained and trained against the worst
   logits. Radii, epochs and the share of the worst case were settled on training cases; test cases are scored
   once.
2. Breast cancer: the class under changes that keep "worst" at least as large as "mean" in every measurement,
   and whether the logit rises with each of the thirty features.
3. Sums of two digits: the largest change of the predicted sum.

    python -m experiments.verification ../shared/data/timeseries --seeds 3
"""

import argparse
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_breast_cancer, load_digits

from attractor import SequenceClassifier, unroll
from attractor.cells import GRU, exposed, initial_state, take_step
from attractor.certify.domains import Interval
from attractor.certify.domains.bounded_run import bounded, bounded_run
from attractor.certify.dual.bounds import bounds_of
from attractor.certify.dual.lowering import network_of
from attractor.certify.verify import Answer, Box, Monotone, Polytope, decide, prove
from attractor.certify.verify.trajectories import WholeRuns, attacked
from attractor.classification.classifier_verification import certified_cases
from attractor.data import Sequences, read_sequences
from attractor.program import double_precision, in_double_precision, trace
from attractor.training import Task, TrainingSettings, train
from benchmarks.recording import record

RADII = {"digits": (0.01, 0.02, 0.03, 0.05, 0.1), "JapaneseVowels": (0.05, 0.1, 0.2, 0.3)}
TRAINED = {"digits": (0.0, 0.03, 0.05), "JapaneseVowels": (0.0, 0.1, 0.2)}
SIZES = {"digits": 64, "JapaneseVowels": 32}
EPOCHS = 150
PARTS = ("digits", "JapaneseVowels", "cancer", "sums")


@dataclass(frozen=True)
class Cases:
    """Training and test cases of one set."""

    training: Sequences
    test: Sequences
    standardise: bool


def digits() -> Cases:
    """Scikit-learn's digits: eight rows of eight pixels between 0 and 1; 397 images are kept for the test."""
    pixels, digit = (np.asarray(part) for part in load_digits(return_X_y=True))
    order = np.random.default_rng(0).permutation(len(digit))
    images, labels = pixels[order].reshape(-1, 8, 8) / 16.0, digit[order]
    training, test = (
        Sequences.from_arrays(images[part], labels[part]) for part in (slice(1400), slice(1400, None))
    )
    return Cases(training, test, standardise=False)


def series(folder: Path, name: str) -> Cases:
    """A set of series with a test part."""
    training = read_sequences(folder / f"{name}_train.npz")
    test = read_sequences(folder / f"{name}_test.npz", like=training)
    return Cases(training, test, standardise=True)


def trained_classifier(name: str, cases: Cases, within: float, seed: int) -> SequenceClassifier:
    """A GRU that reads rows or frames, trained to survive changes of so much; 0 trains plainly."""
    model = SequenceClassifier(
        cell="gru", hidden_size=SIZES[name], standardise=cases.standardise, seed=seed
    ).set_params(readout__convolutions=0, training__epochs=EPOCHS, noise__within=within)
    return model.fit(cases.training)


def robust_classifiers(name: str, cases: Cases, seeds: range, count: int) -> Table:
    """Accuracy of all test cases, and of the first ones what is proved beside what an attack leaves."""
    grid = Table(
        title=f"{name}: percent right; under attack / proved for each change of every value (mean of seeds)"
    )
    columns = [
        "trained within",
        "clean",
        "worst seed",
        *(f"{radius:g}" for radius in RADII[name]),
        "training s",
    ]
    for column in columns:
        grid.add_column(column)
    some = cases.test.take(np.arange(min(count, len(cases.test))))
    for within in TRAINED[name]:
        clean, found, seconds = [], [], []
        for seed in seeds:
            began = time.perf_counter()
            model = trained_classifier(name, cases, within, seed)
            seconds.append(time.perf_counter() - began)
            clean.append(100 * model.score(cases.test))
            studied = [certified_cases(model, some, radius, seed=seed) for radius in RADII[name]]
            found.append([(one.attacked_accuracy, one.certified_accuracy) for one in studied])
            _check(all(proved <= left for left, proved in found[-1]))
        shares = 100 * np.mean(found, axis=0)
        told = [f"{left:.1f} / {proved:.1f}" for left, proved in shares]
        grid.add_row(
            f"{within:g}" if within else "plainly",
            f"{np.mean(clean):.2f}", f"{min(clean):.2f}", *told, f"{np.mean(seconds):.0f}",
        )  # fmt: skip
    return grid


def breast_cancer(seeds: range, count: int) -> list[Table]:
    """A hidden layer of tanh units: classes under changes that keep worst above mean, monotone features."""
    features, kind = (np.asarray(part) for part in load_breast_cancer(return_X_y=True))
    order = np.random.default_rng(0).permutation(len(kind))
    values, labels = features[order][:, None], kind[order]
    training, test = (
        Sequences.from_arrays(values[part], labels[part]) for part in (slice(400), slice(400, None))
    )
    changes = Table(title="breast cancer: how many test cases keep their class; constrained: worst >= mean")
    answers = ("holds", "broken", "open")
    kinds = [f"{kind}: {answer}" for kind in ("box", "constrained") for answer in answers]
    for column in ("seed", "clean %", "change (standard deviations)", *kinds):
        changes.add_column(column)
    rising = Table(title="breast cancer: the lead of benign as one of thirty features grows, near the mean")
    for column in ("seed", "within (standard deviations)", "only falls", "only rises", "does both", "open"):
        rising.add_column(column)
    for seed in seeds:
        model = SequenceClassifier(cell="tanh", hidden_size=8, seed=seed)
        model = model.set_params(readout__convolutions=0, training__weight_decay=0.1).fit(training)
        lead, scaled = _lead(model), np.asarray(model.prepare(test).inputs[:, 0], float)
        clean = 100 * model.score(test)
        for radius in (0.2, 0.5, 1.0):
            told = _kept(model, lead, scaled[:count], radius, constrained=False)
            kept = _kept(model, lead, scaled[:count], radius, constrained=True)
            counts = [f"{found[answer]}" for found in (told, kept) for answer in Answer]
            changes.add_row(str(seed), f"{clean:.1f}", f"{radius:g}", *counts)
        for radius in (0.25, 0.5, 1.0):
            rising.add_row(str(seed), f"{radius:g}", *map(str, _monotone(lead, radius)))
    return [changes, rising]


def _check(sound: bool) -> None:
    """Stop where an attack went beyond a proof."""
    if not sound:
        raise AssertionError("an attack reached what was proved to be out of reach")


def _lead(model: SequenceClassifier):  # noqa: ANN202 (a function of an array)
    """How far the logit of benign is above that of malignant, of scaled features."""
    with double_precision():
        network = in_double_precision(model.network())
    rows = [int(np.flatnonzero(model.classes_ == kind)[0]) for kind in (1, 0)]

    def lead(features: Array) -> Array:
        logits = network(features[None])
        return (logits[rows[0]] - logits[rows[1]])[None]

    return lead


def _kept(model, lead, cases, radius, *, constrained):  # noqa: ANN001, ANN202
    """Answers for the cases that are right: the class stays that of the network itself."""
    scale, middle = np.asarray(model.scaling_.scale), np.asarray(model.scaling_.offset)
    # Features 0 to 9 are means, 20 to 29 the worst of the same measurements.
    matrix, most = np.zeros((10, 30)), np.zeros(10)
    for index in range(10):
        matrix[index, index], matrix[index, 20 + index] = scale[index], -scale[20 + index]
        most[index] = middle[20 + index] - middle[index]
    counts = dict.fromkeys(Answer, 0)
    for case in cases:
        sign = float(np.sign(np.asarray(lead(jnp.asarray(case)))[0]))
        low, high = case - radius, case + radius
        room = Polytope(matrix, np.maximum(most, matrix @ case), low, high) if constrained else Box(low, high)
        found = prove(lambda x, sign=sign: -sign * lead(x), room, seconds=5)
        counts[found.answer] += 1
    return counts


def _monotone(lead, radius: float) -> list[int]:  # noqa: ANN001
    """How many features let the lead only fall, only rise, do both; and what is not decided."""
    low, counts = np.full(30, -radius), [0, 0, 0, 0]
    for feature in range(30):
        falls, rises = (
            decide(lead, Monotone(feature, rising=rising), low, -low, seconds=4).answer
            for rising in (False, True)
        )
        if Answer.HOLDS in (falls, rises):
            counts[0 if falls is Answer.HOLDS else 1] += 1
        else:
            counts[2 if falls is rises is Answer.VIOLATED else 3] += 1
    return counts


class Sum(eqx.Module):
    """A number read from rows of pixels."""

    cell: GRU
    readout: eqx.nn.Linear

    def __call__(self, rows: Float[Array, "time pixels"]) -> Float[Array, ""]:
        """The predicted sum."""
        return self.readout(exposed(self.cell, unroll(self.cell, rows).last))[0]


class SumTask(Task):
    """Squared errors of sums, a part of them those of the worst change of every pixel.

    Args:
        images: rows of both digits, one below the other.
        sums: of the digits.
        checked: how many of the last are kept for validation.
        within: largest change of a pixel; 0 trains plainly.
        steps: updates of the training.
    """

    images: Float[Array, "cases time pixels"]
    sums: Float[Array, " cases"]
    checked: int = eqx.field(static=True)
    within: float = eqx.field(static=True)
    steps: int = eqx.field(static=True)

    def initial(self, key: PRNGKeyArray) -> Sum:
        """A fresh network."""
        first, second = jax.random.split(key)
        return Sum(GRU(8, 48, key=first), eqx.nn.Linear(48, 1, key=second))

    def draw(self, context):  # noqa: ANN001, ANN201
        """Sixty-four pairs, and how far the change has grown."""
        ids = jax.random.randint(context.key, (64,), 0, len(self.sums) - self.checked)
        grown = jnp.minimum(context.step / (0.6 * self.steps), 1.0)
        return self.images[ids], self.sums[ids], jnp.full(64, grown)

    def losses(self, model, batch, context):  # noqa: ANN001, ANN201
        """One for each pair."""
        del context
        return jax.vmap(lambda rows, total, grown: self.loss(model, rows, total, grown))(*batch)

    def loss(self, model: Sum, rows: Array, total: Array, grown: Array) -> Array:
        """The squared error, half of it that of the worst change when that has grown."""
        plain = (model(rows) - total) ** 2
        if not self.within:
            return plain
        radius = self.within * grown
        box = Interval(rows - radius, rows + radius)
        last = bounded_run(
            lambda row, state: take_step(model.cell, row, state),
            initial_state(model.cell),
            box,
            relaxed=False,
        )
        found = bounded(lambda state: model.readout(exposed(model.cell, state)), last)
        worst = jnp.maximum((found.high[0] - total) ** 2, (found.low[0] - total) ** 2)
        return (1 - grown / 2) * plain + grown / 2 * worst

    def validation(self, model: Sum) -> Array:
        """The mean of what was kept, fully grown."""
        kept = slice(len(self.sums) - self.checked, None)
        one = jnp.ones(self.checked)
        return jax.vmap(lambda *case: self.loss(model, *case))(self.images[kept], self.sums[kept], one).mean()


def pairs(images: np.ndarray, labels: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of two digits, one below the other, and their sums."""
    chosen = np.random.default_rng(seed).integers(0, len(labels), (count, 2))
    return np.concatenate([images[chosen[:, 0]], images[chosen[:, 1]]], axis=1), labels[chosen].sum(axis=1)


def sums_of_digits(seeds: range, count: int, steps: int = 8000) -> Table:
    """How far the predicted sum moves under changes of every pixel: proved, and reached by an attack."""
    cases = digits()
    training = pairs(cases.training.values, np.asarray(cases.training.labels), 6000, 0)
    images, sums = pairs(cases.test.values, np.asarray(cases.test.labels), 400, 1)
    grid = Table(
        title="sum of two digits: mean error, and how far the sum moves (reached / proved, mean of cases)"
    )
    for column in (
        "seed",
        "trained within",
        "mean absolute error",
        "within 0.5 %",
        "0.005",
        "0.01",
        "0.02",
        "0.05",
    ):
        grid.add_column(column)
    for within in (0.0, 0.005):
        for seed in seeds:
            task = SumTask(jnp.asarray(training[0]), jnp.asarray(training[1], float), 600, within, steps)
            settings = TrainingSettings(steps=steps, learning_rate=5e-3, validate_every=400)
            model = train(task, settings, seed).model()
            errors = np.abs(np.asarray(jax.jit(jax.vmap(model))(jnp.asarray(images, jnp.float32))) - sums)
            moved = [_moved(model, images[:count], radius) for radius in (0.005, 0.01, 0.02, 0.05)]
            grid.add_row(
                str(seed), f"{within:g}" if within else "plainly", f"{errors.mean():.3f}",
                f"{100 * (errors < 0.5).mean():.1f}", *(f"{a:.3f} / {b:.3f}" for a, b in moved),
            )  # fmt: skip
    return grid


def _moved(model: Sum, images: np.ndarray, radius: float) -> tuple[float, float]:
    """The largest change of the sum, reached and proved; means of the cases."""
    with double_precision():
        wide = in_double_precision(model)
        shape = images.shape[1:]
        network = network_of(
            trace(lambda flat: wide(flat.reshape(shape))[None], jnp.zeros(shape[0] * shape[1]))
        )
    reached, proved = [], []
    for image in images:
        flat = image.ravel()
        at = network.evaluate(flat[None])[0, 0]
        low, high = flat - radius, flat + radius
        found, bounds = (
            attacked(WholeRuns(network, 1), low, high, flat, samples=200),
            bounds_of(network, low, high),
        )
        reached.append(max(float(found.high.max()) - at, at - float(found.low.min())))
        proved.append(max(float(bounds.high[0]) - at, at - float(bounds.low[0])))
        _check(reached[-1] <= proved[-1] + 1e-9)
    return float(np.mean(reached)), float(np.mean(proved))


def main() -> None:
    """Print and record the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "data", type=Path, nargs="?", help="the folder of JapaneseVowels_train.npz; left out without"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--name", default="verification_training", help="of the file of results")
    parser.add_argument("--cases", type=int, default=60, help="test cases that are attacked and proved")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    seeds, tables = range(asked.seeds), []
    for part in asked.parts:
        tables += tables_of(part, asked, seeds)
        for table in tables[-2:]:
            Console(width=180).print(table)
    record(asked.name, *tables, seeds=seeds)


def tables_of(part: str, asked: argparse.Namespace, seeds: range) -> list[Table]:
    """Those of one part."""
    if part == "cancer":
        return breast_cancer(seeds, min(asked.cases, 40))
    if part == "sums":
        return [sums_of_digits(seeds, min(asked.cases, 20))]
    if part == "JapaneseVowels" and asked.data is None:
        return []
    cases = digits() if part == "digits" else series(asked.data, part)
    return [robust_classifiers(part, cases, seeds, asked.cases)]


if __name__ == "__main__":
    main()
