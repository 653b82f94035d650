"""A step as one C99 file without dependencies."""

import re
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

from jaxtyping import Array

from attractor.errors import ConfigError
from attractor.files import write_atomically
from attractor.origin import Origin, stamped

from ..flat_step import FlatStep, flat_step
from .functions import NO_FAST_MATH, c_array, c_prelude, to_c_function

_NOT_FINITE = ("isfinite(", "NAN", " != ")
"""Signs of a step that asks whether a number is one."""


def to_c(
    source: Any,
    path: str | PathLike[str],
    *,
    name: str = "model",
    read: Callable[[Any], Array] | None = None,
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
        UnsupportedError: a primitive without a rule; the message names it and its place.
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
        message = f"name={name!r}: expected letters, digits and underscores, as in C"
        raise ConfigError(message)
