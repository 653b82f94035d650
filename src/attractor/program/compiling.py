"""How readings are compiled: anew for a step that has changed, in a hurry for one that runs a few times.

JAX compiles a function once for each structure of its arguments, and two cells have the same structure when
their code is the same. What that code reads of globals, closures and objects is not looked at again. So every
function here that is compiled for a cell takes the digests of `programs_of` as one more argument: a step that
has become another program is compiled anew. A step that is another one at each call is refused.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache, update_wrapper
from itertools import count
from typing import Any, ParamSpec, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import PyTree

from attractor.cells import CellLike, State, name_of, take_step
from attractor.errors import CellError

from .digest import cell_digest, program_digest
from .precision import plain

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Option = bool | int

# A third of the time on a CPU, for code about three times as slow.
_QUICK: dict[str, Option] = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
# Half as long again; the other code generator writes a value out wherever it is used, and so doubles its code
# with every choice inside a choice: four of them took 20 GB.
_CAREFUL = {**_QUICK, "xla_cpu_use_fusion_emitters": True}
# Modules whose code is the same at each call.
_OWN = ("attractor.cells.", "attractor.training.", "attractor.program.", "equinox.")
_UNKNOWN = "unknown "
_count = count()


@cache
def _accepted(*, careful: bool = False) -> dict[str, Option]:
    """What of these options this version of XLA knows: its options come and go."""

    def known(name: str, value: Option) -> bool:
        try:
            jax.jit(lambda: 0, compiler_options={name: value}).lower().compile()
        except jax.errors.JaxRuntimeError:
            return False
        return True

    asked = _CAREFUL if careful else _QUICK
    return {name: value for name, value in asked.items() if known(name, value)}


def compiled(function: Callable[Arguments, Result], **options: object) -> Callable[Arguments, Result]:
    """As `equinox.filter_jit`, and anew for a cell whose step has become another program (see `programs_of`).

    Args:
        function: of any arguments.
        options: handed on to `jax.jit`.
    """
    jitted: Any = eqx.filter_jit  # hands further options on to `jax.jit`, which its type does not show

    def of_programs(
        _programs: tuple[str, ...], /, *arguments: Arguments.args, **named: Arguments.kwargs
    ) -> Result:
        return function(*arguments, **named)

    of_programs.__name__ = getattr(function, "__name__", type(function).__name__)  # what profilers show
    run = jitted(of_programs, **options)

    def call(*arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
        return run(programs_of(arguments, named), *arguments, **named)

    return update_wrapper(call, function)


def quickly_compiled(
    function: Callable[Arguments, Result], *, tangled: Callable[..., bool] = lambda *_, **__: False
) -> Callable[Arguments, Result]:
    """As `compiled`, with a compiler that is told to be quick rather than clever.

    Args:
        function: of any arguments.
        tangled: tells from the arguments whether the program holds choices inside of choices.
    """

    @cache
    def by(*, careful: bool) -> Callable[Arguments, Result]:
        return compiled(function, compiler_options=_accepted(careful=careful))

    def call(*arguments: Arguments.args, **options: Arguments.kwargs) -> Result:
        return by(careful=tangled(*arguments, **options))(*arguments, **options)

    return update_wrapper(call, function)


def programs_of(*trees: PyTree, double: bool | None = None) -> tuple[str, ...]:
    """A digest for every cell in some pytrees whose step may read what stands outside of it.

    Cells of this library and of Equinox have none. It takes some milliseconds a cell.

    Args:
        trees: arrays, modules, containers of them.
        double: the precision to trace in; None is that of the context, in which the step will run.
    """
    precise = jnp.result_type(float) == jnp.float64 if double is None else double
    return tuple(text for cell in cells_in(trees) for text in _digests(cell, double=precise))


def cells_in(trees: PyTree) -> list[CellLike]:
    """Every cell in some pytrees whose step holds code that is not of this library, as the user wrote it."""
    nodes = jax.tree.leaves(trees, is_leaf=_may_be_another)
    return [plain(node) for node in nodes if _may_be_another(node)]


def _may_be_another(node: object) -> bool:
    if isinstance(node, type) or not (callable(node) or has_own(node, "vector_field")):
        return False
    return (has_own(node, "initial_state") or has_own(node, "hidden_size")) and may_change(node)


def may_change(cell: object) -> bool:
    """Whether a step holds code that is not of this library or of Equinox, and so may be unsteady."""
    own = type(cell).__module__.startswith(_OWN)
    if not own or has_own(cell, "step") or not isinstance(cell, eqx.Module):
        return True
    fields = vars(cell).values()
    parts = [part for value in fields for part in (value if isinstance(value, tuple) else (value,))]
    return any(may_change(part) for part in parts if isinstance(part, eqx.Module))


def has_own(thing: object, name: str) -> bool:
    """Whether a thing or its class has an attribute; nothing is computed to find out."""
    return hasattr(type(thing), name) or name in getattr(thing, "__dict__", ())


def unchanged(tree: PyTree, known: tuple[str, ...] | None) -> tuple[str, ...]:
    """What `programs_of` says of a model, which is what it said before.

    Args:
        tree: the model.
        known: what was said when the model was trained or read; None says it for the first time.

    Raises:
        CellError: a step has become another program since.
    """
    found = programs_of(tree, double=False)  # as it was trained
    if known is not None and _known(known) != _known(found):
        raise CellError(
            "the step of the cell is not the one that this model was trained with: something that it reads, "
            "a global, a list or an object, has changed since. Put it back, or train again"
        )
    return found


def _known(digests: Iterable[str]) -> list[str]:
    return [digest for digest in digests if not digest.startswith(_UNKNOWN)]


def _digests(cell: CellLike, *, double: bool) -> tuple[str, ...]:
    """Of the cell; of one that cannot be traced alone those inside of it, and something new at each call."""
    own = digest_or_new(lambda: cell_digest(cell, double=double))
    parts = [] if _known([own]) or not isinstance(cell, eqx.Module) else list(vars(cell).values())
    return (own, *programs_of(parts, double=double))


def digest_or_new(digest: Callable[[], str]) -> str:
    """A digest, or where it cannot be made a text that is new each time: better compiled again than stale.

    Args:
        digest: makes it; what goes wrong in it is told where the code itself runs.
    """
    try:
        return digest()
    except Exception:  # noqa: BLE001 (a user's code may raise anything)
        return f"{_UNKNOWN}{next(_count)}"


def check_steady(cell: CellLike, input: PyTree, state: State) -> None:
    """Refuse a step that is another one when it is called again.

    Compiled once, it would stay for ever what it was at that call; every reading would speak of another map.
    The step is traced twice and the two programs are compared; a change that comes later is not seen.

    Args:
        cell: any cell.
        input: one input, or its shape and type.
        state: a state.

    Raises:
        CellError: two calls of it are two programs; or it keeps values of an earlier call.
    """
    same_each_time(lambda *own: take_step(cell, *own), (input, state), name_of(cell))


def same_each_time(step: Callable[..., PyTree], arguments: Sequence[PyTree], name: str) -> None:
    """The same of a function of any arguments.

    Args:
        step: traced twice.
        arguments: of it.
        name: of the cell, for the message.

    Raises:
        CellError: two calls of it are two programs.
    """
    first, second = (jax.make_jaxpr(lambda *own: step(*own))(*arguments) for _ in range(2))
    around = [[id(one) for one in closed.consts if isinstance(one, Tracer)] for closed in (first, second)]
    if around[0] and around[0] == around[1]:
        return  # a step that closes over what is being differentiated: its constants have no values yet
    if around[0] != around[1] or program_digest(first) != program_digest(second):
        raise CellError(
            f"the step of {name} is another one each time it is called: it changes a global, a list or an "
            "object, or draws a number of its own. Keep what changes in the state, and draw with `key`"
        )
