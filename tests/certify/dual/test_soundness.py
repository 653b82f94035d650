"""A hundred thousand trials: random networks of all functions, random slopes, random inputs."""

import numpy as np
import pytest
from networks import KINDS, made

from attractor.certify.dual.relaxation import Region, lines_of, walk, wanted_of
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
