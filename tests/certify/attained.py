"""Whether the bounds of a step are attained: the rules by NumPy, beside dense samples of the same program.

A bound that holds may still be too wide, and then a cell that contracts is not proved. At a single point
every bound is the value; over a box it is, up to what each program allows, the extreme of the samples, among
which are all corners.
"""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
from attack import BINARY, CASES, GAPS, RARE, STATES, UNARY
from numpy_rules import by_numpy, evaluated
from written import Written

from attractor.certify.domains import Box, step_bounds

KINDS = ("value", "slope", "row", "input")
LOOSE_AT_A_POINT = {
    "norm": "its slope is enclosed together with zero",
    "unit": "the slope of the quotient is enclosed by that of the whole sphere",
    "normalised": "its centre is computed twice, by different operations",
    "sorted": "has no rule",
    "power": "the logarithm is not defined at zero",
}


def bounds_of(update, low, high, weights):
    """Bounds of x' = update(u, x) over a box whose last axis is the input, with weighted sums of its rows."""
    states = len(low) - 1
    with jax.enable_x64(True), by_numpy():
        found = step_bounds(Written(update, states), Box(np.asarray(low), np.asarray(high), states))
        return found, np.asarray(found.row_sums(weights)), np.asarray(found.input_sums())


def samples_of(update, points):
    """Values and Jacobians at points."""
    states = points.shape[1] - 1

    def step(point):
        return update(point[states:], point[:states])

    with jax.enable_x64(True):
        both = jax.make_jaxpr(jax.vmap(lambda point: (step(point), jax.jacfwd(step)(point))))(points)
        return evaluated(both.jaxpr, both.consts, points)


def points_of(low, high, count=150):
    """Corners, edges at zero and points inside; none lies exactly on a kink at the end of a box."""
    low, high = np.asarray(low, float), np.asarray(high, float)
    shrunk = low + 1e-10 * (high - low), high - 1e-10 * (high - low)
    inside = low + np.random.default_rng(0).uniform(0, 1, (count, len(low))) * (high - low)
    corners = product(*zip(shrunk[0], np.clip(1e-11, *shrunk), shrunk[1], strict=True))
    return np.concatenate([[*corners], inside])


def complaints(update, boxes, kinds, loose=1e-9):
    """What the bounds of a program miss, and what they leave between them and the samples."""
    points, told = [points_of(*box) for box in boxes], []
    states = points[0].shape[1] - 1
    values, slopes = (
        one.reshape(len(boxes), -1, *one.shape[1:]) for one in samples_of(update, np.concatenate(points))
    )
    weights = np.linspace(0.5, 1.5, states)
    rows = np.abs(slopes[..., :states]) @ weights
    inputs = np.abs(slopes[..., states:]).sum(-1)
    for box, *sampled in zip(boxes, values, slopes, rows, inputs, strict=True):
        found, sums, input_sums = bounds_of(update, *box, weights)
        ends = found.image, found.jacobian, (0 * sums, sums), (0 * input_sums, input_sums)
        for kind, (least, most), true in zip(KINDS, ends, sampled, strict=True):
            size = 1 + np.abs(true).max(axis=0)
            gaps = np.stack([true.min(axis=0) - least, most - true.max(axis=0)]) / size
            told += [f"{kind} {where}: {gaps[tuple(where)]}" for where in np.argwhere(~(gaps >= -1e-12))[:2]]
            if kind in kinds:
                gaps = gaps if kind in ("value", "slope") else gaps[1:]
                told += [
                    f"{kind} {where}: {gaps[tuple(where)]}" for where in np.argwhere(~(gaps <= loose))[:2]
                ]
    return told


def operations():
    """Every operation of the attack, as functions of two vectors."""
    unary = [one for name, one in UNARY.items() if name not in (*RARE, *LOOSE_AT_A_POINT)]
    binary = [one for name, one in BINARY.items() if name not in LOOSE_AT_A_POINT]
    found = [lambda a, b, one=one: one(a) for one in unary] + binary
    found += [lambda a, b, gap=gap: jnp.where(gap(a) > 0.1, a + b, a * b) for gap in GAPS.values()]
    return found + [lambda a, b, case=case: jnp.where(b > 0.1, case(a), b) for case in CASES.values()]


def at_point(part, parts):
    """What is between a bound and the value at a single point, for some of the operations."""
    chosen = operations()[part::parts]

    def update(u, x):
        return jnp.concatenate([one(x[:STATES], x[STATES : 2 * STATES]) for one in chosen])

    size = len(chosen) * STATES
    point = np.random.default_rng(part).uniform(0.1, 1.2, size + 1)
    found, *sums = bounds_of(update, point, point, np.ones(size))
    value, slope = (one[0] for one in samples_of(update, point[None]))
    rows = np.abs(slope[:, :size]).sum(1), np.abs(slope[:, size:]).sum(1)
    ends = found.image, found.jacobian, *((one, one) for one in sums)
    told = []
    for kind, (low, high), exact in zip(KINDS, ends, (value, slope, *rows), strict=True):
        wrong = np.maximum(abs(low - exact), abs(high - exact)) / (1 + abs(exact))
        told += [f"{kind} {where}: {wrong[tuple(where)]}" for where in np.argwhere(~(wrong < 1e-10))[:9]]
    return told


TURNED = np.array([1, 2, 0])
W = np.random.default_rng(5).uniform(-1, 1, (3, 3)).round(2)
V = np.random.default_rng(6).uniform(-1, 1, (2, 3)).round(2)


def sigmoid(a):
    return jax.nn.sigmoid(a)


def small(matrix):
    """Rows of 2 x 2 products as three numbers."""
    return matrix.ravel()[:3]


EXACT = {
    "matrix from the left": lambda u, x: W @ x + u,
    "matrix from the right": lambda u, x: x @ W - u,
    "sums and differences": lambda u, x: x - 2 * x[TURNED] + 0.5 * u - 0.25,
    "what cancels": lambda u, x: (x + u) - (u - x) * 2 - 2 * x,
    "quotient by a number": lambda u, x: x / 4 - u / np.array([3.0, -2.0, 7.0]),
    "product": lambda u, x: x * x[TURNED],
    "negative gate": lambda u, x: x[0] * x[1] - x[1] * x[2] + 0 * x,
    "three factors": lambda u, x: x[0] * x[1] * u * jnp.ones(3),
    "functions of one state": lambda u, x: jnp.stack([jnp.tanh(x[0]), jnp.exp(-x[1]), jnp.sin(x[2])]),
    "square": lambda u, x: x * x + jnp.square(x) + x**2,
    "larger of two": lambda u, x: jnp.maximum(x, x[TURNED] + u),
    "smaller of two": lambda u, x: jnp.minimum(x, x[TURNED] + u),
    "larger than a number": lambda u, x: jnp.maximum(x, 0.1),
    "smaller than a number": lambda u, x: jnp.minimum(0.1, x),
    "clipped": lambda u, x: jnp.clip(x, -0.2, 0.3),
    "clipped between states": lambda u, x: jax.lax.clamp(x - 2, x[::-1], x + 2),
    "largest": lambda u, x: jnp.max(x) * jnp.ones(3),
    "smallest": lambda u, x: jnp.min(jnp.concatenate([x, u])) * jnp.ones(3),
    "largest of rows": lambda u, x: jnp.outer(x, jnp.array([1.0, -1.0])).max(axis=1),
    "leaky": lambda u, x: jax.nn.leaky_relu(x, 0.1),
    "rectifier": lambda u, x: jnp.where(x > 0, x, 0.0),
    "turned rectifier": lambda u, x: jnp.where(x < 0, x, 0.0),
    "choice that meets at its threshold": lambda u, x: jnp.where(x > 0.25, 3 * x - 0.75, 0.0),
    "choice of the larger": lambda u, x: jnp.where(x > x[TURNED], x, x[TURNED]),
    "choice of the smaller": lambda u, x: jnp.where(x > x[TURNED], x[TURNED], x),
    "decided choice": lambda u, x: jnp.where(x > -9, x, 100.0) + jnp.where(x > 9, 100.0, 2 * x),
    "choice by a mask": lambda u, x: jnp.where(np.array([True, False, True]), x, 2 * x[::-1]),
    "choice of three": lambda u, x: jax.lax.select_n(np.array([0, 2, 1]), x, 2 * x, -x),
    "truth value": lambda u, x: (x > -9).astype(x.dtype) + 2 * (x > 9).astype(x.dtype) + x,
    "other number": lambda u, x: jnp.where(x == 7, 5.0, x) + jnp.where(x != 7, x, 5.0),
    "split and joined": lambda u, x: jnp.concatenate([x[2:], x[:2] * u]),
    "stacked": lambda u, x: jnp.stack([x[2], u[0], x[0]]),
    "padded": lambda u, x: jnp.pad(x[:2], (1, 0), constant_values=0.7),
    "padded by a state": lambda u, x: jax.lax.pad(x[:2], x[2], ((1, 0, 0),)),
    "filled": lambda u, x: jnp.take(x, np.array([1, 7, 0]), mode="fill", fill_value=0.5),
    "moved": lambda u, x: jnp.outer(x, jnp.ones(2)).T[1][::-1],
    "summed": lambda u, x: jnp.outer(x, jnp.array([1.0, 2.0])).sum(1),
    "product of matrices": lambda u, x: small(V @ jnp.outer(x, np.array([1.0, -2.0]))),
    "product of a matrix of states": lambda u, x: small(jnp.outer(x, np.array([1.0, -2.0])).T @ V.T),
    "inner product": lambda u, x: x[:2] @ x[1:] * jnp.ones(3) * 0 + jnp.outer(x[:1], x[1:]).ravel()[0],
    "batches": lambda u, x: jnp.einsum("ij,ik->i", x[:, None], jnp.stack([u * 1.0] * 3)),
    "sum of magnitudes": lambda u, x: jnp.abs(x).sum() * jnp.ones(3),
    "power of a number": lambda u, x: 2.0**x + 0.5 * u,
    "nothing": lambda u, x: 0 * x + (x - x) * 7,
}
"""Programs whose bounds are the extremes over any box."""

NOT_BY_VALUE = {
    "largest of rows",
    "choice that meets at its threshold",
    "choice of the larger",
    "choice of the smaller",
}
"""Both cases count on the whole box."""

BOXES = {
    "around zero": ([-0.8, -0.5, -0.3, -1.0], [0.6, 0.7, 0.4, 0.5]),
    "beside zero": ([0.02, -0.5, 0.05, 0.01], [0.7, -0.1, 0.25, 1.0]),
}
LOOSE = {
    "gate": (lambda u, x: sigmoid(x[0]) * x[1] + (1 - sigmoid(x[0])) * jnp.tanh(x[2]) + 0 * x, 0.03),
    "softsign": (lambda u, x: jax.nn.soft_sign(3 * x), 0.1),
    "silu": (lambda u, x: jax.nn.silu(4 * x), 0.12),
    "softsign and gate": (lambda u, x: x / (1 + jnp.abs(x)) * jnp.tanh(u), 0.12),
    "quotient of a state": (lambda u, x: x[0] / (2 + x[1]) * jnp.ones(3), 1e-9),
    "sine of a sum": (lambda u, x: jnp.sin(2 * x + u), 1e-2),
    "powers of states": (lambda u, x: (2 + x) ** 1.5 - (3 + x) ** -2.0, 0.1),
}
"""Programs whose bounds leave a little over a box."""


def exact(name):
    """What the bounds of an exact program miss or leave."""
    kinds = [kind for kind in KINDS if kind != "value" or name not in NOT_BY_VALUE]
    return complaints(EXACT[name], [*BOXES.values()], kinds)


def loose(name):
    """What the bounds of another program miss, or leave beyond what they may."""
    update, most = LOOSE[name]
    return complaints(update, [*BOXES.values()], KINDS, most)


def sums_of_largest(count):
    """The sum of a row of the derivative of the largest of so many states."""
    ends = np.ones(count + 1)
    return bounds_of(lambda u, x: jnp.max(x) * jnp.ones(len(x)), -ends, ends, ends[:-1])[1][0]
