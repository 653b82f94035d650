"""What a query declares of a network, beside what its file holds."""

import numpy as np

from attractor.errors import InputDataError, UnsupportedError
from attractor.onnx_reader import OnnxFunction

from .query import NetworkDeclaration


def check_shapes(one: NetworkDeclaration, function: OnnxFunction) -> None:
    """See that a query and a file speak of the same network.

    Args:
        one: the network as the query declares it.
        function: the network of the file.

    Raises:
        InputDataError: another number of inputs or outputs, or other shapes.
        UnsupportedError: an input that holds no real numbers.
    """
    for kind, tensors, ports in (
        ("inputs", one.inputs, function.inputs),
        ("outputs", one.outputs, function.outputs),
    ):
        if len(tensors) != len(ports):
            raise InputDataError(
                f"network {one.name}: the query has {len(tensors)} {kind}, the file {len(ports)}"
            )
        for tensor, port in zip(tensors, ports, strict=True):
            if tensor.size != int(np.prod(port.shape, dtype=np.int64)):
                raise InputDataError(
                    f"network {one.name}: {tensor.name} has shape {tensor.shape}, '{port.name}' of the file "
                    f"{port.shape}"
                )
    for port in function.inputs:
        if port.dtype.kind != "f":
            raise UnsupportedError(
                f"network {one.name}: the input '{port.name}' holds no real numbers ({port.dtype})"
            )
