"""How all tests compile: fast, once, and kept: programs are tiny, and compiling them is most of the time."""

import gc
import os
import runpy
import shutil
import tempfile
from collections import Counter
from functools import wraps
from pathlib import Path
from types import FunctionType

import jax
import jaxtyping
import pytest
from jax._src.interpreters import mlir
from jaxlib.mlir import ir

_QUICK = "jax_disable_most_optimizations"
_CACHE = "jax_compilation_cache_dir"
_FLAGS = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
"""The older code generator compiles in two thirds of the time; and tiny programs in one part, not in 32."""

_MOST_AREAS = 50_000
"""One file of tests takes less than 10 000."""

_SELDOM = (200_000, 50, 1000)
"""Of the garbage collector: looking through traces and modules again and again took 6 % of the time."""

_IN_ONE_CONTEXT = 300
"""Programs: making a context of MLIR anew for each took 40 % of lowering it."""

_OFTEN = 3
_ENOUGH = 20
"""Calls of a function in one test whose types are checked."""

_CHECK_THEMSELVES = {"Settings", "Estimator"}
_check_types = jaxtyping.jaxtyped
_made = Counter()
_calls = Counter()


def _check_types_of_the_first(*, typechecker):
    """The decorator of the import hook, without most of what checkers cost.

    A checker is written when its function is first called, knows shapes only where annotations may, and looks
    at the first calls of each test. A function inside another is made anew at each call of that other one;
    its types are checked the first few times. Settings and estimators compare their own fields with the
    annotations, take more (numbers of NumPy), and say more where one does not fit.
    """
    check = _check_types(typechecker=typechecker)

    def decorated(made):
        if isinstance(made, type):
            return made if any(base.__name__ in _CHECK_THEMSELVES for base in made.__mro__) else check(made)
        if not isinstance(made, FunctionType):
            return check(made)
        if "<locals>" in made.__qualname__:
            _made[made.__code__] += 1
            if _made[made.__code__] > _OFTEN:
                return made
        return _checked_when_called(made, check, typechecker) if made.__annotations__ else made

    return decorated


def _checked_when_called(made, check, plain):
    """A function that becomes a checked one at its first call."""
    checker = None

    @wraps(made)
    def called(*arguments, **named):
        nonlocal checker
        _calls[made] += 1
        if jaxtyping.config.jaxtyping_disable or _calls[made] > _ENOUGH:
            return made(*arguments, **named)
        if checker is None:
            hints = made.__annotations__.values()
            shapes = any(isinstance(one, str) or "jaxtyping" in str(one) for one in hints)
            checker = check(made) if shapes else plain(made)
        return checker(*arguments, **named)

    return called


jaxtyping.jaxtyped = _check_types_of_the_first


def _shared_contexts(make):
    """What makes contexts of MLIR, one for many programs; a program lowered within another gets its own."""
    made, uses = None, 0

    def context():
        nonlocal made, uses
        if ir.Context.current is not None:
            return make()
        if uses % _IN_ONE_CONTEXT == 0:
            made = make()
        uses += 1
        return made

    return context


mlir.make_ir_context = _shared_contexts(mlir.make_ir_context)


def pytest_configure(config):
    """Leave expensive passes out, also in commands that tests start, and compile no program twice.

    What was compiled is kept for the next run, beside the repository's other caches. A damaged file there is
    compiled again.
    """
    gc.set_threshold(*_SELDOM)
    jax.config.update(_QUICK, True)
    jax.config.update("jax_num_cpu_devices", 1)
    os.environ[_QUICK.upper()] = "1"
    os.environ["ATTRACTOR_CACHE"] = "off"
    os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="state-")
    flags = os.environ.get("XLA_FLAGS", "")  # which a worker has from the process that started it
    os.environ["XLA_FLAGS"] = flags if _FLAGS in flags else f"{flags} {_FLAGS}".strip()
    jax.config.update(_CACHE, str(_kept_programs()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _kept_programs():
    """The folder of programs for this processor; the module alone, for types of the package are checked."""
    root = Path(__file__).parents[1]
    cache = runpy.run_path(str(root / "src" / "attractor" / "cli" / "cache.py"))
    folder = root / ".cache" / "tests" / cache["processor_type"]()
    folder.mkdir(parents=True, exist_ok=True)
    cache["bound"](folder.parent)
    return folder


def pytest_collection_finish(session):
    """What is imported stays: no collection of garbage looks at it again."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure(config):
    """Leave nothing behind but what was compiled."""
    shutil.rmtree(os.environ.pop("XDG_STATE_HOME"), ignore_errors=True)


def pytest_runtest_setup(item):
    """Check types anew."""
    _calls.clear()


def pytest_runtest_teardown(item, nextitem):
    """Forget what is compiled before the system has no room for more, at the end of a file of tests.

    Every compiled program takes some of the memory areas that Linux gives to a process, 65530 if nobody asked
    for more; XLA crashes where there is none left.
    """
    if nextitem is None or nextitem.path != item.path:
        areas = Path("/proc/self/maps")
        if areas.exists() and areas.read_bytes().count(b"\n") > _MOST_AREAS:
            jax.clear_caches()


@pytest.fixture
def full_optimisation():
    """For tests of memory and speed: all passes as users have them, but for the code generator, and anew."""
    folder = jax.config.jax_compilation_cache_dir
    jax.config.update(_QUICK, False)
    jax.config.update(_CACHE, None)
    yield
    jax.config.update(_QUICK, True)
    jax.config.update(_CACHE, folder)
