"""Reader of VNN-LIB 2.0: makes a query of the tree of the package vnnlib, checking what that lets pass."""

import json
import re
from collections.abc import Iterable, Mapping
from math import prod
from typing import TYPE_CHECKING

from attractor.errors import WRONG_FACTS, InputDataError, UnsupportedError

from .formula import AllOf, AnyOf, Formula, Polynomial, Relation, Variable, compared, folded
from .numerals import exact, product
from .query import Kind, NetworkDeclaration, Query, Tensor
from .source import DEEPEST, Source
from .vnnlib_isomorphic import only_types_differ, with_clauses, without_clauses

if TYPE_CHECKING:
    import vnnlib

MOST_ENTRIES = 100_000_000
_VERSION = re.compile(r"(?:\s+|;[^\n]*(?:\n|\Z))*+\(\s*vnnlib-version\s*<\s*([^>\s]*)\s*>")
# A string that is never closed reaches to the end: trying again at each of its quotes would take for ever.
_TEXT_OR_PARENTHESIS = re.compile(r';[^\n]*|"(?:[^"\\]|\\(?:.|\Z))*+(?:"|\Z)|([()])', re.DOTALL)
_UNREADABLE = r"[0-9]{19,}|\.[0-9]{100,}|[^\x00-\x7f]"
_DTYPES = {
    "Real": "real",
    "F16": "float16",
    "F32": "float32",
    "F64": "float64",
    "BF16": "bfloat16",
    "F8E4M3FN": "float8e4m3fn",
    "F8E5M2": "float8e5m2",
    "F8E4M3FNUZ": "float8e4m3fnuz",
    "F8E5M2FNUZ": "float8e5m2fnuz",
    "F4E2M1": "float4e2m1",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "U8": "uint8",
    "U16": "uint16",
    "U32": "uint32",
    "U64": "uint64",
    "Bool": "bool",
}
_RELATIONS: dict[str, Relation] = {
    "LessEqual": "<=",
    "LessThan": "<",
    "GreaterEqual": ">=",
    "GreaterThan": ">",
    "Equal": "==",
    "NotEqual": "!=",
}


def read_two(source: Source) -> Query:
    """A specification in VNN-LIB 2.0.

    Args:
        source: the file.

    Returns:
        Its networks, and the conjunction of its assertions.

    Raises:
        InputDataError: it is not VNN-LIB 2.0; file and line are named.
        UnsupportedError: it asks for more than is read, or the package vnnlib is missing.
    """
    version = _version(source)
    _check_depth(source)
    parsed, others = _parsed(source)
    networks = tuple(_network(source, each) for each in parsed.networks)
    tensors = [tensor for each in networks for tensor in (*each.inputs, *each.hidden, *each.outputs)]
    _check_names(source, "network", (each.name for each in networks))
    if others:
        networks = with_clauses(source, networks, others)
    _check_names(source, "(?:input|hidden|output)", (each.name for each in tensors))
    translation = _Translation(source, {each.name: each for each in tensors})
    return Query(
        networks, AllOf(tuple(translation.formula(each.expr) for each in parsed.assertions)), version
    )


def _version(source: Source) -> str:
    found = _VERSION.match(source.text)
    version = "" if found is None else found[1]
    if version != "2.0":
        line = source.line_of("vnnlib-version")
        raise source.fault(line, f"version '{version[:40]}' is not read: write (vnnlib-version <2.0>)")
    return version


def _check_depth(source: Source) -> None:
    """The parser walks a tree by calls, and ends the process where that is too deep."""
    depth = 0
    for found in _TEXT_OR_PARENTHESIS.finditer(source.text):
        depth += {"(": 1, ")": -1}.get(found[1], 0)
        if depth > DEEPEST:
            raise source.fault(
                source.line_at(found.start()), f"more than {DEEPEST} parentheses deep: write it flatter"
            )


def _parsed(source: Source) -> "tuple[vnnlib.Query, dict[str, str]]":
    """The tree, and the isomorphic networks that it does not tell of."""
    try:
        import vnnlib
    except ImportError as problem:
        raise UnsupportedError(
            f"{source.name}: VNN-LIB 2.0 is read by the package vnnlib: pip install attractor[verify]"
        ) from problem
    try:
        return _tree(source, source.text), {}
    except vnnlib.VNNLibException as problem:
        if not only_types_differ(str(problem)):
            raise _fault_of(source, str(problem)) from problem
    text, others = without_clauses(source.text)
    try:
        return _tree(source, text), others
    except vnnlib.VNNLibException as problem:
        raise _fault_of(source, str(problem)) from problem


def _tree(source: Source, text: str) -> "vnnlib.Query":
    import vnnlib

    try:
        # A comment in the last line needs its end.
        return vnnlib.parse_query_string(text + "\n")
    except WRONG_FACTS as problem:
        raise source.fault(
            source.line_of(_UNREADABLE),
            f"the parser fails at a long number or a letter beyond ASCII ({problem}): shorten or replace it",
        ) from problem


def _fault_of(source: Source, said: str) -> InputDataError:
    """What the parser found, in a sentence: it answers with JSON, or with a line of text."""
    try:
        first = json.loads(said)["errors"][0]
        line, symbol = int(first["line"]), first["offendingSymbol"]
        return source.fault(line, f"{first['message']} at '{symbol}': {first['hint']}")
    except WRONG_FACTS:
        found = re.search(r"line ([0-9]+)", said)
        line = None if found is None else int(found[1])
        return source.fault(line, f"{said}: correct it by the grammar of VNN-LIB 2.0")


def _network(source: Source, declared: "vnnlib.Network") -> NetworkDeclaration:
    if declared.equal_to and declared.isometric_to:
        line = _declaration(source, "network", declared.name)
        raise source.fault(line, f"network {declared.name} is both equal-to and isomorphic-to: delete one")
    return NetworkDeclaration(
        declared.name,
        tuple(_tensor(source, each, "input") for each in declared.inputs),
        tuple(_tensor(source, each, "hidden") for each in declared.hidden),
        tuple(_tensor(source, each, "output") for each in declared.outputs),
        declared.equal_to or None,
        declared.isometric_to or None,
    )


def _tensor(
    source: Source,
    declared: "vnnlib.InputDefinition | vnnlib.HiddenDefinition | vnnlib.OutputDefinition",
    kind: Kind,
) -> Tensor:
    name, shape = declared.name, tuple(declared.shape)
    dtype = _DTYPES.get(declared.dtype.name)
    if dtype is None:
        raise source.fault(
            _declaration(source, kind, name),
            f"the type of {name} is not known, or has no order: use one of {', '.join(_DTYPES.values())}",
        )
    if prod(shape) > MOST_ENTRIES:
        raise UnsupportedError(
            f"{source.place(_declaration(source, kind, name))}: {name} has {prod(shape)} entries, "
            f"more than {MOST_ENTRIES}: make it smaller"
        )
    onnx_name = _unquoted(declared.onnx_name)
    if onnx_name == "":
        line = _declaration(source, kind, name)
        raise source.fault(line, f"{name} has an empty ONNX name: write the one in the ONNX file")
    return Tensor(name, shape, dtype, kind, onnx_name)


def _unquoted(name: str | None) -> str | None:
    """A name without the quotes that the parser leaves on it."""
    if name is None or not name.startswith('"'):
        return name
    return re.sub(r"\\(.)", r"\1", name[1:-1], flags=re.DOTALL)


def _declaration(source: Source, kind: str, name: str) -> int | None:
    """The last line that declares something of that name."""
    found = [*re.finditer(rf"\(\s*declare-{kind}\s+{re.escape(name)}(?![\w'])", source.text)]
    return source.line_at(found[-1].start()) if found else None


def _check_names(source: Source, kind: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise source.fault(
                _declaration(source, kind, name), f"{name} is declared twice: give each its own name"
            )
        seen.add(name)


class _Translation:
    """The tree of the parser as formulas.

    Args:
        source: the file.
        tensors: what is declared, by name.
    """

    def __init__(self, source: Source, tensors: Mapping[str, Tensor]) -> None:
        self.source, self.tensors = source, tensors

    def formula(self, root: "vnnlib.BoolExpr") -> Formula:
        return folded(root, _joined, self._formula)

    def _formula(self, node: "vnnlib.BoolExpr", parts: list[Formula]) -> Formula:
        import vnnlib

        if isinstance(node, vnnlib.Comparison):
            left, right = (folded(side, _operands, self._polynomial) for side in (node.lhs, node.rhs))
            return compared(left, _RELATIONS[type(node).__name__], right)
        if not parts:
            raise self.source.fault(
                None, "an empty 'and' or 'or' joins nothing: give it a part, or delete it"
            )
        return AllOf(tuple(parts)) if isinstance(node, vnnlib.And) else AnyOf(tuple(parts))

    def _polynomial(self, node: "vnnlib.ArithExpr", parts: list[Polynomial]) -> Polynomial:
        import vnnlib

        match node:
            case vnnlib.Var():
                return Polynomial.of(self._variable(node))
            case vnnlib.Literal():
                with self.source.at(lambda: node.line):
                    return Polynomial.constant(exact(node.lexeme))
            case vnnlib.Negate():
                return -parts[0]
            case vnnlib.Minus():
                return parts[0] - Polynomial.total(parts[1:])
            case vnnlib.Plus():
                return Polynomial.total(parts)
            case vnnlib.Multiply():
                with self.source.at(lambda: _line_in(node)):
                    return product(parts)
        raise UnsupportedError(f"{self.source.name}: '{node}' is not read: write it with + - *")

    def _variable(self, node: "vnnlib.Var") -> Variable:
        """The entry that is meant; the parser lets negative indices pass."""
        shape, indices = self.tensors[node.name].shape, node.indices
        within = len(shape) == len(indices) and all(
            0 <= index < size for index, size in zip(indices, shape, strict=True)
        )
        if not within:
            raise self.source.fault(
                node.line, f"{node.name}{indices} is outside of the shape {list(shape)}: count from 0"
            )
        flat = 0
        for index, size in zip(indices, shape, strict=True):
            flat = flat * size + index
        return Variable(node.name, flat)


def _joined(node: "vnnlib.BoolExpr") -> tuple["vnnlib.BoolExpr", ...]:
    import vnnlib

    return node.args if isinstance(node, vnnlib.Connective) else ()


def _operands(node: "vnnlib.ArithExpr") -> tuple["vnnlib.ArithExpr", ...]:
    import vnnlib

    match node:
        case vnnlib.Plus() | vnnlib.Multiply():
            return node.args
        case vnnlib.Minus():
            return (node.head, *node.rest)
        case vnnlib.Negate():
            return (node.expr,)
    return ()


def _line_in(node: "vnnlib.ArithExpr") -> int | None:
    """The line of the first word inside an expression: only words have one."""
    import vnnlib

    while not isinstance(node, vnnlib.Var | vnnlib.Literal):
        node = _operands(node)[0]
    return node.line
