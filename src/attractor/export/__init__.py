"""Cells in the formats of other tools.

CasADi and ONNX are asked for when something is exported to them, not when this package is imported.
"""

from .c.c_controller import CompiledController, ControllerCode, ControllerStatus, to_c_controller
from .c.c_step import to_c, to_c_function
from .casadi_function import casadi_expressions, to_casadi, write_casadi
from .exporters import EXPORTERS, Exporter, check_parity, export, written_deviation
from .flat_step import flat_step
from .numpy_step import to_numpy
from .onnx_model import OnnxCheck, to_onnx
from .published_weights import from_lipschitz_state, from_mgrn_state
from .torch_weights import from_torch_state, load_torch, save_torch, to_torch_state

__all__ = [
    "EXPORTERS",
    "CompiledController",
    "ControllerCode",
    "ControllerStatus",
    "Exporter",
    "OnnxCheck",
    "casadi_expressions",
    "check_parity",
    "export",
    "flat_step",
    "from_lipschitz_state",
    "from_mgrn_state",
    "from_torch_state",
    "load_torch",
    "save_torch",
    "to_c",
    "to_c_controller",
    "to_c_function",
    "to_casadi",
    "to_numpy",
    "to_onnx",
    "to_torch_state",
    "write_casadi",
    "written_deviation",
]
