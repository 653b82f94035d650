"""Random programs that attack the rules of the bounds: what is claimed of a box must hold in it, everywhere.

A program is drawn from a seed: a few dozen kinds of operations over vectors of one length, with choices whose
comparisons change at places that look harmless. Its bounds over a box are computed eagerly, and so are dense
samples: values, differences along every axis, across every switch that bisection finds, and between random
pairs. Nothing is compiled beyond single operations, which all programs share.
"""

import gc
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erfc
from numpy_rules import by_numpy, evaluated
from written import Written

from attractor.certify.domains import Box, cell_bounds, interval, step_bounds
from attractor.errors import UnsupportedError
from attractor.program import PRIMITIVES, ZeroRule

STATES = 3
"""Length of every vector; one more axis is the input."""
_POINTS, _LINES, _HALVINGS = 24, 8, 14
_BATCH = 480
"""Points that are evaluated at once."""
_MATRICES = np.random.default_rng(0).uniform(-1, 1, (4, STATES, STATES)).round(2)
_PERMUTED = np.array([2, 0, 1])

Update = Callable


def _normalised(a):
    return (a - a.mean()) / jnp.sqrt(a.var() + 0.1)


UNARY = {
    "tanh": jnp.tanh,
    "logistic": jax.nn.sigmoid,
    "erf": jax.lax.erf,
    "erfc": erfc,
    "exp": jnp.exp,
    "expm1": jnp.expm1,
    "log": jnp.log,
    "log1p": jnp.log1p,
    "sqrt": jnp.sqrt,
    "rsqrt": jax.lax.rsqrt,
    "sin": jnp.sin,
    "cos": jnp.cos,
    "fast sine": lambda a: jnp.sin(23.0 * a),
    "abs": jnp.abs,
    "sign": jnp.sign,
    "floor": lambda a: jnp.floor(3 * a),
    "square": jnp.square,
    "cube": lambda a: a**3,
    "inverse square": lambda a: a**-2,
    "fourth": lambda a: a**4,
    "real power": lambda a: jnp.abs(a) ** 1.3,
    "reciprocal": lambda a: 1 / a,
    "near zero": lambda a: a / (a - 0.3),
    "negative": lambda a: -a,
    "twice": lambda a: 2.0 * a,
    "half": lambda a: a / 2.0,
    "tenth": lambda a: 0.1 * a,
    "moved": lambda a: a + 0.25,
    "less": lambda a: 1.0 - a,
    "nothing": lambda a: a * jnp.array([0.0, 1.0, 0.0]),
    "rectified": jax.nn.relu,
    "clipped": lambda a: jnp.clip(a, -0.4, 0.6),
    "at least": lambda a: jnp.maximum(a, 0.1),
    "at most": lambda a: jnp.minimum(0.2, a),
    "leaky": jax.nn.leaky_relu,
    "elu": jax.nn.elu,
    "silu": jax.nn.silu,
    "gelu": lambda a: jax.nn.gelu(a, approximate=False),
    "softplus": jax.nn.softplus,
    "softsign": jax.nn.soft_sign,
    "reversed": lambda a: a[::-1],
    "rolled": lambda a: jnp.concatenate([a[1:], a[:1]]),
    "permuted": lambda a: a[_PERMUTED],
    "filled": lambda a: jnp.take(a, np.array([1, 7, 0]), mode="fill", fill_value=0.5),
    "padded": lambda a: jnp.pad(a[:2], (1, 0), constant_values=0.3),
    "sliced": lambda a: jnp.concatenate([jax.lax.dynamic_slice(a, (1,), (2,)), a[:1]]),
    "split": lambda a: jnp.concatenate(jnp.split(a, [1])[::-1]),
    "stacked": lambda a: jnp.stack([a[2], a[0], a[1]]),
    "transposed": lambda a: jnp.outer(a, jnp.ones(2)).T[0],
    "summed": lambda a: 0.3 * a.sum() * jnp.ones(STATES),
    "largest": lambda a: a.max() - a,
    "smallest": lambda a: a.min() * jnp.ones(STATES),
    "norm": lambda a: a / (1 + jnp.linalg.norm(a)),
    "unit": lambda a: a / jnp.linalg.norm(a),
    "softmax": jax.nn.softmax,
    "normalised": _normalised,
    "squared": lambda a: a * a,
    "own weight": lambda a: a @ jnp.outer(a, a),
    "row products": lambda a: jnp.outer(a, a).sum(1),
    "narrowed": lambda a: a.astype(jnp.float32).astype(a.dtype),
    "half precision": lambda a: a.astype(jnp.bfloat16).astype(a.dtype),
    "whole": lambda a: jnp.round(4 * a) / 4,
    "counted": lambda a: (3 * a).astype(int).astype(a.dtype),
    "positive": lambda a: (a > 0).astype(a.dtype),
    "sorted": jnp.sort,
} | {f"matrix {k}": lambda a, matrix=matrix: matrix @ a for k, matrix in enumerate(_MATRICES)}
RARE = ("narrowed", "half precision", "whole", "counted", "sorted", "positive", "floor", "sign")
"""Those that end most claims, so that they are drawn less often."""

BINARY = {
    "add": jnp.add,
    "subtract": jnp.subtract,
    "multiply": jnp.multiply,
    "divide": lambda a, b: a / (b + 1.5),
    "divide near zero": jnp.divide,
    "larger": jnp.maximum,
    "smaller": jnp.minimum,
    "between": lambda a, b: jax.lax.clamp(b - 0.2, a, b + 0.3),
    "power": lambda a, b: jnp.abs(a) ** b,
    "base": lambda a, b: 2.0 ** (0.3 * a) + b,
    "gated": lambda a, b: jax.nn.sigmoid(a) * b + (1 - jax.nn.sigmoid(a)) * jnp.tanh(b),
    "dot": lambda a, b: (a @ b) * jnp.ones(STATES),
    "picked": lambda a, b: jnp.where(np.array([True, False, True]), a, b),
    "chosen": lambda a, b: jax.lax.select_n(np.array([0, 2, 1]), a, b, a + b),
    "unknown filler": lambda a, b: jax.lax.pad(a[:2], b[0], ((1, 0, 0),)),
}
COMPARISONS = (jnp.greater, jnp.greater_equal, jnp.less, jnp.less_equal, jnp.equal, jnp.not_equal)
GAPS = {
    "itself": lambda p: p,
    "sine": lambda p: jnp.sin(9 * p),
    "square": jnp.square,
    "absolute": jnp.abs,
    "shifted": lambda p: p - 0.2,
    "scaled": lambda p: -3.0 * p,
    "tanh": jnp.tanh,
    "expm1": jnp.expm1,
    "tanh of sine": lambda p: jnp.tanh(jnp.sin(5 * p)),
    "rectified": jax.nn.relu,
    "sign": jnp.sign,
    "floor": jnp.floor,
    "zero": lambda p: p * jnp.zeros(STATES),
    "product": lambda p: p * p[::-1],
    "choice": lambda p: jnp.where(p > 0, p, 0.0),
    "reversed": lambda p: p[::-1],
    "root": jnp.sqrt,
    "logarithm": jnp.log,
}
CASES = {
    "itself": lambda p: p,
    "half": lambda p: 0.5 * p,
    "zero": jnp.zeros_like,
    "constant": lambda p: jnp.full_like(p, 0.3),
    "sine": lambda p: jnp.sin(2 * p),
    "tanh": jnp.tanh,
    "square": jnp.square,
    "shifted": lambda p: 2 * (p - 0.2),
    "rectified": jax.nn.relu,
    "elu": lambda p: jnp.expm1(jnp.where(p > 0, 0.0, p)),
    "leaky": lambda p: jnp.where(p > 0, p, 0.1 * p),
    "absolute": jnp.abs,
}


@dataclass
class Drawn:
    """A random program `x' = update(u, x)`.

    Args:
        seed: what it was drawn from.
        names: its operations, in order.
        steps: one function of all values so far each.
        final: numbers of the two values whose mixture is the result.
    """

    seed: int
    names: list[str] = field(default_factory=list)
    steps: list[Callable] = field(default_factory=list)
    final: tuple[int, int] = (0, 0)

    def values(self, u, x):
        """All values on the way, the result last."""
        found = [x, x * 0.5 + u]
        for step in self.steps:
            found.append(step(found))
        one, other = (found[k] for k in self.final)
        return [*found, one if one is other else one + 0.5 * other]

    def __call__(self, u, x):
        """The new state."""
        return self.values(u, x)[-1]


def random_program(seed: int) -> Drawn:
    """The program of a seed: two to nine operations."""
    generator = np.random.default_rng(seed)
    program = Drawn(seed)
    common = [name for name in UNARY if name not in RARE]
    for count in range(2, 2 + int(generator.integers(2, 10))):
        kind = generator.choice(["unary", "rare", "binary", "choice"], p=[0.5, 0.03, 0.25, 0.22])
        first, second = (_recent(generator, count) for _ in range(2))
        if kind in ("unary", "rare"):
            name = str(generator.choice(common if kind == "unary" else RARE))
            program.steps.append(lambda found, f=UNARY[name], k=first: f(found[k]))
        elif kind == "binary":
            name = str(generator.choice(list(BINARY)))
            program.steps.append(lambda found, f=BINARY[name], k=first, m=second: f(found[k], found[m]))
        else:
            name, step = _choice(generator, first, second)
            program.steps.append(step)
        program.names.append(name)
    last = len(program.steps) + 1
    program.final = (last, last if generator.uniform() < 0.7 else int(generator.integers(0, last)))
    return program


def _recent(generator, count):
    """The number of a value, rather a late one."""
    return int(count - 1 - min(generator.geometric(0.5) - 1, count - 1))


def _choice(generator, first, second):
    """A choice by some gap of one value between cases of it, or of another value."""
    gap, yes, no = (str(generator.choice(list(table))) for table in (GAPS, CASES, CASES))
    compare = COMPARISONS[generator.integers(len(COMPARISONS) if generator.uniform() < 0.2 else 4)]
    other = second if generator.uniform() < 0.2 else first
    level = generator.choice([0.0, 0.0, 0.0, 0.2])

    def step(found):
        p, q = found[first], found[other]
        return jnp.where(compare(GAPS[gap](p), level), CASES[yes](p), CASES[no](q))

    return f"{compare.__name__} {gap} ? {yes} : {no}", step


def random_box(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper ends of states and the input; some begin, end or lie around a switch."""
    generator = np.random.default_rng(seed + 10**9)
    half = 10.0 ** generator.uniform(-3, 0.2, STATES + 1)
    middle = generator.uniform(-1.5, 1.5, STATES + 1)
    special = generator.choice([0.0, 0.2, -0.4, 1.0], STATES + 1)
    way = generator.integers(0, 5, STATES + 1)
    middle = np.select([way == 0, way == 1, way == 2], [special, special + half, special - half], middle)
    return middle - half, middle + half


@dataclass(frozen=True)
class Outcome:
    """What an attack on one program found.

    Args:
        claimed: numbers that were claimed to be finite: of values, and of slopes.
        violations: what did not hold, in words.
    """

    claimed: tuple[int, int]
    violations: tuple[str, ...]


def attack(update, low, high, seed=0) -> Outcome:
    """Everything that the bounds of one step claim over a box, against samples.

    Args:
        update: x' = update(u, x), with `values` for the sizes on the way, or any other function.
        low: lower ends of the states and of the input.
        high: upper ends.
        seed: of the samples.
    """
    with jax.enable_x64(True), by_numpy():
        cell = Written(update, STATES)
        try:
            claim = step_bounds(cell, Box(low, high, STATES))
        except UnsupportedError:
            return Outcome((0, 0), ())
        samples = _Samples(update)
        generator = np.random.default_rng(seed)
        found = _values(samples, claim, low, high, generator)
        found += _slopes(samples, claim, low, high, generator)
        found += _pairs(samples, claim, low, high, generator)
        finite = np.isfinite([*claim.image]).all(axis=0), np.isfinite([*claim.jacobian]).all(axis=0)
        return Outcome((int(finite[0].sum()), int(finite[1].sum())), tuple(found))


class _Samples:
    """A program at many points, with the size of the largest number on the way."""

    def __init__(self, update):
        values = getattr(update, "values", lambda u, x: [update(u, x)])
        step = jax.vmap(lambda point: values(point[STATES:], point[:STATES]))
        self.program = jax.make_jaxpr(step)(np.zeros((_BATCH, STATES + 1)))

    def __call__(self, points):
        found = self._values(points)
        size = np.nan_to_num(np.abs(found)).max(axis=(0, -1))
        return found[-1].reshape(*points.shape[:-1], STATES), size.reshape(points.shape[:-1])

    def after(self, points):
        """The new states alone."""
        return self._values(points)[-1].reshape(*points.shape[:-1], STATES)

    def _values(self, points):
        """All values on the way, shape (values, points, states)."""
        flat = points.reshape(-1, STATES + 1)
        parts = [self._evaluated(flat[start : start + _BATCH]) for start in range(0, len(flat), _BATCH)]
        return np.concatenate(parts, axis=1)

    def _evaluated(self, points):
        padded = np.concatenate([points, np.repeat(points[:1], _BATCH - len(points), axis=0)])
        found = evaluated(self.program.jaxpr, self.program.consts, padded)
        return np.stack(found)[:, : len(points)]


def _drawn(low, high, generator, *shape):
    shares = generator.uniform(0, 1, (*shape, len(low)))
    shares[::3] = np.round(shares[::3])
    return np.clip(low + shares * (high - low), low, high)


def _values(samples, claim, low, high, generator):
    after, size = samples(_drawn(low, high, generator, 256))
    allowed = 1e-12 * (1 + size.max())
    image = [np.asarray(end) for end in claim.image]
    outside = (after < image[0] - allowed) | (after > image[1] + allowed) | np.isnan(after)
    wrong = outside.any(axis=0) & np.isfinite(image).all(axis=0)
    return [f"value {k} leaves [{image[0][k]}, {image[1][k]}]" for k in np.flatnonzero(wrong)]


def _slopes(samples, claim, low, high, generator):
    """Differences along each axis between neighbours, and across what bisection finds steepest."""
    axes = np.repeat(np.arange(len(low)), _LINES)
    starts = _drawn(low, high, generator, len(axes))
    places = np.sort(generator.uniform(0, 1, (len(axes), _POINTS)), axis=1)
    places[:, 0], places[:, -1] = 0, 1
    lows, highs = low[axes, None], high[axes, None]
    along = np.clip(lows + places * (highs - lows), lows, highs)
    after, size = samples(_on_axis(starts, axes, along))
    found = _outside_slopes(claim, axes, along[:, :-1], along[:, 1:], after, size)
    rise = (
        np.abs(np.nan_to_num(np.diff(after, axis=1))) / np.maximum(np.diff(along, axis=1), 1e-300)[..., None]
    )
    steepest = rise.argmax(axis=1).T  # (outputs, lines)
    rows = np.arange(len(axes))
    left = np.stack([along[rows, place] for place in steepest], axis=1)
    right = np.stack([along[rows, place + 1] for place in steepest], axis=1)
    return found + _across_switches(samples, claim, (starts, axes), left, right)


def _across_switches(samples, claim, lines, left, right):
    """Halve (lines, outputs) intervals, always keeping the half with the larger difference of its output."""
    starts, axes = lines
    outputs = np.arange(STATES)
    for _ in range(_HALVINGS):
        middle = (left + right) / 2
        after = samples.after(
            _on_axis(starts, axes, np.stack([left, middle, right], axis=-1).reshape(len(axes), -1))
        )
        own = np.nan_to_num(
            after.reshape(len(axes), STATES, 3, STATES)[:, outputs, :, outputs].swapaxes(0, 1)
        )
        first = np.abs(own[..., 1] - own[..., 0]) > np.abs(own[..., 2] - own[..., 1])
        near = right - left > 2e-6
        left = np.where(near & ~first, middle, left)
        right = np.where(near & first, middle, right)
    ends = np.stack([left, right], axis=-1).reshape(len(axes), -1)
    after, size = samples(_on_axis(starts, axes, ends))
    found = []
    for pair in range(STATES):
        cut = slice(2 * pair, 2 * pair + 2)
        found += _outside_slopes(
            claim, axes, left[:, pair : pair + 1], right[:, pair : pair + 1], after[:, cut], size[:, cut]
        )
    return found


def _on_axis(starts, axes, along):
    points = np.repeat(starts[:, None], along.shape[1], axis=1)
    points[np.arange(len(axes)), :, axes] = along
    return points


def _outside_slopes(claim, axes, before, behind, after, size):
    """Which outputs change faster, or slower, between neighbours than is claimed."""
    step = behind - before
    change = np.diff(after, axis=1)
    noise = 1e-13 * (1 + np.maximum(size[:, 1:], size[:, :-1]))[..., None]
    low, high = (np.asarray(end)[:, axes].T[:, None] for end in claim.jacobian)
    with np.errstate(invalid="ignore", over="ignore"):
        slack = noise + 1e-9 * np.abs(change)
        outside = (
            (change < low * step[..., None] - slack)
            | (change > high * step[..., None] + slack)
            | np.isnan(change)
        )
    defined = np.isfinite([*claim.image]).all(axis=0)  # of what is not defined everywhere nothing is claimed
    wrong = outside & np.isfinite(low) & np.isfinite(high) & (step[..., None] > 0) & defined
    return [
        f"output {k} along axis {axes[line]} between {before[line, m]} and {behind[line, m]} changes by "
        f"{change[line, m, k]}, claimed slopes [{low[line, 0, k]}, {high[line, 0, k]}]"
        for line, m, k in np.argwhere(wrong)[:3]
    ]


def _pairs(samples, claim, low, high, generator):
    """|dx'_i| <= r_i(w) max |dx_j| / w_j + g_i max |du|, for pairs that are near and far."""
    weights = generator.uniform(0.1, 1, STATES)
    one, other = _drawn(low, high, generator, 2, 128)
    near = 10.0 ** generator.uniform(-6, 0, (128, 1))
    other = np.clip(one + near * (other - one), low, high)
    (first, second), (size, larger) = samples(np.stack([one, other]))
    apart = np.abs(one - other)
    rows, inputs = np.asarray(claim.row_sums(weights)), np.asarray(claim.input_sums())
    with np.errstate(invalid="ignore"):
        allowed = (
            rows * (apart[:, :STATES] / weights).max(axis=1)[:, None]
            + inputs * apart[:, STATES:].max(axis=1)[:, None]
        )
        slack = 1e-12 * (1 + np.maximum(size, larger))[:, None] + 1e-9 * np.abs(allowed)
        wrong = ~(np.abs(first - second) <= allowed + slack)
    wrong = wrong.any(axis=0) & np.isfinite([*claim.image, rows, inputs]).all(axis=0)
    return [f"row {k} is claimed to sum to {rows[k]} and {inputs[k]}" for k in np.flatnonzero(wrong)]


def attack_seed(seed: int) -> Outcome:
    """The attack on the program and the box of a seed."""
    program = random_program(seed)
    outcome = attack(program, *random_box(seed), seed)
    named = tuple(f"seed {seed} ({'; '.join(program.names)}): {one}" for one in outcome.violations)
    return Outcome(outcome.claimed, named)


def attacked(first: int, count: int, *faults: str) -> dict:
    """What the attacks on the programs of some seeds find, after some rules were broken."""
    for fault in faults:
        FAULTS[fault]()
    outcomes = [attack_seed(seed) for seed in range(first, first + count)]
    claimed = [sum(one.claimed[k] for one in outcomes) for k in (0, 1)]
    return {"claimed": claimed, "violations": [text for one in outcomes for text in one.violations]}


def main() -> None:
    """Attack the programs of some seeds, `attack.py FIRST COUNT`, and print what was found as a line of JSON.

    A third argument breaks a rule first, to show that the attack would find it. More such attacks may follow
    behind a comma, `attack.py FIRST COUNT , FIRST COUNT FAULT`; what was broken stays broken.
    """
    gc.set_threshold(200_000, 50, 1000)  # looking for garbage again and again takes time
    for words in " ".join(sys.argv[1:]).split(" , "):
        first, count, *faults = words.split(" ", 2)
        sys.stdout.write(json.dumps(attacked(int(first), int(count), *faults)) + "\n")


def _flat_steps():
    functions = interval.SCALAR
    functions["floor"] = functions["floor"]._replace(slope=lambda p: type(p)(0 * p.low, 0 * p.low))


FAULTS = {
    "sine is zero only at zero": lambda: PRIMITIVES._entries.update(
        sin=replace(PRIMITIVES["sin"], zeros=ZeroRule.BOTH)
    ),
    "casts are nothing": lambda: setattr(cell_bounds, "_refuse_narrow", lambda equation, operands: None),
    "steps are flat": _flat_steps,
}
"""Faults that were once there, or might be."""

if __name__ == "__main__":
    main()
