"""A predictive controller as one C99 file: nothing but math.h, no memory from the heap, fixed sizes."""

import ctypes
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from importlib.resources import files
from os import PathLike
from pathlib import Path
from time import perf_counter
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attractor.errors import ConfigError, ShapeError
from attractor.files import write_atomically
from attractor.program import Program, double_precision, trace
from attractor.shown import Shown

from .c_step import (
    NO_FAST_MATH,
    CFunction,
    c_array,
    c_prelude,
    check_c_name,
    compile_c,
    load_c,
    pointer,
    to_c_function,
)
from .c_writer import LARGEST_ON_STACK

_MOST_VARIABLES = 64
"""Inputs times horizon; beyond that a solver that keeps dense matrices is the wrong one."""


@dataclass(frozen=True)
class ControllerCode(Shown):
    """What an exported predictive controller minimises, and how.

    sum_{k<N} |y_{k+1} - y_r|_Q^2 + |u_k - u_r|_R^2 + |u_k - u_{k-1}|_S^2 + |x_N - x_r|_P^2 over
    u_0 .. u_{N-1}, with x_{k+1} = f(x_k, u_k), y_{k+1} = g(x_{k+1}), low <= u_k <= high and, if wanted,
    |u_k - u_{k-1}| <= rate. |v|_W^2 = v'Wv.

    Args:
        step: f(x, u), a function of vectors in float64.
        output: g(x).
        horizon: N, samples.
        output_weight: Q, (outputs, outputs).
        input_weight: R, (inputs, inputs).
        increment_weight: S, (inputs, inputs).
        terminal_weight: P, (states, states).
        low: smallest inputs.
        high: largest inputs.
        rate: largest change of each input from one sample to the next; None for no limit.
        iterations: most iterations of the sequence of quadratic programs; 1 is the real-time iteration.
        tolerance: largest change of any input in the last iteration, which is still taken.
        precision: of all numbers in C; "float" for processors that know single precision only, where what is
            smaller than its rounding cannot be asked for.

    Raises:
        ConfigError: more than 64 numbers to decide on, limits that contradict each other, a weight that is
            not symmetric and positive semidefinite.
        ShapeError: sizes that do not fit.
    """

    step: Callable[[Array, Array], Array]
    output: Callable[[Array], Array]
    horizon: int
    output_weight: Float[np.ndarray, "_ _"]
    input_weight: Float[np.ndarray, "_ _"]
    increment_weight: Float[np.ndarray, "_ _"]
    terminal_weight: Float[np.ndarray, "_ _"]
    low: Float[np.ndarray, "_"]
    high: Float[np.ndarray, "_"]
    rate: Float[np.ndarray, "_"] | None = None
    iterations: int = 20
    tolerance: float = 1e-5
    precision: Literal["double", "float"] = "double"

    def __post_init__(self) -> None:
        names = ("output_weight", "input_weight", "increment_weight", "terminal_weight")
        for name in names:
            _check_weight(name, getattr(self, name))
        limits = [self.low, self.high] if self.rate is None else [self.low, self.high, self.rate]
        shapes = [self.input_weight.shape[0], self.increment_weight.shape[0], *map(len, limits)]
        if len(set(shapes)) != 1:
            raise ShapeError(
                f"input weight, increment weight and limits speak of {shapes} inputs; one number expected"
            )
        if not all(np.all(np.isfinite(limit)) for limit in limits) or not np.all(self.low < self.high):
            raise ConfigError(
                f"limits low={self.low}, high={self.high}, rate={self.rate}: expected finite low < high"
            )
        if self.rate is not None and not np.all(self.rate > 0):
            raise ConfigError(f"rate={self.rate}: expected positive numbers")
        if self.horizon < 1 or self.iterations < 1 or not self.tolerance > 0:
            raise ConfigError(
                f"horizon={self.horizon}, iterations={self.iterations}, tolerance={self.tolerance}: expected "
                "at least 1, at least 1, more than 0"
            )
        if self.horizon * len(self.low) > _MOST_VARIABLES:
            raise ConfigError(
                f"horizon {self.horizon} times {len(self.low)} inputs is more than {_MOST_VARIABLES} numbers "
                "to decide on; shorten the horizon"
            )

    @property
    def sizes(self) -> dict[str, int]:
        """Numbers in the state, input and output."""
        weights = (self.terminal_weight, self.input_weight, self.output_weight)
        return {
            name: len(weight) for name, weight in zip(("STATES", "INPUTS", "OUTPUTS"), weights, strict=True)
        }


def to_c_controller(code: ControllerCode, path: str | PathLike[str], *, name: str = "controller") -> Path:
    """Write the controller with its model as one C file; the header in it says how it is called.

    `int NAME_control(x0, y_ref, u_ref, x_ref, u_previous, u_plan, u_now, stats)` solves the problem by a
    condensed Gauss-Newton sequence of quadratic programs, each solved by the dual active set method of
    Goldfarb and Idnani (1983), with a line search on the true cost. Where errors are large or steps shrink
    slowly, because a target is out of reach, second derivatives are added as far as the program stays convex;
    they are computed anew only where steps go on shrinking slowly. It starts from
    the plan of the last call, one sample later. It returns 0 (converged), 1 (iteration limit: the best plan
    so far), 2 (a number was not finite: the previous input is held) or 3 (the reference was not: the same).
    The input it gives is within the limits in every case.

    Args:
        code: the problem.
        path: the file to write.
        name: begins all names in the file.

    Returns:
        The path.

    Raises:
        ConfigError: a name that C does not take.
        ShapeError: the model does not fit the weights.
        UnsupportedError: a primitive without a rule; the message names it and its line.
        StorageError: the file cannot be written.
    """
    path = Path(path)
    write_atomically(path, controller_source(code, name=name).encode())
    return path


def controller_source(code: ControllerCode, *, name: str = "controller") -> str:
    """The text of the file that `to_c_controller` writes."""
    check_c_name(name)
    functions = _functions(code, name)
    variables = code.horizon * code.sizes["INPUTS"]
    limited = code.rate is not None
    path_numbers = code.horizon * code.sizes["STATES"] * (code.sizes["STATES"] + variables // code.horizon)
    memory = "static " if path_numbers > LARGEST_ON_STACK else ""
    constants = code.sizes | {
        "HORIZON": code.horizon,
        "VARIABLES": variables,
        "ROWS": variables * (4 if limited else 2),
        "LONGEST": 20 * variables + 100,
        "ITERATIONS": code.iterations,
        "LIMITED": int(limited),
        "TERMINAL": int(np.any(code.terminal_weight)),
    }
    real = code.precision
    parts = [
        in_precision(_filled(_HEADER, name, memory), real),
        NO_FAST_MATH,
        "#include <stdint.h>\n#include <string.h>",
        c_prelude(real),
        f"enum {{ {', '.join(f'{name}_{key} = {value}' for key, value in constants.items())} }};",
        in_precision(f"static const double {name}_TOLERANCE = {_tolerance(code)!r};", real),
        *(c_array(f"{name}_{key}", value, real) for key, value in _arrays(code).items()),
        in_precision(f"\nstruct {name}_stats {{ int iterations, changes; double cost, step; }};\n", real),
        *(function.code for function in functions),
        in_precision(
            _filled(files(__name__.rpartition(".")[0]).joinpath("controller.c").read_text(), name, memory),
            real,
        ),
    ]
    return "\n".join(parts)


_SMALL = {
    "double": {
        "bits": "uint64_t",
        "fraction": "52",
        "exponent": "0x7ff",
        "digits": "0xfffffffffffff",
        "feasible": "1e-12",
        "dependent": "1e-14",
        "damping": "1e-12",
        "least": "1e-300",
        "rounding": "1e-14",
        "flat": "1e-15",
        "settled": "1e-13",
        "spare": "1e-9",
        "reached": "1e-6",
    },
    "float": {
        "bits": "uint32_t",
        "fraction": "23",
        "exponent": "0xff",
        "digits": "0x7fffff",
        "feasible": "1e-6",
        "dependent": "1e-6",
        "damping": "1e-6",
        "least": "1e-30",
        "rounding": "1e-6",
        "flat": "1e-8",
        "settled": "2e-6",
        "spare": "1e-6",
        "reached": "1e-4",
    },
}
"""What counts as nothing in C code of each precision, and where its bits stand."""
_LITERAL = re.compile(r"(?<![\w.])(\d+\.\d*(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+)(?![\w.])")
_FUNCTIONS_OF_MATH = re.compile(r"\b(sqrt|fabs|fmax)\(")
_LEAST_TOLERANCE = 2e-5
"""Of a step in single precision: hundreds of its roundings, which is what a quadratic program leaves."""


def in_precision(text: str, precision: str) -> str:
    """C code of a template in a precision: types, literals, functions of math.h and what counts as nothing.

    Args:
        text: written for double.
        precision: "double" or "float"; code for float uses no number and no function of double, which a
            processor with single precision would have to emulate.
    """
    for name, value in _SMALL[precision].items():
        text = text.replace(f"@{name}@", value)
    if precision == "double":
        return text
    return _FUNCTIONS_OF_MATH.sub(r"\1f(", _LITERAL.sub(r"\1f", re.sub(r"\bdouble\b", "float", text)))


def _tolerance(code: ControllerCode) -> float:
    return code.tolerance if code.precision == "double" else max(code.tolerance, _LEAST_TOLERANCE)


_HEADER = """\
/* int @name@_control(const double *x0, const double *y_ref, const double *u_ref, const double *x_ref,
                     const double *u_previous, double *u_plan, double *u_now, struct @name@_stats *stats);

   x0          the state now
   y_ref, u_ref, x_ref   targets of output, input and last state
   u_previous  the input applied before
   u_plan      in: the plan of the last call (zeros at first); out: the plan, HORIZON x INPUTS
   u_now       the input to apply, within the limits whatever happens
   stats       iterations, changes of the active set, half the cost before the last step, last step

   Returns 0: converged, 1: iteration limit, 2: not finite, 3: the reference is not finite; with 2 and 3 the
   previous input is held.
   Numbers that are not finite are told from others, so the file refuses compilers that may take every number
   for a finite one (-ffast-math, -ffinite-math-only, /fp:fast).
   Memory is on the stack, but for arrays of more than @largest@ numbers: with such arrays, which are static,
   only one call may run at a time. */
"""


_CONSTANTS = re.compile(
    r"\b(STATES|INPUTS|OUTPUTS|HORIZON|VARIABLES|ROWS|LONGEST|ITERATIONS|LIMITED|TERMINAL|TOLERANCE|"
    r"UNASKED|LEFT_OUT|WANTED|KNOWN)\b"
)


def named(text: str, name: str) -> str:
    """A template with all names begun by that of the controller, so that two of them may meet in one file."""
    return _CONSTANTS.sub(rf"{name}_\1", text).replace("@name@", name)


def _filled(text: str, name: str, memory: str) -> str:
    return named(text, name).replace("@memory@", memory).replace("@largest@", str(LARGEST_ON_STACK))


def step_with_jacobians(
    step: Callable[[Array, Array], Array],
) -> Callable[[Array, Array], tuple[Array, Array, Array]]:
    """(x, u) -> f(x, u), and its derivatives by x and by u, transposed: entry [j, i] = d f_i / d x_j.

    The value is computed once for all directions, and what does not depend on x or u not at all.
    """

    def together(state: Array, given: Array) -> tuple[Array, Array, Array]:
        after, push = jax.linearize(step, state, given)
        across = jnp.eye(state.size + given.size)
        columns = jax.vmap(push)(across[:, : state.size], across[:, state.size :])
        return after, columns[: state.size], columns[state.size :]

    return together


def _functions(code: ControllerCode, name: str) -> tuple[CFunction, CFunction, CFunction]:
    """The model, its output, their derivatives and their second derivatives."""
    sizes = code.sizes
    with double_precision():
        state, given = jnp.zeros(sizes["STATES"]), jnp.zeros(sizes["INPUTS"])

        def reading(state: Array) -> tuple[Array, Array]:
            return code.output(state), jax.jacfwd(code.output)(state)

        def weighted(both: Array, costate: Array, pull: Array) -> Array:
            state, given = both[: sizes["STATES"]], both[sizes["STATES"] :]
            return costate @ code.step(state, given) + pull @ code.output(state)

        def curvature(state: Array, given: Array, costate: Array, pull: Array) -> Array:
            return jax.hessian(weighted)(jnp.concatenate([state, given]), costate, pull)

        _check_model(code, state, given)
        model = trace(step_with_jacobians(code.step), state, given)
        output = trace(reading, state)
        second = trace(curvature, state, given, state, jnp.zeros(sizes["OUTPUTS"]))
    return (
        _static(model, f"{name}_model", "x u next by_x by_u", code.precision),
        _static(output, f"{name}_reading", "x y by_x", code.precision),
        _static(second, f"{name}_curvature", "x u costate pull second", code.precision),
    )


def _static(program: Program, name: str, parameters: str, precision: str) -> CFunction:
    names = parameters.split()
    inputs = len(program.input_shapes)
    options = {"arguments": names[:inputs], "results": names[inputs:]}
    return to_c_function(program, name, **options, storage="static", dtype=precision)


def _check_model(code: ControllerCode, state: Array, given: Array) -> None:
    after = jax.eval_shape(code.step, state, given)
    seen = jax.eval_shape(code.output, state)
    if after.shape != state.shape or seen.shape != (code.sizes["OUTPUTS"],):
        raise ShapeError(
            f"the step makes a state of shape {after.shape} and the output has shape {seen.shape}; the "
            f"weights speak of {state.shape} and ({code.sizes['OUTPUTS']},)"
        )


def _check_weight(name: str, weight: np.ndarray) -> None:
    square = weight.ndim == 2 and weight.shape[0] == weight.shape[1]
    if not square:
        raise ShapeError(f"{name} has shape {weight.shape}, expected a square matrix")
    largest = np.abs(weight).max(initial=0.0)
    symmetric = np.all(np.isfinite(weight)) and np.allclose(weight, weight.T, atol=1e-12 * largest)
    if not symmetric or np.linalg.eigvalsh(weight).min(initial=0.0) < -1e-9 * largest:
        raise ConfigError(f"{name} is not a symmetric positive semidefinite matrix")


def _arrays(code: ControllerCode) -> dict[str, np.ndarray]:
    rate = np.zeros_like(code.low) if code.rate is None else code.rate
    weights = {
        "Q": code.output_weight,
        "R": code.input_weight,
        "S": code.increment_weight,
        "P": code.terminal_weight,
    }
    return weights | {"low": code.low, "high": code.high, "rate": rate}


class ControllerStatus(Enum):
    """How a call of an exported controller ended; the text is for users."""

    CONVERGED = "converged"
    ITERATION_LIMIT = "iteration limit reached; the best plan so far is used"
    NOT_FINITE = "a number was not finite; the previous input is held"
    REFERENCE_NOT_FINITE = "the reference was not finite; the previous input is held"


@dataclass(frozen=True)
class ControllerAnswer(Shown):
    """What one call of an exported controller gives.

    Args:
        now: the input to apply.
        plan: inputs over the horizon; the next call starts from it.
        status: how the call ended.
        iterations: quadratic programs solved.
        changes: limits that became active or inactive in them.
        cost: half of the sum that is minimised, before the last step.
        residual: the largest change of any input in the last step.
        seconds: wall time of the call.
    """

    now: Float[np.ndarray, " inputs"]
    plan: Float[np.ndarray, "horizon inputs"]
    status: ControllerStatus
    iterations: int
    changes: int
    cost: float
    residual: float
    seconds: float


_REALS = {"double": ctypes.c_double, "float": ctypes.c_float}


def stats_type(precision: str) -> type[ctypes.Structure]:
    """The struct of an exported controller in ctypes."""
    real = _REALS[precision]
    counts = [("iterations", ctypes.c_int), ("changes", ctypes.c_int)]
    return type("Stats", (ctypes.Structure,), {"_fields_": [*counts, ("cost", real), ("step", real)]})


class CompiledController:
    """An exported controller as a function of Python.

    Args:
        code: the problem.
        folder: where the C file and the library go.
        options: options of the compiler.

    Raises:
        UnsupportedError: no compiler, or a primitive without a rule.
    """

    def __init__(
        self, code: ControllerCode, folder: Path, *, options: tuple[str, ...] = ("-O3", "-march=native")
    ) -> None:
        self.code = code
        path = to_c_controller(code, folder / "controller.c")
        self._control = load_c(compile_c(path, options=options)).controller_control
        self._stats = stats_type(code.precision)
        self._dtype = np.dtype(_REALS[code.precision])

    def __call__(
        self,
        state: Float[np.ndarray, " states"],
        output_target: Float[np.ndarray, " outputs"],
        *,
        previous: Float[np.ndarray, " inputs"],
        plan: Float[np.ndarray, "horizon inputs"] | None = None,
        input_target: Float[np.ndarray, " inputs"] | None = None,
        state_target: Float[np.ndarray, " states"] | None = None,
    ) -> ControllerAnswer:
        """The input to apply now.

        Args:
            state: x_0.
            output_target: y_r.
            previous: the input applied before.
            plan: the plan of the last call; zeros at first.
            input_target: u_r; zeros by default.
            state_target: x_r; zeros by default.

        Raises:
            ShapeError: an array of another size, beyond whose end C would read.
        """
        sizes = self.code.sizes
        inputs = np.zeros(sizes["INPUTS"]) if input_target is None else input_target
        last = np.zeros(sizes["STATES"]) if state_target is None else state_target
        shape = (self.code.horizon, sizes["INPUTS"])
        new_plan = np.zeros(shape, self._dtype) if plan is None else np.array(plan, self._dtype, order="C")
        now, stats = np.zeros(sizes["INPUTS"], self._dtype), self._stats()
        given = [
            np.ascontiguousarray(array, self._dtype)
            for array in (state, output_target, inputs, last, previous)
        ]
        self._check_shapes((*given, new_plan))
        pointers = [pointer(array) for array in (*given, new_plan, now)]
        start = perf_counter()
        status = self._control(*pointers, ctypes.byref(stats))
        seconds = perf_counter() - start
        return ControllerAnswer(
            now.astype(float),
            new_plan.astype(float),
            list(ControllerStatus)[status],
            stats.iterations,
            stats.changes,
            stats.cost,
            stats.step,
            seconds,
        )

    def _check_shapes(self, arrays: Sequence[np.ndarray]) -> None:
        sizes = self.code.sizes
        states, inputs, outputs = (sizes[name] for name in ("STATES", "INPUTS", "OUTPUTS"))
        names = ("state", "output_target", "input_target", "state_target", "previous", "plan")
        shapes = ((states,), (outputs,), (inputs,), (states,), (inputs,), (self.code.horizon, inputs))
        for name, array, shape in zip(names, arrays, shapes, strict=True):
            if array.shape != shape:
                raise ShapeError(f"{name} has shape {array.shape}, expected {shape}")
