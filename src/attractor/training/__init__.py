"""Training: one loop, windows, optimiser, checkpoints, noise, guard against values that are not finite."""

from .noise import NoisyState, annealed, with_noise_factor
from .refinement import refine
from .settings import TrainingSettings
from .task import Moment, Remembering, Task, score_of, select_member
from .trainer import Diary, Trained, train
from .windows import Batch, Windows

__all__ = [
    "Batch",
    "Diary",
    "Moment",
    "NoisyState",
    "Remembering",
    "Task",
    "Trained",
    "TrainingSettings",
    "Windows",
    "annealed",
    "refine",
    "score_of",
    "select_member",
    "train",
    "with_noise_factor",
]
