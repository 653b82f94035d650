"""Sets of inputs beside boxes: balls, polytopes, simplexes, what a condition leaves of a box, unions, points.

A set is a box of parameters, the inputs that they give, and conditions on the parameters; a union is several
sets, proved one after the other. So the search, its cuts and its certificates know boxes alone. Conditions
are rounded so that no input of the set is left out of a proof; an input that violates a property belongs to
the set by its condition in float64.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from attractor.errors import ConfigError, InputDataError, ShapeError
from attractor.program import double_precision
from attractor.shown import Shown

from .box import box_of

# Never above zero for what is in the set.
Condition = Callable[[Array], Array]


class InputSet(ABC):
    """A set of inputs."""

    takes_slopes: ClassVar[bool] = True
    """Whether the set holds, with two inputs that differ in one entry, all between them."""

    @property
    def parts(self) -> "tuple[Part, ...]":
        """The sets whose union this is."""
        return (self.part(),)

    @abstractmethod
    def part(self) -> "Part":
        """The set as a box with a condition."""


@dataclass(frozen=True, eq=False)
class Part(Shown):
    """A box of parameters, conditions on them, and the inputs that they give.

    Args:
        low: least parameters.
        high: largest ones.
        condition: not above zero where parameters belong to the set; None where all do.
        inputs: of parameters; None where the parameters are the inputs.
    """

    low: Float[np.ndarray, "*shape"]
    high: Float[np.ndarray, "*shape"]
    condition: Condition | None = None
    inputs: Condition | None = None

    def given(self, function: Condition) -> Condition:
        """A function of inputs as one of parameters."""
        to_inputs = self.inputs
        return function if to_inputs is None else lambda parameters: function(to_inputs(parameters))

    def input_of(self, parameters: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*input"]:
        """The input that parameters give, in float64."""
        if self.inputs is None:
            return parameters
        with double_precision():
            return np.asarray(self.inputs(jnp.asarray(parameters)))


@dataclass(frozen=True, eq=False)
class Box(InputSet):
    """Every input between its own two numbers.

    Args:
        low: least inputs, of the shape that the function takes.
        high: largest ones.

    Raises:
        ShapeError: ends of different shapes.
        InputDataError: ends that are no finite numbers, or a lower one above the upper one.
    """

    low: ArrayLike
    high: ArrayLike

    def __post_init__(self) -> None:
        box_of(self.low, self.high)

    def part(self) -> Part:
        """Itself."""
        return Part(*box_of(self.low, self.high))


@dataclass(frozen=True, eq=False)
class Ball(InputSet):
    """All inputs whose distance from a centre is at most so much.

    Args:
        centre: of the shape that the function takes.
        radius: above zero.
        norm: 2 for the root of the sum of squares of all differences, 1 for the sum of their sizes. A ball of
            the largest difference is a `Box`.

    Raises:
        ConfigError: a radius that is no positive number.
        InputDataError: a centre that is no finite number.
    """

    centre: ArrayLike
    radius: float | int
    norm: Literal[1, 2] = 2

    def __post_init__(self) -> None:
        if not 0 < self.radius < np.inf:
            raise ConfigError(f"radius={self.radius}: expected a positive number")
        if self.norm not in (1, 2):
            raise ConfigError(f"norm={self.norm!r}: expected 1 or 2; for the largest difference use a Box")
        self.part()

    def part(self) -> Part:
        """The box around the ball, and how far an input is outside."""
        centre = np.asarray(self.centre, np.float64)

        def condition(inputs: Array) -> Array:
            away = inputs - jnp.asarray(centre, inputs.dtype)
            if self.norm == 1:
                return jnp.sum(jnp.abs(away)) - _above(self.radius, inputs.dtype)
            # The square is rounded up: no input of the ball is left out.
            return jnp.sum(away**2) - _above(np.nextafter(float(self.radius) ** 2, np.inf), inputs.dtype)

        outward = np.nextafter(self.radius, np.inf)
        low, high = np.nextafter(centre - outward, -np.inf), np.nextafter(centre + outward, np.inf)
        return Part(*box_of(low, high), condition)


def _above(values: ArrayLike | float | int, kind: np.dtype) -> Array:
    """Numbers in a type, rounded up."""
    exact = np.asarray(values, np.float64)
    near = exact.astype(kind)
    return jnp.asarray(np.where(near < exact, np.nextafter(near, np.asarray(np.inf, kind)), near))


@dataclass(frozen=True, eq=False)
class Polytope(InputSet):
    """All inputs x of a box, taken row by row, for which A x <= b.

    Args:
        matrix: A, shape (conditions, inputs).
        most: b, shape (conditions,).
        low: least inputs, of the shape that the function takes.
        high: largest ones.

    Raises:
        ShapeError: a matrix that does not fit.
        InputDataError: numbers that are not finite.
    """

    matrix: ArrayLike
    most: ArrayLike
    low: ArrayLike
    high: ArrayLike

    def __post_init__(self) -> None:
        low, _ = box_of(self.low, self.high)
        matrix, most = np.asarray(self.matrix, np.float64), np.asarray(self.most, np.float64)
        if matrix.shape != (len(np.atleast_1d(most)), low.size) or most.ndim != 1:
            raise ShapeError(
                f"a matrix of shape {matrix.shape} with {most.shape} bounds for {low.size} inputs; expected "
                "(conditions, inputs) and (conditions,)"
            )
        if not (np.isfinite(matrix).all() and np.isfinite(most).all()):
            raise InputDataError("the conditions of the polytope hold what is no finite number")

    def part(self) -> Part:
        """The box, and A x - b."""
        matrix, most = np.asarray(self.matrix, np.float64), np.asarray(self.most, np.float64)

        def condition(inputs: Array) -> Array:
            return jnp.asarray(matrix, inputs.dtype) @ inputs.ravel() - _above(most, inputs.dtype)

        return Part(*box_of(self.low, self.high), condition)


@dataclass(frozen=True, eq=False)
class Simplex(InputSet):
    """Shares: inputs of at least zero whose sum is `total`.

    The last of them is what the others leave of the total, so that the sum is exact.

    Args:
        count: how many, at least two.
        total: above zero.

    Raises:
        ConfigError: fewer than two, or a total that is no positive number.
    """

    takes_slopes: ClassVar[bool] = False

    count: int
    total: float | int = 1.0

    def __post_init__(self) -> None:
        if self.count < 2 or not 0 < self.total < np.inf:
            raise ConfigError(
                f"{self.count} shares of {self.total}: expected two or more of a positive total"
            )

    def part(self) -> Part:
        """All but the last, and their sum."""
        total = float(self.total)

        def inputs(others: Array) -> Array:
            return jnp.concatenate([others, (total - jnp.sum(others))[None]])

        zeros = np.zeros(self.count - 1)
        return Part(zeros, zeros + total, lambda others: jnp.sum(others) - total, inputs)


@dataclass(frozen=True, eq=False)
class Where(InputSet):
    """All inputs of a box that meet a condition.

    Args:
        condition: any function of an input that JAX can trace; the input belongs to the set where all that it
            returns is at most zero.
        low: least inputs, of the shape that the function takes.
        high: largest ones.

    Raises:
        ShapeError: ends of different shapes.
        InputDataError: ends that are no finite numbers, or a lower one above the upper one.
    """

    takes_slopes: ClassVar[bool] = False

    condition: Condition
    low: ArrayLike
    high: ArrayLike

    def __post_init__(self) -> None:
        box_of(self.low, self.high)

    def part(self) -> Part:
        """The box and the condition."""
        return Part(*box_of(self.low, self.high), self.condition)


@dataclass(frozen=True, eq=False)
class Union(InputSet):
    """Everything that is in one of several sets.

    Args:
        sets: at least one.

    Raises:
        ConfigError: none.
    """

    takes_slopes: ClassVar[bool] = False

    sets: Sequence[InputSet]

    def __post_init__(self) -> None:
        if not self.sets:
            raise ConfigError("a union of no sets holds nothing, and anything is true of it; name a set")

    @property
    def parts(self) -> tuple[Part, ...]:
        """Those of its sets."""
        return tuple(part for one in self.sets for part in one.parts)

    def part(self) -> Part:
        """The first of its sets; a union has more."""
        return self.parts[0]


@dataclass(frozen=True, eq=False)
class Points(InputSet):
    """Some inputs.

    Args:
        inputs: one a row, shape (points, *shape).

    Raises:
        ConfigError: none.
        InputDataError: values that are no finite numbers.
    """

    takes_slopes: ClassVar[bool] = False

    inputs: ArrayLike

    def __post_init__(self) -> None:
        points = np.asarray(self.inputs, np.float64)
        if points.ndim < 1 or not len(points):
            raise ConfigError("there is no point; anything is true of nothing")
        box_of(points, points)

    @property
    def parts(self) -> tuple[Part, ...]:
        """A box for each."""
        return tuple(Part(*box_of(point, point)) for point in np.asarray(self.inputs, np.float64))

    def part(self) -> Part:
        """The first of them."""
        return self.parts[0]
