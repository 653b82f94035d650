"""A predictive controller as one C99 file: nothing but math.h, no memory from the heap, fixed sizes."""

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from importlib.resources import files
from os import PathLike
from pathlib import Path
from time import perf_counter

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attractor.errors import ConfigError, ShapeError
from attractor.files import write_atomically
from attractor.program import Program, double_precision, trace

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
class ControllerCode:
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
    so far) or 2 (a number was not finite: the previous input is held). The input it gives is within the
    limits in every case.

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
    parts = [
        _filled(_HEADER, name, memory),
        NO_FAST_MATH,
        "#include <stdint.h>\n#include <string.h>",
        c_prelude(),
        f"enum {{ {', '.join(f'{key} = {value}' for key, value in constants.items())} }};",
        f"static const double TOLERANCE = {code.tolerance!r};",
        *(c_array(f"{name}_{key}", value) for key, value in _arrays(code).items()),
        f"\nstruct {name}_stats {{ int iterations, changes; double cost, step; }};\n",
        *(function.code for function in functions),
        _filled(files(__name__.rpartition(".")[0]).joinpath("controller.c").read_text(), name, memory),
    ]
    return "\n".join(parts)


_HEADER = """\
/* int @name@_control(const double *x0, const double *y_ref, const double *u_ref, const double *x_ref,
                     const double *u_previous, double *u_plan, double *u_now, struct @name@_stats *stats);

   x0          the state now
   y_ref, u_ref, x_ref   targets of output, input and last state
   u_previous  the input applied before
   u_plan      in: the plan of the last call (zeros at first); out: the plan, HORIZON x INPUTS
   u_now       the input to apply, within the limits whatever happens
   stats       iterations, changes of the active set, half the cost before the last step, last step

   Returns 0: converged, 1: iteration limit, 2: not finite, the previous input is held.
   Numbers that are not finite are told from others, so the file refuses compilers that may take every number
   for a finite one (-ffast-math, -ffinite-math-only, /fp:fast).
   Memory is on the stack, but for arrays of more than @largest@ numbers: with such arrays, which are static,
   only one call may run at a time. */
"""


def _filled(text: str, name: str, memory: str) -> str:
    return (
        text.replace("@name@", name).replace("@memory@", memory).replace("@largest@", str(LARGEST_ON_STACK))
    )


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
        _static(model, f"{name}_model", "x u next by_x by_u"),
        _static(output, f"{name}_reading", "x y by_x"),
        _static(second, f"{name}_curvature", "x u costate pull second"),
    )


def _static(program: Program, name: str, parameters: str) -> CFunction:
    names = parameters.split()
    inputs = len(program.input_shapes)
    return to_c_function(program, name, arguments=names[:inputs], results=names[inputs:], storage="static")


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


@dataclass(frozen=True)
class ControllerAnswer:
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


class _Stats(ctypes.Structure):
    _fields_ = (
        ("iterations", ctypes.c_int),
        ("changes", ctypes.c_int),
        ("cost", ctypes.c_double),
        ("step", ctypes.c_double),
    )


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
        new_plan = np.zeros(shape) if plan is None else np.array(plan, float, order="C")
        now, stats = np.zeros(sizes["INPUTS"]), _Stats()
        given = [
            np.ascontiguousarray(array, float) for array in (state, output_target, inputs, last, previous)
        ]
        self._check_shapes((*given, new_plan))
        pointers = [pointer(array) for array in (*given, new_plan, now)]
        start = perf_counter()
        status = self._control(*pointers, ctypes.byref(stats))
        seconds = perf_counter() - start
        return ControllerAnswer(
            now,
            new_plan,
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
