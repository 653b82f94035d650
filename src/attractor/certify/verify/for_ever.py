"""Outputs for all time, while inputs stay in a box: a contraction takes over where the equations end.

A cell that contracts, d(x', y') <= lambda d(x, y) under the same inputs, forgets its start. So the state
after n steps from anywhere in the invariant box B is within lambda^n R of the state after n steps from one
point c of B under the same inputs, where R is the largest distance of B from c. The first is bounded through
the equations of those n steps alone, from one point; the second is a number. From the box that both give
together for all later states, bands of outputs follow by going through the equations once more.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from attractor.cells import CellLike, State
from attractor.errors import ShapeError
from attractor.program import double_precision, flat_map, in_double_precision
from attractor.program.flat import FlatMap
from attractor.progress import Reporter, SilentReporter
from attractor.shown import Shown

from ..stability.certificate import Certificate
from ..stability.ladder import CertifySettings, certify
from .box import box_of
from .tube import StepBands, Tube, TubeNames, Unrolled, bounded_steps, cell_tube

# What the past may still add to the state, as a share of the size of the invariant box, and steps for that.
_FORGOTTEN, _MOST_STEPS = 1e-3, 400
# Steps that a proof goes back at once, and how often the box of later states is taken through them again.
_BLOCK, _ROUNDS = 25, 8
# Rounding of a power of the rate and of distances, which are below 1e-12 relative.
_ABOVE = 1 + 1e-9

Box = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class ForEver(Shown, next_call=".low, .high, .tube, .settled_low, .settled_high"):
    """Where the outputs of a cell stay for all time.

    Args:
        found: whether there is such a band; otherwise its ends are infinite.
        low: no output is ever below this; proved.
        high: none is ever above this; proved.
        settled_low: from step `after` on none is below this, whatever the start was; proved.
        settled_high: none is above this from then on.
        after: steps.
        tube: of the first steps, from the given start; None if nothing was found.
        certificate: the contraction that it rests on; None without one.
        reason: why nothing was found; empty if something was.
        names: of the outputs.
        seconds: how long it took.
    """

    found: bool
    low: Float[np.ndarray, " outputs"]
    high: Float[np.ndarray, " outputs"]
    settled_low: Float[np.ndarray, " outputs"]
    settled_high: Float[np.ndarray, " outputs"]
    after: int
    tube: Tube | None
    certificate: Certificate | None
    reason: str
    names: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        """The bands, or why there is none."""
        if not self.found:
            return f"not decided for all time: {self.reason}"
        lines = ["for all time, while the inputs stay in their box (proved):"]
        for index, name in enumerate(self.names):
            lines.append(
                f"{name}: within {self.low[index]:.6g} and {self.high[index]:.6g}, from step {self.after} on "
                f"within {self.settled_low[index]:.6g} and {self.settled_high[index]:.6g}"
            )
        return "\n".join(lines)


def for_ever(  # noqa: PLR0913 (a system, its set, and how it is looked at)
    cell: CellLike,
    low: ArrayLike,
    high: ArrayLike,
    *,
    start: tuple[ArrayLike, ArrayLike] | None = None,
    read: Callable[[State], Array] | None = None,
    settings: CertifySettings | None = None,
    names: TubeNames | None = None,
    reporter: Reporter | None = None,
) -> ForEver:
    """Bands that no output of a cell ever leaves while its inputs stay in a box, free at every step.

    Args:
        cell: any cell whose contraction `attractor.certify` proves.
        low: least inputs, shape (channels,).
        high: largest ones.
        start: least and largest flat state to start from; the cell's own start if not given.
        read: the outputs that a state shows, a vector; what the cell exposes if not given.
        settings: of the search for a proof of contraction.
        names: of outputs and inputs.
        reporter: of progress.

    Raises:
        InputDataError: ends that are no finite numbers, or a lower one above the upper one.
        ShapeError: ends that do not fit the cell.
        UnsupportedError: an operation that bounds have no rule for; it is named.

    Example:
        >>> import attractor
        >>> cell = attractor.cell(lambda u, x: 0.5 * jnp.tanh(x) + u, 1, jnp.zeros(1))
        >>> found = for_ever(cell, [-0.1], [0.1])
        >>> found.found, bool(found.high[0] < 0.25)
        (True, True)
    """
    began, reporter = time.monotonic(), reporter or SilentReporter()
    lows, highs = box_of(low, high)
    with double_precision():
        cell = in_double_precision(cell)
        flat = flat_map(cell)
        flat = flat.still("reach tubes") if flat.layout.discrete else flat
        own = np.asarray(flat.start, float)
    if lows.shape != (flat.input_size,):
        raise ShapeError(
            f"inputs of shape {lows.shape} for {flat.layout.owner}; expected ({flat.input_size},)"
        )
    begins = box_of(*((own, own) if start is None else start), what="the start")
    bound = np.maximum(np.abs(lows), np.abs(highs))
    certificate, reason = _contraction(cell, bound, begins, settings)
    unrolled = _Blocks(flat, read, (lows, highs))
    if reason or certificate is None:
        return _nothing(certificate, reason, unrolled, names, began)
    settled, bands, after = _settled(unrolled, certificate, reporter)
    if not all(np.isfinite(end).all() for end in settled):
        return _nothing(certificate, "the box of later states has no ends", unrolled, names, began)
    inputs = (np.tile(end, (after, 1)) for end in (lows, highs))
    tube = cell_tube(
        cell, *inputs, start=begins, read=read, window=2 * _BLOCK, names=names, reporter=reporter
    )
    return ForEver(
        True,
        np.minimum(tube.low.min(axis=0), bands[0]),
        np.maximum(tube.high.max(axis=0), bands[1]),
        *bands,
        after,
        tube,
        certificate,
        "",
        tube.names,
        time.monotonic() - began,
    )


def _contraction(
    cell: CellLike, bound: np.ndarray, begins: Box, settings: CertifySettings | None
) -> tuple[Certificate | None, str]:
    """A certificate that speaks for the starts, or why there is none that is of use here."""
    usual = certify(cell, input_bound=bound, settings=settings, reporter=SilentReporter())
    found = usual.certificate
    if found is None or not all(found.contains(end) for end in begins):
        found = certify(
            cell, input_bound=bound, starts=begins, settings=settings, reporter=SilentReporter()
        ).certificate
    if found is None:
        return None, f"the cell is not proved to forget its past. {usual.reason}".strip()
    if found.metric is not None:
        return found, "the contraction is proved in an ellipsoidal norm, which bounds no single state here"
    if not all(np.isfinite(end).all() for end in (found.low, found.high)):
        return found, "the contraction holds in all of space, and no box of states is known"
    return found, ""


@dataclass(eq=False)
class _Blocks:
    """Some steps at once, from a box of states, under inputs of one box."""

    flat: FlatMap
    read: Callable[[State], Array] | None
    inputs: Box

    def __post_init__(self) -> None:
        self.channels = len(self.inputs[0])
        with double_precision():
            self.network = Unrolled(self.flat, self.read, self.channels).network(_BLOCK)
        self.outputs = (len(self.network.output.bias) - self.flat.size) // _BLOCK

    def after(self, state: Box) -> StepBands:
        """Bands of outputs at every step, and the box of the last state."""
        ends = [
            np.concatenate([own, np.tile(end, _BLOCK)]) for own, end in zip(state, self.inputs, strict=True)
        ]
        return bounded_steps(
            self.network, ends[0], ends[1], (_BLOCK, self.channels), self.outputs, self.flat.size
        )


def _settled(blocks: _Blocks, certificate: Certificate, reporter: Reporter) -> tuple[Box, Box, int]:
    """The box of all states after so many steps, the band of all outputs from then on, and that number."""
    size = float(np.max(certificate.distance(certificate.high - certificate.low))) * _ABOVE
    count = _blocks_to_forget(certificate.rate)
    middle = _resting_state(blocks, certificate)
    box, total = (middle, middle), count + _ROUNDS
    for done in range(count):
        found = blocks.after(box)
        box = found.state_low, found.state_high
        reporter.update(done + 1, total)
    left = (certificate.rate * _ABOVE) ** (count * _BLOCK) * size * _ABOVE
    reach = certificate.weights * left * _ABOVE
    box = np.maximum(box[0] - reach, certificate.low), np.minimum(box[1] + reach, certificate.high)
    rounds, bands = 0, (np.full(blocks.outputs, -np.inf), np.full(blocks.outputs, np.inf))
    for done in range(_ROUNDS):
        found, before = blocks.after(box), box
        # Every state after this many steps came, some steps before, from a state of the box.
        bands = (
            np.maximum(bands[0], found.low.max(axis=0)),
            np.minimum(bands[1], found.high.min(axis=0)),
        )
        box = np.maximum(box[0], found.state_low), np.minimum(box[1], found.state_high)
        rounds += 1
        reporter.update(count + done + 1, total)
        if (before[1] - before[0]).max() <= 1.02 * (box[1] - box[0]).max():
            break
    reporter.close()
    return box, bands, certificate.transient + (count + rounds) * _BLOCK


def _blocks_to_forget(rate: float) -> int:
    """Blocks after which the past is forgotten, at most as many as there is time for."""
    steps = math.log(_FORGOTTEN) / math.log(rate) if 0 < rate < 1 else 1
    return max(min(math.ceil(min(steps, _MOST_STEPS) / _BLOCK), _MOST_STEPS // _BLOCK), 1)


def _resting_state(blocks: _Blocks, certificate: Certificate) -> np.ndarray:
    """A state of the box: near where the cell comes to rest under the middle of the inputs."""
    flat, middle = blocks.flat, (blocks.inputs[0] + blocks.inputs[1]) / 2
    with double_precision():
        step = jax.jit(lambda state, _: (flat.step(state, jnp.asarray(middle)), None))
        state = jnp.asarray((certificate.low + certificate.high) / 2)
        last = np.asarray(jax.lax.scan(step, state, None, length=_MOST_STEPS)[0])
    inside = np.clip(last, certificate.low, certificate.high)
    return np.where(np.isfinite(inside), inside, certificate.low)


def _nothing(
    certificate: Certificate | None, reason: str, blocks: _Blocks, names: TubeNames | None, began: float
) -> ForEver:
    given = (names or TubeNames()).outputs
    low = np.full(blocks.outputs, -np.inf)
    own = given or tuple(f"y{index}" for index in range(blocks.outputs))
    return ForEver(False, low, -low, low, -low, 0, None, certificate, reason, own, time.monotonic() - began)
