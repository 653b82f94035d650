"""What an expression was made of, for rules that recognise a function in what was written for it.

Folding is eager: a number times an affine function is only another affine function, and so is the absolute
value of one, which is a rectifier less a number. Rules that look for z g(c z) must see that both are of the
same z, which numbers cannot tell once they are rounded. So it is noted here, by the affine function itself.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from .expressions import Expression, Lowering
from .linear_maps import is_power_of_two
from .network import Affine


class Origin(NamedTuple):
    """How an affine function was made.

    Args:
        made: the affine function, kept so that its identity stays its own.
        kind: "multiple", "quotient" (by known numbers, rounded), "absolute", "shifted", "below" (the smaller
            of it and zero), or "logarithm" (of sums of its exponentials).
        of: what it was made of.
        factors: of a multiple; of a quotient, its divisors; of what is shifted, which number was taken from
            every entry, where equal ones name one number; of a logarithm, which exponentials each sum is of.
    """

    made: Affine
    kind: str
    of: Affine
    factors: np.ndarray


@dataclass(eq=False)
class Reading(Lowering):
    """A network in the making that remembers what its expressions were made of.

    Args:
        origins: by the identity of the affine function.
    """

    origins: dict[int, Origin] = field(default_factory=dict)


def noted(lowering: Lowering, made: Expression, kind: str, of: Expression, factors: np.ndarray) -> Expression:
    """An expression whose origin is remembered.

    Args:
        lowering: the network in the making.
        made: the expression.
        kind: see `Origin`.
        of: what it was made of.
        factors: see `Origin`.
    """
    if isinstance(lowering, Reading):
        lowering.origins[id(made.affine)] = Origin(made.affine, kind, of.affine, np.ravel(factors))
    return made


def origin_of(lowering: Lowering, one: Affine, kind: str) -> Origin | None:
    """How an affine function was made, if in this way.

    Args:
        lowering: the network in the making.
        one: the affine function.
        kind: see `Origin`.
    """
    found = lowering.origins.get(id(one)) if isinstance(lowering, Reading) else None
    return found if found is not None and found.kind == kind else None


def roots_of(lowering: Lowering, one: Affine) -> list[tuple[Affine, np.ndarray]]:
    """What an affine function is a multiple of, and the factors: itself first, and none that are rounded.

    Args:
        lowering: the network in the making.
        one: the affine function.
    """
    factors = np.ones(len(one.bias))
    found = [(one, factors)]
    while (origin := origin_of(lowering, one, "multiple")) is not None:
        if not (is_power_of_two(factors) or is_power_of_two(origin.factors)):
            break
        factors, one = factors * origin.factors, origin.of
        found.append((one, factors))
    return found


def root_of(lowering: Lowering, one: Affine) -> tuple[Affine, np.ndarray]:
    """The last of them.

    Args:
        lowering: the network in the making.
        one: the affine function.
    """
    return roots_of(lowering, one)[-1]
