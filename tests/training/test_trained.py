"""What a training says of itself."""

import numpy as np
import pytest

from attractor.training import Trained


def trained(validation, best):
    """A training with these validations of one replica, ten steps apart, that was best at one of them."""
    history = [
        {"step": 10 * (count + 1), "seconds": 0.0, "loss": [1.0], "validation": [value]}
        for count, value in enumerate(validation)
    ]
    return Trained(None, np.array([min(validation)]), np.array([10 * (best + 1)]), history, 0.0)


@pytest.mark.parametrize(
    ("validation", "best", "said"),
    [
        (np.linspace(1.0, 0.5, 40), 39, True),
        (1.0 / np.arange(1, 41) ** 0.01, 39, False),
        (np.abs(np.linspace(-1.0, 1.0, 41)) + 0.1, 20, False),
        (np.linspace(1.0, 0.5, 6), 5, False),
        (np.where(np.arange(40) % 2, np.nan, np.linspace(1.0, 0.5, 40)), 38, True),
    ],
)
def test_a_training_that_would_have_gone_on_learning_is_known(validation, best, said):
    assert trained(validation, best).still_falling == said
