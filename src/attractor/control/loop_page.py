"""The page of a closed loop: trajectories with limits, offsets and settling, times of the solver."""

from dataclasses import dataclass
from shlex import quote

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attractor.control.identification.recordings import Signals
from attractor.control.predictive import ClosedLoop, LoopMetrics
from attractor.data.record import Signal
from attractor.report.about import About
from attractor.report.page import Page, PageFigure, PageTable, Section, Step, Tile, Tone
from attractor.report.publishing import PAGES, PageKind
from attractor.report.style import Hue, Size, legend_above, panels, powers_of_ten
from attractor.report.wording import significant, time_axis

_MEANINGS = {
    "good": "It controls this plant as it should: try it on the real one, under supervision.",
    "fair": "It stays within its limits, but does not follow every change.",
    "poor": "Not for a real plant: see below where it failed.",
}


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
    export = Step("Write it as one C file:", f"attractor export {about.run} --to controller")
    calmer = Step(
        "Plan further ahead, and more calmly:",
        f"attractor control {about.run} --plant {quote(contents.plant)} --horizon 40 --move-weight 1",
    )
    certify = Step("See whether the model itself is stable:", f"attractor certify {about.run}")
    return Page(
        kind="Closed loop",
        verdict=_sentence(contents),
        tone=tone,
        meaning=_MEANINGS[tone],
        steps=(export, certify) if tone == "good" else (calmer, certify),
        tiles=_tiles(contents),
        sections=(_trajectories(contents), _settling(contents), _solver(contents)),
    )


def _tone(contents: ControlContents) -> Tone:
    figures = contents.figures
    if figures.input_violations or figures.alarms:
        return "poor"
    return "good" if _all_settled(contents) and not figures.fallbacks else "fair"


def _all_settled(contents: ControlContents) -> bool:
    return all(np.isfinite(segment.settling).all() for segment in contents.figures.segments)


def _sentence(contents: ControlContents) -> str:
    figures = contents.figures
    if figures.alarms:
        return f"In {figures.alarms} samples no plan could be computed and the last input was held."
    settled = "settles after every change" if _all_settled(contents) else "does not settle after every change"
    kept = "no input leaves its limits" if not figures.input_violations else "inputs leave their limits"
    return f"The plant {settled}, and {kept}. {contents.certificate}"


def _tiles(contents: ControlContents) -> tuple[Tile, ...]:
    figures, first = contents.figures, contents.signals.outputs[0]
    offsets = np.abs([segment.offset for segment in figures.segments])
    settling = np.array([segment.settling for segment in figures.segments[1:] or figures.segments])
    worst = float(settling.max()) if np.isfinite(settling).all() else float("nan")
    milliseconds = 1e3 * contents.loop.solve_seconds
    return (
        Tile("Steady offset", significant(float(offsets.max())), first.unit, "largest, mean at rest"),
        Tile("Settling", significant(worst), "s", "longest, to within the band"),
        Tile("Violations", str(figures.input_violations), "", "samples with an input beyond its limits"),
        Tile("Solve", significant(float(np.median(milliseconds)), 2), "ms", "median wall time"),
        Tile("Fallbacks", str(figures.fallbacks), "", "samples without an optimal plan"),
    )


def _trajectories(contents: ControlContents) -> Section:
    loop, other, signals = contents.loop, contents.other, contents.signals
    outputs = tuple(
        PageFigure(
            name=f"output-{index}",
            title=f"{signal.name} and its reference",
            caption=(
                "The blue line is the true plant without sensor noise; it should lie on the black reference "
                "soon after every step. Dotted lines: a disturbance that the controller is not told of. The "
                "grey line is the same controller without offset-free tracking."
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
    lead = "The identified model plans, the differential equations of the plant answer, with sensor noise."
    return Section("trajectories", "Trajectories", lead, figures=(*outputs, inputs))


def _settling(contents: ControlContents) -> Section:
    rows = []
    for number, segment in enumerate(contents.figures.segments):
        beside = contents.other_figures.segments[number] if contents.other_figures else None
        for index, signal in enumerate(contents.signals.outputs):
            rows.append((
                f"{contents.loop.times[segment.begin]:g} s, {signal.name}",
                significant(float(contents.loop.references[segment.begin, index])),
                significant(float(segment.settling[index])),
                f"{segment.offset[index]:+.4f}",
                "" if beside is None else f"{beside.offset[index]:+.4f}",
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
