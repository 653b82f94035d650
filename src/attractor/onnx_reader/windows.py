"""Operators on windows: convolutions and pools."""

from collections.abc import Callable
from functools import reduce
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np

from .node import Node, Value, operator


def _pads(
    node: Node, sizes: list[int], kernel: list[int], strides: list[int], spread: list[int]
) -> list[tuple[int, int]]:
    """Zeros before and after each axis."""
    count, automatic = len(sizes), node.get("auto_pad", "NOTSET")
    given = node.get("pads", [0] * 2 * count)
    if automatic in ("NOTSET", ""):
        return [(given[axis], given[axis + count]) for axis in range(count)]
    if automatic == "VALID":
        return [(0, 0)] * count
    pads = []
    for size, width, stride, dilation in zip(sizes, kernel, strides, spread, strict=True):
        needed = max((-(-size // stride) - 1) * stride + (width - 1) * dilation + 1 - size, 0)
        small, large = needed // 2, needed - needed // 2
        pads.append((small, large) if automatic == "SAME_UPPER" else (large, small))
    return pads


@operator("Conv")
def _convolve(node: Node, one: Value, kernel: Value, bias: Value | None = None) -> Value:
    count = one.ndim - 2
    strides, spread = node.get("strides", [1] * count), node.get("dilations", [1] * count)
    widths = list(kernel.shape[2:])
    node.only("kernel_shape", widths)
    pads = _pads(node, list(one.shape[2:]), widths, strides, spread)
    result = jax.lax.conv_general_dilated(
        jnp.asarray(one),
        jnp.asarray(kernel, one.dtype),
        strides,
        pads,
        rhs_dilation=spread,
        feature_group_count=node.get("group", 1),
        precision="highest",
    )
    return result if bias is None else result + bias.reshape(1, -1, *[1] * count)


@operator("MaxPool")
def _largest(node: Node, one: Value) -> Value:
    node.only("storage_order", 0)
    windows, _ = _windows(node, one)
    if node.results > 1:
        raise node.refused("a second output")
    return _merged(windows, one, jnp.maximum)


@operator("AveragePool")
def _average(node: Node, one: Value) -> Value:
    windows, counts = _windows(node, one)
    padded = node.get("count_include_pad", 0)
    total = _merged(windows, one, jnp.add, filler=0.0)
    size = int(np.prod(node.get("kernel_shape", [1])))
    return total / np.asarray(size if padded else counts, one.dtype)


@operator("GlobalAveragePool")
def _whole_average(_: Node, one: Value) -> Value:
    return jnp.mean(one, axis=tuple(range(2, one.ndim)), keepdims=True)


@operator("GlobalMaxPool")
def _whole_largest(_: Node, one: Value) -> Value:
    return jnp.max(one, axis=tuple(range(2, one.ndim)), keepdims=True)


def _windows(node: Node, one: Value) -> tuple[list[np.ndarray], np.ndarray]:
    """For every position in the window, which entry each result finds there; -1 outside of the array."""
    sizes, kernel = list(one.shape[2:]), node.get("kernel_shape", [1])
    count = len(sizes)
    strides, spread = node.get("strides", [1] * count), node.get("dilations", [1] * count)
    rounded_up = bool(node.get("ceil_mode", 0))
    pads = _pads(node, sizes, kernel, strides, spread)
    starts = []
    for size, width, stride, dilation, (before, after) in zip(
        sizes, kernel, strides, spread, pads, strict=True
    ):
        room = size + before + after - (width - 1) * dilation - 1
        results = (-(-room // stride) if rounded_up else room // stride) + 1
        if rounded_up and (results - 1) * stride >= size + before:
            results -= 1  # a window that would begin behind the array
        starts.append(np.arange(results) * stride - before)
    numbers = np.arange(int(np.prod(sizes))).reshape(sizes)
    windows = []
    for offset in product(*(range(width) for width in kernel)):
        places = [
            start + step * dilation for start, step, dilation in zip(starts, offset, spread, strict=True)
        ]
        inside = [(place >= 0) & (place < size) for place, size in zip(places, sizes, strict=True)]
        index = np.ix_(*[np.clip(place, 0, size - 1) for place, size in zip(places, sizes, strict=True)])
        within = reduce(np.logical_and.outer, inside)
        windows.append(np.where(within, numbers[index], -1))
    counts = np.sum([window >= 0 for window in windows], axis=0)
    return windows, counts


def _merged(
    windows: list[np.ndarray], one: Value, pair: Callable[..., jax.Array], filler: float | None = None
) -> Value:
    """All positions of the window, two by two; one that is outside repeats a position that is inside."""
    flat = jnp.asarray(one).reshape(*one.shape[:2], -1)
    inside = reduce(np.maximum, windows)
    parts = []
    for window in windows:
        if filler is None:
            parts.append(flat[..., np.where(window < 0, inside, window)])
        else:
            taken = flat[..., np.maximum(window, 0)]
            parts.append(taken * np.asarray(window >= 0, one.dtype) if (window < 0).any() else taken)
    return reduce(pair, parts)
