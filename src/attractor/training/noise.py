"""Noise in the hidden state of any cell, on in training and off in evaluation.

Lim, Erichson, Hodgkinson and Mahoney 2021, *Noisy recurrent neural networks*, arXiv 2102.04877, inject it
into the Lipschitz cell, which has it built in; the wrapper here does the same to every other cell.
"""

from itertools import accumulate
from math import pi
from typing import Annotated, Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from attractor.cells import (
    CellLike,
    State,
    StateNoise,
    exposed,
    initial_state,
    name_of,
    take_step,
    weight_dtype,
)
from attractor.errors import ConfigError
from attractor.program import layout_of
from attractor.settings import NonNegative, checked

from .task import Model

_Kind = Annotated[Literal["independent", "common"], "which go with every cell"]


class Wrapper(eqx.Module):
    """A cell around another cell, of which it says what the other says of itself.

    Args:
        cell: any cell.
    """

    cell: CellLike
    passed: ClassVar[tuple[str, ...]] = ("input_size", "input_shape")
    """Facts of the contract that a cell may give or not."""

    def __getattr__(self, name: str) -> Any:
        """Those that the cell gives."""
        if name in self.passed:
            return getattr(self.cell, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def initial_state(self) -> State:
        """That of the cell."""
        return initial_state(self.cell)


class NoisyState(Wrapper):
    """h' = n + deviation * z with n = cell(u, h) and deviation = factor * (s_a + s_m (n - h)).

    A key turns the noise on; without one the wrapper is its cell, bit for bit. Every floating array of the
    state takes part (h and c of an LSTM, all levels of a stack; real and imaginary parts of a complex one
    apart), with z standard normal: one for every number ("independent") or the same for all ("common"). The
    noise is that of one step, whatever time it stands for: an Euler step of size d of dh = F dt + s dB has
    s_a = sqrt(d) s.

    A level that could be learned freely would go to zero, because noise never lowers the loss on the training
    data. What can be learned is how a *fixed* budget is shared: with `learned` every unit has a share, the
    root of the mean of the squared shares stays 1, and training moves noise to where it hurts least.

    Args:
        cell: any cell.
        noise: s_a, s_m and the kind; a number is s_a alone.
        factor: multiplies both levels; never trained, see `with_noise_factor`.
        learned: whether shares of the units are learned; they start equal.

    Raises:
        ConfigError: the kind "official", which belongs to the Lipschitz cell, or a factor below zero.

    Example:
        >>> import attractor
        >>> inner = attractor.cells.GRU(2, 3, key=jax.random.key(0))
        >>> noisy = NoisyState(inner, StateNoise(additive=0.05))
        >>> attractor.unroll(noisy, jnp.ones((5, 2)), key=jax.random.key(1)).states.shape
        (5, 3)
    """

    passed = (*Wrapper.passed, "hidden_size", "output_size", "measured_state", "fixed")

    factor: Float[Array, ""]
    log_shares: Float[Array, " units"] | None
    noise: StateNoise = eqx.field(static=True)

    def __init__(
        self,
        cell: CellLike,
        noise: StateNoise | float | int,
        *,
        factor: float | int = 1.0,
        learned: bool = False,
    ) -> None:
        noise = noise if isinstance(noise, StateNoise) else StateNoise(additive=noise)
        checked("kind", _Kind, noise.kind)
        self.cell, self.noise = cell, noise
        self.factor = jnp.asarray(checked("factor", NonNegative, factor), float)
        units = sum(leaf.size for leaf in jax.tree.leaves(floating(initial_state(cell))))
        self.log_shares = jnp.zeros(units, weight_dtype(cell)) if learned else None

    def exposed(self, state: State) -> Float[Array, " exposed"]:
        """What the cell exposes."""
        return exposed(self.cell, state)

    def __call__(
        self, input: Float[Array, " inputs"], state: State, *, key: PRNGKeyArray | None = None
    ) -> State:
        """One step."""
        if key is None:
            return take_step(self.cell, input, state)
        inner, own = jax.random.split(key)
        new = take_step(self.cell, input, state, inner)
        layout_of(state, name_of(self.cell)).checked(new)
        deviation = self.deviation(state, new)
        return disturbed(new, deviation, normal(own, deviation, common=self.noise.kind == "common"))

    def deviation(self, old: State, new: State) -> State:
        """The deviation factor * share * (s_a + s_m (n - h)), for every floating array of the state."""
        factor, shares = jax.lax.stop_gradient(self.factor), self.shares(new)

        def one(old: Array, new: Array, share: Array | float) -> Array:
            level = self.noise.additive + self.noise.multiplicative * (new - old)
            return factor.astype(new.dtype) * share * level

        return jax.tree.map(one, floating(old), floating(new), shares)

    def shares(self, state: State) -> State:
        """Share of every unit in the budget, in the arrays of the state; ones where they are not learned."""
        units = floating(state)
        if self.log_shares is None:
            return jax.tree.map(lambda _: 1.0, units)
        # Softmax before the root: no overflow however far the logarithms have moved.
        share = jnp.sqrt(len(self.log_shares) * jax.nn.softmax(2 * self.log_shares))
        leaves, structure = jax.tree.flatten(units)
        ends = list(accumulate(leaf.size for leaf in leaves))
        parts = [
            share[end - leaf.size : end].reshape(leaf.shape) for leaf, end in zip(leaves, ends, strict=True)
        ]
        return jax.tree.unflatten(structure, parts)


def floating(state: State) -> State:
    """The floating arrays of a state, a complex one as its real and imaginary part on a new first axis.

    None stands in place of the others.
    """
    return jax.tree.map(_parts, eqx.filter(state, _is_floating))


def with_floating(moved: State, state: State) -> State:
    """A state with other numbers in its floating arrays, given as by `floating`."""
    return jax.tree.map(
        lambda old, new: old if new is None else lax.complex(*new) if jnp.iscomplexobj(old) else new,
        state,
        moved,
        is_leaf=lambda leaf: leaf is None,
    )


def disturbed(state: State, deviation: State, draw: State) -> State:
    """The state with deviation * draw added to its floating arrays."""
    return with_floating(jax.tree.map(lambda h, s, z: h + s * z, floating(state), deviation, draw), state)


def normal(key: PRNGKeyArray, like: State, *, common: bool) -> State:
    """Standard normal numbers in the arrays of a state: one for each of its numbers, or one for all."""
    leaves, structure = jax.tree.flatten(like)
    if common:
        drawn = [jax.random.normal(key, (), leaf.dtype) for leaf in leaves]
    else:
        pairs = zip(jax.random.split(key, len(leaves)), leaves, strict=True)
        drawn = [jax.random.normal(own, leaf.shape, leaf.dtype) for own, leaf in pairs]
    return jax.tree.unflatten(structure, drawn)


def _is_floating(leaf: object) -> bool:
    return eqx.is_inexact_array(leaf)


def _parts(leaf: Array) -> Array:
    return jnp.stack([jnp.real(leaf), jnp.imag(leaf)]) if jnp.iscomplexobj(leaf) else leaf


def with_noise_factor(model: Model, factor: ArrayLike) -> Model:
    """The model with the factor of every `NoisyState` in it set, wherever they are.

    Call it inside the loss of a task, so that the noise follows the progress of training.

    Args:
        model: any pytree.
        factor: the new factor, a number or a traced one.
    """

    def set_one(part: PyTree) -> PyTree:
        if not isinstance(part, NoisyState):
            return part
        number = jnp.asarray(factor, part.factor.dtype)
        inner = with_noise_factor(part.cell, factor)
        return eqx.tree_at(lambda noisy: (noisy.cell, noisy.factor), part, (inner, number))

    return jax.tree.map(set_one, model, is_leaf=lambda part: isinstance(part, NoisyState))


def annealed(
    progress: ArrayLike, start: float | int = 1.0, end: float | int = 0.0, shape: str = "cosine"
) -> Float[Array, "..."]:
    """A level that goes from `start` to `end` while training goes on.

    Args:
        progress: share of the training that is done, one number or several; held at 0 below and at 1 above.
        start: the level at progress 0.
        end: the level at progress 1.
        shape: "linear"; "cosine", flat at both ends; "geometric", by equal factors.

    Raises:
        ConfigError: an unknown shape, or a geometric one with an end that is not positive.
    """
    checked("shape", Literal["linear", "cosine", "geometric"], shape)
    if shape == "geometric" and min(start, end) <= 0:
        raise ConfigError(f"start={start}, end={end}: expected both above 0 for shape='geometric'")
    done = jnp.clip(jnp.asarray(progress, float), 0, 1)
    if shape == "geometric":
        return start * (end / start) ** done
    if shape == "cosine":
        done = (1 - jnp.cos(pi * done)) / 2
    return start + (end - start) * done
