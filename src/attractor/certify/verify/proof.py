"""Prove that quantities are never above zero on a box of inputs, or show the input that makes one so.

A proof is about the function in exact arithmetic on the numbers that it is written with: its weights as they
are, its constants in float64 (in float32 where a step of it keeps to that type). A violation is an input that
was put through the function itself, in float64 where it takes that, and in float32.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree
from numpy.typing import ArrayLike

from attractor.errors import CellError, InputDataError, ShapeError, UnsupportedError
from attractor.program import double_precision, single_precision, trace
from attractor.shown import Shown, counted

from ..dual.clauses import Clauses
from ..dual.expressions import mapped
from ..dual.linear_maps import Selection
from ..dual.lowering import network_of
from ..dual.network import Affine, Network
from ..dual.search import Found, Search, search
from ..dual.spread import spread_search
from ..dual.tree import Journal
from ..recheck.certificate import Certificate
from ..recheck.certificate import Part as Certified
from ..recheck.claim import Claim
from .box import box_of
from .certified import check_target_of, written
from .sets import Ball, Box, Condition, InputSet, Part  # noqa: F401 (Ball stands in an example)

# `excess(inputs) -> quantities that must not be above zero`, all of them a function of one array; an array or
# several of them.
Excess = Callable[[Array], PyTree]
# Whether parameters of a part of a set, whose excess is given, show that a property is violated.
Seen = Callable[[Part, Excess, np.ndarray], bool]

# Share of the time for a search with the conditions of a set, before its whole box is tried.
_WITH_CONDITIONS = 0.7

_ARRAYS = (jax.Array, np.ndarray, np.generic, float, int)


class Answer(Enum):
    """The three answers; the value is the text that users see."""

    HOLDS = "the property holds for every input of the set"
    VIOLATED = "the property is violated by an input of the set"
    OPEN = "not decided"


@dataclass(frozen=True, eq=False)
class Proof(Shown):
    """What is known of the largest excess on a box of inputs.

    Args:
        answer: whether it is at most zero everywhere.
        upper: no excess on the set is larger; proved. Of a set with conditions, no input of the box around
            it has both a larger excess and all conditions met by as much; above zero unless it holds.
        attained: the largest that was met at an input, in float64; of a set with conditions, see `upper`.
        witness: the input that violates the property; None where none was found.
        excess: at the witness, in float64 and in float32; empty without one.
        pieces: pieces of the box bounded.
        seconds: how long it took.
        certificate: what became of the certificate, in words; empty where none was asked for.
        shown_by: for a property of changes, the inputs between which the violation is seen by differences.
    """

    answer: Answer
    upper: float
    attained: float
    witness: Float[np.ndarray, "*shape"] | None
    excess: tuple[float, ...]
    pieces: int
    seconds: float
    certificate: str = ""
    shown_by: Float[np.ndarray, "points *shape"] | None = None

    def __str__(self) -> str:
        """The answer first, then the numbers behind it."""
        lines = [self.answer.value]
        if self.answer is Answer.OPEN:
            lines[0] += f": the largest excess lies between {self.attained:.6g} and {self.upper:.6g}"
        elif self.answer is Answer.HOLDS:
            lines.append(f"largest excess: at most {self.upper:.6g} (proved), {self.attained:.6g} was met")
        else:
            lines.append(f"excess there: {self.excess[0]:.6g} in float64, {self.excess[1]:.6g} in float32")
        lines.append(f"{counted(self.pieces, 'piece')} of the set bounded in {self.seconds:.2g} s")
        if self.shown_by is not None:
            lines.append(f"seen by differences of {counted(len(self.shown_by), 'input')}, see shown_by")
        lines += [self.certificate] if self.certificate else []
        return "\n".join(lines)


def prove(
    excess: Excess,
    low: ArrayLike | InputSet,
    high: ArrayLike | None = None,
    *,
    seconds: float | int = 60,
    seed: int = 0,
    certificate: Path | str | None = None,
) -> Proof:
    """Decide whether quantities are at most zero for all inputs between two arrays, or of another set.

    Linear relaxations of the function's own program bound every quantity; where that does not decide, the box
    is halved, and halved again. An attack by samples and gradients looks for a violation all the while. With
    `joblib.parallel_config(n_jobs=2)` around the call a long search goes over two processes; one for a
    certificate stays in this one.

    Args:
        excess: any function of one array that JAX can trace; what it returns must never be above zero. For
            "the output stays below 8.5" return `output - 8.5`.
        low: least inputs, of the shape that the function takes; or a set of inputs, see
            `attractor.certify.verify.sets`.
        high: largest ones; None with a set.
        seconds: when to stop; what is known by then is returned.
        seed: of the attack.
        certificate: the file to write the proof to, or the input that violates the property; it is checked
            before, and only then written. `attractor recheck FILE` checks it again.

    Raises:
        StorageError: there is no folder for the certificate.
        InputDataError: ends or weights that are no finite numbers, a lower end above the upper one, or a set
            that is empty.
        ShapeError: ends of different shapes, or a function without results.
        UnsupportedError: the function uses an operation that bounds have no rule for; it is named.

    Example:
        >>> import jax.numpy as jnp
        >>> print(prove(lambda x: jnp.tanh(x[0]) * x[1] - 0.8, [-1.0, -1.0], [1.0, 1.0]).answer.value)
        the property holds for every input of the set
        >>> print(prove(lambda x: x[0] + x[1] - 1.5, Ball([0.0, 0.0], 1.0)).answer.value)
        the property holds for every input of the set
    """
    return proved(excess, input_set(low, high), violates, seconds=seconds, seed=seed, certificate=certificate)


def proved(
    excess: Excess,
    inputs: InputSet,
    seen: Seen,
    *,
    seconds: float | int = 60,
    seed: int = 0,
    certificate: Path | str | None = None,
) -> Proof:
    """As `prove`, with a say in what counts as a violation.

    Args:
        excess: see `prove`.
        inputs: a set.
        seen: whether parameters of a part of it show a violation.
        seconds: when to stop.
        seed: of the attack.
        certificate: see `prove`.
    """
    if certificate is not None:
        check_target_of(Path(certificate))
    parts, began, found = inputs.parts, time.monotonic(), []
    for index, part in enumerate(parts):
        left = (began + seconds - time.monotonic()) / (len(parts) - index)
        limits = max(left, 0.0), seed
        found.append(_decided(part.given(excess), part, seen, limits, kept=certificate is not None))
        if found[-1].proof.answer is Answer.VIOLATED:
            found = found[-1:]
            break
    proof = _joined([one.proof for one in found], time.monotonic() - began)
    if certificate is None or proof.answer is Answer.OPEN:
        return proof
    kept = Certificate(tuple(one.part for one in found if one.part is not None), proof.answer.value)
    return replace(proof, certificate=written(kept, Path(certificate)))


def violates(part: Part, excess: Excess, parameters: np.ndarray) -> bool:
    """Whether parameters belong to a part of a set, and a quantity is above zero at them, in float64."""
    return belongs(part, parameters) and is_above(excess, parameters)


def belongs(part: Part, parameters: np.ndarray) -> bool:
    """Whether parameters of the box of a part meet its condition, in float64."""
    return part.condition is None or _largest_excess(part.condition, parameters) <= 0


def input_set(low: ArrayLike | InputSet, high: ArrayLike | None) -> InputSet:
    """A set of inputs, or the box between two arrays.

    Raises:
        ShapeError: one array alone, a set and an array, or arrays of different shapes.
        InputDataError: ends that are no finite numbers, or a lower end above the upper one.
    """
    if isinstance(low, InputSet):
        if high is not None:
            raise ShapeError("a set of inputs has no upper end; leave `high` out")
        return low
    if high is None:
        raise ShapeError("there is no upper end of the inputs; give `high`, or a set such as Ball(...)")
    return Box(low, high)


class _Decided(NamedTuple):
    """What is known of one part of a set, and what a certificate says of it."""

    proof: Proof
    part: Certified | None


def _decided(own: Excess, part: Part, seen: Seen, limits: tuple[float, int], *, kept: bool) -> _Decided:
    """By the conditions of the set; what they leave open may hold on all of its box."""
    seconds, seed = limits
    if part.condition is None:
        return _searched(own, part, seen, limits, kept=kept)
    _check_not_empty(part, seconds / 10, seed)
    found = _searched(own, part, seen, (seconds * _WITH_CONDITIONS, seed), kept=kept)
    if found.proof.answer is not Answer.OPEN:
        return found
    left = max(seconds - found.proof.seconds, 0.0), seed
    box = _searched(own, replace(part, condition=None), lambda *_: False, left, kept=kept)
    return box if box.proof.answer is Answer.HOLDS else found


def _searched(own: Excess, part: Part, seen: Seen, limits: tuple[float, int], *, kept: bool) -> _Decided:
    claim, shape = claim_of(own, part.low, part.high, part.condition), np.shape(part.low)
    seconds, seed = limits

    def check(flat: np.ndarray) -> bool:
        return seen(part, own, flat.reshape(shape))

    sought = claim.network, claim.low, claim.high, Clauses(claim.members, claim.strict)
    if kept:
        found = search(*sought, seconds=seconds, check=check, seed=seed, journal=Journal())
    else:
        found = spread_search(*sought, seconds=seconds, check=check, seed=seed)
    proof = _proof(found, own, part, shape)
    if not kept or found.found is Found.OPEN:
        return _Decided(proof, None)
    absent = found.found is Found.ABSENT
    return _Decided(proof, Certified(claim, found.tree) if absent else Certified(claim, witness=found.point))


def _check_not_empty(part: Part, seconds: float, seed: int) -> None:
    """Refuse a set that is proved to hold nothing: anything would be true of it."""
    condition = part.condition
    if condition is None:
        return
    claim = claim_of(lambda parameters: -condition(parameters), part.low, part.high)
    together = Clauses(np.ones((1, len(claim.strict)), bool), np.zeros(len(claim.strict), bool))
    found = search(claim.network, claim.low, claim.high, together, seconds=seconds, seed=seed)
    if found.found is Found.ABSENT:
        raise InputDataError(
            "no input of the box meets the conditions of the set: it is empty, and anything is true of it"
        )


def _joined(proofs: Sequence[Proof], seconds: float) -> Proof:
    """What is known of a union: all must hold, one violation is one of the whole."""
    first = proofs[0]
    if len(proofs) == 1:
        return replace(first, seconds=seconds)
    open_ = any(one.answer is Answer.OPEN for one in proofs)
    return Proof(
        Answer.OPEN if open_ else Answer.HOLDS,
        max(one.upper for one in proofs),
        max(one.attained for one in proofs),
        None,
        (),
        sum(one.pieces for one in proofs),
        seconds,
    )


def claim_of(excess: Excess, low: ArrayLike, high: ArrayLike, condition: Condition | None = None) -> Claim:
    """What has to be proved: that no input of the box makes a quantity larger than zero.

    Args:
        excess: see `prove`.
        low: least inputs.
        high: largest ones.
        condition: inputs for which it is above zero do not count; None counts all.
    """
    lows, highs = box_of(low, high)

    def outputs(inputs: Array) -> Array:
        own = _flat(excess, inputs)
        return own if condition is None else jnp.concatenate([own, -_flat(condition, inputs)])

    network = _network(outputs, lows)
    if (where := network.undefined) is not None:
        raise InputDataError(
            f"a weight or constant is no finite number ({where}); mend it before anything is proved"
        )
    count = len(network.output.bias)
    others = 0 if condition is None else len(_network(condition, lows).output.bias)
    if count == others:
        raise ShapeError("the function returns nothing that could be above zero; return at least one number")
    negative = Network(network.inputs, network.nodes, _negative(network.output))
    quantities = count - others
    members = np.concatenate([np.eye(quantities), np.ones((quantities, others))], axis=1).astype(bool)
    return Claim(negative, lows.ravel(), highs.ravel(), members, np.arange(count) < quantities)


def _network(excess: Excess, like: np.ndarray) -> Network:
    """The function in normal form, traced in float64, or in float32 where its own states ask for that."""
    try:
        with double_precision():
            return network_of(trace(partial(_flat, excess), jnp.asarray(like)))
    except (jax.errors.JAXTypeError, jax.errors.JAXIndexError) as problem:
        raise UnsupportedError(
            "the function decides in Python, or by NumPy, what depends on its input "
            f"({str(problem).splitlines()[0]}); use jax.numpy, and jnp.where for a choice"
        ) from problem
    except (ShapeError, CellError, TypeError):
        with single_precision():
            return network_of(trace(partial(_flat, excess), jnp.asarray(like)))


def _negative(one: Affine) -> Affine:
    size = len(one.bias)
    return mapped(Selection(np.arange(size), -np.ones(size), size), one)


def is_above(excess: Excess, inputs: np.ndarray) -> bool:
    """Whether a quantity is above zero at an input, by the function itself in float64."""
    return _largest_excess(excess, inputs) > 0


def _largest_excess(excess: Excess, inputs: np.ndarray, *, double: bool = True) -> float:
    """The largest excess at an input, by the function itself."""
    try:
        with double_precision() if double else single_precision():
            values = jax.jit(partial(_flat, excess))(jnp.asarray(inputs))
            return float(np.max(np.asarray(values, np.float64), initial=-np.inf))
    except (ShapeError, CellError, TypeError):
        if not double:
            raise
        return _largest_excess(excess, inputs, double=False)


def _flat(excess: Excess, inputs: Array) -> Array:
    return joined(excess(inputs))


def joined(outputs: PyTree) -> Array:
    """All numbers of one array, row by row, or of several one after the other.

    Args:
        outputs: what a function returns.

    Raises:
        ShapeError: it returns no array.
    """
    leaves = jax.tree.leaves(outputs)
    if not leaves or not all(isinstance(one, _ARRAYS) for one in leaves):
        raise ShapeError(
            f"the function returns {type(outputs).__name__} in place of an array; return one, or several "
            "in a tuple"
        )
    parts = [jnp.ravel(jnp.asarray(one)) for one in leaves]
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts)


def _proof(found: Search, excess: Excess, part: Part, shape: tuple[int, ...]) -> Proof:
    answers = {Found.ABSENT: Answer.HOLDS, Found.PRESENT: Answer.VIOLATED, Found.OPEN: Answer.OPEN}
    witness, values = None, ()
    if found.point is not None:
        parameters = found.point.reshape(shape)
        values = tuple(_largest_excess(excess, parameters, double=double) for double in (True, False))
        witness = part.input_of(parameters)
    attained = max([-found.attained, *values[:1]])
    return Proof(answers[found.found], -found.lower, attained, witness, values, found.pieces, found.seconds)
