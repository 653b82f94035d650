"""Cells as users write them, for `benchmarks.own_cells`: right ones, odd ones, and mistakes."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import attractor
from attractor.cells import GRU, Elman, Stack, StateNoise
from attractor.training import NoisyState

KEY = jax.random.key(0)
W = 0.4 * jax.random.normal(KEY, (3, 3))
IN = jnp.array([1.0, -0.5, 0.3])


def of(step, initial=None, inputs=1, **options):
    """A function of input and state as a cell of three units."""
    return attractor.cell(step, inputs, jnp.zeros(3) if initial is None else initial, **options)


def plain(state, input):
    """What most of the cells below do beside what is odd in them."""
    return jnp.tanh(W @ state + IN * input[0])


class Base(eqx.Module):
    """Three units, one weight matrix; those below change one thing each."""

    weight: jax.Array = eqx.field(default_factory=lambda: W)
    input_size: int = eqx.field(static=True, default=1)

    def initial_state(self):
        return jnp.zeros(3)

    def __call__(self, input, state):
        return jnp.tanh(self.weight @ state + IN * input[0])


class Diagonal(eqx.Module):
    factor: jax.Array = eqx.field(default_factory=lambda: 0.9 * jnp.exp(1j * jnp.array([0.1, 0.5, 2.0])))
    into: jax.Array = eqx.field(default_factory=lambda: jnp.array([[1 + 1j], [0.5j], [-1.0 + 0j]]))
    input_size: int = eqx.field(static=True, default=1)

    def initial_state(self):
        return jnp.zeros(3, jnp.complex64)

    def exposed(self, state):
        return jnp.concatenate([state.real, state.imag])

    def __call__(self, input, state):
        return self.factor * state + self.into @ input


class ModReLU(Diagonal):
    def __call__(self, input, state):
        after = super().__call__(input, state)
        size = jnp.abs(after) + 1e-6
        return jax.nn.relu(size - 0.01) * after / size * 0.9


class ComplexWeight(Base):
    factor: jax.Array = eqx.field(default_factory=lambda: 2 * jnp.exp(jnp.asarray(1.5j)))

    def initial_state(self):
        return jnp.zeros(2)

    def __call__(self, input, state):
        re, im = self.factor.real, self.factor.imag
        return jnp.tanh(jnp.array([[re, -im], [im, re]]) @ state) + 0.1 * input[0]


class Counter(Base):
    def initial_state(self):
        return {"n": jnp.asarray(0), "x": jnp.zeros(3)}

    def exposed(self, state):
        return state["x"]

    def __call__(self, input, state):
        moved = jnp.where(state["n"] % 3 == 0, plain(state["x"], input), 0.9 * state["x"])
        return {"n": state["n"] + 1, "x": moved}


class IdleCounter(Counter):
    def __call__(self, input, state):
        return {"n": state["n"] + 1, "x": plain(state["x"], input)}


class Flag(Counter):
    def initial_state(self):
        return {"n": jnp.asarray(False), "x": jnp.zeros(3)}

    def __call__(self, input, state):
        return {"n": ~state["n"], "x": jnp.where(state["n"], 0.9, 0.5) * state["x"] + 0.1 * input[0]}


class TypedKey(Counter):
    def initial_state(self):
        return {"n": jax.random.key(3), "x": jnp.zeros(3)}

    def __call__(self, input, state):
        new, used = jax.random.split(state["n"])
        return {"n": new, "x": plain(state["x"], input) + 0.01 * jax.random.normal(used, 3)}


class RawKey(TypedKey):
    def initial_state(self):
        return {"n": jax.random.PRNGKey(3), "x": jnp.zeros(3)}


class IdleKey(TypedKey):
    def __call__(self, input, state):
        return {"n": state["n"], "x": plain(state["x"], input)}


class Index(Counter):
    table: jax.Array = eqx.field(default_factory=lambda: jnp.array([0.9, 0.5, -0.3]))

    def __call__(self, input, state):
        return {"n": (state["n"] + 1) % 3, "x": self.table[state["n"]] * state["x"] + 0.1 * input[0]}


class KeywordOnly(Base):
    def __call__(self, *, input, state):
        return plain(state, input)


class NeedsKey(Base):
    def __call__(self, input, state, key):
        return plain(state, input) + 0.01 * jax.random.normal(key, 3)


class OptionalKey(Base):
    def __call__(self, input, state, *, key=None):
        noise = 0.0 if key is None else 0.01 * jax.random.normal(key, 3)
        return super().__call__(input, state) + noise


class StaticNumber(Base):
    leak: float = eqx.field(static=True, default=0.7)

    def __call__(self, input, state):
        return self.leak * super().__call__(input, state)


class PythonFloat(Base):
    leak: float = 0.7

    def __call__(self, input, state):
        return self.leak * super().__call__(input, state)


class NumpyField(Base):
    mask: np.ndarray = eqx.field(default_factory=lambda: np.tri(3, dtype=np.float32))

    def __call__(self, input, state):
        return super().__call__(input, self.mask @ state)


class ConstantMask(NumpyField):
    mask: attractor.cells.Constant = eqx.field(default_factory=lambda: attractor.constant(np.tri(3)))


class IntegerWeights(Base):
    signs: jax.Array = eqx.field(default_factory=lambda: jnp.array([1, -1, 1]))

    def __call__(self, input, state):
        return 0.5 * self.signs * super().__call__(input, state)


class NoneField(Base):
    bias: jax.Array | None = None


class NoInputSize(eqx.Module):
    def initial_state(self):
        return jnp.zeros(3)

    def __call__(self, input, state):
        return plain(state, input)


class NumpyStart(Base):
    def initial_state(self):
        return np.zeros(3, np.float32)


class WideStart(Base):
    def initial_state(self):
        return np.zeros(3)


class Matrix(Base):
    def initial_state(self):
        return jnp.zeros((2, 3))

    def exposed(self, state):
        return state.ravel()

    def __call__(self, input, state):
        return jnp.tanh(state @ self.weight + input[0])


class WithPerceptron(Base):
    inner: eqx.nn.MLP = eqx.field(default_factory=lambda: eqx.nn.MLP(4, 3, 5, 1, jnp.tanh, key=KEY))

    def __call__(self, input, state):
        return 0.5 * self.inner(jnp.concatenate([input, state]))


class WithLayerNorm(Base):
    norm: eqx.nn.LayerNorm = eqx.field(default_factory=lambda: eqx.nn.LayerNorm(3))

    def __call__(self, input, state):
        return jnp.tanh(0.3 * self.norm(self.weight @ state + IN * input[0]))


class Sized(Base):
    def __init__(self, input_size, hidden_size, gain, *, key):
        self.weight = gain * jax.random.normal(key, (3, 3))
        self.input_size = input_size


GLOBAL = {"gain": 0.6}


@jax.custom_jvp
def clipped(x):
    return jnp.clip(x, -1, 1)


@clipped.defjvp
def _clipped_jvp(primals, tangents):
    return clipped(*primals), tangents[0]


def called_back(u, x):
    return jax.pure_callback(lambda v: np.tanh(0.5 * v), jax.ShapeDtypeStruct(x.shape, x.dtype), x) + u[0]


def printing(u, x):
    jax.debug.callback(lambda _: None, x)
    return plain(x, u)


def looped(u, x):
    return jax.lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, 0.9 * jnp.tanh(c[1])), (0, x + u[0]))[
        1
    ]


def scanned(u, x):
    return jax.lax.scan(lambda c, w: (jnp.tanh(0.3 * w * c + u[0]), None), x, jnp.arange(3.0))[0]


def closure(gain=0.5):
    return lambda u, x: gain * plain(x, u)


def nested(u, x):
    a, (b, c) = x["a"], x["b"]
    return {"a": jnp.tanh(0.5 * b + u[0]), "b": (0.4 * a, 0.9 * c + 0.1 * a.sum())}


PAIR = {"a": jnp.zeros(2), "b": (jnp.zeros(2), jnp.zeros(()))}

CELLS = {
    "complex diagonal recurrence": Diagonal,
    "complex modReLU": ModReLU,
    "complex weight, real state": ComplexWeight,
    "counter that decides": Counter,
    "counter that does not": IdleCounter,
    "flag": Flag,
    "typed key drawn from": TypedKey,
    "raw key drawn from": RawKey,
    "typed key at rest": IdleKey,
    "index into a table": Index,
    "keyword-only arguments": KeywordOnly,
    "key is needed": NeedsKey,
    "key is optional": OptionalKey,
    "no key": Base,
    "static number": StaticNumber,
    "Python float": PythonFloat,
    "NumPy mask": NumpyField,
    "constant mask": ConstantMask,
    "whole weights": IntegerWeights,
    "field None": NoneField,
    "no input_size": NoInputSize,
    "NumPy start": NumpyStart,
    "NumPy start in float64": WideStart,
    "2-D state": Matrix,
    "perceptron inside": WithPerceptron,
    "LayerNorm": WithLayerNorm,
    "partial": lambda: partial(Sized, gain=0.3),
    "global": lambda: of(lambda u, x: GLOBAL["gain"] * plain(x, u)),
    "closure": lambda: of(closure()),
    "weights in a function": lambda: of(lambda w, u, x: jnp.tanh(w["a"] @ x + u[0]), weights={"a": W}),
    "nested state": lambda: of(nested, PAIR, exposed=lambda s: s["a"]),
    "nested state, nothing shown": lambda: of(nested, PAIR),
    "scalar state": lambda: of(
        lambda u, x: 0.9 * jnp.tanh(x) + u[0], jnp.zeros(()), exposed=lambda s: s[None]
    ),
    "no inputs": lambda: of(lambda u, x: jnp.tanh(1.5 * W @ x) + 0.1, inputs=0),
    "three inputs": lambda: of(lambda u, x: jnp.tanh(W @ x + u), inputs=3),
    "float16 inside": lambda: of(lambda u, x: plain(x, u).astype(jnp.float16).astype(x.dtype)),
    "bfloat16 inside": lambda: of(lambda u, x: 0.9 * plain(x.astype(jnp.bfloat16).astype(x.dtype), u)),
    "float32 inside": lambda: of(lambda u, x: plain(x.astype(jnp.float32), u).astype(x.dtype)),
    "where": lambda: of(lambda u, x: jnp.where(x > 0.1, 0.5 * x, 0.8 * x) + 0.1 * u[0]),
    "select": lambda: of(lambda u, x: jnp.select([x > 0.5, x < -0.5], [0.1 * x, 0.2 * x], 0.9 * x) + u[0]),
    "argmax": lambda: of(lambda u, x: 0.5 * x + 0.1 * jax.nn.one_hot(jnp.argmax(x), 3) + u[0]),
    "sort": lambda: of(lambda u, x: jnp.sort(plain(x, u))),
    "cumsum": lambda: of(lambda u, x: 0.3 * jnp.cumsum(plain(x, u))),
    "convolution": lambda: of(lambda u, x: 0.3 * jnp.convolve(plain(x, u), jnp.ones(3), mode="same")),
    "solve": lambda: of(lambda u, x: jnp.linalg.solve(2 * jnp.eye(3) + W, jnp.tanh(x) + u[0])),
    "fft": lambda: of(lambda u, x: jnp.fft.irfft(0.5 * jnp.fft.rfft(jnp.tanh(x)), 3) + u[0]),
    "while": lambda: of(looped),
    "cond": lambda: of(lambda u, x: jax.lax.cond(u[0] > 0, lambda: 0.5 * x + u[0], lambda: 0.7 * x)),
    "fori": lambda: of(lambda u, x: jax.lax.fori_loop(0, 3, lambda i, c: 0.8 * jnp.tanh(c), x + u[0])),
    "scan": lambda: of(scanned),
    "softmax": lambda: of(lambda u, x: jax.nn.softmax(2 * x + u[0] * IN)),
    "norm": lambda: of(lambda u, x: x / (1 + jnp.linalg.norm(x + 0.1)) + 0.1 * u[0]),
    "stop_gradient": lambda: of(lambda u, x: 0.5 * x + jax.lax.stop_gradient(0.6 * x) + 0.1 * u[0]),
    "custom_jvp": lambda: of(lambda u, x: 0.9 * clipped(x + u[0])),
    "gradient inside": lambda: of(lambda u, x: x - 0.1 * jax.grad(lambda v: jnp.sum(v**2 - u[0] * v))(x)),
    "pure_callback": lambda: of(called_back),
    "callback for a print": lambda: of(printing),
    "NaN in a weight": lambda: Base(W.at[0, 0].set(jnp.nan)),
    "state and output": lambda: of(lambda u, x: (x, x)),
    "fewer leaves": lambda: of(lambda u, x: (x[0],), (jnp.zeros(1), jnp.zeros(1)), exposed=lambda s: s[0]),
    "other shape": lambda: of(lambda u, x: x[:2]),
    "other type": lambda: of(lambda u, x: jnp.round(x).astype(int)),
    "complex from real": lambda: of(lambda u, x: x * 0.5j),
    "equinox GRU": lambda: eqx.nn.GRUCell(1, 3, key=KEY),
    "equinox LSTM": lambda: eqx.nn.LSTMCell(1, 3, key=KEY),
    "stack": lambda: Stack((GRU(1, 3, key=KEY), Elman(3, 2, key=KEY))),
    "stack of own": lambda: Stack((
        Base(),
        attractor.cell(lambda u, x: 0.5 * jnp.tanh(x + u), 3, jnp.zeros(3)),
    )),
    "noise around": lambda: NoisyState(Base(), StateNoise(additive=0.05)),
    "noise around a counter": lambda: NoisyState(Counter(), StateNoise(additive=0.05)),
}
"""By what is odd in each. What a class needs to be built stands in its fields."""
