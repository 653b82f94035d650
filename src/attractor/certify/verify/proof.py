"""Prove that quantities are never above zero on a box of inputs, or show the input that makes one so.

A proof is about the function in exact arithmetic on the numbers that it is written with: its weights as they
are, its constants in float64 (in float32 where a step of it keeps to that type). A violation is an input that
was put through the function itself, in float64 where it takes that, and in float32.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree
from numpy.typing import ArrayLike

from attractor.errors import CellError, InputDataError, ShapeError, UnsupportedError
from attractor.program import double_precision, single_precision, trace
from attractor.shown import Shown, counted

from ..dual.clauses import of_clauses
from ..dual.expressions import mapped
from ..dual.linear_maps import Selection
from ..dual.lowering import network_of
from ..dual.network import Affine, Network
from ..dual.search import Found, Search, search
from ..dual.tree import Journal
from ..recheck.certificate import Certificate, Part
from ..recheck.claim import Claim
from .certified import check_target_of, written

# `excess(inputs) -> quantities that must not be above zero`, all of them a function of one array; an array or
# several of them.
Excess = Callable[[Array], PyTree]

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
        upper: no excess on the box is larger; proved.
        attained: the largest that was met at an input, in float64.
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
    low: ArrayLike,
    high: ArrayLike,
    *,
    seconds: float | int = 60,
    seed: int = 0,
    certificate: Path | str | None = None,
) -> Proof:
    """Decide whether quantities are at most zero for all inputs between two arrays.

    Linear relaxations of the function's own program bound every quantity; where that does not decide, the box
    is halved, and halved again. An attack by samples and gradients looks for a violation all the while.

    Args:
        excess: any function of one array that JAX can trace; what it returns must never be above zero. For
            "the output stays below 8.5" return `output - 8.5`.
        low: least inputs, of the shape that the function takes.
        high: largest ones.
        seconds: when to stop; what is known by then is returned.
        seed: of the attack.
        certificate: the file to write the proof to, or the input that violates the property; it is checked
            before, and only then written. `attractor recheck FILE` checks it again.

    Raises:
        StorageError: there is no folder for the certificate.
        InputDataError: ends or weights that are no finite numbers, or a lower end above the upper one.
        ShapeError: ends of different shapes, or a function without results.
        UnsupportedError: the function uses an operation that bounds have no rule for; it is named.

    Example:
        >>> import jax.numpy as jnp
        >>> print(prove(lambda x: jnp.tanh(x[0]) * x[1] - 0.8, [-1.0, -1.0], [1.0, 1.0]).answer.value)
        the property holds for every input of the set
    """
    if certificate is not None:
        check_target_of(Path(certificate))
    claim = claim_of(excess, low, high)
    found = searched(
        claim, lambda flat: is_above(excess, flat.reshape(np.shape(low))), seconds, seed,
        journal=None if certificate is None else Journal(),
    )  # fmt: skip
    proof = proof_of(found, excess, np.shape(low))
    if certificate is None or found.found is Found.OPEN:
        return proof
    part = Part(claim, found.tree) if found.found is Found.ABSENT else Part(claim, witness=found.point)
    said = proof.answer.value
    return replace(proof, certificate=written(Certificate((part,), said), Path(certificate)))


def searched(
    claim: Claim,
    check: Callable[[np.ndarray], bool],
    seconds: float | int,
    seed: int,
    journal: Journal | None = None,
) -> Search:
    """Search for an input at which a quantity is above zero.

    Args:
        claim: that there is none.
        check: whether an input that seems to be one is.
        seconds: when to stop.
        seed: of the attack.
        journal: where to write down how the box is cut, for a certificate.
    """
    count = len(claim.strict)
    clauses = of_clauses([[index] for index in range(count)], count, [True] * count)
    return search(
        claim.network,
        claim.low,
        claim.high,
        clauses,
        seconds=seconds,
        check=check,
        seed=seed,
        journal=journal,
    )


def claim_of(excess: Excess, low: ArrayLike, high: ArrayLike) -> Claim:
    """What has to be proved: that no input of the box makes a quantity larger than zero.

    Args:
        excess: see `prove`.
        low: least inputs.
        high: largest ones.
    """
    lows, highs = _box(low, high)
    network = _network(excess, lows)
    if (where := network.undefined) is not None:
        raise InputDataError(
            f"a weight or constant is no finite number ({where}); mend it before anything is proved"
        )
    count = len(network.output.bias)
    if not count:
        raise ShapeError("the function returns nothing that could be above zero; return at least one number")
    negative = Network(network.inputs, network.nodes, _negative(network.output))
    return Claim(negative, lows.ravel(), highs.ravel(), np.eye(count, dtype=bool), np.ones(count, bool))


def _box(low: ArrayLike, high: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    lows, highs = (np.asarray(end, np.float64) for end in (low, high))
    if lows.shape != highs.shape:
        raise ShapeError(f"the lower end of the inputs has shape {lows.shape}, the upper one {highs.shape}")
    if not (np.isfinite(lows).all() and np.isfinite(highs).all()):
        raise InputDataError("the ends of the inputs hold what is no finite number; give every input a range")
    if (lows > highs).any():
        where = tuple(int(index) for index in np.argwhere(lows > highs)[0])
        raise InputDataError(
            f"input {where} has the range {lows[where]:g} to {highs[where]:g}, whose lower end is larger"
        )
    return lows, highs


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


def proof_of(found: Search, excess: Excess, shape: tuple[int, ...]) -> Proof:
    """What a search has found, with the excess of the function itself at its input.

    Args:
        found: by the search.
        excess: see `prove`.
        shape: of the inputs.
    """
    answers = {Found.ABSENT: Answer.HOLDS, Found.PRESENT: Answer.VIOLATED, Found.OPEN: Answer.OPEN}
    witness, values = None, ()
    if found.point is not None:
        witness = found.point.reshape(shape)
        values = tuple(_largest_excess(excess, witness, double=double) for double in (True, False))
    attained = max([-found.attained, *values[:1]])
    return Proof(answers[found.found], -found.lower, attained, witness, values, found.pieces, found.seconds)
