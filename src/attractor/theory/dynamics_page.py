"""The page of the dynamics of a network: exponents, fixed points, eigenvalues and time scales."""

from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Literal

import numpy as np

from attractor.certify import StabilityResult, bound_in_words
from attractor.origin import Origin
from attractor.report.page import AnalysisContents, Picture, Section, Sheet, Tile, write_analysis
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
    "dashed one on chaos: there the start decides. The lines are those of the gated flow at the mean "
    "bias of the reset gate; a GRU shares its fixed points."
)

_TONES: dict[Regime, Literal["good", "fair", "poor"]] = {
    Regime.STABLE: "good",
    Regime.EDGE: "fair",
    Regime.CHAOTIC: "poor",
    Regime.COLLAPSED: "fair",
}


@dataclass(frozen=True)
class DynamicsFacts:
    """What the page says beside the study.

    Args:
        title: name of the run or cell.
        source: what drove the network.
        proved: what `attractor.certify.certify` found; None if it was not asked.
        command: that made the page.
        origin: the weights and the equation of the run; None for a cell without one.
    """

    title: str
    source: str
    proved: StabilityResult | None
    command: str
    origin: Origin | None = None

    @property
    def bound(self) -> float | None:
        """Proved bound on the largest exponent, per step; None without a proof."""
        certificate = None if self.proved is None else self.proved.certificate
        return None if certificate is None else log(certificate.rate)


def write_dynamics_report(path: Path, study: DynamicsStudy, facts: DynamicsFacts) -> Path:
    """Write the page.

    Raises:
        StorageError: the file cannot be written.
    """
    return write_analysis(dynamics_contents(study, facts), path)


def dynamics_contents(study: DynamicsStudy, facts: DynamicsFacts) -> AnalysisContents:
    """What the page shows."""
    sections = [_exponents(study, facts), _points(study), _eigenvalues(study)]
    if study.position is not None:
        sections.append(_position(study.position, study.regime))
    if study.remarks:
        rows = tuple((f"{place + 1}", text) for place, text in enumerate(study.remarks))
        lead = "What to keep in mind, and what could not be had."
        sections.append(Section("remarks", "Remarks", lead, sheets=(Sheet("Remarks", ("", "what"), rows),)))
    return AnalysisContents(
        kind="Dynamics",
        title=facts.title,
        verdict=verdict(study),
        tone=_TONES[study.regime],
        tiles=_tiles(study, facts),
        sections=tuple(sections),
        reproduce=facts.command,
        origin=facts.origin,
    )


def verdict(study: DynamicsStudy) -> str:
    """The result in one sentence."""
    text = f"{study.regime.value[0].upper()}{study.regime.value[1:]}"
    if study.regime is Regime.STABLE:
        text += f", differences fall by a factor e in {significant(study.forgetting, 2)} steps"
    return f"{text}. {_points_in_words(study)}"


def _points_in_words(study: DynamicsStudy) -> str:
    kinds = [kind.name.lower() for kind in study.points.kinds]
    if not kinds:
        return "With the mean input held, no fixed point was found."
    counts = ", ".join(f"{kinds.count(name)} {name}" for name in dict.fromkeys(kinds))
    return f"With the mean input held: {counts} fixed point{'s' if len(kinds) > 1 else ''}."


def _tiles(study: DynamicsStudy, facts: DynamicsFacts) -> tuple[Tile, ...]:
    driven = study.driven
    largest = driven.largest
    proved = "—" if facts.bound is None else f"{facts.bound:.4f}"
    said = "nothing is proved"
    if facts.proved is not None and facts.proved.certificate is not None:
        said = f"largest exponent, for inputs within {bound_in_words(facts.proved.certificate.input_bound)}"
    dimension = driven.kaplan_yorke
    ends = "" if dimension.high is None else f"{_end(dimension.low)} to {_end(dimension.high)} (95 %). "
    return (
        Tile(
            "Largest exponent",
            f"{driven.per_step[0]:.4f}",
            "per step",
            f"{_end(largest.low)} to {_end(largest.high)} (95 %)",
        ),
        Tile("Proved below", proved, "a step" if facts.bound is not None else "", said),
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


def _exponents(study: DynamicsStudy, facts: DynamicsFacts) -> Section:
    driven, bound = study.driven, facts.bound
    picture = Picture(
        name="exponents",
        title="Lyapunov exponents",
        caption=(
            "Each exponent is the mean growth, a step, of a difference between two states under the same "
            "inputs, in its own direction; below zero it is forgotten. The band is a 95 % interval that "
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
        ("driven by", facts.source),
        ("steps that count", str(driven.steps)),
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
    sheet = Sheet("In numbers", ("fact", "value"), tuple(rows))
    lead = "Do two states under the same inputs meet again, and how fast?"
    return Section("exponents", "Exponents", lead, (picture,), (sheet,))


def _points(study: DynamicsStudy) -> Section:
    points, plane = study.points, study.plane
    unit = _unit(study)
    picture = Picture(
        name="plane",
        title="The plane in which the network moves most",
        caption=(
            "Grey arrows: where one step leads with the mean input held, for states in this plane. The "
            "thin line is the path under the data. Fixed points are projected onto the plane; those off "
            "it may look misplaced."
        ),
        plot=lambda size: portrait_figure(plane, points, size),
    )
    rows = tuple(
        (
            str(place),
            kind.name.lower(),
            str(points.unstable[place]),
            f"{abs(points.eigenvalues[place, 0]):.5f}",
            _slowest(points.time_constants[place]),
            f"{points.residuals[place]:.1e}",
            str(points.multiplicities[place]),
        )
        for place, kind in list(enumerate(points.kinds))[:_SHOWN]
    )
    header = ("", "kind", "unstable", "largest modulus", f"slowest [{unit}]", "residual", "reached")
    more = f"{len(points) - _SHOWN} more are not shown. " if len(points) > _SHOWN else ""
    slow = (
        f"{len(points.slow)} slow points beside them." if len(points.slow) else "No slow points beside them."
    )
    sheet = Sheet("Fixed points", header, rows, more + slow)
    lead = "Where does the network come to rest when its input stands still at the mean of the data?"
    return Section("points", "Fixed points", lead, (picture,), (sheet,))


def _slowest(constants: np.ndarray) -> str:
    known = np.abs(constants[np.isfinite(constants)])
    return significant(float(known.max())) if len(known) else "—"


def _eigenvalues(study: DynamicsStudy) -> Section:
    scales, unit, curve = study.spectrum.time_scales, _unit(study), study.curve
    histogram = Picture(
        name="scales",
        title="Time scales",
        caption=(
            "Every eigenvalue of a step's Jacobian is a mode that falls by a factor e in the time shown; "
            f"{len(scales)} states along the path. Growing modes are left out."
        ),
        plot=lambda size: time_scale_figure(scales, unit, size),
    )
    lead = "What does one step do to small changes, and what of that is more than chance?"
    pictures = (histogram,) if curve is None else (_cloud(curve), histogram)
    sheets = () if curve is None or not is_large(curve) else _outliers(curve, unit)
    return Section("eigenvalues", "Eigenvalues", lead, pictures, sheets)


def _unit(study: DynamicsStudy) -> str:
    return "steps" if study.driven.time_step is None else "units of time"


def _cloud(curve: SpectralCurve) -> Picture:
    beside = (
        "The shaded region is where eigenvalues of a random network with the same units and the same "
        "energy in every row and column of its matrices would lie. What lies far outside is structure "
        "that training has "
        "put there. " + " ".join(f"Note: {note}." for note in curve.notes)
    )
    facts = (
        (f"{100 * curve.share_inside:.0f} %", "inside the curve"),
        (str(len(curve.outliers)), "outliers"),
    )
    few = f"With fewer than {FEWEST} states there is no large random network to compare with."
    return Picture(
        name="eigenvalues",
        title="Eigenvalues in the middle of the path",
        caption=beside if is_large(curve) else few,
        plot=lambda size: eigenvalue_figure(curve, size),
        facts=facts if is_large(curve) else (),
    )


def _position(place: NetworkPosition, measured: Regime) -> Section:
    position = place.position
    caption = (
        "The star is the network by the size of its matrices and the mean of its biases, as if they were "
        f"random. At the solid line zero loses its stability. {'' if place.lines is None else _LINES}"
    )
    picture = Picture("position", "Among the phases", caption, lambda size: position_figure(place, size))
    rows = tuple((name.replace("_", " "), f"{value:.4g}") for name, value in position.to_dict().items())
    lead = (
        f"Theory of random networks of this size, left without input: {position.regime} "
        f"({REGIMES[position.regime]}). Nearest line: {position.nearest_line}. It does not see the inputs "
        f"nor what training made of the matrices. Measured: {measured.value}."
    )
    return Section(
        "position", "Where it sits", lead, (picture,), (Sheet("Effective parameters", ("", "value"), rows),)
    )


def _outliers(curve: SpectralCurve, unit: str) -> tuple[Sheet, ...]:
    rows = tuple(
        (f"{one.value.real:.4f} {one.value.imag:+.4f}i", significant(one.time_scale), f"{one.level:.3f}")
        for one in curve.outliers[:_SHOWN]
    )
    header = ("eigenvalue", f"time scale [{unit}]", "level")
    return (Sheet("Outliers", header, rows, f"Null model: {curve.null}."),) if rows else ()
