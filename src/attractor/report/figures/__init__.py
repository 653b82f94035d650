"""The figures of the report, one to a file; each draws numbers that were computed elsewhere."""

from .excitation import amplitude_figure, signals_figure
from .prediction import closeup_figure, closeup_rows, prediction_figure
from .residuals import residual_figure
from .steady_state import steady_state_figure
from .training import training_figure

__all__ = [
    "amplitude_figure",
    "closeup_figure",
    "closeup_rows",
    "prediction_figure",
    "residual_figure",
    "signals_figure",
    "steady_state_figure",
    "training_figure",
]
