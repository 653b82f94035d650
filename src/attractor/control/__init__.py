"""Plants to practise on, signals to excite them, and metrics to judge a model of them."""

from .identification import PlantModel
from .metrics import (
    Metrics,
    ResidualAnalysis,
    analyse_residuals,
    evaluate,
    fit_percent,
    max_abs_error,
    nrmse,
    rmse,
)
from .plants import PLANTS, plant_by_name
from .plants.experiments import add_noise, binary, multilevel, record_experiments
from .plants.ph import PHNeutralisation
from .plants.plant import Plant, simulate, steady_state
from .plants.quadruple_tank import QuadrupleTank

__all__ = [
    "PLANTS",
    "Metrics",
    "PHNeutralisation",
    "Plant",
    "PlantModel",
    "QuadrupleTank",
    "ResidualAnalysis",
    "add_noise",
    "analyse_residuals",
    "binary",
    "evaluate",
    "fit_percent",
    "max_abs_error",
    "multilevel",
    "nrmse",
    "plant_by_name",
    "record_experiments",
    "rmse",
    "simulate",
    "steady_state",
]
