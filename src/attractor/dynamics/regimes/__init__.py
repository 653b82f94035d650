"""Initialisation by regime: contracting, at the edge of stability, or an integrator; then measured."""

from .building import builder, in_regime
from .initialising import Agreement, Initialised, Predicted, initialise
from .measured import Measured
from .parameters import Coupling, EffectiveParameters, effective_parameters
from .position import Position, regime_of
from .recommending import Recommendation, recommended_regime
from .resting import RestingModes, resting_modes
from .scaling import EdgeStatus

__all__ = [
    "Agreement",
    "Coupling",
    "EdgeStatus",
    "EffectiveParameters",
    "Initialised",
    "Measured",
    "Position",
    "Predicted",
    "Recommendation",
    "RestingModes",
    "builder",
    "effective_parameters",
    "in_regime",
    "initialise",
    "recommended_regime",
    "regime_of",
    "resting_modes",
]
