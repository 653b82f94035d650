"""Quadratic certificates against closed forms, known orders between conditions, and runs."""

import importlib.util

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor.cells import GRU, EchoState, Elman, Linear, RecurrentEquilibrium
from attractor.certify import Verdict, certify
from attractor.certify.stability import lmi
from attractor.certify.stability.cell_metrics import cell_certificate
from attractor.certify.stability.lmi import (
    QuadraticSettings,
    QuadraticStatus,
    quadratic_certificate,
    search_metric,
    slope_system,
    solver_bytes,
    verified,
)
from attractor.errors import ConfigError, ShapeError, UnsupportedError

KEY = jax.random.key(0)
FEASIBLE = {"tolerance": 0.999}
"""Stops at the first rate that works: contraction or not."""


def gaussian(size, seed):
    """A random matrix of spectral norm one."""
    weight = np.random.default_rng(seed).standard_normal((size, size))
    return weight / np.linalg.norm(weight, 2)


def accepted_scale(weight, diagonal):
    """Largest multiple of a matrix with a certificate, to 1 %."""
    low, high = 0.5, 1.02 / np.max(np.abs(np.linalg.eigvals(weight)))
    settings = QuadraticSettings(diagonal=diagonal, **FEASIBLE)
    while high - low > 0.01:
        middle = 0.5 * (low + high)
        held = quadratic_certificate(middle * weight, settings=settings).certificate is not None
        low, high = (middle, high) if held else (low, middle)
    return low


def distance(metric, difference):
    return np.sqrt(np.einsum("ki,ij,kj->k", difference, metric, difference))


def random_pairs(size, inputs, count=5000):
    draw = np.random.default_rng(5)
    states = [draw.uniform(-1, 1, (count, size)) * 10.0 ** draw.integers(-2, 2, (count, 1)) for _ in "ab"]
    return (*states, *(draw.uniform(-3, 3, (count, inputs)) for _ in "ab"))


@pytest.mark.parametrize(
    ("weight", "leak", "slopes"),
    [
        (0.8, 1.0, (0.0, 1.0)),
        (0.9, 0.25, (0.0, 1.0)),
        (-3.0, 0.25, (0.0, 1.0)),
        (1.5, 0.5, (0.1, 0.5)),
        (-1.5, 1.0, (0.2, 0.6)),
    ],
)
def test_one_unit_contracts_at_its_steepest_slope(weight, leak, slopes):
    """x' = (1 - a) x + a s(w x) has a derivative that is linear in the slope: an end of the range decides."""
    expected = max(abs(1 - leak + leak * weight * slope) for slope in slopes)
    solution = quadratic_certificate([[weight]], leak, slopes)
    assert solution.status is QuadraticStatus.CERTIFIED
    assert expected <= solution.certificate.rate <= expected + 2e-3
    assert solution.residual <= 1e-3


def test_units_that_do_not_hear_each_other_contract_at_the_slowest():
    rate = quadratic_certificate(np.diag([0.3, -0.7, 0.5])).certificate.rate
    assert 0.7 <= rate <= 0.702


@pytest.mark.parametrize("leak", [1.0, 0.4])
def test_runs_approach_each_other_as_certified(leak):
    weight, inputs = 1.1 * gaussian(5, 1), np.random.default_rng(1).standard_normal((5, 2))
    found = quadratic_certificate(weight, leak, input_weight=inputs).certificate
    one, other, u, v = random_pairs(5, 2)

    def step(x, u):
        return (1 - leak) * x + leak * np.tanh(x @ weight.T + u @ inputs.T)

    before = distance(found.metric, one - other)
    assert np.all(distance(found.metric, step(one, u) - step(other, u)) <= found.rate * before * (1 + 1e-9))
    bound = found.rate * before + found.input_gain * np.linalg.norm(u - v, axis=1)
    assert np.all(distance(found.metric, step(one, u) - step(other, v)) <= bound * (1 + 1e-9))


@pytest.mark.parametrize("seed", range(3))
def test_a_full_metric_accepts_what_a_diagonal_one_and_the_norm_accept(seed):
    weight = gaussian(5, seed)
    diagonal, full = (accepted_scale(weight, kind) for kind in (True, False))
    # 0.01 is the width of the search.
    assert 0.99 <= diagonal <= full + 0.01
    assert full <= 1 / np.max(np.abs(np.linalg.eigvals(weight)))


@pytest.mark.slow
@pytest.mark.parametrize("size", [5, 10])
def test_random_matrices_are_accepted_up_to_the_known_scale(size):
    """Medians over Gaussian matrices, measured before by other programs: 1.36 to 1.49 and 1.17 to 1.20."""
    weights = [gaussian(size, 1000 + seed) for seed in range(40)]
    full, diagonal = (np.median([accepted_scale(w, kind) for w in weights]) for kind in (False, True))
    # The medians of 40 draws scatter by a few hundredths.
    assert 1.32 < full < 1.53
    assert 1.13 < diagonal < 1.24


@pytest.mark.parametrize("seed", range(4))
def test_what_is_unstable_is_never_accepted(seed):
    weight = gaussian(5, seed)
    weight *= 1.0001 / np.max(np.abs(np.linalg.eigvals(weight)))
    solution = quadratic_certificate(weight, settings=QuadraticSettings(**FEASIBLE))
    assert solution.certificate is None
    assert solution.status in {QuadraticStatus.NOT_FOUND, QuadraticStatus.NOT_VERIFIED}


def test_narrower_slopes_never_certify_less():
    weight = 1.1 * gaussian(5, 1)
    wide, narrow = (quadratic_certificate(weight, slopes=(0.0, top)).certificate for top in (1.0, 0.8))
    assert narrow.rate < wide.rate
    steep = quadratic_certificate(2 * weight, slopes=(np.full(5, 0.1), np.full(5, 0.5))).certificate
    assert steep.rate < 1


def test_the_margin_is_below_the_smallest_eigenvalue_in_more_digits():
    system = slope_system(Elman(2, 4, key=KEY))
    found = search_metric(system, QuadraticSettings(tolerance=0.05)).certificate
    long = np.longdouble
    metric, multipliers = found.metric.astype(long), np.diag(found.multipliers.astype(long))
    weight = system.sensing.astype(long)
    # For A = 0, B = I, slopes in [0, 1]: rate^2 d'Pd - q'Pq - q'L(Wd - q).
    cross = -0.5 * multipliers @ weight
    matrix = np.block([[long(found.rate) ** 2 * metric, cross.T], [cross, multipliers - metric]])
    assert 0 < found.margin < np.linalg.eigvalsh(matrix.astype(float))[0]


def test_a_proposal_that_does_not_hold_is_refused():
    system = slope_system(Elman(2, 4, key=KEY))
    found = search_metric(system, QuadraticSettings()).certificate
    metric, multipliers = found.metric, found.multipliers
    assert verified(system, metric, multipliers, found.rate) is not None
    assert verified(system, metric, multipliers, found.rate - 0.01) is None
    assert verified(system, -metric, multipliers, found.rate) is None
    assert verified(system, metric, -multipliers, found.rate) is None
    assert verified(system, metric * np.nan, multipliers, found.rate) is None
    assert verified(system, np.ones((4, 4)), multipliers, found.rate) is None


def test_rounding_errors_are_no_margin():
    """At the exact rate of x' = w x / 2 + s(w x / 2) the inequality holds with equality only."""
    system = slope_system(Elman(1, 1, key=KEY))
    weight = float(system.sensing[0, 0])
    exact = verified(system, np.array([[1.0]]), np.array([2.0]), abs(weight))
    assert exact is None
    assert verified(system, np.array([[1.0]]), np.array([2.0]), abs(weight) + 1e-9) is not None


def test_the_cells_of_the_house_are_read_right():
    reservoir = EchoState(2, 6, norm=0.9, leak=0.5, density=0.5, key=KEY)
    solution = cell_certificate(reservoir)
    assert solution.certificate.rate <= 0.5 + 0.5 * 0.9 + 1e-3
    assert solution.certificate.input_gain > 0
    elman = Elman(2, 3, key=KEY)
    own, same = cell_certificate(elman), quadratic_certificate(elman.state_weight)
    assert own.certificate.rate == pytest.approx(same.certificate.rate, abs=1e-3)
    with pytest.raises(UnsupportedError, match="GRU is no linear loop"):
        cell_certificate(GRU(2, 3, key=KEY))


@pytest.mark.parametrize("rate", [1.0, 0.9])
def test_a_recurrent_equilibrium_network_brings_its_certificate(rate, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)  # no solver is asked
    cell = RecurrentEquilibrium(2, 3, rate=rate, key=KEY)
    solution = cell_certificate(cell)
    found = solution.certificate
    assert solution.status is QuadraticStatus.CERTIFIED
    assert found.rate <= rate
    assert solution.problems == 0
    one, other, u, v = random_pairs(3, 2, 1000)
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: leaf.astype("float64"), cell)
        step = jax.jit(jax.vmap(lambda u, x: wide(u, x)))
        moved, apart = np.asarray(step(u, one)), np.asarray(step(v, other))
        same = np.asarray(step(u, other))
    before = distance(found.metric, one - other)
    assert np.all(distance(found.metric, moved - same) <= found.rate * before * (1 + 1e-9))
    bound = found.rate * before + found.input_gain * np.linalg.norm(u - v, axis=1)
    assert np.all(distance(found.metric, moved - apart) <= bound * (1 + 1e-9))


def test_a_search_finds_no_slower_rate_than_the_networks_own():
    cell = RecurrentEquilibrium(2, 3, key=KEY)
    searched = search_metric(slope_system(cell), QuadraticSettings()).certificate
    assert searched.rate <= cell_certificate(cell).certificate.rate + 1e-3


def test_without_a_solver_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UnsupportedError, match=r"pip install attractor\[lmi\]"):
        quadratic_certificate([[0.5]])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([[0.5, 0.1]],), ShapeError, r"weight of shape \(1, 2\)"),
        (([[0.5]], 0.0), ConfigError, "leak=0.0"),
        (([[0.5]], 1.0, (0.5, 0.1)), ConfigError, "slopes"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        quadratic_certificate(*arguments)
    with pytest.raises(ConfigError, match="tolerance=0"):
        QuadraticSettings(tolerance=0.0)


def test_a_program_beyond_the_memory_is_refused_where_the_process_would_die(monkeypatch):
    """The allocation that aborted a process for 256 units had exactly this many bytes."""
    assert solver_bytes(512) == 137_976_348_672
    monkeypatch.setattr(lmi, "_memory", lambda: 24e9)
    with pytest.raises(
        UnsupportedError, match=r"512 rows, which takes 138 GB of memory; this machine has 24"
    ):
        cell_certificate(Elman(1, 256, key=KEY))
    assert cell_certificate(Elman(1, 2, key=KEY)).status is not None


@pytest.mark.parametrize("radius", [0.5, 0.95, 0.999, 1.0, 1.2])
@pytest.mark.parametrize("seed", range(3))
def test_a_linear_cell_is_certified_exactly_where_it_forgets(radius, seed):
    """Distances grow before they fall; attacked in the norm of the proof by the worst difference."""
    draw = np.random.default_rng(seed)
    drawn = np.triu(draw.normal(size=(6, 6)))
    drawn *= radius / np.abs(np.diag(drawn)).max()
    cell = Linear(2, 6, key=jax.random.key(seed))
    cell = eqx.tree_at(lambda c: c.transition, cell, jnp.asarray(drawn, jnp.float32))
    found = cell_certificate(cell)
    kept = np.asarray(cell.transition, float)
    exact = np.abs(np.linalg.eigvals(kept)).max()
    assert (found.certificate is not None) == (exact < 1)
    if found.certificate is None:
        return
    proof = found.certificate
    root = np.linalg.cholesky(proof.metric).T
    worst = np.linalg.norm(root @ kept @ np.linalg.inv(root), 2)
    assert exact <= worst <= proof.rate + 1e-9 < 1
    gain = np.asarray(cell.input_weight, float)
    assert np.linalg.norm(root @ gain, 2) <= proof.input_gain


def test_a_linear_model_of_a_plant_is_proved_to_forget():
    cell = Linear(1, 2, key=jax.random.key(0))
    turn = 0.95 * np.array([[np.cos(0.5), -np.sin(0.5)], [np.sin(0.5), np.cos(0.5)]])
    cell = eqx.tree_at(lambda c: c.transition, cell, jnp.asarray(turn, jnp.float32))
    found = certify(cell)
    assert found.verdict is Verdict.PROVED
    assert 0.95 < found.certificate.rate < 0.96
