"""Sets of inputs beside boxes: what holds on them, what breaks it there, and what is refused."""

import jax.numpy as jnp
import numpy as np
import pytest

from attractor.certify.recheck.certificate import load
from attractor.certify.verify import (
    Answer,
    Ball,
    Box,
    InBand,
    Lipschitz,
    Monotone,
    Points,
    Polytope,
    Simplex,
    Union,
    Where,
    decide,
    prove,
)
from attractor.errors import ConfigError, InputDataError, ShapeError
from attractor.program import double_precision

# A linear function, its largest value on each set in closed form.
DIRECTION = np.array([3.0, -4.0, 1.0])
CENTRE = np.array([0.5, -0.25, 1.0])
AT = float(DIRECTION @ CENTRE)
MOST = {
    "ball": (Ball(CENTRE, 0.5), AT + 0.5 * np.sqrt(26.0)),
    "diamond": (Ball(CENTRE, 0.5, norm=1), AT + 0.5 * 4.0),
    "box": (Box(CENTRE - 0.5, CENTRE + 0.5), AT + 0.5 * 8.0),
    "simplex": (Simplex(3, 2.0), 6.0),
    "polytope": (
        Polytope([[1.0, -1.0, 0.0], [0.0, 0.0, 1.0]], [0.5, 0.25], -np.ones(3), np.ones(3)),
        # x - y <= 0.5 and z <= 0.25: y as low as may be, -1, and x = -0.5
        3 * -0.5 + 4 * 1.0 + 0.25,
    ),
    "where": (Where(lambda x: jnp.abs(x[0] - x[1]) - 0.5, -np.ones(3), np.ones(3)), -1.5 + 4.0 + 1.0),
    "points": (Points([[0.0, 0.0, 0.0], [1.0, 0.5, 0.0]]), 1.0),
    "union": (Union([Box(-np.ones(3), np.zeros(3)), Ball(CENTRE, 0.1), Points([[2.0, 0.0, 0.5]])]), 6.5),
}


def above(limit):
    return lambda x: jnp.asarray(DIRECTION, x.dtype) @ x - limit


@pytest.mark.parametrize("name", MOST)
def test_a_limit_holds_just_above_the_largest_value_and_breaks_just_below(name):
    inputs, most = MOST[name]
    held = prove(above(most + 0.02), inputs, seconds=20)
    assert held.answer is Answer.HOLDS
    assert held.attained <= held.upper + 1e-9
    broken = prove(above(most - 0.02), inputs, seconds=20)
    assert broken.answer is Answer.VIOLATED
    assert DIRECTION @ broken.witness > most - 0.02
    if name == "simplex":
        assert (broken.witness >= 0).all()
        assert abs(broken.witness.sum() - 2.0) < 1e-12
    else:
        assert any(belongs(part, broken.witness) for part in inputs.parts)


def belongs(part, witness):
    """Whether an input is in a part of a set, up to the rounding of its condition."""
    with double_precision():
        beyond = -np.inf if part.condition is None else float(jnp.max(part.condition(jnp.asarray(witness))))
    return (witness >= part.low).all() and (witness <= part.high).all() and beyond <= 1e-12


@pytest.mark.parametrize("name", ["ball", "polytope", "union"])
def test_certificates_of_sets_are_checked_anew(name, tmp_path):
    inputs, most = MOST[name]
    for limit, answer in ((most + 0.05, Answer.HOLDS), (most - 0.05, Answer.VIOLATED)):
        file = tmp_path / f"{name}.npz"
        found = prove(above(limit), inputs, certificate=file)
        assert found.answer is answer
        assert "checked" in found.certificate
        assert load(file).checked().accepted


def test_a_curved_function_on_a_ball_is_bracketed_by_its_samples():
    def function(x):
        return jnp.tanh(x[0]) * x[1] + jnp.sin(x[1])

    generator = np.random.default_rng(0)
    for _ in range(4):
        centre, radius = generator.normal(size=2), generator.uniform(0.2, 1.0)
        draws = generator.normal(size=(4000, 2))
        draws *= (radius * generator.uniform(size=4000) ** 0.5 / np.linalg.norm(draws, axis=1))[:, None]
        points = centre + draws
        most = (np.tanh(points[:, 0]) * points[:, 1] + np.sin(points[:, 1])).max()
        found = prove(lambda x, most=most: function(x)[None] - most - 0.05, Ball(centre, radius))
        assert found.answer is Answer.HOLDS
        broken = prove(lambda x, most=most: function(x)[None] - most + 0.05, Ball(centre, radius))
        assert broken.answer is Answer.VIOLATED
        assert np.linalg.norm(broken.witness - centre) <= radius * (1 + 1e-12)


def test_points_on_the_edge_belong_to_the_set():
    """3-4-5: the point (3, 4) has distance 5 exactly, and (0.6, 0.8) one that rounds."""
    found = prove(lambda x: x[0] * 3 + x[1] * 4 - 25 + 1e-9, Ball([0.0, 0.0], 5.0), seconds=1)
    assert found.answer is not Answer.HOLDS
    found = prove(lambda x: x[0] + x[1] - 1.0, Simplex(2), seconds=1)
    assert found.answer is not Answer.VIOLATED
    found = prove(lambda x: x[0] - 0.3, Polytope([[1.0]], [0.3], [0.0], [1.0]))
    assert found.answer is not Answer.VIOLATED
    found = prove(lambda x: 0.3 - x[0], Points([[0.3]]))
    assert found.answer is Answer.HOLDS


def test_specifications_are_asked_on_sets():
    ball = Ball([0.0, 0.0], 1.0)
    assert decide(lambda x: x.sum(), InBand(low=-1.5, high=1.5), ball).answer is Answer.HOLDS
    assert decide(lambda x: x.sum(), InBand(low=-1.5, high=1.3), ball).answer is Answer.VIOLATED
    assert decide(lambda x: x[0] ** 2 + x[0], Monotone(0), Ball([0.0, 0.0], 0.45)).answer is Answer.HOLDS
    assert decide(lambda x: x[0] ** 2 + x[0], Monotone(0), ball).answer is Answer.VIOLATED


def test_slopes_say_nothing_of_sets_with_gaps():
    apart = Union([Box([-2.0], [-1.0]), Box([1.0], [2.0])])
    for inputs in (apart, Points([[0.0], [1.0]]), Where(lambda x: 1 - x**2, [-2.0], [2.0])):
        for specification in (Monotone(0), Lipschitz(1.0), Monotone(0) & InBand(high=3.0)):
            with pytest.raises(ConfigError, match="leave out what lies between"):
                decide(lambda x: 1 / x, specification, inputs)
    with pytest.raises(ConfigError, match="Simplex"):
        decide(lambda x: x[:1], Monotone(0), Simplex(2))


def test_an_empty_set_is_refused():
    nothing = Polytope([[1.0], [-1.0]], [-0.5, -0.5], [-1.0], [1.0])
    with pytest.raises(InputDataError, match="is empty"):
        prove(lambda x: x - 5.0, nothing)
    with pytest.raises(InputDataError, match="is empty"):
        prove(lambda x: x - 5.0, Union([Box([0.0], [1.0]), nothing]))


def test_what_is_no_set_is_refused():
    for make, error in (
        (lambda: Ball([0.0], 0.0), ConfigError),
        (lambda: Ball([0.0], np.nan), ConfigError),
        (lambda: Ball([np.inf], 1.0), InputDataError),
        (lambda: Simplex(1), ConfigError),
        (lambda: Simplex(3, -1.0), ConfigError),
        (lambda: Union([]), ConfigError),
        (lambda: Points([]), ConfigError),
        (lambda: Polytope([[1.0, 2.0]], [1.0], [0.0], [1.0]), ShapeError),
        (lambda: Polytope([[np.nan]], [1.0], [0.0], [1.0]), InputDataError),
        (lambda: Box([1.0], [0.0]), InputDataError),
        (lambda: prove(lambda x: x, [0.0]), ShapeError),
        (lambda: prove(lambda x: x, Ball([0.0], 1.0), [1.0]), ShapeError),
    ):
        with pytest.raises(error):
            make()
