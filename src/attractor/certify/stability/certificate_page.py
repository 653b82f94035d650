"""The page of a certificate: verdict, rate, settling time, set, and every rung that was tried."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attractor.cells import CellLike
from attractor.certify import LEVELS, Certificate, StabilityResult, Verdict, Witness, bound_in_words, claim
from attractor.certify.stability.certificate import Contraction, simulated_contraction
from attractor.report.about import About
from attractor.report.page import Note, Page, PageFigure, PageTable, Section, Step, Tile, Tone
from attractor.report.publishing import PAGES, PageKind
from attractor.report.style import Hue, Size, legend_above, panels, powers_of_ten
from attractor.report.wording import duration, shortened, significant

_TONES: dict[Verdict, Tone] = {
    Verdict.PROVED: "good",
    Verdict.UNKNOWN: "fair",
    Verdict.REFUTED: "poor",
}
_MEANINGS = {
    Verdict.PROVED: (
        "A wrong start, and a disturbance once it is over, are forgotten at the rate below. Nothing is "
        "claimed outside the certified set or for larger inputs."
    ),
    Verdict.UNKNOWN: (
        "Nothing follows, neither good nor bad: a wrong start may be forgotten, or stay for ever. "
        "Until it is "
        "proved, check every use by simulation, and do not let a controller rely on it."
    ),
    Verdict.REFUTED: (
        "What the model says depends on where it started, however long ago: two runs under the same inputs "
        "can stay apart for ever."
    ),
}
_WEIGHTED = (1, 2, 3)
# Characters of a reason in a figure.
_WORDS = 60
"""Levels whose norm is the weighted maximum norm."""
_LONGEST = 4000
_DISTANCES = (
    "Distances are in the norm of the certificate.",
    "Simulated distances are largest differences of a state; the proof has another norm, see the remarks, "
    "and at first a simulated line may lie above it.",
)


@dataclass(frozen=True, eq=False)
class CertifiedCell:
    """A cell with what was found of it.

    Args:
        cell: that was analysed.
        result: of `certify`.
        input_bound: inputs within +- this were asked about, scaled.
        sampling_time: seconds per step; None if that is only assumed.
        visited: least and largest value of every state over the data; None if not known.
        repairable: whether `attractor repair` takes runs of this kind.
        retraining: the command that trains a new one towards a proof; empty if there is none.
        scaled: whether inputs count in the range of training data; False for a cell that was never trained.
    """

    cell: CellLike
    result: StabilityResult
    input_bound: float
    sampling_time: float | None
    visited: Float[np.ndarray, "2 states"] | None = None
    repairable: bool = True
    retraining: str = ""
    scaled: bool = True


PAGES.register(
    CertifiedCell,
    PageKind("certificate.html", "attractor.certify.stability.certificate_page:certificate_page"),
    source=__name__,
)


def certificate_page(found: CertifiedCell, about: About) -> Page:
    """What the page says.

    Args:
        found: the cell and its analysis.
        about: the run of the cell.
    """
    result, certificate = found.result, found.result.certificate
    sections = [_attempts(result)]
    if certificate is not None:
        sections = [_contraction(found, certificate), _set(certificate, found), *sections]
    elif result.witness is not None:
        sections = [_witness(result.witness, found.visited), *sections]
    return Page(
        kind="Stability certificate",
        verdict=_verdict(found),
        tone=_TONES[result.verdict],
        meaning=_MEANINGS[result.verdict],
        steps=_steps(found, about.run),
        tiles=_tiles(result, found.sampling_time),
        sections=tuple(sections),
    )


def _verdict(found: CertifiedCell) -> str:
    """The claim; why a search ended without an answer stands below, with what was tried."""
    if found.result.verdict is Verdict.UNKNOWN:
        bound = bound_in_words(found.input_bound)
        what = "that the model forgets its past is neither proved nor refuted"
        return f"Unknown for inputs within {bound}: {what}."
    return claim(found.result, found.input_bound)


def _steps(found: CertifiedCell, run: str) -> tuple[Step, ...]:
    if found.result.verdict is Verdict.PROVED:
        return (
            Step(
                "Use it in a closed loop, on a plant of yours:",
                f"attractor control {run} --plant plant.py:Plant",
            ),
        ) * found.repairable
    steps = []
    if found.repairable:
        other = "../repaired" if run == "." else f"{run}-repaired"
        repair = f"attractor repair {run} --out {other}"
        steps.append(Step("Move it a little, to where a certificate holds, and train it on there:", repair))
    if found.retraining:
        steps.append(Step("Or train a new one towards a proof:", found.retraining))
    if found.result.verdict is Verdict.UNKNOWN:
        steps.append(Step("Or search longer:", f"attractor certify {run} --time-budget 600"))
        half = found.input_bound / 2
        steps.append(
            Step("Or ask about smaller inputs only:", f"attractor certify {run} --input-bound {half:g}")
        )
    return tuple(steps)


def _tiles(result: StabilityResult, sampling_time: float | None) -> tuple[Tile, ...]:
    took, unit = duration(result.seconds)
    analysis = Tile("Analysis", took, unit, "wall time with compilation")
    certificate = result.certificate
    if certificate is None:
        return (Tile("Verdict", result.verdict.name.lower(), "", "no certificate"), analysis)
    steps = certificate.settling_steps()
    settled = (str(steps), "steps") if sampling_time is None else duration(steps * sampling_time)
    tiles = [
        Tile(
            "Contraction", f"{certificate.rate:.4f}", "times", "what a step leaves of a difference, at most"
        ),
        Tile("Settling", *settled, f"to 1 %, certified: {steps} steps"),
        Tile("Level", str(certificate.level), "", LEVELS[certificate.level]),
    ]
    moved = moved_by_a_percent(certificate)
    if moved is not None and moved < _SAYS_NOTHING:
        note = "of the certified set, at most, for a lasting 1 % of the input range"
        tiles.append(Tile("State moves", significant(100 * moved, 2), "%", note))
    return (*tiles, analysis)


_SAYS_NOTHING = 0.5
"""Part of the certified set by which a hundredth of the inputs moves the state; more is no news."""


def moved_by_a_percent(certificate: Certificate) -> float | None:
    """The part of the certified set by which a lasting 1 % of the input range moves the state at most.

    Returns:
        The part; None where the set has no ends.
    """
    width = certificate.high - certificate.low
    if not np.isfinite(width).all():
        return None
    size = float(certificate.distance(width))
    change = float(certificate.input_distance(0.02 * certificate.input_bound))
    return certificate.asymptotic_gain * change / size if size > 0 else None


def _gain_in_words(certificate: Certificate) -> str:
    moved = moved_by_a_percent(certificate)
    if moved is None:
        return f"{significant(certificate.asymptotic_gain)} in the norm of the certificate"
    if moved >= 1:
        return (
            "the bound is wider than the certified set, so it says nothing about small changes of the inputs"
        )
    part = significant(100 * moved, 2)
    return f"1 % of the input range, for ever, moves the state by at most {part} % of the set"


def _contraction(found: CertifiedCell, certificate: Certificate) -> Section:
    steps = min(max(certificate.settling_steps(1e-3), 20), _LONGEST)
    simulated = simulated_contraction(found.cell, certificate, steps)
    figure = PageFigure(
        name="contraction",
        title="How fast differences vanish",
        caption=(
            "The blue line is proved: no pair of trajectories in the box can lie above it. The orange line "
            "is the slowest of 60 simulated pairs; the room between them is what the proof gives away. The "
            f"dotted line is 1 %. {_DISTANCES[certificate.level == 0]}"
        ),
        plot=lambda size: contraction_figure(certificate, simulated, found.sampling_time, size),
    )
    lead = "Two trajectories under the same inputs, from different starts: a wrong start is forgotten."
    return Section("contraction", "Contraction", lead, figures=(figure,))


def _set(certificate: Certificate, found: CertifiedCell) -> Section:
    scale = " (scaled: the training data are within ±1)" if found.scaled else ""
    figure = PageFigure(
        name="box",
        title="The certified set",
        caption=(
            "The proof speaks for starts in the light box and inputs within "
            f"{bound_in_words(certificate.input_bound)}{scale}. After "
            f"{certificate.transient} steps every trajectory is in the blue box, and the rate holds there. "
            "Outside the light box nothing is claimed."
        ),
        plot=lambda size: box_figure(certificate, found.visited, size),
    )
    rows = (
        ("norm", "largest |difference| / weight" if certificate.level in _WEIGHTED else "see remarks"),
        ("input gain of one step", significant(certificate.input_gain)),
        ("lasting gain", _gain_in_words(certificate)),
        (
            "weights, smallest to largest",
            f"{certificate.weights.min():.3g} to {certificate.weights.max():.3g}",
        ),
        ("remarks", certificate.remarks),
    )
    facts = PageTable("In numbers", ("fact", "value"), rows)
    lead = "A certificate without its set is worth nothing: here is where this one holds."
    return Section("set", "Certified set", lead, (figure,), (facts,))


def _witness(witness: Witness, visited: np.ndarray | None) -> Section:
    rows = (
        ("first start", _numbers(witness.first)),
        ("second start", _numbers(witness.second)),
        *(
            (f"{name} start and the data", _beside(start, visited))
            for name, start in (("first", witness.first), ("second", witness.second))
            if visited is not None
        ),
        ("inputs, repeated for ever", "; ".join(_numbers(row) for row in witness.inputs)),
        ("difference after that", significant(witness.distance)),
        ("steps followed", str(witness.steps)),
    )
    lead = "Start the model from both states under these inputs and see for yourself."
    table = PageTable("Two trajectories", ("what", "value"), rows)
    notes = ()
    if visited is not None and all(_outside(one, visited).any() for one in (witness.first, witness.second)):
        notes = (Note("info", _BEYOND_DATA),)
    return Section("witness", "Witness", lead, tables=(table,), notes=notes)


_BEYOND_DATA = (
    "Both starts lie outside of what the model visited over the data. That runs can stay apart for ever is "
    "shown for such starts; whether those near the data do is not known from this."
)


def _outside(
    start: Float[np.ndarray, " states"], visited: Float[np.ndarray, "2 states"]
) -> Float[np.ndarray, " states"]:
    """How far every state lies outside of what the data visited, in widths of that; zero within it."""
    beyond = np.maximum(visited[0] - start, start - visited[1])
    width = np.maximum(visited[1] - visited[0], np.finfo(np.float32).eps * (1 + np.abs(visited).max(axis=0)))
    return np.maximum(beyond, 0.0) / width


def _beside(start: Float[np.ndarray, " states"], visited: Float[np.ndarray, "2 states"]) -> str:
    """Where a start lies relative to what the data visited, in words."""
    outside = _outside(start, visited)
    count = int((outside > 0).sum())
    if not count:
        return "within what the data visited"
    most = significant(float(outside.max()), 2)
    return (
        f"{count} of {len(outside)} states outside of what the data visited, by up to {most} times its width"
    )


def _attempts(result: StabilityResult) -> Section:
    rows = tuple(
        (LEVELS.get(one.level, "search for a counterexample"), one.outcome, f"{one.seconds:.2f} s")
        for one in result.attempts
    )
    why = f"{result.reason} " if result.verdict is Verdict.UNKNOWN and result.reason else ""
    note = f"{why}Times include compilation."
    table = PageTable("Rungs of the ladder", ("bound", "outcome", "time"), rows, note)
    lead = "From the published condition to the strongest bound; the proof that settles soonest is kept."
    return Section("attempts", "What was tried", lead, tables=(table,))


def _numbers(values: np.ndarray) -> str:
    return "(" + ", ".join(f"{value:.4g}" for value in values) + ")"


_LEAST = 1e-6


def contraction_figure(
    certificate: Certificate, simulated: Contraction, sampling_time: float | None, size: Size
) -> Figure:
    """The proved bound over time, and what simulated pairs do below it."""
    figure, (axes,) = panels(size, [240 if size.is_wide else 210])
    powers_of_ten(axes, "y")
    times = np.arange(len(simulated.largest)) * (sampling_time or 1.0)
    _draw_bound(axes, certificate.rate, times, "proved bound" if size.is_wide else "proved")
    for values, colour, width, label in (
        (simulated.largest, Hue.TEST, 1.4, "slowest simulated pair" if size.is_wide else "slowest"),
        (simulated.typical, Hue.MEASURED, 1.4, "median pair" if size.is_wide else "median"),
    ):
        _draw_falling(axes, times, values, color=colour, linewidth=width, label=label)
    unit = "steps" if sampling_time is None else "s"
    axes.set(xlabel=f"time [{unit}]", ylabel="difference, share of the first", ylim=(_LEAST, 2.0))
    axes.margins(x=0.0)
    legend_above(axes)
    return figure


def draw_bound(certificate: Certificate, axes: Axes) -> None:
    """How fast differences vanish, as proved."""
    steps = min(max(certificate.settling_steps(1e-3), 20), _LONGEST)
    axes.set_yscale("log")
    _draw_bound(axes, certificate.rate, np.arange(steps), "proved bound")
    axes.set(xlabel="time [steps]", ylabel="difference, share of the first")
    axes.legend()


def _draw_bound(axes: Axes, rate: float, times: np.ndarray, label: str) -> None:
    bound = rate ** np.arange(len(times), dtype=float)
    _draw_falling(axes, times, bound, color=Hue.MODEL, linewidth=2.2, label=label)
    axes.axhline(0.01, color=Hue.MEASURED, linewidth=0.8, linestyle=(0, (2, 2)))


def _draw_falling(axes: Axes, times: np.ndarray, values: np.ndarray, **look: Any) -> None:
    axes.plot(times, np.where(values > _LEAST, values, np.nan), **look)


def draw_result(result: StabilityResult, axes: Axes) -> None:
    """The proved bound, the two starts of a witness, or the word that nothing is known."""
    if result.certificate is not None:
        draw_bound(result.certificate, axes)
    elif result.witness is not None:
        for start, colour, name in (
            (result.witness.first, Hue.MODEL, "first start"),
            (result.witness.second, Hue.ALERT, "second start"),
        ):
            axes.plot(start, "o", color=colour, label=name)
        axes.set(xlabel="state", ylabel="value", title="two starts that never meet")
        axes.legend()
    else:
        _draw_attempts(result, axes)


def _draw_attempts(result: StabilityResult, axes: Axes) -> None:
    """How long every rung took and what it found, where nothing is known."""
    rows = list(enumerate(result.attempts))
    axes.barh([row for row, _ in rows], [one.seconds for _, one in rows], color=Hue.BAND)
    for row, one in rows:
        text = f" {LEVELS.get(one.level, 'search for a counterexample')}: {shortened(one.outcome, _WORDS)}"
        axes.text(0, row, text, va="center", fontsize="small", color=Hue.INK)
    title = "unknown: neither a proof nor a counterexample"
    axes.set(xlabel="time spent [s]", yticks=[], title=title)
    axes.invert_yaxis()
    if not rows:
        text = shortened(result.reason, _WORDS)
        axes.text(0.5, 0.5, text, ha="center", color=Hue.MUTED, transform=axes.transAxes)


def box_figure(certificate: Certificate, visited: Float[np.ndarray, "2 states"] | None, size: Size) -> Figure:
    """For every state the start box, the box that trajectories stay in, and where the data have been."""
    figure, (axes,) = panels(size, [200])
    positions = np.arange(len(certificate.low))
    starts = _finite(certificate.start_low, certificate.start_high)
    held = _finite(certificate.low, certificate.high)
    axes.bar(
        positions, starts[1] - starts[0], bottom=starts[0], width=0.82, color=Hue.BAND, label="start box"
    )
    axes.bar(
        positions, held[1] - held[0], bottom=held[0], width=0.5, color=Hue.MODEL, alpha=0.55, label="stays in"
    )
    if visited is not None:
        heights = visited[1] - visited[0]
        axes.bar(
            positions,
            heights,
            bottom=visited[0],
            width=0.2,
            color=Hue.TEST,
            label="visited by the data" if size.is_wide else "data",
        )
    axes.set(xlabel="state", ylabel="value", xticks=positions[:: max(1, len(positions) // 16)])
    legend_above(axes)
    return figure


def _finite(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends that can be drawn; a set without ends is drawn from -1 to 1."""
    return np.where(np.isfinite(low), low, -1.0), np.where(np.isfinite(high), high, 1.0)
