"""What a form is, beyond its polynomial: a norm, the exponentials that a sum is made of.

A quotient of a vector and its own norm is bounded by one, and a softmax lies between zero and one, but the
pieces that they are computed from say neither. So a few facts are kept with a form, and a product or quotient
that completes one of these functions is bounded as what it is.
"""

from typing import Any, NamedTuple


class Norm(NamedTuple):
    """A number (factor |p|^2 + rest)^power of all entries of a form p.

    Args:
        of: p, a form.
        factor: positive.
        rest: not negative.
        power: 1, 0.5 or -0.5.
    """

    of: Any
    factor: float
    rest: float
    power: float


class Facts(NamedTuple):
    """What is known of a form besides.

    Args:
        uniform: all entries are the same number, as of a number that was broadcast.
        shift_of: the form that it is up to a uniform number, if there is one.
        square_of: the form whose square it is, elementwise.
        exponential_of: the form whose exponential it is.
        total_of: the form the sum of all entries of which it is, in every entry.
        norm: of which form it is a norm, in every entry.
    """

    uniform: bool = False
    shift_of: Any = None
    square_of: Any = None
    exponential_of: Any = None
    total_of: Any = None
    norm: Norm | None = None

    @property
    def spread(self) -> "Facts":
        """What stays true of a single number when it is broadcast or reshaped."""
        return Facts(uniform=True, total_of=self.total_of, norm=self.norm)


NOTHING = Facts()
"""No fact at all."""

__all__ = ["NOTHING", "Facts", "Norm"]
