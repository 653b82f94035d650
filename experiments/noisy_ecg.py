"""Heart beats under disturbed inputs: the second data set of arXiv 2102.04877.

Lim, Erichson, Hodgkinson and Mahoney tell normal from abnormal beats of ECG5000 and report 97.7 % for their
noisy network on clean beats (an index of results lists it); here all five classes are told apart as well. A
fifth of the training beats chooses the epoch and, over all seeds, the level of noise; test beats are scored
once, under every perturbation at every level, and the worst inputs are looked for on some of them.

    python -m experiments.noisy_ecg FOLDER --seeds 3 --out ecg.html

The folder holds ECG5000_train.npz and ECG5000_test.npz; class 0 is the normal beat.
"""

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from attractor.audit import (
    ATTACKS,
    PERTURBATIONS,
    RobustnessCurves,
    RobustnessSettings,
    channel_range,
    robustness_curves,
)
from attractor.cells import Lipschitz, LipschitzForm
from attractor.classification import EpochSettings, NoiseSettings, ReadoutSettings, SequenceClassifier
from attractor.classification.reading import scaled_cases, value_logits
from attractor.data import Sequences, read_sequences, stratified_hold_out
from attractor.progress import reporter_for
from attractor.report import page as report_page
from attractor.report.about import About
from benchmarks.recording import record
from experiments.compared_curves import compared_contents

NETWORKS: dict[str, tuple[Any, float]] = {
    "lipschitz": (partial(Lipschitz, step=0.1, form=LipschitzForm(learned_step="each")), 1e-2),
    "antisymmetric": ("antisymmetric", 1e-2),
    "gru": ("gru", 1e-2),
    "lstm": ("lstm", 3e-3),
}
"""Cells and their learning rates, the better of 3e-3 and 1e-2 by the loss on validation beats (five classes,
two seeds, without noise). The first is trained with noise as well."""

LEVELS = (0.02, 0.05, 0.1)
"""Levels of noise of which validation chooses one."""

TASKS = {"normal or abnormal": ("normal", "abnormal"), "five classes": None}
"""What is told apart; None keeps the classes of the file."""

HIDDEN, EPOCHS, ANNEALING, VALIDATION, ATTACKED = 64, 40, 0.2, 0.2, 300
NOISY = "lipschitz, noise"


@dataclass(frozen=True)
class Beats:
    """One task.

    Args:
        training: beats to learn from.
        test: beats that are scored once.
    """

    training: Sequences
    test: Sequences


@dataclass(frozen=True)
class Trial:
    """One training: a key of `NETWORKS`, the noise of every step, and the seed of everything."""

    network: str
    noise: float
    seed: int


def beats(folder: Path, name: str) -> Beats:
    """The beats with the classes of a task."""
    training = read_sequences(folder / "ECG5000_train.npz")
    test = read_sequences(folder / "ECG5000_test.npz", like=training)
    return Beats(*(_told_apart(part, TASKS[name]) for part in (training, test)))


def _told_apart(data: Sequences, classes: tuple[str, ...] | None) -> Sequences:
    """With the first class against all others, if there are to be two."""
    if classes is None:
        return data
    return replace(data, labels=np.minimum(np.asarray(data.labels), 1), classes=classes)


def fitted(task: Beats, trial: Trial) -> SequenceClassifier:
    """One trained classifier."""
    cell, rate = NETWORKS[trial.network]
    return SequenceClassifier(
        cell=cell,
        hidden_size=HIDDEN,
        readout=ReadoutSettings(convolutions=0),
        noise=NoiseSettings(trial.noise, annealing=ANNEALING),
        training=EpochSettings(
            epochs=EPOCHS,
            batch_size=32,
            learning_rate=rate,
            weight_decay=0.0,
            validation_share=VALIDATION,
        ),
        seed=trial.seed,
    ).fit(task.training)


def validated(task: Beats, trial: Trial) -> tuple[float, float]:
    """Accuracy on clean and mean accuracy on perturbed validation beats."""
    model = fitted(task, trial)
    _, held = stratified_hold_out(np.asarray(task.training.labels), VALIDATION, trial.seed)
    curves = _curves(model, task, task.training.select(held), tuple(PERTURBATIONS.values()), (0, 1, 2))
    return curves.clean, float(np.mean([curve.mean.mean() for curve in curves.curves]))


def tested(task: Beats, trial: Trial) -> RobustnessCurves:
    """Every perturbation on all test beats and every attack on some, one draw."""
    model = fitted(task, trial)
    some = np.random.default_rng(0).permutation(len(task.test))[:ATTACKED]
    whole = _curves(model, task, task.test, tuple(PERTURBATIONS.values()), (trial.seed,))
    attacked = _curves(model, task, task.test.select(some), tuple(ATTACKS.values()), (trial.seed,))
    return replace(whole, curves=whole.curves + attacked.curves)


def _curves(
    model: SequenceClassifier, task: Beats, data: Sequences, suite: tuple[Any, ...], seeds: tuple[int, ...]
) -> RobustnessCurves:
    limits = channel_range(scaled_cases(model, task.training).inputs)
    settings = RobustnessSettings(seeds=seeds, limits=limits)
    return robustness_curves(value_logits(model), scaled_cases(model, data), suite, settings)


def merged(curves: Sequence[RobustnessCurves]) -> RobustnessCurves:
    """The curves of one network trained from several seeds, side by side."""
    first = curves[0]
    joined = tuple(
        replace(curve, accuracies=np.concatenate([one.curves[place].accuracies for one in curves], axis=1))
        for place, curve in enumerate(first.curves)
    )
    seeds = tuple(seed for one in curves for seed in one.seeds)
    return replace(first, clean=float(np.mean([one.clean for one in curves])), seeds=seeds, curves=joined)


def study(folder: Path, name: str, seeds: Sequence[int], workers: int) -> dict[str, RobustnessCurves]:
    """Choose the level of noise on validation beats, then score every network on the test beats.

    Args:
        folder: of the data.
        name: a key of `TASKS`.
        seeds: of the trainings.
        workers: processes.

    Returns:
        For every network its curves over the seeds; the noisy one is called with its level.
    """
    task = beats(folder, name)
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        trials = [Trial("lipschitz", level, seed) for level in LEVELS for seed in seeds]
        found = _followed(pool.map(partial(validated, task), trials), len(trials), f"{name}, levels")
        level = chosen_level(trials, found)
        kinds = {f"{NOISY} {level:g}": ("lipschitz", level), **{one: (one, 0.0) for one in NETWORKS}}
        plan = [Trial(*kind, seed) for kind in kinds.values() for seed in seeds]
        curves = _followed(pool.map(partial(tested, task), plan), len(plan), f"{name}, test")
    each = len(seeds)
    return {kind: merged(curves[each * place : each * (place + 1)]) for place, kind in enumerate(kinds)}


def _followed(results: Iterable[Any], count: int, title: str) -> list[Any]:
    """All results, with progress."""
    reporter, found = reporter_for(title), []
    for one in results:
        found.append(one)
        reporter.update(len(found), count)
    reporter.close()
    return found


def chosen_level(trials: Sequence[Trial], found: Sequence[tuple[float, float]]) -> float:
    """The level with the best mean over clean and perturbed validation beats and all seeds."""
    means = {
        level: np.mean([sum(one) for trial, one in zip(trials, found, strict=True) if trial.noise == level])
        for level in {trial.noise for trial in trials}
    }
    return max(sorted(means), key=lambda level: means[level])


def render(name: str, found: dict[str, RobustnessCurves]) -> Table:
    """Accuracies, percent: clean, and mean and spread over the levels of every perturbation."""
    first = next(iter(found.values()))
    grid = Table("network", "clean", *(curve.name for curve in first.curves), title=name)
    for network, curves in found.items():
        row = []
        for curve in curves.curves:
            means = 100 * curve.accuracies.mean(axis=0)
            row.append(f"{means.mean():.1f} ± {means.std(ddof=1) if len(means) > 1 else 0.0:.1f}")
        grid.add_row(network, f"{100 * curves.clean:.1f}", *row)
    return grid


def main() -> None:
    """Print the tables and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--tasks", nargs="*", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--out", type=Path, default=Path("ecg.html"))
    asked = parser.parse_args()
    console = Console()
    console.width = max(console.width, 150)  # also where the output is a file
    found = {name: study(asked.folder, name, range(asked.seeds), asked.workers) for name in asked.tasks}
    tables = [render(name, curves) for name, curves in found.items()]
    for table in tables:
        console.print(table)
    record("noisy_ecg", *tables, seeds=range(asked.seeds))
    command = " ".join(["python -m experiments.noisy_ecg", *sys.argv[1:]])
    document = report_page.render(compared_contents(found), About("ECG5000", command))
    console.print(f"page: {report_page.write_document(document, asked.out)}")


if __name__ == "__main__":
    main()
