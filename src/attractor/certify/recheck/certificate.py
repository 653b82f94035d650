"""A proof in one file that whoever reads it checks for himself.

The file holds what the claim is about (the network in normal form, the box, the clauses), how the box was
cut, and the slopes that a search optimised. It is an .npz: arrays under their SHA-256, and one table in JSON
whose name is the SHA-256 of it. Nothing in it is run, and nothing is believed: reading checks the digests,
and the checker bounds every piece anew.

The digests in a file find accidents. A person can change a claim, prove the other one and write its digests:
that file is sound, and about something else. What ties a file to a network and a question that one knows is
their comparison with it, see `attractor.certify.verify.binding`, or the digest of the claim from elsewhere.
"""

import hashlib
import io
import json
import tokenize
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np

from attractor.errors import WRONG_FACTS, AttractorError, InputDataError, UnsupportedError
from attractor.files import write_atomically
from attractor.shown import counted

from ..dual.tree import Tree
from .checker import Recheck, recheck, recheck_witness
from .claim import Claim
from .packing import (
    Arrays,
    Reader,
    Table,
    a,
    claim_table,
    digest_of,
    exactly,
    many,
    name_of,
    network_table,
    put,
    reading,
    tree_table,
)

FORMAT = 1
_HEAD = "attractor-certificate-"
_BROKEN = (*WRONG_FACTS, OSError, EOFError, SyntaxError, tokenize.TokenError, zipfile.BadZipFile)


class RefusedCertificateError(AttractorError, ValueError):
    """A certificate does not prove what it claims; the first thing that is refused is named."""

    exit_code = 5


@dataclass(frozen=True, eq=False)
class Part:
    """One claim with what decides it: a tree that proves it, or an input that refutes it.

    Args:
        claim: that no input of a box satisfies a clause.
        tree: of the proof; None beside a witness.
        witness: an input that satisfies a clause; None beside a tree.
    """

    claim: Claim
    tree: Tree | None = None
    witness: np.ndarray | None = None

    def checked(self) -> Recheck:
        """What the checker says."""
        if (self.tree is None) == (self.witness is None):
            return Recheck(accepted=False, refused="it has neither a tree nor an input, or both", pieces=0)
        if self.tree is not None:
            return recheck(self.claim, self.tree)
        return recheck_witness(self.claim, np.asarray(self.witness))

    def __str__(self) -> str:
        """What is claimed, read off the numbers themselves."""
        claim, network = self.claim, self.claim.network
        units = sum(node.size for node in network.nodes)
        subject = (
            f"a network of {counted(len(network.nodes), 'node')} ({counted(units, 'number')}) on a box of "
        )
        subject += f"{counted(network.inputs, 'input')}, "
        subject += f"{_span(claim)}: "
        clauses = f"{counted(len(claim.members), 'clause')} over {counted(len(claim.strict), 'condition')}"
        if self.witness is None:
            return f"{subject}no input satisfies any of {clauses}"
        return f"{subject}the input that it holds satisfies one of {clauses}"


def _span(claim: Claim) -> str:
    if not claim.low.size:
        return "a single point"
    return f"between {claim.low.min():.6g} and {claim.high.max():.6g}"


@dataclass(frozen=True, eq=False)
class Certificate:
    """Claims that belong together, and their proofs.

    Args:
        parts: each with its own network, box and clauses. A proof holds for all of them; a refutation is one.
        statement: what it is about, in the words of whoever wrote it. Nothing checks them.
        sources: SHA-256 of the files that it was made from, by what they are called.
        library: the version that wrote it.
    """

    parts: tuple[Part, ...]
    statement: str = ""
    sources: Mapping[str, str] = field(default_factory=dict)
    library: str = field(default_factory=lambda: version("attractor"))

    @cached_property
    def claim_digest(self) -> str:
        """The SHA-256 of all claims: networks, boxes, clauses, and whether they are proved or refuted."""
        return digest_of([[claim_table(one.claim, {}), one.witness is None] for one in self.parts])

    @cached_property
    def network_digests(self) -> tuple[str, ...]:
        """The SHA-256 of the normal form of every part."""
        return tuple(digest_of(network_table(one.claim.network, {})) for one in self.parts)

    def checked(self) -> Recheck:
        """What the checker says of all parts; the first refusal names its part."""
        pieces = 0
        for index, part in enumerate(self.parts):
            found = part.checked()
            pieces += found.pieces
            if not found.accepted:
                return Recheck(accepted=False, refused=f"part {index}: {found.refused}", pieces=pieces)
        if len(self.parts) != 1 and any(part.witness is not None for part in self.parts):
            return Recheck(accepted=False, refused="an input stands beside other parts", pieces=pieces)
        return Recheck(accepted=True, refused="", pieces=pieces)


def save(certificate: Certificate, path: Path) -> Recheck:
    """Check a certificate, and write it if it proves what it claims.

    Args:
        certificate: to be written.
        path: of the file; one that is there is replaced.

    Returns:
        What the checker said.

    Raises:
        RefusedCertificateError: it does not prove what it claims, and nothing was written.
        StorageError: the file cannot be written.
    """
    found = certificate.checked()
    if not found.accepted:
        raise RefusedCertificateError(
            f"no certificate was written, because its own checker refuses it: {found.refused}"
        )
    write_atomically(path, packed(certificate))
    return found


def packed(certificate: Certificate) -> bytes:
    """The bytes of the file of a certificate, unchecked."""
    arrays: Arrays = {}
    parts = [_part_table(part, arrays) for part in certificate.parts]
    head: Table = {
        "format": FORMAT,
        "library": certificate.library,
        "statement": certificate.statement,
        "sources": dict(certificate.sources),
        "parts": parts,
    }
    text = json.dumps(head, sort_keys=True).encode()
    arrays[_HEAD + hashlib.sha256(text).hexdigest()] = np.frombuffer(text, np.uint8)
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    return content.getvalue()


def _part_table(part: Part, arrays: Arrays) -> Table:
    return {
        "claim": claim_table(part.claim, arrays),
        "tree": None if part.tree is None else tree_table(part.tree, arrays),
        "witness": None if part.witness is None else put(part.witness, arrays),
    }


def load(path: Path) -> Certificate:
    """Read a certificate; what it claims is not checked yet, see `Certificate.checked`.

    Args:
        path: of the file.

    Raises:
        InputDataError: it is no certificate, damaged, or changed; the place is named.
        UnsupportedError: it was written in a format that is not known here.
    """
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise InputDataError(f"{path} cannot be read: {problem.strerror or problem}") from problem
    return unpacked(content, str(path))


def unpacked(content: bytes, where: str) -> Certificate:
    """A certificate from the bytes of its file.

    Args:
        content: of the file.
        where: what to call it in errors.

    Raises:
        InputDataError: they are no certificate, damaged, or changed; the place is named.
        UnsupportedError: they were written in a format that is not known here.
    """
    with reading(where):
        arrays = _arrays(content)
        heads = [name for name in arrays if name.startswith(_HEAD)]
        if len(heads) != 1:
            raise InputDataError("no certificate: it has no head, or more than one")
        text = arrays.pop(heads[0]).tobytes()
        if hashlib.sha256(text).hexdigest() != heads[0].removeprefix(_HEAD):
            raise InputDataError("the head: it is damaged, or was changed after it was written")
        head = a(dict, json.loads(text))
        if head.get("format") != FORMAT:
            raise UnsupportedError(
                f"{where} has format {str(head.get('format'))[:20]}, and {FORMAT} is known here; use another "
                "version of Attractor"
            )
        return _certificate(head, arrays)


def _arrays(content: bytes) -> Arrays:
    """All arrays of the file, compared with their names; no entry is larger than the file."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
        if any(one.compress_type != zipfile.ZIP_STORED for one in entries):
            raise InputDataError("no certificate: an entry is compressed")
        if len({one.filename for one in entries}) != len(entries):
            raise InputDataError("two entries have one name")
        if sum(one.file_size for one in entries) > len(content):
            raise InputDataError("an entry claims to be larger than the file")
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: _entry(name, file[name]) for name in file.files}
    except InputDataError:
        raise
    except _BROKEN as problem:
        raise InputDataError(f"no certificate, or a damaged one ({problem})") from problem
    return arrays


def _entry(name: str, array: object) -> np.ndarray:
    if not isinstance(array, np.ndarray) or array.dtype not in (np.float64, np.int64, np.bool_, np.uint8):
        raise InputDataError(f"the entry {name[:20]} holds something else than numbers and flags")
    if not name.startswith(_HEAD) and name_of(array) != name:
        raise InputDataError(f"the array {name[:20]}: it is damaged, or was changed after it was written")
    return array


def _certificate(head: Table, arrays: Arrays) -> Certificate:
    exactly(head, "format", "library", "statement", "sources", "parts")
    sources = {name: a(str, one) for name, one in a(dict, head["sources"]).items()}
    reader, parts = Reader(arrays), []
    for index, table in enumerate(many(head["parts"])):
        with reading(f"part {index}"), np.errstate(all="ignore"):
            parts.append(_part(reader, a(dict, table)))
    return Certificate(tuple(parts), a(str, head["statement"]), sources, a(str, head["library"]))


def _part(reader: Reader, table: Table) -> Part:
    exactly(table, "claim", "tree", "witness")
    claim = reader.claim(a(dict, table["claim"]))
    tree = None if table["tree"] is None else reader.tree(a(dict, table["tree"]), claim.network)
    return Part(claim, tree, None if table["witness"] is None else reader.array(table["witness"]))
