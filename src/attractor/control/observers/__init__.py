"""Observers: the state of a model from what was applied to the plant and what was measured."""

from .esn_observer import esn_observer
from .factory import KINDS, observer_for
from .gru_observer import gru_observer
from .guarded_kalman import Contraction, guarded_kalman_observer
from .kalman import NoiseLevels, kalman_observer
from .learned import learned_observer
from .lstm_observer import lstm_observer
from .measured import measured_observer
from .open_loop import open_loop_observer
from .protocol import Convergence, Observer
from .running import ObserverMap, RunningObserver, estimates

__all__ = [
    "KINDS",
    "Contraction",
    "Convergence",
    "NoiseLevels",
    "Observer",
    "ObserverMap",
    "RunningObserver",
    "esn_observer",
    "estimates",
    "gru_observer",
    "guarded_kalman_observer",
    "kalman_observer",
    "learned_observer",
    "lstm_observer",
    "measured_observer",
    "observer_for",
    "open_loop_observer",
]
