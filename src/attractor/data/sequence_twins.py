"""Cases that occur twice: under two labels, or in training and in the test."""

import hashlib

import numpy as np

from .finding import Finding, Severity
from .sequences import Sequences

_SHOWN = 5


def fingerprints(data: Sequences) -> list[bytes | None]:
    """For every case a hash of its length and its values, rounded to single precision; None if all miss.

    Files keep the same series in single or double precision; a case that is equal to seven digits in all
    steps is the same recording.
    """
    # Adding zero makes -0 the same bits as 0; all NaN get the same bits as well.
    values = data.values.astype(np.float32) + np.float32(0)
    values[np.isnan(values)] = np.nan
    return [
        None if np.isnan(case).all() else hashlib.blake2b(case[:length].tobytes(), digest_size=16).digest()
        for case, length in zip(values, data.lengths, strict=True)
    ]


def check_twins(data: Sequences) -> list[Finding]:
    """Cases with the same values: one with two labels is labelled wrongly at least once."""
    groups: dict[bytes, list[int]] = {}
    for case, key in enumerate(fingerprints(data)):
        if key is not None:
            groups.setdefault(key, []).append(case)
    twins = [cases for cases in groups.values() if len(cases) > 1]
    labels = np.zeros(len(data), int) if data.labels is None else data.labels
    torn = [cases for cases in twins if len(set(labels[cases].tolist())) > 1]
    same = [cases for cases in twins if len(set(labels[cases].tolist())) == 1]
    return [*_contradictions(data, torn), *_repetitions(data, same)]


def check_leak(training: Sequences, test: Sequences) -> list[Finding]:
    """Test cases that are also training cases, variables in the same order."""
    known: dict[bytes, int] = {}
    for case, key in enumerate(fingerprints(training)):
        if key is not None:
            known.setdefault(key, case)
    pairs = [(known[key], case) for case, key in enumerate(fingerprints(test)) if key in known]
    if not pairs:
        return []
    shown = name_some([f"{test.ids[two]} = {training.ids[one]}" for one, two in pairs])
    message = f"{len(pairs)} of {len(test)} test cases also occur in training (test = training: {shown})"
    advice = "Take them out of the training cases; a model is not judged by what it has learned by heart."
    return [Finding(Severity.WARNING, "leak", "", message, advice, {"cases": len(pairs)})]


def _contradictions(data: Sequences, torn: list[list[int]]) -> list[Finding]:
    if not torn or data.labels is None:
        return []
    labels = data.labels
    shown = [", ".join(f"{data.ids[c]} is '{data.classes[labels[c]]}'" for c in cases) for cases in torn]
    message = f"{len(torn)} recording(s) occur under several labels: {name_some(shown, '; ')}"
    advice = "Look at these cases: at least one label of each is wrong."
    code, numbers = "contradicting-labels", {"recordings": len(torn)}
    return [Finding(Severity.WARNING, code, "", message, advice, {**numbers})]


def _repetitions(data: Sequences, same: list[list[int]]) -> list[Finding]:
    if not same:
        return []
    extra = sum(len(cases) - 1 for cases in same)
    shown = name_some([" = ".join(data.ids[case] for case in cases[:_SHOWN]) for cases in same], "; ")
    message = f"{extra} case(s) repeat another one: {shown}"
    advice = (
        "Keep one of each, or keep them on one side of every split; else a model is judged by what it knows."
    )
    return [Finding(Severity.WARNING, "repeated-cases", "", message, advice, {"cases": extra})]


def name_some(parts: list[str], joint: str = ", ") -> str:
    """The first few of many parts, and how many more there are."""
    rest = len(parts) - _SHOWN
    return joint.join(parts[:_SHOWN]) + (f"{joint}and {rest} more" if rest > 0 else "")
