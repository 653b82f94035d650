"""Weights of examples: multiplicative reweighting against wrong labels."""

from .reweighting_settings import Reweighting
from .suspicion import Mixture, degree_of_suspicion, fit_mixture
from .units import Units, example_units, token_units
from .update import ExampleWeights, equal_weights, updated
from .weights import (
    Classes,
    balanced,
    capped,
    class_medians,
    effective_size,
    log_weights,
    shared_by_groups,
    strength_for,
)

__all__ = [
    "Classes",
    "ExampleWeights",
    "Mixture",
    "Reweighting",
    "Units",
    "balanced",
    "capped",
    "class_medians",
    "degree_of_suspicion",
    "effective_size",
    "equal_weights",
    "example_units",
    "fit_mixture",
    "log_weights",
    "shared_by_groups",
    "strength_for",
    "token_units",
    "updated",
]
