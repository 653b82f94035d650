"""A controller on a simulated plant (true equations, noise, disturbances), and how well it did."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float

from attractor.control.model import InputVector, OutputVector
from attractor.control.plants.plant import Plant, disturbance_rows, signal_rows
from attractor.control.plants.process import Process, process_of
from attractor.errors import ShapeError
from attractor.progress import Reporter, interactive_reporter
from attractor.report.drawn import Drawn
from attractor.shown import Shown, counted, in_words

from .control_problem import Limits, PerChannel, per_channel
from .controller import ControlSolution, PredictiveController
from .solver import SolveStatus


@dataclass(frozen=True, eq=False)
class Scenario(Shown):
    """What happens in a closed loop.

    Args:
        references: wanted outputs, one row per sample, plant units.
        disturbances: what nature does, one row per sample; the plant's nominal values by default.
        noise: standard deviation of the noise on every output; the plant's usual one by default, 0 for none.
        seed: equal seeds give equal noise.
        initial_input: the input under which the plant rests at first; its nominal one by default.
        preview: whether the controller is told the references that come.
        lost: samples in which a sensor shows nothing; None for sensors that never fail.
    """

    references: Float[np.ndarray, "time outputs"]
    disturbances: Float[np.ndarray, "rows disturbances"] | None = None
    noise: PerChannel | None = None
    seed: int = 0
    initial_input: Sequence[float | int] | None = None
    preview: bool = False
    lost: Bool[np.ndarray, "time outputs"] | None = None


@dataclass(frozen=True, eq=False)
class ClosedLoop(
    Drawn,
    picture="attractor.control.loop_page:draw_loop",
    next_call=".plot(), loop_metrics(loop, band, limits)",
):
    """A closed loop as it happened; row k is sample k, plant units where nothing else is said.

    Args:
        times: s.
        references: wanted outputs.
        measured: what the controller saw; NaN where a sensor showed nothing.
        outputs: what a sensor without noise would have shown.
        inputs: what was applied from sample k to k + 1.
        disturbances: what nature did.
        estimates: the estimated state of the model, scaled.
        offsets: the estimated output disturbance.
        reachable: whether the reference could be held, by the model.
        statuses: how the solves ended.
        solve_seconds: wall time of the solves.
        seconds: wall time of whole samples: estimate, target, solve.
        unstable_targets: samples whose target the model leaves by itself, so that there is no terminal cost.
    """

    times: Float[np.ndarray, " time"]
    references: Float[np.ndarray, "time outputs"]
    measured: Float[np.ndarray, "time outputs"]
    outputs: Float[np.ndarray, "time outputs"]
    inputs: Float[np.ndarray, "time inputs"]
    disturbances: Float[np.ndarray, "time disturbances"]
    estimates: Float[np.ndarray, "time states"]
    offsets: Float[np.ndarray, "time outputs"]
    reachable: np.ndarray
    statuses: tuple[SolveStatus, ...]
    solve_seconds: Float[np.ndarray, " time"]
    seconds: Float[np.ndarray, " time"]
    unstable_targets: int = 0

    def __str__(self) -> str:
        """How long it ran, how far from its references, and how the solves ended."""
        ended = Counter(one.name.lower().replace("_", " ") for one in self.statuses)
        error = np.abs(self.outputs - self.references).mean(axis=0)
        failed = [self.ended_badly] if self.ended_badly else []
        return "\n".join([
            *failed,
            f"closed loop of {counted(len(self.times), 'sample')}; mean distance from the references "
            f"{in_words(error)}",
            f"solves: {', '.join(f'{count} {name}' for name, count in ended.most_common())}",
            f"a solve took {1e3 * np.median(self.solve_seconds):.3g} ms (median)",
        ])

    @property
    def ended_badly(self) -> str:
        """In how many samples there was no optimal plan, and why; empty where there always was one."""
        ways = Counter(one for one in self.statuses if not one.optimal)
        if not ways:
            return ""
        why = "; ".join(f"{one.short} ({count})" for one, count in ways.most_common())
        return f"No optimal plan in {sum(ways.values())} of {len(self.statuses)} samples: {why}."


def run_closed_loop(
    controller: PredictiveController,
    plant: Plant | Process,
    scenario: Scenario,
    *,
    reporter: Reporter | None = None,
) -> ClosedLoop:
    """Control a simulated plant, which starts at rest unless it says where.

    At every sample the controller sees the noisy outputs, and the plant then runs under the input it returns
    and the disturbances of that row until the next sample.

    Args:
        controller: started by this function.
        plant: the true process, with the signals of the model in its order.
        scenario: references, disturbances, noise, lost sensors.
        reporter: is told about progress.

    Raises:
        InputDataError: a value is not finite, or the plant comes where its equations do not hold.
        ShapeError: an array does not fit the plant.
    """
    reporter = reporter or interactive_reporter("closed loop")
    references, disturbances, noise = _checked(plant, scenario)
    first = np.asarray(
        plant.nominal_inputs if scenario.initial_input is None else scenario.initial_input, float
    )
    simulated = process_of(plant, controller.card.sampling_time)
    simulated.begin(first, disturbances[0])
    first_seen = simulated.measure() + noise[0]
    controller.start(first, None if simulated.rests or not np.isfinite(first_seen).all() else first_seen)
    rows: list[tuple[np.ndarray, np.ndarray, ControlSolution]] = []
    try:
        for row, disturbing in enumerate(disturbances):
            shown = simulated.measure()
            measured = shown + noise[row]
            ahead = references[row + 1 :] if scenario.preview else references[row]
            decision = controller.act(measured, ahead if len(ahead) else references[row])
            simulated.advance(decision.input, disturbing)
            rows.append((shown, measured, decision))
            reporter.update(row + 1, len(references), decision.status.name.lower())
    finally:
        reporter.close()
    return _record(controller, references, disturbances, rows)


def _checked(plant: Plant | Process, scenario: Scenario) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """References, disturbances, and what is added to the outputs: NaN where a sensor shows nothing."""
    references = np.asarray(scenario.references, float)
    rows = len(references) if references.ndim else 0
    references = signal_rows("references", references, plant.outputs, rows)
    disturbances = disturbance_rows(plant, scenario.disturbances, rows)
    level = plant.measurement_noise if scenario.noise is None else scenario.noise
    noise = np.random.default_rng(scenario.seed).standard_normal(references.shape)
    added = per_channel("noise", level, len(plant.outputs)) * noise
    if scenario.lost is not None:
        if scenario.lost.shape != references.shape:
            raise ShapeError(
                f"lost has shape {scenario.lost.shape}; expected that of the references, {references.shape}"
            )
        added[scenario.lost] = np.nan
    return references, disturbances, added


def _record(
    controller: PredictiveController,
    references: np.ndarray,
    disturbances: np.ndarray,
    rows: list[tuple[np.ndarray, np.ndarray, ControlSolution]],
) -> ClosedLoop:
    shown, measured, decisions = zip(*rows, strict=True)

    def all_of(name: str) -> np.ndarray:
        return np.array([getattr(one, name) for one in decisions])

    return ClosedLoop(
        times=controller.card.sampling_time * np.arange(len(rows)),
        references=references,
        measured=np.array(measured),
        outputs=np.array(shown),
        inputs=all_of("input"),
        disturbances=disturbances,
        estimates=all_of("estimate"),
        offsets=all_of("disturbance"),
        reachable=all_of("reachable"),
        statuses=tuple(one.status for one in decisions),
        solve_seconds=np.array([one.solve.seconds for one in decisions]),
        seconds=all_of("seconds"),
        unstable_targets=sum(one.unstable_target for one in decisions),
    )


@dataclass(frozen=True, eq=False)
class Segment(Shown):
    """What followed one change of a reference or of a disturbance, until the next one.

    Args:
        begin: row of the change.
        end: row after the last one.
        settling: per output, seconds from the change until the output is within the band for good; NaN if it
            is outside of it in the last row.
        offset: per output, mean of output less reference over the last quarter of the segment.
    """

    begin: int
    end: int
    settling: OutputVector
    offset: OutputVector


@dataclass(frozen=True, eq=False)
class LoopMetrics(Shown):
    """How well a closed loop did, in plant units, from outputs without measurement noise.

    Args:
        segments: one for the beginning and one for every change.
        absolute_error: per output, mean absolute difference from the reference.
        travel: per input, mean absolute change from one sample to the next.
        input_violations: samples with an input or a rate beyond its limit.
        output_violations: samples with an output beyond its limit.
        alarms: samples in which the last input was held.
        fallbacks: samples in which the plan was not the solver's answer, alarms included.
        lost: samples in which a sensor showed nothing.
        reversals: per input, samples in which it went back by more than a tenth of its range, after it had
            gone forth by as much one sample before.
        swing: per input, how far at most it went forth and back, as a part of its range.
    """

    segments: tuple[Segment, ...]
    absolute_error: OutputVector
    travel: InputVector
    input_violations: int
    output_violations: int
    alarms: int
    fallbacks: int
    lost: int = 0
    reversals: tuple[int, ...] = ()
    swing: tuple[float, ...] = ()

    @property
    def chatters(self) -> tuple[bool, ...]:
        """Per input, whether it goes back and forth more often than a loop that settles."""
        return tuple(count >= _CHATTER for count in self.reversals)

    def __str__(self) -> str:
        """What counts first: limits and fallbacks, then distances."""
        return "\n".join([
            f"{counted(self.input_violations, 'sample')} with an input beyond its limits, "
            f"{self.output_violations} with an output; {counted(self.alarms, 'alarm')}, "
            f"{counted(self.fallbacks, 'fallback')}",
            f"mean distance from the references {in_words(self.absolute_error)}",
        ])


def loop_metrics(loop: ClosedLoop, band: PerChannel, limits: Limits) -> LoopMetrics:
    """Judge a closed loop.

    Args:
        loop: what happened.
        band: half width of the band around the reference in which an output counts as settled.
        limits: limits in plant units.
    """
    width = per_channel("band", band, loop.outputs.shape[1])
    errors = loop.outputs - loop.references
    low, high = limits.output_box(loop.outputs.shape[1])
    moves, back = np.abs(np.diff(loop.inputs, axis=0)), _back_and_forth(loop, limits)
    return LoopMetrics(
        segments=tuple(_segment(loop, errors, width, begin, end) for begin, end in _spans(loop)),
        absolute_error=np.abs(errors).mean(axis=0),
        travel=moves.mean(axis=0) if len(moves) else np.zeros(loop.inputs.shape[1]),
        input_violations=_beyond_inputs(loop, moves, limits),
        output_violations=int(np.any((loop.outputs < low) | (loop.outputs > high), axis=1).sum()),
        alarms=sum(status.alarm for status in loop.statuses),
        fallbacks=sum(not status.optimal for status in loop.statuses),
        reversals=tuple(int(count) for count in (back > _LARGE_MOVE).sum(axis=0)),
        swing=tuple(map(float, back.max(axis=0, initial=0.0))),
        lost=int((~np.isfinite(loop.measured)).any(axis=1).sum()),
    )


_LARGE_MOVE, _CHATTER = 0.1, 3
"""Of the range of an input; and so many such moves back make a chatter, not the answer to a step."""


def _back_and_forth(loop: ClosedLoop, limits: Limits) -> Float[np.ndarray, "moves inputs"]:
    """How far inputs went one way in one sample and back in the next, as a part of their range."""
    low, high, _ = limits.input_box(loop.inputs.shape[1])
    moves = np.diff(loop.inputs, axis=0) / (high - low)
    first, second = moves[:-1], moves[1:]
    return np.where(first * second < 0, np.minimum(np.abs(first), np.abs(second)), 0.0)


def _spans(loop: ClosedLoop) -> list[tuple[int, int]]:
    outside = np.concatenate([loop.references, loop.disturbances], axis=1)
    changed = np.flatnonzero((np.diff(outside, axis=0) != 0).any(axis=1)) + 1
    ends = [0, *(int(row) for row in changed), len(outside)]
    return list(pairwise(ends))


def _segment(loop: ClosedLoop, errors: np.ndarray, width: np.ndarray, begin: int, end: int) -> Segment:
    outside = np.abs(errors[begin:end]) > width
    rows = np.arange(end - begin)[:, None]
    last = np.where(outside, rows, -1).max(axis=0)
    interval = loop.times[1] - loop.times[0] if len(loop.times) > 1 else 0.0
    settling = np.where(last == end - begin - 1, np.nan, (last + 1) * interval)
    tail = max((end - begin) // 4, 1)
    return Segment(begin, end, settling, errors[end - tail : end].mean(axis=0))


def _beyond_inputs(loop: ClosedLoop, moves: np.ndarray, limits: Limits) -> int:
    low, high, rate = limits.input_box(loop.inputs.shape[1])
    beyond = np.any((loop.inputs < low) | (loop.inputs > high), axis=1)
    if rate is not None:
        # Beyond rounding: a rate is the difference of two numbers that were converted from scaled units.
        beyond[1:] |= np.any(moves > rate * (1 + 1e-9), axis=1)
    return int(beyond.sum())
