"""A hundred thousand trials: random networks of all functions, random slopes, random inputs."""

import numpy as np
import pytest
from networks import KINDS, made

import attractor.certify.dual.attack as attacking
from attractor.certify.dual.attack import Attack
from attractor.certify.dual.clauses import of_clauses
from attractor.certify.dual.network import Affine, Network
from attractor.certify.dual.relaxation import Region, lines_of, walk, wanted_of
from attractor.certify.dual.search import Found, search
from attractor.certify.dual.tightening import tightened


@pytest.mark.slow
def test_no_input_of_a_hundred_thousand_trials_is_above_its_bound():
    generator = np.random.default_rng(11)
    trials = violations = 0
    while trials < 100_000:
        kinds = list(generator.choice(KINDS, 3))
        scale = float(generator.choice([0.3, 1.0, 2.0]))
        network = made([3, 5, 4, 4, 2], kinds, int(generator.integers(1 << 30)), scale)
        low = generator.uniform(-2, 2, (4, 3))
        high = low + generator.choice([0.0, 1e-3, 0.1, 1.0], (4, 1)) * generator.random((4, 3))
        region = Region(network, low.min(axis=0), high.max(axis=0))
        boxes, _, _ = tightened(region, low, high)
        rows = generator.normal(size=(3, 2))
        lines = []
        for index, box in enumerate(boxes):
            own = [tuple(2 * generator.normal(size=least.shape) for least, _ in box) for _ in range(2)]
            lines.append(lines_of(region, index, box, (own[0], own[1]) if generator.random() < 0.7 else None))
        wanted, constant = wanted_of(region, network.output, rows)
        most = walk(region, low, high, wanted, constant, lines).upper
        for piece in range(4):
            inputs = generator.uniform(low[piece], high[piece], (16, 3))
            inputs[:4] = np.where(generator.random((4, 3)) < 0.5, low[piece], high[piece])
            with np.errstate(all="ignore"):  # exponentials of exponentials leave the numbers of float64
                values = network.evaluate(inputs) @ rows.T
            values = values[np.isfinite(values).all(axis=-1)]
            slack = 1e-14 * (1 + np.abs(values))  # rounding of what is compared with
            violations += int((values > most[piece] + slack).sum())
            trials += values.size
    assert violations == 0


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_thousand_proofs_resist_an_attack_with_other_seeds(monkeypatch):
    """Thresholds just below what samples reach; the attack of the search is weak, the one after it is not."""
    monkeypatch.setattr(attacking, "_MOST", 64)
    monkeypatch.setattr(attacking, "_PLANS", ((2, 0.1, False),))
    generator = np.random.default_rng(3)
    proofs = violations = 0
    while proofs < 1_000:
        kinds = list(generator.choice(KINDS, 2))
        network = made(
            [2, 4, 3, 2], kinds, int(generator.integers(1 << 30)), float(generator.choice([0.5, 1.0]))
        )
        low = generator.uniform(-1, 1, 2)
        high = low + generator.choice([0.05, 0.3, 1.0]) * generator.random(2)
        inputs = generator.uniform(low, high, (400, 2))
        inputs[:4] = [[low[0], low[1]], [low[0], high[1]], [high[0], low[1]], [high[0], high[1]]]
        reached = network.evaluate(inputs).min(axis=0)
        by = generator.choice([1e-6, 1e-4, 1e-2]) * (1 + np.abs(reached)) - reached
        shifted = Network(2, network.nodes, Affine(network.output.terms, network.output.bias + by))
        clauses = of_clauses([[0], [0, 1]], 2, [False, True])
        if search(shifted, low, high, clauses, seconds=0.1, seed=proofs).found is not Found.ABSENT:
            continue
        proofs += 1
        attack = Attack(shifted, clauses, lambda _: True, low, high, np.random.default_rng(proofs + 10**6))
        violations += int(attack.descended(inputs[::20], 20, 0.1, False, np.inf))
    assert violations == 0
