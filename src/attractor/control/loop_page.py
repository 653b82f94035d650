"""The page of a closed loop: trajectories with limits, offsets and settling, times of the solver."""

from dataclasses import dataclass
from shlex import quote
from typing import Literal

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attractor.control.identification.recordings import Signals
from attractor.control.metrics import ResidualAnalysis
from attractor.control.predictive import ClosedLoop, LoopMetrics
from attractor.control.study import ControlStudy
from attractor.data.record import Signal
from attractor.report.about import About
from attractor.report.page import Note, Page, PageFigure, PageTable, Section, Step, Tile, Tone
from attractor.report.publishing import PAGES, PageKind
from attractor.report.style import Hue, Size, legend_above, panels, powers_of_ten
from attractor.report.wording import duration, signed, significant, time_axis

PlantKind = Literal["built-in", "own", "run", "itself"]

_MEANINGS = {
    "good": "It controls this plant as it should: try it on the real one, under supervision.",
    "fair": "It stays within its limits, but not all is as it should be: see above.",
    "poor": "Not for a real plant: see below where it failed.",
}
_ITSELF = (
    "The plant here is the model itself, so this shows how the controller is set up, and nothing about what "
    "the model gets wrong. Before a real plant, control a plant of your own, or the model of a second run."
)
_OTHER_MODEL = "What neither of the two models knows of the real plant is not tested by this."


@dataclass(frozen=True, eq=False)
class ControlContents:
    """What is known of a closed loop.

    Args:
        plant: what was controlled.
        signals: names and units.
        limits: smallest and largest input, shape (2, inputs), plant units.
        band: half width of the band in which an output counts as settled, shape (outputs,).
        loop: what happened.
        figures: its figures.
        other: the same without offset-free tracking, if it was run.
        other_figures: its figures.
        certificate: what is proved of the model, in words.
        setup: how the controller was set up, in words.
        kind: what the plant is: of the house, the user's own, the model of another run, or this model.
        remarks: what was assumed of the plant and of the controller, in sentences.
        certified: whether the run has a certificate of this model.
        otherwise: that the plant answers otherwise than the model, with figures; empty where it does not.
    """

    plant: str
    signals: Signals
    limits: Float[np.ndarray, "2 inputs"]
    band: Float[np.ndarray, " outputs"]
    loop: ClosedLoop
    figures: LoopMetrics
    other: ClosedLoop | None
    other_figures: LoopMetrics | None
    certificate: str
    setup: dict[str, str]
    kind: PlantKind = "built-in"
    remarks: tuple[str, ...] = ()
    certified: bool = False
    otherwise: str = ""


PAGES.register(
    ControlContents, PageKind("control.html", "attractor.control.loop_page:loop_page"), source=__name__
)


def loop_page(contents: ControlContents, about: About) -> Page:
    """What the page says.

    Args:
        contents: of the loop.
        about: the run of the model.
    """
    tone = _tone(contents)
    return Page(
        kind="Closed loop",
        verdict=_sentence(contents),
        tone=tone,
        meaning=_meaning(contents, tone),
        steps=_steps(contents, tone, about.run),
        tiles=_tiles(contents),
        sections=(_trajectories(contents), _settling(contents), _solver(contents)),
    )


def shows_of_a_plant(kind: PlantKind) -> str:
    """What a loop shows of a true plant where a model stands in its place; empty where none does."""
    return {"itself": _ITSELF, "run": _OTHER_MODEL}.get(kind, "")


def _meaning(contents: ControlContents, tone: Tone) -> str:
    if contents.kind == "itself":
        return _ITSELF
    if contents.kind == "run":
        first = "It controls another model as it should." if tone == "good" else _MEANINGS[tone]
        return f"{first} {_OTHER_MODEL}"
    return _MEANINGS[tone]


def _steps(contents: ControlContents, tone: Tone, run: str) -> tuple[Step, ...]:
    export = Step("Write it as one C file:", f"attractor export {run} --to controller")
    calmer = Step(
        "Plan further ahead, and more calmly:",
        f"attractor control {run} --plant {quote(contents.plant)} --horizon 40 --move-weight 1",
    )
    certify = (Step("See whether the model itself is stable:", f"attractor certify {run}"),)
    certify *= not contents.certified
    local = Step(
        "Plan with what the linearised model says of the time after the horizon:",
        f"attractor control {run} --plant {quote(contents.plant)} --terminal local",
    )
    own = Step(
        "Write the plant down in a few lines of Python, and control that:",
        f"attractor control {run} --plant plant.py:Plant",
    )
    settled = _all_settled(contents) and not (contents.figures.fallbacks or any(contents.figures.chatters))
    better = export if tone == "good" or settled else calmer
    if any(contents.figures.chatters):
        weight = 10 * float(contents.setup.get("move weight", "0.1"))
        words = f"attractor control {run} --plant {quote(contents.plant)} --move-weight {weight:g}"
        better = Step("Let moves of the inputs cost more:", words)
    if _unplanned(contents) and contents.certified and contents.setup.get("terminal") == "auto":
        better = local
    if contents.otherwise:
        better = Step(
            "Record this plant where it is to be controlled, and identify again:",
            "attractor identify LOG.csv --inputs ... --outputs ... --out runs/NEW",
        )
    return (own, better, *certify) if contents.kind in ("itself", "run") else (better, *certify)


_MANY = 0.1
"""Share of samples without an optimal plan from which a loop says nothing of the controller."""


def _unplanned(contents: ControlContents) -> bool:
    """Whether too many samples had no optimal plan."""
    return contents.figures.fallbacks > _MANY * len(contents.loop.statuses)


def _tone(contents: ControlContents) -> Tone:
    figures = contents.figures
    if figures.input_violations or figures.alarms or _unplanned(contents):
        return "poor"
    well = _all_settled(contents) and not (figures.fallbacks or contents.otherwise)
    well = well and not any(figures.chatters)
    # Whoever controls a copy of the model has shown nothing of the model.
    return "good" if well and contents.kind != "itself" else "fair"


def _all_settled(contents: ControlContents) -> bool:
    return all(np.isfinite(segment.settling).all() for segment in contents.figures.segments)


_NAMES = {
    "built-in": "The plant",
    "own": "The plant",
    "run": "The model in the place of the plant",
    "itself": "The model, controlled in the place of a plant,",
}


def _sentence(contents: ControlContents) -> str:
    figures = contents.figures
    if figures.alarms:
        alarms = {one.short for one in contents.loop.statuses if one.alarm}
        why = "; ".join(sorted(alarms))
        return f"In {figures.alarms} samples no plan could be computed and the last input was held: {why}."
    settled = "settles after every change" if _all_settled(contents) else "does not settle after every change"
    kept = "no input leaves its limits" if not figures.input_violations else "inputs leave their limits"
    parts = [f"{_NAMES[contents.kind]} {settled}, and {kept}."]
    if figures.fallbacks:
        parts.insert(0 if _unplanned(contents) else 1, contents.loop.ended_badly)
    restless = [one.name for one, hit in zip(contents.signals.inputs, figures.chatters, strict=True) if hit]
    if restless:
        parts.append(f"{', '.join(restless)} chatters from sample to sample: raise --move-weight.")
    beyond = int((~np.asarray(contents.loop.reachable)).sum())
    if beyond:
        parts.append(f"In {beyond} samples the reference is out of reach, by the model, within these limits.")
    unstable = contents.loop.unstable_targets
    if unstable:
        parts.append(
            f"In {unstable} samples the model does not rest stably at its target, so that nothing "
            "stands for the "
            "time after the horizon there; plan far ahead, and follow the state by --observer kalman."
        )
    if figures.lost:
        parts.append(
            f"In {figures.lost} samples a sensor showed nothing, and what the model expects of it stood in."
        )
    first = [contents.otherwise] if contents.otherwise else []
    return " ".join([*first, *parts, contents.certificate])


def _tiles(contents: ControlContents) -> tuple[Tile, ...]:
    figures = contents.figures
    settling = np.array([segment.settling for segment in figures.segments[1:] or figures.segments])
    milliseconds = 1e3 * contents.loop.solve_seconds
    return (
        _offset_tile(contents),
        _settling_tile(settling),
        Tile("Violations", str(figures.input_violations), "", "samples with an input beyond its limits"),
        Tile("Solve", significant(float(np.median(milliseconds)), 2), "ms", "median wall time"),
        Tile("Fallbacks", str(figures.fallbacks), "", "samples without an optimal plan"),
    )


_NONE = 1e-3
"""Part of the band below which an offset is none for a reader."""


def _offset_tile(contents: ControlContents) -> Tile:
    """The offset of the output that is farthest off, as a part of its band."""
    offsets = np.abs([segment.offset for segment in contents.figures.segments]).max(axis=0)
    worst = int(np.argmax(offsets / contents.band))
    signal, size, band = contents.signals.outputs[worst], float(offsets[worst]), float(contents.band[worst])
    if size < _NONE * band:
        return Tile(
            "Steady offset", "none", "", f"below {significant(_NONE * band, 1)} {signal.unit}".strip()
        )
    return Tile("Steady offset", significant(size), signal.unit, f"largest mean at rest, of {signal.name}")


def _settling_tile(settling: Float[np.ndarray, "segments outputs"]) -> Tile:
    if np.isfinite(settling).all():
        value, unit = duration(float(settling.max()))
        return Tile("Settling", value, unit, "longest, to within the band")
    late = int((~np.isfinite(settling)).any(axis=1).sum())
    return Tile("Not settled", f"{late} of {len(settling)}", "changes", "before the next change came")


def _trajectories(contents: ControlContents) -> Section:
    loop, other, signals = contents.loop, contents.other, contents.signals
    outputs = tuple(
        PageFigure(
            name=f"output-{index}",
            title=f"{signal.name} and its reference",
            caption=(
                "The blue line is the true plant without sensor noise; it should lie on the black reference "
                "soon after every step. Dotted lines: a disturbance that the controller is not told of. The "
                "grey line is the same controller without offset-free tracking. Shaded: its sensor "
                "shows nothing."
            ),
            plot=lambda size, index=index, signal=signal: output_figure(loop, other, index, signal, size),
        )
        for index, signal in enumerate(signals.outputs)
    )
    inputs = PageFigure(
        name="inputs",
        title="What the controller did",
        caption="Every line must stay between the dashed limits; a line on a limit is a limit well used.",
        plot=lambda size: input_figure(loop, contents.limits, signals.inputs, size),
    )
    notes = tuple(Note("info", remark) for remark in contents.remarks)
    return Section(
        "trajectories", "Trajectories", _LEADS[contents.kind], figures=(*outputs, inputs), notes=notes
    )


_LEADS: dict[PlantKind, str] = {
    "built-in": "The identified model plans, the differential equations of the plant answer.",
    "own": "The identified model plans, the plant written down by its user answers.",
    "run": "The identified model plans, the model of another run answers in the place of the plant.",
    "itself": "The model plans, and the same model answers in the place of the plant: it knows all of it.",
}


def _settling(contents: ControlContents) -> Section:
    rows = []
    for number, segment in enumerate(contents.figures.segments):
        beside = contents.other_figures.segments[number] if contents.other_figures else None
        for index, signal in enumerate(contents.signals.outputs):
            rows.append((
                f"{contents.loop.times[segment.begin]:g} s, {signal.name}",
                significant(float(contents.loop.references[segment.begin, index])),
                significant(float(segment.settling[index])),
                signed(float(segment.offset[index]), float(contents.band[index])),
                "" if beside is None else signed(float(beside.offset[index]), float(contents.band[index])),
            ))
    band = ", ".join(f"±{value:.3g}" for value in contents.band)
    table = PageTable(
        "After every change",
        ("from", "reference", "settled after [s]", "offset", "offset without offset-free"),
        tuple(rows),
        f"Settled: within {band} of the reference for good. Offset: mean error over the last quarter. A "
        "dash means that the output did not settle before the next change.",
    )
    lead = "A model is never the plant; what it gets wrong must not stay as an offset."
    return Section("settling", "Offset and settling", lead, tables=(table,))


def _solver(contents: ControlContents) -> Section:
    loop, interval = contents.loop, contents.signals.sampling_time
    milliseconds = 1e3 * loop.solve_seconds
    figure = PageFigure(
        name="solve-times",
        title="Time of a solve",
        caption="The whole histogram should lie far to the left of the sampling time.",
        plot=lambda size: solve_time_figure(loop, interval, size),
        facts=(
            (f"{np.median(milliseconds):.2f} ms", "median"),
            (f"{np.percentile(milliseconds, 99):.2f} ms", "99th percentile"),
            (f"{100 * np.percentile(milliseconds, 99) / (1e3 * interval):.3f} %", "of the sampling time"),
        ),
    )
    names = {status: loop.statuses.count(status) for status in dict.fromkeys(loop.statuses)}
    ended = PageTable(
        "How the solves ended",
        ("status", "samples"),
        tuple((status.value, str(count)) for status, count in names.items()),
    )
    setup = PageTable("The controller", ("setting", "value"), tuple(contents.setup.items()))
    lead = "Every solve says how it ended; whatever it says, the input applied is within its limits."
    return Section("solver", "Solver", lead, (figure,), (ended, setup))


_BINS = 40


def output_figure(
    loop: ClosedLoop, other: ClosedLoop | None, index: int, signal: Signal, size: Size
) -> Figure:
    """One output over time with its reference; in grey the loop that it is compared with."""
    figure, (axes,) = panels(size, [220 if size.is_wide else 190])
    time, label = _time(loop)
    if other is not None:
        axes.plot(
            time,
            other.outputs[:, index],
            color=Hue.MEASURED,
            linewidth=2.2,
            label="without offset-free" if size.is_wide else "without",
        )
    axes.plot(time, loop.outputs[:, index], color=Hue.MODEL, linewidth=1.8, label="plant")
    axes.step(time, loop.references[:, index], where="post", color=Hue.INK, linewidth=1.0, label="reference")
    _disturbances(axes, loop, time, size)
    _lost(axes, ~np.isfinite(loop.measured[:, index]), time)
    axes.set(xlabel=label, ylabel=signal.label)
    axes.margins(x=0.0)
    legend_above(axes)
    return figure


def input_figure(
    loop: ClosedLoop, limits: Float[np.ndarray, "2 inputs"], signals: tuple[Signal, ...], size: Size
) -> Figure:
    """All inputs over time, each with its limits."""
    figure, grid = panels(size, [130] * len(signals), share=len(signals) > 1)
    time, label = _time(loop)
    for index, (axes, signal) in enumerate(zip(grid, signals, strict=True)):
        axes.step(time, loop.inputs[:, index], where="post", color=Hue.MODEL, linewidth=1.6, label="applied")
        for number, end in enumerate(limits[:, index]):
            name = "limits" if number == 0 else None
            axes.axhline(end, color=Hue.ALERT, linewidth=1.0, linestyle=(0, (4, 3)), label=name)
        axes.set_ylabel(signal.label)
        axes.margins(x=0.0)
    grid[-1].set_xlabel(label)
    legend_above(grid[0])
    return figure


def solve_time_figure(loop: ClosedLoop, sampling_time: float, size: Size) -> Figure:
    """How long the solves took, on a logarithmic scale, against the time that there is."""
    figure, (axes,) = panels(size, [170])
    powers_of_ten(axes, "x")
    milliseconds = 1e3 * loop.solve_seconds
    edges = np.geomspace(milliseconds.min() * 0.9, max(milliseconds.max() * 1.1, milliseconds.min()), _BINS)
    axes.hist(milliseconds, bins=list(edges), color=Hue.MODEL)
    axes.axvline(1e3 * sampling_time, color=Hue.TEST, linewidth=1.6, label="sampling time")
    axes.axvline(float(np.median(milliseconds)), color=Hue.INK, linewidth=1.0, label="median")
    axes.set(xlabel="time of a solve [ms]", ylabel="samples")
    legend_above(axes)
    return figure


def _time(loop: ClosedLoop) -> tuple[np.ndarray, str]:
    interval = float(loop.times[1] - loop.times[0]) if len(loop.times) > 1 else 1.0
    return time_axis(len(loop.times), interval)


def _disturbances(axes: Axes, loop: ClosedLoop, time: np.ndarray, size: Size) -> None:
    """A dotted line wherever nature changes her mind."""
    changed = np.flatnonzero((np.diff(loop.disturbances, axis=0) != 0).any(axis=1)) + 1
    for number, row in enumerate(changed):
        name = "disturbance" if number == 0 and size.is_wide else None
        axes.axvline(time[row], color=Hue.MUTED, linewidth=0.9, linestyle=(0, (2, 2)), label=name)


def _lost(axes: Axes, lost: np.ndarray, time: np.ndarray) -> None:
    """A band wherever the sensor shows nothing."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], lost.astype(int), [0]])))
    for number, (begin, end) in enumerate(edges.reshape(-1, 2)):
        label = "no sensor" if number == 0 else None
        ends = float(time[begin]), float(time[min(end, len(time) - 1)])
        axes.axvspan(*ends, color=Hue.BAND, linewidth=0, label=label)


def draw_loop(loop: ClosedLoop, axes: Axes) -> None:
    """All outputs over time with their references."""
    outputs = loop.outputs.shape[1]
    for index in range(outputs):
        name = "output" if outputs == 1 else f"output {index}"
        line = axes.plot(loop.times, loop.outputs[:, index], linewidth=1.6, label=name)[0]
        look = {"color": line.get_color(), "linestyle": "--", "linewidth": 1.0}
        axes.step(loop.times, loop.references[:, index], where="post", label="its reference", **look)
    axes.set(xlabel="time [s]", ylabel="outputs")
    if outputs:
        axes.legend()


def draw_study(study: ControlStudy, axes: Axes) -> None:
    """The outputs of its loop."""
    draw_loop(study.loop, axes)


def draw_residuals(analysis: ResidualAnalysis, axes: Axes) -> None:
    """Auto-correlations of the residuals; outside of the band something was left to learn."""
    for index, values in enumerate(analysis.auto):
        axes.plot(analysis.auto_lags, values, ".-", label=f"output {index}")
    axes.axhspan(
        -analysis.auto_band, analysis.auto_band, color=Hue.BAND, label=f"{analysis.confidence:.0%} band"
    )
    axes.set(
        xlabel="lag [samples]", ylabel="auto-correlation", ylim=(np.nanmin(analysis.auto, initial=-0.2), 1.05)
    )
    axes.legend()
