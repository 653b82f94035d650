"""The C compiler of this machine, for checks of exported code."""

import ctypes
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from attractor.errors import UnsupportedError


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
        message = "no C compiler (cc, gcc or clang) on the path; install one to check exported C code here"
        raise UnsupportedError(message)
    target = source.with_suffix(".so" if shared else ".out")
    kind = ["-shared", "-fPIC"] if shared else []
    command = [
        compiler,
        "-std=c99",
        "-Wall",
        "-Wextra",
        "-Werror",
        *kind,
        *options,
        str(source),
        "-o",
        str(target),
    ]
    done = subprocess.run([*command, "-lm"], capture_output=True, text=True, check=False)
    if done.returncode:
        message = f"{compiler} refuses {source}: {done.stderr}"
        raise UnsupportedError(message)
    return target


def load_c(library: Path) -> ctypes.CDLL:
    """The functions of a compiled library."""
    return ctypes.CDLL(str(library))
