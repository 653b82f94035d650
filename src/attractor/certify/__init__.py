"""Certificates: bounds over a cell's own equations, and what they prove of its trajectories.

Names are imported when first used, so that the checker of certificates of proofs starts without JAX.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_HOME = {
    "domains": ("Box", "Interval", "StepBounds", "step_bounds", "step_image", "unit_box"),
    "stability.certificate": (
        "LEVELS", "Attempt", "Certificate", "CertificateError", "StabilityResult", "Verdict", "Witness",
        "bound_in_words", "claim",
    ),
    "stability.ladder": ("CertifySettings", "certify"),
}  # fmt: skip

__all__ = [
    "LEVELS", "Attempt", "Box", "Certificate", "CertificateError", "CertifySettings", "Interval",
    "StabilityResult", "StepBounds", "Verdict", "Witness", "bound_in_words", "certify", "claim",
    "step_bounds", "step_image", "unit_box",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    for home, names in _HOME.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*(name for name in globals() if name.startswith("__")), *__all__})
