"""Cells that the tests of this folder share, with weights drawn by NumPy: nothing is compiled for them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from attractor.cells import GRU, LSTM, NNARX, Cell, EchoState, Elman, ResetAfterGRU, Stack, initial_state


def filled(build, *sizes, seed=0, **options):
    """The cell `build(*sizes)` with normal weights of variance 1/5 in the default type of JAX."""
    rng = np.random.default_rng(seed)
    blank = eqx.filter_eval_shape(lambda: build(*sizes, key=jax.random.key(0), **options))
    return jax.tree.map(
        lambda leaf: (
            on_device(rng.normal(size=leaf.shape) * 0.45) if isinstance(leaf, jax.ShapeDtypeStruct) else leaf
        ),
        blank,
    )


CELLS = {
    "elman": lambda: filled(Elman, 2, 4),
    "gru": lambda: filled(GRU, 2, 4),
    "reset-after gru": lambda: filled(ResetAfterGRU, 2, 4),
    "lstm": lambda: filled(LSTM, 2, 4),
    "echo state": lambda: filled(EchoState, 2, 4),
    "nnarx": lambda: filled(NNARX, 2, 4, order=2),
    "stack": lambda: Stack((filled(GRU, 2, 4), filled(LSTM, 4, 4, seed=1))),
    "equinox gru": lambda: filled(eqx.nn.GRUCell, 2, 4),
    "equinox lstm": lambda: filled(eqx.nn.LSTMCell, 2, 4),
}


def signal(*shape, seed=0):
    return on_device(np.random.default_rng(seed).normal(size=shape))


def on_device(values):
    """Numbers in the default type of JAX; `jnp.asarray` would compile a program for each shape."""
    return jax.device_put(values.astype(jnp.result_type(float)))


STEP = eqx.filter_jit(lambda cell, u, state: cell(u, state))


def python_loop(cell, inputs, state=None):
    """What `unroll` has to equal: the sentence `s = cell(u, s)` for every u."""
    state = initial_state(cell) if state is None else state
    states = []
    for u in inputs:
        state = STEP(cell, u, state)
        states.append(state)
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states), state


class Jitter(Cell):
    """A leaky cell with noise on its state when it is given a key."""

    weight: jax.Array
    input_size: int = eqx.field(static=True, default=2)
    hidden_size: int = eqx.field(static=True, default=2)

    def __call__(self, input, state, *, key=None):
        noise = 0 if key is None else 0.1 * jax.random.normal(key, (2,), state.dtype)
        return 0.5 * state + jnp.tanh(self.weight @ input) + noise
