"""Whether a certificate is about the network and the question that one knows.

A certificate that is accepted proves a claim about the network inside of it. Here the claim is made anew from
the ONNX files and the query, or from the function and the box, and compared with it, number by number.
"""

from collections.abc import Mapping
from pathlib import Path

from numpy.typing import ArrayLike

from attractor.shown import counted

from ..recheck.certificate import Certificate, RefusedCertificateError
from ..recheck.claim import Claim
from ..recheck.packing import claim_table, digest_of
from .certified import QUERY, sources_of
from .proof import Excess, claim_of
from .solve import claims_of_query
from .vnnlib_files import read_query


def bind_to_query(certificate: Certificate, query: Path, networks: Mapping[str, Path]) -> str:
    """Compare a certificate with a query of VNN-LIB and its networks.

    Args:
        certificate: that was accepted.
        query: the file of the query.
        networks: the ONNX file of every network.

    Returns:
        What it is thereby bound to, in a sentence.

    Raises:
        RefusedCertificateError: it is about something else.
        InputDataError: a file cannot be read.
    """
    files = {name: Path(path) for name, path in networks.items()} | {QUERY: query}
    for name, digest in sources_of(files).items():
        known = certificate.sources.get(name)
        if known is not None and known != digest:
            raise RefusedCertificateError(
                f"{files[name]} is not the file that the certificate was made from: SHA-256 {digest}, "
                f"the certificate has {known[:64]}"
            )
    _compare(certificate, claims_of_query(read_query(query), networks))
    known = sorted(files.keys() & certificate.sources.keys())
    return (
        f"bound to {query} and {counted(len(networks), 'network')}: its claims are those that follow from "
        f"these files, number by number; SHA-256 compared as well: {', '.join(known) or 'of no file'}"
    )


def bind_to_function(certificate: Certificate, excess: Excess, low: ArrayLike, high: ArrayLike) -> str:
    """Compare a certificate with a function that is never above zero on a box.

    Args:
        certificate: that was accepted.
        excess: see `attractor.certify.verify.prove`.
        low: least inputs.
        high: largest ones.

    Returns:
        What it is thereby bound to, in a sentence.

    Raises:
        RefusedCertificateError: it is about something else.
    """
    _compare(certificate, (claim_of(excess, low, high),))
    return "bound to the function and the box: its claim is the one that follows from them, number by number"


def _compare(certificate: Certificate, claims: tuple[Claim, ...]) -> None:
    """Refuse unless a proof covers every claim, or a refutation is of one of them."""
    wanted = {digest_of(claim_table(one, {})): index for index, one in enumerate(claims)}
    held = {digest_of(claim_table(one.claim, {})) for one in certificate.parts}
    refutes = any(one.witness is not None for one in certificate.parts)
    missing = sorted(index for digest, index in wanted.items() if digest not in held)
    if not refutes and missing:
        raise RefusedCertificateError(
            f"the certificate is about something else: it does not hold claim {missing[0]} of {len(claims)} "
            "that follow from what is given; another network, box, condition or version of Attractor"
        )
    if refutes and not held <= wanted.keys():
        raise RefusedCertificateError(
            "the certificate is about something else: its claim does not follow here"
        )
