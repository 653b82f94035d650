"""What a scan keeps for the backward pass.

A strategy runs `body(carry, slice) -> (carry, result)` over the leading axis of `sequence`, like
`jax.lax.scan`; strategies agree in values and gradients and differ in memory and time. The reversible
strategy (keep nothing, undo the steps) will stand here beside the others.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import isqrt
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from attractor.errors import ConfigError, UnsupportedError

Body = Callable[[Any, Any], tuple[Any, Any]]


@runtime_checkable
class Strategy(Protocol):
    """A way to run a loop."""

    def __call__(self, body: Body, carry: Any, sequence: Any) -> tuple[Any, Any]:
        """Final carry and stacked results."""
        ...


@dataclass(frozen=True)
class Store:
    """Keep the products of every step and its state: fastest, memory proportional to time x gates.

    Elementwise work is done a second time in the backward pass, which is faster than reading its results.
    """

    def __call__(self, body: Body, carry: Any, sequence: Any) -> tuple[Any, Any]:
        """Run the loop."""
        return jax.lax.scan(body, carry, sequence)

    def __str__(self) -> str:
        return "store: products and states of all steps are kept for the backward pass"


@dataclass(frozen=True)
class Recompute:
    """Keep the state every `every` steps and compute the rest a second time in the backward pass.

    One more forward pass buys a memory of about steps / every + every values a unit; the default `every`,
    the root of the number of steps, makes that smallest (Griewank 1992; Chen et al. 2016, arXiv 1604.06174).

    Args:
        every: steps between two kept states; None chooses the root of the length.

    Raises:
        ConfigError: `every` below one.
    """

    every: int | None = None

    def __post_init__(self) -> None:
        if self.every is not None and self.every < 1:
            message = f"every={self.every}: expected at least one step between kept states"
            raise ConfigError(message)

    def __call__(self, body: Body, carry: Any, sequence: Any) -> tuple[Any, Any]:
        """Run the loop in chunks, then what is left over."""
        steps = jax.tree.leaves(sequence)[0].shape[0]
        every = self.every or max(isqrt(steps), 1)
        count = steps // every
        whole = count * every

        def chunk(carry: Any, part: Any) -> tuple[Any, Any]:
            return jax.lax.scan(body, carry, part)

        chunk = jax.checkpoint(chunk, prevent_cse=False)
        chunks = jax.tree.map(lambda leaf: leaf[:whole].reshape(count, every, *leaf.shape[1:]), sequence)
        carry, results = jax.lax.scan(chunk, carry, chunks)
        flat = jax.tree.map(lambda leaf: leaf.reshape(whole, *leaf.shape[2:]), results)
        if whole == steps:
            return carry, flat
        carry, rest = chunk(carry, jax.tree.map(lambda leaf: leaf[whole:], sequence))
        return carry, jax.tree.map(lambda one, two: jnp.concatenate([one, two]), flat, rest)

    def __str__(self) -> str:
        return f"recompute: one state in {self.every or 'sqrt(steps)'} is kept, the rest computed twice"


_NAMED: dict[str, Strategy] = {"store": Store(), "recompute": Recompute()}


def strategy(memory: str | Strategy) -> Strategy:
    """The strategy of a name, or the strategy itself.

    Raises:
        UnsupportedError: `reversible`, which is not built yet.
        ConfigError: any other unknown name.
    """
    if not isinstance(memory, str):
        return memory
    if memory in _NAMED:
        return _NAMED[memory]
    if memory == "reversible":
        message = "memory='reversible' is not available yet; memory='recompute' needs little memory as well"
        raise UnsupportedError(message)
    message = f"memory={memory!r}: expected one of {', '.join(map(repr, _NAMED))} or a strategy object"
    raise ConfigError(message)
