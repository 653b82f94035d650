"""What is proved of functions and unrolled cells: attacked, replayed, refused where nothing can be asked."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attractor
from attractor.cells import GRU, LSTM, Cell
from attractor.certify.dual.attack import Attack
from attractor.certify.recheck.certificate import load
from attractor.certify.recheck.checker import recheck
from attractor.certify.verify import Answer, InBand, decide, prove
from attractor.certify.verify.proof import claim_of
from attractor.errors import InputDataError, ShapeError, UnsupportedError


class Own(Cell):
    """A cell that a user writes."""

    weight: jax.Array
    hidden_size: int = eqx.field(static=True)
    input_size: int = eqx.field(static=True)

    def __init__(self, inputs, hidden, *, key):
        self.weight = jax.random.normal(key, (hidden, hidden + inputs)) / 2
        self.hidden_size, self.input_size = hidden, inputs

    def __call__(self, input, state, *, key=None):
        gate = jax.nn.sigmoid(self.weight @ jnp.concatenate([state, input]))
        return gate * state + (1 - gate) * jnp.sin(state[::-1] + input[0])

    def initial_state(self):
        return jnp.zeros(self.hidden_size)


def _last(cell, inputs):
    state = cell.initial_state()
    for step in range(len(inputs)):
        state = cell(inputs[step], state)
    return attractor.cells.exposed(cell, state)


@pytest.mark.parametrize("kind", [GRU, LSTM, Own])
def test_a_cell_over_three_steps_stays_in_what_is_proved_and_leaves_what_is_not(kind):
    cell = kind(2, 3, key=jax.random.key(1))
    low, high = -0.3 * np.ones((3, 2)), 0.3 * np.ones((3, 2))
    sampled = np.random.default_rng(0).uniform(-0.3, 0.3, (4000, 3, 2))
    most = float(np.max(jax.vmap(lambda u: _last(cell, u)[0])(jnp.asarray(sampled, jnp.float32))))
    above = prove(lambda u: _last(cell, u)[0] - (most + 0.15), low, high, seconds=20)
    assert above.answer is Answer.HOLDS
    assert above.upper <= 0
    assert above.attained <= above.upper
    below = prove(lambda u: _last(cell, u)[0] - (most - 0.02), low, high, seconds=20)
    assert below.answer is Answer.VIOLATED
    assert ((below.witness >= low) & (below.witness <= high)).all()
    replayed = float(_last(cell, jnp.asarray(below.witness, jnp.float32))[0]) - (most - 0.02)
    assert replayed > 0
    assert below.excess[0] == pytest.approx(replayed, abs=1e-5)


def test_unrolled_sequences_are_read_as_they_are_written():
    cell = GRU(2, 3, key=jax.random.key(0))
    found = prove(
        lambda u: jnp.abs(attractor.unroll(cell, u).states[-1]) - 1, np.full((4, 2), -1.0), np.ones((4, 2))
    )
    assert found.answer is Answer.HOLDS


def test_what_is_proved_resists_attack():
    """Random functions with thresholds around their maximum: no sample exceeds a proved bound."""
    generator = np.random.default_rng(5)
    for _ in range(12):
        weights = generator.normal(size=(2, 4, 3))

        def function(x, weights=weights):
            inner = jnp.tanh(weights[0] @ x) * jax.nn.sigmoid(weights[1] @ x)
            return jnp.sum(inner) + x[0] * x[1] - jnp.maximum(x[2], 0.2)

        inputs = generator.uniform(-1, 1, (20000, 3))
        values = np.asarray(jax.vmap(function)(jnp.asarray(inputs)))
        threshold = float(values.max() + generator.choice([-0.05, 0.05, 0.3]))
        found = prove(lambda x, f=function, t=threshold: f(x) - t, -np.ones(3), np.ones(3), seconds=5)
        if found.answer is Answer.HOLDS:
            assert values.max() <= threshold + found.upper + 1e-6
        if values.max() > threshold + 1e-6:
            assert found.answer is not Answer.HOLDS


def test_the_answer_stands_first_in_words():
    text = str(prove(lambda x: x[0] ** 2 - 0.5, [-1.0], [1.0]))
    assert text.startswith("the property is violated by an input of the set")
    assert "in float64" in text
    undecided = prove(
        lambda x: jnp.sin(50 * x[0]) * x[1:].sum() - 9.9, -np.ones(11), np.ones(11), seconds=0.3
    )
    if undecided.answer is Answer.OPEN:
        assert str(undecided).startswith("not decided: the largest excess lies between")


@pytest.mark.parametrize(
    ("low", "high", "error", "named"),
    [
        ([0.0, 1.0], [1.0, 0.5], InputDataError, r"inputs at \(1,\).*1 to 0.5"),
        ([0.0, np.nan], [1.0, 1.0], InputDataError, "finite"),
        ([0.0, 0.0], [1.0, np.inf], InputDataError, "finite"),
        ([0.0], [1.0, 1.0], ShapeError, r"\(1,\)"),
    ],
)
def test_a_set_of_inputs_that_is_none_is_named(low, high, error, named):
    with pytest.raises(error, match=named):
        prove(lambda x: x[0], low, high)


def test_a_function_without_results_and_one_that_cannot_be_read_are_refused():
    with pytest.raises(ShapeError, match="nothing"):
        prove(lambda x: x[:0], [0.0], [1.0])
    with pytest.raises(UnsupportedError, match="sort"):
        prove(jnp.sort, [0.0, 0.0], [1.0, 1.0])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: jnp.exp(jnp.maximum(1 / x[0], 0.0)) - 10,
        lambda x: jnp.maximum(1 / x[0], 0.0) ** 2 - 10,
        lambda x: jnp.maximum(1 / x[0], 0.0) ** 3 - 10,
        lambda x: jnp.sin(jnp.maximum(1 / x[0], 0.0)) - 0.5,
        lambda x: jnp.tanh(jnp.maximum(1 / x[0], 0.0)) - 0.9,
        lambda x: jnp.log(1 + jnp.maximum(1 / x[0], 0.0)) - 3,
        lambda x: jax.nn.sigmoid(x[1]) * jnp.maximum(1 / x[0], 0.0) - 3,
        lambda x: jax.nn.softplus(jnp.maximum(1 / x[0], 0.0)) - 3,
        lambda x: jax.nn.silu(jnp.maximum(1 / x[0], 0.0)) - 3,
        lambda x: 3 - jax.nn.gelu(jnp.maximum(1 / x[0], 0.0), approximate=False),
        lambda x: jax.nn.elu(1 / x[0]) + 0.5,
        lambda x: jnp.exp2(jnp.maximum(1 / x[0], 0.0)) - 10,
        lambda x: jnp.cbrt(jnp.maximum(1 / x[0], 0.0)) - 3,
        lambda x: jax.nn.softmax(jnp.stack([1 / x[0], x[1], 0.0 * x[1]]))[0] - 0.5,
        lambda x: jax.nn.log_softmax(jnp.stack([1 / x[0], x[1]]))[1] + 9,
        lambda x: jnp.where(x[0] / x[1] > 0, 1.0, 0.0) - 0.5,
        lambda x: jnp.where(x[0] / x[1] == 1.0, 1.0, 0.0) - 0.5,
    ],
)
def test_boxes_without_bounds_prove_nothing_also_where_no_attack_helps(function, monkeypatch):
    monkeypatch.setattr(Attack, "tried", lambda *_: False)
    monkeypatch.setattr(Attack, "round", lambda *_: False)
    assert prove(function, -np.ones(2), np.ones(2), seconds=0.2).answer is Answer.OPEN


def test_what_is_undefined_in_the_set_is_never_proved():
    found = prove(lambda x: jnp.log(x[0]) - 100, [-1.0], [1.0], seconds=0.5)
    assert found.answer is not Answer.HOLDS
    found = prove(lambda x: 1 / x[0] - 1e9, [-1.0], [1.0], seconds=0.5)
    assert found.answer is not Answer.HOLDS


@pytest.mark.parametrize("number", [jnp.nan, jnp.inf])
def test_weights_that_are_no_numbers_are_named(number):
    with pytest.raises(InputDataError, match=r"no finite number.*test_proof.py"):
        prove(lambda x: jnp.tanh(x[0] * number) - 2, [0.0], [1.0])
    with pytest.raises(InputDataError, match="no finite number"):
        prove(lambda x: x[0] * number - 1, [0.0], [1.0])


_UNDEFINED = {
    "no number is not itself": lambda x: jnp.where(jnp.log(x[0]) == jnp.log(x[0]), -1.0, 1.0),
    "isnan of a root": lambda x: jnp.isnan(jnp.sqrt(x[0])) * 1.0 - 0.5,
    "one value with itself": lambda x: (lambda y: jnp.where(jnp.greater_equal(y, y), -1.0, 1.0))(
        jnp.log(x[0])
    ),
    "a share of itself": lambda x: (lambda y: jnp.where(jnp.isnan(y / y), 1.0, -1.0))(1 / x[0]),
    "a clipped logarithm": lambda x: jnp.clip(jnp.log(x[0]), -1, 1) - 2,
    "what cancels": lambda x: jnp.log(x[0]) - jnp.log(x[0]) - 1,
}


@pytest.mark.parametrize("name", list(_UNDEFINED))
def test_what_is_undefined_is_not_proved_where_it_cancels_or_is_chosen_away(name, tmp_path):
    found = prove(_UNDEFINED[name], [-1.0], [1.0], seconds=0.3, certificate=tmp_path / "c.npz")
    assert found.answer is not Answer.HOLDS
    if name != "no number is not itself":  # two logarithms, of which no bound says that they are one
        assert prove(_UNDEFINED[name], [0.5], [1.0], seconds=5).answer is Answer.HOLDS


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[0] * 1e-200 * 1e-200 * 1e200 - 0.5,
        lambda x: (x * 1e-200)[0] * 1e-150 * 1e100 - 0.5,
        lambda x: x[0] * 1e-200 * 1e-150 * 1e200 * 1e150 - 0.5,
        lambda x: x[0] * 1e-100 * 1e-100 * 1e-100 * 1e-100 * 1e150 * 1e150 * 1e100 - 0.5,
        lambda x: x[0] * 1e-320 - 0.5,
    ],
)
def test_factors_that_float64_would_lose_are_refused(function):
    with pytest.raises(UnsupportedError, match="beyond 1e-150 to 1e150"):
        prove(function, [0.0], [1.0])


@pytest.mark.parametrize(
    ("function", "error", "named"),
    [
        (lambda x: x if x[0] > 0 else -x, UnsupportedError, r"decides in Python.*jnp.where"),
        (lambda x: x - float(x[0]), UnsupportedError, "decides in Python"),
        (lambda x: x - jnp.asarray(np.tanh(np.asarray(x))), UnsupportedError, "use jax.numpy"),
        (lambda x: x[: int(x[0])], UnsupportedError, "decides in Python"),
        (lambda x: x + jax.random.normal(jax.random.key(0), (2,)), UnsupportedError, "random numbers"),
        (lambda x: jax.ops.segment_max(x, jnp.zeros(2, int), 1), UnsupportedError, "scatter-max"),
        (lambda x: None, ShapeError, "NoneType in place of an array"),
        (lambda x: "a word", ShapeError, "str in place of an array"),
        (lambda x: (x, "a word"), ShapeError, "tuple in place of an array"),
    ],
)
@pytest.mark.parametrize("ask", [prove, lambda f, *box: decide(f, InBand(high=1.0), *box)])
def test_what_cannot_be_traced_is_said_in_our_words(function, error, named, ask):
    with pytest.raises(error, match=named):
        ask(function, [-1.0, -1.0], [1.0, 1.0])


@pytest.mark.parametrize(
    "several", [lambda x: (x - 2, x[0] * x[1]), lambda x: {"a": x[0], "b": [x - 1.5, -1.0]}]
)
def test_several_arrays_are_quantities_one_after_the_other(several):
    assert (
        prove(lambda x: jax.tree.map(lambda y: y - 5, several(x)), -np.ones(2), np.ones(2)).answer
        is Answer.HOLDS
    )
    found = prove(several, -np.ones(2), np.ones(2))
    assert found.answer is Answer.VIOLATED
    leaves = np.concatenate([np.ravel(one) for one in jax.tree.leaves(several(jnp.asarray(found.witness)))])
    assert found.excess[1] == pytest.approx(leaves.max(), abs=1e-6)
    assert decide(several, InBand(high=2.0), -np.ones(2), np.ones(2)).answer is Answer.HOLDS


_EXACT = {
    "a share": lambda x: jax.nn.softmax(x)[0] - 1,
    "the opposite of a share": lambda x: -jax.nn.softmax(jnp.stack([x[0], x[1], x[0] - x[1]])),
    "a sigmoid": lambda x: jax.nn.sigmoid(50 * x[0]) - 1,
    "a hyperbolic tangent": lambda x: -1 - jnp.tanh(x),
    "a sine": lambda x: jnp.stack([jnp.sin(9 * x[0]) - 1, -jnp.exp(x[1])]),
}


@pytest.mark.parametrize("name", list(_EXACT))
def test_a_threshold_at_the_end_of_what_a_function_reaches_is_proved_and_checked(name, tmp_path):
    box = -1000 * np.ones(2), 1000 * np.ones(2)
    found = prove(_EXACT[name], *box, seconds=10, certificate=tmp_path / "c.npz")
    assert found.answer is Answer.HOLDS
    assert "checked on" in found.certificate
    (part,) = load(tmp_path / "c.npz").parts
    for by in (1e-15, 1e-9):  # what is met in the limit, or by rounding
        forged = claim_of(lambda x, by=by: jnp.asarray(_EXACT[name](x)) + by, *box)
        assert not recheck(forged, part.tree).accepted


@pytest.mark.parametrize(
    ("function", "exact"),
    [
        (lambda x: 2 * (x - 0.5) + 0.25, True),
        (lambda x: (x + 0.1) * 3, False),
        (lambda x: x * 0.1 * 3, False),
        (lambda x: x + 0.1 + 0.2, False),
        (lambda x: x + 0.5 + 0.25, True),
        (lambda x: jnp.array([[0.1, 0.0], [0.0, -3.0]]) @ jnp.stack([x[0], jnp.float64(1.0)]), True),
        (lambda x: jnp.array([[0.1, 0.3]]) @ jnp.stack([x[0], x[0]]), False),
    ],
)
def test_maps_are_exact_where_no_number_of_them_was_rounded(function, exact):
    output = claim_of(function, [0.0, 0.0], [1.0, 1.0]).network.output
    assert (output.roundings == 0) == exact
