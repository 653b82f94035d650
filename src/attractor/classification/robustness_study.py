"""The audit of a fitted classifier: robustness curves, margins, fragility over time, stability."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
import numpy as np
from jaxtyping import Float, PyTree

from attractor.audit import (
    ATTACKS,
    PERTURBATIONS,
    ChannelRange,
    LabelledSequences,
    RobustnessCurves,
    RobustnessSettings,
    StabilityBounds,
    certified_margins,
    channel_range,
    class_margins,
    robustness_curves,
    stability,
    state_curvature,
)
from attractor.cells import initial_state, name_of
from attractor.certify import CertifySettings
from attractor.data import Sequences
from attractor.data.wild_values import check_far
from attractor.dynamics import LyapunovSettings, lyapunov_exponents
from attractor.errors import AttractorError, UnsupportedError
from attractor.program import layout_of, single_precision
from attractor.progress import Reporter, SilentReporter
from attractor.report.drawn import Drawn
from attractor.report.publishing import PAGES, PageKind
from attractor.settings import Count, CountOrNone, NonNegative, Settings
from attractor.shown import Rows, Shown

from .classifier import SequenceClassifier
from .reading import bare_cell, channel_cases, driving_inputs, scaled_cases, some_of, value_logits

Found = TypeVar("Found")

SCALE = "Levels are in standard deviations of the training data: values are disturbed after they are scaled."
PLAIN_SCALE = "Levels are in the unit of the data: this model takes values as they are."
GAPS = "Only measured values are disturbed; what says that a value is missing, and since when, stays."

_LONGEST_DRIVE = 2000
_BURN_IN = 100
_CHUNK = 4


@dataclass(frozen=True)
class RobustnessPlan(Settings):
    """How much is measured.

    Args:
        seeds: draws of every perturbation.
        attacks: also look for the worst inputs, which takes much longer.
        fragility_cases: cases whose curvature in the state is followed; 0 for none.
        most_states: states of a cell beyond which that curvature is not computed.
        time_budget: seconds for the search for a stability certificate.

    Raises:
        ConfigError: a number out of range.
    """

    seeds: Count = 5
    attacks: bool = False
    fragility_cases: CountOrNone = 24
    most_states: Count = 512
    time_budget: NonNegative = 20.0


@dataclass(frozen=True, eq=False)
class Fragility(Shown):
    """How sharply the loss bends in the hidden state, step by step; see `attractor.audit.state_curvature`.

    Small noise of variance s^2 in every unit of the state after step m costs s^2 trace_m / 2 on average.

    Args:
        trace: of the Hessian, shape (cases, time + 1), NaN behind the end of a case.
        largest: its largest eigenvalue, same shape.
        example: the case among them whose values are kept.
        values: of the example, scaled, shape (time, variables).
        example_id: how the user calls it.
    """

    trace: Float[np.ndarray, "cases states_in_time"]
    largest: Float[np.ndarray, "cases states_in_time"]
    example: int
    values: Float[np.ndarray, "time variables"]
    example_id: str


@dataclass(frozen=True, eq=False)
class RobustnessStudy(
    Drawn,
    picture="attractor.classification.classifier_figures:draw_robustness",
    next_call=".plot(), .curves, .stability",
):
    """The audit of one classifier. A part that cannot be had is a sentence that says why.

    Args:
        curves: accuracy under perturbations.
        remarks: what a level means and what is disturbed.
        margins: score of the true class less the best other, shape (cases,).
        radii: distances in the Euclidean norm over a whole series within which no change of its values
            changes the class, proved; shape (cases,).
        fragility: over time.
        exponent: largest Lyapunov exponent, growth of the logarithm of a difference in one step.
        drive: how many steps it was taken over.
        stability: the verdict.
    """

    curves: RobustnessCurves
    remarks: tuple[str, ...]
    margins: Float[np.ndarray, " cases"]
    radii: np.ndarray | str
    fragility: Fragility | str
    exponent: float | str
    drive: int
    stability: StabilityBounds | str

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, lists and dictionaries, ready for JSON; None stands for a NaN."""
        return {
            "curves": self.curves.to_dict(),
            "remarks": list(self.remarks),
            "margins": self.margins.tolist(),
            "certified_radii": self.radii if isinstance(self.radii, str) else self.radii.tolist(),
            "fragility": self.fragility if isinstance(self.fragility, str) else _plain(self.fragility),
            "lyapunov_exponent": self.exponent,
            "lyapunov_steps": self.drive,
            "stability": self.stability if isinstance(self.stability, str) else _verdict(self.stability),
        }

    def __str__(self) -> str:
        """Accuracy under perturbations, the exponent, and the verdict on stability."""
        growth = self.exponent
        if not isinstance(growth, str):
            growth = f"largest exponent {growth:.4g} per step, over {self.drive} steps"
        stable = self.stability if isinstance(self.stability, str) else self.stability.verdict.value
        return "\n".join([
            *str(self.curves).splitlines()[:2],
            growth,
            stable,
        ])

    def rows_shown(self) -> Rows:
        """Mean and worst accuracy under every perturbation."""
        return self.curves.rows_shown()


@single_precision()
def robustness_study(
    model: SequenceClassifier,
    data: Sequences,
    plan: RobustnessPlan | None = None,
    limits: tuple[np.ndarray, np.ndarray] | None = None,
    reporter: Callable[[str], Reporter] | None = None,
) -> RobustnessStudy:
    """Audit a fitted classifier on labelled cases that it was not trained on.

    Args:
        model: fitted.
        data: the cases.
        plan: how much is measured.
        limits: smallest and largest value of every variable in the training data, for salt and pepper; those
            of the data themselves if None.
        reporter: gives a reporter for a stretch of work by its title.

    Raises:
        InputDataError: cases without labels, of unknown classes, or with gaps that the model refuses.
    """
    plan, reporter = plan or RobustnessPlan(), reporter or (lambda _: SilentReporter())
    cases, logits = scaled_cases(model, data), value_logits(model)
    suite = [*PERTURBATIONS.values(), *(ATTACKS.values() if plan.attacks else ())]
    settings = RobustnessSettings(tuple(range(plan.seeds)), limits=_limits(model, cases, limits))
    curves = robustness_curves(logits, cases, suite, settings, reporter("perturbations"))
    exponent, drive = _exponent(model, data)
    return RobustnessStudy(
        curves=curves,
        remarks=_remarks(model, data, given=limits is not None),
        margins=np.asarray(class_margins(logits, cases), float),
        radii=_or_reason(lambda: _radii(model, data)),
        fragility=_or_reason(lambda: _fragility(model, data, plan, reporter("fragility"))),
        exponent=exponent,
        drive=drive,
        stability=_or_reason(lambda: _stability(model, data, plan, reporter("stability"))),
    )


def _remarks(model: SequenceClassifier, data: Sequences, *, given: bool) -> tuple[str, ...]:
    ends = (
        "" if given else "Salt and pepper jump to the ends of these cases: those of training are not known."
    )
    scale = SCALE if model.standardise else PLAIN_SCALE
    far = [f"{one.message}." for one in check_far(data.matched(model.names_), model.usual_)]
    return tuple(text for text in (scale, GAPS if data.has_missing else "", ends, *far) if text)


def _limits(
    model: SequenceClassifier, cases: LabelledSequences, limits: tuple[np.ndarray, np.ndarray] | None
) -> ChannelRange:
    if limits is None:
        return channel_range(cases.inputs, cases.lengths)
    low, high = (model.scaling_.to_unit(np.asarray(end, float)) for end in limits)
    return ChannelRange(low.astype(np.float32), high.astype(np.float32))


def _or_reason(compute: Callable[[], Found]) -> Found | str:
    """What is computed, or the sentence that says why it cannot be."""
    try:
        return compute()
    except AttractorError as problem:
        return str(problem)


def _check_last(model: SequenceClassifier, what: str) -> None:
    """Refuse a network whose logits hang on more than the last state."""
    readout = model.readout
    if readout.pooling != "last":
        raise UnsupportedError(
            f"{what} is computed for pooling='last'; this model reads the {readout.pooling} over time"
        )
    if readout.convolutions:
        raise UnsupportedError(
            f"{what} is computed for a recurrent network alone (convolutions=0); this model reads random "
            "convolutions beside it"
        )


def _radii(model: SequenceClassifier, data: Sequences) -> np.ndarray:
    _check_last(model, "a certified radius")
    if data.has_missing or model.missing not in ("error", "zero", "forward", "cell"):
        raise UnsupportedError(
            "a certified radius needs values without gaps, in channels that are the values themselves"
        )
    network = model.network()
    return certified_margins(bare_cell(network), network.readout, channel_cases(model, data)).radii


def _fragility(
    model: SequenceClassifier, data: Sequences, plan: RobustnessPlan, reporter: Reporter
) -> Fragility:
    _check_last(model, "fragility over time")
    network = model.network()
    cell = bare_cell(network)
    states = layout_of(initial_state(cell), name_of(cell)).real_size
    if not plan.fragility_cases or states > plan.most_states:
        raise UnsupportedError(
            f"the curvature of {states} states over time was not computed: it was asked for "
            f"{plan.fragility_cases} cases and up to {plan.most_states} states"
        )
    some = some_of(data, plan.fragility_cases)
    cases = channel_cases(model, some)
    found = []
    try:
        for first in range(0, len(cases), _CHUNK):
            # Filled up with the first case, so that one compiled program serves all pieces.
            positions = np.arange(first, first + _CHUNK) % len(cases)
            piece = LabelledSequences(
                cases.inputs[positions], cases.lengths[positions], cases.labels[positions]
            )
            found.append(state_curvature(cell, network.readout, piece, batch=_CHUNK))
            reporter.update(min(first + _CHUNK, len(cases)), len(cases))
    finally:
        reporter.close()
    trace, largest = (np.concatenate(part)[: len(cases)] for part in zip(*found, strict=True))
    example = _typical(trace)
    values = model.scaling_.to_unit(some.one(example))
    return Fragility(trace, largest, example, values, some.ids[example])


def _typical(trace: np.ndarray) -> int:
    """The case whose peak is the median of the peaks."""
    peaks = np.nanmax(trace, axis=1)
    return int(np.argsort(peaks, kind="stable")[len(peaks) // 2])


def _exponent(model: SequenceClassifier, data: Sequences) -> tuple[float | str, int]:
    """The largest exponent along the cases one after the other, the state carried over, and its steps."""
    drive = driving_inputs(model, data, _LONGEST_DRIVE)
    settings = LyapunovSettings(count=1, burn_in=min(_BURN_IN, len(drive) // 2))
    cell = bare_cell(model.network())
    found = _or_reason(lambda: lyapunov_exponents(cell, drive, settings=settings))
    return (found, 0) if isinstance(found, str) else (float(found.per_step[0]), found.steps)


def _stability(
    model: SequenceClassifier, data: Sequences, plan: RobustnessPlan, reporter: Reporter
) -> StabilityBounds:
    cases = channel_cases(model, data)
    bound = float(np.nanmax(np.abs(cases.inputs)))
    settings = CertifySettings(time_budget=plan.time_budget)
    try:
        return stability(bare_cell(model.network()), input_bound=bound, settings=settings, reporter=reporter)
    finally:
        reporter.close()


def _plain(fragility: Fragility) -> dict[str, Any]:
    arrays = {name: getattr(fragility, name) for name in ("trace", "largest", "values")}
    lists = {name: _without_nan(value.tolist()) for name, value in arrays.items()}
    return {**lists, "example": fragility.example, "example_id": fragility.example_id}


def _verdict(found: StabilityBounds) -> dict[str, Any]:
    numbers = {"step_factor": found.step_factor, "one_sided_lipschitz": found.one_sided}
    return {
        "verdict": found.verdict.name.lower(),
        "meaning": found.verdict.value,
        "reason": found.reason,
        **{name: value if np.isfinite(value) else None for name, value in numbers.items()},
    }


def _without_nan(value: PyTree[float]) -> PyTree[float | None]:
    return jax.tree.map(lambda number: number if np.isfinite(number) else None, value)


PAGES.register(
    RobustnessStudy,
    PageKind(
        "robustness.html", "attractor.classification.robustness_page:robustness_page", "robustness.json"
    ),
    source=__name__,
)
