"""One classification from data to run folder: divide, train, assess, and keep what a report shows."""

import csv
import io
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from attractor.arrays import Arrays
from attractor.data import Sequences, fill, hold_out_recordings, shared_stretches
from attractor.data.equal_cases import learned_cases
from attractor.errors import ConfigError, InputDataError, UnsupportedError
from attractor.files import make_folder, write_atomically
from attractor.folders import facts_of
from attractor.origin import Origin, stamped
from attractor.progress import Reporter
from attractor.runs import load_run

from .baselines import (
    CONVOLUTIONS,
    attainable_accuracy,
    compare,
    simple_predictions,
    sized,
    summary_features,
)
from .classifier import SequenceClassifier
from .classifier_assessment import Facts, assess_classifier, training_facts
from .division import found_groups, numbered
from .group_memory import group_memory
from .reading import convolution_reading
from .suspects import Suspects, confidently_other

TEST_SHARE = 0.2
SHOWN_SUSPECTS = 12
_SHOWN_EXAMPLES = 9


@dataclass(frozen=True, eq=False)
class ClassifierRoles:
    """Cases by what they are for.

    Args:
        learning: all cases but those of the test.
        held: positions of those among them that choose the weights and the temperature; None for none.
        test: judge, and touch nothing else.
        explanation: how they were divided, in a sentence.
        test_groups: what each case of the test comes from, given or found.
    """

    learning: Sequences
    held: Int[np.ndarray, " held"] | None
    test: Sequences
    explanation: str
    test_groups: np.ndarray | None = None

    @property
    def groups(self) -> np.ndarray | None:
        """What each case that is learned from comes from; None if every case stands for itself."""
        return self.learning.groups

    @property
    def training(self) -> Sequences:
        """The cases to learn from."""
        if self.held is None:
            return self.learning
        return self.learning.select(np.setdiff1d(np.arange(len(self.learning)), self.held))

    @property
    def validation(self) -> Sequences | None:
        """The cases that choose the weights and the temperature; None for none."""
        return None if self.held is None else self.learning.select(self.held)


def divide(
    data: Sequences,
    test: Sequences | None,
    validation_share: float,
    seed: int,
    groups: np.ndarray | None = None,
) -> ClassifierRoles:
    """Give every case a role, class by class.

    Without groups, cases that share stretches of values, as windows of one recording do, get the same role.

    Args:
        data: labelled cases.
        test: cases of a test file; None holds out a fifth of the data.
        validation_share: of the other cases, for validation; 0 for none.
        seed: of the draws.
        groups: what each case of the data comes from; cases of one group get the same role. None takes the
            groups that the data have.

    Raises:
        InputDataError: cases without labels, variables or classes of the test that the data do not have, or
            classes so small that nothing can be held out.
    """
    if data.labels is None:
        raise InputDataError("the training cases have no labels; a classifier needs a class for each")
    data = data if groups is None else data.grouped(groups)
    explanation = f"All {len(test)} cases of the test file are the test." if test is not None else ""
    is_told, test_groups = test is None, None
    if test is None:
        # Looked for in all cases: some windows of a recording are linked by others alone.
        shared = shared_stretches(data) if data.groups is None else None
        parts = hold_out_recordings(data, TEST_SHARE, seed, shared)
        if not len(parts.held):
            raise InputDataError(
                f"{len(data)} cases are too few to hold out a fifth of each class; give test cases"
            )
        what = "whole groups, about 20 % of every class" if parts.recordings else "20 % of every class"
        explanation = (
            f"No test file was given: {len(parts.held)} cases, {what}, drawn with seed {seed}, were held out "
            f"for the test.{_told(parts.recordings, parts.objection)}"
        )
        known = data.groups if shared is None else found_groups(shared)
        test_groups = None if known is None else known[parts.held]
        data, test = data.select(parts.kept), data.select(parts.held)
    test = test.aligned(data)
    if not is_told:
        test_groups = found_groups(shared_stretches(test)) if test.groups is None else test.groups
    if test.labels is None:
        raise InputDataError("the test cases have no labels to score against")
    parts = hold_out_recordings(data, validation_share, seed) if validation_share else None
    if parts is None or not len(parts.held):
        explanation += " No case is kept for validation."
        return ClassifierRoles(data, None, test, explanation, test_groups)
    explanation += (
        f" Of the others, {len(parts.kept)} train and {len(parts.held)} choose epoch and temperature."
        f"{_told('' if is_told else parts.recordings, parts.objection)}"
    )
    return ClassifierRoles(data, parts.held, test, explanation, test_groups)


def _told(*sentences: str) -> str:
    """Sentences that follow others."""
    return "".join(f" {one}" for one in sentences if one)


def check_gaps(model: SequenceClassifier, roles: ClassifierRoles) -> None:
    """Refuse missing values that the policy of the model does not take, wherever they are.

    Raises:
        InputDataError: names the first one.
    """
    for part in (roles.learning, roles.test):
        fill(np.where(part.valid[:, :, None], part.values, 0.0), part.lengths, model.missing, part.where)


def classify(
    model: SequenceClassifier, roles: ClassifierRoles, folder: Path, reporter: Reporter | None = None
) -> None:
    """Train in a run folder; an interrupted training goes on from its last checkpoint.

    Raises:
        InputDataError: among others, missing values in test cases that the policy refuses: before training.
    """
    check_gaps(model, roles)
    model.fit(roles.learning, validation=roles.held, folder=folder, reporter=reporter)


def run_contents(model: SequenceClassifier, roles: ClassifierRoles, facts: Facts) -> tuple[Facts, Arrays]:
    """Card and arrays of a run: metrics, and the few series that a report draws.

    Args:
        model: just fitted.
        roles: of the cases.
        facts: about the data, such as the names of the files.

    Returns:
        What to add to the card, and what to add to the evaluation arrays.
    """
    suspects = model.suspects()
    card = {
        "data": {**data_facts(roles), **facts},
        "metrics": {"test": scores_on_test(model, roles)},
        "training": training_facts(model),
        "groups": _groups(model, roles.test),
        "suspects": list(suspects.ids[:SHOWN_SUSPECTS]),
        "examples": [roles.training.ids[position] for position in _example_positions(roles.training)],
    }
    return card, shown_arrays(roles, suspects)


COVERAGES = (0.8, 0.9, 0.95)
"""For which sets of labels are checked on the test cases."""


def scores_on_test(model: SequenceClassifier, roles: ClassifierRoles) -> Facts:
    """All that is said of the test cases: scores, simple classifiers beside them, sets, labels in doubt."""
    labels = model.labels_of(roles.test)
    known = () if model.calibration_ is None else COVERAGES
    groups = numbered(roles.test_groups)
    sets = [model.predict_sets(roles.test, coverage).assessed(labels, groups) for coverage in known]
    scores = assess_classifier(model, roles.test, model.seed, groups)
    doubted = confidently_other(model.predict_proba(roles.test), labels)
    return {
        **scores,
        **beside_scores(model, roles),
        **_met_before(roles),
        "label_sets": sets,
        "doubted": [roles.test.ids[case] for case in np.flatnonzero(doubted)],
    }


def _met_before(roles: ClassifierRoles) -> Facts:
    """`learned_cases`: test cases that are cases of the fit too; `learned_groups`: given groups of both."""
    learned, groups = roles.learning.groups, roles.test.groups
    both = 0 if learned is None or groups is None else len(np.intersect1d(learned, groups))
    cases = int(np.count_nonzero(learned_cases(roles.learning, roles.test)))
    return {"learned_cases": cases, "learned_groups": both}


def beside_scores(model: SequenceClassifier, roles: ClassifierRoles) -> Facts:
    """What simple classifiers say of the test cases, beside the model, and about how much is attainable.

    Returns:
        `beside`: the fields of `Beside`, one entry for each; `attainable`: see `attainable_accuracy`.
    """
    labels = model.labels_of(roles.test)
    known = roles.training
    others = simple_predictions(replace(known, labels=model.labels_of(known)), roles.test)
    read, unseen = (convolution_reading(model, part) for part in (known, roles.test))
    features = summary_features(sized(known, known)) if read is None else read[0]
    related = found_groups(shared_stretches(known)) if known.groups is None else numbered(known.groups)
    if unseen is not None:
        others[CONVOLUTIONS] = unseen[1].argmax(axis=1)
    compared = compare(model.logits(roles.test).argmax(axis=1), labels, others, numbered(roles.test_groups))
    return {
        "beside": [asdict(one) for one in compared],
        "attainable": attainable_accuracy(features, model.labels_of(known), model.seed, related),
    }


def data_facts(roles: ClassifierRoles) -> Facts:
    """What the cases are: counts, lengths, and the range of every variable in training."""
    parts = {"training": roles.training, "validation": roles.validation, "test": roles.test}
    known = {name: part for name, part in parts.items() if part is not None}
    seen = np.where(roles.training.valid[:, :, None], roles.training.values, np.nan)
    flat = seen.reshape(-1, seen.shape[2])
    return {
        "explanation": roles.explanation,
        "counts": {name: part.counts() for name, part in known.items()},
        "lengths": {name: [int(part.lengths.min()), int(part.lengths.max())] for name, part in known.items()},
        "missing": {name: _missing_share(part) for name, part in known.items()},
        "low": np.nanmin(flat, axis=0).tolist(),
        "high": np.nanmax(flat, axis=0).tolist(),
    }


def shown_arrays(roles: ClassifierRoles, suspects: Suspects) -> Arrays:
    """The series that a report draws, in the unit of the data."""
    arrays, ranked = {}, roles.learning if suspects.left_out else roles.training
    for name, cases, positions in (
        ("suspects", ranked, suspects.positions[:SHOWN_SUSPECTS]),
        ("examples", roles.training, _example_positions(roles.training)),
    ):
        some = cases.select(positions)
        arrays[f"{name}.values"] = _kept(some.values)
        arrays[f"{name}.lengths"] = some.lengths.astype(np.int32)
        arrays[f"{name}.labels"] = np.asarray(some.labels, np.int32)
    return arrays


def _kept(values: Float[np.ndarray, "cases time variables"]) -> Float[np.ndarray, "cases time variables"]:
    """In single precision, where that shows every variable as well: it is far from an end of the numbers."""
    with np.errstate(over="ignore"):
        coarse = values.astype(np.float32)
    spans = np.fmax.reduce(values, axis=(0, 1)) - np.fmin.reduce(values, axis=(0, 1))
    is_fine = np.isnan(values) | (np.abs(coarse - values) <= 1e-4 * spans)
    return coarse if is_fine.all() else values


def _example_positions(data: Sequences) -> np.ndarray:
    """The case of median length of each class, for the first few classes that occur."""
    positions, labels = [], np.asarray(data.labels)
    for label in np.unique(labels)[:_SHOWN_EXAMPLES]:
        inside = np.flatnonzero(labels == label)
        positions.append(inside[np.argsort(data.lengths[inside], kind="stable")[len(inside) // 2]])
    return np.array(positions)


def _missing_share(data: Sequences) -> float:
    return float(np.isnan(data.values[data.valid]).mean())


def _groups(model: SequenceClassifier, test: Sequences) -> Facts | None:
    """Contributions and time scales of groups; None for cells that have none."""
    try:
        return group_memory(model, test, model.seed).to_dict()
    except UnsupportedError:
        return None


def known_cases(model: SequenceClassifier) -> Sequences:
    """A stand-in for the training cases, with their variables and classes, to read other files alike."""
    values = tuple(int(one) if isinstance(one, float) else one for one in model.classes_.tolist())
    classes = tuple(str(one) for one in values)
    start = np.zeros((1, 1, len(model.names_)))
    columns = model.columns_  # how their table was read
    names = tuple(model.names_)
    return Sequences(start, np.ones(1, int), names, None, classes, class_values=values, columns=columns)


def stored_cases(model: SequenceClassifier, folder: Path) -> Sequences:
    """The few training cases that a run keeps for its report, in the unit of the data, without labels.

    Raises:
        ConfigError: the run keeps none.
    """
    arrays = load_run(folder).evaluation
    if "examples.values" not in arrays:
        raise ConfigError(f"{folder} was saved without cases; give a file with some")
    values, lengths = arrays["examples.values"].astype(np.float64), arrays["examples.lengths"].astype(int)
    return Sequences(values, lengths, tuple(model.names_), None, known_cases(model).classes)


def training_limits(folder: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Smallest and largest value of every variable in training, from a run folder; None if it has none."""
    with facts_of(folder / "card.json"):
        facts = load_run(folder).card.get("data", {})
        limits = [np.array(facts[name], float) for name in ("low", "high")] if "low" in facts else None
    return (limits[0], limits[1]) if limits else None


def doubted_cases(folder: Path) -> list[str]:
    """Names of the test cases whose labels a run doubts, see `confidently_other`; empty if it has no test."""
    with facts_of(folder / "card.json"):
        scores = load_run(folder).card.get("metrics", {}).get("test", {})
        return [str(name) for name in scores.get("doubted", ())]


def write_suspects(path: Path, suspects: Suspects, origin: Origin | None = None) -> None:
    """Write all cases that are ranked as a table, the most suspicious first.

    Args:
        path: of the CSV file.
        suspects: ranked.
        origin: of the classifier; it stands in the last column of the first row.

    Raises:
        StorageError: the file cannot be written.
    """
    buffer = io.StringIO()
    rows = csv.writer(buffer, lineterminator="\n")
    rows.writerow(("id", "given", "proposed", "mean_loss", "stands_apart", "weight", "origin"))
    for position, name in enumerate(suspects.ids):
        stamp = stamped(None if position else origin, "{}")
        given, proposed = suspects.labels[position], suspects.proposed[position]
        loss, weight = (f"{part[position]:.6g}" for part in (suspects.mean_losses, suspects.weights))
        apart = "yes" if suspects.apart[position] else "no"
        rows.writerow((name, given, proposed, loss, apart, weight, stamp))
    make_folder(path.parent)
    write_atomically(path, buffer.getvalue().encode(errors="backslashreplace"))
