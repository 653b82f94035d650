"""Verification: prove what a network never does on a set of inputs, or show the input that does it."""

from .closed_loop import InvariantSet, decreases, invariant_set
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
    "AllOf", "AmongTop", "Answer", "InBand", "InvariantSet", "Leads", "LinearRelation", "Lipschitz",
    "Monotone", "NearReference", "OneOf", "Proof", "SameAs", "Specification", "Tube", "TubeNames",
    "cell_tube", "decide", "decreases", "invariant_set", "prove", "reach_tube",
]  # fmt: skip
