"""Fewer and better nodes: sums of products that share a factor are one product.

A gated unit makes z h + (1 - z) n of two numbers, which is n + z (h - n): one product with the sigmoid z, of
a difference that is an exact affine function. Bounds of two products would forget that their gate is the
same and that h and n move together. So where a sum holds two products with one factor in common,

    c_1 f(x) y_1 + c_2 f(x) y_2 = f(x) (c_1 y_1 + c_2 y_2),

a single node takes their place. The product of a sigmoid and a tanh, as in an LSTM, is a function of its own
where nothing else reads the tanh. Nodes that nothing reads any more are left out in the end; a merged node
whose parts are both still read apart would only make the network larger, and is taken back.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, product

import numpy as np

from .expressions import Expression, Lowering, Merge, mapped, plus
from .linear_maps import Dense, LinearMap, Selection, composed, identity, summed
from .network import Affine, Network, Node

# Functions linear in their last argument; in a product both factors are.
_LINEAR = {"gated": (0,), "tanh_product": (0,), "product": (0, 1)}


def merged(lowering: Lowering, value: Expression) -> Expression:
    """A sum whose products with a factor in common are one product.

    Args:
        lowering: the network in the making, which gets the new node.
        value: the sum.
    """
    terms = value.affine.terms
    candidates = [source for source in terms if _is_product(lowering, source, terms[source])]
    for one, other in combinations(sorted(candidates), 2):
        places = _shared(lowering.nodes[one - 1], lowering.nodes[other - 1])
        if places is None:
            continue
        found = _merged(lowering, value.affine, (one, other), places)
        if found is not None:
            return merged(lowering, Expression(value.shape, found))
    return value


def _is_product(lowering: Lowering, source: int, part: LinearMap) -> bool:
    """Whether a term is a product, entry by entry, each times a factor."""
    if not source or lowering.nodes[source - 1].function not in _LINEAR or not isinstance(part, Selection):
        return False
    return len(part.columns) == part.size and bool((part.columns == np.arange(part.size)).all())


def _shared(one: Node, other: Node) -> tuple[int, int] | None:
    """The places of the factor that two nodes have in common."""
    if one.function != other.function:
        return None
    for first, second in product(_LINEAR[one.function], repeat=2):
        if same(one.arguments[first], other.arguments[second]):
            return first, second
    return None


def same(one: Affine, other: Affine) -> bool:
    """Whether two affine functions are certainly the same, also before rounding.

    Args:
        one: an affine function.
        other: another one.
    """
    if one is other:
        return True
    if one.roundings or other.roundings or one.terms.keys() != other.terms.keys():
        return False
    if not np.array_equal(one.bias, other.bias):
        return False
    return all(_same_map(part, other.terms[source]) for source, part in one.terms.items())


def _same_map(one: LinearMap, other: LinearMap) -> bool:
    if one is other:
        return True
    if isinstance(one, Dense) and isinstance(other, Dense):
        return np.array_equal(one.matrix, other.matrix)
    if not isinstance(one, Selection) or not isinstance(other, Selection):
        return False
    return (
        one.size == other.size
        and np.array_equal(one.columns, other.columns)
        and np.array_equal(one.factors, other.factors)
    )


def _merged(
    lowering: Lowering, whole: Affine, pair: tuple[int, int], places: tuple[int, int]
) -> Affine | None:
    """The sum with one node for two; None where its rounding could not be bounded."""
    nodes = [lowering.nodes[number - 1] for number in pair]
    if whole.roundings and nodes[0].function == "product":
        return None
    others = [node.arguments[1 - place] for node, place in zip(nodes, places, strict=True)]
    parts = [whole.terms[number] for number in pair]
    inner = plus(*(mapped(part, other) for part, other in zip(parts, others, strict=True)))
    common = nodes[0].arguments[places[0]]
    lowering.nodes.append(Node(nodes[0].function, (common, inner), what=nodes[1].what))
    number, size = len(lowering.nodes), len(whole.bias)
    lowering.merges.append(Merge(number, {one: part for one, part in zip(pair, parts, strict=True)}))
    terms = {source: part for source, part in whole.terms.items() if source not in pair}
    terms[number] = identity(size)
    if whole.roundings == 0:
        return Affine(terms, whole.bias)
    return _with_sizes(whole, Affine(terms, whole.bias), dict(zip(pair, others, strict=True)))


def _with_sizes(before: Affine, after: Affine, others: Mapping[int, Affine]) -> Affine:
    """The magnitudes of a sum, where the products that left it are at most as large as what was gated.

    What folding may have cost was bounded by the sizes of both products, and their sum may be much less than
    each: so |sigmoid(x) y| <= |y|, and the same of tanh, stands in for them.
    """
    sizes = {number: part.magnitude for number, part in after.terms.items() if number not in before.terms}
    bias = before.reach_bias
    for source, size in before.reach_terms.items():
        if source not in others:
            _add(sizes, source, size)
            continue
        bias = bias + size.apply(others[source].reach_bias)
        for inner, part in others[source].reach_terms.items():
            _add(sizes, inner, composed(size, part))
    return Affine(after.terms, after.bias, sizes, bias, before.roundings)


def _add(sizes: dict[int, LinearMap], source: int, more: LinearMap) -> None:
    sizes[source] = summed(sizes[source], more) if source in sizes else more


def finished(network: Network, merges: Sequence[Merge]) -> Network:
    """A network without merged nodes that did not pay, and without nodes that nothing reads.

    Args:
        network: as it was lowered.
        merges: nodes that stand for two others, in the order they were made.
    """
    for merge in reversed(merges):
        read = _read(network)
        if merge.number in read and all(part in read for part in merge.parts):
            network = _taken_back(network, merge)
    return _without_unread(_with_gated_tanh(_without_unread(network)))


def _with_gated_tanh(network: Network) -> Network:
    """sigmoid(x) tanh(y) as one function, where nothing else reads the tanh."""
    at = {index: node.arguments[1] for index, node in enumerate(network.nodes) if node.function == "gated"}
    at = {index: one for index, one in at.items() if one.plain and _is_tanh(network, one)}
    elsewhere = _sources(network.output)
    for index, node in enumerate(network.nodes):
        read = node.arguments[:1] if index in at else node.arguments
        elsewhere |= {source for one in read for source in _sources(one)}
    nodes = list(network.nodes)
    for index, one in at.items():
        ((source, part),) = one.terms.items()
        if source not in elsewhere:
            inner = mapped(part, network.nodes[source - 1].arguments[0])
            nodes[index] = replace(
                nodes[index], function="gated_tanh", arguments=(nodes[index].arguments[0], inner)
            )
    return replace(network, nodes=tuple(nodes))


def _is_tanh(network: Network, one: Affine) -> bool:
    """Whether an affine function that only chooses entries chooses those of a tanh, which is odd."""
    source = next(iter(one.terms))
    return source > 0 and network.nodes[source - 1].function == "tanh"


def _read(network: Network) -> set[int]:
    """Numbers of the nodes that the output depends on, and of those that may be undefined."""
    read = _sources(network.output) | {index + 1 for index in network.partial}
    for number in range(len(network.nodes), 0, -1):
        if number in read:
            read |= {source for one in network.nodes[number - 1].arguments for source in _sources(one)}
    return read


def _sources(one: Affine) -> set[int]:
    return set(one.terms) | set(one.reach_terms)


def _taken_back(network: Network, merge: Merge) -> Network:
    """The network where both parts of a merged node are read instead of it."""
    return _changed(network, lambda one: _split(one, merge))


def _changed(network: Network, change: Callable[[Affine], Affine]) -> Network:
    nodes = [
        replace(node, arguments=tuple(change(argument) for argument in node.arguments))
        for node in network.nodes
    ]
    return Network(network.inputs, tuple(nodes), change(network.output))


def _split(one: Affine, merge: Merge) -> Affine:
    if merge.number not in _sources(one):
        return one
    terms, sizes = dict(one.terms), dict(one.reach_terms)
    own, size = terms.pop(merge.number, None), sizes.pop(merge.number)
    for source, part in merge.parts.items():
        if own is not None:
            _add(terms, source, composed(own, part))
        _add(sizes, source, composed(size, part.magnitude))
    return Affine(terms, one.bias, sizes, one.reach_bias, one.roundings + 4)


def _without_unread(network: Network) -> Network:
    """The nodes that the output depends on, numbered anew."""
    read = _read(network)
    kept = [number for number in range(1, len(network.nodes) + 1) if number in read]
    numbers = {0: 0, **{old: new + 1 for new, old in enumerate(kept)}}

    def renumbered(one: Affine) -> Affine:
        terms = {numbers[source]: part for source, part in one.terms.items()}
        if one.sizes is None:
            return replace(one, terms=terms)
        return replace(one, terms=terms, sizes={numbers[source]: part for source, part in one.sizes.items()})

    smaller = replace(network, nodes=tuple(network.nodes[number - 1] for number in kept))
    return _changed(smaller, renumbered)
