"""C99 files without dependencies: a step, any program, a predictive controller."""

from .c_controller import (
    CompiledController,
    ControllerAnswer,
    ControllerCode,
    ControllerStatus,
    controller_source,
    step_with_jacobians,
    to_c_controller,
)
from .c_step import CFunction, c_compiler, c_prelude, c_source, compile_c, load_c, to_c, to_c_function

__all__ = [
    "CFunction",
    "CompiledController",
    "ControllerAnswer",
    "ControllerCode",
    "ControllerStatus",
    "c_compiler",
    "c_prelude",
    "c_source",
    "compile_c",
    "controller_source",
    "load_c",
    "step_with_jacobians",
    "to_c",
    "to_c_controller",
    "to_c_function",
]
