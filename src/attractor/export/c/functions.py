"""A C99 function from any program: fixed sizes, no memory from the heap, only math.h."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from attractor.errors import ConfigError
from attractor.program import Program, double_precision, interpret

from ..movement import dtype_of
from .rules import PRELUDE, Rules
from .values import Apply, Read, Value, kind_of, numbered
from .writer import Writer

NO_FAST_MATH = """\
#if defined(__FAST_MATH__) || defined(_M_FP_FAST) || \\
    (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__ > 0)
#error "this code looks for numbers that are not finite: no -ffast-math, -ffinite-math-only or /fp:fast"
#endif
"""
"""For files that are wrong, not only less exact, where a compiler takes every number for a finite one."""
_OWN = frozenset("ijklmnpqbsw")
"""Names of indices and sums in the code."""


@dataclass(frozen=True)
class CFunction:
    """A function in C.

    Args:
        name: its name.
        constants: arrays of constants that stand before it.
        signature: its declaration without the semicolon.
        body: its lines.
    """

    name: str
    constants: tuple[str, ...]
    signature: str
    body: tuple[str, ...]

    @property
    def code(self) -> str:
        """Constants and definition."""
        lines = [*self.constants, "", f"{self.signature} {{", *(f"  {line}" for line in self.body), "}", ""]
        return "\n".join(lines)


def to_c_function(
    program: Program,
    name: str,
    *,
    arguments: Sequence[str] | None = None,
    results: Sequence[str] | None = None,
    dtype: str = "double",
    storage: str = "",
) -> CFunction:
    """The C function of a program: `void name(const double *a0, ..., double *r0, ...)`.

    Arrays are passed row by row. Sizes are fixed, so loops have constant bounds; elementwise operations that
    follow each other are one loop; products of matrices run over neighbouring entries. The results must not
    overlap the arguments. Arrays of more than 16384 numbers are static, so a function that needs them must
    not run twice at a time; all others may. The code needs `c_prelude(dtype)` once in its file.

    Args:
        program: what to compute; any function of arrays traced in float64, a Jacobian as well.
        name: name of the function.
        arguments: names of the flattened arguments; a0, a1, ... by default.
        results: names of the flattened results; r0, r1, ... by default.
        dtype: "double" or "float".
        storage: what comes before `void`, for example "static".

    Raises:
        ConfigError: another `dtype`, or a name that the code itself uses.
        UnsupportedError: a primitive without a rule; the message names it and its place.
    """
    if dtype not in ("double", "float"):
        message = f"dtype={dtype!r}: expected 'double' or 'float'"
        raise ConfigError(message)
    arguments = arguments or [f"a{index}" for index in range(len(program.input_shapes))]
    results = results or [f"r{index}" for index in range(len(program.output_shapes))]
    own = [given for given in (*arguments, *results) if given in _OWN or re.fullmatch(r"t\d+", given)]
    if own:
        message = f"{', '.join(own)}: names that the code uses itself; choose longer ones"
        raise ConfigError(message)
    writer = Writer(name, dtype)
    given = [
        _argument(argument, shape, kind_of(dtype_of(variable)))
        for argument, shape, variable in zip(
            arguments, program.input_shapes, program.jaxpr.invars, strict=True
        )
    ]
    rules = Rules(writer, program)
    with double_precision():
        values = interpret(program, rules.table(), given, "C")
        for result, shape, value in zip(results, program.output_shapes, values, strict=True):
            writer.store(Read(result, numbered(shape), "real"), rules.value(value))
    parameters = [f"const {dtype} *restrict {argument}" for argument in arguments]
    parameters += [f"{dtype} *restrict {result}" for result in results]
    signature = f"{storage} void {name}({', '.join(parameters)})".strip()
    unused = [f"(void){argument};" for argument in arguments]
    return CFunction(name, tuple(writer.constants), signature, (*unused, *writer.lines))


def _argument(name: str, shape: tuple[int, ...], kind: str) -> Value:
    """An argument; whole numbers and flags come as real numbers too."""
    read = Read(name, numbered(shape), "real")
    return read if kind == "real" else Apply("(long)({0})", (read,), "long")


def c_prelude(dtype: str = "double") -> str:
    """What stands once at the top of a file with functions from `to_c_function`."""
    exponential = "exp" if dtype == "double" else "expf"
    helpers = PRELUDE.replace("REAL", dtype).replace("EXP", exponential)
    return f"#include <limits.h>\n#include <math.h>\n\n{helpers}"


def c_array(name: str, values: np.ndarray, dtype: str = "double") -> str:
    """A constant array of C, row by row."""
    numbers = ", ".join(repr(float(value)) for value in np.ravel(values)) or "0"
    return f"static const {dtype} {name}[{max(np.size(values), 1)}] = {{{numbers}}};"
