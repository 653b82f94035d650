"""Classification of multivariate series: the estimator, its network, suspects among the labels, its audit."""

from .assessment import assess_classifier, assess_probabilities
from .calibration import calibration_error, fit_temperature
from .estimator import SequenceClassifier
from .group_memory import GroupStudy, group_memory
from .network import NetworkPlan, SequenceNetwork
from .robustness import RobustnessPlan, RobustnessStudy, robustness_study
from .suspects import Suspects, TrainingDiary

__all__ = [
    "GroupStudy",
    "NetworkPlan",
    "RobustnessPlan",
    "RobustnessStudy",
    "SequenceClassifier",
    "SequenceNetwork",
    "Suspects",
    "TrainingDiary",
    "assess_classifier",
    "assess_probabilities",
    "calibration_error",
    "fit_temperature",
    "group_memory",
    "robustness_study",
]
