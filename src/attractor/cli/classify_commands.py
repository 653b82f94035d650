"""Commands about classification: classify, robustness, suspects."""

import shlex
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.table import Table as Grid
from tyro.conf import OmitArgPrefixes, Positional

from attractor.errors import ConfigError
from attractor.settings import Count, CountOrNone, NonNegative, PartialShare, Positive, Seed, Share

from .console import console, escaped, show_findings
from .saved_cell import cell_of, given_cell

if TYPE_CHECKING:
    from attractor.data import Finding, Sequences


@dataclass(frozen=True)
class SeriesColumns:
    """How the columns of a table of series are read; other formats name their own."""

    label_column: str | None = None
    """Column of the class; one called label, class, target or y is found by itself."""
    id_column: str | None = None
    """Column that tells the cases apart; one called id, case, series or sequence is found by itself."""
    time_column: str | None = None
    """Column by which the rows of a case are ordered; one called time, timestamp or t is found by itself."""
    delimiter: str | None = None
    """What stands between two cells; found by itself if not given."""


@dataclass(frozen=True)
class Classifier:
    """What is trained."""

    cell: str = "gru"
    """gru, lstm, mgrn, lipschitz, antisymmetric, tanh, ... or your own class: file.py:Class."""
    hidden: Count = 64
    """Units a layer; for mgrn those of every group."""
    layers: Count = 1
    """Cells in the stack."""
    groups: str | None = None
    """Variables that belong together, for mgrn: "acc_*,gyro_*" or "0-2,3-5"; each for itself if not given."""
    pooling: Literal["last", "mean"] = "last"
    """What the classes are read from: the state after the last sample, or its mean over time."""
    missing: Literal["error", "zero", "forward", "forward+mask", "forward+mask+age", "cell"] = "error"
    """What becomes of missing values; cell hands them to a cell that knows what to do, such as mgrn."""
    standardise: bool = True
    """Scale every variable to mean 0 and spread 1 by the training cases."""
    class_weight: Literal["none", "balanced"] = "none"
    """balanced lets every class count the same in the loss, however rare; none counts every case the same."""


@dataclass(frozen=True)
class Learning:
    """How it is trained."""

    noise: NonNegative = 0.0
    """Standard deviation of the noise in the hidden state at every step of the training."""
    multiplicative_noise: NonNegative = 0.0
    """The same in proportion to what the step changes."""
    annealing: Share = 1.0
    """Share of the noise that is left at the end; 1 keeps it constant."""
    dropout: PartialShare = 0.0
    """Share of the last state that training drops."""
    input_dropout: PartialShare = 0.0
    """Share of the channels that training drops, the same ones for a whole series."""
    loss: str = "cross-entropy"
    """cross-entropy, label-smoothing, generalised-cross-entropy, symmetric-cross-entropy, early-learning."""
    reweight: str = "none"
    """none weighs all cases alike, auto fades out those whose labels look wrong, a number is the strength."""
    balance: Literal["none", "class"] = "none"
    """With --reweight: class keeps the share of every class, so that no rare class fades out as a whole."""
    epochs: Count = 60
    """Passes over the training cases."""
    batch_size: Count = 32
    """Cases a step."""
    learning_rate: Positive = 3e-3
    """Peak of the learning rate."""
    weight_decay: NonNegative = 1e-4
    """Of AdamW."""
    validation_share: PartialShare = 0.2
    """Share of every class that chooses epoch and temperature; 0 trains on everything."""
    keep: Literal["best", "last"] = "best"
    """Weights of the epoch that did best in validation, or the last ones."""
    seeds: Count = 1
    """Networks trained side by side; the best in validation is kept."""
    seed: Seed = 0
    """All randomness follows from it."""


@dataclass(frozen=True)
class ClassifyCommand:
    """Train a classifier of multivariate series, judge it on unseen cases and write a report."""

    data: Positional[Path]
    """The training cases: an .npz, .ts or .arff file, or a table with one row a case and time."""
    out: Path
    """The run folder; an interrupted training goes on when the command is given again."""
    test: Path | None = None
    """The test cases; a fifth of every class of the data is held out if not given."""
    weight_groups: Path | None = None
    """A table with the columns case and group (patient, annotator, device): cases of one group stay together
    when cases are held out, and share one weight with --reweight. Without the column case: a row for each
    case, in their order."""
    overwrite: bool = False
    """Replace a finished run in that folder."""
    columns: OmitArgPrefixes[SeriesColumns] = field(default_factory=SeriesColumns)
    model: OmitArgPrefixes[Classifier] = field(default_factory=Classifier)
    learning: OmitArgPrefixes[Learning] = field(default_factory=Learning)

    def run(self) -> None:
        """Read, divide, train, save, judge, report."""
        from attractor.classification.classifier_page import write_classifier_report
        from attractor.classification.classifier_study import classify, divide, run_contents
        from attractor.data import read_case_groups
        from attractor.progress import reporter_for
        from attractor.runs import UNJUDGED, check_free
        from attractor.scan import keep_freed_memory
        from attractor.training.spreading import use_all_cores

        keep_freed_memory()
        use_all_cores()
        check_free(self.out, overwrite=self.overwrite)
        model = _classifier(self.model, self.learning)
        data = _read(self.data, self.columns)
        test = None if self.test is None else _read(self.test, self.columns, like=data)
        groups = None if self.weight_groups is None else read_case_groups(self.weight_groups, data)
        roles = divide(data, test, self.learning.validation_share, self.learning.seed, groups)
        console.print(escaped(roles.explanation), soft_wrap=True)
        findings = _warnings(roles)
        show_findings(findings) if findings else None
        with warnings.catch_warnings():  # the data doctor has said so already
            warnings.filterwarnings("ignore", message="variable .* is constant")
            classify(model, roles, self.out, reporter_for("training"))
        files = {"source": str(self.data), "test_source": str(self.test) if self.test else None}
        command = {"command": shlex.join(["attractor", *sys.argv[1:]])}
        # Whatever happens after training may not lose it.
        model.save(self.out, card=command | UNJUDGED, overwrite=self.overwrite)
        console.print(f"trained and saved in {escaped(self.out)}; judging it now", soft_wrap=True)
        card, arrays = run_contents(model, roles, {**files, "findings": [_fact(one) for one in findings]})
        model.save(self.out, card=card | command, evaluation=arrays, overwrite=True)
        report = write_classifier_report(self.out, None if isinstance(model.cell, str) else model.cell)
        _show_scores(card["metrics"]["test"])
        console.print(f"report: [bold]{escaped(report)}[/]", soft_wrap=True)


@dataclass(frozen=True)
class RobustnessCommand:
    """Disturb the inputs of a trained classifier and see how long its answers stay right."""

    folder: Positional[Path]
    """The run folder."""
    data: Positional[Path]
    """Labelled cases that it was not trained on."""
    seeds: Count = 5
    """Draws of every perturbation."""
    attacks: bool = False
    """Look for the worst inputs as well, which takes much longer."""
    fragility_cases: CountOrNone = 24
    """Cases whose fragility over time is followed; 0 for none."""
    time_budget: NonNegative = 20.0
    """Seconds for the search for a stability certificate."""
    cell: str | None = None
    """file.py:Class, for a run with a cell of your own."""
    columns: OmitArgPrefixes[SeriesColumns] = field(default_factory=SeriesColumns)

    def run(self) -> None:
        """Load, disturb, save, report."""
        from attractor.classification import SequenceClassifier
        from attractor.classification.classifier_study import known_cases, save_robustness, training_limits
        from attractor.classification.robustness_page import write_robustness_report
        from attractor.classification.robustness_study import RobustnessPlan, robustness_study
        from attractor.progress import reporter_for

        plan = RobustnessPlan(
            seeds=self.seeds,
            attacks=self.attacks,
            fragility_cases=self.fragility_cases,
            time_budget=self.time_budget,
        )
        model = SequenceClassifier.load(self.folder, cell_of(self.folder, self.cell))
        data = _read(self.data, self.columns, like=known_cases(model))
        study = robustness_study(model, data, plan, training_limits(self.folder), reporter_for)
        command = shlex.join(["attractor", *sys.argv[1:]])
        saved = save_robustness(self.folder, study, model.origin, source=str(self.data), command=command)
        report = write_robustness_report(self.folder, study, model.names_, command, model.origin)
        _show_curves(study)
        console.print(f"wrote [bold]{escaped(saved)}[/]", soft_wrap=True)
        console.print(f"report: [bold]{escaped(report)}[/]", soft_wrap=True)


@dataclass(frozen=True)
class SuspectsCommand:
    """List the training cases whose labels look wrong, the most suspicious first."""

    folder: Positional[Path]
    """The run folder."""
    top: Count = 20
    """How many to show; the file has all of them."""
    out: Path | None = None
    """CSV file to write."""
    cell: str | None = None
    """file.py:Class, for a run with a cell of your own."""

    def run(self) -> None:
        """Load, rank, show, write."""
        from attractor.classification import SequenceClassifier
        from attractor.classification.classifier_study import write_suspects

        model = SequenceClassifier.load(self.folder, cell_of(self.folder, self.cell))
        suspects, classes = model.suspects(), [str(name) for name in model.classes_]
        _show_suspects(suspects, classes, self.top)
        if self.out is not None:
            write_suspects(self.out, suspects, classes, model.origin)
            console.print(f"wrote [bold]{escaped(self.out)}[/]", soft_wrap=True)


def _read(path: Path, columns: SeriesColumns, like: "Sequences | None" = None) -> "Sequences":
    from attractor.data import LongColumns, read_sequences

    asked = LongColumns(
        case=columns.id_column,
        label=columns.label_column,
        time=columns.time_column,
        delimiter=columns.delimiter,
    )
    return read_sequences(path, None if asked == LongColumns() else asked, like=like)


def _classifier(model: Classifier, learning: Learning) -> Any:
    from attractor.classification import EpochSettings, LabelSettings, NoiseSettings, SequenceClassifier

    options = {**vars(model), "cell": given_cell(model.cell) or model.cell}
    options["hidden_size"] = options.pop("hidden")
    balanced = options.pop("class_weight") == "balanced"
    return SequenceClassifier(
        **options,
        noise=NoiseSettings(
            additive=learning.noise,
            multiplicative=learning.multiplicative_noise,
            annealing=learning.annealing,
            dropout=learning.dropout,
            input_dropout=learning.input_dropout,
        ),
        labels=LabelSettings(learning.loss, reweighting_of(learning.reweight, learning.balance)),
        class_weight="balanced" if balanced else None,
        training=EpochSettings(
            epochs=learning.epochs,
            batch_size=learning.batch_size,
            learning_rate=learning.learning_rate,
            weight_decay=learning.weight_decay,
            validation_share=learning.validation_share,
            keep=learning.keep,
            seeds=learning.seeds,
        ),
        seed=learning.seed,
    )


def reweighting_of(text: str, balance: Literal["none", "class"]) -> Any:
    """What `--reweight` and `--balance` mean.

    Args:
        text: none, auto, or the strength as a number.
        balance: none or class.

    Raises:
        ConfigError: anything else.
    """
    from attractor.training import Reweighting

    if text == "none":
        if balance != "none":
            raise ConfigError(f"--balance {balance} is about reweighting; give --reweight as well")
        return None
    try:
        strength = text if text == "auto" else float(text)
    except ValueError:
        raise ConfigError(f"--reweight {text}: expected none, auto or a strength of at least 0") from None
    return Reweighting(strength=strength, balance=balance)


def _warnings(roles: Any) -> "list[Finding]":
    from attractor.data import compare_sequences, examine_sequences

    found = [*examine_sequences(roles.training), *compare_sequences(roles.training, roles.test)]
    return [finding for finding in found if finding.severity.name != "NOTE"]


def _fact(finding: "Finding") -> dict[str, str]:
    return {"severity": finding.severity.value, "message": finding.message, "advice": finding.advice}


def _show_scores(metrics: dict[str, Any]) -> None:
    grid = Grid("figure", "value", "95 % interval", title=f"{metrics['cases']} unseen cases")
    for name, words in (
        ("accuracy", "accuracy"),
        ("balanced_accuracy", "balanced accuracy"),
        ("macro_f1", "macro F1"),
        ("roc_auc", "AUC-ROC"),
        ("average_precision", "average precision"),
        ("log_loss", "log loss"),
        ("calibration_error", "calibration error"),
    ):
        if name in metrics:
            ends = metrics.get(f"{name}_interval")
            grid.add_row(words, f"{metrics[name]:.4f}", f"{ends[0]:.4f} to {ends[1]:.4f}" if ends else "")
    console.print(grid)


def _show_curves(study: Any) -> None:
    curves = study.curves
    grid = Grid("perturbation", "level", "accuracy", title=f"clean accuracy {curves.clean:.4f}")
    for curve in curves.curves:
        for level, mean in zip(curve.levels, curve.mean, strict=True):
            grid.add_row(escaped(curve.name), f"{level:g}", f"{mean:.4f}")
    console.print(grid)
    for remark in study.remarks:
        console.print(escaped(remark), soft_wrap=True)


def _show_suspects(suspects: Any, classes: list[str], top: int) -> None:
    grid = Grid("rank", "case", "given label", "proposed", "mean loss", "stands apart", "weight")
    for place in range(min(top, len(suspects))):
        grid.add_row(
            str(place + 1),
            escaped(suspects.ids[place]),
            escaped(classes[suspects.labels[place]]),
            escaped(classes[suspects.proposed[place]]),
            f"{suspects.mean_losses[place]:.2g}",
            "yes" if suspects.apart[place] else "",
            f"{suspects.weights[place]:.2g}",
        )
    console.print(grid)
    console.print(suspects.scope)
