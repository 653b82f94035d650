"""Figures of a tube: the proved band about runs, what inputs add, a counterexample beside its nominal."""

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from attractor.report.style import Hue, Size, grid_of, legend_above, panels

from .tube import Tube
from .verification import OutputBand, Verification

_SHADES = LinearSegmentedColormap.from_list("influence", ["#eaf0fd", "#1f56d8"], N=16)


def draw_tube(tube: Tube, axes: Axes) -> None:
    """The first output: proved, reached, nominal."""
    draw_output(tube, 0, (), axes)
    axes.set(xlabel="step", ylabel=_named(tube.names, 0))
    axes.legend()


def draw_verification(found: Verification, axes: Axes) -> None:
    """The output of the first band, or the first one, with the counterexample if there is one."""
    output = found.bands[0].output if found.bands else 0
    draw_output(found.tube, output, found.bands, axes)
    if found.counterexample is not None:
        series = found.counterexample.outputs[:, output]
        axes.plot(_steps(series), series, color=Hue.ALERT, linewidth=1.6, label="counterexample")
    axes.set(xlabel="step", ylabel=_named(found.tube.names, output))
    axes.legend()


def draw_output(
    tube: Tube,
    output: int,
    bands: tuple[OutputBand, ...],
    axes: Axes,
    origin: Float[np.ndarray, " steps"] | float = 0.0,
) -> None:
    """One output of a tube, less an origin, with the ends of what was asked of it."""
    steps = _steps(tube.low)
    proved, reached = (
        [end[:, output] - origin for end in ends] for ends in ((tube.low, tube.high), (tube.least, tube.most))
    )
    axes.fill_between(steps, proved[0], proved[1], color=Hue.BAND, linewidth=0, label="proved")
    for end in proved:
        axes.plot(steps, end, color=Hue.MODEL, linewidth=1.4)
    for end, label in zip(reached, ("reached by attacked runs", None), strict=True):
        axes.plot(steps, end, color=Hue.TEST, linewidth=1.4, linestyle=(0, (4, 2)), label=label)
    axes.plot(steps, tube.nominal[:, output] - origin, color=Hue.INK, linewidth=1.4, label="nominal")
    axes.margins(x=0.01)
    _whole_steps(axes)
    _ask(axes, output, bands)


def _ask(axes: Axes, output: int, bands: tuple[OutputBand, ...]) -> None:
    """The ends of bands, as far as they are near what is drawn."""
    low, high = axes.get_ylim()
    room, label = 0.6 * (high - low), "asked"
    for band in bands:
        for end in (band.low, band.high):
            if band.output == output and low - room < end < high + room:
                axes.axhline(end, color=Hue.ALERT, linewidth=1.0, linestyle=(0, (2, 2)), label=label)
                label = None


def _whole_steps(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))


def tube_figure(found: Verification, output: int, label: str, size: Size) -> Figure:
    """One output: the proved band about what attacked runs reach, and the same about the nominal run."""
    figure, (axes, apart) = panels(size, [220, 170] if size.is_wide else [190, 150], share=True)
    draw_output(found.tube, output, found.bands, axes)
    draw_output(found.tube, output, (), apart, found.tube.nominal[:, output])
    axes.set_ylabel(label)
    apart.set(xlabel="steps after the start", ylabel="from nominal")
    legend_above(axes, 4 if size.is_wide else 2)
    return figure


def sensitivity_figure(tube: Tube, output: int, labels: tuple[str, ...], size: Size) -> Figure:
    """What each input at each step adds to the half width of an output at the last step."""
    figure, grid = grid_of(size, len(labels), 150, 2)
    influence = tube.sensitivity(output=output)
    steps = np.arange(len(influence)) + 1
    most = influence.max(initial=0.0) or 1.0
    for index, (axes, label) in enumerate(zip(grid, labels, strict=True)):
        axes.bar(steps, influence[:, index], width=0.8, color=Hue.MODEL)
        axes.set(title=label, xlabel="step of the input", ylim=(0.0, 1.05 * most))
        _whole_steps(axes)
    grid[0].set_ylabel("half width owed")
    return figure


def influence_figure(tube: Tube, output: int, channel: int, size: Size) -> Figure:
    """The map: which step of an input moves the band at which step of an output."""
    figure, (axes,) = panels(size, [320 if size.is_wide else 260])
    steps = len(tube.low)
    found = np.stack([tube.sensitivity(step, output)[:, channel] for step in range(steps)])
    shown = np.where(np.tril(np.ones((steps, steps), bool)), found, np.nan)
    edges = np.arange(steps + 1) + 0.5
    drawn = axes.pcolormesh(edges, edges, shown, cmap=_SHADES, vmin=0.0, linewidth=0)
    axes.grid(visible=False)
    axes.set(xlabel="step of the input", ylabel="step of the output")
    box = axes.get_position()
    axes.set_position((box.x0, box.y0, box.width - 0.12, box.height))
    beside = figure.add_axes((box.x1 - 0.1, box.y0, 0.02, box.height))
    figure.colorbar(drawn, cax=beside).outline.set_visible(False)
    beside.grid(visible=False)
    _whole_steps(axes)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    return figure


def counterexample_figure(
    found: Verification, names: tuple[tuple[str, ...], tuple[str, ...]], size: Size
) -> Figure:
    """Outputs and inputs of the counterexample beside the nominal ones."""
    outputs, inputs = names
    figure, grid = panels(size, [170] * len(outputs) + [110] * len(inputs), share=True)
    case, tube = found.counterexample, found.tube
    if case is None:
        return figure
    for index, (axes, label) in enumerate(zip(grid, outputs, strict=False)):
        _beside(axes, tube.nominal[:, index], case.outputs[:, index], label)
        _ask(axes, index, found.bands)
    for index, (axes, label) in enumerate(zip(grid[len(outputs) :], inputs, strict=True)):
        ends = tube.input_low[:, index], tube.input_high[:, index]
        axes.fill_between(_steps(ends[0]), ends[0], ends[1], color=Hue.BAND, linewidth=0, step="mid")
        _beside(axes, tube.input_nominal[:, index], case.inputs[:, index], label, drawstyle="steps-mid")
    grid[-1].set_xlabel("steps after the start")
    legend_above(grid[0], 4 if size.is_wide else 2)
    return figure


def _beside(
    axes: Axes,
    nominal: Float[np.ndarray, " steps"],
    other: Float[np.ndarray, " steps"],
    label: str,
    drawstyle: str = "default",
) -> None:
    steps = _steps(nominal)
    axes.plot(steps, nominal, color=Hue.INK, linewidth=1.4, label="nominal", drawstyle=drawstyle)
    axes.plot(steps, other, color=Hue.ALERT, linewidth=1.8, label="counterexample", drawstyle=drawstyle)
    axes.set_ylabel(label)
    axes.margins(x=0.01)
    _whole_steps(axes)


def _steps(values: np.ndarray) -> np.ndarray:
    return np.arange(len(values)) + 1


def _named(names: tuple[str, ...], index: int) -> str:
    return names[index] if index < len(names) else ""
