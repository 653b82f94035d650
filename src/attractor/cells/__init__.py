"""The update equations: one published family a file; no training, no files, no time loop."""

from .contract import Cell, State, exposed, exposed_size, initial_state, weight_dtype
from .elman import Elman
from .esn import EchoState
from .gated_lipschitz import GatedLipschitz
from .gru import GRU, ResetAfterGRU
from .lipschitz import Lipschitz, LipschitzForm, StateNoise, antisymmetric
from .lstm import LSTM
from .nnarx import NNARX
from .recurrent_equilibrium import EquilibriumMatrices, RecurrentEquilibrium
from .registry import CELLS, cell_class
from .stack import Stack
from .state_space import NeuralStateSpace

__all__ = [
    "CELLS",
    "GRU",
    "LSTM",
    "NNARX",
    "Cell",
    "EchoState",
    "Elman",
    "EquilibriumMatrices",
    "GatedLipschitz",
    "Lipschitz",
    "LipschitzForm",
    "NeuralStateSpace",
    "RecurrentEquilibrium",
    "ResetAfterGRU",
    "Stack",
    "State",
    "StateNoise",
    "antisymmetric",
    "cell_class",
    "exposed",
    "exposed_size",
    "initial_state",
    "weight_dtype",
]
