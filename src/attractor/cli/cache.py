"""Compiled programs are kept between commands, so that the second one starts sooner.

They are kept by JAX's own persistent cache in the user's cache folder, `~/.cache/attractor/compiled`, in a
folder for each type of processor and version of JAX: machine code of one processor may be wrong on another.
`--no-cache`, or `ATTRACTOR_CACHE=off`, switches it off; `ATTRACTOR_CACHE=FOLDER` puts it elsewhere. Whatever
goes wrong with it, a command runs as without one.
"""

import contextlib
import hashlib
import os
import platform
import re
import warnings
from importlib.metadata import version
from pathlib import Path

MOST_BYTES = 256 << 20
_SWITCH = "ATTRACTOR_CACHE"
_JAX = "JAX_COMPILATION_CACHE_DIR"
_PROCESSOR = re.compile(r"^(?:model name|flags|Features|CPU part)\s*:.*$", re.MULTILINE)


def use_cache() -> Path | None:
    """Switch the cache on for this process, before it imports JAX.

    Returns:
        The folder; None where the user has switched it off or chosen one for JAX, or it cannot be made.
    """
    asked = os.environ.get(_SWITCH, "")
    if asked == "off" or _JAX in os.environ:
        return None
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "attractor" / "compiled"
    folder = (Path(asked) if asked else user) / processor_type()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        bound(folder.parent)
    except OSError:
        return None
    os.environ[_JAX] = str(folder)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
    warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation cache")
    return folder


def bound(folder: Path, most: int = MOST_BYTES) -> None:
    """Delete the files that were not used for the longest time until the rest fits.

    Args:
        folder: with all that is kept, at any depth.
        most: bytes in all.
    """
    kept = 0
    files = [(path, path.stat()) for path in folder.rglob("*") if path.is_file()]
    for path, facts in sorted(files, key=lambda one: -max(one[1].st_atime, one[1].st_mtime)):
        kept += facts.st_size
        if kept > most:
            with contextlib.suppress(OSError):  # another process may have deleted it
                path.unlink()


def processor_type() -> str:
    """What machine code depends on: the type of processor with its features, and the compiler."""
    try:
        described = "".join(dict.fromkeys(_PROCESSOR.findall(Path("/proc/cpuinfo").read_text())))
    except OSError:
        described = platform.processor()
    known = "\n".join((platform.machine(), described, version("jaxlib"), os.environ.get("XLA_FLAGS", "")))
    return f"{platform.machine()}-{hashlib.sha256(known.encode()).hexdigest()[:12]}"
