"""The pH neutralisation process of Henson and Seborg: the usual benchmark of recurrent plant models."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from attractor.data.record import Signal

from .plant import Plant

LOWEST_PH = -1.0
HIGHEST_PH = 15.0
_ITERATIONS = 60


class PHNeutralisation(Plant):
    r"""An acid and a buffer stream are neutralised by a base stream in a stirred tank.

    State $x = (W_a, W_b, h)$: charge-related invariant (mol/l), carbonate invariant (mol/l), level (cm).
    Input: the base flow $q_3$ (ml/s). Disturbances: the acid flow $q_1$ and the buffer flow $q_2$ (ml/s).
    Output: the pH. With tank area $A$ (cm^2), valve coefficient $C_v$, exponent $n$ and outlet drop $z$ (cm)

    $$A h \dot W_a = \sum_i q_i (W_{a,i} - W_a), \quad A h \dot W_b = \sum_i q_i (W_{b,i} - W_b), \quad
      A \dot h = q_1 + q_2 + q_3 - C_v (h + z)^n$$

    and the pH is the root of `charge_balance`. The static gain varies about sixfold over the range of
    $q_3$: flat below 15 ml/s (0.3 to 0.4 pH per ml/s), steep between 16.2 and 17 (2 pH per ml/s).

    Source: Henson and Seborg, IEEE Trans. Control Systems Technology 2 (1994) 169; Hall and Seborg (1989).
    The published operating point (pH 7.0, h 14 cm) is rounded: these numbers rest at pH 7.03 and 13.96 cm.
    The data published with Bonassi et al. (CDC 2024) match `pk2=10.40` within their measurement noise.

    Example:
        >>> from attractor.control import PHNeutralisation, steady_state
        >>> state, output = steady_state(PHNeutralisation())
        >>> round(float(output[0]), 2)
        7.03
    """

    tank_area: float = 207.0
    valve_coefficient: float = 4.59
    valve_exponent: float = 0.607
    outlet_drop: float = 11.5
    pk1: float = 6.35
    pk2: float = 10.25
    charge_of_streams: tuple[float, float, float] = (3.0e-3, -3.0e-2, -3.05e-3)
    carbonate_of_streams: tuple[float, float, float] = (0.0, 3.0e-2, 5.0e-5)
    inputs: tuple[Signal, ...] = (Signal("q3", "ml/s"),)
    outputs: tuple[Signal, ...] = (Signal("pH"),)
    disturbances: tuple[Signal, ...] = (Signal("q1", "ml/s"), Signal("q2", "ml/s"))
    input_low: tuple[float, ...] = (12.5,)
    input_high: tuple[float, ...] = (17.0,)
    nominal_inputs: tuple[float, ...] = (15.6,)
    nominal_disturbances: tuple[float, ...] = (16.6, 0.55)
    sampling_time: float = 10.0
    settling_time: float = 350.0
    state_scale: tuple[float, ...] = (1e-4, 1e-4, 10.0)
    measurement_noise: tuple[float, ...] = (0.01,)

    def vector_field(
        self, time: ArrayLike, state: Float[Array, " states"], forcing: Float[Array, " forcing"]
    ) -> Float[Array, " states"]:
        """The two invariants mix, the level rises with what comes in and falls with the outflow."""
        del time
        charge, carbonate, level = state
        flows = _streams(forcing)
        volume = self.tank_area * level
        return jnp.stack([
            flows @ (jnp.asarray(self.charge_of_streams) - charge) / volume,
            flows @ (jnp.asarray(self.carbonate_of_streams) - carbonate) / volume,
            (flows.sum() - self.outflow(level)) / self.tank_area,
        ])

    def outflow(self, level: Float[Array, ""]) -> Float[Array, ""]:
        r"""Flow through the outlet valve, $C_v (h + z)^n$ in ml/s, at a level in cm."""
        return self.valve_coefficient * jnp.maximum(level + self.outlet_drop, 0.0) ** self.valve_exponent

    def measure(self, state: Float[Array, " states"]) -> Float[Array, " outputs"]:
        """The pH of the tank."""
        return ph_of(state[0], state[1], (self.pk1, self.pk2))[None]

    def possible(self, state: Float[Array, " states"], forcing: Float[Array, " forcing"]) -> Bool[Array, ""]:
        """Liquid in the tank, and no flow out of it through an inlet."""
        return (state[2] > 0) & (forcing >= 0).all()

    def equilibrium(self, forcing: Float[Array, " forcing"]) -> Float[Array, " states"]:
        r"""Flow-weighted means of the streams' invariants and $h = (\sum_i q_i / C_v)^{1/n} - z$."""
        flows = _streams(forcing)
        total = flows.sum()
        level = (total / self.valve_coefficient) ** (1.0 / self.valve_exponent) - self.outlet_drop
        charge = flows @ jnp.asarray(self.charge_of_streams) / total
        carbonate = flows @ jnp.asarray(self.carbonate_of_streams) / total
        return jnp.stack([charge, carbonate, level])


def charge_balance(ph: Array, charge: Array, carbonate: Array, pks: tuple[float, float]) -> Array:
    r"""Electroneutrality of the tank, in mol/l; strictly increasing in the pH, zero at the right one.

    $$W_a + 10^{pH - 14} - 10^{-pH} + W_b \frac{1 + 2 \cdot 10^{pH - pK_2}}
      {1 + 10^{pK_1 - pH} + 10^{pH - pK_2}}$$

    Args:
        ph: trial value.
        charge: $W_a$, mol/l.
        carbonate: $W_b$, mol/l.
        pks: $(pK_1, pK_2)$ of carbonic acid.

    Returns:
        The excess of positive charge, mol/l.
    """
    pk1, pk2 = pks
    second = 10.0 ** (ph - pk2)
    ions = (1.0 + 2.0 * second) / (1.0 + 10.0 ** (pk1 - ph) + second)
    return charge + 10.0 ** (ph - 14.0) - 10.0 ** (-ph) + carbonate * ions


def ph_of(charge: Array, carbonate: Array, pks: tuple[float, float]) -> Array:
    """The root of `charge_balance` between pH -1 and 15, by Newton steps that a bracket keeps in place.

    A Newton step that leaves the bracket is replaced by bisection. A last Newton step outside the loop
    carries the derivative with respect to both invariants (implicit function theorem).

    Args:
        charge: $W_a$, mol/l.
        carbonate: $W_b$, mol/l, not negative.
        pks: $(pK_1, pK_2)$ of carbonic acid.

    Returns:
        The pH, shape of the arguments.
    """
    fixed = jax.lax.stop_gradient((charge, carbonate))

    def balance(ph: Array) -> Array:
        return charge_balance(ph, *fixed, pks)

    root = jax.lax.stop_gradient(_bracketed_newton(balance, jnp.zeros_like(charge)))
    slope = jax.lax.stop_gradient(jax.jvp(balance, (root,), (jnp.ones_like(root),))[1])
    return root - charge_balance(root, charge, carbonate, pks) / slope


def _bracketed_newton(function: Callable[[Array], Array], like: Array) -> Array:
    """The root of an increasing function between `LOWEST_PH` and `HIGHEST_PH`."""

    def halve_or_step(_: ArrayLike, bracket: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        low, high, guess = bracket
        value, slope = jax.jvp(function, (guess,), (jnp.ones_like(guess),))
        low, high = jnp.where(value < 0, guess, low), jnp.where(value < 0, high, guess)
        newton = guess - value / slope
        inside = (newton > low) & (newton < high)
        return low, high, jnp.where(inside, newton, (low + high) / 2)

    start = (like + LOWEST_PH, like + HIGHEST_PH, like + 7.0)
    return jax.lax.fori_loop(0, _ITERATIONS, halve_or_step, start)[2]


def _streams(forcing: Float[Array, " forcing"]) -> Float[Array, "3"]:
    """Order of the forcing (q3, q1, q2) to the order of the streams (q1, q2, q3)."""
    return jnp.roll(forcing, -1)
