"""The digest of an equation: one short text that changes whenever a program is written otherwise.

A value of a program is named by a hash of the primitive that makes it, its parameters and the names of its
operands; a program is named by its results. So the order of independent lines, names of variables, lines
whose result nobody uses, and calls (a jitted function inside a step) make no difference, while another
primitive, parameter, shape, type, order of operands or constant does. Arrays that are handed in as
arguments, such as weights, count by their position, shape and type only.

The digest is the same in every process of one version of JAX. Another version may trace the same source
into other primitives; whoever compares digests across versions needs a second opinion (see
`attractor.training.identity`, which compares a prediction as well).
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Atom
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal
from jax.typing import ArrayLike
from jaxtyping import Array, PyTree

from attractor.cells import CellLike, State, exposed, initial_state, input_shape
from attractor.errors import ShapeError, UnsupportedError

from .arithmetic import dtype_in, with_precision
from .trace import CALLS, DROPPED
from .walk import aval, bound, forward, results

# Parameters that say how or where something is computed, or what it is called, not what it is.
_UNESSENTIAL = frozenset({
    "name", "donated_invars", "inline", "keep_unused", "in_shardings", "out_shardings", "in_layouts",
    "out_layouts", "compiler_options_kvs", "ctx_mesh", "sharding", "out_sharding", "mesh",
})  # fmt: skip

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def equation_digest(function: Callable[..., PyTree], *arguments: PyTree, double: bool = False) -> str:
    """The SHA-256 of what a function of pytrees computes, whatever the values of the JAX arrays in them are.

    It is traced in one precision, so that it does not depend on the settings of the process.

    Args:
        function: what to trace; arrays that it closes over are constants, whose values count.
        arguments: pytrees; JAX arrays in them are variables, all else (numbers, NumPy arrays, functions) is
            fixed and counts.
        double: trace it in double precision, where every digit of a number in the code counts, and not in
            the single precision of training.

    Returns:
        64 hexadecimal digits.
    """
    leaves, structure = jax.tree.flatten(arguments)
    varied = [index for index, leaf in enumerate(leaves) if isinstance(leaf, jax.Array)]
    shapes = [
        jax.ShapeDtypeStruct(leaves[index].shape, dtype_in(leaves[index], double=double)) for index in varied
    ]

    def of_arrays(*arrays: jax.Array) -> list[ArrayLike]:
        filled = dict(enumerate(leaves)) | dict(zip(varied, arrays, strict=True))
        result = function(*jax.tree.unflatten(structure, filled.values()))
        return [leaf for leaf in jax.tree.leaves(result) if eqx.is_array_like(leaf)]

    # What the process has set of JAX must not show: neither the precision of products, nor loops without jit.
    with with_precision(double=double), jax.default_matmul_precision(None), jax.disable_jit(False):
        closed = jax.make_jaxpr(of_arrays)(*shapes)
    return program_digest(closed)


def program_digest(closed: ClosedJaxpr) -> str:
    """The SHA-256 of a traced program; values of its constants count, those of its arguments do not."""
    return _hash("program", *_results(closed))


def cell_digest(cell: CellLike, *, double: bool = False) -> str:
    """The SHA-256 of the equation of a cell: where it starts, its step, and what a read-out may see.

    Args:
        cell: any cell; its weights may have any values.
        double: see `equation_digest`.
    """

    def once(cell: CellLike, input: Array) -> tuple[State, State, PyTree]:
        state = initial_state(cell)
        after = cell(input, state)
        return state, after, _shown(cell, after)

    return equation_digest(once, cell, jnp.zeros(input_shape(cell), jnp.float32), double=double)


def _shown(cell: CellLike, state: State) -> PyTree:
    """What a read-out may see; nothing of a cell that does not say what."""
    try:
        return exposed(cell, state)
    except (UnsupportedError, ShapeError):
        return ()


def cell_identity(cell: CellLike) -> str:
    """The SHA-256 of a cell: of its equation and of every number in it, whatever their precision."""
    total = hashlib.sha256(cell_digest(cell).encode())
    for path, leaf in jax.tree_util.tree_leaves_with_path(cell):
        if eqx.is_array(leaf) or (eqx.is_array_like(leaf) and np.asarray(leaf).dtype.kind in "biufc"):
            total.update(f"{jax.tree_util.keystr(path)} {np.shape(leaf)}".encode())
            total.update(_widest(leaf).tobytes())
    return total.hexdigest()


def _widest(leaf: ArrayLike) -> np.ndarray:
    """Numbers in the type that holds them exactly, so that a widened cell is the same cell."""
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    values = np.asarray(leaf)
    return values.astype(np.complex128 if values.dtype.kind == "c" else np.float64)


def _results(program: ClosedJaxpr | Jaxpr, arguments: Sequence[str] | None = None) -> list[str]:
    """Names of the results.

    Constants are named by their values, or by their position where those stand elsewhere; so are arguments
    that have no names yet.
    """
    closed = isinstance(program, ClosedJaxpr)
    jaxpr = program.jaxpr if closed else program
    constants = list(map(_constant, program.consts)) if closed else _numbered("constant", jaxpr.constvars)
    if arguments is None:
        arguments = _numbered("argument", jaxpr.invars)
    names = forward(jaxpr, bound(jaxpr, constants, arguments), _named, literal=_literal)
    return results(jaxpr, names, _literal)


def _numbered(what: str, variables: Sequence[Atom]) -> list[str]:
    return [_hash(what, index, _type(one)) for index, one in enumerate(variables)]


def _literal(literal: Literal) -> str:
    return _constant(np.asarray(literal.val, aval(literal).dtype))


def _named(equation: JaxprEqn, operands: list[str]) -> list[str]:
    """Names of the results of one equation."""
    primitive = equation.primitive.name
    if primitive in DROPPED:
        return operands
    if primitive in CALLS:
        return _results(equation.params[CALLS[primitive]], operands)
    return _numbered(_hash(primitive, described(equation.params), *operands), equation.outvars)


def described(value: object) -> str:
    """A parameter as text that is the same in every process."""
    if isinstance(value, ClosedJaxpr | Jaxpr):
        return _hash("jaxpr", *_results(value))
    if isinstance(value, Mapping):
        kept = sorted(set(value) - _UNESSENTIAL, key=str)
        parts = (f"{key}={described(value[key])}" for key in kept)
        return f"{{{','.join(parts)}}}"
    if isinstance(value, tuple | list):
        return f"({','.join(map(described, value))})"
    if isinstance(value, set | frozenset):
        return f"{{{','.join(sorted(map(described, value)))}}}"
    if isinstance(value, np.ndarray | jax.Array):
        return _constant(value)
    # np.int64(4) and 4 are the same number.
    return _ADDRESS.sub("", repr(value.item() if isinstance(value, np.generic) else value))


def _constant(value: jax.Array | np.ndarray) -> str:
    if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        value = jax.random.key_data(value)
    array = np.asarray(value)
    return _hash("constant", array.dtype, array.shape, hashlib.sha256(array.tobytes()).hexdigest())


def _type(variable: Atom) -> str:
    return f"{aval(variable).dtype}{tuple(aval(variable).shape)}"


def _hash(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()
