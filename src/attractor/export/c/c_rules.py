"""What each primitive becomes in C."""

from collections import Counter
from collections.abc import Callable
from functools import partial

import numpy as np
from jax.extend.core import JaxprEqn, Literal

from attractor.errors import UnsupportedError
from attractor.program import Exact, Program, Rule, added_rules, location

from ..movement import (
    INFIX,
    MOVES,
    Contraction,
    Move,
    added_to,
    check_rounding,
    dtype_of,
    move,
    shape_of,
    without_rounding,
)
from .c_writer import Apply, Known, Read, Value, Writer, kind_of, numbered, product, stretched, take

PRELUDE = """\
static inline REAL attractor_max(REAL a, REAL b) { return a > b || a != a ? a : b; }
static inline REAL attractor_min(REAL a, REAL b) { return a < b || a != a ? a : b; }
static inline REAL attractor_sign(REAL a) { return a != a ? a : (REAL)((a > 0) - (a < 0)); }
static inline REAL attractor_square(REAL a) { return a * a; }
static inline REAL attractor_logistic(REAL a) { return 1 / (1 + EXP(-a)); }
static inline REAL attractor_power(REAL a, int n) {
  REAL product = 1;
  for (int k = 0; k < (n < 0 ? -n : n); ++k) product *= a;
  return n < 0 ? 1 / product : product;
}
"""
"""Functions that the code of the rules calls; NaN goes through all of them."""

_PATTERNS = {
    "neg": "(-{0})",
    "and": "({0} & {1})",
    "or": "({0} | {1})",
    "xor": "({0} ^ {1})",
    "max": "attractor_max({0}, {1})",
    "min": "attractor_min({0}, {1})",
    "sign": "attractor_sign({0})",
    "square": "attractor_square({0})",
    "logistic": "attractor_logistic({0})",
    "clamp": "attractor_min(attractor_max({1}, {0}), {2})",
    "is_finite": "(isfinite({0}) != 0)",
    "copy": "{0}",
} | {name: f"({{0}} {symbol} {{1}})" for name, (symbol, _) in INFIX.items()}
_FUNCTIONS = {
    "abs": "fabs({0})",
    "rem": "fmod({0}, {1})",
    "pow": "pow({0}, {1})",
    "atan2": "atan2({0}, {1})",
    "rsqrt": "1 / sqrt({0})",
} | {
    name: name + "({0})"
    for name in (
        "floor ceil sqrt cbrt exp exp2 expm1 log log1p tanh sinh cosh asinh acosh atanh sin cos tan asin "
        "acos atan erf erfc"
    ).split()
}
"""Primitives that are functions of math.h; those for float end in f."""
_REDUCTIONS = {
    "sum": ("0", "{0} + {1}"),
    "prod": ("1", "{0} * {1}"),
    "max": ("-INFINITY", "attractor_max({0}, {1})"),
    "min": ("INFINITY", "attractor_min({0}, {1})"),
    "and": ("1", "{0} & {1}"),
    "or": ("0", "{0} | {1}"),
}

Operand = Value | Exact
"""What an equation gets, and what a rule gives: a result that is known needs no code."""


class Rules:
    """The rules of one program; values that are used more than once are kept in arrays.

    Args:
        writer: where the code goes.
        program: what is written; it is asked how often each value is used.
    """

    def __init__(self, writer: Writer, program: Program) -> None:
        self._writer = writer
        atoms = [atom for equation in program.jaxpr.eqns for atom in equation.invars]
        atoms += program.jaxpr.outvars
        self._uses = Counter(atom for atom in atoms if not isinstance(atom, Literal))

    def table(self) -> dict[str, Rule]:
        """One rule for each primitive."""
        rules: dict[str, Rule] = {
            name: partial(self._elementwise, pattern) for name, pattern in _PATTERNS.items()
        }
        rules |= {name: partial(self._elementwise, self._call(code)) for name, code in _FUNCTIONS.items()}
        rules |= {f"reduce_{name}": partial(self._reduced, *how) for name, how in _REDUCTIONS.items()}
        rules |= {
            f"cum{name}": partial(self._accumulated, *_REDUCTIONS[name])
            for name in ("sum", "prod", "max", "min")
        }
        rules |= dict.fromkeys(MOVES, self._moved)
        # Of a file of one's own: a pattern like those above.
        added = {name: code for name, code in added_rules("C").items() if isinstance(code, str)}
        rules |= {name: partial(self._elementwise, code) for name, code in added.items()}
        return rules | {
            "dot_general": self._product,
            "scatter-add": self._added,
            "integer_pow": self._power,
            "convert_element_type": self._converted,
            "reduce_precision": partial(without_rounding, "C"),
            "select_n": self._chosen,
            "not": self._inverted,
            "round": self._rounded,
        }

    def value(self, operand: Operand) -> Value:
        """An operand as a value of the C program."""
        return operand if isinstance(operand, Value) else Known(np.asarray(operand))

    def _call(self, code: str) -> str:
        """A function of math.h for the type of the numbers."""
        return code if self._writer.real == "double" else code.replace("(", "f(", 1)

    def _elementwise(self, pattern: str, equation: JaxprEqn, *operands: Operand) -> Operand:
        shape, kind = shape_of(equation.outvars[0]), _kind(equation)
        values = [stretched(self.value(operand), shape) for operand in operands]
        shorter = _folded(equation.primitive.name, *values)
        if shorter is not None:
            return shorter
        return self._finished(equation, Apply(pattern, tuple(values), kind))

    def _finished(self, equation: JaxprEqn, value: Value, result: int = 0) -> Value:
        """The value itself, or where it is kept if more than one equation reads it."""
        many = self._uses[equation.outvars[result]] > 1
        return self._writer.stored(value) if many and isinstance(value, Apply) else value

    def _power(self, equation: JaxprEqn, operand: Value) -> Operand:
        exponent = equation.params["y"]
        pattern = "attractor_square({0})" if exponent == 2 else f"attractor_power({{0}}, {exponent})"
        return self._elementwise(pattern, equation, operand)

    def _converted(self, equation: JaxprEqn, operand: Value) -> Operand:
        check_rounding(equation, "C")
        new = np.dtype(equation.params["new_dtype"])
        if new.kind == "b":
            pattern = "({0} != 0)"
        elif new.kind == "f" and operand.kind == "real":
            pattern = "{0}" if new.itemsize >= 8 or self._writer.real == "float" else "(double)(float)({0})"
        else:
            pattern = f"({self._writer.real if new.kind == 'f' else 'long'})({{0}})"
        return self._elementwise(pattern, equation, operand)

    def _chosen(self, equation: JaxprEqn, which: Operand, *cases: Operand) -> Operand:
        pattern = "{1}"
        values = [which, *cases]
        if len(cases) == 2:
            return self._elementwise("({0} ? {2} : {1})", equation, *values)
        values[0] = self._writer.stored(self.value(which))  # it is looked at several times
        for case in range(1, len(cases)):
            pattern = f"({{0}} == {case} ? {{{case + 1}}} : {pattern})"
        return self._elementwise(pattern, equation, *values)

    def _inverted(self, equation: JaxprEqn, operand: Value) -> Operand:
        flag = np.dtype(dtype_of(equation.outvars[0])).kind == "b"
        return self._elementwise("(!{0})" if flag else "(~{0})", equation, operand)

    def _rounded(self, equation: JaxprEqn, operand: Value) -> Operand:
        to_even = equation.params["rounding_method"].value == 1
        return self._elementwise(self._call("rint({0})" if to_even else "round({0})"), equation, operand)

    def _moved(self, equation: JaxprEqn, *operands: Operand) -> list[Value]:
        moved = move(equation, *operands)
        if len(moved.operands) > 1:
            return [self._joined(equation, moved)]
        value = self.value(moved.operands[0])
        if any(len(np.unique(indices)) < indices.size for indices in moved.indices):
            value = self._writer.stored(value)  # an entry that is read twice is computed once
        return [
            self._finished(equation, take(value, indices), result)
            for result, indices in enumerate(moved.indices)
        ]

    def _joined(self, equation: JaxprEqn, moved: Move) -> Value:
        """Several operands in one new array."""
        positions = moved.indices[0]
        target = self._writer.buffer(positions.shape, _kind(equation))
        flat, start = positions.ravel(), 0
        for operand in moved.operands:
            value = self.value(operand)
            size = int(np.prod(value.shape))
            found = np.flatnonzero((flat >= start) & (flat < start + size))
            if len(np.unique(flat[found])) < len(found):
                value = self._writer.stored(value)
            rows = _rows(found)
            if found.size:
                self._writer.store(target.taken(rows), take(value, flat[rows] - start))
            start += size
        return target

    def _added(self, equation: JaxprEqn, operand: Operand, indices: Operand, updates: Operand) -> Value:
        """The operand with the updates added, those that meet in one entry one after the other."""
        places = added_to(equation, indices)
        target = self._writer.buffer(shape_of(equation.outvars[0]), _kind(equation))
        self._writer.store(target, self.value(operand))
        value = self._writer.stored(self.value(updates))
        found = np.flatnonzero(places >= 0)
        while found.size:
            _, first = np.unique(places[found], return_index=True)
            once = found[np.sort(first)]
            entries = target.taken(places[once])
            total = Apply("({0} + {1})", (entries, take(value, once)), target.kind)
            self._writer.store(entries, total)
            found = np.setdiff1d(found, once)
        return target

    def _reduced(self, start: str, pattern: str, equation: JaxprEqn, operand: Value) -> Value:
        axes, shape = tuple(equation.params["axes"]), shape_of(equation.outvars[0])
        kept = [axis for axis in range(len(operand.shape)) if axis not in axes]
        order = numbered(operand.shape).transpose([*kept, *axes]).reshape(int(np.prod(shape)), -1)
        target = self._writer.buffer(shape, operand.kind)
        rows = Read(target.base, target.positions.reshape(-1, 1), target.kind)
        self._running(start, pattern, take(operand, order), last=rows)
        return target

    def _accumulated(self, start: str, pattern: str, equation: JaxprEqn, operand: Value) -> Value:
        axis, step = equation.params["axis"], -1 if equation.params["reverse"] else 1
        lines = np.moveaxis(numbered(operand.shape), axis, -1)
        order = lines.reshape(-1, lines.shape[-1])[:, ::step]
        target = self._writer.buffer(operand.shape, operand.kind)
        self._running(start, pattern, take(operand, order), each=target.taken(order))
        return target

    def _running(
        self, start: str, pattern: str, rows: Value, *, last: Read | None = None, each: Read | None = None
    ) -> None:
        """A loop over rows that carries a value along each."""
        writer, (count, length) = self._writer, rows.shape
        start = (
            start
            if rows.kind == "real"
            else start.replace("-INFINITY", "LONG_MIN").replace("INFINITY", "LONG_MAX")
        )
        kind = writer.real if rows.kind == "real" else rows.kind
        update = pattern.format("s", writer.expression(rows, "ij"))
        store = f" {writer.expression(each, 'ij')} = s;" if each is not None else ""
        body = [f"{kind} s = {start};", f"for (int j = 0; j < {length}; ++j) {{ s = {update};{store} }}"]
        if last is not None:
            body.append(f"{writer.expression(last, ['i', '0'])} = s;")
        writer.loops([("i", count)], ["{", *body, "}"])

    def _product(self, equation: JaxprEqn, left: Operand, right: Operand) -> Value:
        return product(self._writer, Contraction.of(equation), self.value(left), self.value(right), equation)


def _kind(equation: JaxprEqn) -> str:
    """The C type of a result.

    Raises:
        UnsupportedError: C99 code here knows no such numbers; the message says where they arise.
    """
    try:
        return kind_of(dtype_of(equation.outvars[0]))
    except UnsupportedError as problem:
        raise UnsupportedError(
            f"{problem}; '{equation.primitive.name}'{location(equation)} makes them"
        ) from problem


def _folded(name: str, *values: Value) -> Operand | None:
    """A shorter value where one operand is all zeros or ones; None if there is none."""
    numbers: list[Callable[[float], bool]] = [partial(_all_are, value) for value in values]
    if name == "mul":
        for own, other in ((0, 1), (1, 0)):
            if numbers[own](0.0):
                return np.zeros(values[0].shape)
            if numbers[own](1.0):
                return values[other]
    if name in ("add", "add_any"):
        for own, other in ((0, 1), (1, 0)):
            if numbers[own](0.0):
                return values[other]
    if (name == "sub" and numbers[1](0.0)) or (name == "div" and numbers[1](1.0)):
        return values[0]
    return None


def _all_are(value: Value, number: float) -> bool:
    return isinstance(value, Known) and uniform_number(value) == number


def uniform_number(value: Known) -> float | None:
    """The number that all entries are, if they are real and equal."""
    array = value.array
    if value.kind != "real" or not array.size or not np.all(array == array.flat[0]):
        return None
    return float(array.flat[0])


def _rows(positions: np.ndarray) -> np.ndarray:
    """Increasing positions as rows of neighbours, if they are rows of one length."""
    breaks = np.flatnonzero(np.diff(positions) != 1)
    length = int(breaks[0]) + 1 if breaks.size else positions.size
    return positions.reshape(-1, length) if length and positions.size % length == 0 else positions
