"""Training: one loop, windows, optimiser, checkpoints, guard against values that are not finite."""

from .refinement import refine
from .settings import TrainingSettings
from .task import Moment, Remembering, Task, score_of, select_member
from .trainer import Diary, Trained, train
from .windows import Batch, Windows

__all__ = [
    "Batch",
    "Diary",
    "Moment",
    "Remembering",
    "Task",
    "Trained",
    "TrainingSettings",
    "Windows",
    "refine",
    "score_of",
    "select_member",
    "train",
]
