"""What is known of each primitive of JAX: the one table that every reading of a program asks.

A reading has rules of its own (how to write a sine in C, how to bound one), but what a primitive *is* stands
here once: whether it works entry by entry, only moves entries, reduces, multiplies arrays or chooses; what
its values and slopes can be; whether it jumps; and what its zeros have to do with those of its operand. A
fact is in the table only with the argument for it (`because`). Where a fact is used in both directions, both
are argued: that sin 0 = 0 says nothing of where a sine is zero. What is not in the table is unknown, and so
is a field that is left out.

A primitive of one's own needs no change here. Its file, named by the entry points `attractor.primitives` of
its package, registers what is known of it, and how a reading writes it:

    PRIMITIVES.register("softstep", Primitive("softstep", Kind.ELEMENTWISE, (-1, 1), (0, 3), because="..."))
    RULES.register(("NumPy", "softstep"), "np.tanh(3.0 * {0})")
    RULES.register(("CasADi", "softstep"), lambda a: (3 * a).tanh())

A fact is a promise: certificates rest on `zeros` and `jumps`, exports on `moved`. Only what is never in doubt
belongs here; a field that is left out says nothing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from math import inf

from attractor.registry import Registry

# A least and a largest number.
Between = tuple[float | int, float | int]


class Kind(Enum):
    """What a primitive does with the entries of its operands."""

    ELEMENTWISE = "every entry of the result comes from the entries at its position"
    CHOOSING = "every entry of the result is that of one of the operands at its position"
    MOVING = "every entry of the result is an entry of an operand, of whatever position"
    REDUCING = "entries along some axes become one"
    CONTRACTING = "sums of products of entries of two arrays"
    PASSING = "the operand itself: only transformations of programs see a difference"


class ZeroRule(Enum):
    """What a zero of f(p) and a zero of p have to do with each other."""

    UNKNOWN = "nothing is known"
    FORWARD = "f(0) = 0; f may be zero elsewhere"
    BOTH = "f(p) = 0 exactly where p = 0"

    @property
    def forward(self) -> bool:
        """Whether p = 0 gives f(p) = 0."""
        return self is not ZeroRule.UNKNOWN

    @property
    def backward(self) -> bool:
        """Whether f(p) = 0 gives p = 0."""
        return self is ZeroRule.BOTH


@dataclass(frozen=True)
class Primitive:
    """What is known of one primitive.

    Args:
        name: its name in a jaxpr.
        kind: what it does with entries.
        range: values of a function of one real number, wherever it is defined.
        slope: slopes of it, wherever it has one; None if they have no bound that is worth a name.
        zeros: of a function of one number.
        jumps: whether it is a step function: constant but for jumps, so that its derivative says nothing.
        moved: which operands are moved, of one that moves entries; None for all of them.
        whole_moves: whether each entry of the result is an entry of the first operand, and no filler.
        cheap: whether a processor does it about as fast as it reads its result from memory.
        because: the argument for range, slope and zeros, in both directions where both are stated.
    """

    name: str
    kind: Kind
    range: Between = (-inf, inf)
    slope: Between | None = None
    zeros: ZeroRule = ZeroRule.UNKNOWN
    jumps: bool = False
    moved: tuple[int, ...] | None = None
    whole_moves: bool = False
    cheap: bool = True
    because: str = ""


def _function(name: str, values: Between, slope: Between | None, zeros: ZeroRule, because: str) -> Primitive:
    return Primitive(name, Kind.ELEMENTWISE, values, slope, zeros, because=because)


def _rising(name: str, values: Between, slope: Between | None, why: str) -> Primitive:
    """A strictly increasing function with f(0) = 0: that makes it zero at zero and, rising, nowhere else."""
    because = f"{why}; it increases strictly and f(0) = 0, so p < 0 gives f < 0 and p > 0 gives f > 0"
    return _function(name, values, slope, ZeroRule.BOTH, because)


def _step(name: str, zeros: ZeroRule, because: str) -> Primitive:
    return Primitive(name, Kind.ELEMENTWISE, zeros=zeros, jumps=True, because=because)


_NO, _FORWARD, _BOTH = ZeroRule.UNKNOWN, ZeroRule.FORWARD, ZeroRule.BOTH

_FUNCTIONS = (
    _rising("tanh", (-1, 1), (0, 1), "the slope 1 - tanh^2 lies in (0, 1]"),
    _rising("erf", (-1, 1), (0, 1.1283791670955128), "the slope 2/sqrt(pi) exp(-p^2) is largest at 0"),
    _rising("expm1", (-1, inf), (0, inf), "the slope is exp(p) > 0"),
    _rising("log1p", (-inf, inf), (0, inf), "the slope is 1/(1 + p) > 0 where it is defined"),
    _rising("sinh", (-inf, inf), (1, inf), "the slope cosh is at least 1"),
    _rising("asinh", (-inf, inf), (0, 1), "the slope 1/sqrt(1 + p^2) lies in (0, 1]"),
    _rising("atan", (-1.5707963267948968, 1.5707963267948968), (0, 1), "the slope is 1/(1 + p^2)"),
    _rising("asin", (-1.5707963267948968, 1.5707963267948968), (1, inf), "the slope is 1/sqrt(1 - p^2)"),
    _rising("atanh", (-inf, inf), (1, inf), "the slope is 1/(1 - p^2) where it is defined"),
    _rising("sqrt", (0, inf), (0, inf), "defined for p >= 0, with slope 1/(2 sqrt p) > 0"),
    _rising("cbrt", (-inf, inf), (0, inf), "the inverse of the increasing cube"),
    _rising("erf_inv", (-inf, inf), (0.886226925452758, inf), "the inverse of erf, slope 1/erf'"),
    _function("abs", (0, inf), (-1, 1), _BOTH, "|p| > 0 for p != 0, and |0| = 0; slopes are -1 and 1"),
    _function("square", (0, inf), None, _BOTH, "p^2 > 0 for p != 0, and 0^2 = 0"),
    _function("sin", (-1, 1), (-1, 1), _FORWARD, "sin 0 = 0, but also at every multiple of pi; slope cos"),
    _function(
        "tan", (-inf, inf), (1, inf), _FORWARD, "tan 0 = 0, but also at multiples of pi; slope 1 + tan^2"
    ),
    _function("cos", (-1, 1), (-1, 1), _NO, "cos 0 = 1; slope -sin"),
    _function("logistic", (0, 1), (0, 0.25), _NO, "1/2 at 0; the slope s(1 - s) is at most 1/4"),
    _function("erfc", (0, 2), (-1.1283791670955128, 0), _NO, "1 - erf"),
    _function("exp", (0, inf), (0, inf), _NO, "never zero; its own slope"),
    _function("exp2", (0, inf), (0, inf), _NO, "never zero; slope log 2 times itself"),
    _function("log", (-inf, inf), (0, inf), _NO, "zero at 1; slope 1/p for p > 0"),
    _function("rsqrt", (0, inf), (-inf, 0), _NO, "never zero; falls for p > 0"),
    _function("cosh", (1, inf), None, _NO, "(e^p + e^-p)/2 >= 1 by the means"),
    _function("acosh", (0, inf), (0, inf), _NO, "zero at 1, where it begins; rises"),
    _function("acos", (0, 3.1415926535897936), (-inf, -1), _NO, "zero at 1; slope -1/sqrt(1 - p^2)"),
    _function("neg", (-inf, inf), (-1, -1), _BOTH, "-p = 0 exactly for p = 0"),
)
_STEPS = (
    _step(
        "sign", _BOTH, "0 at 0 and +-1 elsewhere, and it jumps at 0: a gap made of it has no zero to cross"
    ),
    _step("floor", _FORWARD, "0 at 0, and on all of [0, 1)"),
    _step("ceil", _FORWARD, "0 at 0, and on all of (-1, 0]"),
    _step("round", _FORWARD, "0 at 0, and near it"),
    _step("is_finite", _NO, "a truth value"),
    *(_step(name, _NO, "a truth value") for name in "eq ne lt le gt ge".split()),
    *(_step(name, _NO, "of truth values or bits") for name in "and or not xor".split()),
)
_ARITHMETIC = tuple(
    Primitive(name, Kind.ELEMENTWISE)
    for name in "add add_any sub mul div max min pow clamp integer_pow".split()
)
_OTHERS = tuple(
    Primitive(name, Kind.ELEMENTWISE) for name in "atan2 rem nextafter lgamma convert_element_type".split()
)
_REDUCTIONS = tuple(
    Primitive(name, Kind.REDUCING) for name in "reduce_sum reduce_max reduce_min reduce_prod".split()
) + tuple(
    Primitive(name, Kind.REDUCING, jumps=True, because="of truth values")
    for name in "reduce_and reduce_or".split()
)


def _moves(names: str, moved: tuple[int, ...] | None, *, whole: bool = False) -> tuple[Primitive, ...]:
    return tuple(Primitive(name, Kind.MOVING, moved=moved, whole_moves=whole) for name in names.split())


_MOVES = (
    *_moves(
        "reshape squeeze expand_dims transpose slice broadcast_in_dim rev dynamic_slice", (0,), whole=True
    ),
    *_moves("split unstack tile gather", (0,)),
    *_moves("dynamic_update_slice pad", (0, 1)),
    *_moves("scatter", (0, 2)),
    *_moves("concatenate stack", None),
)
# Not known to be about as fast as reading their result: they are kept, not done again.
_DEAR = frozenset(
    "acos acosh asin asinh atan atan2 atanh cbrt cosh erf_inv erfc lgamma nextafter sinh reduce_max "
    "reduce_min reduce_prod reduce_and reduce_or tile gather dynamic_update_slice scatter stack dot_general "
    "optimization_barrier".split()
)


# Every primitive of JAX that some reading knows.
_LISTED = (
    *_FUNCTIONS,
    *_STEPS,
    *_ARITHMETIC,
    *_OTHERS,
    *_REDUCTIONS,
    *_MOVES,
    Primitive("select_n", Kind.CHOOSING),
    Primitive("dot_general", Kind.CONTRACTING),
    *(
        Primitive(name, Kind.PASSING)
        for name in "stop_gradient name copy copy_p optimization_barrier".split()
    ),
)
JAX_PRIMITIVES = tuple(replace(one, cheap=one.name not in _DEAR) for one in _LISTED)

# What is known of every primitive that some reading knows, by name.
PRIMITIVES = Registry[str, Primitive]("primitive", "attractor.primitives", __package__)

for _one in JAX_PRIMITIVES:
    PRIMITIVES.register(_one.name, _one, source=__name__)


AddedRule = str | Callable[..., object]

# Rules beside those of the house, by reading and primitive; each reading says what its rules look like.
RULES = Registry[tuple[str, str], AddedRule]("rule of a primitive", "attractor.primitives", __package__)


def added_rules(reading: str) -> dict[str, AddedRule]:
    """The rules that other files and packages have registered for a reading, by primitive."""
    return {name: rule for (of, name), rule in RULES.items() if of == reading}


@dataclass(frozen=True)
class OfKind:
    """Names of primitives, looked up when they are asked for: other packages may still add some."""

    kinds: tuple[Kind, ...]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in PRIMITIVES and PRIMITIVES[name].kind in self.kinds

    def __iter__(self) -> Iterator[str]:
        return (name for name, one in PRIMITIVES.items() if one.kind in self.kinds)


def of_kind(*kinds: Kind) -> OfKind:
    """Names of the primitives of some kinds, those of other packages among them."""
    return OfKind(kinds)


def zeros_of(name: str) -> ZeroRule:
    """What zeros of a primitive have to do with those of its operand; nothing is known of one not listed."""
    known = PRIMITIVES.get(name)
    return ZeroRule.UNKNOWN if known is None else known.zeros
