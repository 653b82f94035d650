"""Verification: prove what a network never does on a set of inputs, or show the input that does it."""

from .proof import Answer, Proof, prove
from .slopes import Lipschitz, Monotone
from .specifications import (
    AllOf,
    AmongTop,
    InBand,
    Leads,
    LinearRelation,
    NearReference,
    OneOf,
    SameAs,
    Specification,
    decide,
)
from .tube import Tube, TubeNames, cell_tube, reach_tube

__all__ = [
    "AllOf", "AmongTop", "Answer", "InBand", "Leads", "LinearRelation", "Lipschitz", "Monotone",
    "NearReference", "OneOf", "Proof", "SameAs", "Specification", "Tube", "TubeNames", "cell_tube", "decide",
    "prove", "reach_tube",
]  # fmt: skip
