"""What a stability analysis says: proved with numbers, refuted with a witness, or unknown with a reason.

Beside a certificate stands what simulation shows of it: how fast pairs of trajectories really meet.
"""

import math
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int

from attractor.cells import CellLike
from attractor.errors import AttractorError
from attractor.program import FlatMap, double_precision, flat_map
from attractor.report.drawn import Drawn
from attractor.shown import Rows, at_prompt, counted, in_notebook

from ..search import Witness


class CertificateError(AttractorError, ArithmeticError):
    """A proof was required, and there is none."""

    exit_code = 5


class Verdict(Enum):
    """The three answers; the value is the text that users see."""

    PROVED = (
        "proved: any two trajectories from the certified set, under the same inputs within the bound, "
        "approach each other at the stated rate"
    )
    REFUTED = "refuted: two trajectories under the same inputs were found that do not meet"
    UNKNOWN = "unknown: neither a proof nor a counterexample was found"


# What the levels of the ladder are called.
LEVELS = {
    0: "published condition",
    1: "componentwise bound with the best weights",
    2: "the same on a refined invariant box",
    3: "branch and bound",
    4: "linear matrix inequality",
}


def bound_in_words(bound: ArrayLike) -> str:
    """A bound on inputs as text, `±0.5` where all inputs have the same one, `±(0.5, 1)` where they do not."""
    numbers = [f"{value:g}" for value in np.atleast_1d(np.asarray(bound, float))]
    return f"±{numbers[0]}" if len(set(numbers)) == 1 else f"±({', '.join(numbers)})"


@dataclass(frozen=True, eq=False)
class Certificate(
    Drawn,
    picture="attractor.certify.stability.certificate_page:draw_bound",
    next_call=".plot(), .settling_steps(), .contains(state)",
):
    r"""Exponential incremental input-to-state stability on a box.

    For two trajectories in the box under inputs u^a, u^b within the input bound, one step gives

    $$\|x^a_{k+1} - x^b_{k+1}\| \le \lambda \|x^a_k - x^b_k\| + g \|u^a_k - u^b_k\|$$

    in the norm that `distance` computes for states and `input_distance` for inputs. For levels 1 to 3 it is
    the weighted maximum norm ||x|| = max_i |x_i| / w_i, and the largest component of an input; summed over
    time, a difference of inputs that stays below s moves states by at most g s / (1 - lambda). The box is
    forward invariant, and every trajectory that starts in the larger start box is in it after `transient`
    steps. Incremental stability implies input-to-state stability and one equilibrium for every constant
    input.

    Args:
        level: rung of the ladder, see `LEVELS`.
        rate: lambda, below 1.
        weights: w, shape (states,), by which differences are divided; largest 1 for levels 1 to 3.
        input_gain: g.
        low: lower end of the box, shape (states,), in the order in which the state is flattened.
        high: upper end of it.
        start_low: lower end of the start box.
        start_high: upper end of it.
        transient: steps from the start box into the box.
        input_bound: inputs lie within +- this, shape (inputs,).
        metric: P of the norm sqrt(x' P x) of the first entries of the state, for level 4.
        remarks: what else a reader must know (published formula, norm, arithmetic).
        about: digest of the cell that it speaks of, see `attractor.program.digest.cell_identity`; empty for
            one that was put together by hand.
        groups: the norm is the largest Euclidean length of a group of entries, and this is the group of each,
            shape (states,); None puts every entry in a group of its own.
        input_order: 2 measures inputs by their Euclidean length, infinity by their largest component.
    """

    level: int
    rate: float
    weights: Float[np.ndarray, " states"]
    input_gain: float
    low: Float[np.ndarray, " states"]
    high: Float[np.ndarray, " states"]
    start_low: Float[np.ndarray, " states"]
    start_high: Float[np.ndarray, " states"]
    transient: int
    input_bound: Float[np.ndarray, " inputs"]
    metric: Float[np.ndarray, "measured measured"] | None = None
    remarks: str = "outward-rounded float64 bounds of the cell in exact arithmetic"
    about: str = ""
    groups: Int[np.ndarray, " states"] | None = None
    input_order: float = math.inf

    def settling_steps(self, tolerance: float = 0.01) -> int:
        """Steps from the start box until a difference has shrunk to `tolerance` of what the box holds.

        Where the box is all of space, to `tolerance` of itself at the start.
        """
        if self.rate <= 0:
            return self.transient + 1
        steps = max(math.ceil(math.log(tolerance) / math.log(self.rate)), 0)
        exact = steps if self.rate**steps <= tolerance else steps + 1  # the logarithms are rounded
        return self.transient + exact

    def distance(self, difference: Float[np.ndarray, "*batch states"]) -> Float[np.ndarray, "*batch"]:
        """How long differences of states are in the norm that rate and gain are stated in."""
        difference = np.asarray(difference, float)
        if self.metric is not None:
            root = np.linalg.cholesky(self.metric)
            return np.asarray(np.linalg.norm(difference[..., : len(root)] @ root, axis=-1))
        squares = np.square(difference / self.weights)
        if self.groups is not None:
            squares = squares @ (self.groups[:, None] == np.unique(self.groups)).astype(float)
        return np.asarray(np.sqrt(squares.max(axis=-1)))

    def input_distance(self, difference: Float[np.ndarray, "*batch inputs"]) -> Float[np.ndarray, "*batch"]:
        """How long differences of inputs are in the norm that the gain is stated in."""
        return np.asarray(np.linalg.norm(np.asarray(difference, float), self.input_order, axis=-1))

    @property
    def in_maximum_norm(self) -> bool:
        """Whether the norm is max |x_i| / w_i; levels 0 and 4 have norms of their own."""
        return self.level in (1, 2, 3)

    @property
    def asymptotic_gain(self) -> float:
        """Most that states move, in the norm of the certificate, for a lasting unit of input difference."""
        return self.input_gain / (1 - self.rate)

    def contains(self, state: Float[np.ndarray, " states"]) -> bool:
        """Whether a flat state lies in the start box, for which the certificate speaks."""
        return bool(((self.start_low <= state) & (state <= self.start_high)).all())

    def __str__(self) -> str:
        """What is proved, in its numbers."""
        return "\n".join([
            f"a step leaves at most {self.rate:.6g} of a difference: {LEVELS.get(self.level, self.level)}",
            f"to 1 % in {counted(self.settling_steps(), 'step')}, {self.transient} of them from the start "
            "box",
            f"for inputs within {bound_in_words(self.input_bound)}; a lasting unit of input difference moves "
            f"the {counted(len(self.low), 'number')} of the state by at most {self.asymptotic_gain:.4g}",
            self.remarks,
        ])


@dataclass(frozen=True)
class Attempt:
    """One rung that was tried: what it found (a rate where it has one), and how long it took in seconds."""

    level: int
    outcome: str
    rate: float
    seconds: float


def what_stopped(tried: list[Attempt]) -> str:
    """What every rung found that did not prove it, and whether more time could help.

    Args:
        tried: rungs, none of which ran out of time.
    """
    outcomes = "; ".join(f"level {one.level}: {one.outcome}" for one in tried)
    if any(one.level == 3 and "pieces" in one.outcome for one in tried):
        return f"{outcomes}."
    return f"No rung can go on, so that more time does not help; smaller inputs or starts may. {outcomes}."


@dataclass(frozen=True, eq=False)
class StabilityResult(
    Drawn, picture="attractor.certify.stability.certificate_page:draw_result", next_call=".plot(), .require()"
):
    """The answer to `certify`.

    Args:
        verdict: proved, refuted or unknown.
        certificate: the proof, if there is one.
        witness: the counterexample, if there is one.
        attempts: all rungs that were tried, in order.
        seconds: wall time.
        reason: why it is unknown, if it is.
    """

    verdict: Verdict
    certificate: Certificate | None
    witness: Witness | None
    attempts: tuple[Attempt, ...]
    seconds: float
    reason: str = ""

    def require(self) -> Certificate:
        """The certificate.

        Raises:
            CertificateError: there is none; the message says what was found instead.
        """
        if self.certificate is None:
            raise CertificateError(f"stability is {self.verdict.value}. {self.reason}".strip())
        return self.certificate

    def called_next(self) -> str:
        """Only a proof is there to be required."""
        left = ".attempts" if self.witness is None else ".witness"
        return f".plot(), {left}" if self.certificate is None else self.next_call

    def __str__(self) -> str:
        """The verdict, and what it stands on."""
        found = self.certificate or self.witness
        lines = [self.verdict.value, *([self.reason] if self.reason else [])]
        lines += [] if found is None else str(found).splitlines()[:3]
        return "\n".join([*lines, f"{counted(len(self.attempts), 'rung')} tried in {self.seconds:.2g} s"])

    def rows_shown(self) -> Rows:
        """Every rung that was tried."""
        rows = (
            (str(LEVELS.get(one.level, "search for a counterexample")), one.outcome, f"{one.seconds:.2f} s")
            for one in self.attempts
        )
        return Rows(("bound", "outcome", "time"), tuple(rows))


def claim(result: StabilityResult, input_bound: ArrayLike) -> str:
    """What an analysis found, in one sentence that names the inputs and the starts it speaks of.

    Args:
        result: of `certify`.
        input_bound: that it was asked for.
    """
    bound = bound_in_words(input_bound)
    if result.verdict is Verdict.PROVED:
        return (
            f"Proved for inputs within {bound} and starts in the certified set: the model forgets where it "
            "started, and at a constant input it comes to rest in one state."
        )
    if result.verdict is Verdict.REFUTED:
        return (
            f"Refuted for inputs within {bound}: under the same inputs two starts were found that never "
            "meet; see the witness."
        )
    return f"Unknown for inputs within {bound}: neither proved nor refuted. {result.reason}"


# Pairs of trajectories that are simulated beside a certificate.
PAIRS = 60


class Contraction(NamedTuple):
    """Distances of simulated pairs in the norm of a certificate, each relative to its own start.

    Args:
        largest: of all pairs, shape (steps + 1,).
        typical: median of all pairs, shape (steps + 1,).
    """

    largest: Float[np.ndarray, " steps"]
    typical: Float[np.ndarray, " steps"]

    def __repr__(self) -> str:
        return at_prompt(self)

    def _repr_html_(self) -> str:
        return in_notebook(self)


def simulated_contraction(cell: CellLike, certificate: Certificate, steps: int, seed: int = 0) -> Contraction:
    """Run pairs of trajectories from the certified box under common random inputs that hold for a while.

    Distances are in the norm of the certificate, see `Certificate.distance`.

    Args:
        cell: the cell of the certificate.
        certificate: its box, norm and input bound are used.
        steps: how long to run.
        seed: starts and inputs follow from it.
    """
    generator = np.random.default_rng(seed)
    low, high = (np.clip(end, -1e3, 1e3) for end in (certificate.low, certificate.high))
    starts = generator.uniform(low, high, (2, PAIRS, len(low)))
    bound = certificate.input_bound
    levels = generator.uniform(-bound, bound, (PAIRS, steps // 10 + 1, len(bound)))
    inputs = levels.repeat(10, axis=1)[:, :steps]
    with double_precision():
        flat = flat_map(cell).still("certificates", constants=False)
        first, second = jnp.asarray(starts)
        differences = _differences(flat, first, second, jnp.asarray(inputs))
        distances = certificate.distance(np.asarray(differences))
    relative = distances / np.maximum(distances[:, :1], 1e-300)
    return Contraction(relative.max(axis=0), np.median(relative, axis=0))


@eqx.filter_jit
def _differences(flat: FlatMap, first: Array, second: Array, inputs: Array) -> Array:
    def run(one: Array, other: Array, held: Array) -> Array:
        def step(pair: tuple[Array, Array], row: Array) -> tuple[tuple[Array, Array], Array]:
            new = flat.step(pair[0], row), flat.step(pair[1], row)
            return new, new[0] - new[1]

        _, rest = jax.lax.scan(step, (one, other), held)
        return jnp.concatenate([(one - other)[None], rest])

    return jax.vmap(run)(first, second, inputs)
