"""What becomes of a certificate that was asked for, and of the files that it is made from."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from attractor.errors import InputDataError, StorageError
from attractor.files import check_target
from attractor.shown import counted

from ..recheck.certificate import Certificate, RefusedCertificateError, save

QUERY = "the query"
"""What a certificate calls the file of its query, beside the names of its networks."""


def check_target_of(path: Path, *sources: Path) -> None:
    """Find out before a long search that its certificate could not be written.

    Args:
        path: of the certificate.
        sources: files that it must not replace.

    Raises:
        StorageError: there is no folder for it.
        ConfigError: it would replace a file that is read.
    """
    if not path.parent.is_dir():
        raise StorageError(f"cannot write {path}: there is no folder {path.parent}; create it")
    check_target(path, *sources, overwrite=True)


def sources_of(files: Mapping[str, Path]) -> dict[str, str]:
    """The SHA-256 of files, by what they are called.

    Args:
        files: by name.

    Raises:
        InputDataError: one cannot be read.
    """
    found = {}
    for name, path in files.items():
        try:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as problem:
            raise InputDataError(f"{path} cannot be read: {problem.strerror or problem}") from problem
    return found


def written(certificate: Certificate, path: Path) -> str:
    """Write a certificate; an answer that took long is not lost where that fails.

    Args:
        certificate: to be checked and written.
        path: of the file.

    Returns:
        What became of it, in a sentence.
    """
    try:
        found = save(certificate, path)
    except (RefusedCertificateError, StorageError) as problem:
        return str(problem)
    return f"certificate: {path}, checked on {counted(found.pieces, 'piece')}"
