"""Weighted maximum norms in which a step contracts: ||J||_w = max_i sum_j |J_ij| w_j / w_i.

The best weights are a nonlinear Perron problem. Branch and bound over a box of states and inputs starts with
the best ones for the Jacobians at many points of it.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun
from jaxtyping import Array, Float

from attractor.cells import CellLike
from attractor.program import flat_map, trace

from ..domains import Box, StepBounds, floating_state, step_bounds
from ..search import Bound

Weights = TypeVar("Weights", np.ndarray, Array)

SAMPLES = 512

_FLOOR = 1e-9
_ITERATIONS = 200

# Largest change of the weights, whose largest is 1, that ends the iteration on the host.
_SETTLED = 1e-10

# Weights that differ by more say little of some states, and make costs that nothing solves.
_UNEVEN = 100.0
# What evening them leaves of 1 - rate, and the least weight beside a largest of 1; the best choice first.
_EVENED = ((0.95, 1e-2), (0.75, 1e-2), (0.95, 1e-3), (0.95, 1e-4), (0.95, 1e-6))
_NEARLY = 0.05

# Share of its width that counts for every axis, so that none is never split.
_AT_LEAST = 0.05


def best_weights(
    row_sums: Callable[[Weights], Weights], start: Weights, iterations: int = _ITERATIONS
) -> tuple[Weights, Weights]:
    """The smallest rate max_i r_i(w) / w_i that was met, and its weights.

    r is monotone and homogeneous (row sums of a bound, largest over its corners), so w -> r(w) is a nonlinear
    Perron map (Lemmens and Nussbaum 2012). Half of the old weights is kept at every step, so that chains like
    the regressor of a NNARX, whose map is periodic, converge too. Any weights give a valid rate.

    Args:
        row_sums: r, from weights (states,) to row sums (states,).
        start: weights to start from (states,), positive. With those of NumPy r is called on the host, with
            those of JAX it is traced once.
        iterations: steps of the power method.

    Returns:
        The rate and the weights, whose largest is 1.
    """
    on_host = isinstance(start, np.ndarray)
    of: Any = np if on_host else jnp

    def step(carry: tuple[Weights, Weights, Weights], _: None = None) -> tuple[tuple[Any, Any, Any], None]:
        weights, best, best_found = carry
        sums = row_sums(weights)
        rate = of.max(sums / weights)
        better = rate < best
        best, best_found = of.where(better, rate, best), of.where(better, weights, best_found)
        largest = of.maximum(of.max(sums), of.finfo(sums.dtype).tiny)
        mixed = 0.5 * weights + 0.5 * of.where(of.isfinite(sums), sums / largest, 1.0)
        return (of.maximum(mixed / of.max(mixed), _FLOOR), best, best_found), None

    carry = (start, of.asarray(of.inf, start.dtype), start)
    if on_host:
        for _ in range(iterations):
            before = carry[0]
            carry, _ = step(carry)
            if np.abs(carry[0] - before).max() <= _SETTLED:
                break
    else:
        carry, _ = jax.lax.scan(step, carry, None, length=iterations)
    return carry[1], carry[2]


def good_weights(
    row_sums: Callable[[Array], Array], start: Float[Array, " states"]
) -> tuple[Float[Array, ""], Float[Array, " states"]]:
    """`best_weights`, made even by `even_weights`."""
    return even_weights(row_sums, *best_weights(row_sums, start))


def even_weights(
    row_sums: Callable[[Array], Array], rate: Array, weights: Float[Array, " states"]
) -> tuple[Float[Array, ""], Float[Array, " states"]]:
    """Weights that differ less, for a rate that is hardly larger.

    The best rate alone wants no weight at all on what nothing feeds back to, such as the register of a delay,
    whose differences are gone after as many steps as it is long. Such weights w make the norm |x_i| / w_i,
    and every cost that follows from it, as large there as one likes. With a rate l above the best one, the
    least solution of w = max(w_best, floor, r(w) / l) keeps r(w) <= l w; along a register it grows by 1 / l
    from row to row. Weights that are even enough stay as they are.

    Args:
        row_sums: r, as for `best_weights`; traced once.
        rate: the best one.
        weights: that give it, the largest of them 1.

    Returns:
        Rate and weights; those given where no others come near their rate, or where it proves nothing.
    """
    left, floors = (jnp.asarray(column, weights.dtype) for column in zip(*_EVENED, strict=True))

    def attempt(carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        number, _, found_rate, found = carry
        target = 1 - left[number] * (1 - rate)
        raised = _raised(row_sums, jnp.maximum(weights, floors[number]), target)
        reached = jnp.max(row_sums(raised) / raised)
        good = 1 - reached >= (left[number] - _NEARLY) * (1 - rate)
        raised = raised / jnp.max(raised)
        return number + 1, good, jnp.where(good, reached, found_rate), jnp.where(good, raised, found)

    def unfinished(carry: tuple[Array, Array, Array, Array]) -> Array:
        return ~carry[1] & (carry[0] < len(_EVENED))

    done = ~(rate < 1) | (jnp.max(weights) <= _UNEVEN * jnp.min(weights))
    _, _, rate, weights = jax.lax.while_loop(unfinished, attempt, (jnp.asarray(0), done, rate, weights))
    return rate, weights


def _raised(row_sums: Callable[[Array], Array], start: Array, rate: Array) -> Array:
    """The least w >= start with r(w) <= rate w, as far as the iterations reach."""

    def unfinished(carry: tuple[Array, Array, Array]) -> Array:
        return (carry[0] < _ITERATIONS) & (carry[2] > _SETTLED)

    def raise_(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        round_, weights, _ = carry
        higher = jnp.maximum(weights, row_sums(weights) / rate)
        change = jnp.max((higher - weights) / higher)
        return round_ + 1, higher, jnp.where(jnp.isfinite(change), change, 0.0)

    return jax.lax.while_loop(unfinished, raise_, (jnp.asarray(0), start, jnp.ones((), start.dtype)))[1]


class JacobianNorm(eqx.Module):
    """Bounds ||d x' / d x||_w of a step on boxes of states and inputs, for branch and bound.

    Args:
        cell: any cell in float64.
        weights: w, positive.
    """

    cell: CellLike
    weights: Float[Array, " states"]

    def __call__(self, low: Float[Array, " axes"], high: Float[Array, " axes"]) -> Bound:
        """The bound on one box, and the norm in the middle of it."""
        states, middle = len(self.weights), (low + high) / 2
        bounds = step_bounds(self.cell, Box(low, high, states))
        jacobian = absolute_jacobian(self.cell, middle)[:, :states]
        upper = jnp.max(bounds.row_sums(self.weights) / self.weights)
        return Bound(
            upper, jnp.max(jacobian @ self.weights / self.weights), middle, _axis(bounds, high - low)
        )


def _axis(bounds: StepBounds, width: Array) -> Array:
    """The axis along which the slopes vary most."""
    total = jnp.where(jnp.isfinite(bounds.curvature), bounds.curvature, 0.0)
    return jnp.argmax(width * (total + _AT_LEAST * jnp.mean(total)) + 1e-12 * width)


def absolute_jacobian(cell: CellLike, point: Float[Array, " axes"]) -> Float[Array, "states axes"]:
    """|d x' / d (x, u)| at a point (x, u), by forward differentiation of the map itself.

    The written-out program is differentiated, not the cell: what a cell stops or replaces for training
    (`stop_gradient`, custom derivatives) is part of the map all the same.
    """
    flat = flat_map(cell, floating_state(cell), dtype=point.dtype)
    size = flat.size
    program = trace(flat.step, point[:size], point[size:])
    step = jaxpr_as_fun(ClosedJaxpr(program.jaxpr, program.constants))
    return jnp.abs(jax.jacfwd(lambda point: step(point[:size], point[size:])[0])(point))


def sample_jacobians(cell: CellLike, box: Box, seed: int = 0) -> Float[np.ndarray, "samples states states"]:
    """|J| at points of the box, half of them at its corners."""
    return np.asarray(_sample(cell, box, jax.random.key(seed)))


@eqx.filter_jit
def _sample(cell: CellLike, box: Box, key: Array) -> Array:
    shares = jax.random.uniform(key, (SAMPLES, len(box.low)), box.low.dtype)
    shares = jnp.where(jnp.arange(SAMPLES)[:, None] % 2 == 0, shares, jnp.round(shares))
    points = box.low + shares * (box.high - box.low)
    jacobians = jax.vmap(lambda point: absolute_jacobian(cell, point))(points)
    return jnp.nan_to_num(jacobians[:, :, : box.states], posinf=0.0)  # a choice of weights, not a proof


@eqx.filter_jit
def sampled_weights(
    jacobians: Float[Array, "samples states states"], start: Float[Array, " states"]
) -> tuple[Float[Array, ""], Float[Array, " states"]]:
    """The best weights for all these Jacobians at once, and the rate they give on them.

    No weights can do better on the samples than their nonlinear Perron value, so a rate of 1 or more means
    that no weighted maximum norm proves the box.
    """

    def row_sums(weights: Array) -> Array:
        return jnp.max(jacobians @ weights, axis=0)

    return good_weights(row_sums, start)
