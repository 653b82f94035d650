"""Initialisation by regime: contracting, at the edge of stability, or an integrator; then measured."""

from .at_rest import EdgeStatus
from .couplings import Coupling, effective_parameters, resting_modes
from .initialising import Agreement, Initialised, builder, in_regime, initialise, recommended_regime
from .regime_position import Position, regime_of

__all__ = [
    "Agreement",
    "Coupling",
    "EdgeStatus",
    "Initialised",
    "Position",
    "builder",
    "effective_parameters",
    "in_regime",
    "initialise",
    "recommended_regime",
    "regime_of",
    "resting_modes",
]
