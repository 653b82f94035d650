"""Searches in parts over processes: the same answers, and what the check refuses is not believed."""

import jax.numpy as jnp
import joblib
import numpy as np
import pytest

from attractor.certify.dual import spread
from attractor.certify.dual.clauses import of_clauses
from attractor.certify.dual.lowering import network_of
from attractor.certify.dual.network import Network
from attractor.certify.dual.search import Found
from attractor.certify.dual.spread import spread_search
from attractor.program import double_precision, trace

LOW, HIGH = np.full(3, -1.0), np.full(3, 1.0)
CLAUSES = of_clauses([[0]], 1)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(spread, "_PATIENCE", 0.0)


def waves(margin) -> Network:
    """A sum of products of waves, whose least value on the box is -2.65285, plus that and a margin."""

    def function(x):
        return (jnp.sin(5 * x) @ jnp.cos(4 * x[::-1]) + 2.65285 + margin)[None]

    with double_precision():
        return network_of(trace(function, jnp.zeros(3)))


def test_parts_on_two_processes_prove_what_one_proves():
    network = waves(0.4)
    alone = spread_search(network, LOW, HIGH, CLAUSES, seconds=60)
    with joblib.parallel_config(n_jobs=2):
        found = spread_search(network, LOW, HIGH, CLAUSES, seconds=60)
    assert alone.found is found.found is Found.ABSENT
    assert found.lower > 0
    assert found.left == 0
    assert found.attained >= found.lower


def test_an_input_that_a_part_finds_is_shown_to_the_check():
    network, asked = waves(-1.0), []

    def check(point):
        asked.append(point)
        return len(asked) > 1

    with joblib.parallel_config(n_jobs=2):
        found = spread_search(network, LOW, HIGH, CLAUSES, seconds=60, check=check)
    assert found.found is Found.PRESENT
    assert network.evaluate(found.point[None])[0, 0] <= 0
    assert np.array_equal(found.point, asked[-1])
    with joblib.parallel_config(n_jobs=2):
        refused = spread_search(network, LOW, HIGH, CLAUSES, seconds=3, check=lambda _: False)
    assert refused.found is Found.OPEN
    assert refused.point is None


def test_time_that_is_over_leaves_it_open_with_its_bracket():
    with joblib.parallel_config(n_jobs=2):
        found = spread_search(waves(1e-6), LOW, HIGH, CLAUSES, seconds=0.8)
    assert found.found is Found.OPEN
    assert found.lower <= found.attained


def test_parts_cover_the_box_once():
    parts = spread._parts(waves(0.0), LOW, HIGH, 16)
    assert len(parts) == 16
    assert np.isclose(sum(np.prod(high - low) for low, high in parts), 8.0)
    points = np.random.default_rng(0).uniform(LOW, HIGH, (200, 3))
    held = [((points >= low) & (points <= high)).all(axis=1) for low, high in parts]
    assert (np.sum(held, axis=0) >= 1).all()
