"""The command that checks certificates of proofs."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from attractor.errors import ConfigError
from attractor.shown import counted

from .console import Facts, tell, working

if TYPE_CHECKING:
    from attractor.certify.recheck.certificate import Certificate


@dataclass(frozen=True)
class RecheckCommand:
    """Check a certificate of a proof: every piece is bounded anew, by a checker that knows no search."""

    file: Positional[Path]
    """The certificate, as `attractor-vnnlib verify --certificate FILE` writes it."""
    network: Annotated[tuple[str, ...], arg(metavar="NAME=FILE")] = ()
    """The ONNX files that it has to be about, with --query; without them only what is inside it is proved."""
    query: Path | None = None
    """The file of VNN-LIB that it has to answer."""

    def run(self) -> Facts:
        """Check, compare, say what is proved and of what."""
        from attractor.certify.recheck.certificate import RefusedCertificateError, load

        if bool(self.network) != (self.query is not None):
            raise ConfigError("--network and --query belong together: a claim follows from both; give both")
        with working(f"reading {self.file}"):
            certificate = load(self.file)
        with working(f"bounding the pieces of {counted(len(certificate.parts), 'claim')} anew"):
            found = certificate.checked()
        if not certificate.parts and self.query is None:
            raise RefusedCertificateError(
                f"{self.file} claims nothing: a query that no input can meet needs no proof; give --network "
                "and --query to find out whether this is one"
            )
        if not found.accepted:
            raise RefusedCertificateError(f"{self.file} does not prove what it claims: {found.refused}")
        bound = self._bound(certificate)
        claims, pieces = counted(len(certificate.parts), "claim"), counted(found.pieces, "piece")
        tell(f"accepted: {claims}, {pieces} bounded anew")
        for part in certificate.parts:
            tell(f"  {part}")
        tell(bound)
        tell(f"SHA-256 of the claims: {certificate.claim_digest}")
        said, library = certificate.statement[:200], certificate.library[:40]
        tell(f"the file says of itself, unchecked: {said!r}, written by version {library!r}")
        return {
            "accepted": True,
            "pieces": found.pieces,
            "claims": [str(part) for part in certificate.parts],
            "binding": bound,
            "sha256": certificate.claim_digest,
            "networks": certificate.network_digests,
            "sources": dict(certificate.sources),
        }

    def _bound(self, certificate: "Certificate") -> str:
        """What the claims are compared with, and what not."""
        if self.query is None:
            return (
                "bound to no file: the claims are about the networks, boxes and conditions inside of the "
                "certificate; give --network and --query to compare them with those that you know"
            )
        from attractor.certify.verify.binding import bind_to_query
        from attractor.certify.verify.vnnlib_files import read_query

        from .vnnlib_solver import networks_of

        query = read_query(self.query)
        with working(f"comparing the claims with those of {self.query}"):
            return bind_to_query(certificate, self.query, networks_of(self.network, query))
