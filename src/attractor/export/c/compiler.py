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
        message = f"{compiler} refuses {source}: {done.stderr}"
        raise UnsupportedError(message)


def load_c(library: Path) -> ctypes.CDLL:
    """The functions of a compiled library."""
    return ctypes.CDLL(str(library))
