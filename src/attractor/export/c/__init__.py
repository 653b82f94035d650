"""C99 files without dependencies: a step, any program, a predictive controller."""

from .compiled_controller import CompiledController, ControllerAnswer, ControllerStatus
from .compiler import c_compiler, compile_c, load_c
from .controller import ControllerCode, controller_source, step_with_jacobians, to_c_controller
from .functions import CFunction, c_prelude, to_c_function
from .step import c_source, to_c

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
