"""The one form of a step that exports start from: a vector state, a vector input, straight-line code."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Protocol, cast, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attractor.cells import CellLike, State, knows_input, shaped_input
from attractor.errors import ConfigError, UnsupportedError, printable
from attractor.program import (
    FlatMap,
    LeafKind,
    Program,
    check_steady,
    flat_map,
    in_double_precision,
    in_precision,
    trace,
    with_precision,
    without_complex,
)
from attractor.shown import Shown

from .movement import Contraction, shape_of

Readout = Callable[[State], Array]
"""An output of the state of a cell."""


@runtime_checkable
class Network(Protocol):
    """A cell with an output, as a model has it."""

    @property
    def cell(self) -> CellLike:
        """The cell."""
        ...

    def read(self, state: State, /) -> Array:
        """The output."""
        ...


@dataclass(frozen=True)
class FlatStep(Shown):
    """x' = f(u, x) and, where there is an output, y = g(x), as programs of vectors.

    x is the vector of `attractor.program.flat_map`: entries of real arrays of the state one after the other,
    in the order in which JAX flattens the pytree, each array row by row, of complex ones real parts before
    imaginary ones; whole numbers and flags come last.

    Args:
        step: program of f, with the arguments (u, x).
        output: program of g, with the argument x; None without an output.
        initial: the state a sequence starts from.
        input_size: length of u, an input of the cell row by row.
        about: what the source says of its inputs and outputs, for comments; a network may have `about`.
    """

    step: Program
    output: Program | None
    initial: Float[np.ndarray, " states"]
    input_size: int
    about: tuple[str, ...] = ()

    @property
    def state_size(self) -> int:
        """Length of x."""
        return len(self.initial)

    @property
    def output_size(self) -> int:
        """Length of y; 0 without an output."""
        return 0 if self.output is None else self.output.output_shapes[0][0]


def flat_step(source: object, *, read: Readout | None = None, single_precision: bool = False) -> FlatStep:
    """The flat step of a cell or of a plant network.

    Args:
        source: any cell, or a network with a `cell` and a `read` (its output is exported).
        read: an output of the state of a cell.
        single_precision: trace in float32 instead of float64; then interpret outside of
            `jax.enable_x64(True)`.

    Raises:
        CellError: the step is another one at each call, or in float64 than in float32.
        ConfigError: neither a cell nor a network.
        ShapeError: the step returns something else than a state.
        UnsupportedError: a state that is not made of numbers, or an output that is complex.
    """
    dtype = jnp.dtype(jnp.float32 if single_precision else jnp.float64)
    with with_precision(double=not single_precision):
        exact = in_precision(source, dtype) if single_precision else in_double_precision(source)
        cell, read = parts_of(exact, read)
        flat = flat_map(cell, dtype=dtype)
        _check_leaves(flat)
        given = jnp.zeros(flat.input_size, dtype)
        check_steady(cell, shaped_input(cell, given), flat.restore(flat.start))
        program = _real_program(lambda given, state: flat.step(state, given), given, flat.start)
        output = None
        if read is not None:
            output = _real_program(lambda state: _real_output(read(flat.restore(state)), dtype), flat.start)
        about = tuple(_one_line(text) for text in getattr(source, "about", ()))
        return FlatStep(program, output, np.asarray(flat.start), flat.input_size, about)


def _one_line(text: str) -> str:
    """Text of the user's that a comment of any language may hold: it neither ends it nor begins a line."""
    words = " ".join(printable(text).split()).encode("ascii", "backslashreplace").decode()
    return words.replace("*/", "* /").replace("/*", "/ *")


def _check_leaves(flat: FlatMap) -> None:
    for leaf in flat.layout.leaves:
        if leaf.kind is LeafKind.KEY:
            raise UnsupportedError(
                f"the state of {flat.layout.owner} holds {leaf}; random numbers are not exported"
            )


def _real_program(function: Callable[..., Array], *arguments: Array) -> Program:
    return without_complex(trace(function, *arguments), arguments)


def _real_output(output: Array, dtype: jnp.dtype) -> Array:
    if jnp.iscomplexobj(output):
        raise UnsupportedError(
            "the output is complex; an exported one is real: show real and imaginary parts side by side"
        )
    return jnp.ravel(output).astype(dtype)


def parts_of(source: object, read: Readout | None) -> tuple[CellLike, Readout | None]:
    """The cell and the output."""
    if knows_input(source):
        return cast(CellLike, source), read
    if isinstance(source, Network):
        return source.cell, read or source.read
    raise ConfigError(
        f"cannot export {type(source).__name__}: expected a cell (with `input_size`), a network with `cell` "
        "and `read`, or attractor.cell(step, input_size, initial) around an update equation"
    )


_ROUNDINGS, MOST_LOST = 8.0, 1e-2
"""How many roundings each term of a sum may lose, and where every export is refused."""


def rounding_explains(flat: FlatStep, precision: type[np.floating] | np.dtype) -> float:
    """The deviation that rounding explains: sums in another order differ the more, the longer they are.

    A sum of n terms may lose n roundings. A difference of more than a hundredth is refused whatever its size.

    Args:
        flat: the step and its output.
        precision: the type in which an export computes.
    """
    longest = longest_sum(flat.step) + (0 if flat.output is None else longest_sum(flat.output))
    least = 1e-10 if np.dtype(precision) == np.float64 else 1e-5
    return min(max(least, _ROUNDINGS * longest * float(np.finfo(precision).eps)), MOST_LOST)


def longest_sum(program: Program) -> int:
    """Terms of the longest sum that a program forms, products of matrices included."""
    longest = 1
    for equation in program.jaxpr.eqns:
        axes: tuple[int, ...] = ()
        if equation.primitive.name == "dot_general":
            axes = Contraction.of(equation).left[2]
        elif equation.primitive.name == "reduce_sum":
            axes = tuple(equation.params["axes"])
        longest = max(longest, prod(shape_of(equation.invars[0])[axis] for axis in axes))
    return longest
