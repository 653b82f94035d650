"""Sections of the page about gating: each runs its simulation, asks theory, and says what came of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from scipy.interpolate import CubicSpline

from attractor.cells import GRU, LSTM, GatedForm, ResetAfterGRU, discretise, initial_state
from attractor.program import double_precision, in_double_precision
from attractor.report.page import PageFigure, PageTable, Section, Tile
from attractor.scan import unroll
from attractor.theory import SpectralCurve, spectral_curve
from attractor.theory.mean_field import ExponentSolution, GatedParameters, chaotic_branch, solve_mean_field
from attractor.theory.phase import Outcome, PhaseAxis, PhasePlan, hysteresis_scan, phase_diagram
from attractor.theory.phase.phase_page import phase_figure
from experiments.gating_figures import (
    curves_figure,
    dimension_figure,
    hysteresis_figure,
    spectra_figure,
)

from .gating_experiments import Size, dimension, memory, network, simulated_exponent

JUMP = GatedForm(gain=2.45, reset_gain=10.0, reset_bias=-1.0, open_update=True)
"""A network with a discontinuous transition: zero is stable below a gain of 3.72, chaos lives above 2.29."""

CASES: dict[str, GatedForm] = {
    "no gates, gain 2": GatedForm(2.0, open_update=True, open_reset=True),
    "no gates, gain 3": GatedForm(3.0, open_update=True, open_reset=True),
    "output gate 2, gain 3": GatedForm(3.0, reset_gain=2.0, open_update=True),
    "output gate 4, gain 2.5": GatedForm(2.5, reset_gain=4.0, open_update=True),
    "output gate 1, bias 1, leak 1/2, gain 3": GatedForm(
        3.0, update_gain=0.0, reset_gain=1.0, reset_bias=1.0, reset_time=2.0
    ),
    "output gate 10, bias -1, gain 2.8": replace(JUMP, gain=2.8),
    "update gate 3, gain 2.5": GatedForm(2.5, update_gain=3.0, open_reset=True),
    "update gate 2 with time 2, output gate 2, gain 3": GatedForm(
        3.0, update_gain=2.0, reset_gain=2.0, update_time=2.0
    ),
}


@dataclass(frozen=True)
class Part:
    """One section and what is said about it elsewhere.

    Args:
        section: of the page.
        sentence: the result.
        tile: the result as a figure; None for none.
        figures: the numbers behind it.
    """

    section: Section
    sentence: str
    tile: Tile | None
    figures: dict[str, Any]


def table_section(size: Size) -> Part:
    """Exponents of theory beside those of networks of finite size."""
    rows, ratios = [], {}
    for name, form in CASES.items():
        theory = solve_mean_field(GatedParameters.of(form))
        found = simulated_exponent(form, size)
        value, error = _value_and_error(theory.exponent)
        ratios[name] = float(found[:, 0].mean() / value)
        rows.append((
            name,
            _with_error(theory.correlators.variance, theory.correlators.standard_error[0]),
            _mean(found[:, 1], 4),
            _with_error(value, error),
            _mean(found[:, 0], 4),
            f"{ratios[name]:.2f}",
        ))
    header = ("network", "C(0), theory", "simulated", "largest exponent, theory", "simulated", "ratio")
    caption = (
        f"Simulations: N = {size.units}, {len(size.seeds)} networks, time {size.duration:g} after "
        f"{size.burn_in:g}; mean and deviation over networks. Exponents per unit of time; those of finite "
        "networks lie below theory, which is for infinitely many units. Where an update gate moves, theory "
        "is sampled and has a standard error."
    )
    low, high = min(ratios.values()), max(ratios.values())
    return Part(
        Section(
            "theory",
            "Mean-field theory",
            "Correlations and the largest Lyapunov exponent, by theory and by simulation.",
            tables=(PageTable("Theory and simulation", header, tuple(rows), caption),),
        ),
        f"Exponents of networks of {size.units} units are {low:.2f} to {high:.2f} times those of theory.",
        Tile("Exponents", f"{low:.2f} to {high:.2f}", "", f"simulated by theory, N = {size.units}"),
        {"ratios": ratios},
    )


def _value_and_error(exponent: ExponentSolution | None) -> tuple[float, float]:
    return (np.nan, 0.0) if exponent is None else (exponent.value, exponent.standard_error)


def _with_error(value: float, error: float) -> str:
    return f"{value:.4f} ± {error:.4f}" if error > 0 else f"{value:.5f}"


def _mean(values: np.ndarray, digits: int) -> str:
    spread = f" ± {values.std(ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{values.mean():.{digits}f}{spread}"


def phase_section(points: int, folder: Path | None) -> Part:
    """The plane of the two gains, where phases of the published diagram meet."""
    plan = PhasePlan(
        PhaseAxis("gain", 1.5, 4.0, points), PhaseAxis("reset_gain", 0.0, 20.0, points), form=JUMP
    )
    diagram = phase_diagram(plan, folder=folder)
    share = diagram.share(Outcome.START_DECIDES)
    figure = PageFigure(
        "phase",
        "Phase diagram",
        "Output gate with bias -1, open update gate. Zero loses its stability at the straight line; "
        "fixed points appear, all unstable, at the dotted one, and chaos at the dashed one: between it "
        "and the straight line the start decides. Marks are networks of 200 units from a large and a "
        "small start.",
        lambda size: phase_figure(diagram, (), size),
    )
    return Part(
        Section("phase", "Phases", "What does a network do over its two gains?", (figure,)),
        f"The start decides at {100 * share:.0f} % of the points of the phase diagram.",
        Tile("Hysteresis", f"{100 * share:.0f}", "%", "of the plane: rest or chaos, as it started"),
        {"start_decides": share},
    )


def spectra_section(units: int) -> Part:
    """Eigenvalues of random networks on their attractor, with the boundary of theory."""
    curves = {name: _curve(*made) for name, made in _spectra_networks(units).items()}
    drawn = {name: (curve.spectrum.values[0], curve.boundary.curves) for name, curve in curves.items()}
    inside = {name: curve.share_inside for name, curve in curves.items()}
    figure = PageFigure(
        "spectra",
        "Eigenvalues of the Jacobian, and where theory bounds them",
        f"Random networks of {units} units on their attractor: of the gated flow the eigenvalues are "
        "rates, of GRU and LSTM factors of a step. The boundary follows from statistics of the units "
        "alone.",
        lambda size: spectra_figure(drawn, size),
        facts=tuple((f"{100 * share:.1f} %", f"inside, {name}") for name, share in inside.items()),
    )
    least = 100 * min(inside.values())
    return Part(
        Section("spectra", "Spectra", "Where do the eigenvalues of a random network lie?", (figure,)),
        f"At least {least:.1f} % of the eigenvalues lie inside the curves of theory.",
        Tile("Inside the curve", f"{least:.1f}", "%", "of eigenvalues, the least of four networks"),
        {"inside": inside},
    )


def _spectra_networks(units: int) -> dict[str, tuple[Any, Any, int]]:
    """Network, map that takes it to its attractor, and steps of that."""
    keys = jax.random.split(jax.random.key(7), 4)
    with double_precision():
        flow = network(GatedForm(3.0, 2.0, 2.0), units, 0, inputs=0)
        cells = {
            "GRU": _scaled(GRU(1, units, timescales=(1.5, 4.0), key=keys[0]), 4.0, keys[1]),
            "GRU, reset gate after the product": _scaled(
                ResetAfterGRU(1, units, timescales=(1.5, 4.0), key=keys[0]), 4.0, keys[2]
            ),
            "LSTM": _scaled(LSTM(1, units, timescales=(1.5, 4.0), key=keys[0]), 4.0, keys[3]),
        }
        return {
            "gated flow": (flow, discretise(flow, 0.1, "heun"), 1000),
            **{name: (cell, cell, 200) for name, cell in cells.items()},
        }


def _scaled(cell: Any, gain: float, key: Any) -> Any:
    """All matrices between units drawn anew, normal with deviation gain / sqrt(units)."""
    units = cell.hidden_size
    wide = in_double_precision(cell)
    leaves, structure = jax.tree.flatten(eqx.filter(wide, eqx.is_array))
    drawn = [
        gain * jax.random.normal(one, leaf.shape, jnp.float64) / units**0.5
        if leaf.ndim == 2 and leaf.shape[1] == units
        else leaf
        for one, leaf in zip(jax.random.split(key, len(leaves)), leaves, strict=True)
    ]
    return eqx.combine(jax.tree.unflatten(structure, drawn), wide)


def _curve(network: Any, step: Any, steps: int) -> SpectralCurve:
    """The spectrum of a network on its attractor, without input."""
    with double_precision():
        rest = initial_state(step)
        start = jax.tree.map(lambda leaf: jax.random.normal(jax.random.key(3), leaf.shape, leaf.dtype), rest)
        last = unroll(step, jnp.zeros((steps, step.input_size)), start).last
    return spectral_curve(network, last)


def hysteresis_section(units: int, points: int) -> Part:
    """Activity over a rising and a falling gain, with the branches of theory."""
    axis = PhaseAxis("gain", 2.1, 4.1, points)
    scan = hysteresis_scan(axis, form=JUMP, size=units)
    branches = _branches(JUMP, axis.high)
    both = scan.share
    figure = PageFigure(
        "hysteresis",
        "A transition with a jump",
        f"Five networks of {units} units with an output gate of gain 10 and bias -1, the state carried "
        "from one gain to the next: upwards they stay at rest until zero loses its stability, downwards "
        "they stay chaotic until the chaotic solution ends in a fold.",
        lambda size: hysteresis_figure((axis.values, scan.variance), branches, "gain g_h", size),
        facts=(
            (
                f"{100 * both.max():.0f} %",
                "of networks differ between the two ways, at the gain where most do",
            ),
        ),
    )
    wide = axis.values[both >= 0.5]
    text = f"from {wide.min():.2f} to {wide.max():.2f}" if len(wide) else "nowhere"
    return Part(
        Section("hysteresis", "Discontinuous transition", "What does the past decide?", (figure,)),
        f"Rest and chaos live side by side at gains {text}.",
        Tile("Two attractors", text, "", "gains at which half of the networks differ between up and down"),
        {"share": both.tolist(), "gains": axis.values.tolist()},
    )


def _branches(form: GatedForm, highest: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Gains and C_h(0) of the stable and the unstable chaotic solution, up to the highest gain."""
    points = chaotic_branch(GatedParameters.of(form), (1e-3, 12.0))[::-1]
    logs = np.log([point.variance for point in points])
    dense = np.linspace(logs[0], logs[-1], 300)
    gains = CubicSpline(logs, [point.gain for point in points])(dense)
    heights, fold, shown = np.exp(dense) / gains**2, int(np.argmin(gains)), gains <= highest
    parts = slice(fold, None), slice(0, fold + 1)
    return [(gains[part][shown[part]], heights[part][shown[part]]) for part in parts]


def chaos_section(size: Size, levels: Sequence[float] = (0.0, 0.1, 0.2, 0.4, 0.8, 2.0)) -> Part:
    """Chaos that a constant input starts, and stronger input stops."""
    form = replace(JUMP, gain=2.0)
    theory = [solve_mean_field(GatedParameters.of(form, sigma)).exponent for sigma in levels]
    found = [simulated_exponent(form, size, sigma)[:, 0] for sigma in levels]
    rows = tuple(
        (f"{sigma:g}", "—" if one is None else f"{one.value:.3f}", _mean(values, 3))
        for sigma, one, values in zip(levels, theory, found, strict=True)
    )
    means = np.array([values.mean() for values in found])
    started_by = [sigma for sigma, mean in zip(levels, means, strict=True) if mean > 0]
    header = ("deviation of the input", "largest exponent, theory", "simulated")
    caption = f"N = {size.units}, {len(size.seeds)} networks, gain 2: without input they come to rest."
    text = f"{min(started_by):g} to {max(started_by):g}" if started_by else "none"
    return Part(
        Section(
            "input",
            "Chaos that an input starts",
            "A weak constant input opens output gates and makes a stable network chaotic; a strong one "
            "stops it.",
            tables=(PageTable("Largest exponent over the strength of the input", header, rows, caption),),
        ),
        f"A constant input of deviation {text} makes a stable network chaotic.",
        None,
        {"levels": list(levels), "simulated": means.tolist()},
    )


def memory_section(size: Size, gains: Sequence[float] = (0.0, 10.0, 30.0)) -> Part:
    """How long states last, what pulses leave, and how an open gate resets."""
    found = {f"update gain {gain:g}": memory(gain, size) for gain in gains}
    overlaps = {name: (one.lags, one.overlap) for name, one in found.items()}
    traces = {name: (one.lags, one.trace) for name, one in found.items()}
    lasting = found[f"update gain {gains[1]:g}"]
    figures = (
        PageFigure(
            "overlap",
            "How long a state lasts",
            f"Cosine between the activities now and then, networks of {size.units} units without input; "
            f"the band is the range over {len(size.seeds)} networks.",
            lambda screen: curves_figure(overlaps, ("time since", "overlap with the state then"), screen),
            facts=tuple((f"{one.at_end:.2f}", f"at the end, {name}") for name, one in found.items()),
        ),
        PageFigure(
            "pulses",
            "An integrator",
            "What three pulses along one direction leave in the state, against a run without them: "
            "closed update gates add them up and keep the sum.",
            lambda screen: curves_figure(traces, ("time", "change along the direction"), screen),
        ),
    )
    rows = tuple((name, _mean(one.overlap[:, -1], 2), _mean(one.reset, 2)) for name, one in found.items())
    header = ("network", "overlap at the end", "after the gate was open for 20")
    return Part(
        Section(
            "memory",
            "Memory and its reset",
            "A strong update gate holds states without fine tuning, and forgets when it is forced open.",
            figures,
            (PageTable("Overlap with the state that was noted", header, rows),),
        ),
        f"With an update gain of {gains[1]:g} a state keeps an overlap of {lasting.at_end:.2f} for a time "
        f"of {lasting.lags[-1]:g}, and {lasting.reset.mean():.2f} is left after the gate was forced open "
        "for 20.",
        Tile(
            "Memory",
            f"{lasting.at_end:.2f}",
            "",
            f"overlap after {lasting.lags[-1]:g}, update gain {gains[1]:g}",
        ),
        {
            name: {"overlap": one.overlap[:, -1].tolist(), "reset": one.reset.tolist()}
            for name, one in found.items()
        },
    )


def dimension_section(size: Size, gains: Sequence[float] = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)) -> Part:
    """Dimension of chaos over the gain of the output gate."""
    found = dimension(gains, size)
    shares = {"Kaplan-Yorke": found.kaplan_yorke, "participation ratio": found.participation}
    figure = PageFigure(
        "dimension",
        "Dimension of the attractor",
        f"Networks of {size.units} units with gain 3 and an open update gate; mean and deviation over "
        f"{len(size.seeds)} networks.",
        lambda screen: dimension_figure(found.values, shares, "gain of the output gate", screen),
    )
    means = found.kaplan_yorke.mean(axis=1)
    return Part(
        Section("dimension", "Dimension", "In how many directions does chaos move?", (figure,)),
        f"The Kaplan-Yorke dimension goes from {means[0]:.3f} N at output gain {gains[0]:g} to "
        f"{means[-1]:.3f} N at {gains[-1]:g}.",
        None,
        {"values": list(gains), "kaplan_yorke": means.tolist()},
    )
