"""Random networks in normal form, and their bounds on boxes."""

import numpy as np

from attractor.certify.dual.linear_maps import Dense
from attractor.certify.dual.network import Affine, Network, Node
from attractor.certify.dual.relaxation import Region, walk, wanted_of
from attractor.certify.dual.tightening import tightened

TWO = ("product", "gated", "tanh_product", "gated_tanh")
JUMPS = ("floor", "ceil", "round", "trunc", "sign")
KINDS = ["relu", "tanh", "logistic", "erf", "exp", "sin", "square", "softplus", *TWO, *JUMPS]


def made(sizes, kinds, seed, scale=1.0):
    """A random network of layers; a layer of two arguments multiplies."""
    generator = np.random.default_rng(seed)

    def affine(source, inside, out):
        matrix = scale * generator.normal(size=(out, inside)) / np.sqrt(inside)
        return Affine({source: Dense(matrix)}, 0.3 * generator.normal(size=out))

    nodes = []
    for index, (inside, out, kind) in enumerate(zip(sizes, sizes[1:-1], kinds, strict=False)):
        arguments = 2 if kind in TWO else 1
        nodes.append(Node(kind, tuple(affine(index, inside, out) for _ in range(arguments))))
    return Network(sizes[0], tuple(nodes), affine(len(nodes), sizes[-2], sizes[-1]))


def bounds(network, low, high):
    """Lower and upper bounds of all outputs on pieces, one a row."""
    region = Region(network, low.min(axis=0), high.max(axis=0))
    boxes, lines, _ = tightened(region, low, high)
    sides = []
    for sign in (-1.0, 1.0):
        wanted, constant = wanted_of(region, network.output, sign * np.eye(len(network.output.bias)))
        sides.append(sign * walk(region, low, high, wanted, constant, lines).upper)
    return *sides, boxes
