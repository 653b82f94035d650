"""What a verdict says of itself: what stopped it, where a witness begins, and what was tried."""

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

import attractor
from attractor.certify import CertifySettings, StabilityResult, Verdict, certify
from attractor.certify.search import Witness
from attractor.certify.stability.certificate import Attempt


def test_a_witness_outside_of_the_given_starts_is_told_to_be_there():
    """1.5 x (1 - x) keeps (0.1, 0.9) to itself, and runs away from -0.5."""
    logistic = attractor.cell(lambda u, x: 1.5 * x * (1 - x), 0, jnp.full(1, 0.5))
    found = certify(logistic, starts=(0.1, 0.9), settings=CertifySettings(time_budget=20))
    assert found.verdict is Verdict.REFUTED
    assert "outside of the starts that were given: states within +-1 always count" in str(found)
    assert "they start at " in str(found)
    assert "there are no inputs" in str(found)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [(np.zeros((1, 2)), "the inputs stand still"), (np.zeros((3, 1)), "the inputs repeat every 3 steps")],
)
def test_the_inputs_of_a_witness_in_words(inputs, said):
    witness = Witness(np.ones(2), np.array([0.5, -1.0]), inputs, 2.0, 20_000)
    assert str(witness).endswith(f"they start at values from 1 to 1 and values from -1 to 0.5; {said}")


def test_the_picture_of_an_unknown_shows_what_was_tried():
    attempts = (Attempt(1, "no invariant box was found", float("nan"), 2.0), Attempt(-1, "none", 0.0, 1.0))
    unknown = StabilityResult(Verdict.UNKNOWN, None, None, attempts, 3.0, "No rung can go on.")
    assert "budget" not in str(unknown)
    assert "2 rungs tried" in str(unknown)
    _, axes = plt.subplots()
    unknown.plot(axes)
    assert len(axes.patches) == 2
    assert any("no invariant box was found" in text.get_text() for text in axes.texts)
    plt.close("all")
