"""Specifications: true ones are proved, false ones give a witness, and edges count as inside."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor.certify.verify import (
    AllOf,
    AmongTop,
    Answer,
    InBand,
    Leads,
    LinearRelation,
    Lipschitz,
    Monotone,
    NearReference,
    OneOf,
    SameAs,
    decide,
)
from attractor.errors import ConfigError, ShapeError, UnsupportedError

MATRIX = np.array([[1.0, 2.0], [0.5, -1.0]])
LOW, HIGH = np.full(2, -0.5), np.full(2, 0.5)


def function(x):
    return jnp.tanh(jnp.asarray(MATRIX, x.dtype) @ x)


def identity(x):
    return x


def rounded(x):
    return function(x) * 1.001


# tanh(1.5) = 0.90515, tanh(0.75) = 0.63515; slopes at zero are those of MATRIX
TRUE = [
    InBand(-1, 0.906),
    InBand(high=0.64, outputs=(1,)),
    InBand([-0.91, -0.65], [0.91, 0.65]),
    NearReference([0.0, 0.1], 0.906),
    Leads(0, margin=-1.3),
    AmongTop(0, 2),
    LinearRelation([1.0, 1.0], 1.6),
    LinearRelation([[1.0, 0.0], [0.0, -1.0]], [0.91, 0.64]),
    SameAs(rounded, 0.001),
    Monotone(0),
    Monotone(1, outputs=(0,)),
    Monotone(1, rising=False, outputs=(1,)),
    Lipschitz(3.001),
    Lipschitz(2.2363, "euclidean"),
    InBand(high=0.906) & Monotone(0),
    OneOf((InBand(high=0.5), InBand(low=-0.92))),
]
FALSE = [
    InBand(-1, 0.904),
    InBand(high=0.63, outputs=(1,)),
    NearReference([0.0, 0.1], 0.904),
    Leads(0),
    Leads(0, margin=-1.2),
    AmongTop(0, 1),
    LinearRelation([1.0, 1.0], 0.7),
    SameAs(rounded, 0.0008),
    Monotone(0, rising=False),
    Monotone(1),
    Lipschitz(2.99),
    Lipschitz(2.235, "euclidean"),
    InBand(high=0.906) & Monotone(1),
    OneOf((InBand(high=0.5), InBand(low=-0.2))),
    AllOf((InBand(high=0.5), InBand(low=-0.2))),
]


@pytest.mark.parametrize("specification", TRUE, ids=str)
def test_what_is_true_is_proved_and_resists_attack(specification):
    found = decide(function, specification, LOW, HIGH, seconds=30)
    assert found.answer is Answer.HOLDS
    inputs = np.random.default_rng(0).uniform(LOW, HIGH, (2000, 2))
    corners = np.where(inputs > 0, HIGH, LOW)
    excess = jax.jit(jax.vmap(specification.excess(function)))
    for some in (inputs, corners):
        assert np.max(np.asarray(excess(jnp.asarray(some, jnp.float32)))) <= found.upper + 1e-5


@pytest.mark.parametrize("specification", FALSE, ids=str)
def test_what_is_false_has_a_witness(specification):
    found = decide(function, specification, LOW, HIGH, seconds=30)
    assert found.answer is Answer.VIOLATED
    assert ((found.witness >= LOW) & (found.witness <= HIGH)).all()
    assert float(jnp.max(specification.excess(function)(jnp.asarray(found.witness)))) > -1e-6
    assert found.excess[0] > 0


@pytest.mark.parametrize(
    ("specification", "holds"),
    [
        (InBand(-1.0, 1.0), True),
        (InBand(-1.0, np.nextafter(1.0, 0)), False),
        (NearReference([0.0, 0.0], 1.0), True),
        (NearReference([0.0, 0.0], np.nextafter(1.0, 0)), False),
        (InBand(low=-1.0), True),
        (InBand(low=np.nextafter(-1.0, 0)), False),
    ],
    ids=str,
)
def test_edges_count_as_inside(specification, holds):
    found = decide(identity, specification, [-1.0, -1.0], [1.0, 1.0], seconds=0.5)
    assert found.answer is not (Answer.VIOLATED if holds else Answer.HOLDS)
    if not holds:
        assert found.answer is Answer.VIOLATED


def test_a_fixed_input_at_the_edge_violates_nothing():
    edges = ((InBand(1.0, 1.0), [1.0]), (Leads(0), [2.0, 2.0]))
    for specification, point in edges:
        assert decide(identity, specification, point, point, seconds=0.5).answer is not Answer.VIOLATED
    assert decide(identity, Leads(0, margin=1e-9), [2.0, 2.0], [2.0, 2.0]).answer is Answer.VIOLATED


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_being_among_the_largest_is_judged_as_by_sorting(count):
    generator = np.random.default_rng(count)
    excess = AmongTop(1, count).excess(identity)
    for values in generator.normal(size=(50, 4)):
        rank = int(np.sum(values > values[1]))
        assert (float(jnp.max(excess(jnp.asarray(values)))) <= 0) == (rank < count)


@pytest.mark.parametrize("norm", ["largest", "euclidean"])
def test_no_pair_of_inputs_breaks_a_proved_lipschitz_bound(norm):
    generator = np.random.default_rng(1)
    weights = generator.normal(size=(3, 2))

    def net(x):
        return jnp.sin(jnp.asarray(weights, x.dtype) @ x) * jax.nn.sigmoid(x[0])

    pairs = generator.uniform(-1, 1, (4000, 2, 2))
    values = np.asarray(jax.vmap(jax.vmap(net))(jnp.asarray(pairs, jnp.float32)), float)
    order = np.inf if norm == "largest" else 2
    size = np.linalg.norm(pairs[:, 0] - pairs[:, 1], ord=order, axis=1)
    steepest = float((np.abs(values[:, 0] - values[:, 1]).max(axis=1) / size)[size > 1e-2].max())
    assert decide(net, Lipschitz(0.9 * steepest, norm), -np.ones(2), np.ones(2)).answer is Answer.VIOLATED
    assert decide(net, Lipschitz(3 * steepest, norm), -np.ones(2), np.ones(2)).answer is Answer.HOLDS


@jax.custom_jvp
def liar(x):
    return -x


liar.defjvp(lambda primals, tangents: (-primals[0], tangents[0]))


@pytest.mark.parametrize("falling", [liar, lambda x: x - 3 * jax.lax.stop_gradient(x)])
def test_derivatives_that_a_user_writes_prove_nothing(falling):
    assert decide(falling, Monotone(0), [-1.0], [1.0]).answer is Answer.VIOLATED
    assert decide(falling, Lipschitz(0.5), [-1.0], [1.0]).answer is Answer.VIOLATED


@pytest.mark.parametrize("specification", [Monotone(0), Lipschitz(1.0), Monotone(0) | InBand(high=5.0)])
def test_what_may_jump_has_no_slopes_that_tell(specification):
    def falls(x):
        return jnp.where(x > 0, x - 1, x)

    with pytest.raises(UnsupportedError, match="may jump"):
        decide(falls, specification, [-1.0], [1.0])


def test_kinks_are_no_jumps():
    def kinked(x):
        return jnp.maximum(x, 0) + 0.5 * x

    assert decide(kinked, Monotone(0), [-1.0], [1.0]).answer is Answer.HOLDS
    assert decide(kinked, Lipschitz(1.5), [-1.0], [1.0], seconds=1).answer is not Answer.VIOLATED
    assert decide(kinked, Lipschitz(1.4), [-1.0], [1.0]).answer is Answer.VIOLATED


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (InBand, "lower end"),
        (lambda: InBand(2.0, 1.0), "empty"),
        (lambda: InBand([0.0, 2.0], [1.0, 1.0]), "empty"),
        (lambda: InBand(np.nan), "number"),
        (lambda: NearReference([0.0], -1), "at least 0"),
        (lambda: NearReference([0.0], np.nan), "at least 0"),
        (lambda: SameAs(identity, -1), "at least 0"),
        (lambda: AmongTop(0, 0), "at least one"),
        (lambda: Lipschitz(-1), "at least 0"),
        (lambda: AllOf(()), "no parts"),
        (lambda: OneOf(()), "no parts"),
    ],
)
def test_what_says_nothing_is_refused(make, said):
    with pytest.raises(ConfigError, match=said):
        make()


@pytest.mark.parametrize(
    ("specification", "said"),
    [
        (InBand([0.0, 0.0, 0.0], 1.0), "3 numbers"),
        (Leads(2), "output 2 of 2"),
        (Leads(-1), "output -1 of 2"),
        (Leads(0, over=(0,)), "output 0 of 2"),
        (LinearRelation([1.0, 2.0, 3.0]), "3 outputs"),
        (SameAs(lambda x: x[:1], 1.0), "compared"),
        (Monotone(5), "input 5 of 2"),
    ],
    ids=str,
)
def test_what_does_not_fit_the_function_is_named(specification, said):
    with pytest.raises(ShapeError, match=said):
        decide(function, specification, LOW, HIGH)


def test_each_says_itself():
    said = [str(one) for one in TRUE]
    assert len(set(said)) == len(said)
    assert said[0] == "every output stays between -1 and 0.906"
    assert str(Leads(2)) == "no other output is above output 2"
    assert str(InBand(high=1.0) | Monotone(0)) == (
        "(every output stays below 1) or (outputs never fall while input 0 grows)"
    )


@pytest.mark.parametrize(
    "function", [lambda x: -1 / x, lambda x: x - 1 / x, lambda x: -1 / (x - 0.1234), lambda x: -(x**-1)]
)
def test_a_function_with_a_pole_is_not_called_monotone(function):
    assert decide(function, Monotone(0), [-1.0], [1.0], seconds=0.5).answer is not Answer.HOLDS
    assert decide(function, Monotone(0), [0.5], [1.0], seconds=5).answer is Answer.HOLDS


def test_slopes_where_the_function_has_no_value_prove_nothing():
    for specification in (Monotone(0, rising=False), Lipschitz(5.0)):
        found = decide(lambda x: jnp.log(x), specification, [-2.0], [-1.0], seconds=0.3)
        assert found.answer is not Answer.HOLDS
    assert decide(lambda x: jnp.log(x), Lipschitz(1.01), [1.0], [2.0]).answer is Answer.HOLDS


def test_inputs_that_have_no_range_are_not_moved():
    low, high = [0.0, -1.0], [0.0, 1.0]
    assert decide(lambda x: (100 * x[0] + x[1])[None], Lipschitz(2.0), low, high).answer is Answer.HOLDS
    assert (
        decide(lambda x: (100 * x[0] + 3 * x[1])[None], Lipschitz(2.0), low, high).answer is Answer.VIOLATED
    )
    assert decide(lambda x: -x, Monotone(0), [1.0], [1.0]).answer is Answer.HOLDS
