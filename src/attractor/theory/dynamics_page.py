"""The page of the dynamics of a network: exponents, fixed points, eigenvalues and time scales."""

from math import log

import numpy as np

from attractor.certify import StabilityResult, Verdict, bound_in_words
from attractor.dynamics.equilibria.points import place
from attractor.report.about import About
from attractor.report.page import Page, PageFigure, PageTable, Section, Step, Tile, Tone
from attractor.report.wording import significant
from attractor.theory import DynamicsStudy, Regime, SpectralCurve
from attractor.theory.dynamics_figures import (
    FEWEST,
    eigenvalue_figure,
    exponents_figure,
    is_large,
    portrait_figure,
    position_figure,
    time_scale_figure,
)
from attractor.theory.regimes.regime_position import REGIMES, NetworkPosition

_SHOWN = 24
"""Rows of a table at most."""

_LINES = (
    "Between the dotted and the solid line other fixed points exist beside a stable zero, and from the "
    "dashed one on chaos: there the start decides. The lines are those of the gated flow at the mean bias "
    "of the reset gate; a GRU shares its fixed points."
)

_MEANINGS = {
    Regime.STABLE: "A wrong start nearby is forgotten along these inputs.",
    Regime.EDGE: "Small differences last: the network remembers far back, and small errors stay as long.",
    Regime.CHAOTIC: "Starts that differ by rounding part: no long simulation repeats itself.",
    Regime.COLLAPSED: "The path stands on a point that it would leave if pushed: try another start.",
}
_TONES: dict[Regime, Tone] = {
    Regime.STABLE: "good",
    Regime.EDGE: "fair",
    Regime.CHAOTIC: "poor",
    Regime.COLLAPSED: "fair",
}


def dynamics_page(study: DynamicsStudy, about: About, proved: StabilityResult | None = None) -> Page:
    """What the page says.

    Args:
        study: of a cell.
        about: the cell, and what drove it.
        proved: what `attractor.certify.certify` found; None if it was not asked.
    """
    certificate = None if proved is None else proved.certificate
    bound = None if certificate is None else log(certificate.rate)
    sections = [_exponents(study, about.data, bound), _points(study), _eigenvalues(study)]
    if study.position is not None:
        sections.append(_position(study.position, study.regime))
    if study.remarks:
        rows = tuple((f"{index + 1}", text) for index, text in enumerate(study.remarks))
        lead = "What to keep in mind, and what could not be had."
        table = PageTable("Remarks", ("", "what"), rows)
        sections.append(Section("remarks", "Remarks", lead, tables=(table,)))
    certify = Step("Prove it for all inputs of the range:", f"attractor certify {about.run}")
    longer = Step("Measure longer:", "attractor lyapunov ... --count all --steps 20000")
    return Page(
        kind="Dynamics",
        verdict=verdict(study),
        tone="fair" if _doubts(study, proved) else _TONES[study.regime],
        meaning=_meaning(study, proved),
        steps=(certify, longer) if about.origin and certificate is None else (longer,),
        tiles=_tiles(study, proved),
        sections=tuple(sections),
        facts={"proved_exponent": bound},
    )


def _meaning(study: DynamicsStudy, proved: StabilityResult | None) -> str:
    """What follows for nearby starts, and what was seen of far ones, of which the exponent says nothing."""
    said = [_MEANINGS[study.regime]]
    if study.regime is Regime.STABLE and study.far.all_met:
        said.append(f"Of far starts the exponent says nothing: {study.far}.")
    return " ".join([*said, *_doubts(study, proved)])


def _doubts(study: DynamicsStudy, proved: StabilityResult | None) -> tuple[str, ...]:
    """What speaks against taking a stable path for the only one; nothing where the path is not stable."""
    if study.regime is not Regime.STABLE:
        return ()
    said = []
    if not study.far.all_met:
        said.append(f"Not so from afar: {study.far}; till then its state depends on where it started.")
    if study.attracting > 1:
        said.append(
            f"With the mean input held it comes to rest in one of {study.attracting} attracting points, by "
            "its start."
        )
    if proved is not None and proved.verdict is Verdict.REFUTED:
        said.append(
            "Under some inputs of their range two starts were found that never meet (refuted, see below)."
        )
    return tuple(said)


def verdict(study: DynamicsStudy) -> str:
    """The result in one sentence."""
    text = f"{study.regime.value[0].upper()}{study.regime.value[1:]}"
    if study.regime is Regime.STABLE:
        text += f", small differences fall by a factor e in {significant(study.forgetting, 2)} steps"
    return f"{text}. {_points_in_words(study)}"


def _points_in_words(study: DynamicsStudy) -> str:
    kinds = [kind.name.lower() for kind in study.points.kinds]
    if not kinds:
        return "With the mean input held, no fixed point was found."
    counts = ", ".join(f"{kinds.count(name)} {name}" for name in dict.fromkeys(kinds))
    return f"With the mean input held: {counts} fixed point{'s' if len(kinds) > 1 else ''}."


def _bound_tile(proved: StabilityResult | None) -> Tile:
    """What is proved of the largest exponent, of all paths."""
    certificate = None if proved is None else proved.certificate
    if certificate is not None:
        said = f"largest exponent, for inputs within {bound_in_words(certificate.input_bound)}"
        return Tile("Proved below", f"{log(certificate.rate):.4f}", "per step", said)
    if proved is not None and proved.verdict is Verdict.REFUTED:
        said = "two starts were found that never meet under inputs of this range"
        return Tile("Proved below", "refuted", "", said)
    nothing = "no proof was looked for" if proved is None else "neither proved nor refuted"
    return Tile("Proved below", "—", "", nothing)


def _tiles(study: DynamicsStudy, proved: StabilityResult | None) -> tuple[Tile, ...]:
    driven = study.driven
    largest = driven.largest
    dimension = driven.kaplan_yorke
    ends = "" if dimension.high is None else f"{_end(dimension.low)} to {_end(dimension.high)} (95 %). "
    return (
        Tile(
            "Largest exponent",
            f"{driven.per_step[0]:.4f}",
            "per step",
            f"{_end(largest.low)} to {_end(largest.high)} (95 %)",
        ),
        _bound_tile(proved),
        Tile(
            "Dimension",
            "—" if dimension.value is None else significant(dimension.value, 3),
            "",
            f"{ends}Kaplan-Yorke; 0 for a path that the inputs alone decide",
        ),
        Tile(
            "Directions",
            significant(study.participation, 3),
            "",
            f"in which the path varies, of {_states(study)}",
        ),
        Tile("Fixed points", str(len(study.points)), "", f"from {study.points.counts.starts} starts"),
        Tile("Analysis", significant(study.seconds, 2), "s", "wall time with compilation"),
    )


def _end(number: float | None) -> str:
    return "—" if number is None else significant(number, 3)


def _states(study: DynamicsStudy) -> int:
    return study.driven.last_state.shape[1]


def _exponents(study: DynamicsStudy, source: str, bound: float | None) -> Section:
    driven = study.driven
    figure = PageFigure(
        name="exponents",
        title="Lyapunov exponents",
        caption=(
            "Each exponent is the mean growth, a step, of a small difference between two states under the "
            "same inputs, in its own direction; below zero it is forgotten. The band is a 95 % interval that "
            "counts how slowly the growth varies. The grey line is the network left alone with the mean "
            "input."
            + (
                ""
                if bound is None
                else " The dashed line is proved: no path in the certified set can lie above it."
            )
        ),
        plot=lambda size: exponents_figure(driven, study.resting, bound, size),
    )
    rows = [
        ("driven by", source),
        ("steps that count", str(driven.steps)),
        ("far starts along the same inputs", str(study.far)),
        (
            "sum of positive exponents (bound on the entropy rate)",
            str(driven.entropy_rate).splitlines()[0],
        ),
        ("exponents of minus infinity (forgotten in one step)", str(driven.infinite)),
        ("second half minus first half, largest exponent", significant(float(driven.drift[0]), 2)),
        ("QR decompositions", f"{driven.decompositions} for {driven.steps} steps"),
    ]
    if driven.per_time is not None:
        rows.insert(1, ("largest exponent per unit of time", significant(float(driven.per_time[0]))))
    if study.resting is not None:
        rows.append(("largest exponent with the mean input held", f"{study.resting.per_step[0]:.4f} a step"))
        rows += [("remark, with the mean input held", text) for text in study.resting.remarks]
    rows += [("remark", text) for text in driven.remarks]
    table = PageTable("In numbers", ("fact", "value"), tuple(rows))
    lead = "Do two nearby states under the same inputs meet again, and how fast?"
    return Section("exponents", "Exponents", lead, (figure,), (table,))


def _points(study: DynamicsStudy) -> Section:
    points, plane = study.points, study.plane
    unit = _unit(study)
    figure = PageFigure(
        name="plane",
        title="The plane in which the network moves most",
        caption=(
            "Grey arrows: where one step leads with the mean input held, for states in this plane. The thin "
            "line is the path under the data. Fixed points are projected onto the plane; those off it may "
            "look misplaced."
        ),
        plot=lambda size: portrait_figure(plane, points, size),
    )
    rows = tuple(
        (
            str(index),
            kind.name.lower(),
            place(points.states[index]),
            str(points.unstable[index]),
            f"{abs(points.eigenvalues[index, 0]):.5f}",
            _slowest(points.time_constants[index]),
            f"{points.residuals[index]:.1e}",
            str(points.multiplicities[index]),
        )
        for index, kind in list(enumerate(points.kinds))[:_SHOWN]
    )
    header = ("", "kind", "state", "unstable", "largest modulus", f"slowest [{unit}]", "residual", "reached")
    more = f"{len(points) - _SHOWN} more are not shown. " if len(points) > _SHOWN else ""
    beside = str(points.slow)
    slow = f"{beside[0].upper()}{beside[1:]} beside them."
    table = PageTable("Fixed points", header, rows, more + slow)
    lead = "Where does the network come to rest when its input stands still at the mean of the data?"
    return Section("points", "Fixed points", lead, (figure,), (table,))


def _slowest(constants: np.ndarray) -> str:
    known = np.abs(constants[np.isfinite(constants)])
    return significant(float(known.max())) if len(known) else "—"


def _eigenvalues(study: DynamicsStudy) -> Section:
    scales, unit, curve = study.spectrum.time_scales, _unit(study), study.curve
    histogram = PageFigure(
        name="scales",
        title="Time scales",
        caption=(
            "Every eigenvalue of a step's Jacobian is a mode that falls by a factor e in the time shown; "
            f"{len(scales)} states along the path. Growing modes are left out."
        ),
        plot=lambda size: time_scale_figure(scales, unit, size),
    )
    lead = "What does one step do to small changes, and what of that is more than chance?"
    figures = (histogram,) if curve is None else (_cloud(curve), histogram)
    tables = () if curve is None or not is_large(curve) else _outliers(curve, unit)
    return Section("eigenvalues", "Eigenvalues", lead, figures, tables)


def _unit(study: DynamicsStudy) -> str:
    return "steps" if study.driven.time_step is None else "units of time"


def _cloud(curve: SpectralCurve) -> PageFigure:
    beside = (
        "The shaded region is where eigenvalues of a random network with the same units and the same energy "
        "in every row and column of its matrices would lie. What lies far outside is structure that "
        "training has "
        "put there. " + " ".join(f"Note: {note}." for note in curve.notes)
    )
    facts = (
        (f"{100 * curve.share_inside:.0f} %", "inside the curve"),
        (str(len(curve.outliers)), "outliers"),
    )
    few = f"With fewer than {FEWEST} states there is no large random network to compare with."
    return PageFigure(
        name="eigenvalues",
        title="Eigenvalues in the middle of the path",
        caption=beside if is_large(curve) else few,
        plot=lambda size: eigenvalue_figure(curve, size),
        facts=facts if is_large(curve) else (),
    )


def _position(network: NetworkPosition, measured: Regime) -> Section:
    position = network.position
    caption = (
        "The star is the network by the size of its matrices and the mean of its biases, as if they were "
        f"random. At the solid line zero loses its stability. {'' if network.lines is None else _LINES}"
    )
    figure = PageFigure("position", "Among the phases", caption, lambda size: position_figure(network, size))
    rows = tuple((name.replace("_", " "), f"{value:.4g}") for name, value in position.to_dict().items())
    lead = (
        f"Theory of random networks of this size, left without input: {position.regime} "
        f"({REGIMES[position.regime]}). Nearest line: {position.nearest_line}. It does not see the inputs "
        f"nor what training made of the matrices. Measured: {measured.value}."
    )
    return Section(
        "position",
        "Where it sits",
        lead,
        (figure,),
        (PageTable("Effective parameters", ("", "value"), rows),),
    )


def _outliers(curve: SpectralCurve, unit: str) -> tuple[PageTable, ...]:
    rows = tuple(
        (f"{one.value.real:.4f} {one.value.imag:+.4f}i", significant(one.time_scale), f"{one.level:.3f}")
        for one in curve.outliers[:_SHOWN]
    )
    header = ("eigenvalue", f"time scale [{unit}]", "level")
    return (PageTable("Outliers", header, rows, f"Null model: {curve.null}."),) if rows else ()
