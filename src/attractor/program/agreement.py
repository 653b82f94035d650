r"""Whether a step is the same map in float64, where it is analysed, as in float32, where it runs.

Rounding aside it should be, and for equations it is. But a step that asks for the type of its state, or that
draws random numbers of its own, is another map in each type: JAX draws other numbers in float64. A proof, a
fixed point or an export of that copy is false of the cell that runs.

Both programs are traced. Where they are the same line by line, nothing is run, which holds for nearly every
cell. Else both are run at some states and inputs, and what rounding does not explain is refused.
"""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Atom, Tracer
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var, jaxprs_in_params
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from attractor.cells import CellLike, initial_state, name_of, shaped_input, take_step
from attractor.errors import CellError

from .arithmetic import with_precision
from .compiling import cells_in
from .digest import described, program_digest
from .flat import FlatMap, flat_map, layout_of
from .precision import in_precision
from .walk import aval, location

Module = TypeVar("Module")
Rows = Float[np.ndarray, "samples _"]

_SAMPLES = 16
# Deviations that count, of so many samples: at one alone rounding may have led to the other side of a choice.
_MANY = 2
# What rounding in float32 leaves at least, a term of a sum, and where every deviation is one.
_LEAST, _ROUNDINGS, _MOST = 1e-5, 8.0, 1e-2
# How much more than a change of the last digit of states and inputs rounding within the step may do.
_AMPLIFIED = 64.0
# Of initial states, which may be solved for.
_START = 1e-3
# Programs whose comparison may be found again.
_KEPT = 256
_compared: dict[tuple[str, str], float] = {}


def in_double_precision(module: Module) -> Module:
    """The same module with its weights in float64 and complex128; call it inside `jax.enable_x64(True)`.

    Raises:
        CellError: a cell in it whose step, or start, is something else in float64 than in float32.
    """
    for cell in cells_in(module):
        check_agreement(cell)
    return in_precision(module, jnp.float64)


def check_agreement(cell: CellLike) -> None:
    """Refuse a cell that is another map in float64 than in float32.

    A cell that cannot be traced in both, or holds arrays that JAX is tracing, is let through: what is wrong
    with it is told where it runs.

    Args:
        cell: any cell.

    Raises:
        CellError: its step, or the state it starts from, is another one; the message says by how much.
    """
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(cell)):
        return
    try:
        (low, single), (high, double) = (_traced(cell, double=double) for double in (False, True))
    except Exception:  # noqa: BLE001 (a user's code may raise anything)
        return
    if any(isinstance(one, Tracer) for one in (*single.consts, *double.consts)):
        return
    apart = deviation(np.asarray(low.start, float), np.asarray(high.start))
    if apart > _START:
        raise CellError(_refusal(cell, "state that it starts from", apart, None))
    if _alike(single, double):
        return
    apart = _difference(cell, single, double)
    if apart > 0:
        raise CellError(_refusal(cell, "step", apart, _drawn(double.jaxpr)))


def _refusal(cell: CellLike, what: str, apart: float, drawn: str | None) -> str:
    if drawn is not None:
        why = (
            f"it draws random numbers without a `key`{drawn}, and JAX draws other ones in each type. Draw "
            "with the `key` of the step, `step(input, state, *, key=None)`, or once, outside of the step"
        )
    else:
        why = (
            "it asks for the type of an array, draws random numbers without a `key`, or has numbers that "
            "float32 cannot hold. Compute the same whatever the type is, and draw with the `key` of the step"
        )
    return (
        f"the {what} of {name_of(cell)} is not the same in float64, in which it is analysed and exported, as "
        f"in float32, in which it runs: the two differ by {apart:.2g}, relative to 1 + |value|: {why}"
    )


def _traced(cell: CellLike, *, double: bool) -> tuple[FlatMap, ClosedJaxpr]:
    """The map and the program of its step in one of the two types; weights are arguments."""
    dtype = jnp.dtype(jnp.float64 if double else jnp.float32)
    with with_precision(double=double), np.errstate(all="ignore"):
        flat = flat_map(cell, dtype=dtype)
        arrays, others = eqx.partition(flat, eqx.is_array)

        def step(arrays: FlatMap, state: Array, given: Array) -> Array:
            return eqx.combine(arrays, others).step(state, given)

        return flat, jax.make_jaxpr(step)(arrays, flat.start, jnp.zeros(flat.input_size, dtype))


def _alike(single: ClosedJaxpr | Jaxpr, double: ClosedJaxpr | Jaxpr) -> bool:
    """Whether two programs are the same line by line, with numbers of double the length in the second."""
    if isinstance(single, ClosedJaxpr) and isinstance(double, ClosedJaxpr):
        pairs = zip(single.consts, double.consts, strict=False)
        same = len(single.consts) == len(double.consts) and all(_same_value(*pair) for pair in pairs)
        return same and _alike(single.jaxpr, double.jaxpr)
    if not (isinstance(single, Jaxpr) and isinstance(double, Jaxpr) and len(single.eqns) == len(double.eqns)):
        return False
    names: dict[Atom, Atom] = {}
    return (
        _told(names, (*single.constvars, *single.invars), (*double.constvars, *double.invars))
        and all(_same_line(names, *pair) for pair in zip(single.eqns, double.eqns, strict=True))
        and _meant(names, single.outvars, double.outvars)
    )


def _same_line(names: dict[Atom, Atom], one: JaxprEqn, other: JaxprEqn) -> bool:
    return (
        one.primitive is other.primitive
        and _meant(names, one.invars, other.invars)
        and one.params.keys() == other.params.keys()
        and all(_same_parameter(one.params[name], other.params[name]) for name in one.params)
        and _told(names, one.outvars, other.outvars)
    )


def _told(names: dict[Atom, Atom], ones: Sequence[Atom], others: Sequence[Atom]) -> bool:
    """Note which variables are the same; whether their shapes and types are."""
    if len(ones) != len(others):
        return False
    names.update(zip(ones, others, strict=True))
    return all(_type(one) == _type(other) for one, other in zip(ones, others, strict=True))


def _meant(names: dict[Atom, Atom], ones: Sequence[Atom], others: Sequence[Atom]) -> bool:
    """Whether operands are the same variables or numbers."""
    if len(ones) != len(others):
        return False
    for one, other in zip(ones, others, strict=True):
        if isinstance(one, Var) and isinstance(other, Var):
            if names.get(one) is not other:
                return False
        elif isinstance(one, Var) or isinstance(other, Var):
            return False
        elif _type(one) != _type(other) or not _same_value(_value(one), _value(other)):
            return False
    return True


def _value(atom: Atom) -> np.ndarray:
    return np.asarray(atom.val, aval(atom).dtype) if isinstance(atom, Literal) else np.zeros(0)


def _type(atom: Atom) -> str:
    return _narrow(f"{aval(atom).dtype}{tuple(getattr(aval(atom), 'shape', ()))}")


def _narrow(text: str) -> str:
    return text.replace("float64", "float32").replace("complex128", "complex64")


def _same_value(one: ArrayLike, other: ArrayLike) -> bool:
    """Whether two constants are one number, which float32 can hold."""
    arrays = [one, other]
    for index, array in enumerate(arrays):
        if isinstance(array, jax.Array) and jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
            arrays[index] = jax.random.key_data(array)
    first, second = map(np.asarray, arrays)
    if first.shape != second.shape or _narrow(str(first.dtype)) != _narrow(str(second.dtype)):
        return False
    if first.dtype.kind not in "fc":
        return np.array_equal(first, second)
    with np.errstate(over="ignore"):
        held = np.array_equal(np.isfinite(first), np.isfinite(second))
        held = held and np.array_equal(first == 0, second == 0)
        return held and np.array_equal(first, second.astype(first.dtype), equal_nan=True)


def _same_parameter(one: Any, other: Any) -> bool:
    if isinstance(one, ClosedJaxpr | Jaxpr):
        return isinstance(other, ClosedJaxpr | Jaxpr) and _alike(one, other)
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return len(one) == len(other) and all(map(_same_parameter, one, other))
    if isinstance(one, np.ndarray | jax.Array):
        return isinstance(other, np.ndarray | jax.Array) and _same_value(one, other)
    # Rules of derivatives and what calls a jaxpr are functions; what they compute stands in the jaxprs.
    return (callable(one) and callable(other)) or _narrow(described(one)) == _narrow(described(other))


def _difference(cell: CellLike, single: ClosedJaxpr, double: ClosedJaxpr) -> float:
    """How far the two steps are apart beyond rounding; 0 where rounding explains it."""
    programs = program_digest(single), program_digest(double)
    if programs not in _compared:
        while len(_compared) >= _KEPT:
            del _compared[next(iter(_compared))]
        _compared[programs] = _measured(
            cell, 1 if _drawn(double.jaxpr) is not None else _longest(double.jaxpr)
        )
    return _compared[programs]


def _measured(cell: CellLike, longest: int) -> float:
    inputs, states = sampled_rows(cell, _SAMPLES, 0)
    with with_precision(double=False), np.errstate(all="ignore"):
        own = steps_at(in_precision(cell, jnp.float32), inputs, states, jnp.dtype(jnp.float32))
    digit = float(np.finfo(np.float32).eps)
    moved = 1 + digit * np.sign(np.random.default_rng(1).normal(size=(2, _SAMPLES)))
    with with_precision(double=True):
        wide, dtype = in_precision(cell, jnp.float64), jnp.dtype(jnp.float64)
        exact = steps_at(wide, inputs, states, dtype)
        beside = steps_at(wide, inputs * moved[0, :, None], _moved(cell, states, moved[1]), dtype)
    apart = np.array([deviation(*pair) for pair in zip(own, exact, strict=True)])
    feels = np.array([deviation(*pair) for pair in zip(beside, exact, strict=True)])
    allowed = min(max(_LEAST, _ROUNDINGS * longest * digit), _MOST) + _AMPLIFIED * feels
    beyond, finite = apart > allowed, np.isfinite(apart)
    many = np.sum(beyond & finite) >= _MANY or not finite.any()
    return float(np.max(apart[beyond], initial=0.0)) if many else 0.0


def _moved(cell: CellLike, states: Rows, factors: np.ndarray) -> Rows:
    """States whose real parts are changed in their last digit."""
    real = layout_of(initial_state(cell), name_of(cell)).real_size
    return np.concatenate([states[:, :real] * factors[:, None], states[:, real:]], axis=1)


def _longest(jaxpr: Jaxpr) -> int:
    """The longest axis of anything that a program computes: no sum of it has more terms."""
    sizes = [
        size
        for equation in _equations(jaxpr)
        for atom in equation.invars
        for size in getattr(aval(atom), "shape", ())
    ]
    return max(sizes, default=1)


def _equations(jaxpr: Jaxpr) -> Iterator[JaxprEqn]:
    for equation in jaxpr.eqns:
        yield equation
        for inner in jaxprs_in_params(equation.params):
            yield from _equations(inner)


def _drawn(jaxpr: Jaxpr) -> str | None:
    """The line in which a step draws random numbers, as far as it is known; None where it does not."""
    for equation in _equations(jaxpr):
        if equation.primitive.name in ("random_bits", "threefry2x32", "rng_bit_generator"):
            return location(equation) or _place(jaxpr, equation)
    return None


def _place(jaxpr: Jaxpr, wanted: JaxprEqn) -> str:
    """The user's line of the call in which an equation stands."""
    for equation in jaxpr.eqns:
        if any(one is wanted for inner in jaxprs_in_params(equation.params) for one in _equations(inner)):
            return location(equation)
    return ""


def sampled_rows(cell: CellLike, samples: int, seed: int) -> tuple[Rows, Rows]:
    """Random inputs and states, which float32 holds exactly, so that a cell sees them in any type.

    Inputs are uniform in [-1, 1], states in [-1, 1] about the initial one; whole numbers of it stay.
    """
    numbers = np.random.default_rng(seed)
    flat = flat_map(cell, dtype=jnp.float32)
    inputs = numbers.uniform(-1, 1, (samples, flat.input_size)).astype(np.float32)
    states = np.tile(np.asarray(flat.start), (samples, 1))
    states[:, : flat.real_size] += numbers.uniform(-1, 1, (samples, flat.real_size)).astype(np.float32)
    return inputs.astype(float), states.astype(float)


def steps_at(cell: CellLike, inputs: Rows, states: Rows, dtype: jnp.dtype) -> Rows:
    """Steps of a cell whose types are left alone, at rows of inputs and flat states."""
    layout = layout_of(initial_state(cell), name_of(cell), dtype)

    def step(input: Array, state: Array) -> Array:
        return layout.flatten(take_step(cell, shaped_input(cell, input), layout.restore(state)))

    # One after the other, as every step can be run; `vmap` knows no rule for a callback.
    rows = jnp.asarray(inputs, dtype), jnp.asarray(states, dtype)
    return np.asarray(jax.jit(lambda rows: jax.lax.map(lambda row: step(*row), rows))(rows), float)


def deviation(found: np.ndarray, wanted: np.ndarray) -> float:
    """The largest |found - wanted| / (1 + |wanted|); infinite where they differ in what is not finite."""
    finite = np.isfinite(wanted)
    if found.shape != wanted.shape or not np.array_equal(found[~finite], wanted[~finite], equal_nan=True):
        return float("inf")
    if not np.isfinite(found[finite]).all():
        return float("inf")
    found, wanted = found[finite], wanted[finite]
    return float(np.max(np.abs(found - wanted) / (1 + np.abs(wanted)), initial=0.0))
