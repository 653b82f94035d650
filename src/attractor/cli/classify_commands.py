"""Commands about classification: classify, robustness, suspects."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from rich.table import Table as Grid
from tyro.conf import OmitArgPrefixes, Positional, arg

from attractor.classification import (
    EpochSettings,
    LabelSettings,
    NoiseSettings,
    ReadoutSettings,
    RobustnessPlan,
    RobustnessStudy,
    SequenceClassifier,
    Suspects,
)
from attractor.classification.classifier_study import ClassifierRoles
from attractor.data import Finding, Sequences
from attractor.errors import ConfigError, DataWarning
from attractor.settings import Count, NonNegative, Seed
from attractor.training import Reweighting

from . import estimates
from .console import (
    Facts,
    command_line,
    console,
    escaped,
    tell,
    tell_file,
    working,
)
from .data_commands import SeriesColumns, facts_of_findings, grouping, show_serious
from .own_cells import RunCommand, named_cell

_MOST_CERTIFIED = 100
"""Test cases that are looked at after a training against changes of the values."""

_SCORES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "roc_auc": "AUC-ROC",
    "average_precision": "average precision",
    "log_loss": "log loss",
    "calibration_error": "calibration error",
}


@dataclass(frozen=True)
class Classifier:
    """What is trained."""

    cell: str = "gru"
    """gru, lstm, mgrn, lipschitz, antisymmetric, tanh, ... or your own class: file.py:Class."""
    hidden_size: Annotated[Count | None, arg(name="hidden")] = None
    """Units a layer; for mgrn those of every group. 64, or what gives mgrn as many weights, if not given."""
    layers: Count = 1
    """Cells in the stack."""
    groups: str | None = None
    """Variables that belong together, for mgrn: "acc_*,gyro_*" or "0-2,3-5"; each for itself if not given."""
    missing: Literal["error", "zero", "forward", "forward+mask", "forward+mask+age", "cell"] = "error"
    """What becomes of missing values; cell hands them to a cell that knows what to do, such as mgrn."""
    standardise: bool = True
    """Scale every variable to mean 0 and standard deviation 1 by the training cases."""
    class_weight: Literal["none", "balanced"] = "none"
    """balanced lets every class count the same in the loss, however rare; none counts every case the same."""


@dataclass(frozen=True)
class Readout(ReadoutSettings):
    """What the classes are read from."""


@dataclass(frozen=True)
class Noise(NoiseSettings):
    """What disturbs the network while it is trained; evaluation is without."""

    additive: Annotated[NonNegative, arg(name="noise")] = 0.0
    multiplicative: Annotated[NonNegative, arg(name="multiplicative-noise")] = 0.0


@dataclass(frozen=True)
class Labels:
    """What is done about labels, some of which may be wrong."""

    loss: str = "cross-entropy"
    """cross-entropy, label-smoothing, generalised-cross-entropy, symmetric-cross-entropy, early-learning."""
    reweight: str = "none"
    """none weighs all cases alike, auto fades out those whose labels look wrong, a number is the strength."""
    balance: Literal["none", "class"] = "none"
    """With --reweight: class keeps the share of every class, so that no rare class fades out as a whole."""


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
    """What cases come from (patient, annotator, device): the name of a column of the data, as --group-column,
    or a table with the columns case and group, without the column case a row for each case in their order.
    Cases of one group stay together when cases are held out, and share one weight with --reweight. Test cases
    have the groups that the table names for them, or that stand in that column of theirs."""
    overwrite: bool = False
    """Replace a finished run in that folder."""
    seed: Seed = 0
    """All randomness follows from it."""
    columns: OmitArgPrefixes[SeriesColumns] = field(default_factory=SeriesColumns)
    model: OmitArgPrefixes[Classifier] = field(default_factory=Classifier)
    readout: OmitArgPrefixes[Readout] = field(default_factory=Readout)
    noise: OmitArgPrefixes[Noise] = field(default_factory=Noise)
    labels: OmitArgPrefixes[Labels] = field(default_factory=Labels)
    training: OmitArgPrefixes[EpochSettings] = field(default_factory=EpochSettings)

    def run(self) -> Facts:
        """Read, divide, train, save, judge, report."""
        from attractor.classification import classifier_page, classifier_study
        from attractor.classification.baselines import judged
        from attractor.data import read_case_groups
        from attractor.data.long_table import with_known_groups
        from attractor.progress import reporter_for
        from attractor.runs import UNJUDGED, check_free
        from attractor.scan import keep_freed_memory
        from attractor.training.spreading import use_all_cores

        keep_freed_memory()
        use_all_cores()
        check_free(self.out, overwrite=self.overwrite)
        model = _classifier(self)
        with working(f"reading {self.data}"):
            columns, table = grouping(self.columns, self.weight_groups)
            data = _read(self.data, columns)
            asked = replace(columns, group=None)  # it is read where the test has that column
            test = None if self.test is None else _read(self.test, asked, like=data)
            groups = None if table is None else read_case_groups(table, data)
            if table is not None and test is not None:
                test = with_known_groups(test, table, data.ids)
            roles = classifier_study.divide(data, test, self.training.validation_share, self.seed, groups)
        classifier_study.check_gaps(model, roles)
        tell(roles.explanation)
        with working("looking for what is hard to learn from"):
            findings = _examined(roles)
        show_serious(findings)
        with _told_elsewhere(), working("training", bar=True):
            classifier_study.classify(model, roles, self.out, reporter_for("training"))
        sources = {"source": str(self.data), "test_source": str(self.test) if self.test else None}
        command = {"command": command_line()}
        # Whatever happens after training may not lose it.
        model.save(self.out, card=command | UNJUDGED, overwrite=self.overwrite)
        tell(f"trained and saved in {self.out}")
        known = {**sources, "findings": facts_of_findings(findings)}
        with _told_elsewhere(), working("judging it beside simple classifiers"):
            card, arrays = classifier_study.run_contents(model, roles, known)
            model.save(self.out, card=card | command, evaluation=arrays, overwrite=True)
        own_cell = None if isinstance(model.cell, str) else model.cell
        with working("writing the report"):
            report = classifier_page.write_classifier_report(self.out, own_cell)
        scores = card["metrics"]["test"]
        found = judged(scores, model.decision.said)
        console.print(f"[bold]{escaped(found.said)}[/]", soft_wrap=True)
        for remark in card["training"]["warnings"]:
            tell(f"note: {remark}")
        _show_scores(scores)
        tell_file(report, "report:")
        facts: Facts = {"run": self.out, "report": report, "verdict": found.said, "test": scores}
        if self.noise.within and not roles.test.has_missing:
            facts["certified"] = self._certified(model, roles.test)
        return facts

    def _certified(self, model: SequenceClassifier, test: Sequences) -> Facts:
        """What a network that was trained to survive changes survives for certain, on some test cases."""
        from attractor.classification.classifier_verification import certified_cases
        from attractor.classification.reading import some_of
        from attractor.progress import reporter_for
        from attractor.report.about import About
        from attractor.report.publishing import publish

        with working(f"proving what changes of {self.noise.within:g} cannot change", bar=True):
            some = some_of(test, _MOST_CERTIFIED)
            found = certified_cases(model, some, self.noise.within, reporter_for("cases"))
            page = publish(found, self.out, About(command=command_line(), origin=model.origin))
        for line in str(found).splitlines():
            tell(line)
        tell_file(page, "certified cases:")
        return found.to_dict()


@dataclass(frozen=True)
class RobustnessCommand(RunCommand):
    """Disturb the inputs of a trained classifier and see how long its answers stay right."""

    data: Positional[Path]
    """Labelled cases that it was not trained on."""
    plan: OmitArgPrefixes[RobustnessPlan] = field(default_factory=RobustnessPlan)
    columns: OmitArgPrefixes[SeriesColumns] = field(default_factory=SeriesColumns)

    def run(self) -> Facts:
        """Load, disturb, save, report."""
        from attractor.classification import robustness_study
        from attractor.classification.classifier_study import known_cases, training_limits
        from attractor.progress import reporter_for
        from attractor.report.about import About
        from attractor.report.publishing import publish

        with working(f"reading {self.folder} and {self.data}"):
            model = SequenceClassifier.load(self.folder, self.own_cell())
            data = _read(self.data, self.columns, like=known_cases(model))
        for remark in data.remarks:
            tell(remark.message)
        with working(estimates.disturbances(model, data, self.plan), bar=True):
            study = robustness_study(model, data, self.plan, training_limits(self.folder), reporter_for)
        about = About(command=command_line(), origin=model.origin, data=str(self.data))
        with working("writing the report"):
            report = publish(study, self.folder, about, names=model.names_)
        _show_curves(study)
        tell_file(report, "report:")
        return {"report": report, **study.to_dict()}


@dataclass(frozen=True)
class SuspectsCommand(RunCommand):
    """List the cases whose labels look wrong, the most suspicious first; of test cases those in doubt."""

    top: Count = 20
    """How many to show; the file has all of them."""
    out: Path | None = None
    """CSV file to write."""
    overwrite: bool = False
    """Replace that file if it is there already."""

    def run(self) -> Facts:
        """Load, rank, show, write."""
        from attractor.classification.classifier_study import doubted_cases, write_suspects
        from attractor.data.labelled_sequences import name_some
        from attractor.files import check_target

        if self.out is not None:
            check_target(self.out, overwrite=self.overwrite)
        with working(f"reading {self.folder}, and ranking its cases"):
            model = SequenceClassifier.load(self.folder, self.own_cell())
            suspects, doubted = model.suspects(), doubted_cases(self.folder)
        rows = _show_suspects(suspects, self.top)
        if doubted:
            tell(
                f"Of {len(doubted)} test case(s) the model says another class as surely as of cases that "
                f"have it: {name_some(doubted)}"
            )
        if self.out is not None:
            write_suspects(self.out, suspects, model.origin)
            tell_file(self.out)
        return {"suspects": rows, "ranked": len(suspects), "doubted": doubted, "file": self.out}


_TOLD = (
    "variable .* is constant|class .*a single case each|.* acted on the recurrent network alone|"
    ".* value.s. (of '.*' )?lie more than|.* tells the class by itself"
)
"""Warnings of a training that the data doctor or the page has as well."""


@contextmanager
def _told_elsewhere() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=_TOLD)
        yield


def _read(path: Path, columns: SeriesColumns, like: Sequences | None = None) -> Sequences:
    from attractor.data import read_sequences

    with warnings.catch_warnings():  # the remarks are among the findings of the data doctor
        warnings.simplefilter("ignore", DataWarning)
        return read_sequences(path, columns, like=like)


def _classifier(command: ClassifyCommand) -> SequenceClassifier:
    model, labels = command.model, command.labels
    options: dict[str, Any] = {
        **vars(model),
        "cell": named_cell(model.cell) or model.cell,
        "class_weight": None if model.class_weight == "none" else model.class_weight,
    }
    return SequenceClassifier(
        **options,
        readout=ReadoutSettings(**vars(command.readout)),
        noise=NoiseSettings(**vars(command.noise)),
        labels=LabelSettings(labels.loss, reweighting_of(labels.reweight, labels.balance)),
        training=command.training,
        seed=command.seed,
    )


def reweighting_of(text: str, balance: Literal["none", "class"]) -> Reweighting | None:
    """What `--reweight` and `--balance` mean.

    Args:
        text: none, auto, or the strength as a number.
        balance: none or class.

    Raises:
        ConfigError: anything else.
    """
    if text == "none":
        if balance != "none":
            raise ConfigError(f"--balance {balance} is about reweighting; give --reweight as well")
        return None
    try:
        strength = text if text == "auto" else float(text)
    except ValueError:
        raise ConfigError(f"--reweight {text}: expected none, auto or a strength of at least 0") from None
    return Reweighting(strength=strength, balance=balance)


def _examined(roles: ClassifierRoles) -> list[Finding]:
    """What the doctor finds in training and test, and what else `fit` warns of because of the validation."""
    from attractor.data import compare_sequences, examine_sequences
    from attractor.data.telling_constants import check_telling
    from attractor.data.wild_values import UsualRange, check_far

    found = [*examine_sequences(roles.training), *compare_sequences(roles.training, roles.test)]
    if roles.validation is None:
        return found
    known = {one.signal for one in found if one.code == "tells-class"}
    more = [one for one in check_telling(roles.learning) if one.signal not in known]
    return [*found, *more, *check_far(roles.validation, UsualRange.of(roles.training))]


def _show_scores(metrics: Facts) -> None:
    kind = "test" if metrics.get("learned_cases") else "unseen"
    grid = Grid("score", "value", "95 % interval", title=f"{metrics['cases']} {kind} cases")
    for name, words in _SCORES.items():
        if name in metrics:
            grid.add_row(words, f"{metrics[name]:.4f}", _beside_score(metrics, name))
    console.print(grid)


def _beside_score(metrics: Facts, name: str) -> str:
    """The interval of a score, or why there is none; of the calibration error what few cases make of it."""
    if name == "calibration_error":
        return f"by chance to {metrics['calibration_chance']:.4f}"
    ends = metrics.get(f"{name}_interval", ())
    if ends is None:
        return "a single group" if metrics["groups"] == 1 else "too few"
    return f"{ends[0]:.4f} to {ends[1]:.4f}" if ends else ""


def _show_curves(study: RobustnessStudy) -> None:
    curves = study.curves
    grid = Grid("perturbation", "level", "accuracy", title=f"clean accuracy {curves.clean:.4f}")
    for curve in curves.curves:
        for level, mean in zip(curve.levels, curve.mean, strict=True):
            grid.add_row(escaped(curve.name), f"{level:g}", f"{mean:.4f}")
    console.print(grid)
    for remark in study.remarks:
        tell(remark)


def _show_suspects(suspects: Suspects, top: int) -> list[Facts]:
    """The first cases, shown and returned."""
    grid = Grid("rank", "case", "given label", "proposed", "mean loss", "stands apart", "weight")
    rows = [
        {
            "case": suspects.ids[index],
            "given": str(suspects.labels[index]),
            "proposed": str(suspects.proposed[index]),
            "mean_loss": suspects.mean_losses[index],
            "stands_apart": suspects.apart[index],
            "weight": suspects.weights[index],
        }
        for index in range(min(top, len(suspects)))
    ]
    for rank, row in enumerate(rows, start=1):
        names = (escaped(row[name]) for name in ("case", "given", "proposed"))
        apart = "yes" if row["stands_apart"] else ""
        grid.add_row(str(rank), *names, f"{row['mean_loss']:.2g}", apart, f"{row['weight']:.2g}")
    console.print(grid)
    console.print(suspects.scope)
    return rows
