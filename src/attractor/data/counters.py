"""Variables that measure nothing: row numbers, ids, clocks. They tell in which order cases were recorded.

A table that was sorted by class and saved with its index has such a column, and a classifier reads the class
from it, whatever the other variables hold.
"""

import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from .labelled_sequences import Sequences

# Names of columns that count; one without a name is `Unnamed: 0` for pandas, `c1` here.
_NAMES = re.compile(
    r"unnamed:? ?\d+(_level_\d+)?|c\d+|level_\d+|index|idx|i|n|no\.?|nr\.?|#|num(ber)?|rows?|lines?|lineno|"
    r"(row|line|record|sample|obs|observation|seq|sequence|frame)[ _.-]?(id|no|nr|num|number|index|idx)|"
    r"rownames?|rownum|serial|counter|count|uid|uuid|id|record|obs|observation",
    re.IGNORECASE,
)
# Names of columns that say where a case comes from.
_ORIGINS = re.compile(
    r"(subject|patient|participant|person|user|device|recording|session|trial|group|annotator)s?"
    r"([ _.-]?(id|no|nr|num|number|index))?",
    re.IGNORECASE,
)
# With fewer rows, steps or cases, values may look counted by chance.
_FEWEST_ROWS, _FEWEST_STEPS, _FEWEST_CASES = 10, 5, 5
# How far steps of a clock may differ, as a share of them; how straight and how alike stamps run.
_EVEN, _STRAIGHT, _ALIKE = 1e-3, 0.999, 0.1


def counting_variables(data: Sequences) -> dict[str, str]:
    """The variables that count rows or cases, or tell the time, by name, and why they are taken for such.

    Example:
        >>> import numpy as np
        >>> noise = np.random.default_rng(0).normal(size=(5, 4))
        >>> counted = Sequences.from_arrays(np.stack([noise, np.arange(20.0).reshape(5, 4)], axis=2))
        >>> counting_variables(counted)
        {'v2': 'it counts the rows'}
    """
    cases = [data.values[case, :length] for case, length in enumerate(data.lengths)]
    whys = {name: why_counted(name, [case[:, at] for case in cases]) for at, name in enumerate(data.names)}
    return {name: why for name, why in whys.items() if why}


def why_counted(name: str, cases: Sequence[Float[np.ndarray, " _"]]) -> str:
    """Why a column is taken for one that counts; empty if it is not.

    Args:
        name: its head.
        cases: its values in each case, in the order of time; one for a log.
    """
    values = np.concatenate(cases)
    if len(values) < 2 or not np.isfinite(values).all():
        return ""
    is_whole = bool((values == np.rint(values)).all())
    is_named = bool(_NAMES.fullmatch(name.strip()))
    if is_whole and _counts_rows(values, is_named):
        return "it counts the rows"
    if _is_case_number(cases, is_named=is_whole and is_named):
        return "it is constant in each case and another number in every case"
    is_constant = all(np.ptp(case) == 0 for case in cases)
    if is_whole and is_constant and np.ptp(values) > 0 and _ORIGINS.fullmatch(name.strip()):
        return "it says where a case comes from, and belongs into the groups"
    long = [case for case in cases if len(case) > 1]
    if is_whole and (is_named or len(values) >= _FEWEST_ROWS) and long and all(map(_is_by_one, long)):
        return "it counts the steps"
    return _why_clock(cases)


def _counts_rows(values: Float[np.ndarray, " rows"], is_named: bool) -> bool:
    """Whether whole numbers are all different: a run without holes, or under a name that counts."""
    distinct = len(np.unique(values)) == len(values)
    if is_named:
        return distinct
    return distinct and len(values) >= _FEWEST_ROWS and bool(np.ptp(values) == len(values) - 1)


def _is_case_number(cases: Sequence[Float[np.ndarray, " _"]], is_named: bool) -> bool:
    """Whether every case has one value and no other case has it: an id, or the number of the recording."""
    if any(len(case) < 2 or np.ptp(case) > 0 for case in cases):
        return False
    values = np.array([case[0] for case in cases])
    if len(cases) < 2 or len(np.unique(values)) < len(values):
        return False
    is_ordered = bool((np.diff(values) > 0).all() or (np.diff(values) < 0).all())
    is_counted = bool((values == np.rint(values)).all() and np.ptp(values) == len(values) - 1)
    return is_named or (len(cases) >= 2 * _FEWEST_CASES and (is_ordered or is_counted))


def _is_by_one(case: Float[np.ndarray, " _"]) -> bool:
    return bool((np.diff(case) == 1).all())


def _why_clock(cases: Sequence[Float[np.ndarray, " _"]]) -> str:
    """Whether a column runs like a clock: straight on in every case, or on from case to case."""
    long = [case for case in cases if len(case) >= _FEWEST_STEPS]
    rows = sum(map(len, cases))
    if len(long) < max(0.9 * len(cases), 1) or rows < 2 * _FEWEST_ROWS:
        return ""
    if np.median([case[-1] - case[0] for case in long]) < 0:
        long = [-case for case in long]
    if not all((np.diff(case) > 0).all() for case in long):
        return ""
    slopes = np.array([(case[-1] - case[0]) / (len(case) - 1) for case in long])
    is_alike = bool(np.ptp(slopes) <= _ALIKE * np.median(slopes))
    is_even = all(np.ptp(np.diff(case)) <= _EVEN * slope for case, slope in zip(long, slopes, strict=True))
    if is_alike and (is_even or (len(long) >= _FEWEST_CASES and all(map(_is_straight, long)))):
        return "it runs like a clock"
    ends = np.array(sorted((case[0], case[-1]) for case in long))
    if len(long) >= _FEWEST_CASES and (ends[1:, 0] > ends[:-1, 1]).all():
        return "it rises from step to step and from case to case, as times do"
    return ""


def _is_straight(case: Float[np.ndarray, " _"]) -> bool:
    return bool(np.corrcoef(case, np.arange(len(case)))[0, 1] >= _STRAIGHT)
