"""Weights of published networks in the layouts of their authors' own code.

The bridge is a state dict as plain arrays: on the torch side
`safetensors.torch.save_file(module.state_dict(), path)` writes one, and `safetensors.numpy.load_file(path)`
reads it here. Neither torch nor the authors' code is needed.

Two layouts are known: the memory-gated network of arXiv 2012.13121, and the Lipschitz and noisy networks of
arXiv 2006.12070 and 2102.04877. The latter multiply rows by their matrices, h A, where Attractor multiplies
columns, A h; their matrices are therefore transposed on the way in.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import equinox as eqx
import numpy as np

from attractor.cells import Cell, Lipschitz, LipschitzForm, MemoryGated, Partition, StateNoise
from attractor.errors import ConfigError, UnsupportedError

from .torch_weights import DType, as_arrays, check_floating, check_names, check_shape, with_weights

_MARGINAL = re.compile(r"marginal_(0|[1-9][0-9]{0,3})\.cell\.(w_ih|w_hh|b_ih)")
_JOINT = ("u_c", "b_c", "w_z", "u_z", "b_z")


class PublishedNetwork(NamedTuple):
    """A cell and the read-out that the authors train with it.

    Args:
        cell: the cell.
        readout: logits of what the cell exposes of its last state.
    """

    cell: Cell
    readout: eqx.nn.Linear


def from_mgrn_state(
    state: Mapping[str, object], *, groups: Sequence[Sequence[int]] | None = None, dtype: DType | None = None
) -> PublishedNetwork:
    """The memory-gated network with the weights of the authors' `mGRNDropout`.

    Its dropout is off here, as it is there in evaluation.

    Args:
        state: arrays, or tensors on the host: `marginal_0.cell.w_ih`, `w_hh`, `b_ih` and so on for each
            group, `joint.cell.u_c`, `b_c`, `w_z`, `u_z`, `b_z`, `fc1.weight`, `fc1.bias`.
        groups: which variables of your input are the columns of each group, in the order of the columns; the
            authors sort their inputs, so that None means consecutive variables.
        dtype: floating type of the weights; None keeps the one of the state dict.

    Raises:
        InputDataError: a missing, unexpected or misshapen entry.
        ConfigError: groups of other sizes, or float64 weights while JAX computes in float32.
    """
    arrays = _arrays(state, dtype)
    count = 1 + max((int(match[1]) for name in arrays if (match := _MARGINAL.fullmatch(name))), default=0)
    names = [f"marginal_{group}.cell.{part}" for group in range(count) for part in ("w_ih", "w_hh", "b_ih")]
    check_names(
        arrays,
        {*names, *(f"joint.cell.{part}" for part in _JOINT), *_linear("fc1")},
        "a published mGRN network",
    )
    sizes = [check_shape(arrays, f"marginal_{group}.cell.w_ih", None, None)[1] for group in range(count)]
    partition = _partition(sizes, groups)
    hidden = check_shape(arrays, "marginal_0.cell.w_hh", None, None)[1]
    joint = check_shape(arrays, "joint.cell.u_c", None, count * hidden)[0]
    _check_mgrn_shapes(arrays, sizes, hidden, joint)
    return PublishedNetwork(_mgrn(arrays, partition, hidden, joint), _readout(arrays, "fc1"))


def from_lipschitz_state(
    state: Mapping[str, object],
    *,
    form: LipschitzForm,
    step: float | int | None = None,
    noise: StateNoise | None = None,
    dtype: DType | None = None,
) -> PublishedNetwork:
    """The Lipschitz or noisy network with the weights of the authors' `NoisyRNN` or `rnn_models`.

    Known are their models "NoisyRNN" (`B`, `C`, `d`), "LipschitzRNN" (`B`, `C`) and "asymRNN" (`C` alone, the
    case alpha = 0, beta = 1). A state dict does not hold the numbers beta, gamma and alpha, nor a step that
    is not trained: take them from the run's settings.

    Args:
        state: arrays, or tensors on the host: `B`, `C`, `d`, `E.weight`, `E.bias`, `D.weight`, `D.bias`.
        form: beta (`skew`), gamma (`damping`) and alpha (`linear`) of that run; its `learned_step` is "each"
            if the steps `d` shall be used and "fixed" if `step` shall (their solver "base").
        step: the fixed step, their `eps`; with learned steps it is not used.
        noise: noise of the cell; their own kind is `StateNoise(additive, multiplicative, "official")`.
        dtype: floating type of the weights; None keeps the one of the state dict.

    Raises:
        InputDataError: a missing, unexpected or misshapen entry.
        ConfigError: a form that does not belong to the entries, a missing step, or float64 weights while JAX
            computes in float32.
        UnsupportedError: a gated network, or a learned step that is not positive.
    """
    arrays = _arrays(state, dtype)
    if "E_gate.weight" in arrays:
        raise UnsupportedError(
            "E_gate.weight: a gated Lipschitz network; only the plain one can be read so far"
        )
    antisymmetric = "B" not in arrays
    expected = {"C", *_linear("E"), *_linear("D")} | (set() if antisymmetric else {"B"})
    check_names(arrays, expected | ({"d"} & set(arrays)), "a published Lipschitz network")
    size = check_shape(arrays, "C", None, None)[0]
    for name in ("B", "C"):
        check_shape({"B": arrays["C"], **arrays}, name, size, size)
    inputs = check_shape(arrays, "E.weight", size, None)[1]
    check_shape(arrays, "E.bias", size)
    _check_form(form, antisymmetric, "d" in arrays, step)
    weights = {"state_weight": arrays["C"].T, "input_weight": arrays["E.weight"], "bias": arrays["E.bias"]}
    if not antisymmetric:
        weights["linear_weight"] = arrays["B"].T
    if form.learned_step == "each":
        weights["raw_step"] = _raw_step(arrays, size)
    first, quiet = 0.1 if step is None else step, StateNoise()
    cell = with_weights(
        lambda key: Lipschitz(inputs, size, step=first, form=form, noise=noise or quiet, key=key), weights
    )
    return PublishedNetwork(cell, _readout(arrays, "D"))


def _arrays(state: Mapping[str, object], dtype: DType | None) -> dict[str, np.ndarray]:
    """The entries as floating-point arrays that JAX can hold."""
    arrays = as_arrays(state)
    check_floating(arrays, dtype)
    return {name: array.astype(dtype or array.dtype) for name, array in arrays.items()}


def _linear(name: str) -> tuple[str, str]:
    return f"{name}.weight", f"{name}.bias"


def _readout(arrays: Mapping[str, np.ndarray], name: str) -> eqx.nn.Linear:
    outputs, inputs = check_shape(arrays, f"{name}.weight", None, None)
    check_shape(arrays, f"{name}.bias", outputs)
    weights = {part: arrays[f"{name}.{part}"] for part in ("weight", "bias")}
    return with_weights(lambda key: eqx.nn.Linear(inputs, outputs, key=key), weights)


def _partition(sizes: Sequence[int], groups: Sequence[Sequence[int]] | None) -> Partition:
    ends = np.cumsum(sizes)
    if groups is None:
        groups = [range(end - size, end) for size, end in zip(sizes, ends, strict=True)]
    partition = Partition.of(groups, int(ends[-1]))
    if list(partition.sizes) != list(sizes):
        raise ConfigError(
            f"groups of sizes {partition.sizes}, but the weights have groups of {tuple(sizes)} columns"
        )
    return partition


def _check_mgrn_shapes(
    arrays: Mapping[str, np.ndarray], sizes: Sequence[int], hidden: int, joint: int
) -> None:
    for group, size in enumerate(sizes):
        for part, shape in (("w_ih", (size,)), ("w_hh", (hidden,)), ("b_ih", ())):
            check_shape(arrays, f"marginal_{group}.cell.{part}", 3 * hidden, *shape)
    for part, shape in (("b_c", ()), ("w_z", (sum(sizes),)), ("u_z", (joint,)), ("b_z", ())):
        check_shape(arrays, f"joint.cell.{part}", joint, *shape)
    check_shape(arrays, "fc1.weight", None, joint)


def _mgrn(arrays: Mapping[str, np.ndarray], partition: Partition, hidden: int, joint: int) -> MemoryGated:
    stacked = {
        part: [arrays[f"marginal_{group}.cell.{part}"] for group in range(len(partition.groups))]
        for part in ("w_ih", "w_hh", "b_ih")
    }
    padded = [np.pad(own, ((0, 0), (0, partition.widest - own.shape[1]))) for own in stacked["w_ih"]]
    gate = np.empty_like(arrays["joint.cell.w_z"])
    gate[:, partition.order] = arrays["joint.cell.w_z"]  # their columns stand group after group
    weights = {
        "input_weight": np.stack(padded),
        "state_weight": np.stack(stacked["w_hh"]),
        "bias": np.stack(stacked["b_ih"]),
        "joint_weight": arrays["joint.cell.u_c"],
        "joint_bias": arrays["joint.cell.b_c"],
        "gate_input_weight": gate,
        "gate_state_weight": arrays["joint.cell.u_z"],
        "gate_bias": arrays["joint.cell.b_z"],
    }
    sizes, options = (partition.size, hidden), {"groups": partition.groups, "joint_factor": joint / hidden}
    return with_weights(lambda key: MemoryGated(*sizes, **options, key=key), weights)


def _check_form(form: LipschitzForm, antisymmetric: bool, has_steps: bool, step: float | int | None) -> None:
    if antisymmetric and (form.linear, form.skew) != (0, 1):
        raise ConfigError(
            f"the state dict has no B, which is the antisymmetric network, but form has linear={form.linear} "
            f"and skew={form.skew}; expected linear=0, skew=1"
        )
    if form.learned_step == "each" and not has_steps:
        raise ConfigError(
            "learned_step='each', but the state dict has no d; give learned_step='fixed' and step=eps"
        )
    if form.learned_step != "each" and (form.learned_step != "fixed" or step is None):
        raise ConfigError(
            f"learned_step={form.learned_step!r}, step={step}: expected 'each', or 'fixed' with a step"
        )


def _raw_step(arrays: Mapping[str, np.ndarray], size: int) -> np.ndarray:
    """What softplus turns into the trained steps, which the authors' code does not keep positive."""
    steps = arrays["d"]
    check_shape(arrays, "d", size)
    if not (steps > 0).all():
        units = np.flatnonzero(~(steps > 0))
        raise UnsupportedError(
            f"d is not positive for units {', '.join(map(str, units[:10]))} (least: {steps.min():.3g}), but "
            "the steps of Attractor's cell are"
        )
    return steps + np.log(-np.expm1(-steps))
