"""The spectrum of the random network that a Jacobian is compared with."""
