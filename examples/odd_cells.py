"""Five cells as people write them: complex numbers, a counter, a plain function, a mask, a dictionary.

Each one is checked, which prints the readings that it gets, and then read in one way.
"""

from tempfile import TemporaryDirectory

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import attractor
from attractor.certify import CertifySettings, certify
from attractor.dynamics import lyapunov_exponents
from attractor.export import check_parity, to_numpy
from attractor.training import TrainingSettings


class Diagonal(eqx.Module):
    """A linear recurrence of complex numbers, each with its own radius and angle."""

    log_rate: jax.Array
    angle: jax.Array
    weight: jax.Array
    input_size: int = eqx.field(static=True)

    def __init__(self, input_size, hidden_size, *, key):
        radius_key, angle_key, weight_key = jax.random.split(key, 3)
        radius = jax.random.uniform(radius_key, hidden_size, minval=0.7, maxval=0.95)
        self.log_rate = jnp.log(-jnp.log(radius))
        self.angle = jax.random.uniform(angle_key, hidden_size, maxval=3.0)
        self.weight = jax.random.normal(weight_key, (hidden_size, input_size)).astype(jnp.complex64)
        self.input_size = input_size

    def initial_state(self):
        return jnp.zeros(len(self.angle), jnp.complex64)

    def exposed(self, state):
        return jnp.concatenate([state.real, state.imag])

    def __call__(self, input, state):
        return jnp.exp(-jnp.exp(self.log_rate) + 1j * self.angle) * state + self.weight @ input


def complex_numbers():
    cell = Diagonal(1, 3, key=jax.random.key(0))
    print(attractor.check_cell(cell))
    found = lyapunov_exponents(cell, 300).per_step
    print("largest exponent:", f"{found[0]:.4f};", "from the radii:", f"{-jnp.exp(cell.log_rate).min():.4f}")


class Pulsed(eqx.Module):
    """Takes its input at every third step only: a whole number of the state counts."""

    decay: jax.Array = eqx.field(default_factory=lambda: jnp.asarray([0.9, 0.8]))
    input_size: int = eqx.field(static=True, default=1)

    def initial_state(self):
        return {"count": jnp.asarray(0), "level": jnp.zeros(2)}

    def exposed(self, state):
        return state["level"]

    def __call__(self, input, state):
        taken = jnp.where(state["count"] % 3 == 0, input, 0.0)
        return {"count": state["count"] + 1, "level": self.decay * state["level"] + taken}


def a_counter():
    report = attractor.check_cell(Pulsed())
    print("exponents:", report["Lyapunov exponents"].reason)
    print("no", report["certificates"].reason)
    print("largest exponent:", f"{lyapunov_exponents(Pulsed(), 300).per_step[0]:.4f}; log(0.9) = -0.1054")


def leaky(weights, input, state):
    keep = jax.nn.sigmoid(weights["decay"])
    return keep * state + (1 - keep) * jnp.tanh(weights["in"] @ input + weights["own"] @ state)


def a_plain_function():
    weights = {"decay": jnp.ones(4), "in": jnp.linspace(-1, 1, 4)[:, None], "own": 0.1 * jnp.eye(4)}
    cell = attractor.cell(leaky, 1, jnp.zeros(4), weights=weights)
    print("every reading:", attractor.check_cell(cell).complete)
    inputs = np.random.default_rng(0).uniform(-1, 1, (400, 1))
    outputs = np.convolve(inputs[:, 0], 0.3 * 0.7 ** np.arange(30))[:400]
    model = attractor.PlantModel(cell=cell, window=30, training=TrainingSettings(steps=100))
    model.fit(inputs[:300], outputs[:300])
    print(f"FIT after 100 steps of training: {model.score(inputs[300:], outputs[300:]):.1f} %")


class Masked(eqx.Module):
    """A recurrent matrix of which some entries stay zero: the mask is part of the cell, and no weight."""

    weight: jax.Array
    mask: attractor.cells.Constant
    input_size: int = eqx.field(static=True, default=1)

    def initial_state(self):
        return jnp.zeros(4)

    def __call__(self, input, state):
        return jnp.tanh((self.mask * self.weight) @ state + input)


def a_mask():
    cell = Masked(jnp.full((4, 4), 0.25), attractor.constant(np.tri(4)))
    print("training:", attractor.check_cell(cell)["training"].available)
    print("forgets its start:", certify(cell, settings=CertifySettings(refute=False)).verdict.name.lower())


class Pair(eqx.Module):
    """A memory and a gate in a dictionary; a read-out sees the memory."""

    weight: jax.Array
    input_size: int = eqx.field(static=True, default=2)

    def initial_state(self):
        return {"memory": jnp.zeros(2), "gate": jnp.zeros(())}

    def exposed(self, state):
        return state["memory"]

    def __call__(self, input, state):
        gate = jax.nn.sigmoid(self.weight @ state["memory"] + state["gate"] / 2)
        return {"memory": gate * state["memory"] + (1 - gate) * input, "gate": gate}


def a_dictionary():
    cell = Pair(jnp.asarray([0.5, -0.5]))
    print("a read-out sees", attractor.check_cell(cell).exposed_size, "numbers")
    print("difference of the exported step:", check_parity(cell, targets=["numpy"], samples=50)["numpy"])
    with TemporaryDirectory() as folder:
        path = to_numpy(cell, f"{folder}/step.py")
        print("lines of the exported file:", len(path.read_text().splitlines()))


if __name__ == "__main__":
    for show in (complex_numbers, a_counter, a_plain_function, a_mask, a_dictionary):
        print(f"\n{show.__name__.replace('_', ' ')}")
        show()
