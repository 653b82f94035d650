"""The checker of proofs: what searches proved is accepted, and nothing false is, however it is forged."""

import subprocess
import sys
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from proved_claims import alone, case, corners, cut, exact_output, forged, layered, least, proved, shifted
from scipy import sparse

from attractor.certify.dual.clauses import of_clauses
from attractor.certify.dual.linear_maps import Dense, Selection, Sparse
from attractor.certify.dual.network import Affine, Network, Node
from attractor.certify.dual.search import Found, search
from attractor.certify.dual.tree import Walk
from attractor.certify.recheck import checker
from attractor.certify.recheck.checker import recheck, recheck_witness
from attractor.certify.recheck.claim import Claim

_KINDS = ("relu", "tanh", "sine", "product", "gated")
_ONE = np.ones(1)


def about(network, low, high, strict=False):
    """The claim that no output is at most zero (below zero)."""
    count = len(network.output.bias)
    return Claim(network, low, high, np.eye(count, dtype=bool), np.full(count, strict))


def affine(weights, bias=0.0, source=0):
    """One number of a few."""
    return Affine({source: Dense(np.array([weights], float))}, np.array([float(bias)]))


def linear(weights, bias=0.0):
    """A network that is one affine function."""
    return Network(len(weights), (), affine(weights, bias))


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_what_a_search_proved_is_accepted(kind, seed):
    claim, tree = case(kind, seed)
    found = recheck(claim, tree)
    assert found.accepted
    assert found.refused == ""
    assert found.pieces <= len(tree)


@pytest.mark.parametrize("kind", _KINDS)
def test_a_claim_that_an_input_refutes_is_never_accepted(kind):
    claim, tree = case(kind)
    attained = least(claim.network, claim.low, claim.high)
    for below in (1e-9, 1e-3, 0.1):
        wrong = replace(claim, network=shifted(claim.network, -attained - below))
        found = recheck(wrong, tree)
        assert not found.accepted
        assert "no condition of clause" in found.refused


@pytest.fixture(scope="module")
def many_inputs():
    """A network of many inputs: boxes of the whole by descents, cuts of inner values, means of conditions."""
    network = layered((20, 12, 12, 2), 2)
    low, high = -0.4 * np.ones(20), 0.4 * np.ones(20)
    # Each condition can hold, both cannot, by little.
    nearest = search(network, low, high, of_clauses([[0, 1]], 2), seconds=1.0, tolerance=0.0).attained
    network = shifted(network, 0.1 - nearest)
    return proved(network, low, high, of_clauses([[0, 1]], 2))


def test_cuts_of_inner_values_and_means_of_conditions_are_accepted(many_inputs):
    claim, tree = many_inputs
    assert (tree.node >= 0).any()
    assert any(walk.weights is not None for walk in tree.walks)
    assert any(walk.target < 2 for walk in tree.walks)
    assert recheck(claim, tree).accepted


@pytest.mark.parametrize(
    "weights",
    [
        lambda weights: -weights,
        lambda weights: weights * np.array([1.0, -1.0]),
        lambda weights: weights * np.nan,
        lambda weights: weights[:, :1],
    ],
)
def test_weights_that_are_none_are_refused(many_inputs, weights):
    claim, tree = many_inputs
    walks = [
        walk if walk.weights is None else forged(walk, weights=weights(walk.weights)) for walk in tree.walks
    ]
    assert not recheck(claim, replace(tree, walks=tuple(walks))).accepted


def test_a_mean_needs_the_conditions_of_its_clause(many_inputs):
    """One condition alone can hold: a mean of both must not refute the clause of it."""
    claim, tree = many_inputs
    alone_met = replace(claim, members=np.array([[True, False]]))
    assert search(claim.network, claim.low, claim.high, of_clauses([[0]], 2)).found is Found.PRESENT
    assert not recheck(alone_met, tree).accepted


def test_a_wide_tree_is_checked_in_batches(monkeypatch):
    network = layered((3, 10, 10, 1), 1)
    low, high = -np.ones(3), np.ones(3)
    network = shifted(network, 0.01 - least(network, low, high))
    claim, tree = proved(network, low, high, of_clauses([[0]], 1))
    assert len(tree) > 100
    whole = recheck(claim, tree)
    monkeypatch.setattr(checker, "_PIECES", 3)
    assert whole.accepted
    assert whole == recheck(claim, tree)


def test_any_missing_part_of_a_tree_is_noticed():
    claim, tree = case("relu", 0)
    assert len(tree) > 8
    for number in range(1, len(tree)):
        kept = np.arange(len(tree)) != number
        names = ("parent", "node", "argument", "entry", "at", "above")
        without = replace(tree, **{name: getattr(tree, name)[kept] for name in names})
        assert not recheck(claim, without).accepted
    last = int(np.flatnonzero(np.diff(tree.parent[1:]) == 0)[-1]) + 1
    pruned = replace(tree, **{name: getattr(tree, name)[:last] for name in names})
    found = recheck(claim, pruned)
    assert not found.accepted
    assert f"piece {tree.parent[last]}" in found.refused


# On [-1, 1], x + 0.5 > 0 is false, and each of its halves above -0.5 is true.
_BELOW, _ABOVE = (0, -1, 0, 0, 0.0, False), (0, -1, 0, 0, 0.0, True)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([_ABOVE, _ABOVE], "same side"),
        ([_ABOVE], "cut into two"),
        ([_BELOW, _ABOVE], "piece 1"),
        ([_ABOVE, _BELOW, _ABOVE], "cut into two"),
        ([(0, -1, 0, 0, -0.4, True), (0, -1, 0, 0, -0.6, False)], "different cuts"),
        ([(0, -1, 0, 0, -2.0, True), (0, -1, 0, 0, -2.0, False)], "piece 1"),
        ([(0, -1, 0, 0, 2.0, True), (0, -1, 0, 0, 2.0, False)], "piece 2"),
        ([(0, -1, 0, 1, 0.0, True), (0, -1, 0, 1, 0.0, False)], "does not exist"),
        ([(0, -1, 0, -1, 0.0, True), (0, -1, 0, -1, 0.0, False)], "does not exist"),
        ([(0, -1, 1, 0, 0.0, True), (0, -1, 1, 0, 0.0, False)], "does not exist"),
        ([(0, 3, 0, 0, 0.0, True), (0, 3, 0, 0, 0.0, False)], "does not exist"),
        ([(0, -2, 0, 0, 0.0, True), (0, -2, 0, 0, 0.0, False)], "does not exist"),
        ([(2, -1, 0, 0, 0.0, False), (1, -1, 0, 0, 0.0, True)], "no parent"),
        ([(1, -1, 0, 0, 0.0, False), (1, -1, 0, 0, 0.0, True)], "no parent"),
        ([(-1, -1, 0, 0, 0.0, False), (-1, -1, 0, 0, 0.0, True)], "no parent"),
        ([(0, -1, 0, 0, np.nan, False), (0, -1, 0, 0, np.nan, True)], "finite"),
        ([(0, -1, 0, 0, np.inf, False), (0, -1, 0, 0, np.inf, True)], "finite"),
    ],
)
def test_a_tree_that_leaves_something_out_proves_nothing(rows, said):
    found = recheck(about(linear([1.0], 0.5), -_ONE, _ONE), cut(*rows))
    assert not found.accepted
    assert said in found.refused


def test_a_tree_without_a_first_piece_or_of_other_types_is_refused():
    claim = about(linear([1.0], 0.5), -_ONE, _ONE)
    nothing = np.zeros(0, int)
    empty = forged(
        alone(),
        parent=nothing,
        node=nothing,
        argument=nothing,
        entry=nothing,
        at=_ONE[:0],
        above=_ONE[:0] > 0,
    )
    assert "no first piece" in recheck(claim, empty).refused
    for changes in ({"parent": np.array([0])}, {"at": np.zeros(1, np.float32)}, {"above": np.zeros(1, int)}):
        assert not recheck(about(linear([1.0], 2.0), -_ONE, _ONE), forged(alone(), **changes)).accepted


def _rectified():
    """min of relu(x) - 0.3 x + 0.35 on [-1, 1.2] is 0.35, which CROWN's slope does not show."""
    node = Node("relu", (affine([1.0]),))
    output = Affine({1: Dense(np.array([[1.0]])), 0: Dense(np.array([[-0.3]]))}, np.array([0.35]))
    return about(Network(1, (node,), output), -_ONE, 1.2 * _ONE)


def _walk(slope, piece=0, **changes):
    given = {
        "piece": piece, "target": 1, "argument": 0, "entries": np.zeros(1, int), "sign": -1,
        "slopes": ((np.array([[slope]]),),),
    }  # fmt: skip
    return Walk(**(given | changes))


def test_recorded_slopes_prove_what_those_of_the_functions_do_not():
    claim = _rectified()
    assert not recheck(claim, alone()).accepted
    assert recheck(claim, replace(alone(), walks=(_walk(0.3),))).accepted
    for slope in (0.0, 0.9, -1.0, 1e300, -1e300, 5e-324):
        assert not recheck(claim, replace(alone(), walks=(_walk(slope),))).accepted


def test_no_slopes_prove_what_is_false():
    generator = np.random.default_rng(0)
    claim = _rectified()
    wrong = replace(claim, network=shifted(claim.network, -0.35000000000000003))
    values = [0.3, np.nextafter(0.3, 1), np.nextafter(0.3, 0), 0.0, 1.0, 1e308, -1e308, 1e-300, 5e-324]
    for slope in [*values, *generator.normal(size=200)]:
        assert not recheck(wrong, replace(alone(), walks=(_walk(slope),))).accepted


def test_a_cut_of_an_inner_value_is_followed():
    claim = _rectified()
    halves = cut((0, 0, 0, 0, 0.0, False), (0, 0, 0, 0, 0.0, True))
    assert not recheck(claim, halves).accepted
    assert not recheck(claim, replace(halves, walks=(_walk(0.3, piece=1),))).accepted
    assert recheck(claim, replace(halves, walks=(_walk(0.3, piece=1), _walk(0.5, piece=2)))).accepted
    wrong = replace(claim, network=shifted(claim.network, -0.36))
    for at in (-2.0, -0.5, 0.0, 0.5, 2.0):
        tree = cut((0, 0, 0, 0, at, False), (0, 0, 0, 0, at, True))
        walks = tuple(_walk(slope, piece) for slope in (0.0, 0.3, 1.0) for piece in (0, 1, 2))
        assert not recheck(wrong, replace(tree, walks=walks)).accepted


def test_a_walk_to_an_inner_value_helps_the_pieces_below():
    """u = relu(x) - 0.3 x >= 0 needs the slope 0.3; then relu(u) = u, and the output is its bound."""
    first = Node("relu", (affine([1.0]),))
    inner = Affine({1: Dense(np.array([[1.0]])), 0: Dense(np.array([[-0.3]]))}, np.array([0.0]))
    network = Network(1, (first, Node("relu", (inner,))), affine([-1.0], 0.0, source=2))
    network = shifted(network, 0.85)  # relu(u) is at most 0.84 on [-1, 1.2]
    claim = about(network, -_ONE, 1.2 * _ONE)
    bound = _walk(2.2 / 1.2, target=1, sign=1, slopes=((np.array([[1.2 / 2.2]]),),))
    assert recheck(claim, replace(alone(), walks=(bound,))).accepted
    wrong = replace(claim, network=shifted(network, -0.02))
    assert not recheck(wrong, replace(alone(), walks=(bound,))).accepted


@pytest.mark.parametrize(
    "changes",
    [
        {"piece": 1}, {"piece": -1}, {"target": 2}, {"target": -1}, {"argument": 1}, {"argument": -1},
        {"entries": np.array([1])}, {"entries": np.array([-1])}, {"entries": np.zeros(1)}, {"sign": 0},
        {"sign": 2}, {"slopes": ()}, {"slopes": ((),)}, {"slopes": ((np.zeros((2, 1)),),)},
        {"slopes": ((np.full((1, 1), np.nan),),)}, {"slopes": ((np.full((1, 1), np.inf),),)},
        {"slopes": ((np.full((1, 1), 0.3, np.float32),),)},
    ],
)  # fmt: skip
def test_a_walk_to_what_does_not_exist_is_refused(changes):
    tree = replace(alone(), walks=(forged(_walk(0.3), **changes),))
    found = recheck(_rectified(), tree)
    assert not found.accepted
    assert "walk" in found.refused


def _with_map(one, size=1, bias=None):
    return Network(1, (), Affine({0: one}, np.full(size, 2.0) if bias is None else bias))


@pytest.mark.parametrize(
    "network",
    [
        _with_map(Dense(np.array([[np.nan]]))),
        _with_map(Dense(np.array([[np.inf]]))),
        _with_map(Dense(np.array([[1e-200]]))),
        _with_map(Dense(np.array([[1.0, 1.0]]))),
        _with_map(Dense(np.array([[1.0]])), bias=np.array([np.nan])),
        _with_map(Dense(np.array([[1.0]])), bias=np.array([np.inf])),
        _with_map(forged(Dense(np.array([[1.0]])), matrix=np.array([[1.0]], np.float32))),
        _with_map(forged(Dense(np.array([[1.0]])), matrix=np.array([[1.0]], object))),
        _with_map(Selection(np.array([-1]), _ONE, 1)),
        _with_map(Selection(np.array([1]), _ONE, 1)),
        _with_map(Selection(np.array([1]), _ONE, 2)),
        _with_map(Selection(np.array([0]), np.array([np.nan]), 1)),
        _with_map(Sparse(sparse.csr_array(np.array([[np.nan]])))),
        Network(1, (), Affine({1: Dense(np.array([[1.0]]))}, np.full(1, 2.0))),
        Network(1, (), Affine({-1: Dense(np.array([[1.0]]))}, np.full(1, 2.0))),
        Network(1, (Node("relu", (affine([1.0], source=1),)),), affine([1.0], 2.0)),
        Network(1, (Node("relu", (affine([1.0], source=2),)),) * 2, affine([1.0], 2.0)),
        Network(1, (Node("nothing", (affine([1.0]),)),), affine([1.0], 2.0)),
        Network(1, (Node("relu", ()),), affine([1.0], 2.0)),
        Network(1, (Node("relu", (affine([1.0]), affine([1.0]))),), affine([1.0], 2.0)),
        Network(1, (Node("product", (affine([1.0]),)),), affine([1.0], 2.0)),
        Network(1, (Node("relu", (affine([1.0]),), (1.0,)),), affine([1.0], 2.0)),
        Network(1, (Node("clip", (affine([1.0]),), (1.0, -1.0)),), affine([1.0], 2.0)),
        Network(1, (Node("clip", (affine([1.0]),), (np.nan, 1.0)),), affine([1.0], 2.0)),
        Network(1, (Node("power", (affine([1.0]),), (-1.0,)),), affine([1.0], 2.0)),
        Network(1, (Node("power", (affine([1.0]),), (2.5,)),), affine([1.0], 2.0)),
        Network(1, (), replace(affine([1.0], 2.0), roundings=-5)),
        Network(1, (), replace(affine([1.0], 2.0), bias_size=-_ONE, roundings=1)),
        Network(1, (), replace(affine([1.0], 2.0), sizes={0: Dense(np.array([[-1.0]]))}, roundings=1)),
    ],
)  # fmt: skip
def test_a_network_that_is_none_proves_nothing(network):
    found = recheck(about(network, -_ONE, _ONE), alone())
    assert not found.accepted
    assert found.refused
    assert found.pieces == 0


def test_a_broken_sparse_map_is_refused_before_it_is_used():
    for name, changed in (("indices", 7), ("indices", -1), ("indptr", 9)):
        matrix = sparse.csr_array(np.array([[1.0]]))
        getattr(matrix, name)[-1] = changed
        assert (
            "sparse map is broken" in recheck(about(_with_map(Sparse(matrix)), -_ONE, _ONE), alone()).refused
        )


@pytest.mark.parametrize(
    "changes",
    [
        {"low": 2 * _ONE}, {"low": np.array([np.nan])}, {"high": np.array([np.inf])}, {"low": np.zeros(2)},
        {"low": np.zeros(1, np.float32)}, {"members": np.ones((1, 2), bool)}, {"members": np.ones((1, 1))},
        {"strict": np.zeros(2, bool)}, {"strict": np.zeros(1)}, {"members": np.zeros((1, 1), bool)},
    ],
)  # fmt: skip
def test_a_claim_that_is_none_is_not_accepted(changes):
    claim = about(linear([1.0], 2.0), -_ONE, _ONE)
    assert recheck(claim, alone()).accepted
    assert not recheck(forged(claim, **changes), alone()).accepted


def test_strict_conditions_and_bounds_at_the_threshold_have_their_meaning():
    """x >= 1 on the box: x - 1 <= 0 is met at its end, x - 1 < 0 nowhere."""
    choice = Affine({0: Selection(np.zeros(1, int), _ONE, 1)}, -_ONE)
    network = Network(1, (), choice)
    assert not recheck(about(network, _ONE, 2 * _ONE), alone()).accepted
    assert recheck(about(network, _ONE, 2 * _ONE, strict=True), alone()).accepted
    assert recheck(about(network, _ONE * np.nextafter(1, 2), 2 * _ONE), alone()).accepted


def test_a_clause_needs_one_of_its_own_conditions_refuted():
    """On [1, 2], x > 0 holds and x - 3 > 0 does not."""
    network = Network(1, (), Affine({0: Dense(np.ones((2, 1)))}, np.array([0.0, -3.0])))
    claim = about(network, _ONE, 2 * _ONE)
    for members, accepted in (
        ([[1, 0]], True), ([[1, 1]], True), ([[0, 1]], False), ([[1, 0], [0, 1]], False), ([[0, 0]], False),
    ):  # fmt: skip
        assert recheck(replace(claim, members=np.array(members, bool)), alone()).accepted is accepted


@pytest.mark.parametrize("scale", [1e8, 1e16, 1e100])
def test_what_cancels_is_inside_the_bounds(scale):
    """scale x + x - scale x is x, and never the zero that rounding makes of it."""
    first = Node("relu", (Affine({0: Dense(np.array([[scale], [1.0], [scale]]))}, np.zeros(3)),))
    network = Network(1, (first,), affine([1.0, 1.0, -1.0], source=1))
    for bias in (-1.0, -1.5, -np.nextafter(1, 2)):
        assert not recheck(about(shifted(network, bias), _ONE, 2 * _ONE), alone()).accepted


def test_no_bound_passes_an_exact_minimum():
    """Affine networks and stable rectifiers, whose minimum lies at a corner and is known as a fraction."""
    generator = np.random.default_rng(1)
    refused, accepted = 0, 0
    for trial in range(300):
        inputs, units = 3, 4
        weights = generator.normal(size=(units, inputs)) * 10.0 ** generator.integers(-8, 9, (units, inputs))
        low = generator.normal(size=inputs)
        high = low + generator.exponential(size=inputs) * 10.0 ** generator.integers(-12, 1, inputs)
        bias = np.abs(weights) @ np.maximum(np.abs(low), np.abs(high)) * 2 + 1
        last = generator.normal(size=(1, units)) * 10.0 ** generator.integers(-8, 9, (1, units))
        node = Node("relu", (Affine({0: Dense(weights)}, bias),))
        network = Network(inputs, (node,), Affine({1: Dense(last)}, np.zeros(1)))
        exact = min(exact_output(network, corner)[0] for corner in corners(low, high))
        size = float((np.abs(last) @ (bias * 2))[0])
        nearest = float(-exact)
        for shift in (
            nearest,
            np.nextafter(nearest, -np.inf),
            nearest - size * 1e-14,
            nearest + size * 1e-12,
        ):
            true = exact + Fraction(shift) > 0
            found = recheck(about(shifted(network, shift), low, high), alone()).accepted
            assert true or not found, trial
            accepted, refused = accepted + found, refused + (not found)
    assert accepted > 250
    assert refused > 800


@pytest.mark.parametrize("seed", range(4))
def test_no_bound_passes_what_a_rectifier_net_attains(seed):
    network = layered((2, 6, 6, 1), seed)
    low, high = -np.ones(2), np.ones(2)
    generator = np.random.default_rng(seed)
    claim, tree = proved(shifted(network, 0.02 - least(network, low, high)), low, high, of_clauses([[0]], 1))
    for point in generator.uniform(low, high, (20, 2)):
        wrong = shifted(network, -float(exact_output(network, point)[0]))
        while exact_output(wrong, point)[0] > 0:
            wrong = shifted(network, np.nextafter(wrong.output.bias, -np.inf))
        assert not recheck(replace(claim, network=wrong), tree).accepted


@pytest.mark.parametrize("function", ["exp", "log", "sqrt", "reciprocal", "square", "is_zero", "positive"])
def test_values_without_bounds_bound_nothing(function):
    """On a box that reaches where the function ends or leaves the numbers."""
    for low, high in ((-1.0, 1.0), (-1e308, 1e308), (0.0, 1e-320)):
        node = Node(function, (affine([1.0]),))
        for weight in (1.0, -1.0, 1e300):
            network = Network(1, (node,), affine([weight], 0.0, source=1))
            claim = about(network, low * _ONE, high * _ONE)
            with np.errstate(all="ignore"):
                attained = network.evaluate(np.array([[low], [high], [(low + high) / 2], [0.0]]))
            if not (attained > 0).all():
                assert not recheck(claim, alone()).accepted


def test_weights_that_overflow_prove_nothing():
    node = Node("relu", (affine([1e200], 1.0),))
    for last in (1e200, -1e200):
        network = Network(1, (node,), affine([last], 1.0, source=1))
        assert not recheck(about(network, -_ONE, 1e200 * _ONE), alone()).accepted or last > 0


def test_an_input_is_accepted_where_it_meets_a_clause_and_lies_in_the_box():
    claim = about(linear([1.0], 0.5), -_ONE, _ONE)
    assert recheck_witness(claim, -0.75 * _ONE).accepted
    for point in (-0.25 * _ONE, -2 * _ONE, np.nan * _ONE, np.zeros(2), np.zeros((1, 1))):
        assert not recheck_witness(claim, point).accepted
    assert not recheck_witness(replace(claim, members=np.zeros((0, 1), bool)), -0.75 * _ONE).accepted
    exact = about(Network(1, (), Affine({0: Selection(np.zeros(1, int), _ONE, 1)}, -_ONE)), -_ONE, _ONE)
    assert recheck_witness(exact, _ONE).accepted
    assert not recheck_witness(replace(exact, strict=np.ones(1, bool)), _ONE).accepted


def test_the_checker_needs_no_jax_and_no_search():
    code = """
import sys
import attractor.certify.recheck.checker, attractor.certify.recheck.certificate
found = {name.partition(".")[0] for name in sys.modules} & {"jax", "jaxlib", "equinox", "optax", "cvxpy"}
solver = [name for name in sys.modules if name.startswith("attractor.certify.dual.")]
solver = [name for name in solver if name.rpartition(".")[2] in ("search", "relaxation", "lowering")]
sys.exit(str(found or solver) if found or solver else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
