"""Flows and plans that the tests of phase diagrams share, so that they share compiled programs."""

import jax
import jax.numpy as jnp

from attractor.cells import Flow, GatedForm
from attractor.theory.phase import PhaseAxis, PhasePlan, PhaseSimulation

SHORT = PhaseSimulation(time=16, transient=8, blocks=4, step=0.2)
GAINS, BIASES = PhaseAxis("g_h", 0.5, 4.0, 4), PhaseAxis("b_r", -1.0, 1.0, 3)
FORM = GatedForm(update_gain=1.0, reset_gain=10.0)
GATED = PhasePlan(GAINS, BIASES, form=FORM, size=10, simulation=SHORT, tile=5)


class LeakyRates(Flow):
    """dh/dt = -leak h + gain J tanh(h), written as a user would."""

    coupling: jax.Array
    gain: float
    leak: float
    input_size: int = 0
    hidden_size: int = 8

    def vector_field(self, input, state):
        return self.gain * self.coupling @ jnp.tanh(state) - self.leak * state


def leaky_rates(values, key):
    """Symmetric couplings: every path ends at rest, in one direction that is slowest."""
    coupling = jax.random.normal(key, (8, 8)) / 8**0.5
    return LeakyRates(coupling + coupling.T, values["gain"], values["leak"])


LEAKY = PhasePlan(
    PhaseAxis("gain", 0.0, 3.0, 4),
    PhaseAxis("leak", 0.5, 1.0, 3),
    build=leaky_rates,
    simulation=SHORT,
    tile=12,
)


class Flip(Flow):
    """In Euler steps of length 1 the map x' = -gain tanh(x): at rest below 1, of period two above it."""

    gain: float
    input_size: int = 0
    hidden_size: int = 2

    def vector_field(self, input, state):
        return -self.gain * jnp.tanh(state) - state


FLIPS = PhasePlan(
    PhaseAxis("gain", 0.5, 2.0, 2),
    PhaseAxis("nothing", 0.0, 1.0, 2),
    build=lambda values, key: Flip(values["gain"]),
    simulation=PhaseSimulation(time=60, transient=100, step=1.0, method="euler", blocks=4),
    tile=3,
)
"""Four points in two tiles: the second one repeats one point, so that its networks do not differ."""


class Line(Flow):
    """dx/dt = rate x."""

    rate: float
    input_size: int = 0
    hidden_size: int = 2

    def vector_field(self, input, state):
        return self.rate * state


def line(values, key):
    return Line(values["rate"] + 0.0 * values["nothing"])
