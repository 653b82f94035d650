"""A step as a Python file that needs NumPy and nothing else."""

import importlib.util
from collections.abc import Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from jax.extend.core import JaxprEqn

from attractor.errors import UnsupportedError
from attractor.files import write_atomically
from attractor.origin import Origin, stamped
from attractor.program import Exact, Program, Rule, added_rules, double_precision, interpret

from .exporters import EXPORTERS, Exporter, Rows
from .flat_step import FlatStep, Readout, flat_step
from .movement import INFIX, MOVES, Contraction, check_rounding, dtype_of, move, run_start, without_rounding

_ELEMENTWISE = {
    "rem": "np.fmod({0}, {1})",
    "pow": "{0} ** {1}",
    "max": "np.maximum({0}, {1})",
    "min": "np.minimum({0}, {1})",
    "atan2": "np.arctan2({0}, {1})",
    "neg": "-{0}",
    "square": "{0} * {0}",
    "rsqrt": "1.0 / np.sqrt({0})",
    "logistic": "0.5 + 0.5 * np.tanh(0.5 * {0})",  # exp would overflow, with a warning, far below zero
    "erf": "np.vectorize(math.erf, otypes=[float])({0})",
    "erfc": "np.vectorize(math.erfc, otypes=[float])({0})",
    "and": "{0} & {1}",
    "or": "{0} | {1}",
    "xor": "{0} ^ {1}",
    "not": "np.invert({0})",
    "is_finite": "np.isfinite({0})",
    "clamp": "np.minimum(np.maximum({1}, {0}), {2})",
    "copy": "{0}",
}
_ELEMENTWISE |= {name: f"{{0}} {symbol} {{1}}" for name, (symbol, _) in INFIX.items()}
_ELEMENTWISE |= {
    name: f"np.{name}({{0}})"
    for name in "abs sign floor ceil sqrt cbrt exp exp2 expm1 log log1p tanh sinh cosh sin cos tan".split()
}
_ELEMENTWISE |= {f"a{name}": f"np.arc{name}({{0}})" for name in "sinh cosh tanh sin cos tan".split()}
_REDUCTIONS = {
    "reduce_sum": "np.sum",
    "reduce_max": "np.max",
    "reduce_min": "np.min",
    "reduce_prod": "np.prod",
    "reduce_and": "np.all",
    "reduce_or": "np.any",
}
_CUMULATIVE = {
    "cumsum": "np.cumsum",
    "cumprod": "np.cumprod",
    "cummax": "np.maximum.accumulate",
    "cummin": "np.minimum.accumulate",
}

Operand = str | Exact
"""The name of a value, or what is known of it."""


def to_numpy(
    source: object,
    path: str | PathLike[str],
    *,
    read: Readout | None = None,
    origin: Origin | None = None,
) -> Path:
    """Write one Python file with `step(u, x) -> x'`, `INITIAL_STATE` and, with an output, `read(x) -> y`.

    The file imports NumPy only; weights stand in it as decimal numbers that give the same float64 again. What
    is no vector of the right size is refused, for NumPy would stretch it to a wrong answer.

    Args:
        source: a cell, or a network with a cell and an output.
        path: the file to write.
        read: an output of the state of a cell.
        origin: what the step is made from, for a comment in the file.

    Returns:
        The path.

    Raises:
        UnsupportedError: a primitive without a rule; the message names it and its line.
        StorageError: the file cannot be written.
    """
    path = Path(path)
    write_atomically(path, (numpy_source(flat_step(source, read=read)) + stamped(origin, "# {}\n")).encode())
    return path


def numpy_source(flat: FlatStep) -> str:
    """The text of the file that `to_numpy` writes."""
    listing = _Listing()
    with double_precision():
        functions = [_VECTOR, _function("step", flat.step, ["u", "x"], listing)]
        if flat.output is not None:
            functions.append(_function("read", flat.output, ["x"], listing))
    title = (
        f'"""x\' = step(u, x): {flat.input_size} inputs, {flat.state_size} numbers in the state, float64."""'
    )
    head = [title, *(f"# {line}" for line in flat.about), "", "import math", "", "import numpy as np", ""]
    initial = f"INITIAL_STATE = {_array_text(flat.initial)}"
    return "\n".join([*head, *listing.constants, initial, "", "", "\n\n\n".join(functions), ""])


def _write(source: object, path: Path, origin: Origin | None) -> None:
    to_numpy(source, path, origin=origin)


def _run(path: Path, inputs: Rows, states: Rows, outputs: int) -> tuple[Rows, Rows]:
    specification = importlib.util.spec_from_file_location("exported_step", path)
    if specification is None or specification.loader is None:
        raise UnsupportedError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    after = np.stack([module.step(u, x) for u, x in zip(inputs, states, strict=True)])
    return after, np.stack([module.read(x) for x in after]) if outputs else after[:, :0]


def _check(cell: object) -> str:
    numpy_source(flat_step(cell))
    return ""


EXPORTERS.register("numpy", Exporter("NumPy", {"step.py": _write}, _run, _check))

_VECTOR = """\
def _vector(name, values, size):
    array = np.asarray(values)
    if array.shape != (size,) or array.dtype.kind not in "biuf":
        found = f"{name} has shape {array.shape} and type {array.dtype}"
        raise ValueError(f"{found}, expected {size} real numbers of shape ({size},); give rows one by one")
    return array.astype(np.float64)"""


def _function(name: str, program: Program, arguments: Sequence[str], listing: "_Listing") -> str:
    sizes = zip(arguments, program.input_shapes, strict=True)
    listing.lines = [f'{argument} = _vector("{argument}", {argument}, {size})' for argument, (size,) in sizes]
    result = interpret(program, _rules(listing), arguments, "NumPy")[0]
    listing.lines.append(f"return {listing.array(result)}")
    return "\n    ".join([f"def {name}({', '.join(arguments)}):", *listing.lines])


class _Listing:
    """Lines of code and the constants above them; values are names."""

    def __init__(self) -> None:
        self.constants: list[str] = []
        self.lines: list[str] = []
        self._names: dict[tuple[Any, ...], str] = {}
        self._count = 0

    def assign(self, code: str) -> str:
        """The name of a new line."""
        self._count += 1
        self.lines.append(f"v{self._count} = {code}")
        return f"v{self._count}"

    def operand(self, value: Operand) -> str:
        """Code for an operand of an elementwise operation: a number where all entries are one."""
        if isinstance(value, str):
            return value
        array = np.asarray(value)
        if array.size and np.all(array == array.flat[0]) and np.isfinite(array.flat[0]):
            number = repr(array.flat[0].item())
            return f"({number})" if number.startswith("-") else number
        return self.array(array)

    def array(self, value: Operand) -> str:
        """Code for an operand as an array."""
        if isinstance(value, str):
            return value
        array = np.asarray(value)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._names:
            self._names[key] = f"C{len(self._names)}"
            self.constants.append(f"{self._names[key]} = {_array_text(array)}")
        return self._names[key]


def _array_text(array: np.ndarray) -> str:
    text = repr(array.tolist()).replace("nan", "np.nan").replace("inf", "np.inf")
    shaped = f".reshape({array.shape})" if array.size == 0 else ""
    return f"np.array({text}, dtype=np.{array.dtype.name}){shaped}"


def _rules(listing: _Listing) -> dict[str, Rule]:
    def elementwise(pattern: str, equation: JaxprEqn, *operands: Operand) -> str:
        if equation.primitive.name == "div" and dtype_of(equation.outvars[0]).kind in "iu":
            pattern = f"np.trunc({pattern}).astype(np.int64)"
        return listing.assign(pattern.format(*map(listing.operand, operands)))

    def product(equation: JaxprEqn, left: Operand, right: Operand) -> str:
        left, right = listing.array(left), listing.array(right)
        formula = Contraction.of(equation).formula()
        plain = formula == "ba,a->b"  # a matrix times a vector
        return listing.assign(f"{left} @ {right}" if plain else f'np.einsum("{formula}", {left}, {right})')

    def reduction(function: str, equation: JaxprEqn, operand: str) -> str:
        return listing.assign(f"{function}({operand}, axis={tuple(equation.params['axes'])})")

    def cumulative(function: str, equation: JaxprEqn, operand: str) -> str:
        axis = equation.params["axis"]
        if not equation.params["reverse"]:
            return listing.assign(f"{function}({operand}, axis={axis})")
        return listing.assign(f"np.flip({function}(np.flip({operand}, {axis}), axis={axis}), {axis})")

    def moved(equation: JaxprEqn, *operands: Operand) -> list[str]:
        return _moved(listing, equation, *operands)

    rules: dict[str, Rule] = {name: partial(elementwise, pattern) for name, pattern in _ELEMENTWISE.items()}
    rules |= {name: partial(reduction, function) for name, function in _REDUCTIONS.items()}
    rules |= {name: partial(cumulative, function) for name, function in _CUMULATIVE.items()}
    rules |= dict.fromkeys(MOVES, moved)
    rules |= {"dot_general": product} | _rules_with_parameters(listing)
    # Of a file of one's own: a pattern like those above, or `rule(equation, *operands) -> code`.
    for name, added in added_rules("NumPy").items():
        rules[name] = partial(elementwise, added) if isinstance(added, str) else added
    return rules


def _rules_with_parameters(listing: _Listing) -> dict[str, Rule]:
    def power(equation: JaxprEqn, operand: str) -> str:
        return listing.assign(f"{operand} ** {equation.params['y']}")

    def convert(equation: JaxprEqn, operand: str) -> str:
        check_rounding(equation, "NumPy", ("float64", "float32", "float16"))
        return listing.assign(f"{operand}.astype(np.{np.dtype(equation.params['new_dtype']).name})")

    def choose(equation: JaxprEqn, which: Operand, *cases: Operand) -> str:
        if len(cases) == 2:
            no, yes = map(listing.operand, cases)
            return listing.assign(f"np.where({listing.array(which)}, {yes}, {no})")
        arrays = ", ".join(map(listing.array, cases))
        return listing.assign(f"np.choose({listing.array(which)}, [{arrays}])")

    def rounded(equation: JaxprEqn, operand: str) -> str:
        if equation.params["rounding_method"].value == 1:  # to even
            return listing.assign(f"np.round({operand})")
        return listing.assign(f"np.copysign(np.floor(np.abs({operand}) + 0.5), {operand})")

    return {
        "integer_pow": power,
        "convert_element_type": convert,
        "reduce_precision": partial(without_rounding, "NumPy"),
        "select_n": choose,
        "round": rounded,
    }


def _moved(listing: _Listing, equation: JaxprEqn, *operands: Operand) -> list[str]:
    """The results of a primitive that moves entries."""
    moved = move(equation, *operands)
    flat = [f"{listing.array(operand)}.ravel()" for operand in moved.operands]
    source = flat[0] if len(flat) == 1 else listing.assign(f"np.concatenate([{', '.join(flat)}])")
    names = []
    for indices in moved.indices:
        start = run_start(indices)
        if start is None:
            code = f"{source}[{listing.array(indices)}]"
        else:
            part = "" if indices.size == moved.size else f"[{start}:{start + indices.size}]"
            code = f"{source}{part}" + ("" if indices.ndim == 1 else f".reshape({indices.shape})")
        names.append(listing.assign(code))
    return names
