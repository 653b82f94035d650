"""An input that satisfies a query, put through the network by a runtime that is not ours."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from .query import NetworkDeclaration


def replayed(declared: NetworkDeclaration, file: Path, assignment: Mapping[str, np.ndarray]) -> str:
    """What onnxruntime makes of an input, beside what was found; in words.

    Args:
        declared: the network as the query names its tensors.
        file: of the network.
        assignment: all arrays of the query by name.

    Returns:
        A sentence; it says so where onnxruntime is not installed or does not run the network.
    """
    try:
        import onnxruntime
    except ImportError:
        return "not replayed: onnxruntime is not installed"
    try:
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        ports = {
            port.name: np.asarray(assignment[tensor.name], _TYPES[port.type]).reshape(
                assignment[tensor.name].shape
            )
            for port, tensor in _paired(session.get_inputs(), declared)
        }
        outputs = session.run(None, ports)
    except Exception as problem:  # noqa: BLE001 (whatever the runtime does not take)
        return f"not replayed: onnxruntime does not run it ({str(problem).splitlines()[0][:200]})"
    gaps = [
        np.abs(np.asarray(found, float).ravel() - np.asarray(assignment[tensor.name], float).ravel()).max(
            initial=0
        )
        for found, tensor in zip(outputs, declared.outputs, strict=False)
    ]
    return f"replayed in onnxruntime: its outputs differ by at most {max(gaps, default=0.0):.2g}"


_TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64}


def _paired(ports: Sequence, declared: NetworkDeclaration) -> list:
    names = {tensor.onnx_name: tensor for tensor in declared.inputs if tensor.onnx_name}
    if names:
        return [(port, names[port.name]) for port in ports]
    return list(zip(ports, declared.inputs, strict=True))
