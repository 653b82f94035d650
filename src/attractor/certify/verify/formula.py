"""Formulas over the entries of tensors: comparisons of polynomials, joined by and / or, exact."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, product
from math import prod
from types import MappingProxyType
from typing import Literal, TypeVar

from attractor.errors import InputDataError, UnsupportedError


@dataclass(frozen=True, order=True)
class Variable:
    """One entry of a named tensor.

    Args:
        tensor: name of the tensor.
        index: of the entry, flat, row by row.
    """

    tensor: str
    index: int

    def __str__(self) -> str:
        return f"{self.tensor}[{self.index}]"


Monomial = tuple[Variable, ...]
"""Its factors in order; the empty one is the constant."""


class Polynomial:
    """A polynomial with exact coefficients.

    Args:
        terms: coefficient of each product of variables; products that differ in order only are added up.
    """

    __slots__ = ("terms",)
    terms: Mapping[Monomial, Fraction]

    def __init__(self, terms: Mapping[Monomial, Fraction] | None = None) -> None:
        given = (terms or {}).items()
        self.terms = MappingProxyType(_summed((tuple(sorted(factors)), value) for factors, value in given))

    @classmethod
    def constant(cls, value: Fraction | int) -> "Polynomial":
        """The polynomial that is the same number everywhere.

        Args:
            value: the number.

        Returns:
            It as a polynomial.
        """
        return cls({(): Fraction(value)})

    @classmethod
    def of(cls, variable: Variable) -> "Polynomial":
        """The polynomial that is one variable.

        Args:
            variable: the variable.

        Returns:
            It as a polynomial.
        """
        return cls({(variable,): Fraction(1)})

    @classmethod
    def total(cls, parts: Iterable["Polynomial"]) -> "Polynomial":
        """Many polynomials added up.

        Args:
            parts: the polynomials.

        Returns:
            Their sum.
        """
        return cls._of_sums(_summed(chain.from_iterable(part.terms.items() for part in parts)))

    @classmethod
    def _of_sums(cls, terms: dict[Monomial, Fraction]) -> "Polynomial":
        """One whose products are in order and differ: what `__init__` does for terms of any kind."""
        made = cls.__new__(cls)
        made.terms = MappingProxyType(terms)
        return made

    @property
    def degree(self) -> int:
        """Factors of the longest product; 0 for a constant."""
        return max(map(len, self.terms), default=0)

    @property
    def variables(self) -> frozenset[Variable]:
        """The variables that it depends on."""
        return frozenset(chain.from_iterable(self.terms))

    def scale(self, factor: Fraction | int) -> "Polynomial":
        """It times a number.

        Args:
            factor: the number.

        Returns:
            The product.
        """
        if not factor:
            return Polynomial()
        return Polynomial._of_sums({factors: value * factor for factors, value in self.terms.items()})

    def evaluate(self, values: Mapping[Variable, Fraction]) -> Fraction:
        """Its value, exactly.

        Args:
            values: of its variables.

        Returns:
            The value.

        Raises:
            InputDataError: a variable has no value.
        """
        missing = sorted(self.variables - values.keys())
        if missing:
            raise InputDataError(f"{missing[0]} has no value: give one for every variable of the formula")
        return sum((value * _product(factors, values) for factors, value in self.terms.items()), Fraction(0))

    def __add__(self, other: "Polynomial") -> "Polynomial":
        return Polynomial.total((self, other))

    def __neg__(self) -> "Polynomial":
        return self.scale(-1)

    def __sub__(self, other: "Polynomial") -> "Polynomial":
        return self + -other

    def __mul__(self, other: "Polynomial") -> "Polynomial":
        return Polynomial._of_sums(
            _summed(
                (tuple(sorted(left + right)), first * second)
                for left, first in self.terms.items()
                for right, second in other.terms.items()
            )
        )

    def __eq__(self, other: object) -> bool:
        return self.terms == other.terms if isinstance(other, Polynomial) else NotImplemented

    def __hash__(self) -> int:
        return hash(frozenset(self.terms.items()))

    def __repr__(self) -> str:
        return (
            " + ".join("*".join(map(str, (value, *factors))) for factors, value in self.terms.items()) or "0"
        )


def _summed(terms: Iterable[tuple[Monomial, Fraction]]) -> dict[Monomial, Fraction]:
    """Coefficients of the same product added up; products that cancel are left out."""
    sums: dict[Monomial, Fraction] = {}
    for factors, value in terms:
        sums[factors] = sums.get(factors, Fraction(0)) + value
    return {factors: value for factors, value in sums.items() if value}


def _product(factors: Monomial, values: Mapping[Variable, Fraction]) -> Fraction:
    product = Fraction(1)
    for variable in factors:
        product *= values[variable]
    return product


@dataclass(frozen=True)
class Comparison:
    """A polynomial is at most zero, or below zero.

    Args:
        polynomial: what is compared with zero.
        strict: below zero, not at most.
    """

    polynomial: Polynomial
    strict: bool = False


@dataclass(frozen=True)
class AllOf:
    """Every part holds; without parts it is true.

    Args:
        parts: the parts.
    """

    parts: tuple["Formula", ...] = ()


@dataclass(frozen=True)
class AnyOf:
    """Some part holds; without parts it is false.

    Args:
        parts: the parts.
    """

    parts: tuple["Formula", ...] = ()


Formula = Comparison | AllOf | AnyOf
Conjunction = tuple[Comparison, ...]
MOST_COMPARISONS = 20_000_000
"""In all conjunctions together: every one repeats what stands beside an alternative, such as 784 bounds."""
Relation = Literal["<=", "<", ">=", ">", "==", "!="]


def compared(left: Polynomial, relation: Relation, right: Polynomial) -> Formula:
    """Two polynomials compared.

    Args:
        left: one side.
        relation: how it is compared with the other.
        right: the other side.

    Returns:
        The formula: one comparison, two for `==` (both hold) and `!=` (one of the strict ones holds).
    """
    match relation:
        case "<=" | "<":
            return Comparison(left - right, relation == "<")
        case ">=" | ">":
            return Comparison(right - left, relation == ">")
        case "==":
            return AllOf((Comparison(left - right), Comparison(right - left)))
        case "!=":
            return AnyOf((Comparison(left - right, True), Comparison(right - left, True)))


_Node = TypeVar("_Node")
_Outcome = TypeVar("_Outcome")


def folded(
    root: _Node,
    parts_of: Callable[[_Node], Sequence[_Node]],
    combine: Callable[[_Node, list[_Outcome]], _Outcome],
) -> _Outcome:
    """A tree reduced from its leaves up, however deep it is: Python limits the depth of calls.

    Args:
        root: of the tree.
        parts_of: `parts_of(node) -> nodes` just below it.
        combine: `combine(node, outcomes of its parts) -> outcome` of the node.

    Returns:
        The outcome of the root.
    """
    outcomes: list[_Outcome] = []
    waiting: list[tuple[_Node, int | None]] = [(root, None)]
    while waiting:
        node, count = waiting.pop()
        if count is None:
            parts = parts_of(node)
            waiting.append((node, len(parts)))
            waiting.extend((part, None) for part in reversed(parts))
        else:
            first = len(outcomes) - count
            outcomes[first:] = [combine(node, outcomes[first:])]
    return outcomes[0]


def parts_of(formula: Formula) -> tuple[Formula, ...]:
    """What a formula joins.

    Args:
        formula: the formula.

    Returns:
        Its parts; none for a comparison.
    """
    return () if isinstance(formula, Comparison) else formula.parts


def negated(formula: Formula) -> Formula:
    """What holds where the formula does not.

    Args:
        formula: to be negated.

    Returns:
        Its negation.
    """
    return folded(formula, parts_of, _negated)


def _negated(formula: Formula, parts: list[Formula]) -> Formula:
    match formula:
        case Comparison():
            return Comparison(-formula.polynomial, not formula.strict)
        case AllOf():
            return AnyOf(tuple(parts))
        case AnyOf():
            return AllOf(tuple(parts))


def holds(formula: Formula, values: Mapping[Variable, Fraction]) -> bool:
    """Whether the formula holds, exactly.

    Args:
        formula: to be decided.
        values: of all its variables.

    Returns:
        Whether it holds.

    Raises:
        InputDataError: a variable has no value.
    """

    def decided(part: Formula, decisions: list[bool]) -> bool:
        if isinstance(part, Comparison):
            value = part.polynomial.evaluate(values)
            return value < 0 or (value == 0 and not part.strict)
        return all(decisions) if isinstance(part, AllOf) else any(decisions)

    return folded(formula, parts_of, decided)


def disjuncts(formula: Formula, most: int = 100_000) -> list[Conjunction]:
    """The formula as conjunctions of comparisons, of which one must hold.

    Args:
        formula: to be taken apart.
        most: conjunctions; more are refused, as their number can be exponential in the size of a formula.

    Returns:
        The conjunctions; none where the formula is false, an empty one where it is true.

    Raises:
        UnsupportedError: there are more than `most`.
    """

    def taken_apart(part: Formula, choices: list[list[Conjunction]]) -> list[Conjunction]:
        match part:
            case Comparison():
                return [(part,)]
            case AnyOf():
                _check_count(sum(map(len, choices)), most)
                return list(chain.from_iterable(choices))
            case AllOf():
                count = prod(map(len, choices))
                _check_count(count, most)
                _check_length(sum(_length(each) * count // len(each) for each in choices if each))
                # `product` joins each choice once: appending part by part is quadratic in their number.
                return [tuple(chain.from_iterable(chosen)) for chosen in product(*choices)]

    return folded(formula, parts_of, taken_apart)


def _check_count(count: int, most: int) -> None:
    if count > most:
        shown = count if count < 10**15 else "over 10^15"
        raise UnsupportedError(
            f"the formula has {shown} alternatives, more than {most}: split it into several queries, "
            "or allow more with `most`"
        )


def _length(conjunctions: list[Conjunction]) -> int:
    return sum(map(len, conjunctions))


def _check_length(count: int) -> None:
    if count > MOST_COMPARISONS:
        raise UnsupportedError(
            f"the alternatives of the formula have {count} comparisons, more than {MOST_COMPARISONS} in all: "
            "split it into several queries"
        )


@dataclass(frozen=True)
class InputBox:
    """A conjunction taken apart.

    Args:
        low: least value of each input, in the order of the inputs.
        high: largest value of each input.
        rest: comparisons that must hold on top of the box.
    """

    low: tuple[Fraction, ...]
    high: tuple[Fraction, ...]
    rest: Conjunction


def input_box(
    conjunction: Conjunction, inputs: Sequence[Variable], *, beyond: Fraction | None = None
) -> InputBox | None:
    """The closed box that a conjunction puts its inputs in, and what else it asks.

    A strict bound gives a closed end, and stays in the rest.

    Args:
        conjunction: comparisons that hold together.
        inputs: the variables that must be bounded.
        beyond: in place of bounds that are missing: to look for an input, not to prove that there is none.

    Returns:
        Box and rest; None where the box is empty, so that the conjunction cannot hold.

    Raises:
        InputDataError: an input has no lower or no upper bound.
    """
    low: dict[Variable, Fraction] = {} if beyond is None else dict.fromkeys(inputs, -beyond)
    high: dict[Variable, Fraction] = {} if beyond is None else dict.fromkeys(inputs, beyond)
    open_ends: set[tuple[Variable, Fraction]] = set()
    rest: list[Comparison] = []
    known = frozenset(inputs)
    for comparison in conjunction:
        bound = _bound(comparison.polynomial, known)
        if bound is None or comparison.strict:
            rest.append(comparison)
        if bound is not None and comparison.strict:
            open_ends.add((bound.variable, bound.value))
        if bound is not None and bound.upper:
            high[bound.variable] = min(bound.value, high.get(bound.variable, bound.value))
        elif bound is not None:
            low[bound.variable] = max(bound.value, low.get(bound.variable, bound.value))
    _check_bounded(low, inputs, "lower", ">=")
    _check_bounded(high, inputs, "upper", "<=")
    if any(low[variable] > high[variable] for variable in inputs):
        return None
    if any(low[one] == high[one] == end for one, end in open_ends):
        return None  # one number is left, and a strict bound excludes it
    return InputBox(tuple(low[each] for each in inputs), tuple(high[each] for each in inputs), tuple(rest))


@dataclass(frozen=True)
class _Bound:
    variable: Variable
    value: Fraction
    upper: bool


def _bound(polynomial: Polynomial, inputs: frozenset[Variable]) -> _Bound | None:
    """The bound that "polynomial <= 0" puts on one input; None where it is about anything else."""
    variables = polynomial.variables
    if polynomial.degree != 1 or len(variables) != 1 or not variables <= inputs:
        return None
    (variable,) = variables
    slope = polynomial.terms[variable,]
    return _Bound(variable, -polynomial.terms.get((), Fraction(0)) / slope, slope > 0)


def _check_bounded(
    bounds: Mapping[Variable, Fraction], inputs: Iterable[Variable], side: str, sign: str
) -> None:
    for variable in inputs:
        if variable not in bounds:
            raise InputDataError(
                f"input {variable} has no {side} bound in one of the alternatives: "
                f"add an assertion ({sign} {variable} NUMBER)"
            )
