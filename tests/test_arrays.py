"""Arrays come back from a safetensors file, or a typed error says what is wrong with it."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from attractor.arrays import pack, read_arrays, unpack
from attractor.errors import InputDataError

ARRAYS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3).T, "n": np.array(3), "b": np.zeros((0, 2), bool)}


def forged(dtype, shape, size):
    """A file whose head makes these claims about `size` zero bytes."""
    head = json.dumps({"w": {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}}).encode()
    return len(head).to_bytes(8, "little") + head + bytes(size)


def test_arrays_and_facts_come_back():
    arrays, facts = unpack(pack(ARRAYS, {"text": "pH °", "numbers": [1, 2.5, None]}), "here")
    assert facts == {"text": "pH °", "numbers": [1, 2.5, None]}
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)


def test_bfloat16_that_was_saved_can_be_read():
    array = np.asarray(jnp.array([1.5, -2.0], jnp.bfloat16))
    back = read_arrays(pack({"w": array}), "here")["w"]
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text",
        forged("F8_E4M3", [4], 4),
        forged("F8_E8M0", [4], 4),
        forged("F32", [10**12], 4),
        forged("F32", [2**62, 4], 4),
        forged("F32", [-1], 4),
        forged("F" * 10**5, [1], 4),
    ],
    ids=["empty", "text", "float8", "scales", "large", "overflow", "negative", "long"],
)
def test_a_forged_file_is_an_input_error_of_sane_length(data):
    with pytest.raises(InputDataError, match="here") as caught:
        read_arrays(data, "here")
    assert len(str(caught.value)) < 2500


def test_a_flipped_byte_is_noticed():
    whole = pack({"a": np.ones(4)}, {"n": 1})
    for place in range(len(whole)):
        data = bytearray(whole)
        data[place] ^= 1
        with pytest.raises(InputDataError):
            unpack(bytes(data), "here")


@pytest.mark.parametrize("facts", ["[1]", "{", "9" * 5000, "[" * 10**5])
def test_facts_that_are_no_table_are_refused(facts, monkeypatch):
    monkeypatch.setattr("attractor.arrays.json.dumps", lambda _: facts)
    data = pack({"a": np.ones(4)})
    with pytest.raises(InputDataError, match="here"):
        unpack(data, "here")
