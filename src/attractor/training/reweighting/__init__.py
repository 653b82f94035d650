"""Weights of examples: multiplicative reweighting against wrong labels."""

from .settings import Reweighting
from .suspicion import Mixture, fit_mixture, wrong_share
from .update import Weighing, strength_of, updated
from .weights import balanced, capped, effective_size, log_weights, shared_by_groups, strength_for

__all__ = [
    "Mixture",
    "Reweighting",
    "Weighing",
    "balanced",
    "capped",
    "effective_size",
    "fit_mixture",
    "log_weights",
    "shared_by_groups",
    "strength_for",
    "strength_of",
    "updated",
    "wrong_share",
]
