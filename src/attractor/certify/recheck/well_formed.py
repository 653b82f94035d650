"""What a claim and a tree must be before anything is computed from them; what is not is refused in words."""

import numpy as np

from ..dual.functions import FUNCTIONS
from ..dual.linear_maps import Dense, LinearMap, Selection, Sparse
from ..dual.network import Affine, Node
from ..dual.tree import Tree, Walk
from .claim import Claim

LEAST = 1e-150
"""No weight is nearer to zero, so that no product of one with a multiplier is lost below the numbers."""


class RefusedError(Exception):
    """Something of a certificate is not accepted; the message says what, and where."""


def require(condition: object, where: str, problem: str) -> None:
    """Refuse unless a condition holds."""
    if not condition:
        raise RefusedError(f"{where}: {problem}")


def check_claim(claim: Claim) -> None:
    """Refuse a claim whose parts do not fit, or that holds what is no finite number."""
    network = claim.network
    sizes = [network.inputs]
    _check_array(claim.low, np.float64, (network.inputs,), "the lower end of the box")
    _check_array(claim.high, np.float64, (network.inputs,), "the upper end of the box")
    require((claim.low <= claim.high).all(), "the box", "its lower end lies above the upper one")
    for index, node in enumerate(network.nodes):
        where = f"node {index}"
        require(1 <= len(node.arguments) <= 2, where, "it has no argument, or more than two")
        for one in node.arguments:
            _check_affine(one, sizes, node.size, where)
        _check_function(node, where)
        sizes.append(node.size)
    conditions = len(network.output.bias)
    _check_affine(network.output, sizes, conditions, "the output")
    _check_array(claim.members, np.bool_, (len(claim.members), conditions), "the clauses")
    _check_array(claim.strict, np.bool_, (conditions,), "the conditions that are strict")


def check_tree(claim: Claim, tree: Tree) -> None:
    """Refuse a tree whose pieces do not cover the box, or that cuts what is not there."""
    count = len(tree.parent)
    where = "the tree"
    for name in ("parent", "node", "argument", "entry"):
        _check_array(getattr(tree, name), np.int64, (count,), where)
    _check_array(tree.at, np.float64, (count,), where)
    _check_array(tree.above, np.bool_, (count,), where)
    require(count and tree.parent[0] == -1, where, "it has no first piece")
    parents, rest = tree.parent[1:], np.arange(1, count)
    require(((parents >= 0) & (parents < rest)).all(), where, "a piece has no parent that comes before it")
    children = np.bincount(parents, minlength=count)
    require(np.isin(children, (0, 2)).all(), where, "a piece is not cut into two: a part is missing or twice")
    pairs = np.argsort(parents, kind="stable").reshape(-1, 2) + 1
    for one in (tree.node, tree.argument, tree.entry, tree.at):
        require((one[pairs[:, 0]] == one[pairs[:, 1]]).all(), where, "two parts come from different cuts")
    both = tree.above[pairs[:, 0]] != tree.above[pairs[:, 1]]
    require(both.all(), where, "two parts are on the same side of a cut, so that the other is left out")
    for number in rest:
        node, argument, entry = (int(one[number]) for one in (tree.node, tree.argument, tree.entry))
        there = _cut_exists(claim, node, argument, entry)
        require(there, f"piece {number}", f"entry {entry} of node {node}, which was cut, does not exist")
    for walk in tree.walks:
        _check_walk(walk, count, claim)


def _cut_exists(claim: Claim, node: int, argument: int, entry: int) -> bool:
    nodes = claim.network.nodes
    if node == -1:
        return argument == 0 and 0 <= entry < claim.network.inputs
    return (
        0 <= node < len(nodes)
        and 0 <= argument < len(nodes[node].arguments)
        and 0 <= entry < nodes[node].size
    )


def _check_walk(walk: Walk, pieces: int, claim: Claim) -> None:
    output, nodes = claim.network.output, claim.network.nodes
    where = f"a walk of piece {walk.piece}"
    require(0 <= walk.piece < pieces, where, "the piece does not exist")
    require(0 <= walk.target <= len(nodes), where, f"node {walk.target} does not exist")
    ends = (output,) if walk.target == len(nodes) else nodes[walk.target].arguments
    require(0 <= walk.argument < len(ends), where, f"argument {walk.argument} does not exist")
    _check_array(walk.entries, np.int64, (len(walk.entries),), where)
    size = len(ends[walk.argument].bias) if walk.weights is None else len(claim.members)
    require(((walk.entries >= 0) & (walk.entries < size)).all(), where, "an entry does not exist")
    require(walk.sign in (1, -1), where, f"the sign {walk.sign} is neither 1 nor -1")
    if walk.weights is not None:
        _check_array(walk.weights, np.float64, (len(walk.entries), len(claim.strict)), where)
        of_output = walk.target == len(nodes) and walk.sign == -1
        require(of_output, where, "a mean of conditions is no inner value")
        own = (walk.weights >= 0) & (claim.members[walk.entries] | (walk.weights == 0))
        require(own.all(), where, "a weight is negative, or of a condition that its clause does not hold")
    require(len(walk.slopes) == walk.target, where, "it does not have slopes for every earlier node")
    for node, slopes in zip(nodes, walk.slopes, strict=False):
        require(len(slopes) == len(node.arguments), where, "it does not have slopes for every argument")
        for one in slopes:
            _check_array(one, np.float64, (len(walk.entries), node.size), where)


def _check_function(node: Node, where: str) -> None:
    require(node.function in FUNCTIONS, where, f"the function {str(node.function)[:40]!r} is not known")
    numbers = node.parameters
    require(not np.isnan(np.array(numbers, float)).any(), where, "a parameter is no number")
    if node.function in ("clip", "within"):
        require(len(numbers) == 2 and numbers[0] <= numbers[1], where, "its lower limit is above the upper")
    if node.function == "power":
        whole = len(numbers) == 1 and 2 <= numbers[0] < 1024 and numbers[0] == int(numbers[0])
        require(whole, where, "its exponent is not a whole number from 2 on")
    if node.function in ("silu", "gelu"):
        usual = len(numbers) == 1 and 1e-6 <= numbers[0] <= 1e6
        require(usual, where, "its rate is not a number from 1e-6 to 1e6")
    if node.function == "elu":
        usual = len(numbers) == 2 and all(1e-6 <= number <= 1e6 for number in numbers)
        require(usual, where, "its depth and rate are not numbers from 1e-6 to 1e6")
    point = tuple(np.full(node.size, 0.5) for _ in node.arguments)
    try:
        shape = np.shape(FUNCTIONS[node.function](*numbers).value(point))
    except (TypeError, ValueError):
        shape = None
    require(shape == (node.size,), where, f"{node.function} takes other arguments or parameters")


def _check_affine(one: Affine, sizes: list[int], size: int, where: str) -> None:
    _check_array(one.bias, np.float64, (size,), where)
    rounded = type(one.roundings) is int and 0 <= one.roundings < 2**24
    require(rounded, where, "its number of roundings is no whole number, negative or too large")
    if one.bias_size is not None:
        _check_array(one.bias_size, np.float64, (size,), where)
        require((one.bias_size >= 0).all(), where, "the size of a constant is negative")
    for kind, terms in (("map", one.terms), ("size of a map", one.sizes or {})):
        for source, part in terms.items():
            earlier = type(source) is int and 0 <= source < len(sizes)
            require(earlier, where, f"it reads value {source}, which is not there yet")
            numbers = _numbers(part, (size, sizes[source]), where)
            require(np.isfinite(numbers).all(), where, f"a {kind} holds what is no finite number")
            sizes_of = np.abs(numbers)
            require(((numbers == 0) | (sizes_of >= LEAST)).all(), where, f"a number of a {kind} is too small")
            require(kind == "map" or (numbers >= 0).all(), where, f"a {kind} is negative")


def _numbers(part: LinearMap, shape: tuple[int, int], where: str) -> np.ndarray:
    """All numbers of a map that is what it says it is."""
    if type(part) is Dense:
        _check_array(part.matrix, np.float64, shape, where)
        return part.matrix
    if type(part) is Selection:
        require(part.size == shape[1], where, "a choice of entries is made for a value of another length")
        _check_array(part.factors, np.float64, shape[:1], where)
        _check_array(part.columns, np.int64, shape[:1], where)
        there = (part.columns >= 0) & (part.columns < part.size)
        require(there.all(), where, "a choice of entries names one that does not exist")
        return part.factors
    if type(part) is not Sparse:
        raise RefusedError(f"{where}: a map is of no known kind")
    require(part.matrix.shape == shape, where, f"a map has shape {part.matrix.shape} instead of {shape}")
    require(part.matrix.dtype == np.float64, where, "a map is not in float64")
    try:
        part.matrix.check_format(full_check=True)
    except (TypeError, ValueError) as problem:
        raise RefusedError(f"{where}: a sparse map is broken ({problem})") from problem
    return part.matrix.data


def _check_array(array: object, kind: type[np.generic], shape: tuple[int, ...], where: str) -> None:
    if not isinstance(array, np.ndarray):
        raise RefusedError(f"{where}: it holds no array where one should be")
    require(array.dtype == kind, where, f"it holds {array.dtype} where {kind.__name__} should be")
    require(array.shape == shape, where, f"an array has shape {array.shape} instead of {shape}")
    finite = kind is not np.float64 or np.isfinite(array).all()
    require(finite, where, "it holds what is no finite number")
