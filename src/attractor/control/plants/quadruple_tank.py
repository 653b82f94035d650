"""The quadruple tank: two pumps, four tanks, and a zero that a turn of two valves moves across the axis."""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from attractor.data.record import Signal

from .plant import Plant

Four = tuple[float, float, float, float]
Two = tuple[float, float]


class QuadrupleTank(Plant):
    r"""Two pumps feed four tanks; the upper tanks 3 and 4 drain into the lower tanks 1 and 2.

    State: the levels $h_1 \ldots h_4$. Inputs: the pumps $v_1, v_2$. Outputs: $h_1, h_2$.
    With tank areas $A_i$, outlet areas $a_i$, pump gains $k_j$, valve splits $\gamma_j$, gravity $g$

    $$A_1 \dot h_1 = -a_1 \sqrt{2 g h_1} + a_3 \sqrt{2 g h_3} + \gamma_1 k_1 v_1, \quad
      A_2 \dot h_2 = -a_2 \sqrt{2 g h_2} + a_4 \sqrt{2 g h_4} + \gamma_2 k_2 v_2$$
    $$A_3 \dot h_3 = -a_3 \sqrt{2 g h_3} + (1 - \gamma_2) k_2 v_2, \quad
      A_4 \dot h_4 = -a_4 \sqrt{2 g h_4} + (1 - \gamma_1) k_1 v_1$$

    The linearised plant is minimum phase for $\gamma_1 + \gamma_2 > 1$ and has a zero in the right half
    plane below. The default is Johansson's minimum-phase setting in cm, s and V.

    Source: Johansson, IEEE Trans. Control Systems Technology 8 (2000) 456, tables I and II.

    Example:
        >>> from attractor.control import QuadrupleTank, steady_state
        >>> steady_state(QuadrupleTank())[1].round(2).tolist()
        [12.26, 12.78]
    """

    areas: Four = (28.0, 32.0, 28.0, 32.0)
    outlets: Four = (0.071, 0.057, 0.071, 0.057)
    pump_gains: Two = (3.33, 3.35)
    splits: Two = (0.70, 0.60)
    gravity: float = 981.0
    inputs: tuple[Signal, ...] = (Signal("v1", "V"), Signal("v2", "V"))
    outputs: tuple[Signal, ...] = (Signal("h1", "cm"), Signal("h2", "cm"))
    disturbances: tuple[Signal, ...] = ()
    input_low: tuple[float, ...] = (1.5, 1.5)
    input_high: tuple[float, ...] = (3.5, 3.5)
    nominal_inputs: tuple[float, ...] = (3.0, 3.0)
    nominal_disturbances: tuple[float, ...] = ()
    sampling_time: float = 5.0
    settling_time: float = 300.0
    state_scale: tuple[float, ...] = (10.0, 10.0, 1.0, 1.0)
    measurement_noise: tuple[float, ...] = (0.05, 0.05)

    def vector_field(
        self, time: ArrayLike, state: Float[Array, " states"], forcing: Float[Array, " forcing"]
    ) -> Float[Array, " states"]:
        """What the pumps and the tank above bring, less what drains, divided by the tank's area."""
        del time
        drained = self.drain(state)
        from_above = jnp.concatenate([drained[2:], jnp.zeros(2)])
        return (self.pumped(forcing) + from_above - drained) / jnp.asarray(self.areas)

    def drain(self, levels: Float[Array, " states"]) -> Float[Array, " states"]:
        r"""Flow out of every tank, $a_i \sqrt{2 g h_i}$; an empty tank ($h \le 0$) gives nothing."""
        # The inner `where` keeps the derivative of the square root finite where it is not used.
        filled = levels > 0
        speed = jnp.sqrt(2.0 * self.gravity * jnp.where(filled, levels, 1.0))
        return jnp.asarray(self.outlets) * jnp.where(filled, speed, 0.0)

    def pumped(self, pumps: Float[Array, " forcing"]) -> Float[Array, " states"]:
        """Flow of the pumps into every tank: pump 1 feeds tanks 1 and 4, pump 2 feeds tanks 2 and 3."""
        flows = jnp.asarray(self.pump_gains) * pumps
        below = jnp.asarray(self.splits) * flows
        return jnp.concatenate([below, (flows - below)[::-1]])

    def measure(self, state: Float[Array, " states"]) -> Float[Array, " outputs"]:
        """The levels of the two lower tanks."""
        return state[:2]

    def possible(self, state: Float[Array, " states"], forcing: Float[Array, " forcing"]) -> Bool[Array, ""]:
        """No tank below empty (but for the tolerance of the solver), and no pump that sucks."""
        return (state >= -1e-6 * jnp.asarray(self.state_scale)).all() & (forcing >= 0).all()

    def equilibrium(self, forcing: Float[Array, " forcing"]) -> Float[Array, " states"]:
        r"""Levels at which every tank drains what it receives, $h_i = (Q_i / a_i)^2 / (2 g)$."""
        pumped = self.pumped(forcing)
        received = pumped + jnp.concatenate([pumped[2:], jnp.zeros(2)])
        return (received / jnp.asarray(self.outlets)) ** 2 / (2.0 * self.gravity)


def nonminimum_phase_tank() -> QuadrupleTank:
    """Johansson's second setting: most of the water goes up first, so responses start the wrong way."""
    return QuadrupleTank(
        pump_gains=(3.14, 3.29),
        splits=(0.43, 0.34),
        input_low=(1.5, 1.5),
        input_high=(3.8, 3.8),
        nominal_inputs=(3.15, 3.15),
        state_scale=(10.0, 10.0, 5.0, 5.0),
        settling_time=500.0,
    )


def pilot_plant_tank() -> QuadrupleTank:
    """The pilot-plant-like tank of the predictive control literature, in m and m^3/h.

    Source: Alvarado et al., Journal of Process Control 21 (2011) 800; parameters consistent with its
    operating point of 0.65 m, not checked against the paper itself.
    """
    per_hour = 1.0 / 3600.0
    return QuadrupleTank(
        areas=(0.06, 0.06, 0.06, 0.06),
        outlets=(1.31e-4, 1.51e-4, 9.27e-5, 8.82e-5),
        pump_gains=(per_hour, per_hour),
        splits=(0.3, 0.4),
        gravity=9.81,
        inputs=(Signal("qa", "m^3/h"), Signal("qb", "m^3/h")),
        outputs=(Signal("h1", "m"), Signal("h2", "m")),
        input_low=(0.8, 1.0),
        input_high=(2.3, 2.8),
        nominal_inputs=(1.63, 2.0),
        sampling_time=15.0,
        settling_time=900.0,
        state_scale=(0.5, 0.5, 0.5, 0.5),
        measurement_noise=(0.003, 0.003),
    )
