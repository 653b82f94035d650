"""Certificates: bounds over a cell's own equations, and what they prove of its trajectories."""

from .domains import Box, Interval, StepBounds, step_bounds, step_image, unit_box
from .stability.certificate import (
    LEVELS,
    Attempt,
    Certificate,
    CertificateError,
    StabilityResult,
    Verdict,
    Witness,
    bound_in_words,
    claim,
)
from .stability.ladder import CertifySettings, certify

__all__ = [
    "LEVELS", "Attempt", "Box", "Certificate", "CertificateError", "CertifySettings", "Interval",
    "StabilityResult", "StepBounds", "Verdict", "Witness", "bound_in_words", "certify", "claim",
    "step_bounds", "step_image", "unit_box",
]  # fmt: skip
