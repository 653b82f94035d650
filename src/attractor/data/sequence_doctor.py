"""The data doctor for labelled series: what to know before a classifier is trained."""

import warnings

import numpy as np
from jaxtyping import Float, Int

from .counters import counting_variables
from .equal_cases import check_leak, check_twins, equal_cases, learned_cases
from .finding import Finding, Findings, by_severity, error, note, out_of_range, warning
from .labelled_sequences import Sequences, name_some
from .preprocessing import is_constant, mean_and_deviation
from .shared_stretches import common_stretches, shared_stretches
from .telling_constants import check_telling
from .wild_values import UsualRange, check_far, check_wild, tame


def check_shared(data: Sequences) -> list[Finding]:
    """Cases that are windows of one recording; those that only repeat another one are another finding."""
    found = shared_stretches(data)
    if not found.is_complete:
        message = f"{len(data)} cases are too many to look for stretches of values in common"
        advice = "If they are windows of recordings, keep those of one recording on one side of every split."
        return [note("not-compared", "", message, advice)]
    if not found.sharing.any():
        return []
    different = found.sharing.copy()
    kinds: dict[int, set[int]] = {}
    for recording, number in zip(found.recordings.tolist(), equal_cases(data)[0].tolist(), strict=True):
        kinds.setdefault(recording, set()).add(number)
    different &= np.array([len(kinds[recording]) > 1 for recording in found.recordings.tolist()])
    if not different.any():
        return []
    first = np.flatnonzero(found.recordings == found.recordings[different.argmax()])
    shown = name_some([data.ids[case] for case in first])
    advice = (
        "Divide them by whole recordings, as `classify` and `fit` do; for a cross-validation of your own, "
        "the groups are attractor.data.shared_stretches(cases).recordings. So many windows tell less than "
        "as many independent cases would."
    )
    numbers = {"cases": int(np.count_nonzero(found.sharing)), "recordings": found.recording_count}
    return [warning("shared-stretches", "", f"{found} (one: {shown})", advice, **numbers)]


def check_common(training: Sequences, test: Sequences) -> list[Finding]:
    """Test cases that are windows of the same recordings as training cases, variables in the same order."""
    common = common_stretches(training, test) & ~learned_cases(training, test)
    if not common.any():
        return []
    cases = int(np.count_nonzero(common))
    shown = name_some([test.ids[case] for case in np.flatnonzero(common)])
    message = f"{cases} of {len(test)} test cases share stretches of values with training cases ({shown})"
    advice = (
        "Judge the model by recordings that training has no part of; windows of one recording are nearly the "
        "same case, so that the result is too good."
    )
    return [warning("common-stretches", "", message, advice, cases=cases)]


# How much smoother the last axis of an array must be than the middle one to look like the time: where it is
# the longer of the two, and where it is not; and how rough the middle one must be.
_SMOOTHER, _MUCH_SMOOTHER, _ROUGH = 0.75, 0.5, 0.5
# Ten variables for a step are not what is usually recorded.
_MANY_VARIABLES = 10


def check_axes(data: Sequences) -> list[Finding]:
    """Whether the axes of time and variables look swapped; variables with names are not asked."""
    cases, time, variables = data.values.shape
    if data.is_named or variables < 2 or np.ptp(data.lengths):
        return []
    along_time, across = _roughness(data.values), _roughness(data.values.swapaxes(1, 2))
    limit = _SMOOTHER if variables > time else _MUCH_SMOOTHER
    is_smooth = across < limit * along_time and along_time > _ROUGH
    if not (is_smooth or variables >= _MANY_VARIABLES * time):
        return []
    why = "values run on along the last axis, not along the middle one" if is_smooth else "that is short"
    message = (
        f"an array of shape ({cases}, {time}, {variables}) is {cases} cases of {time} step(s) with "
        f"{variables} variables, but {why}: time and variables look swapped"
    )
    advice = "If the last axis is the time, as in other libraries, give X.transpose(0, 2, 1)."
    return [warning("axes", "", message, advice, along=along_time, across=across)]


def _roughness(values: Float[np.ndarray, "cases steps columns"]) -> float:
    """How much columns change from step to step: near 0 for smooth ones, 1 for noise."""
    if values.shape[1] < 2:
        return 1.0
    largest = np.abs(values[~np.isnan(values)]).max(initial=0.0)
    values = np.ldexp(values, -int(np.frexp(largest)[1]))  # squares of what is very large or small are none
    with warnings.catch_warnings():  # columns without a value, or at rest
        warnings.simplefilter("ignore", RuntimeWarning)
        scale = np.nanstd(values, axis=(0, 1))
        changes = np.nanmean(np.diff(values, axis=1) ** 2, axis=(0, 1)) / 2
    moving = scale > 0
    return float(np.mean(changes[moving] / scale[moving] ** 2)) if moving.any() else 0.0


def check_counters(data: Sequences) -> list[Finding]:
    """Variables that only count or tell the time: they tell in which order the cases were recorded."""
    advice = "Leave it out, or a model reads from it in which order the cases were recorded."
    return [
        warning("counter", name, f"'{name}' may be no measured quantity: {why}", advice)
        for name, why in counting_variables(data).items()
    ]


# With fewer cases a class can hardly be learned, and its hold-out part has one case or none.
FEW_CASES = 5
# From this ratio of class sizes on, accuracy says little about the rare class.
IMBALANCE = 10.0
# A variable of which more than half is missing says as much by being measured as by its values.
MANY_MISSING = 0.5
# Share of the errors of a guess without data that a guess by length alone avoids.
LENGTH_TELLS = 0.5
# Fewer cases cannot show that length tells the class.
LENGTH_CASES = 20
# Ratio of standard deviations: without scaling the smaller variable is lost beside the larger one.
WIDE_SCALES = 1e3


def examine_sequences(data: Sequences) -> Findings:
    """Examine cases for what spoils a classifier.

    Args:
        data: the training cases; class checks need labels, the others do not.

    Returns:
        The findings, errors first, then warnings, then notes; empty for data without any remark.
    """
    findings = [*data.remarks, *check_axes(data), *check_counters(data), *_check_empty(data)]
    findings += [*_check_variables(data), *check_wild(data), *_check_missing(data), *_check_scales(data)]
    findings += [*check_twins(data), *check_shared(data)]
    if data.labels is not None:
        findings += [*_check_classes(data), *_check_lengths(data), *check_telling(data)]
    return by_severity(findings)


def compare_sequences(training: Sequences, test: Sequences) -> Findings:
    """What a test set gives away, or asks that training cannot know.

    Args:
        training: what the model learns from.
        test: where it will be judged; brought to the variables and classes of `training` by name.

    Returns:
        What reading the test cases left out or assumed, test cases that are also training cases or share
        stretches with them, variables that leave their range in training, single values far outside of it,
        and classes without a training case.

    Raises:
        InputDataError: the test cases lack a variable, or have a class that training does not know.
    """
    test = test.aligned(training)
    findings = [*test.remarks, *check_leak(training, test), *check_common(training, test)]
    findings += check_far(test, UsualRange.of(training))
    for position, name in enumerate(training.names):
        findings += out_of_range(name, measured(training, position), measured(test, position), "the test")
    if training.labels is not None and test.labels is not None:
        findings += _check_unseen(training, test)
    return by_severity(findings)


def measured(data: Sequences, variable: int) -> Float[np.ndarray, " values"]:
    """The values of one variable that are neither missing nor padding."""
    column = data.values[:, :, variable]
    return column[~np.isnan(column)]


def _check_classes(data: Sequences) -> list[Finding]:
    counts = data.counts()
    present = {name: count for name, count in counts.items() if count}
    if len(present) < 2:
        message = f"all cases are of class '{next(iter(present))}'"
        return [error("one-class", "", message, "Add cases of the other classes.")]
    advice = "Record more of it, join it with another class, or leave it out; it cannot be learned so."
    findings = []
    for name, count in counts.items():
        if count < FEW_CASES:
            message = f"class '{name}' has {count or 'no'} case{'' if count == 1 else 's'}"
            findings.append(warning("few-cases", "", message, advice, cases=count))
    ratio = max(present.values()) / min(present.values())
    if ratio >= IMBALANCE:
        message = f"the largest class has {ratio:.0f} times the cases of the smallest"
        advice = "Judge by balanced accuracy or by class, not by accuracy; consider weights for the classes."
        findings.append(note("imbalance", "", message, advice, ratio=ratio))
    return findings


def _check_variables(data: Sequences) -> list[Finding]:
    findings = []
    for position, name in enumerate(data.names):
        values = measured(data, position)
        if not len(values):
            message, advice = f"'{name}' is missing in all cases", "Leave it out: it cannot be scaled."
            findings.append(error("all-missing", name, message, advice))
        elif is_constant(values):
            message = f"'{name}' is constant at {values[0]:g} in all cases"
            advice = "Leave it out, unless the fact that it was measured tells the class."
            findings.append(warning("constant", name, message, advice, value=float(values[0])))
    return findings


def _check_empty(data: Sequences) -> list[Finding]:
    """Cases in which nothing was measured."""
    cases = np.flatnonzero(np.isnan(data.values).all(axis=(1, 2)))
    if not len(cases):
        return []
    message = f"{len(cases)} case(s) without a single value: {name_some([data.ids[case] for case in cases])}"
    advice = "Leave them out, unless the absence of measurements itself tells the class."
    return [warning("empty-cases", "", message, advice, cases=len(cases))]


def _check_missing(data: Sequences) -> list[Finding]:
    """One note for all variables; its numbers have the share of each that has gaps."""
    shares = np.isnan(data.values[data.valid]).mean(axis=0)
    if not shares.any():
        return []
    worst = int(shares.argmax())
    message = (
        f"{shares.mean():.1%} of the values are missing, in {np.count_nonzero(shares)} of {len(shares)} "
        f"variables; most in '{data.names[worst]}' ({shares[worst]:.1%})"
    )
    advice = "Choose what becomes of missing values: forward+mask is a good beginning."
    if (shares > MANY_MISSING).any():
        advice += " Where most is missing, forward+mask+age also says how old a value is."
    numbers = {name: float(share) for name, share in zip(data.names, shares, strict=True) if share}
    return [note("missing", "", message, advice, **numbers)]


def _check_scales(data: Sequences) -> list[Finding]:
    usual = tame(data)
    columns = {
        name: data.values[:, :, position][usual[:, :, position]] for position, name in enumerate(data.names)
    }
    deviations = {
        name: float(mean_and_deviation(values)[1])
        for name, values in columns.items()
        if len(values) and not is_constant(values)
    }
    if len(deviations) < 2:
        return []
    small, large = min(deviations, key=deviations.__getitem__), max(deviations, key=deviations.__getitem__)
    ratio = deviations[large] / deviations[small]
    if ratio < WIDE_SCALES:
        return []
    times = f"{ratio:.2g}" if np.isfinite(ratio) else "more than 1e300"
    message = f"the standard deviation of '{large}' is {times} times that of '{small}'"
    advice = "Scale every variable by the training cases, as the classifier does, before any other method."
    return [note("scales", f"{small}, {large}", message, advice, ratio=ratio)]


def _check_lengths(data: Sequences) -> list[Finding]:
    """Whether the length of a case alone tells its class.

    Every other case of a class teaches which class is the most frequent one in each of ten ranges of length;
    the others are the test, and then the other way round.
    """
    labels = np.asarray(data.labels)
    if len(data) < LENGTH_CASES or np.ptp(data.lengths) == 0:
        return []
    edges = np.quantile(data.lengths, np.linspace(0, 1, 11)[1:-1], method="inverted_cdf")
    bins = np.searchsorted(np.unique(edges), data.lengths)
    rank = np.empty(len(labels), int)
    for label in np.unique(labels):
        rank[labels == label] = np.arange(np.count_nonzero(labels == label))
    parts = (rank % 2 == 0, rank % 2 == 1)
    right = _hits(bins, labels, *parts) + _hits(bins, labels, *parts[::-1])
    accuracy, base = right / len(labels), np.bincount(labels).max() / len(labels)
    gain = (accuracy - base) / (1 - base) if base < 1 else 0.0
    if gain < LENGTH_TELLS:
        return []
    message = (
        f"the length of a case alone tells its class with accuracy {accuracy:.0%} (a blind guess: {base:.0%})"
    )
    advice = (
        "Find out whether length is a property of the classes or of the recording; if of the recording, "
        "cut all cases to a common length, or a model will learn the recording."
    )
    return [warning("length-tells-class", "", message, advice, accuracy=accuracy, guess=float(base))]


def _hits(
    bins: Int[np.ndarray, " cases"], labels: Int[np.ndarray, " cases"], learn: np.ndarray, judge: np.ndarray
) -> int:
    """Right guesses among the cases of one part by what is most frequent in the bins of the other."""
    counts = np.zeros((int(bins.max()) + 1, int(labels.max()) + 1))
    np.add.at(counts, (bins[learn], labels[learn]), 1)
    return int(np.sum(counts.argmax(axis=1)[bins[judge]] == labels[judge]))


def _check_unseen(training: Sequences, test: Sequences) -> list[Finding]:
    known = training.counts()
    unseen = {name: count for name, count in test.counts().items() if count and not known[name]}
    if not unseen:
        return []
    message = (
        f"classes without a training case: {', '.join(unseen)}; the test has {sum(unseen.values())} cases"
    )
    advice = "Add training cases of these classes; no model can know them."
    return [error("unseen-class", "", message, advice, cases=sum(unseen.values()))]
