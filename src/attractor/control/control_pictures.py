"""What results of this room look like in one pair of axes."""

import numpy as np
from matplotlib.axes import Axes

from attractor.report.style import Hue

from .metrics import ResidualAnalysis
from .predictive import ClosedLoop
from .study import ControlStudy


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
