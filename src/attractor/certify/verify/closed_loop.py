"""Closed loops for ever: a box of states that no step leaves, and a quadratic that every step makes smaller.

A closed loop is a map `state' = step(input, state)`, whatever it is made of: a plant that was learned or
written down, a controller that is a formula or a network (also of an ONNX file), and what disturbs them as
input. How far it gets in so many steps is the question of a reach tube; this is for all time.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from attractor.errors import ConfigError, ShapeError
from attractor.program import double_precision, trace
from attractor.shown import Shown, counted

from ..dual.bounds import bounds_of
from ..dual.lowering import network_of
from ..dual.network import Network
from .box import box_of
from .proof import Proof, prove

Step = Callable[[Array, Array], Array]

# Share of its width by which a box is made larger on the way: the limit of a series is never quite reached.
_INFLATION = 0.02
# A box so many times as wide as the start is not pursued.
_LARGEST = 1e6


@dataclass(frozen=True, eq=False)
class InvariantSet(Shown, next_call=".low, .high"):
    """A box of states that holds the start, and that no step leaves.

    Args:
        found: whether that is proved; otherwise the box is the last one that was tried.
        low: least states.
        high: largest ones.
        image_low: no step from the box ends below; proved.
        image_high: no step from it ends above; proved.
        rounds: boxes that were tried.
    """

    found: bool
    low: Float[np.ndarray, " states"]
    high: Float[np.ndarray, " states"]
    image_low: Float[np.ndarray, " states"]
    image_high: Float[np.ndarray, " states"]
    rounds: int

    def __str__(self) -> str:
        """The verdict first, then the box."""
        tried = counted(self.rounds, "round")
        if not self.found:
            return f"not decided: no box that every step keeps to was found in {tried}"
        ends = zip(self.low.tolist(), self.high.tolist(), strict=True)
        states = [f"state {index}: {low:.6g} to {high:.6g}" for index, (low, high) in enumerate(ends)]
        return "\n".join([f"no state ever leaves this box (proved, {tried}):", *states])


def invariant_set(  # noqa: PLR0913 (a map, two boxes, and how long to try)
    step: Step,
    low: ArrayLike,
    high: ArrayLike,
    input_low: ArrayLike,
    input_high: ArrayLike,
    *,
    rounds: int = 60,
    parts: int = 8,
) -> InvariantSet:
    """Find a box that holds all starts and that no step leaves, whatever the inputs in their box are.

    The box grows to the hull of itself and of its image until it holds its image; the image is bounded part
    by part. If that ends, every state that is ever reached from the starts is in the box.

    Args:
        step: `step(input, state) -> state'` of one-dimensional arrays.
        low: least states at the start.
        high: largest ones.
        input_low: least inputs (disturbances, references), at every step.
        input_high: largest ones.
        rounds: boxes that are tried.
        parts: pieces that a box is cut into along its states, widest first, before its image is bounded.

    Raises:
        ShapeError: ends of different shapes, or a step that returns no state of the same shape.
        InputDataError: ends or weights that are no finite numbers, or a lower end above the upper one.
        ConfigError: no rounds or no parts.
        UnsupportedError: the step uses an operation that bounds have no rule for; it is named.

    Example:
        >>> import jax.numpy as jnp
        >>> loop = lambda noise, state: 0.5 * jnp.tanh(state) + noise
        >>> invariant_set(loop, [-0.1], [0.1], [-0.1], [0.1]).found
        True
    """
    if rounds < 1 or parts < 1:
        raise ConfigError(f"rounds is {rounds} and parts is {parts}; at least one of each is needed")
    lows, highs = box_of(low, high, "the states")
    inputs = box_of(input_low, input_high)
    network = _network(step, inputs[0], lows)
    start, now = (lows, highs), (lows, highs)
    widest = _LARGEST * float(np.max(highs - lows, initial=1.0))
    count = 0
    while True:
        count += 1
        (least, most), (before, behind) = _image(network, inputs, now, parts), now
        held = bool((least >= before).all() and (most <= behind).all())
        lost = not np.isfinite([least, most]).all() or (most - least).max() > widest
        if held or lost or count == rounds:
            return InvariantSet(held, before, behind, least, most, count)
        more = _INFLATION * (most - least)
        now = np.minimum(start[0], least - more), np.maximum(start[1], most + more)


def _network(step: Step, inputs: np.ndarray, states: np.ndarray) -> Network:
    if inputs.ndim != 1 or states.ndim != 1 or not len(states):
        raise ShapeError("inputs and states are one-dimensional arrays, with at least one state")
    count = len(inputs)
    with double_precision():
        network = network_of(trace(lambda x: step(x[:count], x[count:]), jnp.concatenate([inputs, states])))
    if len(network.output.bias) != len(states):
        returned = counted(len(network.output.bias), "number")
        raise ShapeError(f"the step returns {returned} for {counted(len(states), 'state')}")
    return network


def _image(
    network: Network, inputs: tuple[np.ndarray, np.ndarray], box: tuple[np.ndarray, np.ndarray], parts: int
) -> tuple[np.ndarray, np.ndarray]:
    """The hull of the images of all parts of a box."""
    lows, highs = [], []
    for low, high in _parts(*box, parts):
        found = bounds_of(network, np.concatenate([inputs[0], low]), np.concatenate([inputs[1], high]))
        lows.append(found.low)
        highs.append(found.high)
    return np.min(lows, axis=0), np.max(highs, axis=0)


def _parts(low: np.ndarray, high: np.ndarray, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """A box in so many parts: the one with the longest side is halved along it, again and again."""
    pieces = [(low, high)]
    while len(pieces) < count:
        widest = int(np.argmax([(one[1] - one[0]).max() for one in pieces]))
        least, most = pieces.pop(widest)
        axis = int(np.argmax(most - least))
        middle = (least[axis] + most[axis]) / 2
        below, above = most.copy(), least.copy()
        below[axis] = above[axis] = middle
        pieces += [(least, below), (above, most)]
    return pieces


def decreases(  # noqa: PLR0913 (a map, a quadratic, two boxes, and what is claimed)
    step: Step,
    matrix: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    input_low: ArrayLike,
    input_high: ArrayLike,
    *,
    rate: float | int,
    floor: float | int = 0.0,
    seconds: float | int = 60,
) -> Proof:
    """Decide whether a quadratic V(x) = x' P x falls at every step from a box of states.

    What is asked is V(step(input, x)) - floor <= rate (V(x) - floor) for all x and inputs of their boxes. As
    long as states stay in the box, V comes down to `floor` and below by the factor `rate` a step; a step from
    V(x) <= floor ends there as well. (At an equilibrium without disturbance both sides are equal: a small
    `floor` above zero leaves room for that.)

    Args:
        step: `step(input, state) -> state'` of one-dimensional arrays, with its equilibrium at zero.
        matrix: P, shape (states, states).
        low: least states.
        high: largest ones.
        input_low: least inputs, at every step.
        input_high: largest ones.
        rate: between 0 and 1.
        floor: of V, none below zero.
        seconds: when to stop.

    Raises:
        ShapeError: a matrix or ends of other shapes than the states.
        ConfigError: a rate outside of 0 to 1, or a floor below zero.
        InputDataError: ends that are no finite numbers, or a lower end above the upper one.
        UnsupportedError: the step uses an operation that bounds have no rule for; it is named.
    """
    lows, highs = box_of(low, high, "the states")
    inputs, quadratic = box_of(input_low, input_high), np.asarray(matrix, float)
    if quadratic.shape != (len(lows), len(lows)):
        raise ShapeError(f"the matrix has shape {quadratic.shape}; {len(lows)} states need a square one")
    if not (0 <= rate <= 1 and floor >= 0):
        raise ConfigError(
            f"rate is {rate:g} and floor {floor:g}; the rate is between 0 and 1, the floor not below 0"
        )
    count = len(inputs[0])

    def excess(flat: Array) -> Array:
        state, after = flat[count:], step(flat[:count], flat[count:])
        fallen = after @ quadratic @ after - floor
        return (fallen - rate * (state @ quadratic @ state - floor))[None]

    return prove(
        excess, np.concatenate([inputs[0], lows]), np.concatenate([inputs[1], highs]), seconds=seconds
    )
