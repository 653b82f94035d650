"""Lyapunov exponents: measured, with their errors; what follows from them; as a term of training."""
