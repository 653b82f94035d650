"""No bound of the checker passes a value: random networks of all functions, random slopes, random cuts."""

from dataclasses import replace

import numpy as np
import pytest
from networks import TWO
from proved_claims import alone
from scipy import sparse

from attractor.certify.dual.functions import FUNCTIONS
from attractor.certify.dual.linear_maps import Dense, Selection, Sparse
from attractor.certify.dual.network import Affine, Network, Node
from attractor.certify.dual.tree import Walk
from attractor.certify.recheck.checker import _Checker
from attractor.certify.recheck.claim import Claim
from attractor.certify.recheck.well_formed import check_claim, check_tree

_PARAMETERS = {
    "clip": (-1.0, 0.5), "power": (3.0,), "silu": (1.3,), "gelu": (0.7,), "elu": (1.5, 0.8),
    "within": (-1e12, 1e12),
}  # fmt: skip


def _map(generator, out, inside):
    matrix = generator.normal(size=(out, inside)) * 10.0 ** generator.integers(-3, 3)
    if generator.random() < 0.2:
        matrix = matrix * 10.0 ** generator.integers(-6, 7, matrix.shape)
    factors = generator.choice([1.0, -1.0, 0.3, 0.0], out)
    return (
        Dense(matrix),
        Selection(generator.integers(0, inside, out), factors, inside),
        Sparse(sparse.csr_array(matrix * (generator.random(matrix.shape) < 0.4))),
    )[generator.integers(3)]


def _affine(generator, sizes, size, sources, by=0.0):
    bias = generator.normal(size=size) * generator.integers(2) + by
    return Affine({source: _map(generator, size, sizes[source]) for source in sorted(sources)}, bias)


def _network(generator):
    """Up to four nodes of any function, each of which reads any values before it."""
    sizes, nodes = [int(generator.integers(1, 4))], []
    for _ in range(int(generator.integers(1, 5))):
        function = str(generator.choice(list(FUNCTIONS)))
        size, by = int(generator.integers(1, 5)), 3.0 * (function in ("log", "sqrt", "reciprocal"))
        arguments = tuple(
            _affine(generator, sizes, size, set(generator.integers(0, len(sizes), 2).tolist()), by)
            for _ in range(2 if function in TWO else 1)
        )
        nodes.append(Node(function, arguments, _PARAMETERS.get(function, ())))
        sizes.append(size)
    last = {int(generator.integers(len(sizes))), len(sizes) - 1}
    return Network(sizes[0], tuple(nodes), _affine(generator, sizes, 2, last))


def _walks(generator, network):
    """Slopes that nobody would choose, for half of all arguments."""
    ends = [*(node.arguments for node in network.nodes), (network.output,)]
    for target, arguments in enumerate(ends):
        for argument, one in enumerate(arguments):
            if generator.random() < 0.5:
                count = int(generator.integers(1, 3))
                slopes = tuple(
                    tuple(
                        generator.normal(size=(count, node.size)) * 10.0 ** generator.integers(-2, 2)
                        for _ in node.arguments
                    )
                    for node in network.nodes[:target]
                )
                entries = generator.integers(0, len(one.bias), count)
                yield Walk(0, target, argument, entries, int(generator.choice([-1, 1])), slopes)


def _points(generator, low, high):
    inside = generator.uniform(low, high, (300, len(low)))
    corners = np.where(generator.random((100, len(low))) < 0.5, low, high)
    return np.clip(np.concatenate([inside, corners]), low, high)


def _rounding(one, values):
    """What evaluating an affine function at points in float64 may miss, and more."""
    sizes = [np.abs(value).max(axis=0) for value in values]
    return 1e-11 * (np.abs(one.bias) + sum(part.magnitude.apply(sizes[s]) for s, part in one.terms.items()))


def _passed(generator):
    """How many bounds of one random problem some input passes, and how many are finite."""
    network = _network(generator)
    middle = generator.normal(size=network.inputs)
    width = 10.0 ** generator.integers(-9, 2, network.inputs) * (generator.random(network.inputs) < 0.9)
    claim = Claim(network, middle - width, middle + width, np.eye(2, dtype=bool), np.zeros(2, bool))
    tree = replace(alone(), walks=tuple(_walks(generator, network)))
    check_claim(claim)
    check_tree(claim, tree)
    checker = _Checker(claim, tree)
    now = checker.start()
    lower = checker.bounded(now)[0]
    values = network.values(_points(generator, claim.low, claim.high))
    kept = np.isfinite(np.concatenate([*values, network.output.of(values)], axis=1)).all(axis=1)
    values = [value[kept] for value in values]
    if not kept.any():
        return 0, 0
    wrong = (network.output.of(values).min(axis=0) < lower - _rounding(network.output, values)).sum()
    for index, node in enumerate(network.nodes):
        for one, (low, high) in zip(node.arguments, checker.boxes(now, index), strict=True):
            found, error = one.of(values), _rounding(one, values)
            wrong += ((found < low - error) | (found > high + error)).sum()
    return int(wrong), int(np.isfinite(lower).sum())


@pytest.mark.parametrize("seed", range(4))
def test_no_value_passes_a_bound_whatever_the_slopes(seed):
    generator = np.random.default_rng(seed)
    with np.errstate(all="ignore"):
        found = [_passed(generator) for _ in range(150)]
    assert sum(wrong for wrong, _ in found) == 0
    assert sum(finite for _, finite in found) > 200


def test_the_attack_notices_a_bound_that_is_too_tight(monkeypatch):
    bounded = _Checker.bounded

    def tighter(self, now):
        lower = bounded(self, now)
        return lower + 1e-3 + 0.5 * np.abs(lower)

    monkeypatch.setattr(_Checker, "bounded", tighter)
    generator = np.random.default_rng(0)
    with np.errstate(all="ignore"):
        assert sum(_passed(generator)[0] for _ in range(60)) > 10
