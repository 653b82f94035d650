"""Whether a certificate speaks of the model that it is used with."""

from typing import Any

from attractor.errors import ConfigError
from attractor.program.digest import cell_identity


def check_certificate(certificate: Any, cell: Any) -> None:
    """Refuse a certificate of another cell, or of other weights; one made by hand says of none.

    Args:
        certificate: any object; one of `attractor.certify` knows what it is about.
        cell: that it is used with.

    Raises:
        ConfigError: it speaks of something else.
    """
    about = getattr(certificate, "about", "")
    if about and about != cell_identity(cell):
        raise ConfigError(
            f"the certificate speaks of another cell, or of other weights ({about[:12]}): certify the cell "
            "of this model, or leave the certificate out"
        )
