"""Training: one loop, losses, noise, weights of examples, checkpoints, guard against values not finite."""

from .epoch_task import EpochMemory, EpochTask, Given, Lost
from .losses import LOSSES, cross_entropy, label_loss
from .noise import NoisyState, annealed, with_noise_factor
from .refinement import refine
from .reweighting import Reweighting
from .settings import TrainingSettings
from .task import Moment, Remembering, Task, score_of, select_member
from .trainer import Diary, Trained, train
from .windows import Batch, Windows

__all__ = [
    "LOSSES",
    "Batch",
    "Diary",
    "EpochMemory",
    "EpochTask",
    "Given",
    "Lost",
    "Moment",
    "NoisyState",
    "Remembering",
    "Reweighting",
    "Task",
    "Trained",
    "TrainingSettings",
    "Windows",
    "annealed",
    "cross_entropy",
    "label_loss",
    "refine",
    "score_of",
    "select_member",
    "train",
    "with_noise_factor",
]
