"""Training: one loop, losses, noise, weights of examples, checkpoints, guard against values not finite."""

from .epoch_task import EpochMemory, EpochTask, ExampleContext, ExampleLosses, Examples
from .losses import LOSSES, cross_entropy, label_loss
from .noise import NoisyState, annealed, with_noise_factor
from .refinement import refine
from .reweighting import Reweighting
from .run_log import RunLog
from .task import BatchIterator, StepContext, Task, select_replica
from .trainer import Trained, train
from .training_settings import TrainingSettings
from .windows import Batch, Windows

__all__ = [
    "LOSSES",
    "Batch",
    "BatchIterator",
    "EpochMemory",
    "EpochTask",
    "ExampleContext",
    "ExampleLosses",
    "Examples",
    "NoisyState",
    "Reweighting",
    "RunLog",
    "StepContext",
    "Task",
    "Trained",
    "TrainingSettings",
    "Windows",
    "annealed",
    "cross_entropy",
    "label_loss",
    "refine",
    "select_replica",
    "train",
    "with_noise_factor",
]
