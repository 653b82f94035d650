"""What does a cell of your own do? Its exponents, fixed points, and a start in a chosen regime."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import attractor
from attractor.cells import LSTM
from attractor.dynamics import LyapunovSettings, fixed_points, lyapunov_exponents
from attractor.theory.regimes import initialise


class Pair(attractor.Cell):
    weight: jax.Array
    input_size: int = eqx.field(static=True, default=1)
    hidden_size: int = eqx.field(static=True, default=2)

    def __call__(self, input, state, *, key=None):
        return jnp.tanh(self.weight @ state + input)


def main():
    switch = Pair(jnp.array([[1.5, -0.2], [0.1, 1.4]]))
    inputs = 0.1 * np.random.default_rng(0).normal(size=(1000, 1))
    found = lyapunov_exponents(switch, inputs, settings=LyapunovSettings(count="all"))
    low, high = found.interval()
    for value, ends in zip(found.per_step, zip(low, high, strict=True), strict=True):
        print(f"exponent {value:.3f} a step, 95 % interval {ends[0]:.3f} to {ends[1]:.3f}")
    print(fixed_points(switch))
    lstm = initialise(LSTM(1, 32, key=jax.random.key(0)), "contracting", (2.0, 50.0), key=jax.random.key(1))
    print(lstm.status, f"slowest mode at rest: {lstm.measured.slowest_time:.0f} steps")


if __name__ == "__main__":
    main()
