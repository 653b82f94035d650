"""A user's strategy that stores no state and undoes the steps, with no file of the library changed."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor import Cell, unroll
from attractor.cells import HalfStep
from attractor.scan import Store

HALF, INPUTS = 3, 2


class Coupling(Cell):
    """a += tanh(A [b, u]), then b += tanh(B [a, u])."""

    weights: tuple[jax.Array, jax.Array]
    input_size: int = INPUTS
    hidden_size: int = 2 * HALF

    @property
    def half_step(self):
        first, second = self.weights
        return (
            HalfStep(0, lambda u, state: (1.0, jnp.tanh(first @ jnp.concatenate([state[1], u])))),
            HalfStep(1, lambda u, state: (1.0, jnp.tanh(second @ jnp.concatenate([state[0], u])))),
        )

    def initial_state(self):
        return jnp.zeros(HALF), jnp.zeros(HALF)

    def exposed(self, state):
        return jnp.concatenate(state)

    def __call__(self, input, state, *, key=None):
        return moved(self.half_step, input, state, lambda old, keep, more: keep * old + more)


def moved(updates, input, state, rule):
    parts = list(state)
    for part, terms in updates:
        old, parts[part] = parts[part], None
        parts[part] = rule(old, *terms(input, parts))
    return tuple(parts)


def undone(cell, input, state):
    return moved(cell.half_step[::-1], input, state, lambda new, keep, more: (new - more) / keep)


@eqx.filter_custom_vjp
def undoing(loop):
    return Store().run(loop)


@undoing.def_fwd
def _(perturbed, loop):
    found = undoing(loop)
    return found, found[0]


@undoing.def_bwd
def _(last, pulled, perturbed, loop):
    def step(fixed, u, state):
        new = fixed[0](u, state)
        return new, fixed[1](new)

    def back(carry, part):
        state, onward, total = carry
        u, pulled_now = part
        before = undone(loop.cell, u, state)
        pull = eqx.filter_vjp(step, (loop.cell, loop.read), u, before)[1]
        of_fixed, of_input, of_state = pull((onward, pulled_now))
        return (before, of_state, eqx.apply_updates(total, of_fixed)), of_input

    fixed = eqx.filter((loop.cell, loop.read), eqx.is_inexact_array)
    begin = last, pulled[0], jax.tree.map(jnp.zeros_like, fixed)
    (_, start, (cell, read)), inputs = jax.lax.scan(back, begin, (loop.inputs, pulled[1]), reverse=True)
    nothing = jax.tree.map(lambda _: None, loop)
    return dataclasses.replace(nothing, cell=cell, read=read, inputs=inputs, state=start)


class Undoing:
    def run(self, loop):
        return undoing(loop)


def made(steps):
    rng = np.random.default_rng(0)
    weights = (jnp.asarray(rng.normal(size=(HALF, HALF + INPUTS)), float) for _ in range(2))
    return Coupling(tuple(weights)), jnp.asarray(rng.normal(size=(steps, INPUTS)), float), jnp.ones(2 * HALF)


@eqx.filter_jit
@eqx.filter_value_and_grad
def loss(everything, memory):
    """Of the last state, and of a number that is read at every step by a trained read-out."""
    cell, inputs, readout = everything
    run = unroll(cell, inputs, memory=memory, read=lambda state: readout @ cell.exposed(state))
    return jnp.sum(run.states**2) + sum(jnp.sum(part) for part in run.last)


def test_gradients_of_weights_inputs_and_read_out_equal_those_of_store():
    with jax.enable_x64(True):
        (found, undone_by), (stored, kept_by) = (loss(made(50), memory) for memory in (Undoing(), "store"))
        np.testing.assert_allclose(found, stored, rtol=1e-12)
        # Undoing 50 steps rounds as often; the largest gradients are of order 1e3.
        for one, other in zip(jax.tree.leaves(undone_by), jax.tree.leaves(kept_by), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


def temporary_bytes(steps, memory):
    compiled = eqx.filter_jit(eqx.filter_grad(last_alone)).lower(*made(steps)[:2], memory).compile()
    return compiled.compiled.memory_analysis().temp_size_in_bytes


def last_alone(cell, inputs, memory):
    return sum(jnp.sum(part) for part in unroll(cell, inputs, memory=memory, read=lambda _: ()).last)


@pytest.mark.usefixtures("full_optimisation")
def test_the_memory_of_undoing_does_not_grow_with_the_sequence():
    short, long = (temporary_bytes(steps, Undoing()) for steps in (100, 1000))
    assert long <= short + 64
    assert temporary_bytes(1000, "store") > temporary_bytes(100, "store") + 900 * 2 * HALF * 4
