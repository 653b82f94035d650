"""Public networks in ONNX give what onnxruntime gives."""

from pathlib import Path

import numpy as np
import pytest

from attractor.onnx_reader import read_onnx

runtime = pytest.importorskip("onnxruntime")
_FOLDER = Path(__file__).parents[2].parent / "shared" / "data" / "vnncomp"
_FILES = sorted(_FOLDER.glob("*/*.onnx"))


@pytest.mark.skipif(not _FILES, reason="the public networks are not at ../shared/data/vnncomp")
def test_public_networks_give_what_onnxruntime_gives():
    generator = np.random.default_rng(0)
    for path in _FILES:
        function = read_onnx(path)
        inputs = [generator.uniform(-1, 1, port.shape).astype(port.dtype) for port in function.inputs]
        session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        named = {port.name: one for port, one in zip(function.inputs, inputs, strict=True)}
        for ours, theirs in zip(function(*inputs), session.run(None, named), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5 * (1 + np.abs(theirs).max()))
