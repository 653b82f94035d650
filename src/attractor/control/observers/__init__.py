"""Observers beside the open loop: each by its function, or by name."""

import equinox as eqx
from jaxtyping import ArrayLike

from attractor.cells import GRU, LSTM, NNARX, EchoState, ResetAfterGRU
from attractor.control.model import ControlModel
from attractor.control.observer import RunningObserver, open_loop_observer
from attractor.errors import ConfigError, UnsupportedError

from .esn_observer import esn_observer
from .gated_observers import gru_observer, lstm_observer
from .kalman import Contraction, NoiseLevels, guarded_kalman_observer, kalman_observer
from .past_samples import learned_observer, measured_observer

__all__ = [
    "KINDS",
    "Contraction",
    "NoiseLevels",
    "esn_observer",
    "gru_observer",
    "guarded_kalman_observer",
    "kalman_observer",
    "learned_observer",
    "lstm_observer",
    "measured_observer",
    "observer_for",
]

KINDS = ("auto", "measured", "injection", "learned", "kalman", "open-loop")


def observer_for(
    model: ControlModel,
    kind: str = "auto",
    input_bound: float | int = 1.0,
    state: ArrayLike | None = None,
) -> RunningObserver:
    """An observer by name, or the one that suits the model.

    "auto" reads the state off if it can be measured, else takes gains with a proved rate if there are any,
    else the extended Kalman filter. The encoder is not among them: asked at every sample it predicted the
    next output of the pH plant several times worse than the filter (`benchmarks/observers.py`).

    Args:
        model: the model.
        kind: "auto", "measured" (NNARX), "injection" (gains for GRU, LSTM or echo state network), "learned"
            (encoder), "kalman" (any cell), "open-loop" (any cell).
        input_bound: largest component of a scaled input that a proved rate shall hold for.
        state: the first estimate; rest by default.

    Raises:
        ConfigError: an unknown kind.
        UnsupportedError: the kind does not fit the model.
    """
    if kind not in KINDS:
        raise ConfigError(f"unknown observer {kind!r}; expected one of {', '.join(KINDS)}")
    if kind == "auto":
        return _suitable(model, input_bound, state)
    if kind == "injection":
        return _injection(model, input_bound, state)
    builders = {
        "measured": measured_observer,
        "learned": learned_observer,
        "kalman": kalman_observer,
        "open-loop": open_loop_observer,
    }
    return builders[kind](model, state=state)


def _suitable(model: ControlModel, input_bound: float | int, state: ArrayLike | None) -> RunningObserver:
    cell = model.network.cell
    if type(cell) is NNARX:
        return measured_observer(model, state)
    if type(cell) in _INJECTED and model.network.readout is not None:
        proved = _injection(model, input_bound, state)
        if proved.statement.guaranteed:
            return proved
    return kalman_observer(model, state=state)


_INJECTED = {
    **dict.fromkeys((GRU, ResetAfterGRU, eqx.nn.GRUCell), gru_observer),
    **dict.fromkeys((LSTM, eqx.nn.LSTMCell), lstm_observer),
    EchoState: lambda model, input_bound, state: esn_observer(model, state=state),
}


def _injection(model: ControlModel, input_bound: float | int, state: ArrayLike | None) -> RunningObserver:
    kind = type(model.network.cell)
    if kind not in _INJECTED:
        raise UnsupportedError(
            f"no gains are known for the cell {kind.__name__}; take 'kalman' or 'open-loop'"
        )
    return _INJECTED[kind](model, input_bound=input_bound, state=state)
