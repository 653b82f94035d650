"""Classification of multivariate series: the estimator, its network, suspects among the labels."""

from .calibration import calibration_error, fit_temperature
from .estimator import SequenceClassifier
from .network import NetworkPlan, SequenceNetwork
from .suspects import Suspects, TrainingDiary

__all__ = [
    "NetworkPlan",
    "SequenceClassifier",
    "SequenceNetwork",
    "Suspects",
    "TrainingDiary",
    "calibration_error",
    "fit_temperature",
]
