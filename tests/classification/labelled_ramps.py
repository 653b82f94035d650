"""Small labelled series with a known secret, and classifiers of them that tests share."""

from functools import cache

import numpy as np

from attractor.classification import SequenceClassifier
from attractor.data import Sequences

NAMES = ("up_x", "up_y", "noise")


def ramps(cases=24, steps=8, seed=0, missing=0.0):
    """Two classes: the first two variables rise or fall; the third is noise. Lengths differ."""
    rng = np.random.default_rng(seed)
    labels = np.arange(cases) % 2
    lengths = rng.integers(steps - 3, steps + 1, cases)
    lengths[0] = steps
    values = 0.3 * rng.standard_normal((cases, steps, 3))
    values[:, :, :2] += (np.linspace(0, 2, steps) * (2 * labels - 1)[:, None])[:, :, None]
    values[rng.random(values.shape) < missing] = np.nan
    values[np.arange(steps) >= lengths[:, None]] = np.nan
    return Sequences(values, lengths, NAMES, labels, ("fall", "rise"))


def classifier(**options):
    """A small recurrent classifier that trains for one epoch."""
    usual = {"cell": "tanh", "hidden_size": 3, "readout__convolutions": 0}
    usual |= {"training__epochs": 1, "training__batch_size": 8}
    return SequenceClassifier().set_params(**{**usual, **options})


@cache
def fitted(gaps=0.0, **options):
    """A classifier of `ramps(missing=gaps)`; the same options give the same object, so leave it as it is."""
    return classifier(**options).fit(ramps(missing=gaps))


def copied(model):
    """A fitted classifier that may be changed."""
    other = SequenceClassifier(**model.get_params(deep=False))
    vars(other).update(vars(model))
    return other
