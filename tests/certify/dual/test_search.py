"""Complete search: absent is absent, what is shown is there, and time-outs say what is known."""

import time
from itertools import pairwise

import numpy as np
import pytest
from networks import made
from scipy.optimize import Bounds, LinearConstraint, milp

import attractor.certify.dual.search as searching
from attractor.certify.dual.clauses import of_clauses
from attractor.certify.dual.linear_maps import Dense
from attractor.certify.dual.network import Affine, Network, Node
from attractor.certify.dual.search import Found, search


def rectifiers(sizes, seed):
    generator = np.random.default_rng(seed)
    nodes = []
    for index, (inside, out) in enumerate(pairwise(sizes[:-1])):
        matrix = generator.normal(size=(out, inside)) / np.sqrt(inside)
        nodes.append(Node("relu", (Affine({index: Dense(matrix)}, 0.3 * generator.normal(size=out)),)))
    last = generator.normal(size=(sizes[-1], sizes[-2])) / np.sqrt(sizes[-2])
    return Network(sizes[0], tuple(nodes), Affine({len(nodes): Dense(last)}, np.zeros(sizes[-1])))


def shifted(network, by):
    """g = y + by."""
    return Network(network.inputs, network.nodes, Affine(network.output.terms, network.output.bias + by))


def smallest_by_milp(network, low, high):
    """The exact least output of a small rectifier network: mixed-integer programming, big-M by intervals."""
    sizes = [network.inputs, *(node.size for node in network.nodes)]
    begins = np.cumsum([0, *sizes])
    count = begins[-1]
    signs = np.cumsum([0, *sizes[1:]])
    total = count + signs[-1]
    rows, lowers, uppers = [], [], []
    lows, highs = [low], [high]
    for index, node in enumerate(network.nodes):
        matrix, bias = node.arguments[0].terms[index].matrix, node.arguments[0].bias
        middle, radius = (lows[-1] + highs[-1]) / 2, (highs[-1] - lows[-1]) / 2
        least = matrix @ middle - np.abs(matrix) @ radius + bias
        most = matrix @ middle + np.abs(matrix) @ radius + bias
        for k in range(node.size):
            pre = np.zeros(total)
            pre[begins[index] : begins[index] + sizes[index]] = matrix[k]
            own, sign = np.zeros(total), np.zeros(total)
            own[begins[index + 1] + k] = 1.0
            sign[count + signs[index] + k] = 1.0
            bottom, top = min(least[k], 0.0), max(most[k], 0.0)
            rows += [own - pre, own - pre - bottom * sign, own - top * sign]
            lowers += [bias[k], -np.inf, -np.inf]
            uppers += [np.inf, bias[k] - bottom, 0.0]
        lows.append(np.maximum(least, 0.0))
        highs.append(np.maximum(most, 0.0))
    objective = np.zeros(total)
    objective[begins[len(network.nodes)] : count] = network.output.terms[len(network.nodes)].matrix[0]
    ends = Bounds(np.concatenate([*lows, np.zeros(signs[-1])]), np.concatenate([*highs, np.ones(signs[-1])]))
    whole = np.concatenate([np.zeros(count), np.ones(signs[-1])])
    found = milp(
        objective,
        constraints=LinearConstraint(np.array(rows), lowers, uppers),
        bounds=ends,
        integrality=whole,
    )
    return found.fun + network.output.bias[0]


@pytest.mark.parametrize("kinds", [["relu", "relu"], ["tanh", "gated"], ["product", "tanh"]])
def test_the_bracket_closes_around_what_is_reached(kinds):
    for seed in range(3):
        network = made([2, 5, 4, 1], kinds, seed)
        low, high = -0.4 * np.ones(2), 0.4 * np.ones(2)
        found = search(network, low, high, of_clauses([[0]], 1), seconds=20, tolerance=1e-4)
        assert found.found is Found.ABSENT
        assert 0 <= found.attained - found.lower <= 1e-4 + 1e-12
        least = network.evaluate(grid_of(low, high)).min()
        assert found.lower <= least + 1e-12
        assert least <= found.attained + 1e-3


def grid_of(low, high):
    axes = [np.linspace(one, other, 201) for one, other in zip(low, high, strict=True)]
    return np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, len(low))


@pytest.mark.parametrize("kinds", [["relu", "relu"], ["tanh", "gated"], ["product", "tanh"]])
def test_cuts_of_inner_values_lose_no_input(kinds, monkeypatch):
    """Networks of many inputs are cut inside; here one of two, whose least output a grid shows."""
    monkeypatch.setattr(searching, "FEW_INPUTS", 0)
    for seed in range(4):
        network = made([2, 5, 4, 1], kinds, seed)
        low, high = -0.4 * np.ones(2), 0.4 * np.ones(2)
        least = network.evaluate(grid_of(low, high)).min()
        begun = search(network, low, high, of_clauses([[0]], 1), seconds=0.0, tolerance=1e-4)
        found = search(network, low, high, of_clauses([[0]], 1), seconds=1.0, tolerance=1e-4)
        assert begun.lower < found.lower <= least + 1e-12
        assert found.pieces > 1
        above = search(shifted(network, -least + 1e-6), low, high, of_clauses([[0]], 1), seconds=0.5)
        below = search(shifted(network, -least - 1e-6), low, high, of_clauses([[0]], 1), seconds=0.5)
        assert above.found is not Found.PRESENT or network.evaluate(above.point[None])[0, 0] < least
        assert below.found is not Found.ABSENT


@pytest.mark.parametrize("seed", range(6))
def test_the_threshold_at_which_the_answer_changes_is_the_exact_optimum(seed):
    network = rectifiers([3, 6, 6, 1], seed)
    low, high = -0.5 * np.ones(3), 0.5 * np.ones(3)
    least = smallest_by_milp(network, low, high)
    one = of_clauses([[0]], 1)
    above = search(shifted(network, -least + 1e-4), low, high, one, seconds=20)
    assert above.found is Found.ABSENT
    assert 0.0 < above.lower <= 1e-4 + 1e-6
    assert above.attained >= 1e-4 - 1e-6
    below = search(shifted(network, -least - 1e-4), low, high, one, seconds=20)
    assert below.found is Found.PRESENT
    assert shifted(network, -least - 1e-4).evaluate(below.point[None])[0, 0] <= 0
    assert ((below.point >= low) & (below.point <= high)).all()


def test_a_clause_needs_all_of_its_conditions_and_any_clause_will_do():
    output = Affine({0: Dense(np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]))}, np.array([-0.5, -0.5, 0.7]))
    network = Network(2, (), output)
    low, high = np.zeros(2), np.ones(2)
    together = search(network, low, high, of_clauses([[0, 2]], 3), seconds=5)  # x <= 0.5 and x >= 0.7
    assert together.found is Found.ABSENT
    either = search(network, low, high, of_clauses([[0, 2], [1, 2]], 3), seconds=5)
    assert either.found is Found.PRESENT
    assert either.point[0] >= 0.7
    assert either.point[1] <= 0.5


def test_strict_conditions_are_not_met_at_the_threshold_and_closed_ones_are():
    output = Affine({0: Dense(np.ones((1, 1)))}, np.zeros(1))
    network = Network(1, (Node("relu", (output,)),), Affine({1: Dense(np.ones((1, 1)))}, np.zeros(1)))
    ends = -np.ones(1), np.ones(1)
    assert search(network, *ends, of_clauses([[0]], 1), seconds=5).found is Found.PRESENT
    # max(x, 0) < 0 nowhere: the range of a rectifier is exact, and needs no rounding.
    strictly = search(network, *ends, of_clauses([[0]], 1, [True]), seconds=5)
    assert strictly.found is Found.ABSENT
    assert strictly.lower == 0.0


def test_a_search_that_runs_out_of_time_tells_what_it_knows():
    network = rectifiers([8, 40, 40, 40, 1], 0)
    low, high = -3 * np.ones(8), 3 * np.ones(8)
    values = network.evaluate(np.random.default_rng(0).uniform(low, high, (20000, 8)))
    by = -values.min() + 3.0
    told = []
    found = search(shifted(network, by), low, high, of_clauses([[0]], 1), seconds=1.8, tell=told.append)
    assert found.found is Found.OPEN
    assert found.seconds < 6
    assert found.lower <= found.attained
    assert found.lower <= (values + by).min()
    assert found.left > 0
    assert told
    assert "left, between" in told[0]


def test_a_violation_that_the_outer_check_refuses_is_not_shown():
    network = rectifiers([2, 4, 1], 0)
    found = search(
        shifted(network, -100.0),
        -np.ones(2),
        np.ones(2),
        of_clauses([[0]], 1),
        seconds=1,
        check=lambda _: False,
    )
    assert found.found is Found.OPEN
    assert found.point is None


def test_a_counterexample_on_a_narrow_spike_is_not_called_absent():
    """g = 1 - 1000 max(0, 0.001 - |x - c|) dips to zero on a spike that samples miss."""
    for seed in range(5):
        center = np.random.default_rng(seed).uniform(-1, 1)
        distance = Affine({0: Dense(np.array([[1.0], [-1.0]]))}, np.array([-center, center]))
        tent = Affine({1: Dense(np.array([[-1.0, -1.0]]))}, np.array([0.001]))
        nodes = (Node("relu", (distance,)), Node("relu", (tent,)))
        network = Network(1, nodes, Affine({2: Dense(np.array([[-1000.0]]))}, np.array([0.999])))
        found = search(network, -np.ones(1), np.ones(1), of_clauses([[0]], 1), seconds=20)
        assert found.found is Found.PRESENT
        assert abs(found.point[0] - center) < 1e-5


def test_a_point_is_decided():
    network = rectifiers([2, 4, 1], 1)
    point = np.array([0.3, -0.2])
    value = network.evaluate(point[None])[0, 0]
    one = of_clauses([[0]], 1)
    assert search(shifted(network, 1e-6 - value), point, point, one, seconds=5).found is Found.ABSENT
    assert search(shifted(network, -1e-6 - value), point, point, one, seconds=5).found is Found.PRESENT


def linear(matrix, bias):
    return Network(len(matrix[0]), (), Affine({0: Dense(np.array(matrix, float))}, np.array(bias, float)))


def test_a_point_at_the_threshold_is_decided_exactly():
    network, point = linear([[1.0, 1.0]], [-0.75]), np.array([0.5, 0.25])
    strict, closed = of_clauses([[0]], 1, [True]), of_clauses([[0]], 1)
    found = search(network, point, point, strict, seconds=30)
    assert found.found is Found.ABSENT
    assert found.seconds < 5
    assert found.lower == 0.0
    assert search(network, point, point, closed, seconds=30).found is Found.PRESENT


def test_what_rounding_hides_at_a_point_is_refuted_and_what_the_check_refuses_stays_open():
    tiny = 2.0**-60  # lost beside 1 in float64: 1 + tiny - 1 comes out as zero
    network, point = linear([[1.0, 1.0]], [-1.0]), np.array([1.0, tiny])
    assert network.evaluate(point[None])[0, 0] == 0.0
    one = of_clauses([[0]], 1)
    found = search(network, point, point, one, seconds=30)
    assert found.found is Found.ABSENT
    assert (found.lower, found.attained, found.left) == (tiny, tiny, 0)
    met = search(linear([[1.0]], [-1.0]), np.ones(1), np.ones(1), one, seconds=30, check=lambda _: False)
    assert met.found is Found.OPEN
    assert (met.left, met.lower) == (1, 0.0)
    assert met.seconds < 5


def test_numbers_that_are_rounded_leave_a_point_undecided_at_once():
    network, point = linear([[1.0, 1.0]], [-0.75]), np.array([0.5, 0.25])
    strict = of_clauses([[0]], 1, [True])
    found = search(network, point, point, strict, seconds=30, exact=False)
    assert found.found is Found.OPEN
    assert found.seconds < 5


@pytest.mark.parametrize("inputs", [1, 20])
def test_a_box_without_a_number_to_cut_at_ends_the_search(inputs):
    low = np.full(inputs, 0.1)
    high = np.nextafter(low, 1.0)
    network = linear([np.ones(inputs)], [-low.sum()])
    found = search(network, low, high, of_clauses([[0]], 1), seconds=30, check=lambda _: False)
    assert found.found is Found.OPEN
    assert found.seconds < 5
    assert found.left == 1
    assert -1e-12 < found.lower <= 0.0


def test_pieces_are_cut_along_inputs_that_have_a_number_between_their_ends():
    # The first input has the greatest share and no number inside; cuts of the second decide.
    low = np.array([1.0, -1.0])
    high = np.array([np.nextafter(1.0, 2.0), 1.0])
    node = Node("product", (Affine({0: Dense(np.array([[0.0, 1.0]]))}, np.zeros(1)),) * 2)
    output = Affine({0: Dense(np.array([[1e6, 0.0]])), 1: Dense(np.ones((1, 1)))}, np.array([0.01 - 1e6]))
    found = search(Network(2, (node,), output), low, high, of_clauses([[0]], 1), seconds=30)
    assert found.found is Found.ABSENT


def test_a_box_that_touches_the_threshold_ends_when_its_pieces_have_no_width():
    # max(x, 0) - x = max(-x, 0) <= 0 is met on half of the box, and refused by the check.
    node = Node("relu", (Affine({0: Dense(np.ones((1, 1)))}, np.array([-1.0])),))
    output = Affine({1: Dense(np.ones((1, 1))), 0: Dense(-np.ones((1, 1)))}, np.array([1.0]))
    network = Network(1, (node,), output)
    ends = np.array([1.0 - 2.0**-50]), np.array([1.0])
    found = search(network, *ends, of_clauses([[0]], 1), seconds=30, check=lambda _: False)
    assert found.found is Found.OPEN
    assert found.seconds < 20
    assert found.lower <= 0.0


def test_samples_of_a_large_network_do_not_outlast_the_time(monkeypatch):
    network = rectifiers([2, 4, 1], 1)
    rows, evaluate = [], Network.evaluate

    def slow(self, inputs):
        rows.append(len(inputs))
        time.sleep(len(inputs) / 20_000)  # a second for all samples
        return evaluate(self, inputs)

    monkeypatch.setattr(Network, "evaluate", slow)
    found = search(shifted(network, 100.0), -np.ones(2), np.ones(2), of_clauses([[0]], 1), seconds=0.1)
    assert found.found is Found.OPEN
    assert found.attained < np.inf
    assert sum(rows) < 10_000
    rows.clear()
    assert search(network, -np.ones(2), np.ones(2), of_clauses([[0]], 1), seconds=0).found is Found.OPEN
    assert not rows
