"""Regimes, and cells brought into them: theory is solved for gains and biases, then the cell is measured."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from inspect import signature
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from attractor.cells import CellLike, Stack, cell_class, name_of
from attractor.cells.initial import memory_bias
from attractor.claims import Solution
from attractor.errors import ConfigError, UnsupportedError
from attractor.shown import Shown

from .at_rest import SETTLING, Measured, edge_of, measure, scaled, state_matrices
from .couplings import (
    CANDIDATE,
    QUANTILES,
    Coupling,
    Couplings,
    EffectiveParameters,
    RestingModes,
    coupling_names,
    edge_gain,
    effective_parameters,
    flow_of,
    has_theory,
    resting_modes,
    time_quantiles,
    with_parameters,
)

# Measured time scales and those of units agree within a factor 1 + 4 / sqrt(units); in 150 random
# networks of 24 to 192 units with memories of 2 to 400 steps the largest was 3.1 instead of 4.
_TIMES_DIFFER = 4.0

_SCALED_WELL = 1e-3
_SHORTEST, _LONGEST = 400, 3000


Timescales = tuple[float | int, float | int]

# Steps over which the gated cells of this library remember when no time scales are asked for.
SHORT_LAG = 20


@dataclass(frozen=True)
class Goal:
    """What a regime asks for.

    Args:
        criticality: gain of the candidate over the gain at which zero loses stability.
        gate_gain: gain of all gates.
        needs_timescales: whether the regime is made of the memories of single units.
    """

    criticality: float
    gate_gain: float
    needs_timescales: bool = False


# A gate gain of 1 is well below the fold (sqrt(8) for a gate that rests half open): one resting state.
#
# The theory has a second way to long memories, an update gate of gain 20 that rests half open and pins
# states. It makes switches of the gates, through which gradients hardly pass, so here an integrator is
# held by biases.
GOALS = {
    "contracting": Goal(criticality=0.5, gate_gain=0.2),
    "edge": Goal(criticality=1.0, gate_gain=1.0),
    "integrator": Goal(criticality=1.0, gate_gain=0.2, needs_timescales=True),
}


def goal_of(regime: str, timescales: Timescales | None) -> Goal:
    """What a regime asks for.

    Raises:
        ConfigError: an unknown regime, or an integrator without time scales.
    """
    if regime not in GOALS:
        raise ConfigError(f"regime={regime!r}: expected one of {', '.join(GOALS)}")
    if GOALS[regime].needs_timescales and timescales is None:
        raise ConfigError(
            f'regime="{regime}" needs timescales=(shortest, longest), in steps; '
            "for a task with lags up to T take (2, T)"
        )
    return GOALS[regime]


def couplings_for(cell: Any, regime: str, timescales: Timescales | None) -> Couplings:
    r"""Gains and biases that bring a cell into a regime.

    Biases first: the keep (forget) gate of unit i rests at $1 - 1/\tau_i$ with $\tau$ spread geometrically
    over the time scales, or half open without them; the update gate of a flow, which is a rate, at
    $1/\tau_i$; the input gate of an LSTM at 1 - f, so that its memory stays bounded; all other gates half
    open. Then the gain of the candidate, from $L(1) = \text{criticality}^2$; for a GRU that is $a_h
    \sigma(b_r) = \text{criticality}$.

    Args:
        cell: one that the theory knows; its weights do not matter.
        regime: "contracting", "edge" or "integrator".
        timescales: shortest and longest memory of the units.

    Raises:
        ConfigError: an unknown regime, or time scales that are missing, in the wrong order or too short.
        UnsupportedError: time scales for a cell without a gate that keeps its state.
    """
    goal, names = goal_of(regime, timescales), coupling_names(cell)
    size = cell.hidden_size
    memory = np.zeros(size) if timescales is None else _memory_bias(cell, size, timescales, names)
    biases = {"keep": memory, "update": -memory}
    if "show" in names:
        biases["write"] = -memory
    half_open = np.zeros(size)
    gates = {
        name: Coupling(goal.gate_gain, biases.get(name, half_open)) for name in names if name != CANDIDATE
    }
    unit = {CANDIDATE: Coupling(1.0, half_open), **gates}
    gain = goal.criticality * edge_gain(cell, unit)
    return {CANDIDATE: Coupling(gain, half_open), **gates}


def _memory_bias(cell: CellLike, size: int, timescales: Timescales, names: tuple[str, ...]) -> np.ndarray:
    if not {"keep", "update"} & set(names):
        kind = type(flow_of(cell) or cell).__name__
        raise UnsupportedError(
            f"timescales={timescales}: no gate of {kind} keeps its state, so its units have no time scale of "
            "their own. Take a GRU, an LSTM or a gated flow with an update gate, or another regime"
        )
    shortest, longest = map(float, timescales)
    return memory_bias(size, (shortest, longest))


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
        raise ConfigError(
            f"longest_lag={longest_lag}, shortest_lag={shortest_lag}: expected 1 <= shortest <= longest"
        )
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


class Agreement(StrEnum):
    """Whether the cell is what was asked for; the value is the text that users see."""

    MET = "the measured modes are those that were asked for"
    DIFFERS = "the measured modes differ from those that were asked for by more than chance: see the warnings"


@dataclass(frozen=True, eq=False)
class Predicted:
    """What was asked for, as theory gives it.

    Args:
        leading: eigenvalue at rest; a rate for a gated flow and its map; None where only its sign is asked
            for.
        slowest_time: of its mode; infinite at the edge.
        unit_times: memory of the units by their gates alone, at the `QUANTILES`; None where none were asked
            for.
        modes: the theory of the resting state; None for a cell that was scaled by measurement.
    """

    leading: float | None
    slowest_time: float | None
    unit_times: tuple[float, ...] | None
    modes: RestingModes | None


@dataclass(frozen=True, eq=False)
class Initialised(Shown, next_call=".cell, .measured"):
    """A cell that was brought into a regime.

    Args:
        cell: the new cell.
        regime: its regime.
        predicted: what theory says of it.
        measured: what it does.
        parameters: gains and biases; None for a cell without theory.
        edge: how it was scaled; None for a cell with theory.
        warnings: where prediction and measurement differ, and what else to know.
        seconds: wall time with compilation.
    """

    cell: CellLike
    regime: str
    predicted: Predicted
    measured: Measured
    parameters: EffectiveParameters | None
    edge: Solution[float] | None
    warnings: tuple[str, ...]
    seconds: float

    @property
    def status(self) -> Agreement:
        """Whether measurement agrees with prediction."""
        return Agreement.DIFFERS if self.warnings else Agreement.MET

    def __str__(self) -> str:
        """Whether the cell does what was asked for, and what was measured."""
        found, errors = self.measured, self.measured.standard_errors
        return "\n".join([
            f"{self.regime}: {self.status.value}",
            f"exponent without input {found.autonomous_exponent:.4g} ± {errors[0]:.1g}, under noise "
            f"{found.driven_exponent:.4g} ± {errors[1]:.1g} (standard errors)",
            *self.warnings,
        ])


def initialise(
    cell: CellLike, regime: str = "contracting", timescales: Timescales | None = None, *, key: PRNGKeyArray
) -> Initialised:
    r"""Bring a cell into a regime: draw its state matrices, set its biases, and measure what comes of it.

    - "contracting": half of the gain at which zero loses stability; starts near it are soon forgotten.
    - "edge": exactly that gain, $a_h \sigma(b_r) = 1$, with gates below the fold: changes of the state live
      long, and there is one resting state.
    - "integrator": at the edge, and the gates of the units hold for times that are spread geometrically over
      `timescales`.

    GRU (both layouts), LSTM, Elman, gated flows and their fixed-step maps get normal matrices with the gains
    of the theory (arXiv 2007.14823, 2002.00025); gates listen little (gain 0.2), at the edge with gain 1. A
    cell of any other kind keeps its matrices: those that multiply the state get one factor, found by
    bisection on the leading eigenvalue that is measured. Input weights stay, but for a matrix that multiplies
    state and input together.

    Args:
        cell: what is initialised; its sizes, input weights and kind are used.
        regime: "contracting", "edge" or "integrator".
        timescales: shortest and longest memory of the units, more than 1, in steps (for a gated flow and its
            map in units of time); None lets all gates rest half open. An integrator needs them.
        key: draws the matrices, and the noise of the measurement.

    Raises:
        ConfigError: an unknown regime, or time scales that are missing, in the wrong order or too short.
        UnsupportedError: a regime that the cell cannot have; the message says why.
        DivergedError: the cell left the finite numbers under the input of the measurement.

    Example:
        >>> import jax
        >>> from attractor.cells import GRU
        >>> made = initialise(GRU(1, 32, key=jax.random.key(0)), "integrator", (2, 50), key=jax.random.key(1))
        >>> abs(made.measured.slowest_time) > 30  # at the edge some modes may grow, as slowly
        True
    """
    begun = time.perf_counter()
    goal_of(regime, timescales)
    if isinstance(cell, Stack):
        raise UnsupportedError("a Stack has no regime as a whole: initialise its cells, and stack them")
    draw_key, measure_key = jax.random.split(key)
    made, predicted, edge = (
        _by_theory(cell, regime, timescales, draw_key)
        if has_theory(cell)
        else _by_measurement(cell, regime, timescales)
    )
    longest = 0.0 if timescales is None else float(timescales[1])
    steps = int(np.clip(5 * longest, _SHORTEST, _LONGEST))  # several times the longest memory, within reason
    measured = measure(made, steps, measure_key)
    return Initialised(
        cell=made,
        regime=regime,
        predicted=predicted,
        measured=measured,
        parameters=effective_parameters(made) if has_theory(made) else None,
        edge=edge,
        warnings=tuple(_differences(made, regime, predicted, measured)),
        seconds=time.perf_counter() - begun,
    )


def _by_theory(
    cell: CellLike, regime: str, timescales: Timescales | None, key: PRNGKeyArray
) -> tuple[CellLike, Predicted, None]:
    couplings = couplings_for(cell, regime, timescales)
    modes = resting_modes(cell, couplings)
    times = None if timescales is None else time_quantiles(modes.centres, continuous=modes.continuous)
    predicted = Predicted(modes.leading, modes.slowest_time, times, modes)
    return with_parameters(cell, couplings, key), predicted, None


def _by_measurement(
    cell: CellLike, regime: str, timescales: Timescales | None
) -> tuple[CellLike, Predicted, Solution[float]]:
    if timescales is not None:
        raise UnsupportedError(
            f"timescales={timescales}: the gates of {name_of(cell)} are not known here, so only "
            "contracting and edge without time scales are possible. If its constructor takes `timescales`, "
            "give the class to `builder`"
        )
    matrices = state_matrices(cell)
    edge = edge_of(cell, matrices)
    made = scaled(cell, matrices, edge.value * goal_of(regime, timescales).criticality)
    leading = (1.0 if callable(cell) else 0.0) if regime == "edge" else None
    return made, Predicted(leading, None if leading is None else np.inf, None, None), edge


def _differences(made: Any, regime: str, predicted: Predicted, measured: Measured) -> Iterator[str]:
    if not measured.at_rest:
        yield (
            f"without input the state still moves by {measured.rest_residual:.2g} per step after {SETTLING} "
            "steps: eigenvalues are those of a passing state"
        )
    if not _leading_agrees(predicted, measured):
        yield (
            f"the leading eigenvalue is {measured.leading:.4g}, expected {predicted.leading:.4g}: more "
            f"than chance for {made.hidden_size} units; draw again, or take more units"
        )
    yield from _wrong_times(predicted, measured)
    still, margin = (3 * error for error in measured.standard_errors)
    if measured.driven_exponent > margin:
        yield (
            f"white input of variance 1 makes it chaotic (exponent {measured.driven_exponent:.3g}): scale "
            "the input weights, or take the contracting regime"
        )
    if regime == "contracting" and measured.autonomous_exponent > still:
        yield f"without input its exponent is {measured.autonomous_exponent:.3g}, which is not contracting"
    if regime == "contracting" and predicted.modes is None and measured.slowest_time > SHORT_LAG:
        yield (
            f"half of the coupling at the edge leaves a memory of {measured.slowest_time:.4g} steps: not "
            "coupling but the leak or damping of the cell decides how fast it forgets"
        )


def _leading_agrees(predicted: Predicted, measured: Measured) -> bool:
    """What grows is the real part of a rate, and the modulus of a factor."""
    modes, value, tolerance = predicted.modes, measured.leading, _SCALED_WELL
    if predicted.leading is None:
        return True
    if modes is not None:
        value, tolerance = modes.own(measured.eigenvalues)[0], modes.tolerance
    size = value.real if measured.continuous else abs(value)
    return bool(abs(size - predicted.leading) < tolerance)


def _wrong_times(predicted: Predicted, measured: Measured) -> Iterator[str]:
    """Coupling makes the longest times longer, so those are only held from below.

    Yields:
        A warning for every quantile that is wrong.
    """
    modes = predicted.modes
    if modes is None or predicted.unit_times is None:
        return
    found = time_quantiles(modes.own(measured.eigenvalues)[: len(modes.centres)], continuous=modes.continuous)
    factor = 1 + _TIMES_DIFFER / len(modes.centres) ** 0.5
    most = (factor, factor, np.inf)
    for quantile, one, asked, above in zip(QUANTILES, found, predicted.unit_times, most, strict=True):
        if not asked / factor < one < asked * above:
            yield (
                f"{quantile:.0%} of the modes are shorter than {one:.4g}; by the gates of the units it "
                f"would be {asked:.4g}. Take more units, or another draw"
            )


def builder(
    cell: str | Callable[..., CellLike], regime: str, timescales: Timescales | None = None
) -> Callable[..., CellLike]:
    """What builds a cell in a regime: give it wherever a cell class can stand.

    It is called as `build(input_size, hidden_size, *, key)`. It is a `functools.partial` of `in_regime`, so
    that a run folder keeps the options; to read such a run, hand in `in_regime`, or the builder itself.

    Args:
        cell: a name of `attractor.cells.FAMILIES`, or a class of your own.
        regime: "contracting", "edge" or "integrator", see `initialise`.
        timescales: shortest and longest memory of the units, in steps.

    Raises:
        ConfigError: an unknown cell or regime, or an integrator without time scales.

    Example:
        >>> import attractor
        >>> cell = builder("gru", "integrator", timescales=(2, 400))
        >>> model = attractor.SequenceClassifier(cell=cell)  # load(folder, cell=in_regime) reads it back
    """
    goal_of(regime, timescales)
    if isinstance(cell, str):
        cell_class(cell)
    return partial(in_regime, cell=cell, regime=regime, timescales=timescales)


def in_regime(
    input_size: int,
    hidden_size: int,
    *,
    cell: str | Callable[..., CellLike] = "gru",
    regime: str = "contracting",
    timescales: Timescales | None = None,
    key: PRNGKeyArray,
) -> CellLike:
    """A new cell in a regime, unmeasured; `initialise` measures one, too.

    It can be traced. A cell that the theory does not know gets the factor that brings a sample of it, drawn
    from a fixed key, into the regime; its constructor gets the time scales.

    Args:
        input_size: length of the input.
        hidden_size: length of the state.
        cell: a name, or anything that builds a cell by `cell(input_size, hidden_size, *, key)`.
        regime: see `initialise`.
        timescales: see `initialise`.
        key: draws the weights.

    Raises:
        ConfigError: an unknown cell or regime, or time scales that are missing, in the wrong order or too
            short.
        UnsupportedError: a regime that the cell cannot have.
    """
    goal = goal_of(regime, timescales)
    build = cell_class(cell) if isinstance(cell, str) else cell
    own_key, draw_key = jax.random.split(key)
    made = build(input_size, hidden_size, key=own_key)
    if has_theory(made):
        return with_parameters(made, couplings_for(made, regime, timescales), draw_key)
    if timescales is not None:
        build = _with_timescales(build, timescales)
        made = build(input_size, hidden_size, key=own_key)
    with jax.ensure_compile_time_eval():  # networks are built inside a trace; the sample must have numbers
        sample = build(input_size, hidden_size, key=jax.random.key(0))
        matrices = state_matrices(sample)
        edge = edge_of(sample, matrices)
    return scaled(made, matrices, goal.criticality * edge.value)


def _with_timescales(build: Callable[..., CellLike], timescales: Timescales) -> Callable[..., CellLike]:
    if "timescales" not in signature(build).parameters:
        raise UnsupportedError(
            f"timescales={timescales}: the gates of {getattr(build, '__name__', build)} are not known here, "
            "and it takes no `timescales`; leave them out, and take the contracting or the edge regime"
        )
    return partial(build, timescales=timescales)
