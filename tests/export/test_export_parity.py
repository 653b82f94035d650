"""Every export computes what the cell computes, for every cell."""

from importlib import import_module

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from export_cells import BUILDS, build
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from attractor.cells import cell as own_cell
from attractor.control.identification import PlantNetwork
from attractor.errors import ConfigError, UnsupportedError
from attractor.export import check_parity, flat_step, to_numpy, written_deviation
from attractor.export.c.c_step import c_compiler
from attractor.program import trace

TARGETS = ("numpy", "casadi", "onnx", *(("c",) if c_compiler() else ()))
HIGHEST = {"numpy": 1e-10, "casadi": 1e-10, "c": 1e-10, "onnx": 1e-5}  # ONNX files are in float32


QUICK = {"gru", "lstm", "unusual"}
NAMES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in BUILDS]


@pytest.mark.parametrize("name", NAMES)
def test_exports_agree_with_the_cell(name):
    found = check_parity(build(name), targets=TARGETS)
    assert {target for target in TARGETS if not found[target] < HIGHEST[target]} == set(), found


def test_the_check_can_fail(tmp_path):
    cell = build("gru")
    moved = eqx.tree_at(lambda c: c.bias, cell, cell.bias + 1e-6)
    path = to_numpy(moved, tmp_path / "step.py")
    assert 1e-8 < written_deviation(cell, "numpy", path, samples=10) < 1e-6


def test_unknown_targets_are_refused():
    with pytest.raises(ConfigError, match=r"unknown export target 'fortran'\. Known: c, casadi, numpy, onnx"):
        check_parity(build("gru"), targets=["fortran"])


def test_a_state_of_several_arrays_is_flattened_with_whole_numbers_last():
    cell = build("unusual")
    flat = flat_step(cell)
    assert flat.state_size == 6
    np.testing.assert_allclose(flat.initial, [0.1, 0.1, 0.1, 0.1, 3, 1], rtol=1e-7)


def test_a_network_brings_its_output():
    cell = build("lstm")
    network = PlantNetwork(cell, eqx.nn.Linear(4, 3, key=jax.random.key(0)), None, True)
    flat = flat_step(network)
    assert (flat.input_size, flat.state_size, flat.output_size) == (2, 8, 3)
    assert max(check_parity(network, targets=["numpy"], samples=5).values()) < 1e-10


class Turning(eqx.Module):
    """A real state and a complex weight, of which both parts matter."""

    factor: jax.Array
    input_size: int = eqx.field(static=True, default=2)

    def initial_state(self):
        return jnp.zeros(2, jnp.float32)

    def __call__(self, input, state, *, key=None):
        real, imaginary = jnp.real(self.factor), jnp.imag(self.factor)
        return jnp.tanh(jnp.array([[real, -imaginary], [imaginary, real]]) @ state) + 0.1 * input


def test_a_complex_weight_is_exported_whole():
    cell = Turning(2 * jnp.exp(1.5j))
    found = check_parity(cell, targets=TARGETS)
    assert {target for target in TARGETS if not found[target] < HIGHEST[target]} == set(), found
    flat = flat_step(cell)
    step = jaxpr_as_fun(ClosedJaxpr(flat.step.jaxpr, flat.step.constants))
    given, state = jnp.array([0.1, 0.2]), jnp.array([0.3, -0.4])
    with jax.enable_x64(True):
        after = step(jnp.asarray(given, float), jnp.asarray(state, float))[0]
    np.testing.assert_allclose(after, cell(given, state), rtol=1e-5)


class Oscillators(eqx.Module):
    """A complex state, a nonlinear step of it, and a complex matrix times a real input."""

    factors: jax.Array
    input_size: int = eqx.field(static=True, default=2)

    def initial_state(self):
        return {"z": jnp.full(2, 0.5 - 0.2j, jnp.complex64)}

    def exposed(self, state):
        return jnp.abs(state["z"])

    def __call__(self, input, state, *, key=None):
        z = self.factors * state["z"] + input[1] + self.factors[:, None] @ input[:1]
        return {"z": z / (1 + jnp.abs(z) ** 2) + 0.1 * jnp.conj(z) ** 2 * jnp.exp(0.1j * input[0])}


def test_a_complex_state_is_exported_as_real_and_imaginary_parts():
    cell = Oscillators(jnp.array([0.5 + 0.7j, -0.9j]))
    np.testing.assert_allclose(flat_step(cell).initial, [0.5, 0.5, -0.2, -0.2], rtol=1e-6)
    found = check_parity(cell, targets=TARGETS)
    assert {target for target in TARGETS if not found[target] < HIGHEST[target]} == set(), found


def test_parity_with_a_copy_that_is_no_longer_the_cell_is_seen(monkeypatch):
    """Also where all exports start from one copy and that has lost something."""

    def real_only(module, dtype):
        return jax.tree.map(
            lambda leaf: jnp.real(leaf).astype(dtype) if eqx.is_inexact_array(leaf) else leaf, module
        )

    exact = import_module("attractor.export.flat_step")
    monkeypatch.setattr(exact, "in_double_precision", lambda one: real_only(one, float))
    monkeypatch.setattr(import_module("attractor.export.exporters"), "in_precision", real_only)
    assert check_parity(Turning(2 * jnp.exp(1.5j)), targets=["numpy"], samples=20)["numpy"] > 0.1


def test_what_is_no_cell_is_refused():
    with pytest.raises(ConfigError, match="cannot export function"):
        flat_step(lambda given, state: state)


def test_an_index_that_depends_on_values_is_refused_with_its_place():
    source = own_cell(lambda u, x: x[jnp.argmin(jnp.array([1.0, 0.0])) + (u[0] > 0)] * x, 1, jnp.zeros(3))
    with pytest.raises(
        UnsupportedError, match=r"index that depends on values.*test_export_parity|test_export_parity.*index"
    ):
        check_parity(source, targets=["numpy"])


def test_a_primitive_without_a_rule_is_named_with_its_place():
    source = own_cell(lambda u, x: jnp.fft.fft(x).real + u[0], 1, jnp.zeros(4))
    for target in ("numpy", "casadi", "onnx", "c"):
        with pytest.raises(UnsupportedError, match=r"('fft'|complex).*test_export_parity\.py"):
            check_parity(source, targets=[target], samples=2)


OPERATIONS = {
    "smooth": lambda u, x: (
        jnp
        .concatenate([
            jnp.exp(x) + jnp.log(2 + x) + jnp.log1p(0.5 * x) + jnp.expm1(x) + jnp.sqrt(2 + x),
            jax.lax.rsqrt(2 + x) + jnp.sin(x) * jnp.cos(x) + (2 + x) ** u[0] + x**3 + (2 + x) ** -2,
            jax.scipy.special.erf(x) + jnp.square(x) + jnp.arctan(x) + jax.nn.sigmoid(-x) + jnp.tan(x),
            jnp.sinh(x) - jnp.cosh(x) + jnp.arcsinh(x) + jnp.arcsin(0.5 * x) + jnp.exp2(x),
        ])
        .reshape(4, 4)
        .sum(0)
    ),
    "rough": lambda u, x: (
        jnp.sign(x)
        + jnp.abs(x)
        + jnp.floor(3 * x)
        + jnp.ceil(3 * x)
        + jnp.round(3 * x)
        + jnp.maximum(x, u[0])
        - jnp.minimum(x, u[1])
        + jnp.clip(x, -0.5, 0.5)
        + jnp.fmod(3 * x, 0.7)
        + jnp.where((x > 0) & ~(u[0] > 0) | (x <= u[1]), x, -2 * x)
        + (x != 0)
        + (x == u[0])
        + (x >= u[1])
    ),
    "whole numbers": lambda u, x: ((7 * x).astype(int) // 2 + (9 * x).astype(int) % 4) * 0.1 + (x < 0).sum(),
    "products": lambda u, x: (
        jnp.einsum(
            "bij,bj->bi", x.reshape(1, 2, 2) * jnp.ones((3, 1, 1)), jnp.outer(jnp.arange(3.0), x[:2])
        ).sum(0)[0]
        + jnp.outer(x, u) @ jnp.array([1.0, -2.0])
        + jnp.array([[0.0, 1.0, 2.0, 0.0]] * 4).T @ x * (x @ x)
    ),
    "places": lambda u, x: (
        jnp.flip(x).reshape(2, 2).T.ravel()
        + jnp.concatenate([x[:2, None], x[2:, None]], axis=1).ravel()
        + x[jnp.array([3, 0, 0, 2])]
        + jnp.pad(x, (1, 2), constant_values=0.5)[2:6]
        + jnp.concatenate([jnp.ones(2), u])
        + jnp.tile(u, 2)
        + jnp.repeat(u, 2)
        + jnp.stack([x, x])[1]
        + x.at[1:3].set(u)
        + jax.lax.dynamic_update_slice(x, u, (1,))
        + jnp.sort(jnp.array([2.0, 1.0]))[0]
    ),
    "sums": lambda u, x: (
        x.reshape(2, 2).sum(0).repeat(2)
        + x.max()
        - x.min()
        + jnp.prod(x)
        + jnp.cumsum(x)
        + jnp.cumsum(x.reshape(2, 2), axis=0).ravel()
        + jax.nn.softmax(x)
        + jax.nn.logsumexp(x)
        + jax.lax.cumsum(x, reverse=True)
        + jnp.all(x > -2)
        + jnp.any(x > 2)
        + x.mean()
        + x.std()
    ),
    "a choice that hides what is not a number": lambda u, x: jnp.where(
        x > 0, jnp.sqrt(jnp.abs(x)), -jnp.log1p(-x)
    ),
    "constants only": lambda u, x: jnp.arange(4.0),
    "a loop": lambda u, x: jax.lax.fori_loop(0, 3, lambda i, c: jnp.tanh(c + 0.1 * i * u[0]), x),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations(name):
    found = check_parity(own_cell(OPERATIONS[name], 2, jnp.zeros(4)), targets=TARGETS, samples=100)
    assert {target for target in TARGETS if not found[target] < HIGHEST[target]} == set(), found


def test_the_test_of_places_moves_entries_by_all_primitives():
    found = set(trace(OPERATIONS["places"], jnp.zeros(2), jnp.zeros(4)).primitives)
    assert {"rev", "transpose", "gather", "pad", "concatenate", "broadcast_in_dim", "scatter"} <= found
