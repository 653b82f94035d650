"""What can be asked of the slopes of a function: monotone in an input, limited in how fast it changes.

Slopes are those of the function as it is written: derivatives of a user's own (`jax.custom_jvp`,
`stop_gradient`) are left out. A function that may jump has none that tell, and is refused. A violation is
seen by differences: at a kink a slope is only one of those that there may be, and refutes nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import JaxprEqn
from jaxtyping import Array

from attractor.errors import ConfigError, ShapeError, UnsupportedError
from attractor.program import double_precision, trace
from attractor.program.walk import apply, bound, forward, results

from ..dual.lowering import network_of
from .kinks import KINKED, larger
from .proof import Excess
from .specifications import Function, Specification, flat_outputs

# Up to so many inputs, signs of slopes are tried one by one: a bound of a sum is better than one of sizes.
_FEW = 3
# How far apart inputs are whose outputs are compared, in widths of the box.
_STEPS = (2.0**-12, 2.0**-6, 2.0**-18, 2.0**-2, 2.0**-9, 2.0**-15, 1.0, 2.0**-22)
# Units that a difference must be more than, relative to both outputs.
_UNITS = 256


@dataclass(frozen=True)
class Monotone(Specification):
    """An output never falls (or never rises) while one input grows and all others stay.

    What is proved is the sign of the slope, of the function as it is written: derivatives of a user's own
    (`jax.custom_jvp`, `stop_gradient`) are left out. A function that may jump has no slope that tells, and is
    refused.

    Args:
        input: number of the input, row by row.
        rising: whether the output must not fall; else it must not rise.
        outputs: which outputs are meant; all if empty.
    """

    input: int
    rising: bool = True
    outputs: tuple[int, ...] = ()

    def check(self, function: Function, like: np.ndarray) -> None:
        """Refuse a function that may jump, and an input that is none."""
        if not 0 <= self.input < like.size:
            raise ShapeError(f"input {self.input} of {like.size}; count from 0")
        _check_continuous(function, like)

    def excess(self, function: Function) -> Excess:
        """The slopes, of the other sign."""

        def quantities(inputs: Array) -> Array:
            direction = jnp.zeros(inputs.size, inputs.dtype).at[self.input].set(1.0).reshape(inputs.shape)
            values, slopes = jax.jvp(_written_out(function, inputs), (inputs,), (direction,))
            slopes = slopes + 0.0 * values  # no number where the function has none, though its slope be one
            slopes = slopes[jnp.asarray(self.outputs)] if self.outputs else slopes
            return -slopes if self.rising else slopes

        return quantities

    @property
    def of_changes(self) -> bool:
        """It is."""
        return True

    def violation_at(
        self, function: Function, inputs: np.ndarray, low: np.ndarray, high: np.ndarray
    ) -> np.ndarray | None:
        """Two inputs, apart in one alone, between which an output falls (rises)."""
        direction = np.zeros(inputs.size)
        direction[self.input] = 1.0
        chosen = list(self.outputs) or slice(None)
        for pair, (before, after), error in _pairs(function, inputs, direction, low, high):
            change = (after - before)[chosen] * (1 if self.rising else -1)
            if (change < -error[chosen]).any():
                return pair
        return None

    def __str__(self) -> str:
        """Which way."""
        what = f"outputs {', '.join(map(str, self.outputs))}" if self.outputs else "outputs"
        return f"{what} never {'fall' if self.rising else 'rise'} while input {self.input} grows"


@dataclass(frozen=True)
class Lipschitz(Specification):
    """Outputs change at most so many times as much as inputs.

    Proved by the slopes, as `Monotone` is.

    Args:
        most: change of an output for a change of the inputs of size one.
        norm: size of a change of the inputs: "largest" of any of them, or "euclidean" over all.
    """

    most: float | int
    norm: Literal["largest", "euclidean"] = "largest"

    def __post_init__(self) -> None:
        if not self.most >= 0:
            raise ConfigError(f"most={self.most}: expected a number of at least 0")
        if self.norm not in ("largest", "euclidean"):
            raise ConfigError(f"norm={self.norm!r}: expected 'largest' or 'euclidean'")

    def check(self, function: Function, like: np.ndarray) -> None:
        """Refuse a function that may jump."""
        _check_continuous(function, like)

    def excess(self, function: Function) -> Excess:
        """The size of the slopes of every output, less what is allowed."""

        def quantities(inputs: Array) -> Array:
            written = _written_out(function, inputs)
            slopes = jax.jacfwd(lambda flat: written(flat.reshape(inputs.shape)))(inputs.ravel())
            slopes = slopes + 0.0 * written(inputs)[:, None]  # no number where the function has none
            if self.norm == "euclidean" and inputs.size > 1:
                return jnp.sum(slopes**2, axis=1) - _square_below(float(self.most))
            if inputs.size > _FEW:
                return jnp.sum(larger(slopes, -slopes), axis=1) - self.most
            signs = np.array(list(product((1.0, -1.0), repeat=inputs.size)))
            return jnp.ravel(slopes @ jnp.asarray(signs.T, slopes.dtype)) - self.most

        return quantities

    @property
    def of_changes(self) -> bool:
        """It is."""
        return True

    def violation_at(
        self, function: Function, inputs: np.ndarray, low: np.ndarray, high: np.ndarray
    ) -> np.ndarray | None:
        """Two inputs between which an output changes by more."""
        order = np.inf if self.norm == "largest" else 2
        for slope in self._steepest(function, inputs):
            direction = np.sign(slope) if self.norm == "largest" else slope / np.linalg.norm(slope)
            for pair, (before, after), error in _pairs(function, inputs, direction, low, high):
                size = np.linalg.norm(np.ravel(pair[1] - pair[0]), ord=order)
                if (np.abs(after - before) > float(self.most) * size * (1 + 1e-15) + error).any():
                    return pair
        return None

    def _steepest(self, function: Function, inputs: np.ndarray) -> list[np.ndarray]:
        """The slopes of those outputs that change by more than is allowed, the steepest first."""
        with double_precision():
            written = _written_out(function, jnp.asarray(inputs))
            slopes = np.asarray(
                jax.jacfwd(lambda flat: written(flat.reshape(inputs.shape)))(jnp.ravel(inputs))
            )
        sizes = np.abs(slopes).sum(axis=1) if self.norm == "largest" else np.linalg.norm(slopes, axis=1)
        return [slopes[row] for row in np.argsort(-sizes)[:4] if sizes[row] > self.most]

    def __str__(self) -> str:
        """How much."""
        size = "the largest change" if self.norm == "largest" else "the Euclidean size of the change"
        return f"no output changes by more than {self.most:.6g} times {size} of the inputs"


def _written_out(function: Function, like: Array) -> Function:
    """The function as its bare program, flat: no derivative that a user has written counts."""
    program = trace(
        lambda inputs: flat_outputs(function, inputs), jax.ShapeDtypeStruct(like.shape, like.dtype)
    )

    def rule(equation: JaxprEqn, operands: list[Array]) -> Sequence[Array]:
        kinked = KINKED.get(equation.primitive.name)
        return apply(program.jaxpr, equation, operands) if kinked is None else [kinked(equation, *operands)]

    def run(inputs: Array) -> Array:
        known = bound(program.jaxpr, program.constants, [inputs])
        values = forward(program.jaxpr, known, rule)
        return results(program.jaxpr, values)[0]

    return run


def _square_below(number: float) -> float:
    """The square of a number, rounded down: what is proved of it is proved of the exact one."""
    found = number * number
    return found if Fraction(found) <= Fraction(number) ** 2 else float(np.nextafter(found, 0.0))


def _pairs(
    function: Function, inputs: np.ndarray, direction: np.ndarray, low: np.ndarray, high: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Inputs of a box on both sides of one, both outputs, and what rounding may make of their difference.

    Yields:
        The pair of inputs, the pair of outputs, and for each output what rounding may make of its change.
    """
    way = direction.reshape(inputs.shape)
    for share in _STEPS:
        step = share * float((high - low).max(initial=0.0)) * way
        pair = np.stack([np.clip(inputs - step, low, high), np.clip(inputs + step, low, high)])
        if (pair[0] == pair[1]).all():
            continue
        with double_precision():
            outputs = np.stack([np.asarray(flat_outputs(function, jnp.asarray(one))) for one in pair])
        error = _UNITS * float(np.finfo(outputs.dtype).eps) * np.abs(outputs).sum(axis=0)
        yield pair, outputs, error


def _check_continuous(function: Function, like: np.ndarray) -> None:
    with double_precision():
        network = network_of(trace(lambda inputs: flat_outputs(function, inputs), jnp.asarray(like)))
    for node in network.nodes:
        if node.rule.jumps:
            raise UnsupportedError(
                f"the function may jump ({node.what}), so that its slopes do not tell how it changes; write "
                "it with maxima and minima in place of choices, or ask for a band"
            )
