"""Small labelled series: which of two sines a case is, of unequal lengths, some labels wrong."""

import numpy as np

from attractor.data import Sequences

CASES, VARIABLES = 48, 2


def waves(cases=CASES, seed=0, missing=0.0):
    """Cases of 8 to 14 steps; the class is the frequency of the first variable."""
    rng = np.random.default_rng(seed)
    names = np.array(["slow", "fast"])
    labels = names[np.arange(cases) % 2]
    series = [_wave(rng, label, missing) for label in labels]
    return Sequences.from_arrays(series, labels, ("wave", "noise"))


def _wave(rng, label, missing):
    steps = np.arange(rng.integers(8, 15))
    speed = 0.4 if label == "slow" else 1.6
    values = np.stack([np.sin(speed * steps + rng.uniform(0, 1)), rng.normal(size=len(steps))], axis=1)
    values[rng.random(values.shape) < missing] = np.nan
    return values
