"""A sequence, a loss of where it ends, and the noise on the way: what all readings of P and Q start from."""

from collections.abc import Callable
from itertools import accumulate
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray, PyTree, Shaped

from attractor.cells import CellLike, State, StateNoise, exposed, initial_state, name_of
from attractor.errors import ConfigError, UnsupportedError
from attractor.program.walk import needed
from attractor.scan import unroll
from attractor.shown import at_prompt, in_notebook
from attractor.training.noise import Wrapper, disturbed, floating, with_floating

from .diffusion import DeviationOf, Diffusion, diffusion_of


class NoiseProblem(eqx.Module):
    """One sequence and the noise in its states.

    Args:
        cell: any cell; its steps are taken without a key.
        inputs: u, shape (time, inputs).
        loss: of what the cell exposes of its last state, a vector, to a number.
        noise: levels of noise added to the state after each step, as in `NoisyState`; or a function
            (input, old state, new state) -> deviations like the state; or None for the noise that the cell
            has itself (`Lipschitz` in the scale of its differential equation, `NoisyState`).
        length: number of valid steps; None for all.
        state: the state at the start; that of the cell when None.

    Example:
        >>> import attractor
        >>> cell = attractor.cells.GRU(2, 3, key=jax.random.key(0))
        >>> noise = StateNoise(additive=0.1)
        >>> problem = NoiseProblem(cell, jnp.ones((5, 2)), lambda h: jnp.sum(h**2), noise)
    """

    cell: CellLike
    inputs: Shaped[Array, "time inputs"]
    loss: Callable[[Array], Array]
    noise: StateNoise | DeviationOf | None = None
    length: ArrayLike | None = None
    state: State | None = None

    @property
    def diffusion(self) -> Diffusion:
        """How the noise enters."""
        return diffusion_of(self.cell, self.noise)

    def loss_of(self, state: State) -> Float[Array, ""]:
        """The loss of a last state."""
        return self.loss(exposed(self.cell, state))


class NoiseTerms(NamedTuple):
    """E[loss] = loss + (eps^2 / 2) (P + Q) + O(eps^4), for noise that is multiplied by eps.

    Numbers, or arrays of them where a batch was mapped.

    Args:
        loss: without noise.
        flatness: P, how sharply the loss bends where the noise carries the last state; never negative for
            a convex loss.
        curvature: Q, what the noise does through the second derivative of the steps; of either sign. None
            where it was not asked for.
    """

    loss: Float[Array, "..."]
    flatness: Float[Array, "..."]
    curvature: Float[Array, "..."] | None

    @property
    def total(self) -> Float[Array, "..."]:
        """P + Q, or P alone."""
        return self.flatness if self.curvature is None else self.flatness + self.curvature

    def expected(self, strength: ArrayLike = 1.0) -> Float[Array, "..."]:
        """The loss with noise of size eps: loss + (eps^2 / 2) (P + Q), to second order."""
        return self.loss + jnp.asarray(strength) ** 2 / 2 * self.total

    def __repr__(self) -> str:
        return at_prompt(self)

    def _repr_html_(self) -> str:
        return in_notebook(self)


class Derivatives(Wrapper):
    """A cell whose state also carries its first `order` derivatives with respect to the size of the noise.

    With h' = f(h) + t s z, z fixed and s taken at t = 0: h1' = f_h h1 + s z and h2' = f_h h2 + f_hh[h1, h1].
    Running it with `unroll` gives derivatives along a whole sequence, with masks and memory as usual. Without
    a key the derivatives stay zero.
    """

    diffusion: Diffusion
    order: int = eqx.field(static=True)

    def initial_state(self) -> State:
        """The cell's, which noise does not move."""
        return self.at_rest(initial_state(self.cell))

    def at_rest(self, state: State) -> State:
        """A state and its derivatives, zeros."""
        still = jax.tree.map(jnp.zeros_like, floating(state))
        return state, (still,) * self.order

    def __call__(self, input: Array, state: State, *, key: PRNGKeyArray | None = None) -> State:
        """One step of the state and of its derivatives."""
        old, along = state
        moving, still = floating(old), eqx.filter(old, eqx.is_array)

        def step(moving: State) -> tuple[State, tuple[State, State]]:
            before = with_floating(moving, still)
            new = self.cell(input, before)
            mean = self.diffusion.mean(before, new)
            return floating(mean), (mean, new)

        derivatives, (mean, new) = _pushed(step, moving, along)
        if key is None or not along:
            return mean, derivatives
        deviation = self.diffusion.deviation(self.cell, input, old, new)
        signs = rademacher(key, deviation, common=self.diffusion.common)
        return mean, (disturbed(derivatives[0], deviation, signs), *derivatives[1:])


def _pushed(
    step: Callable[[State], tuple[State, tuple[State, State]]], at: State, along: tuple[State, ...]
) -> tuple[tuple[State, ...], tuple[State, State]]:
    """Derivatives of step(h(t)) from those of h(t), of order 0, 1 or 2; and the other result of the step."""

    def tangent(at: State, first: State) -> tuple[State, tuple[State, State]]:
        return jax.jvp(step, (at,), (first,), has_aux=True)[1:]

    if not along:
        return (), step(at)[1]
    if len(along) == 1:
        moved, other = tangent(at, *along)
        return (moved,), other
    moved, bent, other = jax.jvp(tangent, (at, along[0]), along, has_aux=True)
    return (moved, bent), other


def rademacher(key: PRNGKeyArray, like: State, *, common: bool) -> State:
    """Signs of mean 0 and variance 1 for every number of a state, or one sign for all.

    A drawn word gives 32 of them: noise for a whole layer costs as little as a few additions.
    """
    leaves, structure = jax.tree.flatten(like)
    ends = list(accumulate(0 if common else leaf.size for leaf in leaves))
    words = jax.random.bits(key, (-(-max(ends[-1], 1) // 32), 1), jnp.uint32)
    bits = ((words >> jnp.arange(32, dtype=jnp.uint32)) & 1).reshape(-1)
    signs = []
    for leaf, end in zip(leaves, ends, strict=True):
        part = bits[0] if common else bits[end - leaf.size : end].reshape(leaf.shape)
        signs.append(2 * part.astype(leaf.dtype) - 1)
    return jax.tree.unflatten(structure, signs)


def derivatives_at_the_end(
    problem: NoiseProblem, order: int, key: PRNGKeyArray | None
) -> tuple[State, tuple[State, ...]]:
    """The last state and its derivatives with respect to the size of one draw of noise.

    Raises:
        UnsupportedError: a state with complex numbers.
    """
    check_real(problem)
    cell = Derivatives(problem.cell, problem.diffusion, order)
    start = None if problem.state is None else cell.at_rest(problem.state)
    return unroll(cell, problem.inputs, start, length=problem.length, key=key).last


def check_real(problem: NoiseProblem) -> None:
    """Refuse complex states, whose noise nobody has defined."""
    state = initial_state(problem.cell) if problem.state is None else problem.state
    if any(jnp.iscomplexobj(leaf) for leaf in jax.tree.leaves(state)):
        raise UnsupportedError(
            f"{name_of(problem.cell)} has a complex state; the regulariser is for real states"
        )


def require_second_derivatives(problem: NoiseProblem) -> None:
    """Refuse Q for a step whose second derivative vanishes although its first one depends on the state.

    That is a rectifier, an absolute value, a clipped line: at the kinks, which derivatives do not see, noise
    does what Q should have told. This is read off the program of the step and holds for any weights; a step
    that is smooth in part passes.

    Raises:
        ConfigError: such a step.
    """
    state = initial_state(problem.cell) if problem.state is None else problem.state
    bent, slope_depends_on_state = _second_derivative(problem, state)
    if not bent and slope_depends_on_state:
        raise ConfigError(
            f"{name_of(problem.cell)} is made of straight pieces (relu, abs, clip): its second "
            "derivative is zero wherever it exists and Q says nothing; use curvature=False for P alone"
        )


def _second_derivative(problem: NoiseProblem, state: State) -> tuple[bool, bool]:
    """Whether D2f[v, v] depends on v, and whether Df v depends on the state."""
    moving, still = floating(state), eqx.filter(state, eqx.is_array)
    input = jax.ShapeDtypeStruct(problem.inputs.shape[1:], problem.inputs.dtype)
    arrays, static = eqx.partition(problem.cell, eqx.is_array)

    def slope(moving: State, along: State, input: Array, arrays: PyTree) -> State:
        cell = eqx.combine(arrays, static)
        step = lambda moving: floating(cell(input, with_floating(moving, still)))  # noqa: E731
        return jax.jvp(step, (moving,), (along,))[1]

    def bend(along: State, moving: State, input: Array, arrays: PyTree) -> State:
        return jax.jvp(lambda at: slope(at, along, input, arrays), (moving,), (along,))[1]

    return _depends(bend, moving, moving, input, arrays), _depends(slope, moving, moving, input, arrays)


def _depends(function: Callable[..., PyTree], first: PyTree, *others: PyTree) -> bool:
    """Whether the result depends on the first argument, as far as the program shows."""
    jaxpr = jax.make_jaxpr(function)(first, *others).jaxpr
    return not needed(jaxpr, jaxpr.outvars).isdisjoint(jaxpr.invars[: len(jax.tree.leaves(first))])
