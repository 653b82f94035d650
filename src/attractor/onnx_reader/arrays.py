"""Operators of whole arrays: products, sums, normalisation, and moves of entries."""

from collections.abc import Callable
from math import prod

import jax
import jax.numpy as jnp
import numpy as np

from .entrywise import library
from .node import Node, Value, known, operator, static


@operator("MatMul")
def _matrix_product(_: Node, one: Value, other: Value) -> Value:
    return library(one, other).matmul(one, other)


@operator("Gemm")
def _gemm(node: Node, one: Value, other: Value, bias: Value | None = None) -> Value:
    left = one.T if node.get("transA", 0) else one
    right = other.T if node.get("transB", 0) else other
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    product = library(left, right).matmul(left, right)
    product = product if alpha == 1.0 else alpha * product
    return product if bias is None else product + (bias if beta == 1.0 else beta * bias)


@operator("BatchNormalization")
def _batch_normalisation(node: Node, *operands: Value) -> Value:
    node.only("training_mode", 0)
    node.only("spatial", 1)
    node.seen.add("momentum")
    one, scale, shift, mean, variance = operands
    axes = (1, -1, *[1] * (one.ndim - 2)) if one.ndim > 1 else (-1,)
    factor = scale / np.sqrt(variance + np.asarray(node.get("epsilon", 1e-5), variance.dtype))
    return one * factor.reshape(axes) + (shift - mean * factor).reshape(axes)


@operator("Softmax")
def _softmax(node: Node, one: Value) -> Value:
    return _over_axis(node, jnp.asarray(one), jax.nn.softmax)


@operator("LogSoftmax")
def _log_softmax(node: Node, one: Value) -> Value:
    return _over_axis(node, jnp.asarray(one), jax.nn.log_softmax)


def _over_axis(node: Node, one: jax.Array, function: Callable[..., jax.Array]) -> Value:
    """Before opset 13 all axes from the given one on are one."""
    axis = node.get("axis", -1 if node.opset >= 13 else 1)
    if node.opset >= 13:
        return function(one, axis=axis)
    flat = one.reshape(prod(one.shape[:axis]), -1)
    return function(flat, axis=1).reshape(one.shape)


@operator("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL2", "ReduceSumSquare")
def _reduce(node: Node, one: Value, axes: Value | None = None) -> Value:
    given = node.get("axes", None) if axes is None else static(node, axes, "axes")
    kept = bool(node.get("keepdims", 1))
    if node.get("noop_with_empty_axes", 0) and not given:
        return one
    over = tuple(given) if given else None
    np_, name = library(one), node.operator[6:].lower()
    if name == "l2":
        return np_.sqrt(np_.sum(one * one, axis=over, keepdims=kept))
    if name == "sumsquare":
        return np_.sum(one * one, axis=over, keepdims=kept)
    return getattr(np_, name)(one, axis=over, keepdims=kept)


@operator("Reshape")
def _reshape(node: Node, one: Value, shape: Value | None = None) -> Value:
    wanted = node.get("shape", []) if shape is None else static(node, shape, "a shape")
    if not node.get("allowzero", 0):
        wanted = [one.shape[axis] if size == 0 else size for axis, size in enumerate(wanted)]
    return one.reshape(wanted)


@operator("Flatten")
def _flatten(node: Node, one: Value) -> Value:
    axis = node.get("axis", 1)
    axis = axis + one.ndim if axis < 0 else axis
    return one.reshape(prod(one.shape[:axis]), -1)


@operator("Squeeze")
def _squeeze(node: Node, one: Value, axes: Value | None = None) -> Value:
    given = node.get("axes", None) if axes is None else static(node, axes, "axes")
    return library(one).squeeze(one, None if given is None else tuple(given))


@operator("Unsqueeze")
def _unsqueeze(node: Node, one: Value, axes: Value | None = None) -> Value:
    given = node.get("axes", []) if axes is None else static(node, axes, "axes")
    return library(one).expand_dims(one, tuple(given))


@operator("Transpose")
def _transpose(node: Node, one: Value) -> Value:
    return one.transpose(node.get("perm", list(range(one.ndim))[::-1]))


@operator("Concat")
def _concatenate(node: Node, *parts: Value) -> Value:
    return library(*parts).concatenate(parts, axis=node.get("axis", 0))


@operator("Split")
def _split(node: Node, one: Value, sizes: Value | None = None) -> list[Value]:
    axis = node.get("axis", 0)
    given = node.get("split", None) if sizes is None else static(node, sizes, "sizes")
    count = node.get("num_outputs", node.results)
    if given is None:
        each = -(-one.shape[axis] // count)
        given = [each] * (count - 1) + [one.shape[axis] - each * (count - 1)]
    if sum(given) != one.shape[axis]:
        raise node.refused(f"a split of {one.shape[axis]} entries into {given}")
    return list(library(one).split(one, np.cumsum(given)[:-1].tolist(), axis=axis))


@operator("Slice")
def _slice(node: Node, one: Value, *more: Value) -> Value:
    names = ("starts", "ends", "axes", "steps")
    given: dict[str, list[int]] = {name: node.get(name, []) for name in names}
    given.update({name: static(node, part, name) for name, part in zip(names, more, strict=False)})
    count = len(given["starts"])
    axes, steps = given["axes"] or list(range(count)), given["steps"] or [1] * count
    index: list[slice] = [slice(None)] * one.ndim
    for start, end, axis, step in zip(given["starts"], given["ends"], axes, steps, strict=True):
        index[axis] = slice(start, None if step < 0 and end < -one.shape[axis] else end, step)
    return one[tuple(index)]


@operator("Gather")
def _gather(node: Node, one: Value, index: Value) -> Value:
    if not known(index):
        raise node.refused("an index that depends on the input")
    axis = node.get("axis", 0)
    size = one.shape[axis]
    whole = np.asarray(index)
    if whole.size and (whole.min() < -size or whole.max() >= size):
        raise node.refused(f"an index outside of the {size} entries of its axis")
    return library(one).take(one, np.where(whole < 0, whole + size, whole), axis=axis)


@operator("Expand")
def _expand(node: Node, one: Value, shape: Value) -> Value:
    wanted = np.broadcast_shapes(one.shape, tuple(static(node, shape, "a shape")))
    return library(one).broadcast_to(one, wanted)


@operator("Tile")
def _tile(node: Node, one: Value, repeats: Value) -> Value:
    return library(one).tile(one, tuple(static(node, repeats, "repeats")))


@operator("Pad")
def _pad(
    node: Node, one: Value, pads: Value | None = None, filler: Value | None = None, axes: Value | None = None
) -> Value:
    node.only("mode", "constant")
    given = node.get("pads", []) if pads is None else static(node, pads, "pads")
    value = node.get("value", 0.0) if filler is None else np.asarray(filler).ravel()[0]
    which = list(range(one.ndim)) if axes is None else static(node, axes, "axes")
    widths = [(0, 0)] * one.ndim
    for position, axis in enumerate(which):
        widths[axis] = (given[position], given[position + len(which)])
    return library(one).pad(one, widths, constant_values=value)


@operator("Shape")
def _shape(node: Node, one: Value) -> Value:
    shape = np.asarray(one.shape, np.int64)
    return shape[node.get("start", 0) : node.get("end", None)]


@operator("Size")
def _size(_: Node, one: Value) -> Value:
    return np.asarray(prod(one.shape), np.int64)


@operator("Constant")
def _constant(node: Node) -> Value:
    for name in ("value", "value_float", "value_int", "value_floats", "value_ints"):
        found = node.get(name, None)
        if found is not None:
            kind = np.float32 if "float" in name else np.int64
            return found if name == "value" else np.asarray(found, kind)
    raise node.refused("a constant of this kind")


@operator("ConstantOfShape")
def _constant_of_shape(node: Node, shape: Value) -> Value:
    value = np.asarray(node.get("value", np.zeros(1, np.float32)))
    return np.full(static(node, shape, "a shape"), value.ravel()[0], value.dtype)


@operator("Range")
def _range(node: Node, start: Value, limit: Value, delta: Value) -> Value:
    for one in (start, limit, delta):
        if not known(one):
            raise node.refused("a range that depends on the input")
    return np.arange(np.ravel(start)[0], np.ravel(limit)[0], np.ravel(delta)[0])
