"""What a closed loop was worth: settling times, steady offsets, violations, effort."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from .closed_loop import ClosedLoop
from .problem import Limits, PerChannel, per_channel


@dataclass(frozen=True, eq=False)
class Segment:
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
    settling: Float[np.ndarray, " outputs"]
    offset: Float[np.ndarray, " outputs"]


@dataclass(frozen=True, eq=False)
class LoopFigures:
    """Figures of a closed loop, in plant units, from outputs without measurement noise.

    Args:
        segments: one for the beginning and one for every change.
        absolute_error: per output, mean absolute difference from the reference.
        travel: per input, mean absolute change from one sample to the next.
        input_violations: samples with an input or a rate beyond its limit.
        output_violations: samples with an output beyond its limit.
        alarms: samples in which the last input was held.
        fallbacks: samples in which the plan was not the solver's answer, alarms included.
    """

    segments: tuple[Segment, ...]
    absolute_error: Float[np.ndarray, " outputs"]
    travel: Float[np.ndarray, " inputs"]
    input_violations: int
    output_violations: int
    alarms: int
    fallbacks: int


def loop_figures(loop: ClosedLoop, band: PerChannel, limits: Limits) -> LoopFigures:
    """Judge a closed loop.

    Args:
        loop: what happened.
        band: half width of the band around the reference in which an output counts as settled.
        limits: limits in plant units.
    """
    width = per_channel("band", band, loop.outputs.shape[1])
    errors = loop.outputs - loop.references
    moves = np.abs(np.diff(loop.inputs, axis=0))
    return LoopFigures(
        segments=tuple(_segment(loop, errors, width, begin, end) for begin, end in _spans(loop)),
        absolute_error=np.abs(errors).mean(axis=0),
        travel=moves.mean(axis=0) if len(moves) else np.zeros(loop.inputs.shape[1]),
        input_violations=_beyond_inputs(loop, moves, limits),
        output_violations=_beyond_outputs(loop, limits),
        alarms=sum(status.alarm for status in loop.statuses),
        fallbacks=sum(not status.optimal for status in loop.statuses),
    )


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
        beyond = beyond | np.concatenate([[False], np.any(moves > rate * (1 + 1e-9), axis=1)])
    return int(beyond.sum())


def _beyond_outputs(loop: ClosedLoop, limits: Limits) -> int:
    low, high = limits.output_box(loop.outputs.shape[1])
    return int(np.any((loop.outputs < low) | (loop.outputs > high), axis=1).sum())
