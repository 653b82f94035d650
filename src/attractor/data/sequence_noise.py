"""Wrong labels on purpose, to measure what a method does about them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from attractor.errors import ConfigError, InputDataError, ShapeError

NOISES = ("symmetric-other", "symmetric-all", "pair", "group")
"""Kinds of wrong labels by name; see `corrupt`."""


def corrupt(
    labels: Int[np.ndarray, " cases"],
    classes: int,
    share: float | int,
    kind: str = "symmetric-other",
    seed: int = 0,
    groups: Sequence[Any] | np.ndarray | None = None,
) -> tuple[Int[np.ndarray, " cases"], Bool[np.ndarray, " cases"]]:
    """Change the labels of a share of the cases, N in all, at random.

    - "symmetric-other": round(share N) cases get one of the other classes, each as likely as the other;
    - "symmetric-all": they get any of all C classes, so that one in C of them keeps its label;
    - "pair": class c becomes c + 1 modulo C;
    - "group": all cases of some groups (annotators) are wrong, and wrong alike: each such annotator
      confuses the classes by a permutation of their own that leaves none in place. Annotators come in random
      order until round(share N) cases are wrong; the last one is wrong in some cases only.

    Args:
        labels: true classes as places, from 0 on.
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
    _check(classes, share, kind)
    bad = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(bad):
        message = f"case {bad[0]} has label {labels[bad[0]]}, expected 0 to {classes - 1}"
        raise InputDataError(message)
    rng = np.random.default_rng(seed)
    count = round(share * len(labels))
    if kind == "group":
        noisy = _confuse_groups(labels, classes, count, _group_codes(groups, len(labels)), rng)
        return noisy, noisy != labels
    if groups is not None:
        message = f"groups say who labelled a case, which counts for kind 'group', not for {kind!r}"
        raise ConfigError(message)
    noisy = labels.copy()
    chosen = rng.permutation(len(labels))[:count]
    noisy[chosen] = _replacements(labels[chosen], classes, kind, rng)
    return noisy, noisy != labels


def _check(classes: int, share: float | int, kind: str) -> None:
    if kind not in NOISES:
        message = f"kind={kind!r}: expected one of {', '.join(NOISES)}"
        raise ConfigError(message)
    if not 0 <= share <= 1:
        message = f"share={share}: expected a share from 0 to 1"
        raise ConfigError(message)
    if classes < 2:
        message = f"classes={classes}: a wrong label needs two classes or more"
        raise ConfigError(message)


def _replacements(
    labels: Int[np.ndarray, " some"], classes: int, kind: str, rng: np.random.Generator
) -> Int[np.ndarray, " some"]:
    if kind == "symmetric-all":
        return rng.integers(0, classes, len(labels))
    step = 1 if kind == "pair" else rng.integers(1, classes, len(labels))
    return (labels + step) % classes


def _group_codes(groups: Sequence[Any] | np.ndarray | None, cases: int) -> Int[np.ndarray, " cases"]:
    if groups is None:
        message = "kind 'group' needs groups: for every case who labelled it"
        raise ConfigError(message)
    if len(groups) != cases:
        message = f"{len(groups)} groups for {cases} cases; give one for each"
        raise ShapeError(message)
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
        members = rng.permutation(np.flatnonzero(groups == group))[:count]
        noisy[members] = _derangement(classes, rng)[labels[members]]
        count -= len(members)
    return noisy


def _derangement(classes: int, rng: np.random.Generator) -> Int[np.ndarray, " classes"]:
    """A random permutation that leaves nothing in place; about one in e of all permutations is one."""
    while True:
        order = rng.permutation(classes)
        if (order != np.arange(classes)).all():
            return order
