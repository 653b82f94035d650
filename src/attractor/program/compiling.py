"""Compilation in a hurry, for programs that run a few times: building them is nearly all of their cost."""

from collections.abc import Callable
from functools import cache, update_wrapper
from typing import Any

import equinox as eqx
import jax

_QUICK = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
"""A third of the time on a CPU, for code about three times as slow."""


@cache
def _accepted() -> dict[str, Any]:
    """What of `_QUICK` this version of XLA knows: its options come and go."""

    def known(name: str, value: Any) -> bool:
        try:
            jax.jit(lambda: 0, compiler_options={name: value}).lower().compile()
        except jax.errors.JaxRuntimeError:
            return False
        return True

    return {name: value for name, value in _QUICK.items() if known(name, value)}


def quickly_compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """As `equinox.filter_jit`, with a compiler that is told to be quick rather than clever."""

    @cache
    def compiled() -> Callable[..., Any]:
        jitted: Any = eqx.filter_jit  # hands further options on to `jax.jit`, which its type does not show
        return jitted(function, compiler_options=_accepted())

    def call(*arguments: Any, **options: Any) -> Any:
        return compiled()(*arguments, **options)

    return update_wrapper(call, function)


__all__ = ["quickly_compiled"]
