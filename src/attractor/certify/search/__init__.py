"""Searches over boxes: branch and bound, counterexamples, attacks."""
