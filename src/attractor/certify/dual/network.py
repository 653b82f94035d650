"""A network as bounds see it: affine functions of what came before, and nonlinear functions of them.

    z_j = sum_i L_ji v_i + b_j,    v_j = h_j(z_j),    v_0 = x,    y = sum_i L_i v_i + b.

This is the normal form of a program whose array operations have become vectors: additions, products with
constants, moves and sums are folded into the affine maps, so that what is left are the nonlinear functions,
each with its exact affine arguments. It is plain NumPy: a certificate holds it, a checker reads it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float

from .function import Boxes, Function
from .functions import FUNCTIONS
from .linear_maps import LinearMap, is_signed_choice, sparse_of


@dataclass(frozen=True, eq=False)
class Affine:
    """sum_i L_i v_i + b.

    Maps and constants that were folded together are rounded, and what cancels in them leaves less than its
    rounding. So every entry of L and b is known up to `roundings` units of the sum of the magnitudes that it
    was made of, which are kept beside it.

    Args:
        terms: linear maps by the number of the value that they read; 0 is the input of the network, j the
            result of its j-th node.
        bias: b, shape (size,).
        sizes: magnitudes that `terms` were made of, where they are more than those of the terms themselves.
        bias_size: the same of `bias`.
        roundings: units that folding may have cost; 0 for what is exact.
    """

    terms: Mapping[int, LinearMap]
    bias: Float[np.ndarray, " size"]
    sizes: Mapping[int, LinearMap] | None = None
    bias_size: Float[np.ndarray, " size"] | None = None
    roundings: int = 0

    @property
    def reach_terms(self) -> Mapping[int, LinearMap]:
        """Magnitudes of the maps, without what cancelled."""
        return (
            {source: one.magnitude for source, one in self.terms.items()}
            if self.sizes is None
            else self.sizes
        )

    @property
    def reach_bias(self) -> np.ndarray:
        """Magnitudes of the constants, without what cancelled."""
        return np.abs(self.bias) if self.bias_size is None else self.bias_size

    @cached_property
    def plain(self) -> bool:
        """Whether every entry is another entry of one value, up to its sign, and nothing else."""
        parts = list(self.terms.values())
        return (
            len(parts) == 1
            and not self.bias.any()
            and self.roundings == 0
            and is_signed_choice(parts[0], once=True)
        )

    def of(self, values: Sequence[np.ndarray | None]) -> np.ndarray:
        """Its values where all that it reads is known, a batch of rows each."""
        total = np.broadcast_to(self.bias, (*_known(values[0]).shape[:-1], len(self.bias)))
        for source, one in self.terms.items():
            total = one.apply(_known(values[source])) + total
        return total

    @cached_property
    def singles(self) -> list[tuple[np.ndarray, int, np.ndarray, np.ndarray]]:
        """Entries that are one entry of one value up to its sign: rows, the value, its entries, the signs."""
        if self.roundings:
            return []
        matrices = {source: sparse_of(part).tocsr() for source, part in self.terms.items()}
        for matrix in matrices.values():
            matrix.eliminate_zeros()
        counts = {source: np.diff(matrix.indptr) for source, matrix in matrices.items()}
        total = sum(counts.values(), np.zeros(len(self.bias), int))
        found = []
        for source, matrix in matrices.items():
            rows = np.flatnonzero((total == 1) & (counts[source] == 1))
            at = matrix.indptr[rows]
            plain = np.abs(matrix.data[at]) == 1.0
            found.append((rows[plain], source, matrix.indices[at][plain], matrix.data[at][plain]))
        return [one for one in found if len(one[0])]

    @property
    def finite(self) -> bool:
        """Whether all of its numbers are finite."""
        parts = [one.magnitude.apply(np.ones(one.shape[1])) for one in self.terms.values()]
        return all(bool(np.isfinite(part).all()) for part in [self.bias, *parts])

    @cached_property
    def terms_per_entry(self) -> int:
        """Roundings of one entry, forward and backward."""
        return sum(one.terms for one in self.terms.values()) + self.roundings + 2


@dataclass(frozen=True, eq=False)
class Node:
    """v = h(z), entry by entry, for one function and one or two affine arguments.

    Args:
        function: name in `attractor.certify.dual.functions.FUNCTIONS`.
        arguments: affine functions of earlier values, all of one size.
        parameters: of the function.
        what: where it comes from, for messages.
        safe: whether its arguments are known to be where the function is defined, as in log(1 + exp(z)).
    """

    function: str
    arguments: tuple[Affine, ...]
    parameters: tuple[float, ...] = ()
    what: str = field(default="", compare=False)
    safe: bool = field(default=False, compare=False)

    @cached_property
    def rule(self) -> Function:
        """What is known of h."""
        return FUNCTIONS[self.function](*self.parameters)

    @property
    def size(self) -> int:
        """Entries of its result."""
        return len(self.arguments[0].bias)


@dataclass(frozen=True, eq=False)
class Network:
    """The normal form.

    Args:
        inputs: length of x.
        nodes: in order; node k makes value k + 1.
        output: y.
    """

    inputs: int
    nodes: tuple[Node, ...]
    output: Affine

    @cached_property
    def partial(self) -> tuple[int, ...]:
        """Nodes whose functions are not defined everywhere, whether they are read or not."""
        return tuple(index for index, node in enumerate(self.nodes) if node.rule.partial and not node.safe)

    def defined(self, boxes: Sequence[Boxes]) -> np.ndarray:
        """Whether all of it is defined on each piece, by boxes of the arguments of all nodes.

        What is undefined somewhere is never proved, also where it would cancel or be chosen away: a number
        that does not exist is not equal to itself, and no comparison with it holds.
        """
        found = np.ones(1, bool)
        for index in self.partial:
            found = found & self.nodes[index].rule.defined(boxes[index]).all(axis=-1)
        return found

    @property
    def undefined(self) -> str | None:
        """Where a weight or constant is no finite number; None if all are."""
        for node in self.nodes:
            if not all(one.finite for one in node.arguments):
                return node.what or node.function
        return None if self.output.finite else "the output"

    @np.errstate(all="ignore")
    def evaluate(self, inputs: Float[np.ndarray, "rows inputs"]) -> Float[np.ndarray, "rows outputs"]:
        """The output for a batch of inputs."""
        return self.output.of(self.values(inputs))

    @np.errstate(all="ignore")
    def values(self, inputs: Float[np.ndarray, "rows inputs"]) -> list[np.ndarray]:
        """The input and the results of all nodes."""
        known: list[np.ndarray] = [inputs]
        for node in self.nodes:
            arguments = [one.of(known) for one in node.arguments]
            known.append(node.rule.value(tuple(arguments)))
        return known

    @np.errstate(all="ignore")
    def gradient(
        self, inputs: Float[np.ndarray, "rows inputs"], rows: Float[np.ndarray, "rows outputs"]
    ) -> Float[np.ndarray, "rows inputs"]:
        """Derivative of sum_k rows_k y_k at every input."""
        known = self.values(inputs)
        wanted: dict[int, np.ndarray] = {}
        _pass_back(self.output, rows, wanted)
        for index in range(len(self.nodes) - 1, -1, -1):
            own, node = wanted.pop(index + 1, None), self.nodes[index]
            if own is None:
                continue
            arguments = [one.of(known) for one in node.arguments]
            slopes = node.rule.gradient(tuple(arguments))
            for argument, slope in zip(node.arguments, slopes, strict=True):
                _pass_back(argument, own * slope, wanted)
        return wanted.get(0, np.zeros_like(inputs))


def _pass_back(one: Affine, rows: np.ndarray, wanted: dict[int, np.ndarray]) -> None:
    for source, part in one.terms.items():
        more = part.transposed(rows)
        wanted[source] = wanted[source] + more if source in wanted else more


def _known(values: np.ndarray | None) -> np.ndarray:
    if values is None:
        raise LookupError("a value is read before it is made")
    return values
