"""A cell of your own: write the update equation once, then unroll it and identify a plant with it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import attractor
from attractor.training import TrainingSettings


class Leaky(attractor.Cell):
    weight: jax.Array
    decay: jax.Array
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(self, input_size, hidden_size, *, key):
        self.weight = jax.random.normal(key, (hidden_size, input_size + hidden_size + 1)) / hidden_size**0.5
        self.decay = jnp.linspace(-1.0, 3.0, hidden_size)
        self.input_size, self.hidden_size = input_size, hidden_size

    def __call__(self, input, state, *, key=None):
        keep, seen = jax.nn.sigmoid(self.decay), jnp.concatenate([input, state, jnp.ones(1)])
        return keep * state + (1 - keep) * jnp.tanh(self.weight @ seen)


def main():
    print("unrolled:", attractor.unroll(Leaky(1, 6, key=jax.random.key(0)), jnp.ones((50, 1))).states.shape)
    inputs = np.random.default_rng(0).uniform(-1, 1, (1500, 1)).repeat(4, axis=0)[:1500]
    outputs = np.zeros(1500)
    for step in range(1, 1500):
        outputs[step] = 0.9 * outputs[step - 1] + 0.1 * np.tanh(2 * inputs[step - 1, 0])
    model = attractor.PlantModel(cell=Leaky, hidden_size=6, window=60, training=TrainingSettings(steps=600))
    model.fit(inputs[:1200], outputs[:1200])
    print(f"FIT on unseen data: {model.score(inputs[1200:], outputs[1200:]):.1f} %")


if __name__ == "__main__":
    main()
