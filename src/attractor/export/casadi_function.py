"""A step as a CasADi function, for optimal control with other people's solvers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from itertools import accumulate
from operator import add, mul, truediv
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import numpy as np
from jax.extend.core import JaxprEqn

from attractor.errors import StorageError, UnsupportedError
from attractor.files import write_atomically
from attractor.origin import Origin, stamped
from attractor.program import Exact, Program, Rule, added_rules, double_precision, interpret, location

from .exporters import EXPORTERS, Exporter, Rows, needed
from .flat_step import Readout, flat_step
from .movement import INFIX, MOVES, Contraction, check_rounding, dtype_of, move, shape_of, without_rounding

Scalars = Callable[..., Any]
"""A function of CasADi's numbers (SX); its types are not known to Python's checkers."""

_ARITHMETIC: dict[str, Scalars] = {
    "pow": lambda a, b: a**b,
    "neg": lambda a: -a,
    "square": lambda a: a * a,
    "logistic": lambda a: 1 / (1 + (-a).exp()),
    "rsqrt": lambda a: 1 / a.sqrt(),
    "exp2": lambda a: 2**a,
    "xor": lambda a, b: a != b,
    "copy": lambda a: a,
} | {name: function for name, (_, function) in INFIX.items()}
_NAMED = {
    "max": "fmax",
    "min": "fmin",
    "rem": "fmod",
    "atan2": "atan2",
    "abs": "fabs",
    "and": "logic_and",
    "or": "logic_or",
    "not": "logic_not",
} | {
    name: name
    for name in (
        "sign floor ceil sqrt exp expm1 log log1p tanh sinh cosh asinh acosh atanh sin cos tan asin acos "
        "atan erf"
    ).split()
}
"""Primitives, and the functions of CasADi that compute them."""


def to_casadi(source: object, *, read: Readout | None = None, name: str = "step") -> Any:
    """A `casadi.Function` of scalar expressions (SX): (u, x) -> x', or (u, x) -> (x', y) with y = g(x').

    Args:
        source: a cell, or a network with a cell and an output.
        read: an output of the state of a cell.
        name: name of the function.

    Raises:
        UnsupportedError: CasADi is not installed, or a primitive without a rule; or the step looks for
            missing values (NaN), which CasADi cannot, because it takes every value for equal to itself.
    """
    if getattr(getattr(source, "cell", source), "takes_missing", False):
        raise UnsupportedError(
            "this step looks for missing values (NaN), which CasADi takes for equal to themselves; export it "
            "to numpy, c or onnx"
        )
    casadi = needed("casadi", "control")
    flat = flat_step(source, read=read)
    given, state = casadi.SX.sym("u", flat.input_size), casadi.SX.sym("x", flat.state_size)
    results = [casadi_expressions(flat.step, [given, state])[0]]
    if flat.output is not None:
        results.append(casadi_expressions(flat.output, results)[0])
    return casadi.Function(name, [given, state], results, ["u", "x"], ["x_next", "y"][: len(results)])


def write_casadi(
    source: object,
    path: str | PathLike[str],
    *,
    read: Readout | None = None,
    origin: Origin | None = None,
) -> Path:
    """Write the function of `to_casadi` to a file for `casadi.Function.load`, whole or not at all.

    CasADi's own `save` says nothing of a full disk and writes through symbolic links.

    Args:
        source: a cell, or a network with a cell and an output.
        path: the file to write.
        read: an output of the state of a cell.
        origin: what was exported; it stands behind the function, where CasADi reads no further.

    Returns:
        The path.

    Raises:
        UnsupportedError: CasADi is not installed, or a primitive without a rule.
        StorageError: the file cannot be written.
    """
    path, casadi = Path(path), needed("casadi", "control")
    with TemporaryDirectory() as folder:
        draft = Path(folder) / "step.casadi"
        to_casadi(source, read=read).save(str(draft))
        try:
            casadi.Function.load(str(draft))
        except RuntimeError as problem:
            raise StorageError(
                f"cannot write {draft}: CasADi does not read what it saved; free some space there"
            ) from problem
        content = draft.read_bytes()
    write_atomically(path, content + stamped(origin, "\n{}\n").encode())
    return path


def casadi_expressions(program: Program, arguments: Sequence[Any]) -> list[Any]:
    """The results of any program that was traced in float64, as CasADi columns (arrays row by row).

    Args:
        program: what to evaluate.
        arguments: a `casadi.SX` column for each flattened argument.

    Raises:
        UnsupportedError: CasADi is not installed, or a primitive without a rule.
    """
    casadi = needed("casadi", "control")
    symbols = [
        _filled([column[index] for index in range(column.numel())], shape)
        for column, shape in zip(arguments, program.input_shapes, strict=True)
    ]
    with double_precision():
        results = interpret(program, _rules(casadi), symbols, "CasADi")
    return [casadi.vertcat(*_entries(result).flat) for result in results]


@dataclass(frozen=True)
class _Symbols:
    """An array of CasADi scalars; not a plain array, so `interpret` calls the rules."""

    entries: np.ndarray


Operand = _Symbols | Exact


def _filled(entries: Sequence[Any] | np.ndarray, shape: tuple[int, ...]) -> _Symbols:
    array = np.empty(len(entries), object)
    for index, entry in enumerate(entries):  # NumPy would ask CasADi for the length of each entry
        array[index] = entry
    return _Symbols(array.reshape(shape))


def _entries(value: Operand) -> np.ndarray:
    """Entries of a symbolic or exact operand; numbers of Python, which CasADi takes."""
    return value.entries if isinstance(value, _Symbols) else np.asarray(value).astype(object)


def _rules(casadi: ModuleType) -> dict[str, Rule]:
    def towards_zero(a: Any) -> Any:
        return casadi.sign(a) * casadi.floor(casadi.fabs(a))

    def elementwise(function: Scalars, equation: JaxprEqn, *operands: Operand) -> _Symbols:
        shape, name = shape_of(equation.outvars[0]), equation.primitive.name
        kind = dtype_of(equation.outvars[0]).kind
        if kind in "iu" and name in ("and", "or", "not", "xor"):
            raise UnsupportedError(f"CasADi has no '{name}' of the bits of whole numbers{location(equation)}")
        if kind in "iu" and name == "div" and function is truediv:
            return elementwise(lambda a, b: towards_zero(a / b), equation, *operands)
        columns = [np.broadcast_to(_entries(operand), shape).ravel() for operand in operands]
        scalars = zip(*([casadi.SX(entry) for entry in column] for column in columns), strict=True)
        return _filled([function(*entries) for entries in scalars], shape)

    rules: dict[str, Rule] = {name: partial(elementwise, rule) for name, rule in _ARITHMETIC.items()}
    rules |= {name: partial(elementwise, getattr(casadi, function)) for name, function in _NAMED.items()}
    rules["clamp"] = partial(elementwise, lambda low, a, high: casadi.fmin(casadi.fmax(a, low), high))
    rules["select_n"] = partial(elementwise, partial(_chosen, casadi))
    rules["convert_element_type"] = partial(_converted, elementwise, casadi)
    rules["reduce_precision"] = partial(without_rounding, "CasADi")
    rules["round"] = partial(_rounded, elementwise, casadi)
    rules["is_finite"] = partial(elementwise, lambda a: casadi.fabs(a) <= np.finfo(float).max)
    rules["integer_pow"] = lambda equation, a: elementwise(lambda x: x ** equation.params["y"], equation, a)
    reductions = _reductions(casadi)
    rules |= {f"reduce_{name}": partial(_reduced, function) for name, function in reductions.items()}
    rules |= {f"cum{name}": partial(_accumulated, reductions[name]) for name in ("sum", "prod", "max", "min")}
    rules |= dict.fromkeys(MOVES, _moved)
    rules["dot_general"] = partial(_product, casadi)
    # Of a file of one's own: `rule(*scalars) -> scalar`, for each entry of the result.
    added = {name: rule for name, rule in added_rules("CasADi").items() if callable(rule)}
    return rules | {name: partial(elementwise, rule) for name, rule in added.items()}


def _reductions(casadi: ModuleType) -> dict[str, Scalars]:
    extremes = {"max": casadi.fmax, "min": casadi.fmin}
    return {"sum": add, "prod": mul, "and": casadi.logic_and, "or": casadi.logic_or} | extremes


def _chosen(casadi: ModuleType, which: Any, *cases: Any) -> Any:
    value = cases[0]
    for number, case in enumerate(cases[1:], start=1):
        value = casadi.if_else(which == number, case, value)
    return value


def _converted(
    elementwise: Callable[..., _Symbols], casadi: ModuleType, equation: JaxprEqn, operand: _Symbols
) -> _Symbols:
    """Types of numbers: CasADi knows float64 only, so a float32 stays as exact as it was."""
    check_rounding(equation, "CasADi")
    kind, old = np.dtype(equation.params["new_dtype"]).kind, dtype_of(equation.invars[0]).kind
    if kind == "b" and old != "b":
        return elementwise(lambda a: a != 0, equation, operand)
    if kind in "iu" and old == "f":
        return elementwise(lambda a: casadi.sign(a) * casadi.floor(casadi.fabs(a)), equation, operand)
    return operand


def _rounded(
    elementwise: Callable[..., _Symbols], casadi: ModuleType, equation: JaxprEqn, operand: _Symbols
) -> _Symbols:
    """Halves go to the even neighbour, or away from zero."""

    def to_even(a: Any) -> Any:
        up = casadi.floor(a + 0.5)
        return up - casadi.logic_and(up == a + 0.5, casadi.fmod(up, 2) != 0)

    def away(a: Any) -> Any:
        return casadi.sign(a) * casadi.floor(casadi.fabs(a) + 0.5)

    even = equation.params["rounding_method"].value == 1
    return elementwise(to_even if even else away, equation, operand)


def _moved(equation: JaxprEqn, *operands: Operand) -> list[_Symbols]:
    moved = move(equation, *operands)
    flat = np.concatenate([_entries(operand).ravel() for operand in moved.operands])
    return [_filled(flat[indices.ravel()], indices.shape) for indices in moved.indices]


def _reduced(function: Scalars, equation: JaxprEqn, operand: _Symbols) -> _Symbols:
    axes, shape = equation.params["axes"], shape_of(equation.outvars[0])
    kept = [axis for axis in range(operand.entries.ndim) if axis not in axes]
    rows = operand.entries.transpose([*kept, *axes]).reshape(int(np.prod(shape)), -1)
    return _filled([reduce(function, row) for row in rows], shape)


def _accumulated(function: Scalars, equation: JaxprEqn, operand: _Symbols) -> _Symbols:
    axis, step = equation.params["axis"], -1 if equation.params["reverse"] else 1
    lines = np.moveaxis(operand.entries, axis, -1)
    rows = lines.reshape(-1, lines.shape[-1])[:, ::step]
    sums = [list(accumulate(row, function))[::step] for row in rows]
    flat = _filled([entry for row in sums for entry in row], lines.shape)
    return _Symbols(np.moveaxis(flat.entries, -1, axis))


def _product(casadi: ModuleType, equation: JaxprEqn, left: Operand, right: Operand) -> _Symbols:
    """Dot products of rows; zeros among the weights leave no trace."""
    lefts, rights = Contraction.of(equation).arranged(_entries(left), _entries(right))
    products = [
        casadi.mtimes(_matrix(casadi, rows), _matrix(casadi, columns).T)
        for rows, columns in zip(lefts, rights, strict=True)
    ]
    entries = [
        one if one.nnz() else 0.0
        for product in products
        for one in casadi.vertsplit(casadi.SX(casadi.vec(product.T)))
    ]
    return _filled(entries, shape_of(equation.outvars[0]))


def _matrix(casadi: ModuleType, rows: np.ndarray) -> Any:
    """Rows of numbers and symbols as a matrix of CasADi, which does not hold the zeros."""
    if all(isinstance(one, float | int) for one in rows.flat):
        return casadi.sparsify(casadi.DM(rows.astype(float)))
    flat = casadi.vertcat(*rows.flat)
    return casadi.sparsify(casadi.reshape(flat, rows.shape[1], rows.shape[0]).T)


def _write(source: object, path: Path, origin: Origin | None) -> None:
    write_casadi(source, path, origin=origin)


def _run(path: Path, inputs: Rows, states: Rows, outputs: int) -> tuple[Rows, Rows]:
    found = needed("casadi", "control").Function.load(str(path)).map(len(inputs))(inputs.T, states.T)
    after, *seen = (np.array(part).T for part in (found if isinstance(found, tuple) else (found,)))
    return after, seen[0] if outputs else after[:, :0]


def _check(cell: object) -> str:
    to_casadi(cell)
    return ""


EXPORTERS.register("casadi", Exporter("CasADi", {"step.casadi": _write}, _run, _check))
