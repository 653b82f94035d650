"""Numbers of files as exact fractions, and products of polynomials, bounded in size."""

import re
from collections.abc import Iterable
from fractions import Fraction

from attractor.errors import InputDataError, UnsupportedError

from .formula import Polynomial

# A double needs up to 767 digits and exponents of -324 .. 308; Python reads integers of up to 4300 digits.
LONGEST, LARGEST_EXPONENT = 2_000, 2_000
MOST_TERMS, HIGHEST_DEGREE, MOST_BITS = 100_000, 64, 100_000
_NUMERAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE]([+-]?[0-9]+))?")


def is_numeral(text: str) -> bool:
    """Whether a text is written as a decimal number.

    Args:
        text: a word of a file.

    Returns:
        Whether it is.
    """
    return _NUMERAL.fullmatch(text) is not None


def exact(text: str) -> Fraction:
    """The number that a decimal stands for, exactly.

    Args:
        text: the decimal.

    Returns:
        The number.

    Raises:
        InputDataError: it is no decimal, or one of a size that no network computes with.
    """
    found = _NUMERAL.fullmatch(text)
    if found is None:
        raise InputDataError(f"'{text}' is no decimal number: write it as -1.5 or 2e-3")
    exponent = found[1] or "0"
    if len(text) > LONGEST or len(exponent) > 6 or abs(int(exponent)) > LARGEST_EXPONENT:
        raise InputDataError(
            f"the number '{text[:40]}' has over {LONGEST} characters or an exponent beyond "
            f"{LARGEST_EXPONENT}: round it"
        )
    return Fraction(text)


def product(factors: Iterable[Polynomial]) -> Polynomial:
    """Polynomials multiplied, where the outcome stays small enough to work with.

    Args:
        factors: to be multiplied.

    Returns:
        Their product.

    Raises:
        UnsupportedError: it has too many terms, too high a degree, or coefficients with too many digits.
    """
    outcome = Polynomial.constant(1)
    for factor in factors:
        terms, degree = len(outcome.terms) * len(factor.terms), outcome.degree + factor.degree
        if terms > MOST_TERMS or degree > HIGHEST_DEGREE or _bits(outcome) + _bits(factor) > MOST_BITS:
            raise UnsupportedError(
                f"a product of up to {terms} terms of degree {degree} is more than is read "
                f"({MOST_TERMS} terms, degree {HIGHEST_DEGREE}, coefficients of {MOST_BITS} bits): "
                "write it with fewer factors"
            )
        outcome = outcome * factor
    return outcome


def _bits(polynomial: Polynomial) -> int:
    """Bits of its longest coefficient."""
    values = polynomial.terms.values()
    return max((value.numerator.bit_length() + value.denominator.bit_length() for value in values), default=0)
