"""Every conjugate against a dense grid: never inside it, and met at its own point."""

from fractions import Fraction

import numpy as np
import pytest
from networks import TWO

from attractor.certify.dual.functions import FUNCTIONS

_GRID = np.linspace(0.0, 1.0, 401)
# Functions with parameters or a domain of their own.
_PARAMETERS = {
    "clip": (-0.4, 0.7), "power": (3.0,), "silu": (1.7,), "elu": (1.67, 0.8), "gelu": (2**-0.5,),
    "within": (-1e9, 1e9),
}  # fmt: skip
_POSITIVE = ("log", "sqrt", "reciprocal")
_ONE = [name for name in FUNCTIONS if name not in TWO]


def _function(name):
    return FUNCTIONS[name](*_PARAMETERS.get(name, ()))


def _boxes(generator, count, name):
    low = generator.uniform(-3, 3, count) * generator.choice([0.1, 1.0, 3.0], count)
    high = low + generator.choice([0.0, 1e-6, 0.3, 2.0, 6.0], count) * generator.random(count)
    if name in _POSITIVE:
        low, high = np.abs(low) + 0.05, np.abs(low) + 0.05 + (high - low)
    return low, high


def _slopes(generator, name, low, high):
    """Random ones, and those of the function itself, where stationary points lie inside."""
    function = _function(name)
    inside = low + generator.random(len(low)) * (high - low)
    own = function.gradient((inside,))[0]
    return np.where(generator.random(len(low)) < 0.6, own, generator.normal(size=len(low)) * 2)


@pytest.mark.parametrize("name", _ONE)
@pytest.mark.parametrize("sign", [1, -1])
def test_an_extreme_holds_the_grid_and_is_met_at_its_point(name, sign):
    generator = np.random.default_rng(3)
    function = _function(name)
    low, high = _boxes(generator, 4000, name)
    slope = _slopes(generator, name, low, high)
    found = function.extreme(sign, (slope,), ((low, high),))
    grid = np.clip(low + _GRID[:, None] * (high - low), low, high)
    gains = sign * (function.value((grid,)) - slope * grid)
    rounding = 1e-14 * (1 + np.abs(gains).max(axis=0))
    assert (sign * found.value >= gains.max(axis=0) - rounding).all()
    if function.jumps:
        return  # these jump: the extreme is a limit, which no point has
    point = found.point[0]
    assert ((point >= low) & (point <= high)).all()
    met = sign * (function.value((point,)) - slope * point)
    np.testing.assert_allclose(sign * found.value, met, atol=1e-9 * (1 + np.abs(met).max()))


@pytest.mark.parametrize("name", TWO)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_plane_holds_a_product_on_its_box(name, sign):
    generator = np.random.default_rng(4)
    function = _function(name)
    boxes = tuple(_boxes(generator, 4000, name) for _ in range(2))
    inside = [low + generator.random(4000) * (high - low) for low, high in boxes]
    slopes = tuple(own * generator.choice([1.0, 0.5, -1.0], 4000) for own in function.gradient(tuple(inside)))
    found = function.extreme(sign, slopes, boxes)
    shares = np.linspace(0, 1, 41)
    x = boxes[0][0] + shares[:, None, None] * (boxes[0][1] - boxes[0][0])
    y = boxes[1][0] + shares[None, :, None] * (boxes[1][1] - boxes[1][0])
    gains = sign * (function.value((x, y)) - slopes[0] * x - slopes[1] * y)
    assert (sign * found.value >= gains.max(axis=(0, 1)) - 1e-13).all()
    met = sign * (function.value(found.point) - slopes[0] * found.point[0] - slopes[1] * found.point[1])
    np.testing.assert_allclose(sign * found.value, met, atol=1e-9)


@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_a_range_holds_all_values_and_lines_of_good_slopes_are_tight_at_a_point(name):
    generator = np.random.default_rng(5)
    function = _function(name)
    boxes = tuple(_boxes(generator, 500, name) for _ in range(2 if name in TWO else 1))
    least, most = function.range(boxes)
    for _ in range(50):
        inside = [low + generator.random(500) * (high - low) for low, high in boxes]
        value = function.value(tuple(np.clip(p, *box) for p, box in zip(inside, boxes, strict=True)))
        assert (least <= value).all()
        assert (value <= most).all()
    # A degenerate box leaves one value, up to outward rounding.
    points = tuple((low, low) for low, _ in boxes)
    ends = function.range(points)
    np.testing.assert_allclose(ends[1] - ends[0], 0.0, atol=1e-12 * (1 + np.abs(ends[1]).max()))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_summit_of_a_gated_tanh_inside_is_found(sign):
    """Planes that touch at interior points with a bend away on all sides: no edge has the extreme."""
    generator = np.random.default_rng(6)
    function = _function("gated_tanh")
    x, y = generator.uniform(0.3, 6, 20000), generator.uniform(0.1, 4, 20000)
    gate, level = 1 / (1 + np.exp(-x)), np.tanh(y)
    summit = 2 * (2 * gate - 1) * level**2 > (1 - gate) * (1 - level**2) * 1.01
    x, y = x[summit][:4000], sign * y[summit][:4000]
    assert len(x) == 4000
    boxes = (x - generator.random(4000), x + generator.random(4000)), (y - 0.3, y + generator.random(4000))
    slopes = function.gradient((x, y))
    found = function.extreme(sign, slopes, boxes)
    here = sign * (function.value((x, y)) - slopes[0] * x - slopes[1] * y)
    assert (sign * found.value >= here - 1e-15).all()
    edges = np.full(4000, -np.inf)
    for share in np.linspace(0, 1, 201):
        along = [low + share * (high - low) for low, high in boxes]
        for point in (*((end, along[1]) for end in boxes[0]), *((along[0], end) for end in boxes[1])):
            gain = sign * (function.value(point) - slopes[0] * point[0] - slopes[1] * point[1])
            edges = np.maximum(edges, gain)
    inside = here > edges + 1e-6
    assert inside.sum() > 1000
    np.testing.assert_allclose((sign * found.value)[inside], here[inside], atol=1e-13)


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in ("log", "sqrt", "reciprocal")])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("low", "high"),
    [
        (-1e6, 1e6),
        (0.3, 0.3),
        (0.3, 0.3 + 1e-12),
        (0.5, np.inf),
        (-np.inf, -0.5),
        (-np.inf, np.inf),
        (0.0, 0.0),
    ],
)
def test_no_extreme_of_an_extreme_box_is_inside_it(name, sign, low, high):
    """Huge, tiny and unbounded boxes: no number is never a bound, and no sample is above one."""
    function, count = _function(name), 2 if name in TWO else 1
    generator = np.random.default_rng(8)
    slopes = tuple(generator.normal(size=200) * 10.0 ** generator.uniform(-6, 1, 200) for _ in range(count))
    boxes = tuple((np.full(200, low), np.full(200, high)) for _ in range(count))
    found = function.extreme(sign, slopes, boxes).value
    assert not np.isnan(found).any()
    least, most = max(low, -1e8), min(high, 1e8)
    for share in (0.0, 1e-8, 0.3, 0.5, 0.5 + 1e-7, 1.0):
        at = min(max(least + share * (most - least), low), high)
        points = tuple(np.full(200, at) for _ in range(count))
        with np.errstate(all="ignore"):
            gain = function.value(points) - sum(slopes) * at
            size = np.abs(gain) + sum(np.abs(slope) for slope in slopes) * abs(at) + 1
            holds = (sign * (found - gain) >= -1e-14 * size) | (found == sign * np.inf)
        assert holds.all()


def test_stationary_points_inside_are_not_forgotten():
    """tanh z - s z with s between the slopes at the ends: without the inner points the bound is too small."""
    function = _function("tanh")
    low, high, slope = np.array([-0.5]), np.array([3.0]), np.array([0.4])
    found = function.extreme(1, (slope,), ((low, high),)).value[0]
    ends = max(np.tanh(end) - 0.4 * end for end in (-0.5, 3.0))
    assert found > ends + 0.1
    inner = np.arctanh(np.sqrt(0.6))
    assert found == pytest.approx(np.tanh(inner) - 0.4 * inner, abs=1e-12)


@pytest.mark.parametrize("name", ["log", "sqrt", "reciprocal"])
def test_where_a_function_is_not_defined_nothing_is_known(name):
    low, high = np.array([-1.0]), np.array([1.0])
    with np.errstate(all="ignore"):
        least, most = _function(name).range(((low, high),))
        found = _function(name).extreme(1, (np.zeros(1),), ((low, high),)).value
    assert not np.isfinite(most[0] - least[0])
    assert found[0] == np.inf


def test_a_product_with_zero_or_one_has_an_exact_range():
    product = FUNCTIONS["product"]()
    for factor, expected in (((0.0, 1.0), (0.0, 0.3)), ((-1.0, 0.0), (-0.3, 0.0)), ((1.0, 1.0), (0.1, 0.3))):
        boxes = tuple((np.array([low]), np.array([high])) for low, high in (factor, (0.1, 0.3)))
        assert product.range(boxes) == expected
    rounded = product.range(((np.array([0.1]), np.array([0.3])),) * 2)
    assert Fraction(float(rounded[0][0])) < Fraction(0.1) ** 2
    assert Fraction(float(rounded[1][0])) > Fraction(0.3) ** 2
