"""Weights that come from torch, and go back, compute what torch computes."""

import contextlib
import pathlib

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from attractor.cells import GRU, LSTM, NNARX, Elman, ResetAfterGRU, Stack, exposed
from attractor.errors import ConfigError, InputDataError, StorageError, UnsupportedError
from attractor.export import from_torch_state, load_torch, save_torch, to_torch_state
from attractor.program import single_precision
from attractor.scan import unroll

GOLDEN = load_file(pathlib.Path(__file__).with_name("golden_torch.safetensors"))
CASES = sorted({name.split("/")[0] for name in GOLDEN})
KINDS = {"rnn": Elman, "gru": ResetAfterGRU, "lstm": LSTM}
TOLERANCE = {"float32": 1e-6, "float64": 1e-12}
CELLS = {
    "elman": lambda key: Elman(3, 5, key=key),
    "gru": lambda key: ResetAfterGRU(3, 5, key=key),
    "lstm": lambda key: LSTM(3, 5, key=key),
    "equinox gru": lambda key: eqx.nn.GRUCell(3, 5, key=key),
    "equinox lstm": lambda key: eqx.nn.LSTMCell(3, 5, key=key),
    "equinox gru without bias": lambda key: eqx.nn.GRUCell(3, 5, use_bias=False, key=key),
    "two grus": lambda key: Stack((ResetAfterGRU(3, 5, key=key), ResetAfterGRU(5, 5, key=key))),
    "a stack in a stack": lambda key: Stack((Stack((LSTM(3, 5, key=key),)), LSTM(5, 5, key=key))),
}


def state_of(case):
    prefix = f"{case}/state/"
    return {name.removeprefix(prefix): array for name, array in GOLDEN.items() if name.startswith(prefix)}


def precision(dtype):
    return jax.enable_x64(True) if str(dtype) == "float64" else contextlib.nullcontext()


def seen(cell, inputs):
    return jax.vmap(lambda state: exposed(cell, state))(unroll(cell, jnp.asarray(inputs)).states)


def gru_state(**changes):
    return {
        name: array for name, array in (state_of("gru-2-bias-float32") | changes).items() if array is not None
    }


def test_the_golden_file_has_every_kind_depth_bias_and_precision():
    assert len(CASES) == 3 * 2 * 2 * 2
    assert sum(array.nbytes for array in GOLDEN.values()) < 200_000


@pytest.mark.parametrize("case", CASES)
def test_imported_weights_compute_what_torch_computed(case):
    kind, layers, _, dtype = case.split("-")
    with precision(dtype):
        cell = from_torch_state(state_of(case))
        first = cell.cells[0] if layers == "2" else cell
        assert type(first) is KINDS[kind]
        result = seen(cell, GOLDEN[f"{case}/inputs"])
        assert result.dtype == dtype
        np.testing.assert_allclose(result, GOLDEN[f"{case}/outputs"], rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("case", [case for case in CASES if "-2-" in case and "64" in case])
def test_every_layer_ends_where_torchs_layer_ends(case):
    with jax.enable_x64(True):
        cell = from_torch_state(state_of(case))
        last = unroll(cell, jnp.asarray(GOLDEN[f"{case}/inputs"])).last
        ends = [exposed(layer, state) for layer, state in zip(cell.cells, last, strict=True)]
        np.testing.assert_allclose(ends, GOLDEN[f"{case}/last"], rtol=0, atol=1e-12)


def test_the_recurrent_bias_of_the_candidate_stays_inside_the_reset():
    state = state_of("gru-1-bias-float32")
    cell = from_torch_state(state)
    np.testing.assert_array_equal(cell.candidate_bias, state["bias_hh_l0"][10:])
    np.testing.assert_array_equal(cell.bias[10:], state["bias_ih_l0"][10:])
    np.testing.assert_array_equal(cell.bias[:10], (state["bias_ih_l0"] + state["bias_hh_l0"])[:10])


@pytest.mark.parametrize("case", ["rnn-1-plain-float32", "gru-1-plain-float32", "lstm-1-plain-float32"])
def test_a_module_without_biases_gets_zeros(case):
    cell = from_torch_state(state_of(case))
    assert not np.any(cell.bias)
    assert not np.any(getattr(cell, "candidate_bias", 0))


@pytest.mark.parametrize("name", CELLS)
def test_export_and_import_keep_the_function(name):
    cell = CELLS[name](jax.random.key(7))
    inputs = jax.random.normal(jax.random.key(1), (7, 3))
    again = from_torch_state(to_torch_state(cell))
    np.testing.assert_allclose(seen(again, inputs), seen(cell, inputs), rtol=0, atol=1e-6)


@pytest.mark.parametrize("case", ["rnn-2-bias-float32", "gru-2-bias-float64", "lstm-1-bias-float64"])
def test_a_second_round_trip_changes_no_bit(case, tmp_path):
    with precision(case.split("-")[-1]):
        save_torch(from_torch_state(state_of(case)), tmp_path / "one.safetensors")
        save_torch(load_torch(tmp_path / "one.safetensors"), tmp_path / "two.safetensors")
        one, two = load_file(tmp_path / "one.safetensors"), load_file(tmp_path / "two.safetensors")
    assert one.keys() == two.keys() == state_of(case).keys()
    for entry, array in one.items():
        assert array.dtype == case.split("-")[-1]
        np.testing.assert_array_equal(array, two[entry])


def test_loaded_cell_equals_the_one_from_the_state_dict(tmp_path):
    save_file(state_of("gru-2-bias-float32"), tmp_path / "gru.safetensors")
    assert eqx.tree_equal(load_torch(tmp_path / "gru.safetensors"), from_torch_state(gru_state()))


@single_precision()
def test_float64_weights_are_not_rounded_in_silence():
    state = state_of("gru-1-bias-float64")
    with pytest.raises(ConfigError, match=r"weight_hh_l0|bias_hh_l0|weight_ih_l0|bias_ih_l0.*enable_x64"):
        from_torch_state(state)
    rounded = from_torch_state(state, dtype=np.float32)
    np.testing.assert_array_equal(rounded.state_weight, state["weight_hh_l0"].astype(np.float32))


def test_float32_weights_can_be_widened():
    with jax.enable_x64(True):
        cell = from_torch_state(gru_state(), dtype=np.float64)
        assert {leaf.dtype.name for leaf in jax.tree.leaves(cell)} == {"float64"}


def test_float32_weights_stay_float32_under_x64():
    with jax.enable_x64(True):
        cell = from_torch_state(gru_state())
        assert {leaf.dtype.name for leaf in jax.tree.leaves(cell)} == {"float32"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weight_hh_l1": None}, "missing weight_hh_l1"),
        ({"weight_ih_l0": None}, "missing weight_ih_l0"),
        ({"bias_hh_l0": None}, "missing bias_hh_l0"),
        ({"head.weight": np.zeros(3)}, "unexpected head.weight"),
        ({"weight_ih_l3": np.zeros((15, 5))}, "missing bias_hh_l2, missing bias_hh_l3"),
        ({"weight_hh_l0": np.zeros((10, 5), "f4")}, r"weight_hh_l0 has shape \(10, 5\), expected 1, 3 or 4"),
        ({"weight_hh_l0": np.zeros((0, 0), "f4")}, r"weight_hh_l0 has shape \(0, 0\)"),
        ({"weight_hh_l0": np.zeros(15, "f4")}, r"weight_hh_l0 has shape \(15,\), expected \('any', 'any'\)"),
        (
            {"weight_ih_l0": np.zeros((14, 3), "f4")},
            r"weight_ih_l0 has shape \(14, 3\), expected \(15, 'any'",
        ),
        ({"weight_ih_l1": np.zeros((15, 4), "f4")}, r"weight_ih_l1 has shape \(15, 4\), expected \(15, 5\)"),
        ({"bias_ih_l1": np.zeros(5, "f4")}, r"bias_ih_l1 has shape \(5,\), expected \(15,\)"),
        ({"bias_ih_l0": np.zeros(15, "i4")}, "bias_ih_l0 has type int32"),
    ],
)
def test_a_wrong_state_dict_is_refused_by_the_name_of_the_entry(changes, said):
    with pytest.raises(InputDataError, match=said):
        from_torch_state(gru_state(**changes))


def test_an_empty_state_dict_names_what_is_missing():
    with pytest.raises(InputDataError, match="missing weight_hh_l0, missing weight_ih_l0"):
        from_torch_state({})


@pytest.mark.parametrize("key", ["weight_ih_l0_reverse", "weight_hr_l0"])
def test_bidirectional_and_projected_modules_are_refused_by_key(key):
    with pytest.raises(UnsupportedError, match=key):
        from_torch_state(gru_state(**{key: np.zeros((15, 3), "f4")}))


def test_a_gru_with_the_reset_before_the_product_has_no_torch_module():
    with pytest.raises(UnsupportedError, match=r"before the matrix product.*ResetAfterGRU"):
        to_torch_state(GRU(2, 3, key=jax.random.key(0)))


def test_other_cells_and_mixed_stacks_have_no_torch_module():
    key = jax.random.key(0)
    with pytest.raises(UnsupportedError, match="no module for NNARX"):
        to_torch_state(NNARX(2, 3, key=key))
    with pytest.raises(UnsupportedError, match=r"Elman\(3\), LSTM\(3\)"):
        to_torch_state(Stack((Elman(2, 3, key=key), LSTM(3, 3, key=key))))
    with pytest.raises(UnsupportedError, match=r"LSTM\(3\), LSTM\(4\)"):
        to_torch_state(Stack((LSTM(2, 3, key=key), LSTM(3, 4, key=key))))


def test_files_that_are_no_safetensors_are_named(tmp_path):
    (tmp_path / "text.safetensors").write_text("hello")
    for name in ("text.safetensors", "absent.safetensors"):
        with pytest.raises(InputDataError, match=name):
            load_torch(tmp_path / name)


def test_a_place_that_cannot_be_written_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match="nowhere"):
        save_torch(Elman(2, 3, key=jax.random.key(0)), tmp_path / "nowhere" / "weights.safetensors")


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def module_of(torch, cell, dtype):
    layers = cell.cells if isinstance(cell, Stack) else [cell]
    kind = {Elman: "RNN", ResetAfterGRU: "GRU", LSTM: "LSTM"}[type(layers[0])]
    module = getattr(torch.nn, kind)(cell.input_size, cell.hidden_size, len(layers), dtype=dtype)
    state = {name: torch.from_numpy(array) for name, array in to_torch_state(cell).items()}
    module.load_state_dict(state, strict=True)
    return module


@pytest.mark.peer
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["elman", "gru", "lstm", "two grus"])
def test_live_torch_computes_what_the_exported_cell_computes(torch, name, dtype):
    with precision(dtype):
        cell = jax.tree.map(lambda leaf: leaf.astype(dtype), CELLS[name](jax.random.key(3)))
        inputs = np.array(jax.random.normal(jax.random.key(1), (7, 3)), dtype)
        module = module_of(torch, cell, getattr(torch, dtype))
        with torch.no_grad():
            expected = module(torch.from_numpy(inputs))[0].numpy()
        np.testing.assert_allclose(seen(cell, inputs), expected, rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.peer
@pytest.mark.parametrize("name", ["elman", "gru", "lstm"])
def test_gradients_equal_those_of_live_torch(torch, name):
    with jax.enable_x64(True):
        cell = jax.tree.map(lambda leaf: leaf.astype("float64"), CELLS[name](jax.random.key(3)))
        inputs = np.array(jax.random.normal(jax.random.key(1), (7, 3)))
        module = module_of(torch, cell, torch.float64)
        given = torch.from_numpy(inputs).requires_grad_()
        module(given)[0].square().sum().backward()
        ours = eqx.filter_grad(lambda pair: jnp.sum(seen(*pair) ** 2))((cell, jnp.asarray(inputs)))
        np.testing.assert_allclose(ours[1], given.grad.numpy(), rtol=0, atol=1e-12)
        theirs = {key: value.grad.numpy() for key, value in module.named_parameters()}
        np.testing.assert_allclose(ours[0].state_weight, theirs["weight_hh_l0"], rtol=0, atol=1e-12)
        np.testing.assert_allclose(ours[0].bias, theirs["bias_ih_l0"], rtol=0, atol=1e-12)


@pytest.mark.peer
def test_a_file_saved_by_torch_is_read(torch, tmp_path):
    safetensors_torch = pytest.importorskip("safetensors.torch")
    module = torch.nn.LSTM(3, 5, 2)
    safetensors_torch.save_file(module.state_dict(), tmp_path / "lstm.safetensors")
    cell = load_torch(tmp_path / "lstm.safetensors")
    inputs = np.random.default_rng(0).normal(size=(7, 3)).astype("f4")
    with torch.no_grad():
        expected = module(torch.from_numpy(inputs))[0].numpy()
    np.testing.assert_allclose(seen(cell, inputs), expected, rtol=0, atol=1e-6)


def test_half_precision_is_widened_before_biases_are_added():
    draw = np.random.default_rng(0)
    shapes = {"weight_ih_l0": (12, 2), "weight_hh_l0": (12, 3), "bias_ih_l0": (12,), "bias_hh_l0": (12,)}
    state = {name: draw.normal(size=shape).astype("f2") for name, shape in shapes.items()}
    wide = state["bias_ih_l0"].astype("f4") + state["bias_hh_l0"].astype("f4")
    np.testing.assert_array_equal(from_torch_state(state, dtype=np.float32).bias, wide)
