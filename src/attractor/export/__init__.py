"""Cells in the formats of other tools.

CasADi and ONNX are asked for when something is exported to them, not when this package is imported.
"""

from .c import (
    CompiledController,
    ControllerAnswer,
    ControllerCode,
    ControllerStatus,
    to_c,
    to_c_controller,
    to_c_function,
)
from .casadi_function import casadi_expressions, to_casadi, write_casadi
from .flat_step import FlatStep, flat_step
from .numpy_step import to_numpy
from .onnx_model import OnnxCheck, OnnxExport, to_onnx_sequence, to_onnx_step
from .parity import check_parity, written_deviation
from .published_weights import PublishedNetwork, from_lipschitz_state, from_mgrn_state
from .torch_weights import from_torch_state, load_torch, save_torch, to_torch_state

__all__ = [
    "CompiledController",
    "ControllerAnswer",
    "ControllerCode",
    "ControllerStatus",
    "FlatStep",
    "OnnxCheck",
    "OnnxExport",
    "PublishedNetwork",
    "casadi_expressions",
    "check_parity",
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
    "to_onnx_sequence",
    "to_onnx_step",
    "to_torch_state",
    "write_casadi",
    "written_deviation",
]
