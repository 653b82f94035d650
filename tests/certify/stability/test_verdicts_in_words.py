"""What a verdict says of itself: what stopped it, where a witness begins, and what was tried."""

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

import attractor
from attractor.certify import CertifySettings, StabilityResult, Verdict, certify
from attractor.certify.search import Witness
from attractor.certify.stability.certificate import Attempt


def test_exactly_the_starts_that_are_given_are_judged():
    """2.5 x (1 - x) brings every start in (0.45, 0.7) to 0.6; 0 stays, and -0.5 escapes.

    States within +-1 always counted, so that nobody could ask about (0.45, 0.7) alone.
    """
    logistic = attractor.cell(lambda u, x: 2.5 * x * (1 - x), 0, jnp.full(1, 0.5))
    settings = CertifySettings(time_budget=20, levels=(1, 2))
    proof = certify(logistic, starts=(0.45, 0.7), settings=settings).require()
    assert proof.contains(np.array([0.45]))
    assert not proof.contains(np.array([0.0]))
    for starts in (None, (-0.5, 0.7)):
        found = certify(logistic, starts=starts, settings=settings)
        assert found.verdict is Verdict.REFUTED
        assert "they start at " in str(found)
        assert "there are no inputs" in str(found)


def test_a_witness_begins_in_the_starts_that_were_given():
    """x^3 escapes from beyond 1, and every box around its starts grows there; from (-0.5, 0.5) all meet."""
    cubic = attractor.cell(lambda u, x: x**3 + 0.0 * u, 1, jnp.zeros(1))
    settings = CertifySettings(time_budget=20, levels=(1, 2))
    for reach, verdict in ((0.5, Verdict.PROVED), (1.5, Verdict.REFUTED)):
        found = certify(cubic, starts=(-reach, reach), settings=settings)
        assert found.verdict is verdict
        if found.witness is not None:
            assert np.abs([found.witness.first, found.witness.second]).max() <= reach


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
