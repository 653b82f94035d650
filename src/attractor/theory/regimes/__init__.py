"""Initialisation by regime: contracting, at the edge of stability, or an integrator; then measured."""

from .at_rest import Measured
from .builders import builder, in_regime
from .couplings import Coupling, EffectiveParameters, effective_parameters
from .edge_scaling import EdgeStatus
from .initialising import Agreement, Initialised, Predicted, initialise
from .recommending import Recommendation, recommended_regime
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
