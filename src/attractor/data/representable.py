"""Values that float32 can hold: models compute in it, data come in float64."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from attractor.errors import InputDataError

LARGEST = float(np.finfo(np.float32).max)


def check_representable(scaled: Float[np.ndarray, "..."], describe: Callable[..., str]) -> None:
    """Refuse infinite values and those that would become infinite in float32; NaN passes.

    Args:
        scaled: what a model is given.
        describe: says of an index into it which value it is, in the user's terms.

    Raises:
        InputDataError: the first such value, and what to do.
    """
    outside = np.abs(scaled) > LARGEST
    for index in np.argwhere(outside)[:1]:
        message = (
            f"{describe(*index.tolist())} is outside the numbers that the model computes with: single "
            f"precision, up to {LARGEST:.1e} in the scale of its training data; correct it or leave it out"
        )
        raise InputDataError(message)
