"""The audit of a trained network: how robust, how sharp and how stable it is. Pure functions only."""

from .attacks import ATTACKS, Attack, run_attack
from .lipschitz_bounds import drift_bounds
from .loss_curvature import (
    CurvatureSettings,
    WeightCurvature,
    state_curvature,
    state_hessians,
    weight_curvature,
)
from .margins import (
    LastStateLogits,
    StepGains,
    certified_margins,
    certified_radii,
    class_margins,
    estimated_radii,
    lipschitz_gains,
    score_separations,
)
from .perturbations import PERTURBATIONS, ChannelRange, Perturbation, channel_range, perturbed
from .robustness import (
    InputScale,
    RobustnessCurve,
    RobustnessCurves,
    RobustnessSettings,
    robustness_curves,
    trend,
)
from .sequences import LabelledSequences, labelled_sequences
from .stability_verdict import NoiseKind, StabilityBounds, StabilityVerdict, StateDiffusion, stability

__all__ = [
    "ATTACKS",
    "PERTURBATIONS",
    "Attack",
    "ChannelRange",
    "CurvatureSettings",
    "InputScale",
    "LabelledSequences",
    "LastStateLogits",
    "NoiseKind",
    "Perturbation",
    "RobustnessCurve",
    "RobustnessCurves",
    "RobustnessSettings",
    "StabilityBounds",
    "StabilityVerdict",
    "StateDiffusion",
    "StepGains",
    "WeightCurvature",
    "certified_margins",
    "certified_radii",
    "channel_range",
    "class_margins",
    "drift_bounds",
    "estimated_radii",
    "labelled_sequences",
    "lipschitz_gains",
    "perturbed",
    "robustness_curves",
    "run_attack",
    "score_separations",
    "stability",
    "state_curvature",
    "state_hessians",
    "trend",
    "weight_curvature",
]
