"""The study of regimes, tiny: its tasks are what they say, and its rows come out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor.theory.regimes import effective_parameters
from experiments.regimes import (
    ALPHABET,
    STARTS,
    Row,
    StudySettings,
    adding,
    copying,
    problem_of,
    reproduce,
    started,
    table_of,
)

KEY = jax.random.key(0)


def test_copying_shows_symbols_then_silence_then_the_signal():
    shown, targets = copying(delay=5, symbols=2).draw(KEY, 3)
    assert shown.shape == (3, 9, ALPHABET + 2)
    channels = np.asarray(shown.argmax(axis=-1))
    assert np.array_equal(channels[:, :2], targets)
    assert np.all(channels[:, 2:7] == ALPHABET)
    assert np.all(channels[:, 7] == ALPHABET + 1)  # the first step of the recall
    assert np.all(channels[:, 8] == ALPHABET)


@pytest.mark.slow
def test_a_network_without_memory_is_twice_the_threshold_away_in_copying():
    problem = copying(delay=5, symbols=2)
    _, targets = problem.draw(KEY, 50)
    blind = problem.loss(jnp.zeros((50, 2, ALPHABET)), targets)
    assert float(blind) == pytest.approx(2 * problem.threshold, rel=1e-6)


def test_adding_asks_for_the_sum_of_the_marked_numbers():
    problem = adding(20)
    inputs, targets = problem.draw(KEY, 400)
    marks = np.asarray(inputs[..., 1])
    assert np.all(marks[:, :10].sum(axis=1) == 1)
    assert np.all(marks[:, 10:].sum(axis=1) == 1)
    assert np.allclose((np.asarray(inputs[..., 0]) * marks).sum(axis=1), targets, atol=1e-6)
    mean = jnp.full((400, 1, 1), targets.mean())
    assert float(problem.loss(mean, targets)) == pytest.approx(1 / 6, rel=0.2)  # two variances of 1/12


def test_starts_are_what_they_are_called():
    settings = StudySettings(delay=200)
    problem = problem_of("adding", settings)
    gains = {}
    for name in STARTS:
        cell = started(name, "lstm", problem, settings, KEY).cell
        gains[name] = effective_parameters(cell)
    assert np.all(np.asarray(gains["torch"].couplings["keep"].bias) == 0)
    assert gains["torch"].candidate_gain == pytest.approx(3**-0.5, rel=0.1)
    assert gains["contracting"].candidate_gain == pytest.approx(1, rel=0.1)
    assert gains["edge"].candidate_gain == pytest.approx(2, rel=0.1)
    longest = {name: 1 + np.exp(gains[name].couplings["keep"].bias.max()) for name in STARTS}
    assert longest["integrator"] == pytest.approx(200, rel=1e-3)
    assert longest["library, long"] == pytest.approx(200, rel=1e-3)
    assert longest["library"] == pytest.approx(20, rel=1e-3)


@pytest.mark.slow
def test_the_study_trains_every_start():
    settings = StudySettings(
        delay=24,
        symbols=1,
        hidden_size=4,
        batch_size=4,
        steps=4,
        settling_steps=2,
        check_every=2,
        seeds=2,
        starts=STARTS[-3:],
    )
    rows = list(reproduce(settings, ("adding",), ("gru",)))
    assert [row.start for row in rows] == ["contracting, long", "edge", "integrator"]
    assert all(len(row.reached) == len(row.losses) == 2 for row in rows)
    assert all(row.rate in settings.rates for row in rows)
    assert len({row.losses for row in rows}) == len(rows)
    assert table_of(rows).row_count == len(rows)


def test_failures_count_as_the_limit():
    row = Row("adding", "gru", "edge", 1e-2, 100, (50, None), (0.01, 0.2), 1.0)
    assert (row.failures, row.mean, row.spread) == (1, 75.0, 25.0)
