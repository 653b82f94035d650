"""Multiplicative reweighting against wrong labels: arXiv 2102.12192 at the scale of a laptop.

Bar, Koren and Giryes train image classifiers on CIFAR with 40 % wrong labels. Here a network with one hidden
layer learns scikit-learn's digits by momentum, and recurrent networks learn series, with labels changed on
purpose. The tables of the paper could not be read, so none is quoted. Everything is the default: the strength
is found from the training losses alone, the weights are those after the last epoch, and test cases are scored
once.

    python -m experiments.reweighting --seeds 5 [--data FOLDER]

The folder holds NAME_train.npz and NAME_test.npz for the series.
"""

import argparse
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from rich.console import Console
from rich.table import Table
from scipy.stats import rankdata

from attractor.classification import SequenceClassifier
from attractor.data import Sequences, corrupt, read_sequences, stratified_hold_out
from benchmarks.recording import record

from .reweighting_digits import ATTACK, Fitted, digits, fit_digits, out_of_sample

METHODS: dict[str, dict[str, Any]] = {
    "cross-entropy": {},
    "reweighted": {"reweighting": "auto"},
    "label smoothing": {"loss": "label-smoothing"},
    "generalised cross-entropy": {"loss": "generalised-cross-entropy"},
    "symmetric cross-entropy": {"loss": "symmetric-cross-entropy"},
    "early learning": {"loss": "early-learning"},
    "co-teaching, told the share": {"coteaching": None},
}
"""Options of each method; co-teaching is told the share of wrong labels, which nobody knows in practice."""

SERIES: dict[str, dict[str, Any]] = {
    "JapaneseVowels": {"hidden_size": 32, "training__epochs": 60},
    "SpokenDigitsMFCC": {"hidden_size": 32, "training__epochs": 40, "training__batch_size": 64},
    "PenDigits": {"hidden_size": 32, "training__epochs": 30, "training__batch_size": 64},
}
"""Data sets and the GRU that learns each of them."""

WHOLE: dict[str, Any] = {
    "training__validation_share": 0.0,
    "training__keep": "last",
    "readout__convolutions": 0,
}
"""Train the network alone, on all cases: there is nothing to choose."""


@dataclass(frozen=True)
class Outcome:
    """One training.

    Args:
        accuracy: on the test cases, whose labels are right.
        mass: share of the weight on wrong labels at the end; NaN if there are none.
        detection: area under the receiver operating characteristic of the total loss as a detector of wrong
            labels; NaN if there are none.
        memorised: share of the wrong labels that the network reproduces; NaN if there are none.
        seconds: of the training, with compilation; on the digits with the attack.
        attacked: accuracy under projected gradient descent of the middle size of `ATTACK`; NaN for series.
    """

    accuracy: float
    mass: float
    detection: float
    memorised: float
    seconds: float
    attacked: float


@dataclass(frozen=True)
class Line:
    """All seeds of one method on one data set.

    Args:
        data: the name of the data set.
        share: of wrong labels.
        method: a key of `METHODS`.
        outcomes: a seed each.
    """

    data: str
    share: float
    method: str
    outcomes: tuple[Outcome, ...]

    def values(self, name: str) -> Float[np.ndarray, " seeds"]:
        """One figure of all seeds."""
        return np.array([getattr(outcome, name) for outcome in self.outcomes])


def area_under_curve(scores: Float[np.ndarray, " cases"], wrong: Bool[np.ndarray, " cases"]) -> float:
    """The probability that a wrong case scores higher than a right one; NaN without wrong ones."""
    ranks, count = rankdata(scores), int(wrong.sum())
    if count in (0, len(wrong)):
        return float("nan")
    return float((ranks[wrong].sum() - count * (count + 1) / 2) / (count * (len(wrong) - count)))


def reproduce_digits(shares: Iterable[float], seeds: Iterable[int], epochs: int = 60) -> list[Line]:
    """Every method on the digits, 1000 for training and 797 for the test, divided anew by every seed.

    Args:
        shares: of labels changed to another class.
        seeds: of the division, the changes and the training.
        epochs: passes over the training digits.
    """
    seeds = list(seeds)
    lines = []
    for share in shares:
        for method, options in METHODS.items():
            if "coteaching" in options and not share:
                continue
            outcomes = tuple(_digits_outcome(share, options, seed, epochs) for seed in seeds)
            lines.append(Line("digits", share, method, outcomes))
    return lines


def _digits_outcome(share: float, options: dict[str, Any], seed: int, epochs: int) -> Outcome:
    data = digits(share, seed)
    begin = time.monotonic()
    fitted = fit_digits(data, _told(options, share), seed, epochs)
    return _outcome(fitted, data.labels, data.wrong, time.monotonic() - begin)


def reproduce_series(
    folder: Path, names: Iterable[str], shares: Iterable[float], seeds: Iterable[int]
) -> list[Line]:
    """Cross-entropy and reweighting on series; without a test file, 30 % of the training cases are the test.

    Args:
        folder: holds NAME_train.npz and, where there is one, NAME_test.npz.
        names: keys of `SERIES`.
        shares: of labels changed to another class.
        seeds: of the changes and the training.
    """
    shares, seeds = list(shares), list(seeds)
    lines = []
    for name in names:
        training, test = _divided(folder, name)
        for share in shares:
            for method in ("cross-entropy", "reweighted"):
                labels = {f"labels__{option}": value for option, value in METHODS[method].items()}
                options = {**SERIES[name], **labels}
                outcomes = tuple(_series_outcome(training, test, share, (options, seed)) for seed in seeds)
                lines.append(Line(name, share, method, outcomes))
    return lines


def _divided(folder: Path, name: str) -> tuple[Sequences, Sequences]:
    training = read_sequences(folder / f"{name}_train.npz")
    path = folder / f"{name}_test.npz"
    if path.exists():
        return training, read_sequences(path, like=training)
    kept, held = stratified_hold_out(np.asarray(training.labels), 0.3, seed=0)
    return training.select(kept), training.select(held)


def _series_outcome(
    training: Sequences, test: Sequences, share: float, how: tuple[dict[str, Any], int]
) -> Outcome:
    options, seed = how
    labels, wrong = corrupt(np.asarray(training.labels), len(training.classes), share, seed=seed)
    model = SequenceClassifier(seed=seed).set_params(**options, **WHOLE)
    begin = time.monotonic()
    model.fit(replace(training, labels=labels))
    seconds = time.monotonic() - begin
    history = model.case_history_
    fitted = Fitted(
        model.score(test), history.weights, history.scores.sum(axis=0), history.logits.argmax(axis=1)
    )
    return _outcome(fitted, labels, wrong, seconds)


def cleanlab_detection(share: float, seeds: Iterable[int], epochs: int = 60) -> Float[np.ndarray, " seeds"]:
    """What cleanlab's label quality makes of the same digits, by networks of five-fold cross-validation.

    Raises:
        ImportError: cleanlab is not installed.
    """
    from cleanlab.rank import get_label_quality_scores  # pyright: ignore[reportMissingImports]

    areas = []
    for seed in seeds:
        data = digits(share, seed)
        quality = get_label_quality_scores(data.labels, out_of_sample(data, seed, epochs))
        areas.append(area_under_curve(-quality, data.wrong))
    return np.array(areas)


def _told(options: dict[str, Any], share: float) -> dict[str, Any]:
    return {"coteaching": share} if "coteaching" in options else options


def _outcome(
    fitted: Fitted,
    labels: Int[np.ndarray, " cases"],
    wrong: Bool[np.ndarray, " cases"],
    seconds: float,
) -> Outcome:
    some = bool(wrong.any())
    return Outcome(
        accuracy=fitted.accuracy,
        mass=float(fitted.weights[wrong].sum() / fitted.weights.sum()) if some else float("nan"),
        detection=area_under_curve(fitted.totals, wrong),
        memorised=float(np.mean(fitted.predicted[wrong] == labels[wrong])) if some else float("nan"),
        seconds=seconds,
        attacked=fitted.attacked[len(fitted.attacked) // 2],
    )


def render(lines: list[Line]) -> Table:
    """A table of mean and spread over the seeds."""
    grid = Table(
        "data",
        "wrong labels",
        "training",
        "test accuracy %",
        "weight on wrong",
        "detection",
        "memorised",
        f"{ATTACK.name} {ATTACK.levels[1]:g}",
        "time",
    )
    for line in lines:
        accuracy = 100 * line.values("accuracy")
        spread = f" ± {accuracy.std(ddof=1):.1f}" if len(accuracy) > 1 else ""
        row = [f"{accuracy.mean():.1f}{spread}"]
        for name, digits_shown in (("mass", 3), ("detection", 4), ("memorised", 2), ("attacked", 3)):
            mean = line.values(name).mean()
            row.append("" if np.isnan(mean) else f"{mean:.{digits_shown}f}")
        seconds = float(np.median(line.values("seconds")))
        grid.add_row(line.data, f"{line.share:.0%}", line.method, *row, f"{seconds:.1f} s")
    return grid


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--shares", type=float, nargs="*", default=[0.0, 0.2, 0.4, 0.6])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--series", nargs="*", default=list(SERIES))
    parser.add_argument("--cleanlab", action="store_true")
    asked = parser.parse_args()
    seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
    console = Console()
    console.width = max(console.width, 120)  # also where the output is a file
    tables: list[Table | list[dict[str, Any]]] = [render(reproduce_digits(asked.shares, seeds))]
    console.print(tables[0])
    if asked.cleanlab:
        means = {share: float(cleanlab_detection(share, seeds).mean()) for share in asked.shares if share}
        for share, mean in means.items():
            console.print(f"cleanlab, digits, {share:.0%}: detection {mean:.4f}")
        tables.append([{"share": share, "cleanlab, detection": mean} for share, mean in means.items()])
    if asked.data is not None:
        tables.append(render(reproduce_series(asked.data, asked.series, (0.0, 0.4), seeds)))
        console.print(tables[-1])
    record("wrong_labels", *tables, seeds=seeds)


if __name__ == "__main__":
    main()
