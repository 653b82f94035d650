"""Which arithmetic a step is analysed in: weights made wider, and casts inside the step found."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend.core import Jaxpr, JaxprEqn, jaxprs_in_params
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, PRNGKeyArray, PyTree

from attractor.cells import CellLike, State, exposed, initial_state, input_size, name_of, take_step
from attractor.errors import PrecisionWarning, UnsupportedError

from .trace import trace
from .walk import Program, aval, bound, forward, location, results

Module = TypeVar("Module")
_CASTS = ("convert_element_type", "reduce_precision")
_OWN_RULES = ("custom_jvp_call", "custom_vjp_call")
# Rounding, relative, from which a map is a staircase to be reckoned with and no smooth map with noise.
_COARSE = 1e-4


def put(values: np.ndarray) -> Array:
    """A new NumPy array as one of JAX: nothing is compiled, and nothing is traced where JAX is tracing."""
    with jax.ensure_compile_time_eval():
        return jax.device_put(values)


def in_precision(module: Module, dtype: DTypeLike) -> Module:
    """The same module with real weights of one floating type and complex ones of the same precision.

    Whole numbers, flags and keys stay as they are, and so does every imaginary part.

    Args:
        module: any pytree.
        dtype: `jnp.float64` (inside `jax.enable_x64(True)`) or `jnp.float32`.
    """
    complex_type = jnp.complex128 if jnp.dtype(dtype) == jnp.float64 else jnp.complex64

    def converted(leaf: Any) -> object:
        if not eqx.is_inexact_array(leaf):
            return leaf
        kind = complex_type if jnp.iscomplexobj(leaf) else dtype
        if isinstance(leaf, Tracer) or leaf.dtype == kind:
            return jnp.asarray(leaf, kind)
        return put(np.asarray(leaf).astype(kind))  # by NumPy, for JAX compiles a program for each shape

    return jax.tree.map(converted, module)


class Unrounded(eqx.Module):
    """A cell whose step keeps float64 where its code casts the state to a narrower type on the way.

    A cell that says `state.astype(jnp.float32)` is constant between two rounded values: it has roots, and
    derivatives, that are made by the rounding alone. Analysis in float64 leaves a cast to float32 out and
    says so, by a `PrecisionWarning`; a step that rounds more coarsely than that is refused, because there
    the rounding decides what the network does.

    Likewise what the code says of derivatives for the sake of training, `stop_gradient` and rules of its own
    (`jax.custom_jvp`, straight-through rounding), is left out: an analysis differentiates what the step does.

    Args:
        cell: a cell in float64.
    """

    cell: CellLike

    @property
    def input_size(self) -> int:
        """That of the cell."""
        return input_size(self.cell)

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        """That of the cell, where its input is no vector."""
        return getattr(self.cell, "input_shape", None)

    @property
    def name(self) -> str:
        """That of the cell."""
        return name_of(self.cell)

    def initial_state(self) -> State:
        """That of the cell."""
        return initial_state(self.cell)

    def exposed(self, state: State) -> Array:
        """What the cell exposes."""
        return exposed(self.cell, state)

    def __call__(self, input: Array, state: State, *, key: PRNGKeyArray | None = None) -> State:
        """One step."""

        def step(input: Array, state: State) -> State:
            return take_step(self.cell, input, state, key)

        casts = _equations_of_state(step, input, state, _is_narrowing)
        if casts:
            _speak_of(name_of(self.cell), casts)
        if not casts and not _equations_of_state(step, input, state, _hides_derivative):
            return step(input, state)
        return _without_casts(trace(step, input, state), jax.tree.leaves((input, state)))


def unrounded(cell: CellLike) -> Unrounded:
    """The cell with `Unrounded` around it; one that has it already as it is."""
    return cell if isinstance(cell, Unrounded) else Unrounded(cell)


def plain(cell: CellLike) -> CellLike:
    """The user's own cell, without `Unrounded` around it."""
    return cell.cell if isinstance(cell, Unrounded) else cell


def _speak_of(name: str, casts: Sequence[JaxprEqn]) -> None:
    coarsest = max(casts, key=_unit)
    kind, where = _narrow_type(coarsest), location(coarsest)
    if _unit(coarsest) > _COARSE:
        raise UnsupportedError(
            f"{name} rounds its state to {kind} inside its step{where}: between two rounded values the step "
            "is constant, so that derivatives, exponents and fixed points would be those of the rounding; "
            "take the cast out, or keep the state's own type with `x.astype(state.dtype)`"
        )
    message = (
        f"{name} rounds its state to {kind} inside its step{where}; it is analysed in float64 without that "
        "rounding"
    )
    warnings.warn(message, PrecisionWarning, stacklevel=2)


def _equations_of_state(
    step: Callable[[Array, State], State],
    input: Array,
    state: State,
    wanted: Callable[[JaxprEqn, Jaxpr], bool],
) -> list[JaxprEqn]:
    """Those of the wanted kind whose numbers depend on the state."""
    leaves, structure = jax.tree.flatten(state)
    closed = jax.make_jaxpr(lambda input, *parts: step(input, jax.tree.unflatten(structure, parts)))(
        input, *leaves
    )
    before = len(closed.jaxpr.invars) - len(leaves)
    return _dependent_equations(closed.jaxpr, [False] * before + [True] * len(leaves), wanted)


def _dependent_equations(
    jaxpr: Jaxpr, dependent: Sequence[bool], wanted: Callable[[JaxprEqn, Jaxpr], bool]
) -> list[JaxprEqn]:
    """Those of the wanted kind among what depends on some of the arguments, and inside of calls."""
    found: list[JaxprEqn] = []

    def rule(equation: JaxprEqn, touched: list[bool]) -> list[bool]:
        if any(touched):
            found.extend([equation] if wanted(equation, jaxpr) else [])
            for inner in jaxprs_in_params(equation.params):
                count = len(inner.invars)
                reached = touched if count == len(touched) else [True] * count
                found.extend(_dependent_equations(inner, reached, wanted))
        return [any(touched)] * len(equation.outvars)

    known = bound(jaxpr, [False] * len(jaxpr.constvars), dependent)
    forward(jaxpr, known, rule, literal=lambda _: False)
    return found


def _hides_derivative(equation: JaxprEqn, around: Jaxpr) -> bool:
    """Whether the code tells another derivative than that of what it computes.

    Installed packages do so for the sake of accuracy and are believed; so is a rule about a loop or a call
    to the outside, which have no derivative but the one that is told.
    """
    name = equation.primitive.name
    if name == "stop_gradient":
        return not _is_installed(around)
    if name not in _OWN_RULES:
        return False
    body = next(jaxprs_in_params(equation.params))
    return not _is_installed(body) and not any(map(_has_none, _all_equations(body)))


def _is_installed(jaxpr: Jaxpr) -> bool:
    return "site-packages" in (jaxpr.debug_info.func_filename or "")


def _has_none(equation: JaxprEqn) -> bool:
    return equation.primitive.name == "while" or "callback" in equation.primitive.name


def _all_equations(jaxpr: Jaxpr) -> Iterator[JaxprEqn]:
    for equation in jaxpr.eqns:
        yield equation
        for inner in jaxprs_in_params(equation.params):
            yield from _all_equations(inner)


def _is_narrowing(equation: JaxprEqn, _: Jaxpr | None = None) -> bool:
    if equation.primitive.name not in _CASTS:
        return False
    before = aval(equation.invars[0])
    floating = jnp.issubdtype(before.dtype, jnp.inexact)
    return bool(floating and _unit(equation) > float(jnp.finfo(before.dtype).eps))


def _unit(equation: JaxprEqn) -> float:
    """Relative rounding of the type that a cast goes to; 0 for a type without rounding."""
    if equation.primitive.name == "reduce_precision":
        return 2.0 ** -equation.params["mantissa_bits"]
    new = equation.params["new_dtype"]
    return float(jnp.finfo(new).eps) if jnp.issubdtype(new, jnp.inexact) else 0.0


def _narrow_type(equation: JaxprEqn) -> str:
    if equation.primitive.name == "reduce_precision":
        return f"{equation.params['mantissa_bits']} binary digits"
    return str(jnp.dtype(equation.params["new_dtype"]))


def _without_casts(program: Program, arguments: Sequence[ArrayLike]) -> PyTree:
    """The result of a program with every floating number in float64."""
    jaxpr = program.jaxpr
    values = forward(jaxpr, bound(jaxpr, program.constants, arguments), _in_double)
    return jax.tree.unflatten(program.outputs, map(_widened, results(jaxpr, values)))


def _in_double(equation: JaxprEqn, operands: list[ArrayLike]) -> list[ArrayLike]:
    operands = [_widened(operand) for operand in operands]
    if _is_narrowing(equation):
        return operands
    parameters = {name: _wide_type(value) for name, value in equation.params.items()}
    made = equation.primitive.bind(*operands, **parameters)
    return list(made) if equation.primitive.multiple_results else [made]


def _widened(value: ArrayLike) -> ArrayLike:
    if not (isinstance(value, jax.Array) and eqx.is_inexact_array(value)):
        return value
    return jnp.asarray(value, _wide_type(value.dtype))


def _wide_type(value: Any) -> Any:
    """float64 or complex128 in place of a narrower type; anything else as it is."""
    try:
        kind = jnp.dtype(value) if isinstance(value, type | jnp.dtype) else None
    except TypeError:
        return value
    if kind is None or not jnp.issubdtype(kind, jnp.inexact):
        return value
    return jnp.result_type(kind, jnp.float64)
