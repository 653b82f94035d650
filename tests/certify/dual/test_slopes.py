"""Descents on slopes: as good as the linear program, never below what is reached, stopped at any time."""

from itertools import pairwise

import numpy as np
import pytest
from networks import KINDS, made
from scipy.optimize import linprog

from attractor.certify.dual.clauses import of_clauses
from attractor.certify.dual.relaxation import Region, walk, wanted_of
from attractor.certify.dual.slopes import Means, Objectives, descended
from attractor.certify.dual.tightening import Effort, tightened


def region_of(network, width, seed):
    middle = np.random.default_rng(seed).uniform(-1, 1, network.inputs)
    return Region(network, middle - width, middle + width)


def dual_of(region, steps, done=lambda _: False):
    low, high = region.low[None], region.high[None]
    known = tightened(region, low, high)
    sought = Objectives(*wanted_of(region, region.network.output, np.eye(len(region.network.output.bias))))
    before = walk(region, low, high, *sought, known.lines).upper
    found = descended(region, low, high, sought, known.boxes, known.lines, steps=steps, done=done)
    return before[0], found.walked.upper[0], known.boxes


def samples(region, count=4000):
    generator = np.random.default_rng(0)
    inputs = generator.uniform(region.low, region.high, (count, len(region.low)))
    inputs[: count // 2] = np.where(
        generator.random((count // 2, len(region.low))) < 0.5, region.low, region.high
    )
    return inputs


def linear_program(region, boxes):
    """The maximum of the first output over triangles and boxes, by an independent solver."""
    network = region.network
    begins = np.cumsum([0, network.inputs, *(2 * node.size for node in network.nodes)])
    total, equal, below = int(begins[-1]), [], []
    limits = list(zip(region.low, region.high, strict=True))
    before = slice(0, network.inputs)
    for index, node in enumerate(network.nodes):
        start, size = int(begins[index + 1]), node.size
        low, high = (end[0] for end in boxes[index][0])
        limits += [*zip(low, high, strict=True), *zip(np.maximum(low, 0), np.maximum(high, 0), strict=True)]
        for entry in range(size):
            row = np.zeros(total)
            row[before] = -node.arguments[0].terms[index].matrix[entry]
            row[start + entry] = 1
            equal.append((row, node.arguments[0].bias[entry]))
            above, under = np.zeros(total), np.zeros(total)
            share = max(high[entry], 0) / max(max(high[entry], 0) - min(low[entry], 0), 1e-300)
            above[start + size + entry], above[start + entry] = 1, -share
            below.append((above, -share * min(low[entry], 0)))
            under[start + size + entry], under[start + entry] = -1, 1
            below.append((under, 0.0))
        before = slice(start + size, start + 2 * size)
    goal = np.zeros(total)
    goal[before] = -network.output.terms[len(network.nodes)].matrix[0]
    found = linprog(
        goal,
        A_ub=np.array([row for row, _ in below]),
        b_ub=np.array([side for _, side in below]),
        A_eq=np.array([row for row, _ in equal]),
        b_eq=np.array([side for _, side in equal]),
        bounds=limits,
    )
    return -found.fun + network.output.bias[0]


@pytest.mark.parametrize("seed", range(9))
def test_a_descent_ends_within_a_hundredth_of_the_linear_program(seed):
    sizes = [[3, 10, 10, 1], [4, 20, 20, 1], [6, 20, 20, 20, 1]][seed % 3]
    region = region_of(made(sizes, ["relu"] * 3, seed, 1.5), 0.2, seed)
    _, upper, boxes = dual_of(region, 300)
    exact = linear_program(region, boxes)
    centre = region.network.evaluate(((region.low + region.high) / 2)[None])[0, 0]
    assert exact - 1e-7 <= upper[0] <= exact + 0.01 * abs(exact - centre)


@pytest.mark.parametrize("kind", KINDS)
def test_a_descent_is_no_worse_than_its_start_and_above_what_is_reached(kind):
    for seed in range(3):
        region = region_of(made([3, 6, 5, 4, 2], [kind, "relu", kind], seed), 0.3, seed)
        reached = region.network.evaluate(samples(region)).max(axis=0)
        for steps in (0, 1, 7, 40):
            before, upper, _ = dual_of(region, steps)
            slack = 1e-12 * (1 + np.abs(upper))
            assert (upper <= before + 1e-9 * (1 + np.abs(before))).all()
            assert (upper >= reached - slack).all()


def test_boxes_by_descents_hold_and_are_no_wider():
    for seed in range(4):
        region = region_of(made([4, 8, 8, 8, 1], ["relu", "tanh", "relu"], seed), 0.4, seed)
        low, high = region.low[None], region.high[None]
        plain = tightened(region, low, high)
        better = tightened(region, low, high, None, Effort(steps=30))
        values = region.network.values(samples(region))
        for index, node in enumerate(region.network.nodes):
            inner = node.arguments[0].of(values)
            (least, most), (lower, upper) = plain.boxes[index][0], better.boxes[index][0]
            slack = 1e-12 * (1 + np.abs(inner).max())
            assert (inner >= lower - slack).all()
            assert (inner <= upper + slack).all()
            assert (lower >= least - 1e-9).all()
            assert (upper <= most + 1e-9).all()


def test_a_mean_excludes_what_no_single_condition_excludes():
    """x <= 1/2 - |y| and x >= 1/2 + |y| + 1/10 cannot hold together, though each can."""
    network = made([2, 6, 2], ["relu"], 0)
    matrix = np.array([[1.0, 0.0], [-1.0, 0.0]])
    network.output.terms[1].matrix[:] = 0.0
    output = type(network.output)({0: type(network.output.terms[1])(matrix)}, np.array([-0.5, 0.6]))
    region = Region(type(network)(2, (), output), -np.ones(2), np.ones(2))
    members = of_clauses([[0, 1]], 2).members
    means = Means(output, members, np.array([[[0.9, 0.1]]]))
    found = descended(region, region.low[None], region.high[None], means, [], [], steps=60)
    assert found.walked.upper[0, 0] < 0
    assert found.weights is not None
    np.testing.assert_allclose(found.weights.sum(axis=-1), 1.0)
    np.testing.assert_allclose(found.weights[0, 0], 0.5, atol=0.05)


def test_a_descent_stops_when_it_is_told_to():
    region = region_of(made([3, 8, 8, 1], ["relu", "relu"], 1, 1.5), 0.5, 1)
    calls = []

    def done(upper):
        calls.append(upper.copy())
        return len(calls) == 5

    dual_of(region, 1000, done)
    assert len(calls) == 5
    assert all((late <= early).all() for early, late in pairwise(calls))
