"""Cases with the same values: which they are, and whether that can be chance."""

import hashlib

import numpy as np
from jaxtyping import Bool, Float, Int

from .finding import Finding, note, warning
from .labelled_sequences import SHOWN, Sequences, name_some
from .shared_stretches import rich_cases

_SINGLE = 24
"""Bits of a number in single precision."""


def equal_cases(*parts: Sequences) -> list[Int[np.ndarray, " cases"]]:
    """For every case of every part a number, which is the same for cases of equal values; -1 if all miss.

    Files keep the same series in single or in double precision: a case in single precision equals one that
    is rounded to it. Two that both hold more digits are equal if all of them are.

    Args:
        parts: cases with the same variables in the same order.

    Example:
        >>> cases = Sequences.from_arrays([[0.1, 0.7], [0.1, 0.8], [0.1, 0.7]])
        >>> equal_cases(cases)[0].tolist()
        [0, 1, 0]
    """
    series = [part.one(case) + 0.0 for part in parts for case in range(len(part))]  # -0 becomes 0
    coarse = [_rounded(one) for one in series]
    exact, rounded = ([_digest(one) for one in some] for some in (series, coarse))
    single = {key for key, own in zip(rounded, exact, strict=True) if key == own}
    keys = [key if key in single else own for key, own in zip(rounded, exact, strict=True)]
    numbers: dict[bytes, int] = {}
    found = [
        -1 if np.isnan(one).all() else numbers.setdefault(key, len(numbers))
        for one, key in zip(series, keys, strict=True)
    ]
    return np.split(np.array(found, int), np.cumsum([len(part) for part in parts])[:-1])


def _rounded(values: Float[np.ndarray, "time variables"]) -> Float[np.ndarray, "time variables"]:
    """To the digits of single precision, however large or small the values are."""
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.rint(np.ldexp(mantissa, _SINGLE)), exponent - _SINGLE)


def _digest(case: Float[np.ndarray, "time variables"]) -> bytes:
    bits = np.where(np.isnan(case), np.nan, case)  # all NaN get the same bits
    return hashlib.blake2b(bits.tobytes() + repr(case.shape).encode(), digest_size=16).digest()


def learned_cases(training: Sequences, test: Sequences) -> Bool[np.ndarray, " test"]:
    """Which test cases are training cases as well, and too rich in values for that to be chance.

    Args:
        training: what a model learns from.
        test: other cases, with the same variables in the same order.
    """
    known, asked = equal_cases(training, test)
    met = (asked >= 0) & np.isin(asked, known)
    return met & np.isin(asked, known[rich_cases(training)]) if met.any() else met


def check_twins(data: Sequences) -> list[Finding]:
    """Cases with the same values: of a series that occurs under two labels at least one label is wrong.

    Series that are short, or take few values, are equal by chance: of them no label is doubted.
    """
    numbers = equal_cases(data)[0]
    order = np.argsort(numbers, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1)
    twins = [cases for cases in groups if len(cases) > 1 and numbers[cases[0]] >= 0]
    if not twins:
        return []
    twins, rich = sorted(twins, key=lambda cases: int(cases[0])), rich_cases(data)
    torn = [cases for cases in twins if data.labels is not None and np.ptp(data.labels[cases])]
    same = [cases for cases in twins if data.labels is None or not np.ptp(data.labels[cases])]
    found = [
        *_torn(data, [cases for cases in torn if rich[cases[0]]]),
        *_same(data, [cases for cases in same if rich[cases[0]]]),
    ]
    poor = [cases for cases in twins if not rich[cases[0]]]
    return [*found, *_poor(data, poor, len([cases for cases in torn if not rich[cases[0]]]))]


def _torn(data: Sequences, torn: list[np.ndarray]) -> list[Finding]:
    if not torn or data.labels is None:
        return []
    shown = [", ".join(f"{data.ids[c]} is '{data.classes[data.labels[c]]}'" for c in cases) for cases in torn]
    message = f"{len(torn)} recording(s) occur under several labels: {name_some(shown, '; ')}"
    advice = "Look at these cases: at least one label of each is wrong."
    return [warning("contradicting-labels", "", message, advice, recordings=len(torn))]


def _same(data: Sequences, same: list[np.ndarray]) -> list[Finding]:
    if not same:
        return []
    extra = sum(len(cases) - 1 for cases in same)
    message = f"{extra} case(s) repeat another one: {_equations(data, same)}"
    advice = (
        "Keep one of each, or keep them on one side of every split; else a model is judged by what it knows."
    )
    return [warning("repeated-cases", "", message, advice, cases=extra)]


def _poor(data: Sequences, poor: list[np.ndarray], torn: int) -> list[Finding]:
    if not poor:
        return []
    several = f", and {torn} of these series occur under several labels" if torn else ""
    message = (
        f"{sum(map(len, poor))} of {len(data)} cases have the values of another one "
        f"({_equations(data, poor)}){several}; they are so short, or take so few values, that this may be "
        "chance"
    )
    advice = (
        "Nothing speaks against these labels; no classifier can tell equal cases of two classes apart. "
        "Record longer series, more variables or finer values, if more is to be told."
        if torn
        else "Nothing is to be done; if they are copies of one recording, keep one of each."
    )
    return [note("equal-by-chance", "", message, advice, cases=sum(map(len, poor)), recordings=torn)]


def _equations(data: Sequences, groups: list[np.ndarray]) -> str:
    return name_some([" = ".join(data.ids[case] for case in cases[:SHOWN]) for cases in groups], "; ")


def check_leak(training: Sequences, test: Sequences) -> list[Finding]:
    """Test cases that are also training cases, variables in the same order."""
    learned = np.flatnonzero(learned_cases(training, test))
    if not len(learned):
        return []
    known, asked = equal_cases(training, test)
    first = {number: case for case, number in reversed(list(enumerate(known.tolist())))}
    shown = name_some([f"{test.ids[case]} = {training.ids[first[asked[case]]]}" for case in learned])
    message = f"{len(learned)} of {len(test)} test cases also occur in training (test = training: {shown})"
    advice = "Take them out of the training cases; a model is not judged by what it has learned by heart."
    return [warning("leak", "", message, advice, cases=len(learned))]
