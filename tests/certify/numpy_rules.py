"""The rules of the bounds, and programs, evaluated by NumPy: nothing is compiled.

The rules are the library's own functions; only the arrays they are called with, and the names `jnp` and `jax`
in their modules, are NumPy's for a while. Both libraries round within what the rules allow for.
"""

from contextlib import contextmanager
from importlib import import_module
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
from scipy import special

from attractor.certify.domains.cell_bounds import guarded

_ROOM = "attractor.certify.domains"
_MODULES = "interval polynomial algebra choices vectors polynomial_rules cell_bounds".split()


class _Numbers(SimpleNamespace):
    """`jax.numpy` as NumPy has it."""

    def __getattr__(self, name):
        return getattr(np, name)


_NUMPY = _Numbers(issubdtype=jnp.issubdtype, finfo=jnp.finfo)
_JAX = SimpleNamespace(
    vmap=lambda operation, in_axes=-1, out_axes=-1: (
        lambda *arrays: (
            np.stack(
                [
                    np.asarray(operation(*(array[..., k] for array in arrays)))
                    for k in range(arrays[0].shape[-1])
                ],
                -1,
            )
            if arrays[0].shape[-1]
            else np.zeros((*np.shape(operation(*(np.zeros(array.shape[:-1]) for array in arrays))), 0))
        )
    ),
    lax=SimpleNamespace(
        dot_general=lambda one, other, numbers: np.tensordot(one, other, numbers[0]),
        erf=special.erf,
        erfc=special.erfc,
        pad=lambda array, value, config: _padded({"padding_config": config}, array, value),
    ),
    nn=SimpleNamespace(sigmoid=special.expit),
    tree=jax.tree,
    Array=jax.Array,
    ensure_compile_time_eval=jax.ensure_compile_time_eval,
    ShapeDtypeStruct=jax.ShapeDtypeStruct,
)


def _done(equation, parameters, *arrays):
    """What a primitive makes of arrays."""
    rule = _BY_NUMPY.get(equation.primitive.name)
    if rule is not None:
        return rule(parameters, *map(np.asarray, arrays))
    return np.asarray(equation.primitive.bind(*map(jax.device_put, arrays), **parameters))


def _with_numpy(rules):
    """The guarded rules, which see NumPy's arrays where the walk has evaluated with JAX."""

    def rule_of(rule):
        return lambda equation, *operands: rule(
            equation, *(np.asarray(one) if isinstance(one, jax.Array) else one for one in operands)
        )

    return {name: rule_of(rule) for name, rule in guarded(rules).items()}


@contextmanager
def by_numpy():
    """The bounds with NumPy's arrays, for the time of a `with` block, in which types are not checked."""
    modules = [import_module(f"{_ROOM}.{name}") for name in _MODULES]
    other = {"jnp": _NUMPY, "jax": _JAX, "_done": _done, "guarded": _with_numpy}
    names = [(module, name) for module in modules for name in other if hasattr(module, name)]
    before = [(module, name, getattr(module, name)) for module, name in names]
    checked = not jaxtyping.config.jaxtyping_disable
    try:
        jaxtyping.config.update("jaxtyping_disable", True)  # NumPy's arrays are none of JAX
        for module, name in names:
            setattr(module, name, other[name])
        with np.errstate(all="ignore"):
            yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", not checked)
        for module, name, own in before:
            setattr(module, name, own)


def _power(parameters, a):
    return a ** float(parameters["y"])


def _chosen(_, which, *cases):
    if which.dtype == bool:
        return np.where(which, cases[1], cases[0])
    return np.choose(np.broadcast_to(which, np.shape(cases[0])), cases)


def _spread(parameters, a):
    aligned = [1] * len(parameters["shape"])
    for own, axis in enumerate(parameters["broadcast_dimensions"]):
        aligned[axis] = a.shape[own]
    return np.broadcast_to(a.reshape(aligned), parameters["shape"])


def _cut(parameters, a):
    steps = parameters["strides"] or [1] * a.ndim
    bounds = zip(parameters["start_indices"], parameters["limit_indices"], steps, strict=True)
    return a[tuple(slice(*bound) for bound in bounds)]


def _piece(parameters, a, *starts):
    sizes = parameters["slice_sizes"]
    firsts = [
        int(np.clip(one, 0, all_ - size)) for one, all_, size in zip(starts, a.shape, sizes, strict=True)
    ]
    return a[tuple(slice(first, first + size) for first, size in zip(firsts, sizes, strict=True))]


def _padded(parameters, a, value):
    before, behind, between = np.array(parameters["padding_config"]).reshape(-1, 3).T
    rooms = before + a.shape + behind + between * np.maximum(np.array(a.shape) - 1, 0)
    assert min(*before, *behind) >= 0  # nothing is cut off
    found = np.full(rooms, value, np.asarray(a).dtype)
    ends = before + (np.array(a.shape) - 1) * (between + 1) + 1
    found[tuple(map(slice, before, ends, between + 1))] = a
    return found


def _split(parameters, a):
    return np.split(a, np.cumsum(parameters["sizes"])[:-1], parameters["axis"])


def _product(parameters, one, other):
    (left, right), (left_batch, right_batch) = parameters["dimension_numbers"]
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    first, second = [""] * one.ndim, [""] * other.ndim
    for pairs in (zip(left_batch, right_batch, strict=True), zip(left, right, strict=True)):
        for own, their in pairs:
            first[own] = second[their] = next(letters)
    first, second = ([name or next(letters) for name in names] for names in (first, second))
    batch = [first[axis] for axis in left_batch]
    summed = {first[axis] for axis in left}
    free = [name for name in (*first, *second) if name not in summed and name not in batch]
    return np.einsum(f"{''.join(first)},{''.join(second)}->{''.join([*batch, *free])}", one, other)


def _rounded(parameters, a):
    return (
        np.round(a) if parameters["rounding_method"].value == 1 else np.copysign(np.floor(np.abs(a) + 0.5), a)
    )


def _plain(function):
    return lambda _, *operands: function(*operands)


def _reduced(function):
    return lambda parameters, a: function(a, axis=tuple(parameters["axes"]))


_DIRECT = {
    "add": np.add, "add_any": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.true_divide,
    "neg": np.negative, "max": np.maximum, "min": np.minimum, "abs": np.abs, "sign": np.sign,
    "floor": np.floor, "tanh": np.tanh, "logistic": special.expit, "erf": special.erf, "erfc": special.erfc,
    "exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "sqrt": np.sqrt, "sin": np.sin,
    "cos": np.cos, "square": np.square, "pow": np.power, "lt": np.less, "le": np.less_equal,
    "gt": np.greater, "ge": np.greater_equal, "eq": np.equal, "ne": np.not_equal, "and": np.bitwise_and,
    "or": np.bitwise_or, "not": np.logical_not, "stop_gradient": lambda a: a, "copy": np.array,
    "is_finite": np.isfinite,
    "rsqrt": lambda a: 1 / np.sqrt(a), "clamp": lambda low, a, high: np.minimum(np.maximum(a, low), high),
}  # fmt: skip
_BY_NUMPY = {name: _plain(function) for name, function in _DIRECT.items()} | {
    "integer_pow": _power,
    "select_n": _chosen,
    "broadcast_in_dim": _spread,
    "slice": _cut,
    "dot_general": _product,
    "round": _rounded,
    "reduce_sum": _reduced(np.sum),
    "reduce_max": _reduced(np.max),
    "reduce_min": _reduced(np.min),
    "reshape": lambda parameters, a: a.reshape(parameters["new_sizes"]),
    "squeeze": lambda parameters, a: a.squeeze(tuple(parameters["dimensions"])),
    "expand_dims": lambda parameters, a: np.expand_dims(a, tuple(parameters["dimensions"])),
    "transpose": lambda parameters, a: a.transpose(parameters["permutation"]),
    "rev": lambda parameters, a: np.flip(a, tuple(parameters["dimensions"])),
    "concatenate": lambda parameters, *parts: np.concatenate(parts, parameters["dimension"]),
    "dynamic_slice": _piece,
    "pad": _padded,
    "split": _split,
    "stack": lambda parameters, *parts: np.stack(parts, parameters["axis"]),
    "convert_element_type": lambda parameters, a: a.astype(parameters["new_dtype"]),
    "sort": lambda parameters, a: np.sort(a, axis=parameters["dimension"]),
}


_CALLS = {"jit": "jaxpr", "custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr"}


def evaluated(jaxpr, constants, *arguments):
    """The results of a jaxpr for NumPy arrays; JAX does what is not in the table."""
    known = dict(zip(jaxpr.constvars, map(np.asarray, constants), strict=True))
    known |= dict(zip(jaxpr.invars, arguments, strict=True))

    def read(atom):
        return np.asarray(atom.val, atom.aval.dtype) if hasattr(atom, "val") else known[atom]

    for equation in jaxpr.eqns:
        operands, name = [read(atom) for atom in equation.invars], equation.primitive.name
        if name in _CALLS:
            inner = equation.params[_CALLS[name]]
            results = evaluated(inner.jaxpr, inner.consts, *operands)
        elif name in _BY_NUMPY:
            found = _BY_NUMPY[name](equation.params, *operands)
            results = found if isinstance(found, list) else [found]
        else:
            results = equation.primitive.bind(*map(jax.device_put, operands), **equation.params)
            results = map(np.asarray, results if equation.primitive.multiple_results else [results])
        known.update(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]
