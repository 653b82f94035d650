"""Certificates speak of the states from which a model really starts."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from attractor import unroll
from attractor.cells import GRU
from attractor.certify import CertifySettings, certify
from attractor.control.identification.plant_network import Encoder, PlantNetwork


def test_the_encoder_ends_inside_the_certified_box_whatever_it_sees():
    keys = jax.random.split(jax.random.key(0), 3)
    cell = jax.tree.map(lambda leaf: 0.5 * leaf if eqx.is_array(leaf) else leaf, GRU(1, 3, key=keys[0]))
    encoder = Encoder(2, 2, 3, width=4, key=keys[1])
    network = PlantNetwork(cell, None, encoder, feedthrough=True)
    low, high = network.starts
    samples = 10.0 ** np.random.default_rng(0).uniform(-2, 4, (500, 1, 1))
    drawn = samples * np.random.default_rng(1).normal(size=(500, 2, 2))
    states = np.asarray(jax.vmap(encoder)(jnp.asarray(drawn[..., :1]), jnp.asarray(drawn[..., 1:])))
    assert (low <= states).all()
    assert (states <= high).all()
    assert np.abs(states).max() > 1  # outside of the box that is certified without knowing the encoder
    settings = CertifySettings(levels=(1, 2), refute=False)
    plain, proof = (certify(cell, starts=starts, settings=settings) for starts in (None, network.starts))
    assert not all(plain.require().contains(state) for state in states)
    assert all(proof.require().contains(state) for state in states)


class Stamped(eqx.Module):
    """A GRU that counts its steps and carries a key on."""

    cell: GRU
    input_size: int = eqx.field(static=True, default=1)

    def initial_state(self):
        return {"steps": jnp.asarray(0), "h": self.cell.initial_state(), "key": jax.random.PRNGKey(7)}

    def exposed(self, state):
        return state["h"]

    def __call__(self, input, state):
        key = jax.random.split(state["key"])[0]
        return {"steps": state["steps"] + 1, "h": self.cell(input, state["h"]), "key": key}


def test_the_encoder_leaves_counters_and_keys_where_the_samples_left_them():
    cell = Stamped(GRU(1, 3, key=jax.random.key(0)))
    encoder = Encoder(4, 2, 3, width=4, key=jax.random.key(1))
    network = PlantNetwork(cell, None, encoder, feedthrough=True)
    inputs, outputs = jnp.ones((10, 1)), jnp.zeros((10, 1))
    state = network.start(inputs, outputs)
    ran = unroll(cell, inputs).last
    assert int(state["steps"]) == 10
    np.testing.assert_array_equal(state["key"], ran["key"])
    np.testing.assert_allclose(state["h"], encoder(inputs[-4:], outputs[-4:]), rtol=1e-6)
