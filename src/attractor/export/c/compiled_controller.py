"""An exported controller, compiled on this machine and called from Python."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from time import perf_counter

import numpy as np
from jaxtyping import Float

from attractor.errors import ShapeError

from .compiler import compile_c, load_c
from .controller import ControllerCode, to_c_controller


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


_NUMBERS = ctypes.POINTER(ctypes.c_double)


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
        pointers = [array.ctypes.data_as(_NUMBERS) for array in (*given, new_plan, now)]
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
                message = f"{name} has shape {array.shape}, expected {shape}"
                raise ShapeError(message)
