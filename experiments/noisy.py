"""Noisy recurrent networks on images read pixel by pixel: arXiv 2102.04877 at the scale of a laptop.

Lim, Erichson, Hodgkinson and Mahoney train on all 60 000 images of MNIST, 784 steps, and report for their
noisy network 99.1 % on clean test images (an index of results lists it; their table under perturbed inputs
could not be read). Here 5000 images, 14 x 14 pixels, 196 steps. Every level of noise and every rival is
trained from the same seeds; the level is chosen on validation images, and the 10 000 test images are scored
at the end.

    python -m experiments.noisy FOLDER --seeds 3 --out noisy.jsonl
    python -m experiments.noisy FOLDER --noisy fixed-step --cells --epochs 10
    python -m experiments.noisy FOLDER --pool 1 --seeds 1 --levels 0.03 --cells

The second line trains the cell with a fixed step and stops while the loss on the training images is about the
same at all levels of noise: the curvature of a cross-entropy fades with the loss, which ends lowest without
noise, and learned steps grow with the noise. The third reads all 28 x 28 pixels, 784 steps.

The folder holds MNIST_train.npz and MNIST_test.npz with X (cases, 28, 28) and y.
"""

import argparse
import json
import os
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array
from rich.console import Console
from rich.table import Table

from attractor.audit import (
    ATTACKS,
    PERTURBATIONS,
    RobustnessSettings,
    channel_range,
    labelled_sequences,
    robustness_curves,
    trend,
)
from attractor.cells import Lipschitz, LipschitzForm, antisymmetric
from attractor.classification import EpochSettings, NoiseSettings, ReadoutSettings, SequenceClassifier
from attractor.data import Sequences, stratified_hold_out
from attractor.progress import reporter_for
from attractor.runs import append_log
from benchmarks.recording import record

from .noisy_theory import Theory, measure_theory

CELLS: dict[str, Any] = {
    "lipschitz": partial(Lipschitz, form=LipschitzForm(learned_step="each")),
    "fixed-step": partial(Lipschitz, form=LipschitzForm(learned_step="fixed")),
    "antisymmetric": antisymmetric,
    "gru": "gru",
    "lstm": "lstm",
}
"""The cells of the study; one of the first two is trained with noise as well."""

NOISY = ("lipschitz", "fixed-step")

RATES = {"lipschitz": 2e-2, "fixed-step": 1e-2, "antisymmetric": 2e-2, "gru": 2e-2, "lstm": 3e-3}
"""Learning rates. Those of lipschitz, antisymmetric, gru and lstm were each the best of three or four in
validation without noise, seeds 0 and 9; the one of fixed-step was not varied."""

ANNEALING = 0.2
"""Share of the noise that is left at the end, the best of 0.05, 0.2, 0.5 and 1 in validation, one seed."""

STEPS = {1: 0.03, 2: 0.1}
"""First step of the cells that have one, by the side of the squares that make a pixel."""

SUITE = (PERTURBATIONS["white"].at(0.1, 0.2, 0.3), PERTURBATIONS["salt and pepper"].at(0.03, 0.05, 0.1))
"""Perturbations, in units of pixels from 0 to 1."""

ATTACK = ATTACKS["pgd linf"].at(0.02, 0.05)
ATTACKED = 500
VALIDATION = 0.1
LOSS_ALLOWED = 0.01
"""Clean validation accuracy that the chosen level of noise may cost."""


@dataclass(frozen=True)
class Trial:
    """One training.

    Args:
        cell: a key of `CELLS`.
        noise: standard deviation added to the state at every step.
        seed: of the validation images, the weights, the order and the noise.
        epochs: passes over the training images.
        hidden: units.
        pool: side of the squares of the image whose mean is a pixel.
    """

    cell: str
    noise: float
    seed: int
    epochs: int = 36
    hidden: int = 128
    pool: int = 2


@dataclass(frozen=True)
class Result:
    """What one training gave.

    Args:
        trial: which.
        seconds: of the training, on one core.
        validation: accuracy on clean validation images, then under every perturbation and level.
        test: the same on the test images.
        attacked: accuracy of the first test images under the attack, a level each, clean first.
        theory: measures on the trained network; None for cells that are never trained with noise.
    """

    trial: Trial
    seconds: float
    validation: tuple[float, ...]
    test: tuple[float, ...]
    attacked: tuple[float, ...]
    theory: Theory | None


def pixels(path: Path, pool: int = 2) -> Sequences:
    """Images as sequences of pixels from 0 to 1, row after row.

    Args:
        path: a .npz file with X (cases, rows, columns) of 0 to 255, and y.
        pool: pixels are means over squares of this size.
    """
    with np.load(path, allow_pickle=False) as file:
        images, labels = file["X"] / 255.0, file["y"]
    cases, rows, columns = images.shape
    small = images.reshape(cases, rows // pool, pool, columns // pool, pool).mean(axis=(2, 4))
    return Sequences.from_arrays(small.reshape(cases, -1, 1), labels, ("pixel",))


def run(trial: Trial, folder: Path) -> Result:
    """Train and measure."""
    training, test = (pixels(folder / f"MNIST_{part}.npz", trial.pool) for part in ("train", "test"))
    model = SequenceClassifier(
        cell=_cell(trial),
        hidden_size=trial.hidden,
        standardise=False,
        readout=ReadoutSettings(convolutions=0),
        noise=NoiseSettings(trial.noise, 0.02 if trial.noise else 0.0, annealing=ANNEALING),
        training=EpochSettings(
            epochs=trial.epochs,
            batch_size=64,
            learning_rate=RATES[trial.cell],
            weight_decay=0.0,
            validation_share=VALIDATION,
        ),
        seed=trial.seed,
    )
    begin = time.monotonic()
    model.fit(training)
    seconds = time.monotonic() - begin
    kept, held = stratified_hold_out(np.asarray(training.labels), VALIDATION, trial.seed)
    few = test.select(np.arange(ATTACKED))
    return Result(
        trial=trial,
        seconds=seconds,
        validation=_accuracies(model, training.select(held), training, SUITE),
        test=_accuracies(model, test, training, SUITE),
        attacked=_accuracies(model, few, training, (ATTACK,)),
        theory=measure_theory(model, training.select(_mixed(kept)), few) if trial.cell in NOISY else None,
    )


def _cell(trial: Trial) -> Any:
    cell = CELLS[trial.cell]
    return cell if isinstance(cell, str) else partial(cell, step=STEPS[trial.pool])


def _mixed(cases: np.ndarray) -> np.ndarray:
    """In an order in which every class comes early; the same for all trials of a seed."""
    return np.random.default_rng(0).permutation(cases)


def _accuracies(
    model: SequenceClassifier, data: Sequences, training: Sequences, suite: tuple[Any, ...]
) -> tuple[float, ...]:
    """Clean accuracy, then that of every level of every perturbation, one draw."""
    settings = RobustnessSettings(seeds=(0,), limits=channel_range(training.values))
    labelled = labelled_sequences(data.values.astype(np.float32), np.asarray(data.labels))
    found = robustness_curves(_Whole(model.network()), labelled, suite, settings)
    return (found.clean, *(float(mean) for curve in found.curves for mean in curve.mean))


class _Whole(eqx.Module):
    """A network for sequences that all have the same length."""

    network: Any

    def __call__(self, inputs: Array, length: Array) -> Array:
        """Logits."""
        del length
        return self.network(inputs)


def study(trials: list[Trial], folder: Path, workers: int = 2, out: Path | None = None) -> list[Result]:
    """Run trials side by side, each worker on a core of its own.

    Args:
        trials: what to train.
        folder: of the images.
        workers: processes.
        out: a file with one line of JSON for every trial that has ended; those in it already are not run
            again, so that an interrupted study goes on.
    """
    done = {one.trial: one for one in read_results(out)}
    context = get_context("spawn")
    cores = context.Queue()
    for core in sorted(os.sched_getaffinity(0))[:workers]:
        cores.put(core)
    reporter = reporter_for("study")
    with ProcessPoolExecutor(workers, context, _bind, (cores,)) as pool:
        waiting = [pool.submit(run, trial, folder) for trial in trials if trial not in done]
        for ended in as_completed(waiting):
            result = ended.result()
            done[result.trial] = result
            if out is not None:
                append_log(out, asdict(result))
            reporter.update(len(done), len(trials), f"{result.trial.cell}, noise {result.trial.noise:g}")
    reporter.close()
    return [done[trial] for trial in trials]


def read_results(out: Path | None) -> list[Result]:
    """The results in a file, in the order they came; none if there is no file."""
    if out is None or not out.exists():
        return []
    return [_from_json(json.loads(line)) for line in out.read_text().splitlines()]


def _from_json(fields: dict[str, Any]) -> Result:
    lists = {name: tuple(fields[name]) for name in ("validation", "test", "attacked")}
    theory = fields["theory"]
    return Result(
        trial=Trial(**fields["trial"]),
        seconds=fields["seconds"],
        theory=None if theory is None else Theory(*theory),
        **lists,
    )


def _bind(cores: Any) -> None:
    os.sched_setaffinity(0, {cores.get()})


def chosen_level(results: list[Result], cell: str) -> float:
    """The level of noise with the best mean accuracy of a cell on perturbed validation images.

    Levels that cost more clean validation accuracy than `LOSS_ALLOWED`, against the lowest, are left out.
    """
    levels = sorted({one.trial.noise for one in results if one.trial.cell == cell})
    means = {level: _means(results, cell, level, "validation") for level in levels}
    good = [level for level in levels if means[level][0] >= means[levels[0]][0] - LOSS_ALLOWED]
    return max(good, key=lambda level: means[level][1:].mean())


def _means(results: list[Result], cell: str, noise: float, part: str) -> np.ndarray:
    return np.mean([getattr(one, part) for one in _of(results, cell, noise)], axis=0)


def _of(results: list[Result], cell: str, noise: float) -> list[Result]:
    return [one for one in results if (one.trial.cell, one.trial.noise) == (cell, noise)]


def accuracy_table(results: list[Result], part: str) -> Table:
    """Mean and spread over the seeds of every accuracy, percent.

    Args:
        results: of all trials.
        part: "validation" or "test".
    """
    names = [f"{one.name.split()[0]} {level:g}" for one in SUITE for level in one.levels]
    grid = Table("cell", "noise", "clean", *names, "mean", "training", title=part)
    for cell, noise in dict.fromkeys((one.trial.cell, one.trial.noise) for one in results):
        rows = 100 * np.array([getattr(one, part) for one in _of(results, cell, noise)])
        rows = np.column_stack([rows, rows[:, 1:].mean(axis=1)])
        spread = rows.std(axis=0, ddof=1) if len(rows) > 1 else np.zeros(rows.shape[1])
        shown = [f"{mean:.1f} ± {sd:.1f}" for mean, sd in zip(rows.mean(axis=0), spread, strict=True)]
        seconds = np.mean([one.seconds for one in _of(results, cell, noise)])
        grid.add_row(cell, f"{noise:g}", *shown, f"{seconds:.0f} s")
    return grid


def theory_table(results: list[Result], cell: str) -> Table:
    """Measures of a cell against the level of noise, and their rank correlation with it."""
    own = [(one.trial.noise, one.theory) for one in results if one.trial.cell == cell and one.theory]
    levels = sorted({level for level, _ in own})
    grid = Table("measure", *(f"{level:g}" for level in levels), "rank correlation", "p", title="theory")
    for name in Theory._fields if len(levels) > 2 else ():
        values = [[getattr(theory, name) for at, theory in own if at == level] for level in levels]
        found = trend(levels, values)
        shown = [f"{np.mean(some):.3g}" for some in values]
        grid.add_row(name, *shown, f"{found.correlation:+.2f}", f"{found.p_value:.1g}")
    return grid


def attack_table(results: list[Result]) -> Table:
    """Accuracy under projected gradient descent, percent."""
    grid = Table("cell", "noise", "clean", *(f"{level:g}" for level in ATTACK.levels), title=ATTACK.name)
    for cell, noise in dict.fromkeys((one.trial.cell, one.trial.noise) for one in results):
        rows = 100 * np.array([one.attacked for one in _of(results, cell, noise)])
        grid.add_row(cell, f"{noise:g}", *(f"{mean:.1f}" for mean in rows.mean(axis=0)))
    return grid


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--levels", type=float, nargs="*", default=[0.0, 0.05, 0.1, 0.15, 0.2])
    parser.add_argument("--noisy", choices=NOISY, default=NOISY[0])
    parser.add_argument("--cells", nargs="*", default=["antisymmetric", "gru", "lstm"])
    parser.add_argument("--epochs", type=int, default=36)
    parser.add_argument("--pool", type=int, default=2, choices=list(STEPS))
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    kinds = [(asked.noisy, level) for level in asked.levels] + [(cell, 0.0) for cell in asked.cells]
    trials = [
        Trial(cell, noise, seed, asked.epochs, pool=asked.pool)
        for seed in range(asked.seeds)
        for cell, noise in kinds
    ]
    begin = time.monotonic()
    results = study(trials, asked.folder, asked.workers, asked.out)
    console = Console()
    console.width = max(console.width, 150)  # also where the output is a file
    tables = [accuracy_table(results, "validation"), accuracy_table(results, "test")]
    for table in tables:
        console.print(table)
    console.print(f"chosen on validation: noise {chosen_level(results, asked.noisy):g}")
    tables += [theory_table(results, asked.noisy), attack_table(results)]
    for table in tables[2:]:
        console.print(table)
    record("noisy_pixels", *tables, seeds=range(asked.seeds))
    console.print(f"whole study: {(time.monotonic() - begin) / 60:.1f} min")


if __name__ == "__main__":
    main()
