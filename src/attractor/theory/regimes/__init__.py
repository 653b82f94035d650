"""Initialisation by regime: contracting, at the edge of stability, or an integrator; then measured."""

from .at_rest import EdgeStatus, Measured
from .couplings import Coupling, EffectiveParameters, effective_parameters
from .goals import Recommendation, recommended_regime
from .initialising import Agreement, Initialised, Predicted, builder, in_regime, initialise
from .regime_position import Position, regime_of
from .resting import RestingModes, resting_modes

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
