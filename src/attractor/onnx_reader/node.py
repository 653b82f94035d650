"""One operation of an ONNX graph, with attributes that nobody may overlook, and the table of rules."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar, cast

import jax
import numpy as np

from attractor.errors import UnsupportedError

# A value of the graph: known while reading, or traced.
Value: TypeAlias = np.ndarray | jax.Array
Attribute: TypeAlias = int | float | str | list[int] | list[float] | list[str] | np.ndarray
Kind = TypeVar("Kind")


@dataclass(eq=False)
class Node:
    """An operation.

    Args:
        operator: its name, "Gemm".
        name: of the node in the file, for messages.
        attributes: as the file has them.
        opset: version of the operators.
        results: how many outputs are named.
        seen: attributes that a rule has read.
    """

    operator: str
    name: str
    attributes: dict[str, Attribute]
    opset: int
    results: int
    seen: set[str] = field(default_factory=set)

    def get(self, name: str, default: Kind) -> Kind:
        """An attribute, or what it is where the file has none."""
        self.seen.add(name)
        return cast(Kind, self.attributes.get(name, default))

    def only(self, name: str, *allowed: object) -> None:
        """Refuse an attribute with any other value than those that are the same to a rule."""
        self.seen.add(name)
        if name in self.attributes and self.attributes[name] not in allowed:
            raise self.refused(f"attribute {name} = {self.attributes[name]}")

    def refused(self, what: str) -> UnsupportedError:
        """The error that names the operation."""
        return UnsupportedError(f"ONNX {self.operator} '{self.name}': {what} is not supported")

    def overlooked(self) -> None:
        """Refuse attributes that no rule has read.

        Raises:
            UnsupportedError: the file says something that would be ignored.
        """
        left = sorted(set(self.attributes) - self.seen)
        if left:
            raise self.refused(f"attribute {left[0]} = {self.attributes[left[0]]}")


Rule: TypeAlias = Callable[..., Value | list[Value]]

# Every operator that is read, by name.
OPERATORS: dict[str, Rule] = {}


def operator(*names: str) -> Callable[[Rule], Rule]:
    """Put a rule into the table."""

    def register(rule: Rule) -> Rule:
        OPERATORS.update(dict.fromkeys(names, rule))
        return rule

    return register


def known(value: Value | None) -> bool:
    """Whether a value is an array that does not depend on the input."""
    return isinstance(value, np.ndarray | np.generic)


def static(node: Node, value: Value | None, what: str) -> list[int]:
    """Whole numbers that must be known while the file is read."""
    if value is None or not known(value):
        raise node.refused(f"{what} that depends on the input")
    return [int(one) for one in np.ravel(np.asarray(value))]
