"""Classification of multivariate series: the estimator, its network, suspects among the labels, its audit."""

from .classifier import SequenceClassifier
from .classifier_assessment import assess_classifier, assess_probabilities
from .classifier_metrics import calibration_error, fit_temperature
from .group_memory import GroupStudy, group_memory
from .learning import EpochSettings, LabelSettings, NoiseSettings, ReadoutSettings
from .robustness_study import RobustnessPlan, RobustnessStudy, robustness_study
from .sequence_network import NetworkPlan, SequenceNetwork
from .suspects import CaseHistory, Suspects

__all__ = [
    "CaseHistory",
    "EpochSettings",
    "GroupStudy",
    "LabelSettings",
    "NetworkPlan",
    "NoiseSettings",
    "ReadoutSettings",
    "RobustnessPlan",
    "RobustnessStudy",
    "SequenceClassifier",
    "SequenceNetwork",
    "Suspects",
    "assess_classifier",
    "assess_probabilities",
    "calibration_error",
    "fit_temperature",
    "group_memory",
    "robustness_study",
]
