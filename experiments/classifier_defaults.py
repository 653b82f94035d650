"""`SequenceClassifier()` as it comes beside MiniRocket, on public series sets, without tuning.

Five folds of the training part of every set, the same as those of `baselines.json` in the folder (stratified,
shuffled, seed 0), in which the figures of MiniRocket with a ridge and of a ridge on summary statistics stand.
Where the folder has a test part, a model of the whole training part is scored on it once. Options were
settled by such folds on the eight sets called SETTLED; the others were judged once, afterwards. The data are
not part of the repository.

    python -m experiments.classifier_defaults ../shared/data/timeseries
"""

import argparse
import json
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from rich.console import Console
from rich.table import Table
from sklearn.model_selection import StratifiedKFold

from attractor import SequenceClassifier
from attractor.data import Sequences, read_sequences
from benchmarks.recording import record

SETTLED = (
    "GunPoint",
    "BasicMotions",
    "ItalyPowerDemand",
    "JapaneseVowels",
    "RacketSports",
    "NATOPS",
    "ECG5000",
    "HAR_subset",
)
JUDGED = ("SpokenDigitsMFCC", "WatchExercises", "MNIST", "PenDigits")
FOLDS = 5
ASKED = 0.9
"""Coverage that is asked of sets of labels."""


@dataclass(frozen=True, eq=False)
class Line:
    """One data set.

    Args:
        data: its name.
        folds: accuracies in percent, shape (seeds, folds).
        share: mean share of the recurrent network.
        seconds: a training.
        test: accuracy on the test part in percent; None without one.
        sets: stated and measured coverage of sets of labels there, and labels in a set.
    """

    data: str
    folds: Float[np.ndarray, "seeds folds"]
    share: float
    seconds: float
    test: float | None = None
    sets: tuple[float, float, float] | None = None


def judge(folder: Path, name: str, seeds: list[int]) -> Line:
    """All folds of one set, and its test part where there is one."""
    data = read_sequences(folder / f"{name}_train.npz")
    divided = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    begin, models, scores = time.monotonic(), [], []
    for seed in seeds:
        for known, asked in divided.split(np.zeros(len(data)), np.asarray(data.labels)):
            models.append(SequenceClassifier(seed=seed).fit(data.select(known)))
            scores.append(100 * models[-1].score(data.select(asked)))
    seconds = (time.monotonic() - begin) / len(models)
    folds = np.array(scores).reshape(len(seeds), FOLDS)
    line = Line(name, folds, float(np.mean([model.share_ for model in models])), seconds)
    path = folder / f"{name}_test.npz"
    return line if not path.exists() else _tested(line, data, read_sequences(path, like=data))


def _tested(line: Line, data: Sequences, test: Sequences) -> Line:
    model = SequenceClassifier().fit(data)
    found = model.predict_sets(test, ASKED).assessed(model.labels_of(test))
    sets = 100 * found["stated"], 100 * found["measured"], found["mean_size"]
    return Line(line.data, line.folds, line.share, line.seconds, 100 * model.score(test), sets)


def rows(lines: list[Line], known: dict[str, dict[str, dict[str, float]]]) -> list[dict[str, object]]:
    """The figures, beside those of the baselines."""
    found = []
    for line in lines:
        peer, simple = (known.get(line.data, {}).get(key, {}) for key in ("minirocket", "ridge_summary"))
        mean, other = float(line.folds.mean()), peer.get("mean")
        found.append({
            "data": line.data,
            "ours": mean,
            "of the seeds": line.folds.mean(axis=1).round(2).tolist(),
            "MiniRocket": other,
            "ahead by": None if other is None else mean - other,
            "ridge on summary": simple.get("mean"),
            "recurrent share": line.share,
            "seconds": line.seconds,
            "test": line.test,
            "MiniRocket, test": peer.get("test_shared"),
            "sets: stated, held, labels": line.sets,
        })
    return found


def render(found: list[dict[str, object]]) -> Table:
    """The same as people read it."""
    grid = Table(*(found[0] if found else ()))
    for row in found:
        grid.add_row(
            *(f"{value:.2f}" if isinstance(value, float) else _text(value) for value in row.values())
        )
    return grid


def _text(value: object) -> str:
    if value is None:
        return ""
    numbers = isinstance(value, list | tuple)
    return " ".join(f"{one:.1f}" for one in value) if numbers else str(value)


def main() -> None:
    """Judge, print, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", nargs="*", default=[*SETTLED, *JUDGED])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--name", default="classifier_defaults", help="of the file of results")
    asked = parser.parse_args()
    warnings.filterwarnings("ignore")
    known = json.loads((asked.folder / "baselines.json").read_text())
    console, lines = Console(width=200), []
    for name in asked.data:
        lines.append(judge(asked.folder, name, list(range(asked.seeds))))
        console.print(render(rows(lines[-1:], known)))
        record(asked.name, rows(lines, known), seeds=range(asked.seeds))


if __name__ == "__main__":
    main()
