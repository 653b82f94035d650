"""What a training looks like in one pair of axes."""

import numpy as np
from matplotlib.axes import Axes

from attractor.report.style import Hue

from .trainer import Trained


def draw_training(trained: Trained, axes: Axes) -> None:
    """The validation, or without one the loss, of every replica over the steps; the chosen one in colour."""
    name = "validation" if trained.judged else "loss"
    entries = [entry for entry in trained.history if name in entry]
    steps = [entry["step"] for entry in entries]
    values = np.array([entry[name] for entry in entries], float)
    for replica in range(values.shape[1] if values.ndim == 2 else 0):
        chosen = replica == trained.chosen
        colour, label = (Hue.MODEL, f"replica {replica}, chosen") if chosen else (Hue.MEASURED, None)
        axes.plot(steps, values[:, replica], color=colour, label=label, zorder=2 + chosen)
    axes.set(xlabel="step", ylabel=name)
    if len(steps):
        axes.legend()
