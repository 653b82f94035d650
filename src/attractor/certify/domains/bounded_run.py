"""Bounds that can be trained against: of any function, and of any step over time.

They are estimates in the type of the weights, without outward rounding, differentiable, and compiled as a
part of a loss. What is proved of a trained model is proved afterwards, in float64, by
`attractor.certify.verify`.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, PyTree

from attractor.errors import ShapeError, UnsupportedError
from attractor.program import trace

from .affine import Affine, affine_results, followed, unrelated
from .algebra import enclose
from .cell_bounds import program_forms
from .interval import Interval, exactly
from .polynomial import symbol_form

Step = Callable[[Array, PyTree], PyTree]


class Bound(eqx.Module):
    """The values of one array.

    Args:
        interval: the least and the largest.
        affine: how they depend on inputs; None where only intervals are followed.
    """

    interval: Interval
    affine: Affine | None = None

    @property
    def low(self) -> Array:
        """The least values, the larger of what both say."""
        least = self.interval.low
        return least if self.affine is None else jnp.maximum(least, self.affine.interval.low)

    @property
    def high(self) -> Array:
        """The largest values, the smaller of what both say."""
        most = self.interval.high
        return most if self.affine is None else jnp.minimum(most, self.affine.interval.high)


def bounded(function: Callable[..., PyTree], *arguments: PyTree) -> PyTree:
    """Bounds of the results of a function, from bounds of its arguments.

    Args:
        function: of pytrees of arrays, of primitives that interval bounds know.
        arguments: pytrees with a `Bound` for each array; all affine forms have the same symbols.

    Raises:
        UnsupportedError: a primitive without a rule; it is named with its line.
    """
    examples = [jax.tree.map(lambda one: one.interval.low, tree, is_leaf=_is_bound) for tree in arguments]
    program = trace(function, *examples)
    given = jax.tree.leaves(arguments, is_leaf=_is_bound)
    symbols = [one.affine.generators.shape[0] for one in given if one.affine is not None]
    if not symbols:
        nothing = [jnp.zeros((*one.interval.low.shape, 0), one.interval.low.dtype) for one in given]
        forms = [symbol_form(one.interval, exactly(zeros)) for one, zeros in zip(given, nothing, strict=True)]
        found = [Bound(enclose(form).value) for form in program_forms(program, forms)]
    else:
        values = [followed(one.interval, one.affine) for one in given]
        found = [Bound(one.interval, one.affine) for one in affine_results(program, values)]
    return jax.tree.unflatten(program.outputs, found)


def _is_bound(value: Any) -> bool:
    return isinstance(value, Bound)


def bounded_run(
    step: Step,
    start: PyTree,
    inputs: Interval,
    *,
    length: ArrayLike | None = None,
    relaxed: bool = True,
    window: int = 16,
) -> PyTree:
    """Bounds of what a step has made of its state after a sequence of inputs from boxes.

    Args:
        step: `step(input, state) -> state`, any function of arrays; of a cell its call.
        start: the state before the first step, known exactly.
        inputs: least and largest inputs, each of shape (time, ...).
        length: valid steps; later ones leave the state as it is. None: all.
        relaxed: whether affine forms are followed beside intervals; tighter, and dearer by about as many
            times as a window has inputs.
        window: steps whose inputs have symbols of their own; what an older input did is known by its size
            alone.

    Returns:
        The tree of the state with a `Bound` for each array.

    Raises:
        ShapeError: a step that returns another tree or other shapes than it takes.
        UnsupportedError: a primitive without a rule; it is named with its line; or a state that holds
            something else than real numbers.
    """
    steps = inputs.low.shape[0]
    slots = min(window, steps)
    each = inputs.low[0].size
    symbols = slots * each if relaxed else 0
    start = jax.tree.map(lambda leaf: _real(leaf, inputs.low.dtype), start)
    valid = jnp.arange(steps) < (steps if length is None else length)

    def known(leaf: Array) -> Bound:
        return Bound(exactly(leaf), unrelated(exactly(leaf), symbols) if relaxed else None)

    def after(state: PyTree, given: tuple[Array, Interval, Array]) -> tuple[PyTree, None]:
        index, box, counts = given
        first = index % slots * each
        aged = jax.tree.map(lambda one: _forgotten(one, first, each), state, is_leaf=_is_bound)
        entry = Bound(box, _own_symbols(box, first, symbols) if relaxed else None)
        found = bounded(step, entry, aged)
        _check_same(state, found)
        return jax.tree.map(lambda new, old: jnp.where(counts, new, old), found, state), None

    begin = jax.tree.map(known, start)
    last, _ = jax.lax.scan(after, begin, (jnp.arange(steps), inputs, valid))
    return last


def _real(leaf: ArrayLike, kind: np.dtype) -> Array:
    found = jnp.asarray(leaf)
    if not jnp.issubdtype(found.dtype, jnp.floating):
        raise UnsupportedError(
            f"interval bounds: the state holds {found.dtype}; expected real numbers only: keep counters, "
            "flags and keys outside the state"
        )
    return found.astype(kind)


def _forgotten(bound: Bound, first: Array, count: int) -> Bound:
    """Without the symbols of one slot, whose sizes join the rest."""
    if bound.affine is None:
        return bound
    middle, generators, rest = bound.affine
    old = jax.lax.dynamic_slice_in_dim(generators, first, count)
    cleared = jax.lax.dynamic_update_slice_in_dim(generators, jnp.zeros_like(old), first, 0)
    return Bound(bound.interval, Affine(middle, cleared, rest + jnp.abs(old).sum(axis=0)))


def _own_symbols(box: Interval, first: Array, symbols: int) -> Affine:
    """Inputs of a box, each with a symbol of its own, from position `first` on."""
    middle, radius = (box.low + box.high) / 2, (box.high - box.low) / 2
    own = jnp.diag(radius.ravel()).reshape(radius.size, *radius.shape)
    nothing = jnp.zeros((symbols, *radius.shape), radius.dtype)
    generators = jax.lax.dynamic_update_slice_in_dim(nothing, own, first, 0)
    return Affine(middle, generators, jnp.zeros_like(radius))


def _check_same(state: PyTree, found: PyTree) -> None:
    shapes = [jax.tree.map(jnp.shape, one) for one in (state, found)]
    if jax.tree.structure(state) != jax.tree.structure(found) or shapes[0] != shapes[1]:
        raise ShapeError(
            "the step returns another tree, or other shapes, than the state it takes; return the new state "
            "with every leaf of it"
        )
