import random
from fractions import Fraction

import pytest

from attractor.certify.verify.formula import (
    AllOf,
    AnyOf,
    Comparison,
    Polynomial,
    Variable,
    compared,
    disjuncts,
    holds,
    input_box,
    negated,
)
from attractor.errors import InputDataError, UnsupportedError

X, Y = [Variable("X", index) for index in range(3)], [Variable("Y", index) for index in range(2)]
TRUE, FALSE = AllOf(), AnyOf()


def seeded(seed):
    return random.Random(seed)  # noqa: S311 - formulas, no secrets


def number(value):
    return Polynomial.constant(Fraction(value))


def term(variable):
    return Polynomial.of(variable)


def some_polynomial(rng):
    terms = {}
    for _ in range(rng.randrange(4)):
        factors = tuple(rng.choice(X + Y) for _ in range(rng.randrange(3)))
        terms[factors] = Fraction(rng.randint(-3, 3), rng.randint(1, 3))
    return Polynomial(terms)


def some_formula(rng, depth):
    if depth == 0 or rng.random() < 0.2:
        relation = rng.choice(["<=", "<", ">=", ">", "==", "!="])
        return compared(some_polynomial(rng), relation, some_polynomial(rng))
    parts = tuple(some_formula(rng, depth - 1) for _ in range(rng.randrange(4)))
    return rng.choice([AllOf, AnyOf])(parts)


def some_values(rng):
    return {each: Fraction(rng.randint(-2, 2), rng.randint(1, 2)) for each in X + Y}


def test_polynomials_compute_as_their_values_do():
    rng = seeded(0)
    for _ in range(200):
        first, second, values = some_polynomial(rng), some_polynomial(rng), some_values(rng)
        one, two = first.evaluate(values), second.evaluate(values)
        assert (first + second).evaluate(values) == one + two
        assert (first - second).evaluate(values) == one - two
        assert (first * second).evaluate(values) == one * two
        assert first.scale(Fraction(2, 3)).evaluate(values) == one * Fraction(2, 3)
        assert (-first).evaluate(values) == -one
        assert Polynomial.total([first, second, first]) == first + second + first


def test_the_value_of_a_polynomial_is_what_its_terms_say():
    polynomial = Polynomial({(X[1], X[0]): Fraction(2), (Y[0],): Fraction(-1, 3), (): Fraction(5)})
    values = {X[0]: Fraction(1, 2), X[1]: Fraction(3), Y[0]: Fraction(9)}
    assert polynomial.evaluate(values) == 3 - 3 + 5
    assert polynomial.degree == 2
    assert polynomial.variables == {X[0], X[1], Y[0]}


def test_products_in_another_order_are_the_same_and_what_cancels_is_gone():
    both = Polynomial({(X[1], X[0]): Fraction(1), (X[0], X[1]): Fraction(2)})
    assert both.terms == {(X[0], X[1]): 3}
    nothing = both - both
    assert nothing.terms == {}
    assert nothing.degree == 0
    assert repr(nothing) == "0"
    assert hash(term(X[0]) + term(X[1])) == hash(term(X[1]) + term(X[0]))


def test_a_variable_without_a_value_is_named():
    with pytest.raises(InputDataError, match=r"X\[2\] has no value: give one"):
        term(X[2]).evaluate({})


@pytest.mark.parametrize(
    ("relation", "expected"),
    [
        ("<=", (True, True, False)),
        ("<", (True, False, False)),
        (">=", (False, True, True)),
        (">", (False, False, True)),
        ("==", (False, True, False)),
        ("!=", (True, False, True)),
    ],
)
def test_a_comparison_holds_where_it_says(relation, expected):
    formula = compared(term(X[0]), relation, number(1))
    found = tuple(holds(formula, {X[0]: Fraction(value)}) for value in (0, 1, 2))
    assert found == expected


def test_true_and_false():
    assert holds(TRUE, {})
    assert not holds(FALSE, {})
    assert disjuncts(TRUE) == [()]
    assert disjuncts(FALSE) == []
    assert disjuncts(AllOf((FALSE, AnyOf((TRUE, TRUE))))) == []
    assert negated(TRUE) == FALSE


def test_disjuncts_and_negations_agree_with_the_formula():
    rng = seeded(1)
    seen = {True: 0, False: 0}
    for _ in range(400):
        formula = some_formula(rng, 3)
        conjunctions, opposite = disjuncts(formula), negated(formula)
        for _ in range(5):
            values = some_values(rng)
            held = holds(formula, values)
            seen[held] += 1
            assert held == any(all(holds(each, values) for each in clause) for clause in conjunctions)
            assert held != holds(opposite, values)
    assert min(seen.values()) > 400


def test_too_many_alternatives_are_refused():
    either = AnyOf((Comparison(term(X[0])), Comparison(term(X[1]))))
    assert len(disjuncts(AllOf((either,) * 3))) == 8
    assert len(disjuncts(AllOf((either,) * 3), most=8)) == 8
    with pytest.raises(UnsupportedError, match="8 alternatives, more than 7: split it"):
        disjuncts(AllOf((either,) * 3), most=7)
    with pytest.raises(UnsupportedError, match=r"over 10\^15 alternatives"):
        disjuncts(AllOf((either,) * 1000))
    with pytest.raises(UnsupportedError, match="3 alternatives, more than 2"):
        disjuncts(AnyOf((Comparison(term(X[0])),) * 3), most=2)


def test_long_alternatives_are_refused_before_they_are_formed():
    bounds = (Comparison(term(X[0])),) * 2000
    either = AnyOf((Comparison(term(X[1])),) * 50_000)
    with pytest.raises(UnsupportedError, match="comparisons, more than 20000000 in all"):
        disjuncts(AllOf((*bounds, either)))


def test_deep_formulas_are_not_limited_by_the_depth_of_calls():
    formula = compared(term(X[0]), "<=", number(1))
    for _ in range(3000):
        formula = AllOf((AnyOf((formula,)),))
    assert holds(formula, {X[0]: Fraction(1)})
    assert not holds(negated(formula), {X[0]: Fraction(1)})
    assert len(disjuncts(formula)) == 1


def bounds_of(*relations):
    (clause,) = disjuncts(AllOf(tuple(compared(*each) for each in relations)))
    return input_box(clause, X[:2])


def test_a_conjunction_is_taken_apart_into_box_and_rest():
    two = number(2)
    box = bounds_of(
        (two * term(X[0]), "<=", number(3)),
        (term(X[0]), "<=", number(7)),
        (number(-1), "<=", term(X[0])),
        (number(-5), "<=", term(X[0])),
        (term(X[1]), "==", number(Fraction(1, 3))),
        (term(Y[0]), "<=", number(0)),
        (term(X[0]) + term(X[1]), "<=", number(1)),
        (term(X[0]) * term(X[0]), "<=", number(1)),
        (term(X[2]), "<=", number(1)),
    )
    assert box.low == (-1, Fraction(1, 3))
    assert box.high == (Fraction(3, 2), Fraction(1, 3))
    assert [each.polynomial for each in box.rest] == [
        term(Y[0]),
        term(X[0]) + term(X[1]) - number(1),
        term(X[0]) * term(X[0]) - number(1),
        term(X[2]) - number(1),
    ]


def test_a_strict_bound_closes_the_box_and_stays_in_the_rest():
    box = bounds_of(
        (term(X[0]), "<", number(1)),
        (term(X[0]), ">", number(0)),
        (term(X[1]), "<=", number(1)),
        (term(X[1]), ">=", number(0)),
    )
    assert (box.low, box.high) == ((0, 0), (1, 1))
    assert box.rest == (
        Comparison(term(X[0]) - number(1), strict=True),
        Comparison(-term(X[0]), strict=True),
    )


def test_box_and_rest_say_what_the_conjunction_says():
    rng = seeded(2)
    boxes = 0
    for _ in range(300):
        sides = [
            compared(term(each), side, number(value))
            for each in X
            for side, value in (("<=", rng.randint(0, 2)), (">=", rng.randint(-2, 1)))
        ]
        clause = (*sides, Comparison(some_polynomial(rng), rng.random() < 0.5))
        box, values = input_box(clause, X), some_values(rng)
        boxes += box is not None
        inside = box is not None and all(
            low <= values[each] <= high for each, low, high in zip(X, box.low, box.high, strict=True)
        )
        said = inside and all(holds(each, values) for each in box.rest)
        assert said == all(holds(each, values) for each in clause)
    assert 50 < boxes < 300


def test_an_empty_box_is_none():
    sides = [(term(X[1]), "<=", number(1)), (term(X[1]), ">=", number(0))]
    assert bounds_of((term(X[0]), "<=", number(0)), (term(X[0]), ">=", number(1)), *sides) is None
    assert bounds_of((term(X[0]), "<=", number(1)), (term(X[0]), ">=", number(1)), *sides) is not None


@pytest.mark.parametrize(("sign", "side"), [("<=", "lower"), (">=", "upper")])
def test_a_missing_bound_is_named_with_the_remedy(sign, side):
    other = "<=" if sign == ">=" else ">="
    with pytest.raises(
        InputDataError, match=rf"X\[0\] has no {side} bound.*add an assertion \({other} X\[0\]"
    ):
        bounds_of((term(X[0]), sign, number(0)), (term(X[1]), "==", number(0)))
