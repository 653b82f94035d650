"""Isomorphic networks of different types, which VNN-LIB 2.0 allows and its parser (1.0.2) refuses.

The standard asks isomorphic networks for equal shapes only. Where the parser finds nothing but different
types, the clauses are taken out of the text before it is parsed again, and are checked here.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace

from attractor.errors import WRONG_FACTS

from .query import NetworkDeclaration
from .source import Source

_COMMENT_OR_STRING = re.compile(r';[^\n]*|"(?:[^"\\]|\\(?:.|\Z))*+(?:"|\Z)', re.DOTALL)
_CLAUSE = re.compile(r"\(\s*declare-network\s+(\w+)|\(\s*isomorphic-to\s+(\w+)\s*\)")


def only_types_differ(said: str) -> bool:
    """Whether the parser finds nothing wrong but different types of networks that belong together.

    Args:
        said: message of the parser.

    Returns:
        Whether it is that.
    """
    try:
        errors = json.loads(said)["errors"]
        return all(
            each["errorCode"] == "TypeMismatch" and "between networks" in each["message"] for each in errors
        )
    except WRONG_FACTS:
        return False


def without_clauses(text: str) -> tuple[str, dict[str, str]]:
    """A specification without its isomorphic-to clauses; lines and columns stay.

    Args:
        text: the specification.

    Returns:
        The text with blanks in their place, and for each network that had one the other network.
    """
    code = _COMMENT_OR_STRING.sub(lambda found: _blank(found[0]), text)
    network, others, kept, end = "", {}, [], 0
    for found in _CLAUSE.finditer(code):
        network = found[1] or network
        if found[2] is not None:
            others[network] = found[2]
            kept += [text[end : found.start()], _blank(found[0])]
            end = found.end()
    return "".join((*kept, text[end:])), others


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def with_clauses(
    source: Source, networks: tuple[NetworkDeclaration, ...], others: Mapping[str, str]
) -> tuple[NetworkDeclaration, ...]:
    """Networks with the clauses that were taken out.

    Args:
        source: the file.
        networks: as parsed without the clauses.
        others: for each network that had a clause the other network.

    Returns:
        The networks, complete.

    Raises:
        InputDataError: two networks have other shapes.
    """
    known = {each.name: each for each in networks}
    for name, other in others.items():
        if other not in known or _shapes(known[name]) != _shapes(known[other]):
            raise source.fault(
                source.line_of(rf"\(\s*declare-network\s+{re.escape(name)}\b"),
                f"network {name} is isomorphic-to {other}, and has other shapes: declare the same ones",
            )
    return tuple(replace(each, isomorphic_to=others.get(each.name)) for each in networks)


def _shapes(network: NetworkDeclaration) -> tuple[list[tuple[int, ...]], ...]:
    return tuple([each.shape for each in tensors] for tensors in (network.inputs, network.outputs))
