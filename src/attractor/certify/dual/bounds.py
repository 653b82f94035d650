"""Bounds of every output of a network on a box, and what each input adds to them."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from attractor.errors import InputDataError, ShapeError

from .network import Network
from .relaxation import Region, output_box, walk, wanted_of
from .tightening import tightened


class Bounds(NamedTuple):
    """What is proved of the outputs of a network on a box of inputs.

    Args:
        low: no output is smaller.
        high: no output is larger.
        low_slopes: coefficients of the inputs in the last relaxation from below; an input of radius r moves
            that bound by |coefficient| r.
        high_slopes: from above.
    """

    low: Float[np.ndarray, " outputs"]
    high: Float[np.ndarray, " outputs"]
    low_slopes: Float[np.ndarray, "outputs inputs"]
    high_slopes: Float[np.ndarray, "outputs inputs"]


@np.errstate(all="ignore")
def bounds_of(
    network: Network, low: Float[np.ndarray, " inputs"], high: Float[np.ndarray, " inputs"]
) -> Bounds:
    """Lower and upper bound of every output, the better of a backward walk and of interval arithmetic.

    Args:
        network: the normal form; outputs may be affine in the inputs.
        low: least inputs.
        high: largest ones.

    Returns:
        Bounds that hold in exact arithmetic; infinite where nothing is known.

    Raises:
        ShapeError: ends of another length than the inputs of the network.
        InputDataError: ends or weights that are no finite numbers, or a lower end above the upper one.
    """
    _check(network, low, high)
    region, lows, highs = Region(network, low, high), low[None], high[None]
    boxes, lines, _ = tightened(region, lows, highs)
    least, most = output_box(region, lows, highs, boxes)
    count = len(network.output.bias)
    wanted, constant = wanted_of(region, network.output, np.concatenate([np.eye(count), -np.eye(count)]))
    found = walk(region, lows, highs, wanted, constant, lines)
    upper, slopes = found.upper[0], found.inputs[0]
    if not region.network.defined(boxes).all():
        least, most = np.full_like(least, -np.inf), np.full_like(most, np.inf)
        upper = np.full_like(upper, np.inf)
    lower, higher = np.maximum(least[0], -upper[count:]), np.minimum(most[0], upper[:count])
    return Bounds(
        np.where(np.isnan(lower), -np.inf, lower),
        np.where(np.isnan(higher), np.inf, higher),
        -slopes[count:],
        slopes[:count],
    )


def _check(network: Network, low: np.ndarray, high: np.ndarray) -> None:
    for name, end in (("lower", low), ("upper", high)):
        if end.shape != (network.inputs,):
            raise ShapeError(
                f"the {name} end of the inputs has shape {end.shape}, the network takes ({network.inputs},)"
            )
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise InputDataError("the ends of the inputs hold what is no finite number; give every input a range")
    if (low > high).any():
        index = int(np.argmax(low > high))
        raise InputDataError(
            f"input {index} has the range {low[index]:g} to {high[index]:g}, whose lower end is larger"
        )
    if (where := network.undefined) is not None:
        raise InputDataError(
            f"a weight or constant is no finite number ({where}); mend it before anything is proved"
        )
