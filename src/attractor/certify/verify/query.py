"""A question about networks: their tensors, and a formula that a satisfying assignment fulfils."""

from dataclasses import dataclass
from math import prod
from typing import Literal

from .formula import Formula, Variable

Kind = Literal["input", "hidden", "output"]


@dataclass(frozen=True)
class Tensor:
    """A tensor of a network that a formula can speak of.

    Args:
        name: in the formula.
        shape: its sizes; empty for a scalar.
        dtype: type of its entries, in the words of VNN-LIB; `real` where the file asks for real numbers.
        kind: what it is to the network.
        onnx_name: its name in the ONNX file; None where the file goes by the order of the tensors.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    kind: Kind
    onnx_name: str | None = None

    @property
    def size(self) -> int:
        """How many entries it has."""
        return prod(self.shape)

    @property
    def variables(self) -> tuple[Variable, ...]:
        """Its entries, row by row."""
        return tuple(Variable(self.name, index) for index in range(self.size))


@dataclass(frozen=True)
class NetworkDeclaration:
    """A network as a query declares it.

    Args:
        name: of the network.
        inputs: its inputs, in the order of the ONNX file.
        hidden: tensors inside of it.
        outputs: its outputs, in the order of the ONNX file.
        equal_to: name of the network that this one is a second copy of.
        isomorphic_to: name of the network that this one has the architecture of, not the weights.
    """

    name: str
    inputs: tuple[Tensor, ...]
    hidden: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    equal_to: str | None = None
    isomorphic_to: str | None = None


@dataclass(frozen=True)
class Query:
    """What is asked about networks.

    Args:
        networks: the networks; their tensors have different names.
        formula: what a satisfying assignment looks like; for a property, what violates it.
        version: of VNN-LIB that it was written in.
    """

    networks: tuple[NetworkDeclaration, ...]
    formula: Formula
    version: str
