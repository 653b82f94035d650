"""Stability of cells: the ladder of proofs, and what each rung rests on."""
