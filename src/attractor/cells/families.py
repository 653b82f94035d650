"""Cells by name, for the command line and for run folders."""

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

from attractor.errors import ConfigError

from .elman import Elman
from .esn import EchoState
from .gated_flow import gated_rate
from .gru import GRU, ResetAfterGRU
from .lipschitz import GatedLipschitz, Lipschitz, antisymmetric
from .lstm import LSTM
from .mgrn import ChannelwiseLSTM, MemoryGated
from .nnarx import NNARX
from .recurrent_equilibrium import RecurrentEquilibrium
from .state_space import NeuralStateSpace

CELLS: dict[str, Callable[..., Any]] = {
    "tanh": Elman,
    "gru": GRU,
    "gru-reset-after": ResetAfterGRU,
    "lstm": LSTM,
    "esn": EchoState,
    "nnarx": NNARX,
    "state-space": NeuralStateSpace,
    "lipschitz": Lipschitz,
    "mgrn": MemoryGated,
    "channelwise-lstm": ChannelwiseLSTM,
    "lipschitz-gated": GatedLipschitz,
    "antisymmetric": antisymmetric,
    "gated-rate": gated_rate,
    "ren": RecurrentEquilibrium,
}
"""Every name builds a cell by `build(input_size, hidden_size, *, key)`."""


def cell_class(name: str) -> Callable[..., Any]:
    """The class behind a name.

    Raises:
        ConfigError: unknown name; the nearest one is suggested.
    """
    if name in CELLS:
        return CELLS[name]
    near = get_close_matches(name, CELLS, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    message = f"unknown cell {name!r}{hint} Known: {', '.join(CELLS)}, or give a class of your own"
    raise ConfigError(message)
