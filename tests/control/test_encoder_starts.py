"""Certificates speak of the states from which a model really starts."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from attractor import unroll
from attractor.cells import GRU
from attractor.certify import CertifySettings, certify
from attractor.control.identification.plant_network import Encoder, PlantNetwork


@eqx.filter_jit
def built(cell_key, encoder_key, past):
    """A GRU and an encoder of its state, from one program."""
    return GRU(1, 3, key=cell_key), Encoder(past, 2, 3, width=4, key=encoder_key)


def test_the_encoder_ends_inside_the_certified_box_whatever_it_sees():
    keys = jax.random.split(jax.random.key(0), 3)
    cell, encoder = built(keys[0], keys[1], 2)
    cell = jax.tree.map(lambda leaf: 0.5 * np.asarray(leaf) if eqx.is_array(leaf) else leaf, cell)
    cell = eqx.filter_jit(lambda same: same)(cell)
    network = PlantNetwork(cell, None, encoder, feedthrough=True)
    low, high = network.starts
    samples = 10.0 ** np.random.default_rng(0).uniform(-2, 4, (500, 1, 1))
    drawn = samples * np.random.default_rng(1).normal(size=(500, 2, 2))
    drawn = drawn.astype(np.float32)
    states = np.asarray(jax.jit(jax.vmap(encoder))(drawn[..., :1], drawn[..., 1:]))
    assert (low <= states).all()
    assert (states <= high).all()
    assert np.abs(states).max() > 1  # outside of the box that is certified without knowing the encoder
    settings = CertifySettings(levels=(1, 2), refute=False)
    plain, proof = (certify(cell, starts=starts, settings=settings) for starts in (None, network.starts))
    assert not all(plain.require().contains(state) for state in states)
    assert all(proof.require().contains(state) for state in states)
    assert proof.require().contains(np.ones(3))  # where a controller may begin
    assert proof.require().contains(np.asarray(cell.initial_state(), float))


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
    inner, encoder = built(jax.random.key(0), jax.random.key(1), 4)
    cell = Stamped(inner)
    network = PlantNetwork(cell, None, encoder, feedthrough=True)
    inputs, outputs = jax.device_put((np.ones((10, 1), np.float32), np.zeros((10, 1), np.float32)))
    state = eqx.filter_jit(network.start)(inputs, outputs)
    ran = unroll(cell, inputs).last
    assert int(state["steps"]) == 10
    np.testing.assert_array_equal(state["key"], ran["key"])
    np.testing.assert_allclose(state["h"], eqx.filter_jit(encoder)(inputs[-4:], outputs[-4:]), rtol=1e-6)
