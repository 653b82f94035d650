"""The normal form of a network for verification, and the one walk that bounds it: relaxations and duals."""
