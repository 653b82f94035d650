"""Claims about small networks with trees that prove them, forgeries of both, and truth in exact fractions."""

from dataclasses import fields, replace
from fractions import Fraction
from itertools import pairwise, product

import numpy as np

from attractor.certify.dual.clauses import of_clauses
from attractor.certify.dual.linear_maps import Dense, Selection
from attractor.certify.dual.network import Affine, Network, Node
from attractor.certify.dual.search import Found, search
from attractor.certify.dual.tree import Journal, Tree
from attractor.certify.recheck.claim import Claim


def layered(sizes, seed, function="relu"):
    """A network of dense layers with one function between them."""
    generator = np.random.default_rng(seed)
    nodes = []
    for index, (inside, out) in enumerate(pairwise(sizes[:-1])):
        matrix = generator.normal(size=(out, inside)) / np.sqrt(inside)
        nodes.append(Node(function, (Affine({index: Dense(matrix)}, 0.3 * generator.normal(size=out)),)))
    last = generator.normal(size=(sizes[-1], sizes[-2])) / np.sqrt(sizes[-2])
    return Network(sizes[0], tuple(nodes), Affine({len(nodes): Dense(last)}, np.zeros(sizes[-1])))


def paired(function, seed):
    """A function of two numbers between dense layers."""
    generator = np.random.default_rng(seed)
    first = [Affine({0: Dense(generator.normal(size=(4, 3)))}, generator.normal(size=4)) for _ in range(2)]
    second = Affine({1: Dense(generator.normal(size=(4, 4)) / 2)}, np.zeros(4))
    nodes = (Node(function, tuple(first)), Node("tanh", (second,)))
    choice = Selection(np.arange(3), np.ones(3), 3)
    output = Affine({2: Dense(generator.normal(size=(3, 4))), 0: choice}, np.zeros(3))
    return Network(3, nodes, output)


def shifted(network, by):
    """g = y + by."""
    return Network(network.inputs, network.nodes, replace(network.output, bias=network.output.bias + by))


def least(network, low, high, seed=0):
    """The smallest of each output that samples and corners meet."""
    generator = np.random.default_rng(seed)
    points = [generator.uniform(low, high, (4000, len(low)))]
    points.append(np.where(generator.random((1000, len(low))) < 0.5, low, high))
    return network.evaluate(np.concatenate(points)).min(axis=0)


def proved(network, low, high, clauses, seconds=30):
    """A claim, and the tree of a search that proved it."""
    journal = Journal()
    found = search(network, low, high, clauses, seconds=seconds, journal=journal)
    assert found.found is Found.ABSENT
    assert found.tree is not None
    return Claim(network, low, high, clauses.members, clauses.strict), found.tree


def case(kind, seed=0):
    """A claim with its proof, of every kind that searches decide."""
    network = {
        "relu": lambda: layered((3, 8, 8, 2), seed),
        "tanh": lambda: layered((3, 6, 6, 2), seed, "tanh"),
        "sine": lambda: layered((2, 4, 2), seed, "sin"),
        "product": lambda: paired("product", seed),
        "gated": lambda: paired("gated", seed),
    }[kind]()
    wide = 2.0 if kind == "sine" else 0.5
    low, high = -wide * np.ones(network.inputs), wide * np.ones(network.inputs)
    # So near to what is attained that the box is cut.
    network = shifted(network, (0.012 if kind == "tanh" else 0.05) - least(network, low, high))
    count = len(network.output.bias)
    # One condition each; both together, which one of them refutes; strict ones among them.
    clauses = of_clauses([[0], [1], [0, 1]], count, [index == 1 for index in range(count)])
    return proved(network, low, high, clauses)


def forged(thing, **changes):
    """A copy whose fields are what no constructor would let pass."""
    copy = object.__new__(type(thing))
    for one in fields(thing):
        object.__setattr__(copy, one.name, changes.get(one.name, getattr(thing, one.name)))
    return copy


def alone():
    """The tree of a box that is not cut."""
    return Journal().tree


def cut(*rows):
    """A tree by rows (parent, node, argument, entry, at, above) below its first piece."""
    columns = zip((-1, -1, 0, 0, 0.0, False), *rows, strict=True)
    kinds = (int, int, int, int, float, bool)
    return Tree(*(np.array(column, kind) for column, kind in zip(columns, kinds, strict=True)))


def exact_output(network, point):
    """The output of dense rectifier layers at an input, in fractions."""
    values = [[Fraction(float(one)) for one in point]]
    for node in network.nodes:
        values.append([max(one, Fraction(0)) for one in _exact(node.arguments[0], values)])
    return _exact(network.output, values)


def _exact(one, values):
    total = [Fraction(float(bias)) for bias in one.bias]
    for source, part in one.terms.items():
        for row, weights in enumerate(part.matrix):
            total[row] += sum(
                Fraction(float(weight)) * value for weight, value in zip(weights, values[source], strict=True)
            )
    return total


def corners(low, high):
    """All corners of a box."""
    return [np.array(one) for one in product(*zip(low.tolist(), high.tolist(), strict=True))]
