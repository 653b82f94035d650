import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, resource, sys
from attractor.scan import keep_freed_memory
kept = keep_freed_memory() if sys.argv[1] == "kept" else None
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    piece = library.malloc(ctypes.c_size_t(64 << 20))
    ctypes.memset(piece, 1, 64 << 20)
    library.free(ctypes.c_void_p(piece))
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(kept, faults())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator is tuned on Linux alone")
def test_freed_memory_is_used_again_without_a_page_fault():
    def run(mode):
        words = [sys.executable, "-c", SCRIPT, mode]
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()

    took, faults = run("kept")
    if took == "False":
        pytest.skip("the C library is not glibc")
    assert int(faults) < 100
    assert int(run("given back")[1]) > 1000


def test_a_c_library_without_the_setting_changes_nothing(monkeypatch):
    from attractor.scan import strategies

    monkeypatch.setattr(strategies.ctypes, "CDLL", lambda _: object())
    assert strategies.keep_freed_memory() is False
