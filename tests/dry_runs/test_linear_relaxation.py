"""A dry run: linear relaxation (CROWN) is one more rule for the backward walk, and nothing else.

Between l and u, tanh lies above the line of slope s = min(tanh' l, tanh' u) through its lower end and below
the one through its upper end. The coefficients of two such bounds flow from the result to the argument.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from attractor.certify.domains.interval import SCALAR, Interval, add, contract, exactly
from attractor.program import is_exact, trace
from attractor.program.walk import backward, bound, forward, results, value_of

WEIGHT, BIAS, READOUT = (np.random.default_rng(0).normal(size=shape) for shape in ((4, 3), (4,), (2, 4)))


def layer(x):
    return READOUT @ jnp.tanh(WEIGHT @ x + BIAS)


layers = jax.jit(jax.vmap(layer))


class Lines(NamedTuple):
    """Coefficients of a lower and an upper bound of every output, a row each."""

    low: Array
    high: Array


def intervals(equation, operands):
    """The rule of a forward walk with intervals."""
    match equation.primitive.name, operands:
        case "dot_general", [matrix, inside]:
            return [contract(matrix, inside, equation.params["dimension_numbers"][0])]
        case "add", [one, other]:
            return [add(*(exactly(part) if is_exact(part) else part for part in (one, other)))]
        case "tanh", [inside]:
            return [SCALAR["tanh"].value(inside)]
    raise NotImplementedError(equation.primitive.name)


@jax.jit
def linear_bounds(box):
    """Lines of the results of `layer` over a box, their constants, and the results' intervals."""
    program = trace(layer, jnp.zeros(3))
    jaxpr = program.jaxpr
    values = forward(jaxpr, bound(jaxpr, program.constants, [box]), intervals)
    constants = [jnp.zeros(2)] * 2

    def through(wish, low_end, high_end):
        """Constants of a bound: where a coefficient is negative, the other line is the bound."""
        ends = (wish.low, low_end, high_end), (wish.high, high_end, low_end)
        for k, (rows, same, other) in enumerate(ends):
            constants[k] = constants[k] + jnp.where(rows >= 0, rows * same, rows * other).sum(axis=1)

    def rule(equation, wishes):
        (wish,), known = wishes, [value_of(atom, values) for atom in equation.invars]
        match equation.primitive.name:
            case "dot_general":
                return [None, Lines(wish.low @ known[0], wish.high @ known[0])]
            case "add":
                through(wish, known[1], known[1])
                return [wish, None]
        low, high = known[0]
        slope = jnp.minimum(1 - jnp.tanh(low) ** 2, 1 - jnp.tanh(high) ** 2)
        through(wish, jnp.tanh(low) - slope * low, jnp.tanh(high) - slope * high)
        return [Lines(wish.low * slope, wish.high * slope)]

    wanted = {jaxpr.outvars[0]: Lines(jnp.eye(2), jnp.eye(2))}
    lines = backward(
        jaxpr, wanted, rule, lambda one, other: Lines(*(a + b for a, b in zip(one, other, strict=True)))
    )
    return lines[jaxpr.invars[0]], constants, results(jaxpr, values)[0]


@pytest.mark.parametrize("radius", [0.05, 0.5, 2.0])
def test_the_lines_hold_at_dense_samples_and_are_never_looser_than_intervals(radius):
    """Without taking the better of both: each line is extreme where tanh is, so one layer cannot lose."""
    with jax.enable_x64(True):
        box = Interval(np.full(3, 0.2 - radius), np.full(3, 0.2 + radius))
        lines, (low, high), plain = jax.tree.map(np.asarray, linear_bounds(box))
        points = np.random.default_rng(1).uniform(box.low, box.high, (4000, 3))
        values = np.asarray(layers(points))
        assert (points @ lines.low.T + low <= values + 1e-12).all()
        assert (points @ lines.high.T + high >= values - 1e-12).all()
        middle = np.full(3, 0.2)
        below = lines.low @ middle - radius * np.abs(lines.low).sum(axis=1) + low
        above = lines.high @ middle + radius * np.abs(lines.high).sum(axis=1) + high
        assert (below >= plain.low - 1e-9).all()
        assert (above <= plain.high + 1e-9).all()
        assert ((above - below) < 0.99 * (plain.high - plain.low)).any()
