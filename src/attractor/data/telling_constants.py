"""Variables that never move within a case and tell its class by themselves: codes of it, or of its origin."""

from itertools import pairwise
from math import lgamma

import numpy as np
from jaxtyping import Float, Int

from .finding import Finding, warning
from .labelled_sequences import Sequences
from .shared_stretches import shared_stretches

_CHANCE = 1e-3
"""How often labels that have nothing to do with a variable may look told by one of all variables."""
_SMALLEST = 1e-12
"""Differences within a case, as a share of its largest value, that are rounding."""


def check_telling(data: Sequences) -> list[Finding]:
    """Variables that are constant in every case and leave no doubt of its class, which hardly is chance.

    Cases of a single step say nothing of what moves within a case; they are not looked at.
    """
    if data.labels is None:
        return []
    findings, labels = [], data.labels
    for position, name in enumerate(data.names):
        levels, known = _levels(data.values[:, :, position])
        if levels is None or not np.ptp(levels[known]):
            continue
        told = _told_by(levels[known], labels[known])
        if told and _is_no_chance(data, levels, known):
            message = (
                f"'{name}' tells the class by itself: it is constant in every case, and {told} in all "
                f"{np.count_nonzero(known)} cases"
            )
            advice = (
                "Is its value known before the class is? If it was made from the class, or comes from where "
                "or when the cases of a class were recorded, leave it out: a model reads little else beside "
                "it, and its results say nothing of new cases. If it is a measured property, keep it."
            )
            findings.append(warning("tells-class", name, message, advice))
    return findings


def _is_no_chance(data: Sequences, levels: np.ndarray, known: np.ndarray) -> bool:
    """Whether independent cases are told too; those of one group or recording count once for each value."""
    units = shared_stretches(data).recordings if data.groups is None else data.groups
    units = np.unique(units, return_inverse=True)[1]
    rows = np.stack([units, levels, np.asarray(data.labels)])[:, known]
    _, level, label = np.unique(rows, axis=1)
    return chance_of(level, label.astype(int)) < _CHANCE / len(data.names)


def _levels(
    channel: Float[np.ndarray, "cases time"],
) -> tuple[Float[np.ndarray, " cases"] | None, np.ndarray]:
    """The value of each case, and which cases have it twice or more; None where one of them moves."""
    measured = ~np.isnan(channel)
    known = measured.sum(axis=1) > 1
    if not known.any():
        return None, known
    low = np.where(measured, channel, np.inf).min(axis=1)
    high = np.where(measured, channel, -np.inf).max(axis=1)
    largest = np.maximum(np.abs(low), np.abs(high))
    is_still = (high / 2 - low / 2)[known] <= _SMALLEST * largest[known]
    return (low if is_still.all() else None), known


def _told_by(levels: Float[np.ndarray, " cases"], labels: Int[np.ndarray, " cases"]) -> str:
    """How the values tell the classes; empty if they do not."""
    if _is_pure(levels, labels):
        values = len(np.unique(levels))
        if values < len(levels):
            return f"each of its {values} values goes with one class"
    return "its ranges in the classes lie apart" if _is_apart(levels, labels) else ""


def _is_pure(levels: np.ndarray, labels: np.ndarray) -> bool:
    """Whether cases of one value are of one class."""
    pairs = np.unique(np.stack([levels, labels]), axis=1)
    return len(np.unique(pairs[0])) == pairs.shape[1]


def _is_apart(levels: np.ndarray, labels: np.ndarray) -> bool:
    """Whether every class has a range of values of its own."""
    ends = sorted(
        (levels[labels == label].min(), levels[labels == label].max()) for label in np.unique(labels)
    )
    return all(before[1] < after[0] for before, after in pairwise(ends))


def chance_of(levels: Float[np.ndarray, " cases"], labels: Int[np.ndarray, " cases"]) -> float:
    """How probable it is that labels in any order are told so: one class a value, or one range a class.

    The first is the product over the values of the chance that all n cases of a value are of one class,
    sum_k (N_k / N)^n, where labels are drawn with the frequencies of the K classes; the second is K! N_1! ...
    N_K! / N!, the orders of the classes among all orders of the labels.
    """
    counts = np.unique(labels, return_counts=True)[1]
    shares = counts / len(labels)
    chances = [1.0]
    if _is_pure(levels, labels):
        repeats = np.unique(levels, return_counts=True)[1]
        chances.append(float(np.exp(sum(np.log((shares**count).sum()) for count in repeats))))
    if _is_apart(levels, labels):
        orders = lgamma(len(counts) + 1) + sum(lgamma(count + 1) for count in counts)
        chances.append(float(np.exp(orders - lgamma(len(labels) + 1))))
    return min(chances)
