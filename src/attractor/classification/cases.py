"""Cases as a classifier takes them: their labels, what each counts, and whether what it says is a number."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float, Int, PyTree

from attractor.data import (
    Finding,
    LongColumns,
    Scaling,
    Sequences,
    check_representable,
    no_scaling,
    sequence_scaling,
)
from attractor.data.labelled_sequences import name_some
from attractor.data.long_table import told, without_counters
from attractor.data.per_case import in_order, in_order_of
from attractor.data.sequence_doctor import check_axes, check_counters
from attractor.data.sequence_labels import check_labels
from attractor.data.telling_constants import check_telling
from attractor.data.wild_values import FAR, UsualRange, check_wild
from attractor.errors import (
    ConfigError,
    DataWarning,
    DivergedError,
    InputDataError,
    ShapeError,
    warn,
)

ClassWeight = Mapping[object, float | int] | str | None
"""What a case counts by its class: "balanced", numbers by class, or all the same."""


def labelled(X: object, y: object) -> tuple[Sequences, np.ndarray]:
    """Cases with labels counted from 0, and the classes as the user calls them."""
    data = X if isinstance(X, Sequences) else _as_given(X)
    y = for_each(X, y, "y")
    given = np.asarray(y)
    if y is None:
        if data.labels is None:
            raise InputDataError(
                "fit needs a label for every case: fit(X, y), or Sequences with labels. This estimator "
                "requires y to be passed, but the target y is None"
            )
        names = np.array(data.class_values)
    else:
        if not given.ndim or len(given) != len(data):
            raise InputDataError(f"{given.size} labels for {len(data)} cases; fit(X, y) needs one for each")
        data = data.relabelled(y)
        names = np.unique(check_labels(y) if given.dtype.kind == "O" else given)
        _tell_rows(data)
    found = np.unique(labels_given(data))
    if len(found) < 2:
        raise InputDataError(
            f"all cases are of class {data.classes[found[0]]!r}; a classifier needs two or more"
        )
    _tell_single(data)
    return data, names


def _tell_single(data: Sequences) -> None:
    """Warn of classes with one case, which cannot be learned and judged at once."""
    counts = np.bincount(labels_given(data), minlength=len(data.classes))
    single = [repr(data.classes[label]) for label in np.flatnonzero(counts == 1)]
    if single:
        warn(
            f"class {name_some(single)}: a single case each, which cannot both train and judge: nothing "
            "tells whether such a class is found; give more cases of it, or leave it out",
            DataWarning,
        )


def tell(findings: Iterable[Finding]) -> None:
    """Warn of what was found of some cases, and say what to do."""
    for found in findings:
        warn(f"{found.message}. {found.advice}", DataWarning)


def tell_misleading(data: Sequences) -> None:
    """Warn of what spoils a classifier without a word: wild values, constants that tell the class."""
    tell([*check_wild(data), *check_telling(data)])


def scale_of(training: Sequences, *, standardise: bool) -> tuple[Scaling, UsualRange]:
    """How training cases are scaled, and the range of their values, beyond which new ones are told."""
    scaling = sequence_scaling(training) if standardise else no_scaling(len(training.names))
    return scaling, UsualRange.of(training)


def for_each(X: object, values: object, what: str) -> Any:
    """What is given for every case, in the order of the cases; see `attractor.data.per_case`."""
    return in_order(values, X.ids, what) if isinstance(X, Sequences) else in_order_of(X, values, what)


# Cases of more steps are hardly the rows of a long table; fewer cases tell nothing.
_FEW_STEPS, _MANY_CASES = 12, 50
# Labels of cases in any order change this often, as a share of what chance makes of them, or more.
_RUNS = 0.3


def _tell_rows(data: Sequences) -> None:
    """Warn where short cases of one variable have labels that come in runs, as the rows of long tables do."""
    labels, steps = labels_given(data), data.values.shape[1]
    if len(data.names) > 1 or steps > _FEW_STEPS or len(data) < _MANY_CASES:
        return
    shares = np.bincount(labels) / len(labels)
    changes = int(np.count_nonzero(np.diff(labels)))
    if changes < _RUNS * (1 - (shares**2).sum()) * len(labels) and changes > 2 * np.count_nonzero(shares):
        warn(
            f"{len(data)} cases of {steps} steps of one variable have labels that repeat from case to case: "
            "if they are the rows of a long table, read it with attractor.data.read_sequences(table, "
            'LongColumns(case="...", label="..."))',
            DataWarning,
        )


def _as_given(X: object) -> Sequences:
    """Cases from arrays or tables; what looks as if it were not meant so is told."""
    data = Sequences.from_arrays(X)
    if data.is_named:
        return told(without_counters(data))
    counters = check_counters(data) if len(data.names) > 1 else []
    return told(replace(data, remarks=(*check_axes(data), *counters)))


def labels_given(data: Sequences) -> np.ndarray:
    """The labels of cases that must have them.

    Raises:
        InputDataError: they have none.
    """
    if data.labels is None:
        raise InputDataError("these cases have no labels")
    return data.labels


def known_labels(data: Sequences, classes: np.ndarray) -> Int[np.ndarray, " cases"]:
    """The labels of cases as indices into the classes that a model knows.

    Raises:
        InputDataError: cases without labels, or of a class that the model does not know.
    """
    labels = labels_given(data)
    positions = {name: position for position, one in enumerate(classes) for name in _spellings(one)}
    unknown = sorted(set(data.classes) - set(positions))
    if unknown and any(data.classes[label] in unknown for label in labels):
        known = ", ".join(map(str, classes))
        raise InputDataError(f"classes that the model does not know: {', '.join(unknown)}; it knows {known}")
    return np.array([positions.get(name, 0) for name in data.classes])[labels]


def as_classes(labels: object, classes: np.ndarray) -> np.ndarray:
    """Labels in the type of the classes: texts of numbers for numbers, and the other way round."""
    given = np.asarray(labels)
    if given.ndim != 1 or (given.dtype.kind in "US") == (classes.dtype.kind in "US"):
        return given
    known = {spelling: one for one in classes for spelling in _spellings(one)}
    return np.array([
        next((known[one] for one in _spellings(label) if one in known), label) for label in given
    ])


def check_truth(truth: np.ndarray, classes: np.ndarray) -> None:
    """Refuse labels of which a model knows none; one that knows some is wrong about the others, with a word.

    A fold of a cross-validation may hold a class that the others lack.

    Raises:
        InputDataError: none of the labels is a class of the model.
    """
    unknown = np.unique(truth[~np.isin(truth, classes)])
    if not len(unknown):
        return
    said = f"classes not known: {', '.join(map(str, unknown[:5]))}; known: {', '.join(map(str, classes[:5]))}"
    if not np.isin(truth, classes).any():
        raise InputDataError(f"{said}. Give labels as those of the training")
    warn(f"{said}. Their cases count as wrong", DataWarning)


def as_known(X: object, names: Sequence[str]) -> Sequences:
    """Cases in any form, with the variables of a model in its order.

    Raises:
        ShapeError: another number of variables.
        InputDataError: cases that cannot be read.
    """
    data = X if isinstance(X, Sequences) else Sequences.from_arrays(X, known=names)
    if isinstance(X, Sequences) or data.is_named:
        return data.matched(names)
    check_width(data, len(names))
    return data


def series_tags(*, takes_missing: bool) -> object:
    """What scikit-learn asks of a classifier of series."""
    from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

    return Tags(
        estimator_type="classifier",
        target_tags=TargetTags(required=True),
        classifier_tags=ClassifierTags(),
        input_tags=InputTags(two_d_array=True, three_d_array=True, allow_nan=takes_missing),
    )


def check_width(data: Sequences, variables: int) -> None:
    """Refuse cases with another number of variables than a model has.

    Raises:
        ShapeError: they have; where it is the number of steps that fits, the message says so.
    """
    _, time, width = data.values.shape
    if width != variables:
        turned = "; as many as there are steps: if the last axis is the time, give X.transpose(0, 2, 1)"
        raise ShapeError(
            f"{width} variables given, the model was trained with {variables}"
            f"{turned if time == variables else ''}"
        )


def _spellings(name: object) -> set[str]:
    """How cases may call a class: a whole number may have been given as 1 or as 1.0."""
    if isinstance(name, np.integer | np.floating) and float(name).is_integer():
        return {str(name), str(int(name))}
    return {str(name)}


def saved_classes(values: object) -> np.ndarray:
    """The classes on the card of a run.

    Raises:
        ValueError: they are no list of texts or numbers.
    """
    classes = np.array(values)
    if not isinstance(values, list) or classes.ndim != 1 or classes.dtype.kind not in "biufU":
        raise ValueError(f"classes {str(values)[:80]}: expected a list of texts or of numbers")
    return classes


def saved_columns(values: object) -> LongColumns | None:
    """How the table was read that a run learned from; None where it was no table.

    Raises:
        ValueError: it is no table of options.
    """
    if values is None:
        return None
    if not isinstance(values, Mapping):
        raise ValueError(f"columns {str(values)[:80]}: expected a table of options")
    return LongColumns.from_facts(values)


def case_weights(
    labels: Int[np.ndarray, " cases"],
    classes: Iterable[object],
    class_weight: ClassWeight,
    sample_weight: object = None,
) -> Float[np.ndarray, " cases"] | None:
    """What the loss of every case counts; None where all count the same.

    "balanced" gives every class the same sum: N / (K N_k) for the N_k of N cases of one of K classes.

    Args:
        labels: of the cases, indices into the classes.
        classes: as the user calls them.
        class_weight: "balanced", or weights by class; a class that is not named has the weight 1.
        sample_weight: one weight for each case; multiplied with that of its class.

    Raises:
        ConfigError: a weight of a class that is not there, or that is negative or not finite.
        InputDataError: weights of another number, negative, not finite, or all zero.
    """
    if class_weight is None and sample_weight is None:
        return None
    weights = np.ones(len(labels)) if sample_weight is None else _sample_weights(sample_weight, len(labels))
    if class_weight is not None:
        by_class = _sized(_class_weights(labels, list(map(str, classes)), class_weight))
        weights = _sized(weights) * by_class[labels]
    if not weights.any():
        raise InputDataError("the weights of all cases are zero; give some of them a positive weight")
    return _sized(weights)


def _sized(weights: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Weights, of which only ratios count, in a power of two that keeps sums and products finite."""
    return np.ldexp(weights, -int(np.frexp(weights.max(initial=0.0))[1]))


_LEAST_SHARE = 1e-6
"""Of all weights: a class whose cases have less together is not learned."""


def learned_weights(
    data: Sequences, classes: np.ndarray, class_weight: ClassWeight, sample_weight: object
) -> Float[np.ndarray, " cases"] | None:
    """What the loss of every case counts in training; a class without weight is told: it is not learned.

    Args:
        data: the cases, with their labels.
        classes: as the user calls them.
        class_weight: see `case_weights`.
        sample_weight: the same.
    """
    labels = labels_given(data)
    weights = case_weights(labels, classes, class_weight, sample_weight)
    if weights is None:
        return None
    shares = np.bincount(labels, weights, len(classes)) / weights.sum()
    unheard = np.flatnonzero((np.bincount(labels, minlength=len(classes)) > 0) & (shares < _LEAST_SHARE))
    if len(unheard):
        names = name_some([repr(data.classes[label]) for label in unheard])
        warn(
            f"class {names}: by class_weight or sample_weight its cases count nothing beside the others, so "
            "that it is not learned and hardly ever named; leave its cases out, or give it a weight of about "
            "the size of the others",
            DataWarning,
        )
    return weights


def _class_weights(
    labels: Int[np.ndarray, " cases"], names: list[str], asked: Mapping[object, float | int] | str
) -> Float[np.ndarray, " classes"]:
    if isinstance(asked, str):
        counts = np.bincount(labels, minlength=len(names))
        return len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    positions = {name: position for position, name in enumerate(names)}
    weights = np.ones(len(names))
    for name, weight in asked.items():
        if str(name) not in positions or not 0 <= weight < np.inf:
            raise ConfigError(
                f"class_weight={{{name!r}: {weight!r}}}: expected a number of at least 0 for one of the "
                f"classes {', '.join(positions)}"
            )
        weights[positions[str(name)]] = weight
    return weights


def _sample_weights(given: object, cases: int) -> Float[np.ndarray, " cases"]:
    weights = np.asarray(given, float)
    if weights.shape != (cases,) or not ((weights >= 0) & (weights < np.inf)).all():
        raise InputDataError(
            f"sample_weight of shape {weights.shape}: expected a number of at least 0 for each of {cases} "
            "cases, shape (cases,)"
        )
    return weights


def check_logits(logits: Float[np.ndarray, "cases classes"], ids: Sequence[str]) -> None:
    """Refuse to read a class from what is no number.

    Raises:
        DivergedError: names the first such case.
    """
    broken = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if broken.size:
        raise DivergedError(
            f"{ids[broken[0]]}: the network left the finite numbers, so that it shows no class (and so in "
            f"{broken.size - 1} further cases); look for values far outside of the training data"
        )


def check_stream(logits: Float[np.ndarray, " classes"], before: PyTree) -> None:
    """Refuse to go on with a stream that holds what is no number, and say since when.

    Args:
        logits: after a sample.
        before: state of the stream before it.

    Raises:
        DivergedError: they are not finite.
    """
    if np.isfinite(logits).all():
        return
    leaves = [leaf for leaf in jax.tree.leaves(before) if eqx.is_inexact_array(leaf)]
    if any(np.isnan(np.asarray(leaf)).any() for leaf in leaves):
        message = "this stream holds no numbers since an earlier sample; begin anew with `start`"
    else:
        message = (
            "this sample takes the network out of the finite numbers; the stream that was given is as good "
            "as before: leave the sample out, or begin anew with `start`"
        )
    raise DivergedError(message)


def scaled_sample(
    row: object, names: Sequence[str], scaling: Scaling, usual: UsualRange
) -> Float[np.ndarray, " variables"]:
    """One sample of a stream in the scale of a model; values far outside of its training are told.

    Raises:
        ShapeError: another number of values.
        InputDataError: a value that float32 does not hold.
    """
    values = np.asarray(row, float)
    if values.shape != (len(names),):
        raise ShapeError(f"a sample of shape {values.shape}, expected ({len(names)},): one for each variable")
    scaled = scaling.to_unit(values)
    check_representable(scaled, lambda position: f"{names[position]!r} of this sample, {values[position]:g},")
    for position in np.flatnonzero(usual.exceeded(values)).tolist():
        warn(
            f"{names[position]!r} of a sample lies more than {FAR:g} times as far out as any in training; "
            "what is said of the stream from there on is a guess: begin anew, or leave such samples out",
            DataWarning,
        )
    return scaled


def described_value(data: Sequences, case: int, step: int, variable: int) -> str:
    """A value in the user's terms."""
    return f"{data.where(case, step, variable)}: {data.values[case, step, variable]:g}"
