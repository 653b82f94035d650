"""Affine forms: what a value has to do with the inputs, one line for each, beside its interval.

Every value is x = m + sum_k g_k e_k + r, with one symbol e_k in [-1, 1] for each input and |r| <= rest. A
linear primitive does to middle and generators what it does to a value; a curved one is held between two
parallel lines; a product keeps what is of first order. Intervals are followed beside it, and each narrows the
other. It is the linear relaxation that runs forward (zonotopes: Singh et al. 2018, "Fast and effective
robustness certification"), made of nothing but differentiable operations: a bound to train against.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from typing import NamedTuple, TypeAlias, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import JaxprEqn
from jaxtyping import Array, Float

from attractor.program import Kind, Program, Rule, interpret
from attractor.program.primitives import PRIMITIVES
from attractor.program.trace import without_repeats
from attractor.program.walk import is_exact

from .algebra import enclose
from .cell_bounds import Value, as_form, guarded
from .interval import TINY, Interval, exactly, intersection
from .polynomial import Exact, Form, symbol_form
from .polynomial_rules import RULES

# Parts of the range of a curved function: its slope is followed on each of them.
_PARTS = 4


class Affine(NamedTuple):
    """m + sum_k g_k e_k + r with |r| <= rest.

    Args:
        middle: m, any shape.
        generators: g, shape (symbols, *shape).
        rest: at least 0, the shape of m.
    """

    middle: Array
    generators: Float[Array, "symbols ..."]
    rest: Array

    @property
    def interval(self) -> Interval:
        """The least and the largest values."""
        radius = computed_once(jnp.abs(self.generators).sum(axis=0)) + self.rest
        return Interval(self.middle - radius, self.middle + radius)


@dataclass(frozen=True, eq=False)
class Followed:
    """A value as an interval form and as an affine form, both true."""

    form: Form
    affine: Affine

    @cached_property
    def interval(self) -> Interval:
        """What both leave of it; where rounding parts them, what lies between."""
        low, high = intersection(enclose(self.form).value, self.affine.interval)
        return Interval(jnp.minimum(low, high), jnp.maximum(low, high))


def unrelated(interval: Interval, symbols: int) -> Affine:
    """Any values of an interval, with nothing known of what they come from."""
    middle = (interval.low + interval.high) / 2
    nothing = jnp.zeros((symbols, *middle.shape), middle.dtype)
    return Affine(middle, nothing, jnp.maximum(interval.high - middle, middle - interval.low))


def followed(interval: Interval, affine: Affine) -> Followed:
    """A value of which both are known."""
    nothing = jnp.zeros((*interval.low.shape, 0), interval.low.dtype)
    return Followed(symbol_form(interval, exactly(nothing)), affine)


def affine_results(program: Program, arguments: Sequence[Followed]) -> list[Followed]:
    """The results of a program for arguments of the same symbols.

    Raises:
        UnsupportedError: a primitive without a rule, or a result that is a truth value.
    """
    symbols = arguments[0].affine.generators.shape[0]
    program = replace(program, jaxpr=without_repeats(program.jaxpr))  # what is computed twice is one quantity
    results = interpret(program, affine_rules(symbols), arguments, "interval bounds")
    kind = arguments[0].affine.middle.dtype
    return [_as_followed(result, kind, symbols) for result in results]


def _as_followed(result: Followed | Value, kind: np.dtype, symbols: int) -> Followed:
    """A result that is the same whatever comes in is followed too."""
    if isinstance(result, Followed):
        return result
    interval = enclose(as_form(result, kind, 0)).value
    return followed(interval, unrelated(interval, symbols))


@jax.custom_vjp
def computed_once(values: Array) -> Array:
    """The same values, whose cotangent is computed before it is used.

    A cotangent of a sum over symbols is the same for all of them. XLA would put all that leads to it into the
    loop over symbols, on processors through its own barriers as well, and compute it anew for each: a step of
    training took ten times as long. It does not look into a loop over two halves.
    """
    return values


def _forward(values: Array) -> tuple[Array, None]:
    return values, None


def _backward(_: None, cotangent: Array) -> tuple[Array]:
    flat = cotangent.ravel()
    halves = jnp.pad(flat, (0, flat.size % 2)).reshape(2, -1)
    through = jax.lax.map(lambda half: half + 0.0, halves)
    return (through.ravel()[: flat.size].reshape(cotangent.shape),)


computed_once.defvjp(_forward, _backward)


# What a rule of affine forms is called with.
Known: TypeAlias = Followed | Exact

# Results are sums of entries of one operand, without a change of sign; rules of truth values stand elsewhere.
_SUMS = frozenset("add add_any sub neg reduce_sum cumsum concatenate stack pad split real".split())
_PRODUCTS = frozenset(("mul", "dot_general", "conv_general_dilated"))


def affine_rules(symbols: int) -> dict[str, Rule]:
    """The rules of intervals, each of which is followed by that of affine forms.

    Args:
        symbols: of every affine form.
    """

    def follow(rule: Rule) -> Rule:
        def following(equation: JaxprEqn, *operands: Followed | Value) -> list[Followed | Value]:
            forms = [one.form if isinstance(one, Followed) else one for one in operands]
            found = rule(equation, *forms)
            boxes = found if isinstance(found, list | tuple) else [found]
            if not all(isinstance(box, Form) for box in boxes):
                return list(boxes)
            affine = _affine_of(equation, operands)
            if affine is None:
                affine = [unrelated(enclose(box).value, symbols) for box in boxes]
            return [Followed(*pair) for pair in zip(boxes, affine, strict=True)]

        return following

    return {name: follow(rule) for name, rule in guarded(RULES).items()}


def _affine_of(equation: JaxprEqn, operands: Sequence[Followed | Value]) -> list[Affine] | None:
    """The affine forms of the results of an equation; None where there is no rule."""
    name, known = equation.primitive.name, PRIMITIVES.get(equation.primitive.name)
    unknown = [index for index, one in enumerate(operands) if isinstance(one, Followed)]
    if known is None or not all(isinstance(one, Followed) or is_exact(one) for one in operands):
        return None
    given = cast("Sequence[Known]", operands)
    if name in _PRODUCTS and len(unknown) == 2:
        return [_product(equation, *cast("Sequence[Followed]", given))]
    passes = known.kind in (Kind.PASSING, Kind.MOVING, Kind.CHOOSING)
    divided = name == "div" and unknown == [0]
    if name in _SUMS or name in _PRODUCTS or passes or divided or name == "convert_element_type":
        return _linear(equation, given, unknown)
    if known.kind is Kind.ELEMENTWISE and len(unknown) == 1:
        return [_curved(equation, given, unknown[0])]
    return None


def _linear(equation: JaxprEqn, operands: Sequence[Known], unknown: Sequence[int]) -> list[Affine]:
    """A primitive that is linear in its unknown operands: the same for middles, one by one for generators."""
    forms = [_form_at(operands, index) for index in unknown]

    def done(*values: Array) -> list[Array]:
        own = iter(values)
        return _results(equation, [next(own) if isinstance(one, Followed) else one for one in operands])

    image, push = jax.linearize(done, *(form.middle for form in forms))
    generators = jax.vmap(push)(*(form.generators for form in forms))
    rests = _rests(equation, operands, unknown)
    return [Affine(*parts) for parts in zip(image, generators, rests, strict=True)]


def _rests(equation: JaxprEqn, operands: Sequence[Known], unknown: Sequence[int]) -> list[Array]:
    """Sums of the rests of the operands, weighted by sizes: of a matrix its absolute entries."""
    sizes = [_rest(equation, operands, index) for index in unknown]
    return [reduce(jnp.add, parts) for parts in zip(*sizes, strict=True)]


def _rest(equation: JaxprEqn, operands: Sequence[Known], index: int) -> list[Array]:
    """What the rest of one operand is in the results."""
    fixed = [one.affine.middle if isinstance(one, Followed) else one for one in operands]
    if equation.primitive.name in _PRODUCTS:
        fixed = [jnp.abs(jnp.asarray(one)) for one in fixed]

    def done(value: Array) -> list[Array]:
        return _results(equation, [*fixed[:index], value, *fixed[index + 1 :]])

    rest = _form_at(operands, index).rest
    _, moved = jax.jvp(done, (jnp.zeros_like(rest),), (rest,))
    return [jnp.abs(one) for one in moved]


def _form_at(operands: Sequence[Known], index: int) -> Affine:
    return cast(Followed, operands[index]).affine


def _results(equation: JaxprEqn, operands: Sequence[Exact]) -> list[Array]:
    """What the primitive of an equation makes of arrays, as a list."""
    found = equation.primitive.bind(*map(jnp.asarray, operands), **equation.params)
    return list(found) if equation.primitive.multiple_results else [found]


def _product(equation: JaxprEqn, one: Followed, other: Followed) -> Affine:
    """With x y = m_x y + x m_y - m_x m_y + (x - m_x)(y - m_y), the last at most the product of both radii."""

    def done(x: Array, y: Array) -> Array:
        return _results(equation, [x, y])[0]

    (middle, generators, rest), (its, theirs, left) = one.affine, other.affine
    first = jax.vmap(lambda g: done(g, its))(generators)
    second = jax.vmap(lambda g: done(middle, g))(theirs)
    radii = [_radius(value) for value in (one, other)]
    small = done(rest, jnp.abs(its)) + done(jnp.abs(middle), left) + done(*radii)
    return Affine(done(middle, its), first + second, small)


def _radius(value: Followed) -> Array:
    """How far a value is at most from the middle of its affine form."""
    low, high = value.interval
    return jnp.maximum(jnp.maximum(high - value.affine.middle, value.affine.middle - low), 0.0)


def _curved(equation: JaxprEqn, operands: Sequence[Known], index: int) -> Affine:
    """A function of one number, held between two lines of the slope of its chord."""
    value = cast(Followed, operands[index])

    def function(interval: Interval) -> tuple[Interval, Interval]:
        one = exactly(jnp.ones((*interval.low.shape, 1), interval.low.dtype))
        given = [*operands[:index], symbol_form(interval, one), *operands[index + 1 :]]
        found = enclose(RULES[equation.primitive.name](equation, *given))
        return found.value, found.jacobian.each(lambda end: end[..., 0])

    slope, least, most = _lines(function, value.interval)
    slope = computed_once(slope)
    middle, generators, rest = value.affine
    offset, apart = (least + most) / 2, (most - least) / 2
    return Affine(slope * middle + offset, slope * generators, jnp.abs(slope) * rest + apart)


def _lines(
    function: Callable[[Interval], tuple[Interval, Interval]], over: Interval
) -> tuple[Array, Array, Array]:
    """The slope c of the chord of f, and bounds of f(x) - c x, all of it on a box.

    On each part the function is as far above its ends as its slopes let it be.
    """
    low, width = over.low, over.high - over.low
    nodes = jnp.stack([low + width * (k / _PARTS) for k in range(_PARTS)] + [over.high])
    at, _ = jax.vmap(function)(exactly(nodes))
    _, slopes = jax.vmap(function)(Interval(nodes[:-1], nodes[1:]))
    wide = width > TINY
    rise = (at.low[-1] + at.high[-1] - at.low[0] - at.high[0]) / 2
    chord = jnp.where(wide, rise / jnp.where(wide, width, 1.0), (slopes.low[0] + slopes.high[0]) / 2)
    chord = jnp.where(jnp.isfinite(chord), chord, 0.0)
    least, most = slopes.low - chord, slopes.high - chord
    length = nodes[1:] - nodes[:-1]
    tops = _highest(at.high[:-1] - chord * nodes[:-1], at.high[1:] - chord * nodes[1:], least, most, length)
    depths = _highest(
        -at.low[:-1] + chord * nodes[:-1], -at.low[1:] + chord * nodes[1:], -most, -least, length
    )
    usable = jnp.isfinite(slopes.low).all(axis=0) & jnp.isfinite(slopes.high).all(axis=0)
    whole, _ = function(over)
    return (
        jnp.where(usable, chord, 0.0),
        jnp.where(usable, -depths.max(axis=0), whole.low),
        jnp.where(usable, tops.max(axis=0), whole.high),
    )


def _highest(left: Array, right: Array, least: Array, most: Array, length: Array) -> Array:
    """The largest value between two ends of a function whose slopes lie between two numbers."""
    bent = (least < 0) & (most > 0) & jnp.isfinite(least) & jnp.isfinite(most)
    gap = jnp.where(bent, most - least, 1.0)
    falls, rises = jnp.where(bent, least, 0.0), jnp.where(bent, most, 0.0)
    at = jnp.clip((right - left - falls * length) / gap, 0.0, length)
    return jnp.maximum(jnp.maximum(left, right), jnp.where(bent, left + rises * at, left))
