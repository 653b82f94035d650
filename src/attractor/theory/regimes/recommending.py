"""A rule that picks a regime from the longest lag of a task, and says when the choice does not matter."""

from dataclasses import dataclass

from attractor.errors import ConfigError

from .goals import SHORT_LAG, Timescales


@dataclass(frozen=True)
class Recommendation:
    """A regime for a task.

    Args:
        regime: for `initialise` and `builder`.
        timescales: for them, too.
        matters: whether another start is expected to train worse.
        reason: why, in a sentence for users.
    """

    regime: str
    timescales: Timescales | None
    matters: bool
    reason: str


def recommended_regime(longest_lag: float | int, shortest_lag: float | int = 2) -> Recommendation:
    """The regime for a task whose output depends on inputs up to so many steps ago.

    Always the contracting one. Up to 20 steps without time scales: any start trains there. Beyond, the gates
    of units must hold for the lag: time scales from the shortest to the longest one, log-uniform because the
    lags in between are not known (Tallec and Ollivier 2018, arXiv 1804.11188). The coupling stays at half of
    its edge: at the edge (an integrator) training took up to twice the steps.

    `python -m experiments.regimes` measures what the rule is worth: much for an LSTM, little for a
    GRU, which the start of this library already serves.

    Args:
        longest_lag: in steps, at least 1.
        shortest_lag: in steps; below 2 it counts as 2, the memory of a gate that is half open.

    Raises:
        ConfigError: lags below 1, or in the wrong order.
    """
    if not 1 <= shortest_lag <= longest_lag:
        message = f"longest_lag={longest_lag}, shortest_lag={shortest_lag}: expected 1 <= shortest <= longest"
        raise ConfigError(message)
    if longest_lag <= SHORT_LAG:
        reason = (
            f"a lag of {longest_lag:g} steps is within reach of any start; a contracting one forgets the rest"
        )
        return Recommendation("contracting", None, False, reason)
    times = (max(float(shortest_lag), 2.0), float(longest_lag))
    reason = (
        f"over {longest_lag:g} steps the coupling alone forgets; the gates of some units must hold that long"
    )
    return Recommendation("contracting", times, True, reason)
