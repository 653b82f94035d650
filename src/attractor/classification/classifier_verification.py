"""For how many cases no small change of the values changes the class, beside what an attack changes."""

import time
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from attractor.certify.dual.bounds import bounds_of
from attractor.certify.dual.expressions import mapped
from attractor.certify.dual.linear_maps import Dense
from attractor.certify.dual.lowering import network_of
from attractor.certify.dual.network import Network
from attractor.certify.verify.trajectories import WholeRuns, attacked
from attractor.data import Sequences
from attractor.errors import ConfigError, UnsupportedError
from attractor.program import double_precision, in_double_precision, single, single_precision, trace
from attractor.progress import Reporter, SilentReporter
from attractor.report.drawn import Drawn
from attractor.report.publishing import PAGES, PageKind
from attractor.shown import Rows, counted

from .classifier import SequenceClassifier
from .learning import PLAIN
from .sequence_network import SequenceNetwork

_SAMPLES = 200


@dataclass(frozen=True, eq=False)
class CertifiedCases(
    Drawn,
    picture="attractor.classification.classifier_verification_page:draw_shares",
    next_call=".plot(), .certified, .ids",
):
    """Which cases keep their class under every change of their values by at most so much.

    Args:
        within: largest change of each value, at each step; scaled as the model takes values.
        right: whether the class is the true one, without a change.
        changed: whether an attack changed the class.
        certified: whether no change can; proved.
        lead: no change makes the lead of the class over the others smaller; proved, and minus infinity where
            an attack had changed the class before anything was proved.
        reached: the smallest lead that the attack reached.
        ids: how the user calls the cases.
        units: of one scaled value, in the units of the data, for each variable.
        seconds: how long it took.
    """

    within: float
    right: Bool[np.ndarray, " cases"]
    changed: Bool[np.ndarray, " cases"]
    certified: Bool[np.ndarray, " cases"]
    lead: Float[np.ndarray, " cases"]
    reached: Float[np.ndarray, " cases"]
    ids: tuple[str, ...]
    units: Float[np.ndarray, " variables"]
    seconds: float

    @property
    def clean_accuracy(self) -> float:
        """Share of cases whose class is right."""
        return float(np.mean(self.right))

    @property
    def attacked_accuracy(self) -> float:
        """Share of cases whose class is right, and that no attack changed."""
        return float(np.mean(self.right & ~self.changed))

    @property
    def certified_accuracy(self) -> float:
        """Share of cases whose class is right and cannot change."""
        return float(np.mean(self.right & self.certified))

    @property
    def headline(self) -> str:
        """The answer in one sentence."""
        certified, changed = (int(np.sum(one)) for one in (self.certified, self.changed))
        open_ = len(self.ids) - certified - changed
        return (
            f"The class of {certified} of {counted(len(self.ids), 'case')} cannot change while every value "
            f"changes by at most {self.within:g} (proved); an attack changes {changed}, "
            f"{open_} not decided."
        )

    def __str__(self) -> str:
        """The answer, and the three accuracies."""
        return (
            f"{self.headline}\n"
            f"right: {100 * self.clean_accuracy:.1f} % without a change, "
            f"{100 * self.attacked_accuracy:.1f} % under attack, "
            f"{100 * self.certified_accuracy:.1f} % certified"
        )

    def rows_shown(self) -> Rows:
        """Each case."""
        rows = [
            (
                name,
                _word(right, "right", "wrong"),
                self.answer(case),
                "" if np.isinf(lead) else f"{lead:.4g}",
                f"{reached:.4g}",
            )
            for case, (name, right, lead, reached) in enumerate(
                zip(self.ids, self.right, self.lead, self.reached, strict=True)
            )
        ]
        return Rows(("case", "class", "under change", "lead, proved", "lead, reached"), tuple(rows))

    def answer(self, case: int) -> str:
        """What is known of a case, in a word."""
        if self.certified[case]:
            return "cannot change"
        return "changes" if self.changed[case] else "not decided"

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, ready for JSON."""
        arrays = {name: getattr(self, name).tolist() for name in ("right", "changed", "certified")}
        return {
            "headline": self.headline,
            "within": self.within,
            "clean_accuracy": self.clean_accuracy,
            "attacked_accuracy": self.attacked_accuracy,
            "certified_accuracy": self.certified_accuracy,
            "ids": list(self.ids),
            "lead": [float(one) if np.isfinite(one) else None for one in self.lead],
            "reached": self.reached.tolist(),
            **arrays,
            "seconds": self.seconds,
        }


PAGES.register(
    CertifiedCases,
    PageKind(
        "verify.html",
        "attractor.classification.classifier_verification_page:certified_cases_page",
        "verify.json",
    ),
    source=__name__,
)


def _word(yes: bool | np.bool_, one: str, other: str) -> str:
    return one if yes else other


def certified_cases(
    model: SequenceClassifier,
    data: Sequences,
    within: float | int,
    reporter: Reporter | None = None,
    *,
    seed: int = 0,
) -> CertifiedCases:
    """Prove for each case that its class cannot change under a change of every value, or attack it.

    A tie of classes counts as a change: what is certified has a lead above zero in exact arithmetic on the
    weights. What an attack found changes the class of the model as it runs, in single precision, too.

    Args:
        model: a fitted classifier.
        data: labelled cases without gaps.
        within: largest change of each value at each step, scaled as the model takes values.
        reporter: of progress.
        seed: of the attack.

    Raises:
        ConfigError: no cases.
        InputDataError: cases without labels.
        UnsupportedError: gaps, random convolutions, or an operation that bounds have no rule for.
    """
    if not len(data):
        raise ConfigError("there is no case to verify")
    if data.has_missing or model.missing not in PLAIN:
        raise UnsupportedError(
            f"missing={model.missing!r}: what is proved is about changed values, and says nothing of gaps; "
            "give cases without any, and train with missing='error'"
        )
    if model.network().convolutions is not None:
        raise UnsupportedError(
            "what is proved is about a recurrent network alone; this classifier reads random convolutions "
            "beside it: train with --convolutions 0 (readout__convolutions=0)"
        )
    began, reporter = time.monotonic(), reporter or SilentReporter()
    prepared, labels = model.prepare(data), model.labels_of(data)
    networks = _Networks(model.network())
    found = []
    try:
        for case, length in enumerate(data.lengths.tolist()):
            values = np.asarray(prepared.inputs[case, :length], np.float64)
            found.append(_case(networks, values, float(within), seed))
            reporter.update(case + 1, len(data))
    finally:
        reporter.close()
    return CertifiedCases(
        float(within),
        np.array([one.chosen for one in found]) == labels,
        np.array([one.changed for one in found]),
        np.array([one.certified for one in found]),
        np.array([one.lead for one in found]),
        np.array([one.reached for one in found]),
        tuple(data.ids),
        model.scaling_.scale,
        time.monotonic() - began,
    )


class _Case(NamedTuple):
    """What is found of a case: class, whether it changes, cannot change, its lead proved and reached."""

    chosen: int
    changed: bool
    certified: bool
    lead: float
    reached: float


@dataclass(eq=False)
class _Networks:
    """Normal forms of a classifier by the length of a case, and the classifier as it runs."""

    network: SequenceNetwork

    def __post_init__(self) -> None:
        with double_precision():
            self.wide = in_double_precision(self.network)
        self.known: dict[tuple[int, int], Network] = {}
        self.as_it_runs = eqx.filter_jit(lambda network, values: network(values))

    def of(self, shape: tuple[int, int]) -> Network:
        """From the values of a case, end to end, to logits."""
        if shape not in self.known:

            def logits(flat: Array) -> Array:
                return self.wide(jnp.reshape(flat, shape))

            with double_precision():
                self.known[shape] = network_of(trace(logits, jnp.zeros(shape[0] * shape[1])))
        return self.known[shape]

    def chosen(self, values: np.ndarray) -> int:
        """The class of a case, in single precision."""
        with single_precision():
            return int(np.argmax(np.asarray(self.as_it_runs(self.network, single(values)))))


def _case(networks: _Networks, values: np.ndarray, within: float, seed: int) -> _Case:
    shape = (values.shape[0], values.shape[1])
    network, chosen = networks.of(shape), networks.chosen(values)
    behind = _behind(network, chosen)
    low, high = values.ravel() - within, values.ravel() + within
    runs = WholeRuns(behind, len(behind.output.bias))
    reached = attacked(runs, low, high, values.ravel(), samples=_SAMPLES, seed=seed)
    points = reached.highest[0][reached.high[0] > 0]
    changed = any(networks.chosen(point.reshape(shape)) != chosen for point in points)
    most = -float(reached.high.max())
    if changed:
        return _Case(chosen, True, False, -np.inf, most)
    bounds = bounds_of(behind, low, high)
    lead = -float(bounds.high.max())
    return _Case(chosen, False, lead > 0, lead, most)


def _behind(network: Network, chosen: int) -> Network:
    """How far every other class is ahead of the chosen one: negative where it is behind."""
    count = len(network.output.bias)
    matrix = np.delete(np.eye(count), chosen, axis=0)
    matrix[:, chosen] = -1.0
    return Network(network.inputs, network.nodes, mapped(Dense(matrix), network.output))
