"""Scaling of the variables of labelled series, from the training cases only."""

import warnings

import numpy as np

from attractor.errors import InputDataError

from .scaling import Scaling, is_constant
from .sequences import Sequences


def sequence_scaling(data: Sequences) -> Scaling:
    """Mean 0 and standard deviation 1 for each variable, over values that are neither missing nor padding.

    A constant variable is centred and keeps its scale, with a warning: it says nothing, but it does no harm.

    Raises:
        InputDataError: a variable without a single value.
    """
    offsets, scales = [], []
    for place, name in enumerate(data.names):
        column = data.values[:, :, place][data.valid]
        seen = column[~np.isnan(column)]
        if not len(seen):
            message = f"variable {name!r} has no value in any training case; leave it out"
            raise InputDataError(message)
        constant = is_constant(seen)
        if constant:
            warnings.warn(f"variable {name!r} is constant at {seen[0]:g} in training", stacklevel=2)
        offsets.append(seen.mean())
        scales.append(1.0 if constant else seen.std())
    return Scaling(np.array(offsets), np.array(scales))


def no_scaling(variables: int) -> Scaling:
    """The scaling that leaves values as they are."""
    return Scaling(np.zeros(variables), np.ones(variables))
