"""The update equations: one published family a file; no training, no files, no time loop."""

from .arguments import input_first
from .building import (
    FAMILIES,
    build_cell,
    cell_class,
    check_module,
    check_vector_input,
    is_built,
    trained_cell,
)
from .calling import calling, check_derivative, take_step, warn_of_order
from .constant import Constant, check_trained_arrays, constant
from .contract import (
    Cell,
    CellLike,
    HalfStep,
    State,
    exposed,
    exposed_size,
    initial_state,
    input_shape,
    input_size,
    knows_input,
    name_of,
    shaped_input,
    step_options,
    takes_key,
    weight_dtype,
)
from .delayed import Delayed, late_inputs
from .elman import Elman
from .esn import EchoState
from .flow import METHODS, Discretised, Flow, FlowLike, check_flow, discretise, rate_of
from .function import FunctionCell, FunctionFlow, cell, flow
from .gated_flow import GatedFlow, GatedForm, GatedState, gated_rate
from .gru import GRU, ResetAfterGRU
from .linear import Linear
from .lipschitz import GatedLipschitz, Lipschitz, LipschitzForm, StateNoise, antisymmetric, official_step
from .lstm import LSTM
from .mgrn import ChannelwiseLSTM, GroupMemory, MemoryGated
from .nnarx import NNARX
from .onnx_cell import OnnxCell, from_onnx
from .partition import Partition, channelled_groups, parse_groups
from .polynomial import PolynomialNARX
from .recurrent_equilibrium import RecurrentEquilibrium
from .same_state import check_same_state, in_words
from .stack import Stack
from .state_space import NeuralStateSpace

__all__ = [
    "FAMILIES",
    "GRU",
    "LSTM",
    "METHODS",
    "NNARX",
    "Cell",
    "CellLike",
    "ChannelwiseLSTM",
    "Constant",
    "Delayed",
    "Discretised",
    "EchoState",
    "Elman",
    "Flow",
    "FlowLike",
    "FunctionCell",
    "FunctionFlow",
    "GatedFlow",
    "GatedForm",
    "GatedLipschitz",
    "GatedState",
    "GroupMemory",
    "HalfStep",
    "Linear",
    "Lipschitz",
    "LipschitzForm",
    "MemoryGated",
    "NeuralStateSpace",
    "OnnxCell",
    "Partition",
    "PolynomialNARX",
    "RecurrentEquilibrium",
    "ResetAfterGRU",
    "Stack",
    "State",
    "StateNoise",
    "antisymmetric",
    "build_cell",
    "calling",
    "cell",
    "cell_class",
    "channelled_groups",
    "check_derivative",
    "check_flow",
    "check_module",
    "check_same_state",
    "check_trained_arrays",
    "check_vector_input",
    "constant",
    "discretise",
    "exposed",
    "exposed_size",
    "flow",
    "from_onnx",
    "gated_rate",
    "in_words",
    "initial_state",
    "input_first",
    "input_shape",
    "input_size",
    "is_built",
    "knows_input",
    "late_inputs",
    "name_of",
    "official_step",
    "parse_groups",
    "rate_of",
    "shaped_input",
    "step_options",
    "take_step",
    "takes_key",
    "trained_cell",
    "warn_of_order",
    "weight_dtype",
]
