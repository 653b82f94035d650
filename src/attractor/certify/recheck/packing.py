"""Networks and trees as plain tables and arrays, and back; an array is called by the SHA-256 of its content.

A table that refers to an array thereby holds its content: the digest of the table of a network is one of all
of its weights. What is read back is compared with the names, so that nothing can be changed by accident.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeAlias, TypeVar

import numpy as np
from scipy import sparse

from attractor.errors import WRONG_FACTS, InputDataError, UnsupportedError

from ..dual.linear_maps import Dense, LinearMap, Selection, Sparse
from ..dual.network import Affine, Network, Node
from ..dual.tree import Tree, Walk
from .claim import Claim

# Plain JSON.
Table: TypeAlias = dict[str, object]
Arrays: TypeAlias = dict[str, np.ndarray]
_Kind = TypeVar("_Kind")

_KINDS = {"f": np.float64, "i": np.int64, "b": np.bool_}
_TREE = ("parent", "node", "argument", "entry", "at", "above")


def digest_of(table: object) -> str:
    """The SHA-256 of a table, whatever the order of its entries."""
    return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()


def name_of(array: np.ndarray) -> str:
    """The SHA-256 of the content of an array, its type and shape among it."""
    whole = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    whole.update(np.ascontiguousarray(array).tobytes())
    return whole.hexdigest()


def put(array: np.ndarray, arrays: Arrays) -> str:
    """Add an array to those of a file, once.

    Args:
        array: of real numbers, whole numbers or flags.
        arrays: of the file.

    Returns:
        Its name.
    """
    whole = np.array(array, _KINDS[np.asarray(array).dtype.kind], order="C")
    name = name_of(whole)
    arrays.setdefault(name, whole)
    return name


@contextmanager
def reading(place: str) -> Iterator[None]:
    """Whatever is wrong with the content of a file becomes an error that names the place."""
    try:
        yield
    except UnsupportedError:
        raise
    except InputDataError as problem:
        raise InputDataError(f"{place}, {problem}") from problem
    except WRONG_FACTS as problem:
        raise InputDataError(f"{place}: it lacks something or holds something wrong ({problem})") from problem


class Reader:
    """The tables and arrays of one file.

    Args:
        arrays: by name, which have been compared with their names.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.arrays = arrays

    def array(self, name: object) -> np.ndarray:
        """An array by its name."""
        return self.arrays[a(str, name)].copy()

    def network(self, table: Table) -> Network:
        """The normal form back from its table."""
        exactly(table, "inputs", "nodes", "output")
        nodes = []
        for index, one in enumerate(many(table["nodes"])):
            with reading(f"node {index}"):
                nodes.append(self._node(a(dict, one)))
        with reading("the output"):
            output = self._affine(a(dict, table["output"]))
        return Network(a(int, table["inputs"]), tuple(nodes), output)

    def _node(self, table: Table) -> Node:
        exactly(table, "function", "arguments", "parameters")
        arguments = tuple(self._affine(a(dict, one)) for one in many(table["arguments"]))
        parameters = tuple(float.fromhex(a(str, one)) for one in many(table["parameters"]))
        return Node(a(str, table["function"]), arguments, parameters)

    def _affine(self, table: Table) -> Affine:
        exactly(table, "terms", "bias", "sizes", "bias_size", "roundings")
        sizes, bias_size = table["sizes"], table["bias_size"]
        return Affine(
            self._maps(table["terms"]),
            self.array(table["bias"]),
            None if sizes is None else self._maps(sizes),
            None if bias_size is None else self.array(bias_size),
            a(int, table["roundings"]),
        )

    def _maps(self, rows: object) -> dict[int, LinearMap]:
        found: dict[int, LinearMap] = {}
        for row in many(rows):
            source, table = many(row)
            if a(int, source) in found:
                raise InputDataError(f"two maps of value {source}")
            found[a(int, source)] = self._map(a(dict, table))
        return found

    def _map(self, table: Table) -> LinearMap:
        match table.get("kind"):
            case "dense":
                exactly(table, "kind", "matrix")
                return Dense(self.array(table["matrix"]))
            case "selection":
                exactly(table, "kind", "columns", "factors", "size")
                return Selection(
                    self.array(table["columns"]), self.array(table["factors"]), a(int, table["size"])
                )
            case "sparse":
                exactly(table, "kind", "data", "indices", "indptr", "shape")
                parts = tuple(self.array(table[name]) for name in ("data", "indices", "indptr"))
                rows, columns = many(table["shape"])
                return Sparse(sparse.csr_array(parts, shape=(a(int, rows), a(int, columns))))
        raise InputDataError(f"a map of the kind {str(table.get('kind'))[:40]!r}, which is not known")

    def claim(self, table: Table) -> Claim:
        """A claim back from its table."""
        exactly(table, "network", "low", "high", "members", "strict")
        network = self.network(a(dict, table["network"]))
        return Claim(network, *(self.array(table[name]) for name in ("low", "high", "members", "strict")))

    def tree(self, table: Table, network: Network) -> Tree:
        """A tree back from its table, and the network whose sizes its slopes have."""
        exactly(table, *_TREE, "walks")
        columns = [self.array(table[name]) for name in _TREE]
        walks = a(dict, table["walks"])
        names = ("heads", "entries", "slopes", "weights")
        exactly(walks, *names)
        heads, entries, slopes, weights = (self.array(walks[name]) for name in names)
        return Tree(*columns, walks=tuple(_walks(heads, entries, slopes, weights, network)))


def _walks(
    heads: np.ndarray, entries: np.ndarray, slopes: np.ndarray, weights: np.ndarray, network: Network
) -> Iterator[Walk]:
    """Walks from four arrays: what each is about, and its entries, slopes and weights end to end.

    Yields:
        One after the other.
    """
    at, begin, weighed, conditions = 0, 0, 0, len(network.output.bias)
    for piece, target, argument, sign, count, mean in heads.tolist():
        if not (0 <= target <= len(network.nodes) and 0 <= count <= len(entries)):
            raise InputDataError(f"a walk of piece {piece} to node {target}, which does not exist")
        chosen, at = entries[at : at + count], at + count
        found = []
        for node in network.nodes[:target]:
            sides = []
            for _ in node.arguments:
                end = begin + count * node.size
                sides.append(slopes[begin:end].reshape(count, node.size))
                begin = end
            found.append(tuple(sides))
        own = weights[weighed : weighed + count * conditions].reshape(count, conditions) if mean else None
        weighed += count * conditions if mean else 0
        yield Walk(piece, target, argument, chosen, sign, tuple(found), own)
    if at != len(entries) or begin != len(slopes) or weighed != len(weights):
        raise InputDataError("there are more slopes than walks")


def claim_table(claim: Claim, arrays: Arrays) -> Table:
    """A claim as a table.

    Args:
        claim: to be written.
        arrays: of the file, which are added to.
    """
    table: Table = {"network": network_table(claim.network, arrays)}
    for name in ("low", "high", "members", "strict"):
        table[name] = put(getattr(claim, name), arrays)
    return table


def network_table(network: Network, arrays: Arrays) -> Table:
    """A normal form as a table.

    Args:
        network: to be written.
        arrays: of the file, which are added to.
    """
    nodes = [
        {
            "function": node.function,
            "arguments": [_affine_table(one, arrays) for one in node.arguments],
            "parameters": [float(one).hex() for one in node.parameters],
        }
        for node in network.nodes
    ]
    return {"inputs": network.inputs, "nodes": nodes, "output": _affine_table(network.output, arrays)}


def _affine_table(one: Affine, arrays: Arrays) -> Table:
    return {
        "terms": _maps_table(one.terms, arrays),
        "bias": put(one.bias, arrays),
        "sizes": None if one.sizes is None else _maps_table(one.sizes, arrays),
        "bias_size": None if one.bias_size is None else put(one.bias_size, arrays),
        "roundings": int(one.roundings),
    }


def _maps_table(maps: Mapping[int, LinearMap], arrays: Arrays) -> list[list[object]]:
    return [[int(source), _map_table(maps[source], arrays)] for source in sorted(maps)]


def _map_table(one: LinearMap, arrays: Arrays) -> Table:
    if isinstance(one, Dense):
        return {"kind": "dense", "matrix": put(one.matrix, arrays)}
    if isinstance(one, Selection):
        columns, factors = put(one.columns, arrays), put(one.factors, arrays)
        return {"kind": "selection", "columns": columns, "factors": factors, "size": int(one.size)}
    matrix = one.matrix.copy()
    matrix.eliminate_zeros()
    matrix.sort_indices()
    parts = {name: put(getattr(matrix, name), arrays) for name in ("data", "indices", "indptr")}
    return {"kind": "sparse", **parts, "shape": list(one.shape)}


def tree_table(tree: Tree, arrays: Arrays) -> Table:
    """A tree as a table.

    Args:
        tree: to be written.
        arrays: of the file, which are added to.
    """
    heads = [
        [one.piece, one.target, one.argument, one.sign, len(one.entries), one.weights is not None]
        for one in tree.walks
    ]
    weights = [one.weights.ravel() for one in tree.walks if one.weights is not None]
    slopes = [slope.ravel() for one in tree.walks for node in one.slopes for slope in node]
    walks = {
        "heads": put(np.array(heads, np.int64).reshape(-1, 6), arrays),
        "entries": put(_end_to_end([one.entries for one in tree.walks], np.int64), arrays),
        "slopes": put(_end_to_end(slopes, np.float64), arrays),
        "weights": put(_end_to_end(weights, np.float64), arrays),
    }
    return {**{name: put(getattr(tree, name), arrays) for name in _TREE}, "walks": walks}


def _end_to_end(parts: Sequence[np.ndarray], kind: type[np.generic]) -> np.ndarray:
    return np.concatenate([np.zeros(0, kind), *parts]).astype(kind)


def a(kind: type[_Kind], value: object) -> _Kind:
    """A value that must be of some kind.

    Raises:
        InputDataError: it is of another one.
    """
    if not isinstance(value, kind) or type(value) is not kind:
        raise InputDataError(f"{str(value)[:40]!r} where {kind.__name__} should be")
    return value


def many(value: object) -> list[object]:
    """A value that must be a list.

    Raises:
        InputDataError: it is none.
    """
    return a(list, value)


def exactly(table: Table, *names: str) -> None:
    """Refuse a table that holds anything else than some entries.

    Raises:
        InputDataError: one is missing, or one is not known.
    """
    if set(table) != set(names):
        odd = sorted(set(table) ^ set(names))
        raise InputDataError(f"the entry {odd[0][:40]!r} is missing or not known")
