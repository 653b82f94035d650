"""Verification: prove what a network never does on a set of inputs, or show the input that does it."""

from .closed_loop import InvariantSet, decreases, invariant_set
from .for_ever import ForEver, for_ever
from .proof import Answer, Proof, prove
from .sets import Ball, Box, InputSet, Points, Polytope, Simplex, Union, Where
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
    "AllOf", "AmongTop", "Answer", "Ball", "Box", "ForEver", "InBand", "InputSet", "InvariantSet", "Leads",
    "LinearRelation", "Lipschitz", "Monotone", "NearReference", "OneOf", "Points", "Polytope", "Proof",
    "SameAs", "Simplex", "Specification", "Tube", "TubeNames", "Union", "Where", "cell_tube", "decide",
    "decreases", "for_ever", "invariant_set", "prove", "reach_tube",
]  # fmt: skip
