"""Names of classes as numbers, and wrong labels on purpose."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Int

from attractor.errors import ConfigError, InputDataError, ShapeError

# How files write that nobody knows the class.
UNKNOWN = frozenset({"", "?", "nan", "<na>", "nat"})
# These may well be names of classes, unless all others are numbers.
_PERHAPS_UNKNOWN = frozenset({"na", "n/a", "#n/a", "none", "null"})


def unknown_words(words: Sequence[str], classes: Sequence[str] = ()) -> list[bool]:
    """Which class words only say that nobody knows the class; never those of the classes that are listed.

    Example:
        >>> unknown_words(["walk", "nan", "none"]), unknown_words(["1", "2", "none"])
        ([False, True, False], [False, False, True])
    """
    folded = [word.strip().casefold() for word in words]
    others = {word for word in folded if word not in UNKNOWN | _PERHAPS_UNKNOWN}
    marks = UNKNOWN | _PERHAPS_UNKNOWN if others and all(map(_is_number, others)) else UNKNOWN
    return [fold in marks and word not in classes for word, fold in zip(words, folded, strict=True)]


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def encode_words(
    words: Sequence[str], where: Callable[[int], str], classes: Sequence[str] | None = None
) -> tuple[Int[np.ndarray, " cases"] | None, tuple[str, ...]]:
    """Class words as positions in the list of classes.

    Args:
        words: one for each case; blank, `?` or `nan` if nobody knows it, which holds for all cases or none.
        where: names a case for messages.
        classes: all classes in the order wanted; None takes those that occur, numbers in the order of
            their size and words in that of the alphabet.

    Returns:
        Labels, None if no case has one; and the classes.

    Raises:
        InputDataError: some cases have no label, or one that is not among the classes.
    """
    unknown = unknown_words(words, classes or ())
    if all(unknown):
        return None, tuple(classes or ())
    if any(unknown):
        case = unknown.index(True)
        raise InputDataError(
            f"{where(case)}: the case has no label, others have; give it one in place of {words[case]!r}, or "
            "remove it"
        )
    order = tuple(classes) if classes else sort_classes(set(words))
    positions = {name: position for position, name in enumerate(order)}
    labels = [positions.get(word, -1) for word in words]
    if -1 in labels:
        case = labels.index(-1)
        raise InputDataError(f"{where(case)}: class {words[case]!r} is unknown; known: {', '.join(order)}")
    return np.array(labels, dtype=np.int64), order


def sort_classes(words: set[str]) -> tuple[str, ...]:
    """Numbers by size, anything else by the alphabet."""
    try:
        return tuple(sorted(words, key=lambda word: (float(word), word)))
    except ValueError:
        return tuple(sorted(words))


def check_labels(labels: object) -> np.ndarray:
    """Labels as an array of whole numbers, texts or truth values.

    Raises:
        InputDataError: a label is missing, or a fraction: those are values to predict, not classes.
    """
    for case in np.flatnonzero(np.ma.getmaskarray(labels) if np.ma.isMaskedArray(labels) else ())[:1]:
        raise InputDataError(f"case {case} has no label (it is masked); give it one or leave the case out")
    # NumPy would make texts of numbers among texts.
    is_mixed = isinstance(labels, list | tuple) and len({isinstance(one, str) for one in labels}) > 1
    array = np.array(labels, dtype=object if is_mixed else None)
    if array.ndim != 1:
        raise InputDataError(f"labels have shape {array.shape}, expected (cases,): one label for each case")
    if array.dtype.kind == "O":
        array = _plain(array)
    if array.dtype.kind not in "biufUS":
        raise InputDataError(f"labels of type {array.dtype} are no classes; give texts or whole numbers")
    if array.dtype.kind == "f":
        return _whole(array)
    return _known(array.astype(str)) if array.dtype.kind in "US" else array


def _known(words: np.ndarray) -> np.ndarray:
    for case in np.flatnonzero(unknown_words(words.tolist()))[:1]:
        raise InputDataError(
            f"case {case} has no label ({str(words[case])!r}); give it one or leave the case out"
        )
    return words


def _plain(array: np.ndarray) -> np.ndarray:
    """Python objects, as tables hold them, as an array of one type."""
    import pandas as pd

    for case in np.flatnonzero(pd.isna(array))[:1]:
        raise InputDataError(f"case {case} has no label ({array[case]!r}); give it one or leave the case out")
    texts = [isinstance(label, str) for label in array]
    if any(texts) and not all(texts):
        word, number = array[texts.index(True)], array[texts.index(False)]
        raise InputDataError(
            f"labels mix texts and others, such as {word!r} and {number!r}; give all as texts"
        )
    return np.array(array.tolist())


def _whole(array: np.ndarray) -> np.ndarray:
    for case in np.flatnonzero(np.isnan(array))[:1]:
        raise InputDataError(f"case {case} has no label (nan); give it one or leave the case out")
    bad = np.flatnonzero(~np.isfinite(array) | (array != np.rint(array)))
    if len(bad):
        raise InputDataError(
            f"case {bad[0]} has the label {array[bad[0]]:g}; classes are texts or whole numbers. "
            "Unknown label type: continuous"
        )
    return array.astype(np.int64)


# Kinds of wrong labels by name; see `corrupt`.
NOISES = ("symmetric-other", "symmetric-all", "pair", "group")


def corrupt(
    labels: Int[np.ndarray, " cases"],
    classes: int,
    share: float | int,
    kind: str = "symmetric-other",
    seed: int = 0,
    groups: Sequence[object] | np.ndarray | None = None,
) -> tuple[Int[np.ndarray, " cases"], Bool[np.ndarray, " cases"]]:
    """Change the labels of a share of the cases, N in all, at random.

    - "symmetric-other": round(share N) cases get one of the other classes, each as likely as the other;
    - "symmetric-all": they get any of all C classes, so that one in C of them keeps its label;
    - "pair": class c becomes c + 1 modulo C;
    - "group": all cases of some groups (annotators) are wrong, and wrong alike: each such annotator
      confuses the classes by a permutation of their own that moves every class. Annotators come in random
      order until round(share N) cases are wrong; the last one is wrong in some cases only.

    Args:
        labels: true classes as positions, from 0 on.
        classes: C, at least 2.
        share: of the cases, from 0 to 1.
        kind: one of the above.
        seed: of which cases, and of what they become.
        groups: for every case who labelled it; for "group" only.

    Returns:
        New labels, and whether each differs from the true one. The labels given stay as they are.

    Raises:
        ConfigError: an unknown kind, a share outside its range, less than two classes, or groups that are
            missing or not asked for.
        InputDataError: a label without a class.
        ShapeError: more or fewer groups than cases.
    """
    if kind not in NOISES:
        raise ConfigError(f"kind={kind!r}: expected one of {', '.join(NOISES)}")
    if not 0 <= share <= 1:
        raise ConfigError(f"share={share}: expected a share from 0 to 1")
    if classes < 2:
        raise ConfigError(f"classes={classes}: a wrong label needs two classes or more")
    bad = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(bad):
        raise InputDataError(f"case {bad[0]} has label {labels[bad[0]]}, expected 0 to {classes - 1}")
    rng = np.random.default_rng(seed)
    count = round(share * len(labels))
    if kind == "group":
        noisy = _confuse_groups(labels, classes, count, _group_codes(groups, len(labels)), rng)
        return noisy, noisy != labels
    if groups is not None:
        raise ConfigError(f"groups say who labelled a case, which counts for kind 'group', not for {kind!r}")
    noisy = labels.copy()
    chosen = rng.permutation(len(labels))[:count]
    if kind == "symmetric-all":
        noisy[chosen] = rng.integers(0, classes, count)
    else:
        step = 1 if kind == "pair" else rng.integers(1, classes, count)
        noisy[chosen] = (labels[chosen] + step) % classes
    return noisy, noisy != labels


def _group_codes(groups: Sequence[object] | np.ndarray | None, cases: int) -> Int[np.ndarray, " cases"]:
    if groups is None:
        raise ConfigError("kind 'group' needs groups: for every case who labelled it")
    if len(groups) != cases:
        raise ShapeError(f"{len(groups)} groups for {cases} cases; give one for each")
    return np.unique(np.asarray(groups), return_inverse=True)[1]


def _confuse_groups(
    labels: Int[np.ndarray, " cases"],
    classes: int,
    count: int,
    groups: Int[np.ndarray, " cases"],
    rng: np.random.Generator,
) -> Int[np.ndarray, " cases"]:
    noisy = labels.copy()
    for group in rng.permutation(int(groups.max(initial=-1)) + 1):
        wrong = rng.permutation(np.flatnonzero(groups == group))[:count]
        noisy[wrong] = _derangement(classes, rng)[labels[wrong]]
        count -= len(wrong)
    return noisy


def _derangement(classes: int, rng: np.random.Generator) -> Int[np.ndarray, " classes"]:
    """A random permutation that moves every class; about one in e of all permutations is one."""
    while True:
        order = rng.permutation(classes)
        if (order != np.arange(classes)).all():
            return order
