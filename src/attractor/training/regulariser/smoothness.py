"""Steps made of straight pieces have no second derivative, and Q would silently be zero for them."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array

from attractor.cells import State, initial_state, name_of
from attractor.errors import ConfigError
from attractor.program.walk import needed
from attractor.training.noise import floating, with_floating

from .problem import NoiseProblem


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

    def slope(moving: State, along: State, input: Array, arrays: Any) -> State:
        cell = eqx.combine(arrays, static)
        step = lambda moving: floating(cell(input, with_floating(moving, still)))  # noqa: E731
        return jax.jvp(step, (moving,), (along,))[1]

    def bend(along: State, moving: State, input: Array, arrays: Any) -> State:
        return jax.jvp(lambda at: slope(at, along, input, arrays), (moving,), (along,))[1]

    return _depends(bend, moving, moving, input, arrays), _depends(slope, moving, moving, input, arrays)


def _depends(function: Callable[..., Any], first: Any, *others: Any) -> bool:
    """Whether the result depends on the first argument, as far as the program shows."""
    jaxpr = jax.make_jaxpr(function)(first, *others).jaxpr
    return not needed(jaxpr, jaxpr.outvars).isdisjoint(jaxpr.invars[: len(jax.tree.leaves(first))])
