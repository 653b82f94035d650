"""The page of a robustness study: curves, fragility over time, margins, stability."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from attractor.audit import StabilityVerdict
from attractor.audit.curves_page import curves_section
from attractor.classification.classifier_cases_page import variables_drawn
from attractor.classification.classifier_figures import draw_variables
from attractor.classification.robustness_study import Fragility, RobustnessStudy
from attractor.report.about import About
from attractor.report.page import Page, PageFigure, PageTable, Section, Step, Tile, Tone
from attractor.report.style import Hue, Size, legend_above, panels, powers_of_ten
from attractor.report.wording import significant

_CALM, _SHAKEN = 0.05, 0.2
_MEANINGS = {
    "good": "Worse sensors than in training cost next to nothing of the accuracy that it has.",
    "fair": "Some disturbances cost several points: keep the sensors as good as in training.",
    "poor": "Its answers hang on clean inputs. With worse sensors the score of the test says little.",
}


def robustness_page(study: RobustnessStudy, about: About, names: Sequence[str] = ()) -> Page:
    """What the page says.

    Args:
        study: of a classifier.
        about: its run.
        names: of the variables.
    """
    fall, where = worst_fall(study)
    tone: Tone = "good" if fall < _CALM else "fair" if fall < _SHAKEN else "poor"
    return Page(
        kind="Robustness",
        verdict=(
            f"Right in {100 * study.curves.clean:.1f} % of {study.curves.cases} cases as they are; at worst "
            f"{100 * fall:.1f} points less, under {where}."
        ),
        tone=tone,
        meaning=_MEANINGS[tone],
        steps=(Step("Train one that noise hurts less:", "attractor classify ... --noise 0.05"),)
        if tone != "good"
        else (
            Step(
                "Look for the worst inputs as well:", f"attractor robustness {about.run} TEST.npz --attacks"
            ),
        ),
        tiles=_tiles(study, fall),
        sections=(
            curves_section(study.curves, study.remarks),
            _fragility(study, names),
            _margins(study),
            _stability(study),
        ),
    )


def worst_fall(study: RobustnessStudy) -> tuple[float, str]:
    """The largest loss of mean accuracy over all perturbations and levels, and under which."""
    falls = [
        (study.curves.clean - float(mean), f"{curve.name} at level {level:g}")
        for curve in study.curves.curves
        for level, mean in zip(curve.levels, curve.mean, strict=True)
    ]
    return max(falls)


def _tiles(study: RobustnessStudy, fall: float) -> tuple[Tile, ...]:
    exponent = study.exponent
    return (
        Tile("Clean accuracy", f"{100 * study.curves.clean:.1f}", "%", f"{study.curves.cases} cases"),
        Tile("Worst fall", f"{100 * fall:.1f}", "points", "over all perturbations and levels"),
        Tile("Median margin", significant(float(np.median(study.margins))), "", "true class less best other"),
        Tile(
            "Lyapunov exponent",
            "—" if isinstance(exponent, str) else significant(exponent),
            "",
            "a step; below 0, small differences of the state fade",
        ),
        Tile("Stability", _verdict_word(study), "", "see below"),
    )


def _verdict_word(study: RobustnessStudy) -> str:
    if isinstance(study.stability, str):
        return "—"
    words = {StabilityVerdict.CONTRACTING: "proved", StabilityVerdict.STABILISED: "by noise"}
    return words.get(study.stability.verdict, "unknown")


def _fragility(study: RobustnessStudy, names: Sequence[str]) -> Section:
    lead = "When in a series a disturbance of the hidden state would cost most."
    found = study.fragility
    if not isinstance(found, Fragility):
        return Section("fragility", "Fragility over time", f"{lead} Not available: {found}.")
    figure = PageFigure(
        name="fragility",
        title=f"Fragility over time: {found.example_id}",
        caption=(
            f"Above: the scaled series of a case. {variables_drawn(names)} Below: the trace of the Hessian "
            "of the loss in the state after every step. Independent noise of variance s² in all units of the "
            "state at a step raises the loss by s² / 2 times this height on average: at a peak the decision "
            "hangs on the moment."
        ),
        plot=lambda size: fragility_figure(found, size),
        facts=((str(len(found.trace)), "cases in the median"),),
    )
    return Section("fragility", "Fragility over time", lead, (figure,))


def _margins(study: RobustnessStudy) -> Section:
    margins, radii = study.margins, study.radii
    facts = [
        (f"{100 * np.mean(margins > 0):.1f} %", "right"),
        (significant(float(np.percentile(margins, 10))), "margin of the lowest tenth"),
    ]
    if isinstance(radii, str):
        lead = f"How clear the decisions are. No radius is certified: {radii}."
    else:
        lead = "How clear the decisions are, and how far inputs may move with a proof that they stay."
        facts.append((significant(float(np.median(radii))), "median certified radius, Euclidean, scaled"))
    figure = PageFigure(
        name="margins",
        title="Margins",
        caption=(
            "Cases near zero are decided by little: noise turns them first. Those left of zero are wrong."
        ),
        plot=lambda size: margins_figure(margins, size),
        facts=tuple(facts),
    )
    return Section("margins", "Margins", lead, (figure,))


def _stability(study: RobustnessStudy) -> Section:
    exponent = study.exponent
    rows = [
        ("largest Lyapunov exponent", exponent if isinstance(exponent, str) else f"{exponent:.4f} a step"),
        ("measured over", f"{study.drive} steps of test cases one after the other, the state carried over"),
    ]
    if isinstance(study.stability, str):
        rows.append(("verdict", f"not available: {study.stability}"))
    else:
        rows += [("verdict", study.stability.verdict.value), ("because", study.stability.reason)]
    table = PageTable("The verdict in words", ("what", "finding"), tuple(rows))
    lead = (
        "Do two states under the same inputs meet again? The exponent measures it for nearby states along "
        "these data, and says nothing of far ones; the verdict holds for all inputs of their range, "
        "where it is proved."
    )
    return Section("stability", "Stability", lead, tables=(table,))


_BINS = 40


def fragility_figure(fragility: Fragility, size: Size) -> Figure:
    """Above: an example. Below: how sharply the loss bends in the state after every step."""
    figure, (top, bottom) = panels(size, (150, 150))
    draw_variables(top, fragility.values, size.bins)
    length = len(fragility.values)
    steps = np.arange(length + 1)
    own = fragility.trace[fragility.example, : length + 1]
    with np.errstate(all="ignore"):
        typical = np.nanmedian(fragility.trace[:, : length + 1], axis=0)
    if min(own.min(), typical.min()) > 0:
        powers_of_ten(bottom, "y")
    bottom.plot(steps, typical, color=Hue.MEASURED, linewidth=2.6, label="median of the cases")
    bottom.plot(steps, own, color=Hue.MODEL, linewidth=1.8, label="this case, trace")
    largest = fragility.largest[fragility.example, : length + 1]
    bottom.plot(
        steps,
        largest,
        color=Hue.TEST,
        linewidth=1.2,
        label="largest eigenvalue" if size.is_wide else "largest",
    )
    top.set(ylabel="scaled", xlabel="step", xlim=(0, length))
    bottom.set(ylabel="curvature", xlabel="step")
    bottom.set_xlim(0, length)
    for axes in (top, bottom):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_above(bottom)
    return figure


def margins_figure(margins: Float[np.ndarray, " cases"], size: Size) -> Figure:
    """How clear the decisions are; cases on the left of zero are classified wrongly."""
    figure, (axes,) = panels(size, [170])
    edges = _edges_with_zero(margins)
    for chosen, colour, label in ((margins > 0, Hue.MODEL, "right"), (margins <= 0, Hue.ALERT, "wrong")):
        if chosen.any():
            axes.hist(margins[chosen], bins=list(edges), color=colour, label=label)
    axes.axvline(0.0, color=Hue.MUTED, linewidth=1.0)
    axes.set(xlabel="score of the true class less the best other", ylabel="cases")
    legend_above(axes)
    return figure


def _edges_with_zero(values: np.ndarray) -> np.ndarray:
    """Edges of bins of which zero is one, so that no bin holds right and wrong cases."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    width = (high - low) / _BINS or 1.0
    return width * np.arange(np.floor(low / width), np.ceil(high / width) + 1)
