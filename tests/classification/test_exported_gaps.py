"""The exported step of a classifier fills gaps as the model does, and says what it takes and gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor.cells import Elman
from attractor.classification.deployment import StreamCell, StreamedClassifier
from attractor.classification.sequence_network import NetworkPlan
from attractor.data import MISSING, FillState, channel_blocks
from attractor.errors import UnsupportedError
from attractor.export import check_parity, export
from attractor.export.flat_step import flat_step

OFFSET, SCALE = np.array([3.0, -1.0]), np.array([2.0, 0.5])
GAPS = [policy for policy in MISSING if policy not in ("error", "cell")]


def stream(policy, about=()):
    plan = NetworkPlan(
        Elman, hidden_size=3, layers=1, inputs=2 * channel_blocks(policy), classes=2, pooling="mean"
    )
    return StreamedClassifier(StreamCell(plan(jax.random.key(1)), OFFSET, SCALE, policy), 1.5, about)


def samples():
    draws = np.random.default_rng(2)
    rows = 3 * draws.standard_normal((12, 2))
    rows[draws.random(rows.shape) < 0.5] = np.nan
    rows[:2, 0] = np.nan  # nothing measured at first
    return rows


@pytest.mark.parametrize("policy", GAPS)
def test_an_exported_step_fills_gaps_as_a_stream_of_samples_is_filled(policy, tmp_path):
    source = stream(policy)
    [(path, difference)] = export(source, "numpy", tmp_path)
    assert difference < 1e-12
    names: dict = {}
    exec(path.read_text(), names)  # noqa: S102 (our own export)
    state, gaps = np.array(names["INITIAL_STATE"]), FillState.start(2)
    network = source.cell.network
    own = network.start()
    for row in samples():
        state = names["step"](row, state)
        channels, gaps = gaps.step((row - OFFSET) / SCALE, policy)
        logits, own = network.step(jnp.asarray(channels, jnp.float32), own)
        expected = np.exp(np.asarray(logits, float) / 1.5)
        np.testing.assert_allclose(names["read"](state), expected / expected.sum(), atol=1e-5)


def test_c_is_compared_where_values_are_missing():
    assert check_parity(stream("forward+mask+age"), targets=("c",), samples=200)["c"] < 1e-12


def test_casadi_is_refused_because_it_cannot_see_a_gap():
    with pytest.raises(UnsupportedError, match=r"missing values \(NaN\).*numpy, c or onnx"):
        check_parity(stream("zero"), targets=("casadi",))


def test_a_file_says_what_it_takes_and_gives(tmp_path):
    strange = ("u: acc [m/s^2], */ #include <evil>\n'''", "output: sitting, über")
    texts = [
        export(stream("forward", strange), target, tmp_path)[0][0].read_text() for target in ("numpy", "c")
    ]
    for text in texts:
        assert "u: acc [m/s^2], * / #include <evil> '''" in text.splitlines()[1]
        assert "output: sitting, \\xfcber" in text.splitlines()[2]
    assert "no -ffast-math" in texts[1]
    assert flat_step(stream("error")).about == ()
