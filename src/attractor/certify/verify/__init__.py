"""Verification: prove what a network never does on a set of inputs, or show the input that does it."""

from .proof import Answer, Proof, prove

__all__ = ["Answer", "Proof", "prove"]
