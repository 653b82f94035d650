"""How readings are compiled: anew for a step that has changed, in a hurry for one that runs a few times."""

from collections.abc import Callable
from functools import cache, update_wrapper
from typing import Any

import equinox as eqx
import jax

from .present import programs_of

_QUICK = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
"""A third of the time on a CPU, for code about three times as slow."""
_CAREFUL = {**_QUICK, "xla_cpu_use_fusion_emitters": True}
"""Half as long again; the other code generator writes a value out wherever it is used, and so doubles its
code with every choice inside a choice: four of them took 20 GB."""


@cache
def _accepted(*, careful: bool = False) -> dict[str, Any]:
    """What of these options this version of XLA knows: its options come and go."""

    def known(name: str, value: Any) -> bool:
        try:
            jax.jit(lambda: 0, compiler_options={name: value}).lower().compile()
        except jax.errors.JaxRuntimeError:
            return False
        return True

    asked = _CAREFUL if careful else _QUICK
    return {name: value for name, value in asked.items() if known(name, value)}


def compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """As `equinox.filter_jit`, and anew for a cell whose step has become another program (see `programs_of`).

    Args:
        function: of any arguments.
        options: handed on to `jax.jit`.
    """
    jitted: Any = eqx.filter_jit  # hands further options on to `jax.jit`, which its type does not show
    of_programs = jitted(_ignoring_programs(function), **options)

    def call(*arguments: Any, **named: Any) -> Any:
        return of_programs(programs_of(arguments, named), *arguments, **named)

    return update_wrapper(call, function)


def _ignoring_programs(function: Callable[..., Any]) -> Callable[..., Any]:
    def of_programs(_programs: tuple[str, ...], /, *arguments: Any, **named: Any) -> Any:
        return function(*arguments, **named)

    of_programs.__name__ = getattr(function, "__name__", type(function).__name__)  # what profilers show
    return of_programs


def quickly_compiled(
    function: Callable[..., Any], *, tangled: Callable[..., bool] = lambda *_, **__: False
) -> Callable[..., Any]:
    """As `compiled`, with a compiler that is told to be quick rather than clever.

    Args:
        function: of any arguments.
        tangled: tells from the arguments whether the program holds choices inside of choices.
    """

    @cache
    def by(*, careful: bool) -> Callable[..., Any]:
        return compiled(function, compiler_options=_accepted(careful=careful))

    def call(*arguments: Any, **options: Any) -> Any:
        return by(careful=tangled(*arguments, **options))(*arguments, **options)

    return update_wrapper(call, function)


__all__ = ["compiled", "quickly_compiled"]
