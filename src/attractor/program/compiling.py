"""Compilation in a hurry, for programs that run a few times: building them is nearly all of their cost."""

from collections.abc import Callable
from functools import cache, update_wrapper
from typing import Any

import equinox as eqx
import jax

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


def quickly_compiled(
    function: Callable[..., Any], *, tangled: Callable[..., bool] = lambda *_, **__: False
) -> Callable[..., Any]:
    """As `equinox.filter_jit`, with a compiler that is told to be quick rather than clever.

    Args:
        function: of any arguments.
        tangled: tells from the arguments whether the program holds choices inside of choices.
    """

    @cache
    def compiled(*, careful: bool) -> Callable[..., Any]:
        jitted: Any = eqx.filter_jit  # hands further options on to `jax.jit`, which its type does not show
        return jitted(function, compiler_options=_accepted(careful=careful))

    def call(*arguments: Any, **options: Any) -> Any:
        return compiled(careful=tangled(*arguments, **options))(*arguments, **options)

    return update_wrapper(call, function)


__all__ = ["quickly_compiled"]
