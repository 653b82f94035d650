"""What can be asked of a function, as small objects: each says itself as a sentence and becomes an excess.

An excess is a vector of quantities of which none may be above zero, see `attractor.certify.verify.prove`.
Ends count as inside: an output that lies exactly on the edge of its band is in it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import ArrayLike

from attractor.errors import ConfigError, ShapeError

from .proof import Answer, Excess, Proof, belongs, input_set, is_above, joined, prove, proved, violates
from .sets import Box, InputSet, Part

Function: TypeAlias = Callable[[Array], Array]
Numbers: TypeAlias = ArrayLike | float | int


class Specification(ABC):
    """A property of a function of one array, for every input of a set."""

    @abstractmethod
    def excess(self, function: Function) -> Excess:
        """Quantities of an input that must not be above zero.

        Args:
            function: whose outputs are meant; they are taken row by row.
        """

    @abstractmethod
    def __str__(self) -> str:
        """The property in words."""

    def check(self, function: Function, like: np.ndarray) -> None:
        """Refuse a function that this cannot be asked of.

        Args:
            function: that is asked about.
            like: an input.
        """
        del function, like

    @property
    def of_changes(self) -> bool:
        """Whether it is asked by slopes, so that a violation is to be seen by differences."""
        return False

    def violation_at(
        self, function: Function, inputs: np.ndarray, low: np.ndarray, high: np.ndarray
    ) -> np.ndarray | None:
        """Inputs that show at an input that this does not hold, in float64, one a row; None if it may.

        Args:
            function: that is asked about.
            inputs: where a violation is suspected.
            low: least inputs.
            high: largest ones.
        """
        del low, high
        return inputs[None] if is_above(self.excess(function), inputs) else None

    def __and__(self, other: "Specification") -> "AllOf":
        return AllOf((self, other))

    def __or__(self, other: "Specification") -> "OneOf":
        return OneOf((self, other))


def decide(  # noqa: PLR0913 (what, of what, where, and the limits of `prove`)
    function: Function,
    specification: Specification,
    low: ArrayLike | InputSet,
    high: ArrayLike | None = None,
    *,
    seconds: float | int = 60,
    seed: int = 0,
    certificate: Path | str | None = None,
) -> Proof:
    """Decide whether a function has a property for all inputs between two arrays, or of another set.

    Args:
        function: of one array; anything that JAX can trace.
        specification: the property.
        low: least inputs, of the shape that the function takes; or a set of inputs, see
            `attractor.certify.verify.sets`.
        high: largest ones; None with a set.
        seconds: when to stop; what is known by then is returned.
        seed: of the attack.
        certificate: the file to write the proof to, see `prove`.

    Raises:
        InputDataError: ends or weights that are no finite numbers, a lower end above the upper one, or a set
            that is empty.
        ShapeError: the specification does not fit the outputs.
        ConfigError: a specification that asks for nothing, or for slopes on a set that may leave out what
            lies between two of its inputs.
        UnsupportedError: an operation that bounds have no rule for, or a property of slopes of a function
            that may jump.

    Example:
        >>> import jax.numpy as jnp
        >>> found = decide(jnp.tanh, InBand(low=-1.0, high=0.97), [-2.0], [2.0])
        >>> found.answer.name
        'HOLDS'
    """
    inputs = input_set(low, high)
    moving, like = function, inputs.part()
    if isinstance(inputs, Box):
        moving = _of_moving(function, like.low, like.low < like.high)
    specification.check(moving, like.input_of(like.low))
    if specification.of_changes and not inputs.takes_slopes:
        raise ConfigError(
            f"{specification}: a slope tells nothing of two inputs where the set, {type(inputs).__name__}, "
            "may leave out what lies between them; ask on a Box, a Ball or a Polytope"
        )
    excess, limits = specification.excess(moving), {"seconds": seconds, "seed": seed}
    if not specification.of_changes:
        return prove(excess, inputs, **limits, certificate=certificate)
    shown: list[np.ndarray] = []

    def seen(part: Part, own: Excess, parameters: np.ndarray) -> bool:
        if not violates(part, own, parameters):
            return False
        found = specification.violation_at(moving, parameters, part.low, part.high)
        if found is None or not all(belongs(part, one) for one in found):
            return False
        shown.append(found)
        return True

    proof = proved(excess, inputs, seen, **limits, certificate=certificate)
    return replace(proof, shown_by=shown[-1]) if proof.answer is Answer.VIOLATED else proof


def _of_moving(function: Function, fixed: np.ndarray, moves: np.ndarray) -> Function:
    """The function of the inputs that have a range; how it would change with the others is not asked."""
    if moves.all():
        return function
    return lambda inputs: function(jnp.where(jnp.asarray(moves), inputs, jnp.asarray(fixed, inputs.dtype)))


def flat_outputs(function: Function, inputs: Array) -> Array:
    """The outputs of a function, row by row; of several arrays one after the other."""
    return joined(function(inputs))


def _numbers(value: Numbers) -> np.ndarray:
    return np.asarray(value, np.float64)


def _beside(outputs: Array, given: Numbers, what: str) -> Array:
    """Numbers that are given, one for all outputs or one for each, in the type of the outputs."""
    numbers = _numbers(given).ravel()
    if len(numbers) not in (1, outputs.shape[0]):
        raise ShapeError(f"{len(numbers)} numbers as {what} of {outputs.shape[0]} outputs; give one for each")
    return jnp.broadcast_to(jnp.asarray(numbers, outputs.dtype), outputs.shape)


def _said(value: Numbers) -> str:
    numbers = _numbers(value).ravel()
    shown = [f"{number:.6g}" for number in numbers[:4]]
    return shown[0] if len(numbers) == 1 else f"({', '.join(shown)}{', ...' * (len(numbers) > 4)})"


@dataclass(frozen=True, eq=False)
class InBand(Specification):
    """Outputs stay between two ends.

    Args:
        low: one for all outputs or one for each; None for no lower end.
        high: likewise.
        outputs: which outputs are meant; all if empty.

    Raises:
        ConfigError: a band without ends, or with ends that no number lies between.
    """

    low: Numbers | None = None
    high: Numbers | None = None
    outputs: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        ends = [_numbers(end) for end in (self.low, self.high) if end is not None]
        if not ends or any(np.isnan(end).any() for end in ends):
            raise ConfigError("a band needs a lower end, an upper end, or both, and each a number")
        if len(ends) == 2 and (ends[0] > ends[1]).any():
            raise ConfigError(f"the band from {_said(ends[0])} to {_said(ends[1])} is empty; swap its ends")

    def excess(self, function: Function) -> Excess:
        """How far outputs are above the upper end and below the lower one."""

        def quantities(inputs: Array) -> Array:
            values = flat_outputs(function, inputs)
            values = values[jnp.asarray(self.outputs)] if self.outputs else values
            parts = [] if self.high is None else [values - _beside(values, self.high, "upper ends")]
            parts += [] if self.low is None else [_beside(values, self.low, "lower ends") - values]
            return jnp.concatenate(parts)

        return quantities

    def __str__(self) -> str:
        """The band."""
        who = f"outputs {', '.join(map(str, self.outputs))} stay" if self.outputs else "every output stays"
        if self.low is None or self.high is None:
            side, end = ("below", self.high) if self.low is None else ("above", self.low)
            return f"{who} {side} {_said(end)}" if end is not None else who
        return f"{who} between {_said(self.low)} and {_said(self.high)}"


@dataclass(frozen=True, eq=False)
class NearReference(Specification):
    """Outputs stay near given values.

    Args:
        reference: of all outputs.
        distance: how far any of them may be.

    Raises:
        ConfigError: a negative distance.
    """

    reference: Numbers
    distance: float | int

    def __post_init__(self) -> None:
        if not self.distance >= 0:
            raise ConfigError(f"distance={self.distance}: expected a number of at least 0")

    def excess(self, function: Function) -> Excess:
        """How much further than that they are."""

        def quantities(inputs: Array) -> Array:
            values = flat_outputs(function, inputs)
            away = values - _beside(values, self.reference, "reference")
            return jnp.concatenate([away, -away]) - self.distance

        return quantities

    def __str__(self) -> str:
        """The distance."""
        return f"no output is further than {self.distance:.6g} from {_said(self.reference)}"


@dataclass(frozen=True)
class Leads(Specification):
    """One output is above all others: a classifier keeps its class.

    Args:
        index: of that output.
        margin: by how much; with 0 a tie counts as leading.
        over: the outputs that it is compared with; all others if empty.
    """

    index: int
    margin: float | int = 0.0
    over: tuple[int, ...] = ()

    def excess(self, function: Function) -> Excess:
        """Every other output less this one, and the margin."""

        def quantities(inputs: Array) -> Array:
            values = flat_outputs(function, inputs)
            others = _others(values.shape[0], self.index, self.over)
            return values[jnp.asarray(others)] - values[self.index] + self.margin

        return quantities

    def __str__(self) -> str:
        """Who leads."""
        others = f"of the outputs {', '.join(map(str, self.over))}" if self.over else "other output"
        if self.margin:
            whom = f"each {others}" if self.over else f"every {others}"
            return f"output {self.index} is above {whom} by at least {self.margin:.6g}"
        return f"no {others} is above output {self.index}".replace("no of", "none of")


def _others(count: int, index: int, over: tuple[int, ...] = ()) -> list[int]:
    others = list(over) or [other for other in range(count) if other != index]
    wrong = [one for one in (index, *others) if not 0 <= one < count]
    if wrong or not others or index in others:
        raise ShapeError(f"output {(wrong or [index])[0]} of {count}; count from 0, and name another than it")
    return others


@dataclass(frozen=True)
class AmongTop(Specification):
    """One output is among the largest.

    Args:
        index: of that output.
        count: how many are the largest; a tie counts for it.

    Raises:
        ConfigError: none of them.
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ConfigError(f"count={self.count}: among the largest there is at least one")

    def excess(self, function: Function) -> Excess:
        """The largest but `count - 1` of all others, less this one."""

        def quantities(inputs: Array) -> Array:
            values = flat_outputs(function, inputs)
            others = _others(values.shape[0], self.index)
            if self.count > len(others):
                return jnp.full(1, -1.0, values.dtype) + 0 * values[:1]
            left = [values[other] - values[self.index] for other in others]
            for _ in range(self.count - 1):
                left = _bubbled(left)[:-1]
            return _bubbled(left)[-1][None]

        return quantities

    def __str__(self) -> str:
        """How far up it is."""
        return f"output {self.index} is among the {self.count} largest"


def _bubbled(values: list[Array]) -> list[Array]:
    """The same numbers, the largest last: sorting as bounds can follow it."""
    rest, largest = [], values[0]
    for value in values[1:]:
        rest.append(jnp.minimum(largest, value))
        largest = jnp.maximum(largest, value)
    return [*rest, largest]


@dataclass(frozen=True, eq=False)
class LinearRelation(Specification):
    """A y <= b, for a matrix A and a vector b.

    Args:
        matrix: A, shape (relations, outputs); a vector is one relation.
        most: b, shape (relations,), or one number for all.
    """

    matrix: Numbers
    most: Numbers = 0.0

    def excess(self, function: Function) -> Excess:
        """A y - b."""
        matrix = np.atleast_2d(_numbers(self.matrix))

        def quantities(inputs: Array) -> Array:
            values = flat_outputs(function, inputs)
            if matrix.shape[1] != values.shape[0]:
                raise ShapeError(f"a relation between {matrix.shape[1]} outputs, there are {values.shape[0]}")
            sums = jnp.asarray(matrix, values.dtype) @ values
            return sums - _beside(sums, self.most, "right sides")

        return quantities

    def __str__(self) -> str:
        """The relation."""
        matrix = np.atleast_2d(_numbers(self.matrix))
        if len(matrix) > 1:
            return f"{len(matrix)} linear relations of the outputs hold"
        terms = [f"{weight:+.4g} y{index}" for index, weight in enumerate(matrix[0]) if weight]
        return f"{' '.join(terms) or '0'} is at most {_said(self.most)}"


@dataclass(frozen=True, eq=False)
class SameAs(Specification):
    """Two functions give the same within a tolerance: a network and its rounded copy.

    Args:
        other: of the same inputs.
        tolerance: the largest difference of any output.

    Raises:
        ConfigError: a negative tolerance.
    """

    other: Function
    tolerance: float | int

    def __post_init__(self) -> None:
        if not self.tolerance >= 0:
            raise ConfigError(f"tolerance={self.tolerance}: expected a number of at least 0")

    def excess(self, function: Function) -> Excess:
        """The differences, both ways, less the tolerance."""

        def quantities(inputs: Array) -> Array:
            values, others = flat_outputs(function, inputs), flat_outputs(self.other, inputs)
            if values.shape != others.shape:
                raise ShapeError(f"{values.shape[0]} outputs compared with {others.shape[0]}")
            away = values - others
            return jnp.concatenate([away, -away]) - self.tolerance

        return quantities

    def __str__(self) -> str:
        """The tolerance."""
        return f"both functions give the same within {self.tolerance:.6g}"


@dataclass(frozen=True)
class _Joined(Specification):
    """Several properties as one.

    Args:
        parts: at least one.

    Raises:
        ConfigError: there is none.
    """

    parts: tuple[Specification, ...]

    def __post_init__(self) -> None:
        if not self.parts:
            raise ConfigError("a specification of no parts says nothing; give at least one")

    @property
    def of_changes(self) -> bool:
        """Whether a part is."""
        return any(part.of_changes for part in self.parts)

    def check(self, function: Function, like: np.ndarray) -> None:
        """Refuse what a part refuses."""
        for part in self.parts:
            part.check(function, like)


class AllOf(_Joined):
    """All parts hold.

    Args:
        parts: at least one.

    Raises:
        ConfigError: there is none.
    """

    def violation_at(
        self, function: Function, inputs: np.ndarray, low: np.ndarray, high: np.ndarray
    ) -> np.ndarray | None:
        """Of any part."""
        found = (part.violation_at(function, inputs, low, high) for part in self.parts)
        return next((one for one in found if one is not None), None)

    def excess(self, function: Function) -> Excess:
        """Those of all parts, end to end."""
        parts = [part.excess(function) for part in self.parts]
        return lambda inputs: jnp.concatenate([jnp.ravel(part(inputs)) for part in parts])

    def __str__(self) -> str:
        """All parts."""
        return " and ".join(f"({part})" for part in self.parts)


class OneOf(_Joined):
    """For every input at least one part holds; which one may differ from input to input.

    Args:
        parts: at least one.

    Raises:
        ConfigError: there is none.
    """

    def violation_at(
        self, function: Function, inputs: np.ndarray, low: np.ndarray, high: np.ndarray
    ) -> np.ndarray | None:
        """Of all parts."""
        found = [part.violation_at(function, inputs, low, high) for part in self.parts]
        known = [one for one in found if one is not None]
        return np.concatenate(known) if len(known) == len(found) else None

    def excess(self, function: Function) -> Excess:
        """The least, over all parts, of the largest quantity of a part."""
        parts = [part.excess(function) for part in self.parts]

        def quantities(inputs: Array) -> Array:
            least = jnp.max(jnp.ravel(parts[0](inputs)))
            for part in parts[1:]:
                least = jnp.minimum(least, jnp.max(jnp.ravel(part(inputs))))
            return least[None]

        return quantities

    def __str__(self) -> str:
        """All parts."""
        return " or ".join(f"({part})" for part in self.parts)
