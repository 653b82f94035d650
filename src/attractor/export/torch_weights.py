"""Weights of `torch.nn.RNN`, `GRU` and `LSTM`, without torch.

The bridge is the state dict of the module in a safetensors file: on the torch side
`safetensors.torch.save_file(module.state_dict(), path)` writes it and
`module.load_state_dict(safetensors.torch.load_file(path))` reads it.

torch adds two bias vectors where one would do. They are summed on import, except for the candidate of the
GRU, whose recurrent bias stands inside the product with the reset gate. On export the sum goes to `bias_ih`
and `bias_hh` is zero, so a state dict that went through here computes the same function with other numbers.
"""

import re
from collections.abc import Callable, Collection, Mapping
from os import PathLike
from pathlib import Path
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from jaxtyping import PRNGKeyArray

from ..arrays import read_arrays
from ..cells import GRU, LSTM, Cell, CellLike, Elman, ResetAfterGRU, Stack, name_of
from ..errors import ConfigError, InputDataError, RunFolderError, UnsupportedError
from ..files import write_atomically
from ..folders import read_file

_SHOWN = 5
Built = TypeVar("Built")
DType = type | str | np.dtype
_FLOATING = tuple(np.dtype(kind) for kind in (jnp.bfloat16, np.float16, np.float32, np.float64))


def as_arrays(state: Mapping[str, object]) -> dict[str, np.ndarray]:
    """The entries of a state dict, arrays or tensors on the host, as NumPy arrays.

    Raises:
        InputDataError: an entry that NumPy cannot take.
    """
    arrays = {}
    for name, entry in state.items():
        try:
            arrays[str(name)] = np.asarray(entry)
        except (TypeError, ValueError, RuntimeError) as problem:
            raise InputDataError(
                f"{name} cannot be read as numbers ({problem}); convert it to float32 first"
            ) from problem
    return arrays


def check_names(found: Collection[str], expected: Collection[str], what: str) -> None:
    """Refuse a state dict that lacks entries or has others.

    Args:
        found: names of the entries.
        expected: what they should be.
        what: the state dict should be, for the message.

    Raises:
        InputDataError: names some of the entries that are missing or not expected.
    """
    faults = [f"missing {name}" for name in sorted(set(expected) - set(found))]
    faults += [f"unexpected {name[:80]}" for name in sorted(set(found) - set(expected))]
    if faults:
        more = f" and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise InputDataError(f"not the state dict of {what}: {', '.join(faults[:_SHOWN])}{more}")


def check_floating(state: Mapping[str, np.ndarray], dtype: DType | None) -> None:
    """Refuse entries that are no floating-point numbers, or that JAX would round without being told to.

    Args:
        state: arrays by name.
        dtype: the type they shall have; None keeps theirs.

    Raises:
        InputDataError: an entry of another kind, 8-bit floating point among them, in which no cell computes.
        ConfigError: float64 weights while JAX computes in float32.
    """
    for name, array in state.items():
        if array.dtype not in _FLOATING:
            raise InputDataError(
                f"{name} has type {array.dtype}, expected floating-point numbers of 16 to 64 bits"
            )
        wanted = np.dtype(dtype or array.dtype)
        if jax.dtypes.canonicalize_dtype(wanted) != wanted:
            raise ConfigError(
                f"{name} would be {wanted}, but JAX computes in float32; load under `jax.enable_x64(True)`, "
                "or round with `dtype=numpy.float32`"
            )


def check_shape(
    arrays: Mapping[str, np.ndarray], name: str, *expected: int | None, empty: bool = False
) -> tuple[int, ...]:
    """The shape of an entry, once it is known to be the expected one.

    Args:
        arrays: entries by name.
        name: of the entry.
        expected: sizes of the axes; None for any.
        empty: whether an axis of any size may have none.

    Raises:
        InputDataError: it is another one.
    """
    shape = arrays[name].shape
    agrees = [
        found == size or (size is None and (found or empty))
        for size, found in zip(expected, shape, strict=False)
    ]
    if len(shape) != len(expected) or not all(agrees):
        wanted = tuple("any" if size is None else size for size in expected)
        raise InputDataError(f"{name} has shape {shape}, expected {wanted}")
    return shape


def with_weights(build: Callable[[PRNGKeyArray], Built], weights: Mapping[str, np.ndarray]) -> Built:
    """A module with these weights by the names of its fields; none are drawn.

    Args:
        build: makes the module from a key.
        weights: the arrays that replace its own.
    """
    blank = eqx.filter_eval_shape(build, jax.random.key(0))
    arrays = [jax.device_put(np.array(weight)) for weight in weights.values()]  # which compiles nothing
    return eqx.tree_at(lambda made: [getattr(made, name) for name in weights], blank, arrays)


State = dict[str, np.ndarray]
Layer = Elman | ResetAfterGRU | LSTM | eqx.nn.GRUCell | eqx.nn.LSTMCell
"""What one layer of a torch module can be."""

_BUILDS = {1: Elman, 3: ResetAfterGRU, 4: LSTM}
"""Gates stacked in the rows of a weight, and the cell they make; all use torch's order of gates."""
_KEY = re.compile(r"(weight_ih|weight_hh|bias_ih|bias_hh)_l(0|[1-9][0-9]{0,3})")


def from_torch_state(state: Mapping[str, np.ndarray], *, dtype: DType | None = None) -> Cell:
    """The cell (several layers: the `Stack`) with the weights of a torch state dict.

    The number of gates tells the kind: 1 is `torch.nn.RNN` (-> `Elman`; a state dict does not say whether its
    nonlinearity was tanh, which is assumed), 3 is `GRU` (-> `ResetAfterGRU`), 4 is `LSTM`.

    Args:
        state: arrays, or tensors on the host: `weight_ih_l0`, `weight_hh_l0` and, unless `bias=False`,
            `bias_ih_l0`, `bias_hh_l0`; `_l1` and so on for further layers.
        dtype: floating type of the weights; None keeps the one of the state dict.

    Raises:
        InputDataError: a missing, unexpected or misshapen entry.
        UnsupportedError: a bidirectional module or one with `proj_size`.
        ConfigError: float64 weights while JAX computes in float32.

    Example:
        >>> import numpy as np
        >>> state = {"weight_ih_l0": np.ones((4, 2)), "weight_hh_l0": np.eye(4)}
        >>> from_torch_state(state, dtype=np.float32).hidden_size
        4
    """
    state = as_arrays(state)  # tensors of torch as well
    layers = _layers(state)
    check_floating(state, dtype)
    if dtype is not None:  # before biases are added
        state = {name: array.astype(dtype) for name, array in state.items()}
    cells, expected = [], None
    for layer in range(layers):
        cells.append(_cell(state, layer, expected))
        expected = cells[-1].hidden_size
    return cells[0] if layers == 1 else Stack(tuple(cells))


def to_torch_state(cell: CellLike) -> State:
    """The state dict of the torch module that computes what `cell` computes; it has biases.

    Args:
        cell: `Elman`, `ResetAfterGRU`, `LSTM`, `equinox.nn.GRUCell`, `equinox.nn.LSTMCell`, or a `Stack` of
            one kind with one hidden size.

    Raises:
        UnsupportedError: any other cell; among them `GRU`, which torch cannot compute.
    """
    layers = _flat(cell)
    parts = [_parts(layer) for layer in layers]
    if len({(type(layer), layer.hidden_size) for layer in layers}) > 1:
        kinds = ", ".join(f"{type(layer).__name__}({layer.hidden_size})" for layer in layers)
        raise UnsupportedError(
            f"a stack of {kinds}: the layers of a torch module are of one kind and one hidden size"
        )
    return {f"{name}_l{level}": array for level, part in enumerate(parts) for name, array in part.items()}


def load_torch(path: str | PathLike[str], *, dtype: DType | None = None) -> Cell:
    """The cell with the weights in a safetensors file of a torch state dict; see `from_torch_state`.

    Raises:
        InputDataError: no such file, or not a safetensors file.
    """
    try:
        state = read_arrays(read_file(Path(path)), Path(path))
    except (RunFolderError, InputDataError) as error:
        raise InputDataError(f"{error}; expected the safetensors file of a torch state dict") from error
    return from_torch_state(state, dtype=dtype)


def save_torch(cell: CellLike, path: str | PathLike[str]) -> None:
    """Write the state dict of `to_torch_state` to a safetensors file.

    Raises:
        StorageError: the file cannot be written.
    """
    write_atomically(Path(path), safetensors.numpy.save(to_torch_state(cell), {"format": "pt"}))


def _layers(state: Mapping[str, np.ndarray]) -> int:
    """The number of layers, once the names of all entries are known to be right."""
    for name in state:
        if name.endswith("_reverse"):
            raise UnsupportedError(f"{name}: a bidirectional module; a cell runs forward in time only")
        if name.startswith("weight_hr_"):
            raise UnsupportedError(f"{name}: an LSTM with proj_size; Attractor has no projected LSTM")
    matches = {name: _KEY.fullmatch(name) for name in state}
    layers = 1 + max((int(match[2]) for match in matches.values() if match), default=0)
    parts = ["weight_ih", "weight_hh"]
    if any(name.startswith("bias") for name in state):
        parts += ["bias_ih", "bias_hh"]
    expected = {f"{part}_l{layer}" for layer in range(layers) for part in parts}
    check_names(state, expected, "torch.nn.RNN, GRU or LSTM")
    return layers


def _cell(state: Mapping[str, np.ndarray], layer: int, input_size: int | None) -> Cell:
    """The cell of one layer."""

    def entry(part: str, *shape: int | None) -> np.ndarray:
        check_shape(state, f"{part}_l{layer}", *shape, empty=True)
        return state[f"{part}_l{layer}"]

    rows, hidden = entry("weight_hh", None, None).shape
    gates = rows / hidden if hidden else 0
    if gates not in _BUILDS:
        raise InputDataError(
            f"weight_hh_l{layer} has shape {(rows, hidden)}, expected 1, 3 or 4 gates of {hidden} rows"
        )
    none = np.zeros(rows, state[f"weight_hh_l{layer}"].dtype)
    biased = f"bias_hh_l{layer}" in state
    recurrent, driven = (entry(part, rows) if biased else none for part in ("bias_hh", "bias_ih"))
    candidate = rows - hidden if gates == 3 else rows
    values = {
        "input_weight": entry("weight_ih", rows, input_size),
        "state_weight": state[f"weight_hh_l{layer}"],
        "bias": np.concatenate([driven[:candidate] + recurrent[:candidate], driven[candidate:]]),
    }
    if gates == 3:
        values["candidate_bias"] = recurrent[candidate:]
    inputs = values["input_weight"].shape[1]
    return with_weights(lambda key: _BUILDS[int(gates)](inputs, hidden, key=key), values)


def _flat(cell: CellLike) -> list[Layer]:
    """The layers of a cell from the input upwards."""
    if isinstance(cell, Stack):
        return [layer for part in cell.cells for layer in _flat(part)]
    if isinstance(cell, GRU):
        raise UnsupportedError(
            "torch has no such GRU: here the reset gate acts before the matrix product, U (f * h), in torch "
            "after it, r * (U h), and no choice of weights turns one into the other; train a ResetAfterGRU"
        )
    if not isinstance(cell, Layer):
        raise UnsupportedError(
            f"torch has no module for {name_of(cell)}; expected Elman, ResetAfterGRU, LSTM, "
            "equinox.nn.GRUCell, equinox.nn.LSTMCell or a Stack of them"
        )
    return [cell]


def _parts(cell: Layer) -> State:
    """The entries of one layer, without the suffix of the layer."""
    if isinstance(cell, eqx.nn.GRUCell | eqx.nn.LSTMCell):
        input_weight, state_weight = cell.weight_ih, cell.weight_hh
    else:
        input_weight, state_weight = cell.input_weight, cell.state_weight
    candidate_bias, bias = getattr(cell, "candidate_bias", getattr(cell, "bias_n", None)), cell.bias
    weights = {"weight_ih": np.array(input_weight), "weight_hh": np.array(state_weight)}
    rows, dtype = len(weights["weight_hh"]), weights["weight_hh"].dtype
    recurrent = np.zeros(rows, dtype)
    if candidate_bias is not None:
        recurrent[-len(candidate_bias) :] = candidate_bias
    driven = np.zeros(rows, dtype) if bias is None else np.array(bias)
    return weights | {"bias_ih": driven, "bias_hh": recurrent}
