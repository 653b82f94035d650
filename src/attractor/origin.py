"""What a page, certificate or export was made from: a stamp that travels in the file itself.

A number is worth nothing if it speaks of other weights, or of another equation, than those in use. So
everything that is made from a trained model carries its `Origin` as one line of text, whatever the format
of the file: in a comment of a program, a `meta` element of a page, an entry of a JSON file, the metadata
of an ONNX graph. Whoever uses such a file reads the stamp back and compares.

A stamp protects against mistakes, not against people: who wants to can write any stamp.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from attractor.errors import AttractorError, ConfigError

_STAMP = re.compile(rb"attractor-origin: weights=([0-9a-f]{64}) equation=([0-9a-f]{64})")
_LONGEST = 1 << 26
"""Larger files are none of ours."""
_UNSTAMPED = (".safetensors", ".jsonl")
"""What the files of a run end with that carry no stamp; whatever else is there may have been made from it."""


class ForeignOriginError(AttractorError, ValueError):
    """Something was made from other weights, or from another equation, than those it is used with."""


@dataclass(frozen=True)
class Origin:
    """The weights and the equation that something was made from.

    Args:
        weights: SHA-256 of `weights.safetensors` of the run.
        equation: SHA-256 of the traced program of one step, see `attractor.program.digest`.
    """

    weights: str
    equation: str

    @property
    def stamp(self) -> str:
        """The line that goes into a file."""
        return f"attractor-origin: weights={self.weights} equation={self.equation}"

    def __str__(self) -> str:
        """For people: the first digits."""
        return f"weights {self.weights[:12]}, equation {self.equation[:12]}"

    def objection(self, made_from: "Origin | None") -> str:
        """Why something cannot be used with this origin, in words that follow its name; empty if it can.

        Args:
            made_from: what its stamp says; None if it has none.
        """
        if made_from is None:
            return "does not say which weights it belongs to"
        if made_from.weights != self.weights:
            return f"belongs to other weights ({made_from.weights[:12]}, these are {self.weights[:12]})"
        if made_from.equation != self.equation:
            return f"belongs to another equation ({made_from.equation[:12]}, this is {self.equation[:12]})"
        return ""


def stamped(origin: Origin | None, around: str) -> str:
    """A stamp within what makes it a comment of some language; nothing without an origin.

    Args:
        origin: to be stamped.
        around: text with `{}` where the stamp goes.
    """
    return "" if origin is None else around.format(origin.stamp)


def find_origin(content: bytes) -> Origin | None:
    """The stamp in the content of a file of any format; None if there is none."""
    found = _STAMP.search(content)
    return Origin(found[1].decode(), found[2].decode()) if found else None


def origin_of(path: Path) -> Origin | None:
    """The stamp of a file; None if it has none or cannot be read."""
    try:
        return find_origin(path.read_bytes()) if path.stat().st_size <= _LONGEST else None
    except OSError:
        return None


def check_replaceable(path: Path) -> None:
    """Refuse to write over a file that carries no stamp: it was not made from a run, and may be a user's own.

    A symbolic link is replaced, and what it points to stays.

    Raises:
        ConfigError: such a file is there already.
    """
    if path.exists() and not path.is_symlink() and origin_of(path) is None:
        raise ConfigError(
            f"{path} is there already and was not made from a run; move it, or choose another folder (--out)"
        )


def derived_files(folder: Path) -> dict[Path, Origin]:
    """The files of a folder that carry a stamp, by path."""
    ours = (path for path in sorted(folder.iterdir()) if path.suffix not in _UNSTAMPED and path.is_file())
    found = {path: origin_of(path) for path in ours}
    return {path: origin for path, origin in found.items() if origin is not None}


def strangers(folder: Path, origin: Origin) -> dict[Path, str]:
    """The files of a folder that carry a stamp of something else, each with what is wrong with it."""
    objections = {path: origin.objection(made_from) for path, made_from in derived_files(folder).items()}
    return {path: objection for path, objection in objections.items() if objection}
