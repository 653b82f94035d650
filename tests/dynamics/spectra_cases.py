"""Random networks with Gaussian weights, and the Jacobian put together from its parts."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from attractor.cells import GRU, ResetAfterGRU, discretise, initial_state
from attractor.program import in_double_precision
from attractor.scan import unroll

_WEIGHTS = {GRU: ("gate_weight", "candidate_weight"), ResetAfterGRU: ("state_weight",)}


def random_cell(build, units, gains, seed=0, signs=False):
    """A cell whose square weights have entries of variance gain^2 / units, in the order of its rows.

    With signs the entries are +-gain / sqrt(units): all rows and columns then have the same energy.
    """
    cell, rng, given = build(1, units, key=jax.random.key(seed)), np.random.default_rng(seed), list(gains)
    for name in _WEIGHTS.get(build, ("state_weight",)):
        shape = getattr(cell, name).shape
        drawn = rng.choice([-1.0, 1.0], shape) if signs else rng.normal(size=shape)
        scale = np.repeat([given.pop(0) for _ in range(shape[0] // units)], units)[:, None]
        with jax.enable_x64(True):
            weight = jnp.asarray(drawn * scale / units**0.5)
        cell = eqx.tree_at(lambda cell, name=name: getattr(cell, name), cell, weight)
    return cell


def random_state(cell, seed=0, size=0.7):
    rng = np.random.default_rng(seed)
    with jax.enable_x64(True):
        return jax.tree.map(lambda leaf: size * rng.normal(size=leaf.shape), initial_state(cell))


def settled_state(cell, seed=0, steps=300):
    """Where a random state is after a while without input."""
    step = cell if callable(cell) else discretise(cell, 0.2, "heun")
    with jax.enable_x64(True):
        start = jax.tree.map(jnp.asarray, random_state(cell, seed))
        return unroll(in_double_precision(step), jnp.zeros((steps, cell.input_size)), start).last


def reassembled(maps):
    """A + B (1 - U E)^-1 U C of all units: with one kind of unit, entry (i, s) stands at row i S + s."""
    results = [(len(unit.driven), unit.driven.shape[2]) for unit in maps.units]
    vectors = [(len(unit.shown), unit.shown.shape[1]) for unit in maps.units]
    joined = np.zeros((sum(n * k for n, k in results), sum(n * k for n, k in vectors)))
    for block in maps.blocks:
        joined[np.ix_(_places(results, block.to), _places(vectors, block.origin))] += block.matrix
    parts = ("own", "driven", "shown", "passed")
    own, driven, shown, passed = (_diagonal([getattr(unit, part) for unit in maps.units]) for part in parts)
    return own + driven @ np.linalg.solve(np.eye(len(joined)) - joined @ passed, joined @ shown)


def _places(sizes, port):
    before = sum(count * width for count, width in sizes[: port.kind])
    count, width = sizes[port.kind]
    return before + port.index + width * np.arange(count)


def _diagonal(stacks):
    rows = sum(stack.shape[0] * stack.shape[1] for stack in stacks)
    whole, row, column = np.zeros((rows, sum(s.shape[0] * s.shape[2] for s in stacks))), 0, 0
    for small in (small for stack in stacks for small in stack):
        whole[row : row + small.shape[0], column : column + small.shape[1]] = small
        row, column = row + small.shape[0], column + small.shape[1]
    return whole


class Leaky(eqx.Module):
    """h' = k h + (1 - k) tanh(W [u, h, 1]) with a keep factor of its own for every unit."""

    weight: jax.Array
    decay: jax.Array
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(self, input_size, hidden_size, *, key):
        self.weight = jax.random.normal(key, (hidden_size, input_size + hidden_size + 1)) / hidden_size**0.5
        self.decay = jnp.linspace(-1.0, 3.0, hidden_size)
        self.input_size, self.hidden_size = input_size, hidden_size

    def __call__(self, input, state, *, key=None):
        keep, seen = jax.nn.sigmoid(self.decay), jnp.concatenate([input, state, jnp.ones(1)])
        return keep * state + (1 - keep) * jnp.tanh(self.weight @ seen)


class TwoLayer(eqx.Module):
    """h' = h / 2 + V tanh(W [u, h]), with a norm over the units where asked for."""

    inner: jax.Array
    outer: jax.Array
    centred: bool = eqx.field(static=True)
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(self, input_size, hidden_size, *, key, centred=False):
        self.inner = jax.random.normal(key, (2 * hidden_size, input_size + hidden_size)) / hidden_size**0.5
        self.outer = jax.random.normal(jax.random.fold_in(key, 1), (hidden_size, 2 * hidden_size))
        self.outer = self.outer / (2 * hidden_size) ** 0.5
        self.centred, self.input_size, self.hidden_size = centred, input_size, hidden_size

    def __call__(self, input, state, *, key=None):
        seen = state - state.mean() if self.centred else state
        return state / 2 + self.outer @ jnp.tanh(self.inner @ jnp.concatenate([input, seen]))


class Interleaved(eqx.Module):
    """A gated cell with rows 2i and 2i + 1 of one matrix for unit i, and a state of shape (units, 1)."""

    weight: jax.Array
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(self, input_size, hidden_size, *, key):
        self.weight = jax.random.normal(key, (2 * hidden_size, hidden_size)) / hidden_size**0.5
        self.input_size, self.hidden_size = input_size, hidden_size

    def initial_state(self):
        return jnp.zeros((self.hidden_size, 1))

    def __call__(self, input, state, *, key=None):
        both = (self.weight @ state[:, 0]).reshape(self.hidden_size, 2)
        keep, new = jax.nn.sigmoid(both[:, 0]), jnp.tanh(2 * both[:, 1] + input[0])
        return (keep * state[:, 0] + (1 - keep) * new)[:, None]
