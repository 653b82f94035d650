"""A step, and any program, as C99 without dependencies: fixed sizes, no memory from the heap, only math.h."""

import ctypes
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from attractor.errors import ConfigError, UnsupportedError
from attractor.files import write_atomically
from attractor.origin import Origin, stamped
from attractor.program import Program, double_precision, interpret

from ..exporters import EXPORTERS, Exporter, Rows
from ..flat_step import FlatStep, Readout, flat_step
from ..movement import dtype_of
from .c_rules import PRELUDE, Rules
from .c_writer import Apply, Read, Value, Writer, constant_array, kind_of, numbered, real_number

_NOT_FINITE = ("isfinite(", "NAN", " != ")
"""Signs of a step that asks whether a number is one."""


def to_c(
    source: object,
    path: str | PathLike[str],
    *,
    name: str = "model",
    read: Readout | None = None,
    dtype: str = "double",
    origin: Origin | None = None,
) -> Path:
    """Write one C file with `void NAME_step(const double *u, const double *x, double *next)`.

    With an output there is `void NAME_output(const double *x, double *y)` as well. `NAME_initial_state` and
    the sizes `NAME_INPUTS`, `NAME_STATES`, `NAME_OUTPUTS` stand in the file. It needs math.h and nothing
    else, and takes no memory from the heap. `next` must not be `x`.

    Args:
        source: a cell, or a network with a cell and an output.
        path: the file to write.
        name: begins all names in the file.
        read: an output of the state of a cell.
        dtype: "double" or "float".
        origin: what the step is made from, for a comment in the file.

    Returns:
        The path.

    Raises:
        ConfigError: a name that C does not take, or another `dtype`.
        UnsupportedError: a primitive without a rule; the message names it and its line.
        StorageError: the file cannot be written.
    """
    path = Path(path)
    text = c_source(flat_step(source, read=read), name=name, dtype=dtype)
    write_atomically(path, (stamped(origin, "/* {} */\n") + text).encode())
    return path


def c_source(flat: FlatStep, *, name: str = "model", dtype: str = "double") -> str:
    """The text of the file that `to_c` writes."""
    check_c_name(name)
    sizes = {"INPUTS": flat.input_size, "STATES": flat.state_size, "OUTPUTS": flat.output_size}
    enumeration = ", ".join(f"{name}_{size} = {value}" for size, value in sizes.items())
    step = to_c_function(flat.step, f"{name}_step", arguments=["u", "x"], results=["next"], dtype=dtype)
    functions = [step]
    if flat.output is not None:
        functions.append(
            to_c_function(flat.output, f"{name}_output", arguments=["x"], results=["y"], dtype=dtype)
        )
    code = "".join(function.code for function in functions)
    parts = [
        f"/* next = {name}_step(u, x): {flat.input_size} inputs, {flat.state_size} numbers in the state. */",
        *(f"/* {line} */" for line in flat.about),
        *([NO_FAST_MATH] if any(sign in code for sign in _NOT_FINITE) else []),
        c_prelude(dtype),
        f"enum {{ {enumeration} }};",
        *(f"{function.signature};" for function in functions),
        f"extern const {dtype} {name}_initial_state[{name}_STATES];",
        c_array(f"{name}_initial_state", flat.initial, dtype).removeprefix("static "),
        "",
        *(function.code for function in functions),
    ]
    return "\n".join(parts)


def check_c_name(name: str) -> None:
    """Refuse what C does not take as a name.

    Raises:
        ConfigError: not a name of letters, digits and underscores.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ConfigError(f"name={name!r}: expected letters, digits and underscores, as in C")


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
        UnsupportedError: a primitive without a rule; the message names it and its line.
    """
    if dtype not in ("double", "float"):
        raise ConfigError(f"dtype={dtype!r}: expected 'double' or 'float'")
    arguments = arguments or [f"a{index}" for index in range(len(program.input_shapes))]
    results = results or [f"r{index}" for index in range(len(program.output_shapes))]
    own = [given for given in (*arguments, *results) if given in _OWN or re.fullmatch(r"t\d+", given)]
    if own:
        raise ConfigError(f"{', '.join(own)}: names that the code uses itself; choose longer ones")
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
    guard = f"ATTRACTOR_HELPERS_{dtype.upper()}"  # two files with them may be included in one
    return (
        "#include <limits.h>\n#include <math.h>\n\n#if defined(__cplusplus) && !defined(restrict)\n"
        f"#define restrict\n#endif\n\n#ifndef {guard}\n#define {guard}\n{helpers}#endif\n"
    )


def c_array(name: str, values: np.ndarray, dtype: str = "double") -> str:
    """A constant array of C, row by row."""
    numbers = [real_number(float(value), dtype) for value in np.ravel(values)]
    return constant_array(dtype, name, max(np.size(values), 1), numbers)


def c_compiler() -> str | None:
    """The path of `cc`, or None if there is none."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def compile_c(source: Path, *, options: Sequence[str] = ("-O2",), shared: bool = True) -> Path:
    """Compile one file; the result stands beside it.

    Args:
        source: a C file.
        options: options of the compiler; warnings are errors in any case.
        shared: a library for `load_c`, else a program.

    Returns:
        The library or program.

    Raises:
        UnsupportedError: no compiler, or one that refuses the file.
    """
    compiler = c_compiler()
    if compiler is None:
        raise UnsupportedError(
            "no C compiler (cc, gcc or clang) on the path; install one to check exported C code here"
        )
    target = source.with_suffix(".so" if shared else ".out")
    middle = source.with_suffix(".o")
    checked = ["-std=c99", "-Wall", "-Wextra", "-Werror", *(["-fPIC"] if shared else [])]
    _run(compiler, source, [*checked, *options, "-c", str(source), "-o", str(middle)])
    # Linked apart: with -ffast-math a linker adds code that lets the whole process that loads the library
    # take small numbers for zero.
    linked = [option for option in options if "math" not in option and option != "-Ofast"]
    kind = ["-shared"] if shared else []
    _run(compiler, source, [*kind, *linked, str(middle), "-o", str(target), "-lm"])
    middle.unlink()
    return target


def _run(compiler: str, source: Path, arguments: Sequence[str]) -> None:
    done = subprocess.run([compiler, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnsupportedError(f"{compiler} refuses {source}: {done.stderr}")


def load_c(library: Path) -> ctypes.CDLL:
    """The functions of a compiled library."""
    return ctypes.CDLL(str(library))


_NUMBERS = {
    np.dtype(np.float64): ctypes.POINTER(ctypes.c_double),
    np.dtype(np.float32): ctypes.POINTER(ctypes.c_float),
}


def pointer(array: np.ndarray) -> object:
    """The numbers of an array as C takes them: double for float64, float for float32."""
    return array.ctypes.data_as(_NUMBERS[array.dtype])


def _write(dtype: str, source: object, path: Path, origin: Origin | None) -> None:
    to_c(source, path, dtype=dtype, origin=origin)


def _run_step(dtype: type, path: Path, inputs: Rows, states: Rows, outputs: int) -> tuple[Rows, Rows]:
    with TemporaryDirectory() as folder:  # what the compiler makes is nobody's export
        library = load_c(compile_c(Path(shutil.copy(path, folder))))
    given = [np.ascontiguousarray(rows, dtype) for rows in (inputs, states)]
    after, seen = np.empty_like(given[1]), np.empty((len(states), outputs), dtype)
    for u, x, result in zip(*given, after, strict=True):
        library.model_step(*map(pointer, (u, x, result)))
    for x, result in zip(after, seen, strict=True) if outputs else ():
        library.model_output(*map(pointer, (x, result)))
    return after.astype(float), seen.astype(float)


def _check(cell: object) -> str:
    c_source(flat_step(cell))
    return ""


def _exporter(dtype: str, numbers: type, single: Exporter | None) -> Exporter:
    files = {"step.c": partial(_write, dtype)}
    runs_here = lambda: c_compiler() is not None  # noqa: E731
    return Exporter("C", files, partial(_run_step, numbers), _check, runs_here, single=single)


EXPORTERS.register("c", _exporter("double", np.float64, _exporter("float", np.float32, None)))
