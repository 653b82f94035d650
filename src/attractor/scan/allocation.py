"""Keep freed memory for the next step of a training."""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt(3)."""


def keep_freed_memory(largest: int = 1 << 30) -> bool:
    """Let this process use freed memory again instead of giving it back to the system, where glibc is used.

    A compiled gradient takes all its temporary memory in one piece and frees it at its end. glibc gives a
    piece above 32 MiB back to the system, and the next step pays for every page of it again: about 8 of 103
    ms for a GRU with 256 units, 64 steps and a batch of 128 on two cores. The price is that the process
    keeps its largest extent. The command line does this; a program that imports the library decides itself.

    Args:
        largest: bytes of the largest piece that is kept.

    Returns:
        Whether the C library took the setting; False where it is not glibc.
    """
    try:
        tune = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(tune(_MMAP_THRESHOLD, largest) and tune(_TRIM_THRESHOLD, (1 << 31) - 1))
