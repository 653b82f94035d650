"""The digest of an equation changes with the equation, and with nothing else."""

import subprocess
import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor.cells import FAMILIES, GRU, Cell
from attractor.program import in_double_precision
from attractor.program.digest import cell_digest, cell_identity, equation_digest

X = jnp.zeros(3)


def digest(function, *arguments):
    return equation_digest(function, *(arguments or (X, X)))


def step(u, x):
    return 0.5 * x + jnp.tanh(u)


SAME = {
    "names and order of lines": lambda first, second: jnp.add(
        *(lambda b, a: (a, b))(jnp.tanh(first), 0.5 * second)
    ),
    "a jitted function inside": lambda u, x: 0.5 * x + jax.jit(jnp.tanh)(u),
    "a line that nobody uses": lambda u, x: (jnp.sin(u), step(u, x))[1],
    "a stopped gradient": lambda u, x: 0.5 * jax.lax.stop_gradient(x) + jnp.tanh(u),
}
OTHER = {
    "another function": lambda u, x: 0.5 * x + jnp.sin(u),
    "another number": lambda u, x: 0.50001 * x + jnp.tanh(u),
    "arguments swapped": lambda u, x: 0.5 * u + jnp.tanh(x),
    "inputs reordered": lambda u, x: 0.5 * x + jnp.tanh(u[::-1]),
    "an array of constants": lambda u, x: jnp.array([0.5, 0.5, 0.4]) * x + jnp.tanh(u),
    "operands swapped": lambda u, x: jnp.tanh(u) - 0.5 * x,
    "a loop": lambda u, x: jax.lax.fori_loop(0, 2, lambda _, s: 0.5 * s + jnp.tanh(u), x),
    "half precision inside": lambda u, x: 0.5 * x + jnp.tanh(u.astype(jnp.float16)).astype(jnp.float32),
}


@pytest.mark.parametrize("name", SAME)
def test_what_computes_the_same_has_the_same_digest(name):
    assert digest(SAME[name]) == digest(step)


@pytest.mark.parametrize("name", OTHER)
def test_another_equation_has_another_digest(name):
    assert digest(OTHER[name]) != digest(step)


def test_equations_inside_a_loop_count():
    def looped(inside):
        return lambda u, x: jax.lax.while_loop(lambda s: s.sum() < 1, inside, x) + u

    digests = {digest(looped(inside)) for inside in (jnp.tanh, jnp.sin, lambda s: s + 1, lambda s: s + 2)}
    assert len(digests) == 4


def test_shapes_and_types_count_values_of_arrays_do_not():
    assert digest(step, X, X) == digest(step, X + 1, X - 1)
    assert digest(step, X, X) != digest(step, X, jnp.zeros(()))
    assert digest(step, X, X) != digest(step, X.astype(jnp.int32), X)


class Mixed(Cell):
    """A cell with a number, a NumPy array and a weight."""

    weight: jax.Array
    gain: float
    mask: np.ndarray
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __call__(self, input, state, *, key=None):
        return self.gain * state + self.mask * jnp.tanh(self.weight * input)


def mixed(weight=1.0, gain=0.5, mask=(1.0, 0.0)):
    return Mixed(jnp.full(2, weight), gain, np.array(mask, np.float32), 2, 2)


def test_weights_do_not_count_constants_of_a_cell_do():
    assert cell_digest(mixed()) == cell_digest(mixed(weight=3.0))
    assert cell_digest(mixed()) != cell_digest(mixed(gain=0.6))
    assert cell_digest(mixed()) != cell_digest(mixed(mask=(1.0, 0.5)))


def test_where_a_cell_starts_and_what_it_shows_counts():
    class Shifted(Mixed):
        def initial_state(self):
            return jnp.ones(2)

    class Shown(Mixed):
        def exposed(self, state):
            return 2 * state

    values = vars(mixed())
    digests = {cell_digest(one) for one in (mixed(), Shifted(**values), Shown(**values))}
    assert len(digests) == 3


@pytest.mark.parametrize("name", ["gru", "lstm", "nnarx", "mgrn"])
def test_the_digest_does_not_hang_on_the_weights_or_the_precision_of_the_process(name):
    cell, other = (FAMILIES[name](2, 4, key=jax.random.key(seed)) for seed in (0, 1))
    with jax.enable_x64(True):
        wide = cell_digest(cell)
    assert cell_digest(cell) == cell_digest(other) == wide


def test_a_cell_is_itself_in_any_precision_and_another_with_other_numbers():
    cell, other = (GRU(2, 4, key=jax.random.key(seed)) for seed in (0, 1))
    with jax.enable_x64(True):
        wide = cell_identity(in_double_precision(cell))
    assert cell_identity(cell) == wide != cell_identity(other)
    assert len({cell_identity(one) for one in (mixed(), mixed(weight=3.0), mixed(gain=0.6))}) == 3


@jax.custom_vjp
def halved(x):
    return 0.5 * x


halved.defvjp(lambda x: (halved(x), None), lambda _, slope: (0.5 * slope,))


def unusual(u, x):
    """Derivatives of one's own, callbacks, gathers, random numbers, loops, solvers, products."""
    asked = jax.pure_callback(np.tanh, jax.ShapeDtypeStruct((3,), jnp.float32), u)
    kept = jax.lax.while_loop(lambda s: s.sum() < 1, lambda s: jax.nn.relu(s) + 0.5, x)
    drawn = jax.random.normal(jax.random.key(0), (3,))
    solved = jnp.linalg.solve(jnp.eye(3) + u[:, None] * x, asked)
    return halved(kept) @ jnp.outer(u, x) + x[jnp.argsort(drawn)] + solved


IN_ANOTHER_PROCESS = """
import sys
import jax
sys.path[:0] = [{folder!r}]
{settings}
from attractor.cells import GRU
from attractor.program.digest import cell_digest
from test_digest import X, digest, unusual
print(cell_digest(GRU(2, 4, key=jax.random.key(7))), digest(unusual))
"""
SETTINGS = """
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_default_matmul_precision", "highest")
jax.config.update("jax_disable_jit", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
"""


@pytest.mark.parametrize(
    "settings",
    ["", SETTINGS],
    ids=["as it comes", "with settings of the user's"],
)
def test_another_process_finds_the_same_digests(settings):
    words = IN_ANOTHER_PROCESS.format(folder=str(Path(__file__).parent), settings=settings)
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=False)
    here = cell_digest(GRU(2, 4, key=jax.random.key(0))), digest(unusual)
    assert done.stdout.split() == list(here), done.stderr
