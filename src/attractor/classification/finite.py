"""Whether what a classifier computed is made of numbers, said in the user's terms where it is not."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float

from attractor.data import Sequences
from attractor.errors import DivergedError


def check_logits(logits: Float[np.ndarray, "cases classes"], ids: Sequence[str]) -> None:
    """Refuse to read a class from what is no number.

    Raises:
        DivergedError: names the first such case.
    """
    broken = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if broken.size:
        message = (
            f"{ids[broken[0]]}: the network left the finite numbers, so that it shows no class (and so in "
            f"{broken.size - 1} further cases); look for values far outside of the training data"
        )
        raise DivergedError(message)


def check_stream(logits: Float[np.ndarray, " classes"], before: Any) -> None:
    """Refuse to go on with a stream that holds what is no number, and say since when.

    Args:
        logits: after a sample.
        before: state of the stream before it.

    Raises:
        DivergedError: they are not finite.
    """
    if np.isfinite(logits).all():
        return
    leaves = [leaf for leaf in jax.tree.leaves(before) if eqx.is_inexact_array(leaf)]
    if any(np.isnan(np.asarray(leaf)).any() for leaf in leaves):
        message = "this stream holds no numbers since an earlier sample; begin anew with `start`"
    else:
        message = (
            "this sample takes the network out of the finite numbers; the stream that was given is as good "
            "as before: leave the sample out, or begin anew with `start`"
        )
    raise DivergedError(message)


def described_value(data: Sequences, case: int, step: int, variable: int) -> str:
    """A value in the user's terms."""
    value = data.values[case, step, variable]
    return f"{data.ids[case]}, step {step}, variable {data.names[variable]!r}: {value:g}"
