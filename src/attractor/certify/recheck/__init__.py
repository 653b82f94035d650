"""Certificates of proofs, and the checker that believes none of what a search did."""
