"""Certificates speak of the states from which a model really starts."""

import jax
import jax.numpy as jnp
import numpy as np

from attractor.cells import GRU
from attractor.certify import CertifySettings, certify
from attractor.control.identification.network import Encoder, PlantNetwork


def test_the_encoder_ends_inside_the_certified_box_whatever_it_sees():
    keys = jax.random.split(jax.random.key(0), 3)
    cell = GRU(1, 3, key=keys[0])
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
