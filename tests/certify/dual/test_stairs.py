"""Staircases on boxes: never inside of what they take, exact without a jump, tight around one."""

from fractions import Fraction
from itertools import combinations
from math import ceil, floor, trunc

import numpy as np
import pytest
from proved_claims import proved, shifted

from attractor.certify.dual.attack import Attack
from attractor.certify.dual.clauses import of_clauses
from attractor.certify.dual.exact import exact_outputs
from attractor.certify.dual.functions import FUNCTIONS
from attractor.certify.dual.linear_maps import Dense
from attractor.certify.dual.network import Affine, Network, Node
from attractor.certify.dual.search import Found, search
from attractor.certify.dual.stairs import STAIRS
from attractor.certify.recheck.checker import recheck, recheck_witness
from attractor.certify.recheck.claim import Claim


def _sign(z):
    return (z > 0) - (z < 0)


# By Python's own whole numbers.
_REFERENCE = {
    "floor": floor,
    "ceil": ceil,
    "trunc": trunc,
    "round": round,
    "round_away": lambda z: trunc(z + Fraction(_sign(z), 2)),
    "sign": _sign,
    "positive": lambda z: int(z > 0),
    "not_negative": lambda z: int(z >= 0),
}
_NAMES = list(STAIRS)


def _edges():
    """Whole numbers and halves with both neighbours, zeros of both signs, the least and huge numbers."""
    whole = np.concatenate([
        np.arange(-9, 10) / 2,
        [2.0**24, 2.0**31 + 0.5, 2.0**50, 2.0**52 - 0.5, -(2.0**51) + 0.5],
    ])
    near = [whole, np.nextafter(whole, np.inf), np.nextafter(whole, -np.inf)]
    return np.concatenate([*near, [-0.0, 5e-324, -5e-324, 2.0**53 + 2, -(2.0**60), 1e300, -1e300]])


def _boxes(generator, count):
    """Boxes whose ends are edges for the most part: narrow, wide, and of one point."""
    edges = _edges()[np.abs(_edges()) < 1e3]
    ends = np.where(
        generator.random((2, count)) < 0.7,
        generator.choice(edges, (2, count)),
        generator.uniform(-4, 4, (2, count)),
    )
    low, high = ends.min(axis=0), ends.max(axis=0)
    narrow = generator.random(count) < 0.3
    high = np.where(narrow, np.nextafter(low, np.inf), high)
    return low, np.where(generator.random(count) < 0.1, low, high)


def _samples(low, high):
    """Inner points, and all edges that lie in each box; a row each."""
    inside = low + np.linspace(0, 1, 101)[:, None] * (high - low)
    return np.clip(np.concatenate([inside, np.repeat(_edges()[:, None], len(low), axis=1)]), low, high)


@pytest.mark.parametrize("name", _NAMES)
def test_values_are_those_of_pythons_fractions(name):
    expected = [float(_REFERENCE[name](Fraction(float(z)))) for z in _edges()]
    np.testing.assert_array_equal(STAIRS[name].value((_edges(),)), expected)


@pytest.mark.parametrize("name", _NAMES)
def test_the_range_is_exact(name):
    low, high = _boxes(np.random.default_rng(0), 3000)
    least, most = STAIRS[name].range(((low, high),))
    values = STAIRS[name].value((_samples(low, high),))
    np.testing.assert_array_equal(least, values.min(axis=0))
    np.testing.assert_array_equal(most, values.max(axis=0))


@pytest.mark.parametrize("name", _NAMES)
@pytest.mark.parametrize("sign", [1, -1])
def test_extremes_hold_all_samples_and_are_approached(name, sign):
    generator = np.random.default_rng(1)
    low, high = _boxes(generator, 4000)
    slope = generator.choice([0.0, 1.0, -1.0, 0.3, 2.7, -40.0], 4000)
    found = sign * STAIRS[name].extreme(sign, (slope,), ((low, high),)).value
    points = _samples(low, high)
    gains = (sign * (STAIRS[name].value((points,)) - slope * points)).max(axis=0)
    assert (found >= gains - 1e-13).all()
    # A neighbour of a jump comes so near to it as a slope of 40 lets it.
    np.testing.assert_allclose(found, gains, atol=1e-12)


@pytest.mark.parametrize("name", _NAMES)
@pytest.mark.parametrize("sign", [1, -1])
def test_lines_of_good_slopes_are_edges_of_the_hull(name, sign):
    """Above the middle of a box no line can lie lower than the best chord between two points of the graph."""
    low, high = _boxes(np.random.default_rng(2), 400)
    wide = high - low > 1e-3
    low, high = low[wide], high[wide]
    function, middle = STAIRS[name], (low + high) / 2
    slopes = function.slopes(((low, high),))[0 if sign > 0 else 1]
    found = function.extreme(sign, slopes, ((low, high),)).value + slopes[0] * middle
    points = np.unique(_edges())[:, None] + np.zeros(len(low))
    points = np.clip(points, low, high)
    values = function.value((points,))
    best = sign * function.value((middle,))
    for one, other in combinations(range(len(points)), 2):
        before, after = points[one], points[other]
        spans = (before <= middle) & (middle <= after) & (before < after)
        share = np.where(spans, (middle - before) / np.where(spans, after - before, 1.0), 0.0)
        chord = sign * (values[one] + share * (values[other] - values[one]))
        best = np.where(spans, np.maximum(best, chord), best)
    assert (sign * found >= best - 1e-12).all()
    assert (
        sign * found <= best + 1e-3 * (high - low) + 1e-9
    ).all()  # which edge it is, is seen a little aside


@pytest.mark.parametrize("name", _NAMES)
def test_a_box_without_a_jump_leaves_a_constant(name):
    low, high = np.array([0.6, 2.6, -3.4, 1.0 + 2**-52]), np.array([0.9, 2.9, -3.1, 1.4])
    (above,), (below,) = STAIRS[name].slopes(((low, high),))
    assert not above.any()
    assert not below.any()
    top, bottom = (STAIRS[name].extreme(sign, (above,), ((low, high),)).value for sign in (1, -1))
    np.testing.assert_array_equal(top, bottom)
    np.testing.assert_array_equal(top, STAIRS[name].value((low,)))


@pytest.mark.parametrize("name", _NAMES)
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("slope", [0.0, 1.0, 0.3, -2.0])
def test_huge_boxes_are_held(name, sign, slope):
    low = np.array([-1e300, 2.0**49, -(2.0**53), 2.0**51 + 0.5])
    high = np.array([1e300, 2.0**54, 2.0**53, 2.0**51 + 0.5])
    found = sign * STAIRS[name].extreme(sign, (np.full(4, slope),), ((low, high),)).value
    points = low + np.linspace(0, 1, 1001)[:, None] * (high / 2 - low / 2) * 2
    points = np.clip(points, low, high)
    gains = sign * (STAIRS[name].value((points,)) - slope * points)
    assert (found >= gains.max(axis=0) - 1e-15 * np.abs(gains).max(axis=0)).all()


@pytest.mark.parametrize("name", _NAMES)
def test_a_cut_is_at_a_jump_inside_or_in_the_middle(name):
    low, high = _boxes(np.random.default_rng(3), 2000)
    at, function = STAIRS[name].cut((low, high)), STAIRS[name]
    inside = (low < at) & (at < high)
    step = function.value((np.nextafter(at, np.inf),)) > function.value((np.nextafter(at, -np.inf),))
    assert (step | ~inside | (at == (low + high) / 2)).all()
    jumps = function.value((np.nextafter(high, -np.inf),)) > function.value((np.nextafter(low, np.inf),))
    assert step[jumps & inside].all()


def _layers(name, seed):
    """W h(V x + b) + c x, for a staircase h."""
    generator = np.random.default_rng(seed)
    inner = Affine({0: Dense(2 * generator.normal(size=(3, 2)))}, generator.normal(size=3))
    outer = {1: Dense(generator.normal(size=(2, 3))), 0: Dense(generator.normal(size=(2, 2)))}
    return Network(2, (Node(name, (inner,)),), Affine(outer, np.zeros(2)))


@pytest.mark.parametrize("name", _NAMES)
def test_proofs_over_jumps_resist_an_attack_and_recheck(name):
    proofs = 0
    for seed in range(6):
        generator = np.random.default_rng(seed)
        network, low = _layers(name, seed), generator.uniform(-1, 1, 2)
        high = low + generator.uniform(0.1, 0.6, 2)
        reached = network.evaluate(generator.uniform(low, high, (4000, 2))).min(axis=0)
        claimed = shifted(network, 0.05 - reached)
        clauses = of_clauses([[0], [1]], 2)
        if search(claimed, low, high, clauses, seconds=1).found is not Found.ABSENT:
            continue  # samples may have missed the least
        proofs += 1
        attack = Attack(claimed, clauses, lambda _: True, low, high, np.random.default_rng(seed + 100))
        assert not attack.tried(generator.uniform(low, high, (20_000, 2)))
        claim, tree = proved(claimed, low, high, clauses)
        assert recheck(claim, tree).accepted
        for by in (0.051, 0.3):  # what a sample refutes
            forged = Claim(shifted(claimed, -by), low, high, claim.members, claim.strict)
            assert not recheck(forged, tree).accepted
    assert proofs >= 3


def _alone(name, bias, sign=1.0):
    """sign h(x) + bias."""
    one = Affine({0: Dense(np.eye(1))}, np.zeros(1))
    return Network(1, (Node(name, (one,)),), Affine({1: Dense(np.array([[sign]]))}, np.array([bias])))


@pytest.mark.parametrize(
    ("name", "low", "high", "most"),
    [
        ("floor", -0.5, np.nextafter(3.0, 0), 2.0),
        ("floor", -0.5, 3.0, 3.0),
        ("ceil", -0.5, 3.0, 3.0),
        ("ceil", -0.5, np.nextafter(3.0, 4), 4.0),
        ("round", -0.5, 2.5, 2.0),
        ("round", -0.5, 3.5, 4.0),
        ("round_away", -0.5, 2.5, 3.0),
        ("trunc", -0.5, np.nextafter(1.0, 0), 0.0),
        ("sign", -1.0, 0.0, 0.0),
        ("sign", -1.0, 5e-324, 1.0),
        ("positive", -1.0, -0.0, 0.0),
        ("not_negative", -1.0, -0.0, 1.0),
    ],
)
def test_a_threshold_at_an_end_is_decided_and_rechecked(name, low, high, most):
    """h <= most is proved with a certificate; h < most is refuted by the end of the box."""
    box = np.array([low]), np.array([high])
    clauses = of_clauses([[0]], 1, [True])
    claim, tree = proved(_alone(name, most, -1.0), *box, clauses)  # no x with most - h < 0
    assert recheck(claim, tree).accepted
    lower = _alone(name, np.nextafter(most, -9.0), -1.0)
    forged = Claim(lower, *box, claim.members, claim.strict)
    assert not recheck(forged, tree).accepted
    assert recheck_witness(forged, box[1]).accepted
    assert search(lower, *box, clauses, seconds=5).found is Found.PRESENT


@pytest.mark.parametrize("name", _NAMES)
def test_a_point_is_decided_by_fractions_also_next_to_a_jump(name):
    for z in _edges():
        expected = Fraction(_REFERENCE[name](Fraction(float(z))))
        assert exact_outputs(_alone(name, 0.0), np.array([z])) == (expected,)


def test_what_no_whole_number_can_be_has_no_exact_value():
    one = Affine({0: Dense(np.eye(1))}, np.zeros(1))
    network = Network(1, (Node("within", (one,), (-128.0, 127.0)),), one)
    assert exact_outputs(network, np.array([127.0])) is not None
    assert exact_outputs(network, np.array([128.0])) is None


def test_a_jump_says_so_and_kinks_do_not():
    jumping = {name for name in FUNCTIONS if name in STAIRS or name == "is_zero"}
    parameters = {
        "clip": (0.0, 1.0),
        "power": (3.0,),
        "silu": (1.0,),
        "gelu": (1.0,),
        "elu": (1.0, 1.0),
        "within": (0.0, 1.0),
    }
    found = {name for name, made in FUNCTIONS.items() if made(*parameters.get(name, ())).jumps}
    assert found == jumping


def _sum_with_mirror(name, other, bias):
    """h(x) + g(-x) + bias, whose parts jump at the same numbers."""
    both = [Affine({0: Dense(sign * np.eye(1))}, np.zeros(1)) for sign in (1.0, -1.0)]
    nodes = tuple(Node(function, (one,)) for function, one in zip((name, other), both, strict=True))
    return Network(1, nodes, Affine({1: Dense(np.eye(1)), 2: Dense(np.eye(1))}, np.array([bias])))


def test_jumps_at_one_number_are_told_apart_by_a_cut_there():
    """floor(x) + floor(-x) is -1 or 0, never -2, as both lower limits at 1 would make it."""
    box, clauses = (np.zeros(1), np.full(1, 1.5)), of_clauses([[0]], 1, [True])
    claim, tree = proved(_sum_with_mirror("floor", "floor", 1.5), *box, clauses)
    assert recheck(claim, tree).accepted
    assert len(tree) < 500


def test_a_jump_that_nothing_decides_ends_the_search():
    """floor(x) + ceil(-x) is zero; boxes that hold their ends leave -1 at every whole number."""
    box, clauses = (np.zeros(1), np.full(1, 1.5)), of_clauses([[0]], 1, [True])
    found = search(_sum_with_mirror("floor", "ceil", 0.5), *box, clauses, seconds=20)
    assert found.found is Found.OPEN
    assert found.pieces < 500
    assert found.seconds < 10
