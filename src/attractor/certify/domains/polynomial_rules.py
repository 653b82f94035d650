"""The rules of the polynomial domain: how every primitive acts on forms.

A rule for a new primitive is registered where it is written, in a file of its own or in another package:

    register_function("atan", ScalarFunction(value, slope))
    RULES.register("cumsum", rule)

A package names its module in the entry-point group `attractor.polynomial_rules`.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from math import inf, prod
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend.core import JaxprEqn
from jax.lax import GatherScatterMode
from jaxtyping import Array

from attractor.errors import UnsupportedError
from attractor.program import JAX_PRIMITIVES, Rule, location, zeros_of
from attractor.registry import Registry

from .algebra import enclose, mapped, plus, scaled, shifted, times
from .choices import (
    COMPARISONS,
    LOGIC,
    Undecided,
    difference,
    select,
    shape_of,
    spread_enclosure,
    truth,
    truth_form,
)
from .interval import (
    SCALAR,
    TRANSCENDENTAL,
    UNIT,
    Interval,
    ScalarFunction,
    above,
    below,
    contract,
    integer_power,
    real_power,
)
from .polynomial import (
    Coefficient,
    Exact,
    Facts,
    Form,
    Norm,
    Operand,
    Origin,
    Zeros,
    branched_form,
    coefficient,
    curve_of,
    dtype_of,
    finite_coefficient,
    reciprocal,
    symbol_form,
    through,
    unshared,
)
from .vectors import is_short, norm_form, normalised_form, softmax_form

# Elements of which the largest may be one, so that the bound of a row looks at each of them.
_MOST_BRANCHES = 16


def apply_scalar(form: Form, function: ScalarFunction) -> Form:
    """f(form): a new symbol, whose slope and argument are kept apart."""
    inside, curve = enclose(form), curve_of(form)

    def narrowed(p: Interval) -> tuple[Interval, Interval]:
        argument = curve.ranges(p).value
        return function.value(argument), function.slope(argument)

    value, slope = function.value(inside.value), function.slope(inside.value)
    result = symbol_form(value, inside.jacobian, slope, Origin(curve.base, narrowed))
    return replace(result, curve=through(curve, function.value, function.slope))


def _add(_: JaxprEqn, one: Operand, other: Operand) -> Form:
    if isinstance(one, Form) and isinstance(other, Form):
        return plus(one, other)
    exact, form = _exact_first(one, other)
    return shifted(form, exact)


def _exact_first(one: Operand, other: Operand) -> tuple[Exact, Form]:
    """Two operands, of which one is exact."""
    return (cast(Exact, other), one) if isinstance(one, Form) else (one, cast(Form, other))


def _multiply(_: JaxprEqn, one: Operand, other: Operand) -> Form:
    if not (isinstance(one, Form) and isinstance(other, Form)):
        exact, form = _exact_first(one, other)
        return scaled(form, finite_coefficient(exact))
    if one is other:
        return _with_facts(apply_scalar(one, SCALAR["square"]), square_of=one)
    return _normalised(one, other, -0.5) or _normalised(other, one, -0.5) or times(one, other)


def _with_facts(form: Form, **facts: bool | Form | Norm | None) -> Form:
    return replace(form, facts=form.facts._replace(**facts))


def _normalised(one: Form, other: Form, power: float) -> Form | None:
    """A vector times a power of its own norm, as what it is; None for anything else."""
    norm = other.facts.norm
    fits = norm is not None and norm.power == power and norm.of is one and is_short(one)
    return normalised_form(norm) if fits and norm is not None else None


def _divide(equation: JaxprEqn, one: Operand, other: Operand) -> Form:
    if not isinstance(other, Form):
        return scaled(cast(Form, one), reciprocal(other))
    if isinstance(one, Form):
        if (found := _normalised(one, other, 0.5)) is not None:
            return found
        exponent = one.facts.exponential_of
        if exponent is not None and other.facts.total_of is one and is_short(one):
            return softmax_form(exponent.facts.shift_of or exponent)
    return _multiply(equation, one, _inverse(other))


def _inverse(other: Form) -> Form:
    result, norm = apply_scalar(other, SCALAR["reciprocal"]), other.facts.norm
    facts = Facts(uniform=other.facts.uniform)
    if norm is not None and norm.power == 0.5:
        facts = facts._replace(norm=norm._replace(power=-0.5))
    return replace(result, facts=facts)


def _product_of_arrays(equation: JaxprEqn, one: Operand, other: Operand) -> Form:
    (left, right), (left_batch, right_batch) = equation.params["dimension_numbers"]
    if one is other and len(shape_of(one)) == 1 and left:
        return _summed(_multiply(equation, one, one), (0,))
    if left_batch or right_batch or (isinstance(one, Form) and isinstance(other, Form)):
        return _general_product(equation, one, other)
    exact, form = _exact_first(one, other)
    own, theirs = (right, left) if isinstance(one, Form) else (left, right)
    weight, inside = jnp.asarray(exact), enclose(form)
    value = contract(weight, inside.value, (tuple(own), tuple(theirs)))
    jacobian = contract(weight, inside.jacobian, (tuple(own), tuple(theirs)))
    if isinstance(one, Form):  # the free axes of the form come first
        free = weight.ndim - len(own)
        value = value.each(lambda array: _rotated(array, free, 0))
        jacobian = jacobian.each(lambda array: _rotated(array, free, 1))
    return symbol_form(value, jacobian)


def _rotated(array: Array, leading: int, trailing: int) -> Array:
    """The first axes moved behind the others, before the last `trailing` ones."""
    return jnp.moveaxis(array, range(leading), range(array.ndim - trailing - leading, array.ndim - trailing))


def _general_product(equation: JaxprEqn, one: Operand, other: Operand) -> Form:
    """A product of two unknown arrays: all products first, then sums; batches and matrices alike."""
    (left, right), (left_batch, right_batch) = equation.params["dimension_numbers"]
    free = [axis for axis in range(len(shape_of(one))) if axis not in (*left, *left_batch)]
    other_free = [axis for axis in range(len(shape_of(other))) if axis not in (*right, *right_batch)]
    batch, total = len(left_batch), len(left_batch) + len(free) + len(other_free) + len(left)
    first = [*range(batch + len(free)), *range(total - len(left), total)]
    second = [*range(batch), *range(batch + len(free), total)]
    spread_one = _spread(one, [*left_batch, *free, *left], first, total)
    spread_other = _spread(other, [*right_batch, *other_free, *right], second, total)
    products = _multiply(equation, spread_one, spread_other)
    axes = tuple(range(total - len(left), total))
    return _summed(products, axes)


def _spread(operand: Operand, order: Sequence[int], positions: Sequence[int], total: int) -> Operand:
    def operation(array: Array) -> Array:
        moved = array.transpose(order)
        new = [axis for axis in range(total) if axis not in positions]
        return jnp.expand_dims(moved, new)

    if isinstance(operand, Form):
        return mapped(operand, operation, ("spread", tuple(order), tuple(positions), total))
    return operation(jnp.asarray(operand))


def _summed(form: Form, axes: tuple[int, ...]) -> Form:
    inside = enclose(form)
    ones = jnp.ones([form.shape[axis] for axis in axes], dtype_of(form))
    dimensions = tuple(range(len(axes))), axes
    value, jacobian = (contract(ones, part, dimensions) for part in (inside.value, inside.jacobian))
    positive = (inside.value.low >= 0).all(axis=axes)  # rounding must not take this from a sum
    value = Interval(jnp.where(positive, jnp.maximum(value.low, 0.0), value.low), value.high)
    result = symbol_form(value, jacobian)
    if len(axes) < len(form.shape):
        return result
    square = form.facts.square_of
    norm = None if square is None else Norm(square, 1.0, 0.0, 1.0)
    return _with_facts(result, uniform=True, total_of=form, norm=norm)


# Scalar functions that vectors are made of, and the fact that remembers them.
_KEPT = {"square": "square_of", "exp": "exponential_of"}


def _scalar(equation: JaxprEqn, one: Form) -> Form:
    name, norm = equation.primitive.name, one.facts.norm
    result = apply_scalar(one, SCALAR[name])
    if norm is not None and norm.power == 1 and name in ("sqrt", "rsqrt") and is_short(norm.of):
        if name == "rsqrt":
            return _with_facts(result, uniform=True, norm=norm._replace(power=-0.5))
        root = mapped(norm_form(norm), lambda number: jnp.broadcast_to(number, one.shape), unshared())
        return _with_facts(root, uniform=True, norm=norm._replace(power=0.5))
    facts = Facts(uniform=one.facts.uniform)
    facts = facts._replace(**{_KEPT[name]: one}) if name in _KEPT else facts
    result = replace(result, facts=facts)
    return replace(result, zeros=_zeros(one, name))


def _zeros(form: Form, name: str) -> Zeros | None:
    """What the table of primitives says of the zeros of f(form)."""
    rule = zeros_of(name)
    return Zeros(form, rule.backward) if rule.forward else None


def _integer_power(equation: JaxprEqn, one: Form) -> Form:
    exponent = equation.params["y"]
    if exponent == 1:
        return one
    result = apply_scalar(one, integer_power(exponent))
    return _with_facts(result, square_of=one) if exponent == 2 else result


def _power(_: JaxprEqn, one: Operand, other: Operand) -> Form:
    if not isinstance(other, Form):
        return apply_scalar(cast(Form, one), real_power(jnp.asarray(other)))
    if isinstance(one, Form):
        exponent = times(other, apply_scalar(one, SCALAR["log"]))
    else:
        exponent = scaled(other, coefficient(jnp.log(one), 4 * TRANSCENDENTAL * UNIT))
    return apply_scalar(exponent, SCALAR["exp"])


def _extreme(sign: int, rectifier: Callable[[Array], ScalarFunction]) -> Rule:
    """The larger of two numbers (sign 1), or the smaller.

    Its difference between two points lies between the differences of the operand that is larger at the one
    and of the operand that is larger at the other, so that its derivative is a mean of theirs. An operand
    that is larger on the whole box is the result.
    """

    def rule(_: JaxprEqn, one: Operand, other: Operand) -> Form:
        if not (isinstance(one, Form) and isinstance(other, Form)):
            threshold, form = _exact_first(one, other)
            if sign > 0 and _never_above(threshold, form):
                return form
            return apply_scalar(form, rectifier(jnp.asarray(threshold)))
        left, right = enclose(one), enclose(other)
        choose = jnp.maximum if sign > 0 else jnp.minimum
        value = Interval(*(choose(*ends) for ends in zip(left.value, right.value, strict=True)))
        gap = enclose(difference(one, other)).value
        first, second = (gap.low >= 0, gap.high <= 0)[::sign]
        own, theirs = left.jacobian, right.jacobian
        return branched_form(value, [_unless(second, own, theirs), _unless(first, theirs, own)])

    return rule


def _never_above(threshold: Exact, form: Form) -> bool:
    """Whether a threshold is known not to exceed a form: minus infinity, or zero and less for a square."""
    if isinstance(threshold, Tracer) or np.ndim(threshold) != 0:
        return False
    square = form.facts.norm is not None and form.facts.norm.power == 1
    return float(cast(float, threshold)) == -inf or (square and float(cast(float, threshold)) <= 0)


def _unless(other_wins: Array, own: Interval, other: Interval) -> Interval:
    """The derivative of one operand, or of the other one where that is the extreme on the whole box."""
    return other.where(other_wins[..., None], own)


def _clamp(equation: JaxprEqn, least: Operand, one: Operand, most: Operand) -> Form:
    if isinstance(one, Form) or isinstance(least, Form):
        raised = RULES["max"](equation, one, least)
    else:
        raised = jnp.maximum(one, least)
    return RULES["min"](equation, raised, most)


def _move(equation: JaxprEqn, one: Operand, *exact: Operand) -> Form:
    """An operation that only moves elements: the same for values, slopes and every direction."""
    if not isinstance(one, Form) or any(isinstance(operand, Form) for operand in exact):
        raise UnsupportedError(
            f"interval bounds: '{equation.primitive.name}' of a truth value, or at a position that depends "
            f"on the state{location(equation)}"
        )

    def operation(array: Array) -> Array:
        return _done(equation, equation.params, array, *cast(tuple[Exact, ...], exact))

    return mapped(one, operation, _name_of(equation, cast(tuple[Exact, ...], exact)))


def _done(equation: JaxprEqn, parameters: Mapping[str, object], *arrays: Exact) -> Array:
    """What the primitive of an equation makes of arrays."""
    return equation.primitive.bind(*arrays, **parameters)


def _name_of(equation: JaxprEqn, exact: Sequence[Exact]) -> Hashable:
    """What a move is called: two moves of one name are the same move.

    An index that is traced has no value now, so that two of them cannot be told apart: each is its own.
    """
    if any(isinstance(operand, Tracer) for operand in exact):
        return unshared()
    indices = tuple(str(np.asarray(operand).tolist()) for operand in exact)
    return equation.primitive.name, str(equation.params), indices


def _gather(equation: JaxprEqn, one: Operand, *exact: Operand) -> Form:
    """As a move; what lies outside the array, where that is allowed, is the filler and depends on nothing."""
    if equation.params["mode"] != GatherScatterMode.FILL_OR_DROP or not isinstance(one, Form):
        return _move(equation, one, *exact)
    inside = enclose(one)
    still = {**equation.params, "fill_value": 0.0}
    index = cast(tuple[Exact, ...], exact)
    value = inside.value.each(lambda end: _done(equation, equation.params, end, *index))
    along = jax.vmap(lambda end: _done(equation, still, end, *index), in_axes=-1, out_axes=-1)
    return symbol_form(value, inside.jacobian.each(along))


def _split(equation: JaxprEqn, one: Form) -> list[Form]:
    axis, sizes = equation.params["axis"], equation.params["sizes"]
    pieces, start = [], 0
    for size in map(int, sizes):
        cut = (slice(None),) * axis + (slice(start, start + size),)
        pieces.append(mapped(one, lambda array, cut=cut: array[cut], ("cut", axis, start, size)))
        start += size
    return pieces


def _joined(join: Callable[[JaxprEqn, Sequence[Array]], Array]) -> Rule:
    """Parts put side by side, by `join` for values and for every direction; each keeps its own bounds."""

    def rule(equation: JaxprEqn, *parts: Operand) -> Form:
        directions = next(part for part in parts if isinstance(part, Form)).directions
        found = [spread_enclosure(part, shape_of(part), directions) for part in parts]
        values = [one.value.each(jnp.asarray) for one in found]
        along = jax.vmap(lambda *ends: join(equation, ends), in_axes=-1, out_axes=-1)
        value = Interval(*(join(equation, ends) for ends in zip(*values, strict=True)))
        return symbol_form(
            value, Interval(*(along(*ends) for ends in zip(*(one.jacobian for one in found), strict=True)))
        )

    return rule


def _largest(sign: float) -> Rule:
    """The largest element along some axes (sign 1), or the smallest.

    Its difference between two points lies between the differences of the elements that are largest at the
    one and at the other, so that its derivative is a mean of theirs. An element that is below another one on
    the whole box is never largest: that other one stands for it.
    """

    def rule(equation: JaxprEqn, one: Form) -> Form:
        axes, inside = tuple(equation.params["axes"]), enclose(one)
        count = prod(one.shape[axis] for axis in axes)
        ends = [_with_last(sign * end, axes, count, 0) for end in inside.value]
        low, high = ends if sign > 0 else ends[::-1]
        value = inside.value.each(lambda end: sign * jnp.max(_with_last(sign * end, axes, count, 0), -1))
        never = high < jnp.max(low, axis=-1, keepdims=True)
        best = jnp.argmax(low, axis=-1)[..., None, None]
        slopes = [_with_last(end, axes, count, 1) for end in inside.jacobian]
        slopes = [jnp.where(never[..., None], jnp.take_along_axis(end, best, axis=-2), end) for end in slopes]
        if count > _MOST_BRANCHES:
            return symbol_form(value, Interval(slopes[0].min(axis=-2), slopes[1].max(axis=-2)))
        return branched_form(value, [Interval(*(end[..., k, :] for end in slopes)) for k in range(count)])

    return rule


def _with_last(array: Array, axes: tuple[int, ...], count: int, trailing: int) -> Array:
    """Axes joined to one behind all others, before the last `trailing` ones."""
    kept = [axis for axis in range(array.ndim - trailing) if axis not in axes]
    last = list(range(array.ndim - trailing, array.ndim))
    moved = array.transpose([*kept, *axes, *last])
    return moved.reshape(*(array.shape[axis] for axis in kept), count, *(array.shape[axis] for axis in last))


def _pad(equation: JaxprEqn, one: Operand, filler: Operand) -> Form:
    if isinstance(filler, Form):
        return _pad_unknown(equation, one, filler)
    inside = enclose(cast(Form, one))

    def padded(array: Array, with_: Exact) -> Array:
        return jax.lax.pad(array, jnp.asarray(with_, array.dtype), equation.params["padding_config"])

    along = jax.vmap(lambda array: padded(array, 0.0), in_axes=-1, out_axes=-1)
    return symbol_form(inside.value.each(lambda end: padded(end, filler)), inside.jacobian.each(along))


def _pad_unknown(equation: JaxprEqn, one: Operand, filler: Form) -> Form:
    mask_of = jnp.zeros(shape_of(one), dtype_of(filler))
    one_dtype = jnp.asarray(1.0, mask_of.dtype)
    outside = jax.lax.pad(mask_of, one_dtype, equation.params["padding_config"])
    inner = _pad(equation, one, jnp.zeros((), mask_of.dtype)) if isinstance(one, Form) else None
    spread = scaled(filler, coefficient(outside))
    if isinstance(one, Form) and inner is not None:
        return plus(inner, spread)
    around = jax.lax.pad(jnp.asarray(one), 0 * one_dtype, equation.params["padding_config"])
    return shifted(spread, around)


def _convert(equation: JaxprEqn, one: Form | Undecided) -> Form:
    """A change of type: between floating types only rounding changes, which is not followed."""
    if not jnp.issubdtype(equation.params["new_dtype"], jnp.floating):
        where = location(equation)
        raise UnsupportedError(
            f"interval bounds: a whole number, truth value or complex number of state or input{where}"
        )
    return truth_form(one) if isinstance(one, Undecided) else one


_MOVES = [one.name for one in JAX_PRIMITIVES if one.whole_moves]

# What truth values that are not decided may go through.
OF_TRUTH = frozenset([*LOGIC, *_MOVES, "concatenate", "stack", "gather"])

_OWN: dict[str, Rule] = {
    "add": _add,
    "add_any": _add,
    "sub": lambda _, one, other: difference(one, other),
    "neg": lambda _, one: scaled(one, Coefficient(-1.0)),
    "mul": _multiply,
    "div": _divide,
    "dot_general": _product_of_arrays,
    "reduce_sum": lambda equation, one: _summed(one, tuple(equation.params["axes"])),
    "integer_pow": _integer_power,
    "pow": _power,
    "max": _extreme(1, above),
    "min": _extreme(-1, below),
    "clamp": _clamp,
    **COMPARISONS,
    **dict.fromkeys(LOGIC, truth),
    "select_n": select,
    "split": _split,
    "concatenate": _joined(lambda equation, parts: jnp.concatenate(parts, equation.params["dimension"])),
    "stack": _joined(lambda equation, parts: _done(equation, equation.params, *parts)),
    "reduce_max": _largest(1.0),
    "reduce_min": _largest(-1.0),
    "pad": _pad,
    "gather": _gather,
    "convert_element_type": _convert,
    "real": lambda _, one: one,
    **dict.fromkeys([name for name in SCALAR if name != "reciprocal"], _scalar),
    **dict.fromkeys(_MOVES, _move),
}

# One rule for each primitive that bounds know; other packages add theirs by `register`.
RULES: Registry[str, Rule] = Registry(
    "rule of the polynomial domain", "attractor.polynomial_rules", __package__
)

for _primitive, _rule in _OWN.items():
    RULES.register(_primitive, _rule, source=__name__)


def register_function(primitive: str, function: ScalarFunction) -> None:
    """Add the rule of a primitive that is a function of one number, from what it does to intervals.

    Args:
        primitive: its name in a jaxpr.
        function: its range, and the range of its slope.

    Raises:
        ConfigError: the primitive has a rule already.
    """
    RULES.register(primitive, _scalar, source=function.value.__module__)
    SCALAR[primitive] = function
