"""Operators of one entry at a time. What is known is computed by NumPy and stays known."""

from collections.abc import Callable
from functools import reduce
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np

from .node import Node, Value, known, operator


def library(*operands: Value | None) -> ModuleType:
    """NumPy for what is known, else its namesake in JAX."""
    return np if all(known(one) or one is None for one in operands) else jnp


def _simple(name: str, function: Callable[..., Value]) -> None:
    operator(name)(lambda node, *operands: function(*operands))


_simple("Add", lambda one, other: one + other)
_simple("Sub", lambda one, other: one - other)
_simple("Mul", lambda one, other: one * other)
_simple("Neg", lambda one: -one)
_simple("Tanh", lambda one: library(one).tanh(one))
_simple("Exp", lambda one: library(one).exp(one))
_simple("Log", lambda one: library(one).log(one))
_simple("Sqrt", lambda one: library(one).sqrt(one))
_simple("Sin", lambda one: library(one).sin(one))
_simple("Cos", lambda one: library(one).cos(one))
_simple("Abs", lambda one: library(one).abs(one))
_simple("Sign", lambda one: library(one).sign(one))
_simple("Floor", lambda one: library(one).floor(one))
_simple("Ceil", lambda one: library(one).ceil(one))
_simple("Round", lambda one: library(one).round(one))
_simple("Reciprocal", lambda one: 1 / one)
_simple("Identity", lambda one: one)
_simple("Relu", lambda one: library(one).maximum(one, 0))
_simple("Erf", jax.scipy.special.erf)
_simple("Softplus", jax.nn.softplus)
_simple("Sigmoid", jax.nn.sigmoid)
_simple("Softsign", lambda one: one / (1 + library(one).abs(one)))
_simple("HardSwish", lambda one: one * library(one).clip(one / 6 + 0.5, 0, 1))
_simple("Equal", lambda one, other: one == other)
_simple("Greater", lambda one, other: one > other)
_simple("Less", lambda one, other: one < other)
_simple("GreaterOrEqual", lambda one, other: one >= other)
_simple("LessOrEqual", lambda one, other: one <= other)
_simple("Not", lambda one: ~one)
_simple("And", lambda one, other: one & other)
_simple("Or", lambda one, other: one | other)
_simple("Xor", lambda one, other: one ^ other)
_simple("Where", lambda which, yes, no: library(which, yes, no).where(which, yes, no))
_simple("Min", lambda *parts: reduce(library(*parts).minimum, parts))
_simple("Max", lambda *parts: reduce(library(*parts).maximum, parts))
_simple("Sum", lambda *parts: reduce(lambda one, other: one + other, parts))
_simple("Mean", lambda *parts: reduce(lambda one, other: one + other, parts) / len(parts))


@operator("Div")
def _divide(_: Node, one: Value, other: Value) -> Value:
    """Whole numbers are cut towards zero."""
    if one.dtype.kind in "iu":
        return library(one, other).trunc(one / other).astype(one.dtype)
    return one / other


@operator("Mod")
def _modulo(node: Node, one: Value, other: Value) -> Value:
    if not known(one) or not known(other):
        raise node.refused("a remainder that depends on the input")
    return np.fmod(one, other) if node.get("fmod", 0) else np.mod(one, other)


@operator("Pow")
def _power(_: Node, one: Value, exponent: Value) -> Value:
    """A whole exponent is one of the program, which knows more of it."""
    if not known(exponent) or known(one):
        return library(one, exponent).power(one, exponent)
    values = np.unique(exponent)
    if len(values) == 1 and float(values[0]).is_integer() and abs(values[0]) <= 64:
        shape = np.broadcast_shapes(one.shape, exponent.shape)
        return jnp.broadcast_to(jax.lax.integer_pow(one, int(values[0])), shape)
    return jnp.power(one, np.asarray(exponent, one.dtype))


@operator("LeakyRelu")
def _leaky(node: Node, one: Value) -> Value:
    return _leaked(one, np.asarray(node.get("alpha", 0.01), one.dtype))


@operator("PRelu")
def _parametric(_: Node, one: Value, slope: Value) -> Value:
    return _leaked(one, slope)


def _leaked(one: Value, slope: Value) -> Value:
    """The larger of both branches is the leaky one where the slope is at most one."""
    np_ = library(one, slope)
    if known(slope) and bool((np.asarray(slope) <= 1).all()):
        return np_.maximum(one, slope * one)
    return np_.where(one > 0, one, slope * one)


@operator("Elu")
def _elu(node: Node, one: Value) -> Value:
    return jax.nn.elu(one, node.get("alpha", 1.0))


@operator("Selu")
def _selu(node: Node, one: Value) -> Value:
    alpha, gamma = node.get("alpha", 1.6732632423543772), node.get("gamma", 1.0507009873554805)
    return gamma * jax.nn.elu(one, alpha)


@operator("Gelu")
def _gelu(node: Node, one: Value) -> Value:
    if node.get("approximate", "none") == "tanh":
        return jax.nn.gelu(jnp.asarray(one), approximate=True)
    return 0.5 * one * (1 + jax.scipy.special.erf(one / np.sqrt(2).astype(one.dtype)))


@operator("HardSigmoid")
def _hard_sigmoid(node: Node, one: Value) -> Value:
    return library(one).clip(node.get("alpha", 0.2) * one + node.get("beta", 0.5), 0, 1)


@operator("Clip")
def _clip(node: Node, one: Value, least: Value | None = None, most: Value | None = None) -> Value:
    """Ends are attributes before opset 11."""
    ends = [
        end if end is not None else _end(node.get(name, None), one)
        for name, end in (("min", least), ("max", most))
    ]
    np_ = library(one, *ends)
    result = one if ends[0] is None else np_.maximum(one, ends[0])
    return result if ends[1] is None else np_.minimum(result, ends[1])


def _end(number: float | None, like: Value) -> Value | None:
    return None if number is None else np.asarray(number, like.dtype)


@operator("Cast", "CastLike")
def _cast(node: Node, one: Value, like: Value | None = None) -> Value:
    """Between types of real numbers nothing changes here; a narrow one would round, and is refused."""
    from onnx import TensorProto
    from onnx.helper import tensor_dtype_to_np_dtype

    node.seen.update(("saturate", "round_mode"))
    number = node.get("to", TensorProto.FLOAT)
    wanted = np.dtype(like.dtype if like is not None else tensor_dtype_to_np_dtype(number))
    if wanted.kind == "f" and wanted.itemsize >= 4:
        if one.dtype.kind == "f":
            return one
        return one.astype(np.float32 if known(one) else jnp.result_type(float))
    if wanted.kind == "b":
        return one != 0
    if wanted.kind in "iu":  # what is behind the point is cut off
        return one.astype(wanted if known(one) else jax.dtypes.canonicalize_dtype(wanted))
    if known(one) and wanted.kind == "f":
        return one.astype(wanted)
    raise node.refused(f"a cast of {one.dtype} to {wanted}")


@operator("Dropout")
def _dropout(node: Node, one: Value, _ratio: Value | None = None, training: Value | None = None) -> Value:
    node.seen.update(("seed", "ratio"))
    if training is not None and (not known(training) or bool(np.asarray(training))):
        raise node.refused("training mode")
    return one
