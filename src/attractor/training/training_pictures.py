"""What a training looks like in one pair of axes."""

import numpy as np
from matplotlib.axes import Axes

from attractor.report.style import Hue

from .trainer import Trained


def draw_training(trained: Trained, axes: Axes) -> None:
    """The validation of every replica over the steps; the chosen one in colour."""
    steps = [entry["step"] for entry in trained.history if "validation" in entry]
    values = np.array([entry["validation"] for entry in trained.history if "validation" in entry], float)
    for replica in range(values.shape[1] if values.ndim == 2 else 0):
        chosen = replica == trained.chosen
        colour, name = (Hue.MODEL, f"replica {replica}, chosen") if chosen else (Hue.MEASURED, None)
        axes.plot(steps, values[:, replica], color=colour, label=name, zorder=2 + chosen)
    axes.set(xlabel="step", ylabel="validation")
    if len(steps):
        axes.legend()
