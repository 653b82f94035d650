"""`certify`: climb from cheap bounds to strong ones until stability is proved, refuted, or the time is up."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from attractor.cells import (
    CellLike,
    EchoState,
    State,
    initial_state,
    input_size,
    name_of,
    shaped_input,
)
from attractor.errors import UnsupportedError
from attractor.program import (
    LeafKind,
    double_precision,
    flat_map,
    in_double_precision,
    quickly_compiled,
    real_cell,
)
from attractor.program.digest import cell_identity
from attractor.progress import Reporter, interactive_reporter
from attractor.settings import Count, Seed, Settings, Within

from ..domains import Box, Interval, StepBounds, step_bounds, unit_box
from ..domains.interval import hull
from ..search import Budget, Witness, branch_and_bound, find_witness
from .cell_metrics import AT_HAND, WITH_METRICS, cell_certificate
from .certificate import Attempt, Certificate, StabilityResult, Verdict, what_stopped
from .invariant import InvariantBox, settle, shrink
from .premises import checked_bound, checked_starts, not_finite
from .published import published_condition
from .weighted_norms import (
    JacobianNorm,
    absolute_jacobian,
    good_weights,
    sample_jacobians,
    sampled_weights,
)

# Halvings of the box while it is refined for branch and bound.
CUTS = 8
# From here on a step is compiled by a code generator that writes no value out twice.
_MANY_CHOICES = 3
# Times that branch and bound starts again with better weights.
_ROUNDS = 8
_NO_BOX = "no invariant box was found"
_BELOW_ONE = 1 - 1e-9
# Share of the time after which branch and bound leaves the rest to the search for a counterexample.
_SEARCH_SHARE = 0.75


@dataclass(frozen=True)
class CertifySettings(Settings):
    """How hard `certify` tries.

    Args:
        time_budget: seconds for the whole ladder; compilation counts, and is not broken off: a budget of less
            than a few seconds may be exceeded by one program.
        levels: rungs to climb, in order; see `attractor.certify.LEVELS`.
        pieces: pieces of the box that branch and bound may look at.
        tighten: go on after a proof, as far as the budget reaches, for a shorter certified settling time.
        refute: look for two trajectories that do not meet.
        seed: of the random searches.
    """

    time_budget: Annotated[float, Within(0, infinite=True)] = 30.0
    levels: tuple[int, ...] = (0, 1, 2, 4, 3)
    pieces: Count = 100_000
    tighten: bool = False
    refute: bool = True
    seed: Seed = 0


@dataclass(eq=False)
class _Climb:
    """What is known so far, on the way up: about a cell, and about its step as it is now, of real arrays."""

    cell: CellLike
    step: CellLike
    settings: CertifySettings
    input_bound: np.ndarray
    reporter: Reporter
    began: float
    starts: tuple[np.ndarray, np.ndarray] = (np.zeros(0), np.zeros(0))
    asked: bool = False
    boxes: tuple[InvariantBox, InvariantBox] | None = None
    attempts: tuple[Attempt, ...] = ()
    best: Certificate | None = None

    @property
    def deadline(self) -> float:
        return self.began + self.settings.time_budget

    def note(self, level: int, began: float, rate: float, outcome: str) -> None:
        self.attempts += (Attempt(level, outcome, rate, time.monotonic() - began),)
        self.reporter.update(len(self.attempts), len(self.settings.levels) + 1, outcome)

    def proved(self, certificate: Certificate) -> None:
        if not 0 <= certificate.rate < 1:
            raise AssertionError(f"a certificate at the rate {certificate.rate}, which proves no contraction")
        if self.best is None or certificate.settling_steps() < self.best.settling_steps():
            self.best = certificate

    @property
    def search_deadline(self) -> float:
        """When branch and bound ends, so that time is left to look for a counterexample."""
        share = _SEARCH_SHARE if self.settings.refute else 1.0
        return self.began + share * self.settings.time_budget

    @property
    def wants_refinement(self) -> bool:
        """Whether a proof for starts beyond +- 1 gains from the box where they soon end up, cheaply."""
        beyond = any(float(np.max(np.abs(end), initial=0.0)) > 1 for end in self.starts)
        return beyond and self.best is not None and self.best.level == 1 and time.monotonic() < self.deadline

    @property
    def finished(self) -> bool:
        return time.monotonic() > self.deadline or (self.best is not None and not self.settings.tighten)


def certify(
    cell: CellLike,
    *,
    input_bound: float | int | Float[np.ndarray, " inputs"] = 1.0,
    starts: tuple[ArrayLike, ArrayLike] | None = None,
    settings: CertifySettings | None = None,
    reporter: Reporter | None = None,
) -> StabilityResult:
    """Prove that a cell forgets its past under every input it may see, or show that it does not.

    The ladder: (0) the published condition of its family, (1) a componentwise bound over an invariant box
    with the best weights of the maximum norm, (2) the same on the box that trajectories end up in, (3) branch
    and bound over that box, (4) for tanh, linear and equilibrium cells a linear matrix inequality. Levels 1
    to 3 read the cell's own equations, so they hold for a user's cell in whatever layout. If nothing proves
    it, two trajectories that do not meet are looked for.

    Args:
        cell: any cell; it is analysed in float64.
        input_bound: inputs lie within +- this (scaled units): one number, or one for each input.
        starts: lowest and highest flat state, of shape (states,) or one number: exactly what lies between
            them is judged. None for states within +- 1 (level 0: within the set of its formula) and the
            cell's own start. The box that a certificate states may be larger.
        settings: how hard to try.
        reporter: hears about progress.

    Returns:
        Verdict, certificate or witness, and all attempts. A proof holds for the map with these weights in
        exact arithmetic; rounding of the deployed cell adds about its unit in every step. What the step
        computes of weights alone counts as a weight, with the value that float64 gives it. A step that
        rounds to a narrower type on purpose, and weights that are not finite, are unknown at once.

    Raises:
        CellError: the step is another one at each call, or another map in float64 than in float32.
        ConfigError: `input_bound` is no number, negative or not finite, or the cell has no `input_size`.
        ShapeError: neither one `input_bound` nor one for each input.
        UnsupportedError: a whole number, a flag or a key of the state decides about its real part. (A step
            with an operation that bounds do not know is no error: it is unknown, and the reason names it.)
    """
    settings = settings or CertifySettings()
    reporter = reporter or interactive_reporter("looking for a proof")
    began = time.monotonic()
    bound = checked_bound(input_bound, input_size(cell))
    with double_precision():
        climb = _Climb(in_double_precision(cell), _step(cell), settings, bound, reporter, began)
        climb.starts = checked_starts(np.asarray(flat_map(climb.step).start), starts)
        climb.asked = starts is not None
        if reason := not_finite(cell):
            return _result(climb, Verdict.UNKNOWN, None, f"{name_of(cell)}: {reason}.")
        if isinstance(climb.step, _Unread) and _has_complex_leaves(cell):
            return _result(climb, Verdict.UNKNOWN, None, climb.step.why)
        try:
            return _signed(_climb(climb), cell)
        finally:
            reporter.close()


def _signed(result: StabilityResult, cell: CellLike) -> StabilityResult:
    """The result whose certificate says which cell it speaks of."""
    if result.certificate is None:
        return result
    return replace(result, certificate=replace(result.certificate, about=cell_identity(cell)))


def _has_complex_leaves(cell: CellLike) -> bool:
    return any(leaf.kind is LeafKind.COMPLEX for leaf in flat_map(cell).layout.leaves)


class _Unread(eqx.Module):
    """A cell whose step is no straight-line code of real numbers, compiled anew for every claim about it."""

    cell: CellLike
    claim: object = eqx.field(static=True)
    why: str = eqx.field(static=True)

    @property
    def input_size(self) -> int:
        return input_size(self.cell)

    def initial_state(self) -> State:
        return initial_state(self.cell)

    def __call__(self, input: Array, state: State) -> State:
        return self.cell(shaped_input(self.cell, input), state)


def _step(cell: CellLike) -> CellLike:
    """The step as it is now, of real arrays: what it reads of globals or objects counts with today's values.

    Raises:
        UnsupportedError: a part of the state that is no real number decides about the others.
        ShapeError: the step returns something else than a state.
    """
    try:
        return real_cell(cell, "certificates")
    except UnsupportedError as problem:
        if flat_map(cell).layout.discrete:
            raise
        return _Unread(in_double_precision(cell), object(), str(problem))


def _first_box(climb: _Climb) -> Box:
    """The starts that are asked about, or states within +- 1 and the own start; inputs within their bound."""
    box = unit_box(climb.step, jnp.asarray(climb.input_bound))
    starts = Interval(*map(jnp.asarray, climb.starts))
    return box.with_state(starts if climb.asked else hull(box.state, starts))


def _climb(climb: _Climb) -> StabilityResult:
    rungs: dict[int, Callable[[_Climb], None]] = {
        0: _published,
        1: _componentwise,
        2: _refined,
        3: _branched,
        4: _quadratic,
    }
    reason = ""
    try:
        for level in _order(climb):
            if level in rungs and (not climb.finished or (level == 2 and climb.wants_refinement)):
                rungs[level](climb)
    except UnsupportedError as problem:
        reason = str(problem)
    if climb.best is not None:
        return _result(climb, Verdict.PROVED, None, "")
    late = time.monotonic() > climb.deadline
    witness = _search(climb) if climb.settings.refute and not late else None
    if witness is not None:
        return _result(climb, Verdict.REFUTED, witness, "")
    return _result(climb, Verdict.UNKNOWN, None, reason or _why_unknown(climb))


def _order(climb: _Climb) -> tuple[int, ...]:
    """The rungs in order; a metric for which nothing is searched comes first."""
    levels = climb.settings.levels
    if type(climb.cell) in AT_HAND and 4 in levels:
        return (4, *(level for level in levels if level != 4))
    return levels


def _result(climb: _Climb, verdict: Verdict, witness: Witness | None, reason: str) -> StabilityResult:
    seconds = time.monotonic() - climb.began
    return StabilityResult(verdict, climb.best, witness, climb.attempts, seconds, reason)


def _why_unknown(climb: _Climb) -> str:
    if time.monotonic() > climb.deadline:
        return f"The time budget of {climb.settings.time_budget:g} s was spent; give more."
    return what_stopped([one for one in climb.attempts if one.level >= 0])


def _published(climb: _Climb) -> None:
    """Level 0: the formula of exactly this class, if there is one."""
    began = time.monotonic()
    condition = published_condition(climb.cell, float(climb.input_bound.max(initial=0.0)))
    if condition is None:
        climb.note(0, began, float("nan"), "no condition was published for this cell")
        return
    if not (condition.satisfied and condition.rate < 1):
        climb.note(0, began, condition.rate, f"residual {condition.residual:.3g}, not below 0")
        return
    high = condition.largest_state
    beyond = max(float(np.max(np.abs(end), initial=0.0)) for end in climb.starts)
    if high is not None and beyond > float(np.min(high)):
        outcome = f"holds for states within {np.min(high):g} only, starts reach {beyond:.4g}"
        climb.note(0, began, condition.rate, outcome)
        return
    if high is not None:
        remarks = f"{condition.family}, {condition.source}; norm: {condition.norm}; {condition.note}"
        proof = _at_once(climb, 0, condition.rate, condition.input_gain, high, remarks)
        weights = proof.weights if condition.weights is None else condition.weights
        climb.proved(replace(proof, weights=weights, groups=condition.groups, input_order=condition.order))
    climb.note(0, began, condition.rate, f"residual {condition.residual:.3g}, rate {condition.rate:.4f}")


def _componentwise(climb: _Climb) -> None:
    began = time.monotonic()
    _judge(climb, 1, began, _bounded(climb.step, _boxes(climb)[0]))


def _refined(climb: _Climb) -> None:
    began = time.monotonic()
    start, refined = _boxes(climb)
    if not start.found:
        climb.note(2, began, float("nan"), _NO_BOX)
    else:
        _judge(climb, 2, began, _bounded(climb.step, refined))


def _boxes(climb: _Climb) -> tuple[InvariantBox, InvariantBox]:
    """The first box that holds its image and the one left of it, for every rung the same."""
    if climb.boxes is not None:
        return climb.boxes
    box = _first_box(climb)
    boxes = _settled(climb.step, box, centred=False)
    if not boxes[0].found:
        boxes = _settled(climb.step, box, centred=True)
    climb.boxes = boxes
    return boxes


def _branched(climb: _Climb) -> None:
    """Refine by pieces, choose weights by samples, branch; start again with the worst point among them."""
    began = time.monotonic()
    _, refined = _boxes(climb)
    if not refined.found:
        climb.note(3, began, float("nan"), _NO_BOX)
        return
    found = _bounded(climb.step, _by_pieces(climb.step, refined))
    box, rate = found.invariant.box, float(found.rate)
    spent, outcome = 0, "the refined box has no finite bound"
    if np.isfinite(rate) and rate < 1:
        _judge(climb, 3, began, found)
    elif np.isfinite(rate):
        rate, weights, spent, outcome = _search_weights(climb, box, np.asarray(found.weights))
        if rate < 1:
            gain = float(jnp.max(found.input_sums / weights))
            climb.proved(_certificate(climb, 3, rate, weights, gain, found.invariant))
        climb.note(3, began, rate, f"{outcome} ({spent} pieces)")
    else:
        climb.note(3, began, rate, outcome)


def _quadratic(climb: _Climb) -> None:
    """Level 4: a quadratic metric, for exactly the classes whose equations it is derived for."""
    if type(climb.cell) not in WITH_METRICS:
        return
    began = time.monotonic()
    try:
        found = cell_certificate(climb.cell).certificate
    except UnsupportedError as problem:  # the solver is an extra; the other rungs stand without it
        climb.note(4, began, float("nan"), str(problem))
        return
    if found is None:
        climb.note(4, began, float("nan"), "no quadratic metric contracts")
        return
    if found.rate >= 1:
        climb.note(4, began, found.rate, "a metric in which nothing grows, but nothing is seen to shrink")
        return
    size = flat_map(climb.step).size
    everywhere = np.full(size, np.inf)
    remarks = "norm sqrt(x' P x), Euclidean norm of inputs; holds for all states and inputs"
    if type(climb.cell) is EchoState:
        remarks += "; of the reservoir, whose other state is the last input"
    proof = _at_once(climb, 4, found.rate, found.input_gain, everywhere, remarks)
    climb.proved(replace(proof, metric=found.metric, input_order=2.0))
    climb.note(4, began, found.rate, f"rate {found.rate:.4f}")


def _at_once(
    climb: _Climb, level: int, rate: float, gain: float, high: np.ndarray, remarks: str
) -> Certificate:
    """A certificate in a norm of its own for all states within +- high, from the first step on."""
    return Certificate(
        level=level,
        rate=rate,
        weights=np.ones(len(high)),
        input_gain=gain,
        low=-high,
        high=high,
        start_low=-high,
        start_high=high,
        transient=0,
        input_bound=climb.input_bound,
        remarks=remarks,
    )


def _search_weights(climb: _Climb, box: Box, weights: np.ndarray) -> tuple[float, np.ndarray, int, str]:
    """The certified rate, its weights, pieces spent, and what happened."""
    jacobians = sample_jacobians(climb.step, box, climb.settings.seed)
    spent, rate = 0, float("inf")
    for _ in range(_ROUNDS):
        found = sampled_weights(jnp.asarray(jacobians), jnp.asarray(np.maximum(weights, 1e-3)))
        least, weights = float(found[0]), np.asarray(found[1])
        if least >= _BELOW_ONE:
            return least, weights, spent, f"no weighted maximum norm contracts: at least {least:.4f}"
        budget = Budget(climb.settings.pieces - spent, climb.search_deadline)
        target = min(_BELOW_ONE, least + 0.5 * (1 - least))  # what is proved stays away from what is seen
        norm = JacobianNorm(climb.step, jnp.asarray(weights))
        largest = branch_and_bound(norm, np.asarray(box.low), np.asarray(box.high), target, budget)
        spent, rate = spent + largest.pieces, min(rate, largest.upper)
        if largest.upper < 1:
            return largest.upper, weights, spent, f"rate {largest.upper:.4f}"
        if largest.lower < _BELOW_ONE:
            return largest.upper, weights, spent, f"bound {largest.upper:.4f} when the budget ended"
        worst = np.asarray(absolute_jacobian(climb.step, jnp.asarray(largest.point)))[None, :, : box.states]
        jacobians = np.concatenate([worst, jacobians[:-1]])
    return rate, weights, spent, f"bound {rate:.4f} after {_ROUNDS} choices of weights"


def _judge(climb: _Climb, level: int, began: float, found: "Bounded") -> None:
    rate = float(found.rate)
    if not bool(found.invariant.found):
        climb.note(level, began, float("nan"), _NO_BOX)
    elif rate < 1:
        climb.proved(
            _certificate(climb, level, rate, np.asarray(found.weights), float(found.gain), found.invariant)
        )
        climb.note(level, began, rate, f"rate {rate:.4f}")
    else:
        climb.note(level, began, rate, f"bound {rate:.4f}, not below 1")


def _certificate(
    climb: _Climb, level: int, rate: float, weights: np.ndarray, gain: float, held: InvariantBox
) -> Certificate:
    start = climb.boxes[0].box if climb.boxes is not None else held.box
    return Certificate(
        level=level,
        rate=rate,
        weights=np.asarray(weights, float),
        input_gain=gain if np.isfinite(gain) else float("inf"),
        low=np.asarray(held.box.state.low),
        high=np.asarray(held.box.state.high),
        start_low=np.asarray(start.state.low),
        start_high=np.asarray(start.state.high),
        transient=int(held.steps),
        input_bound=climb.input_bound,
    )


def _search(climb: _Climb) -> Witness | None:
    began = time.monotonic()
    held = climb.boxes is not None and bool(climb.boxes[0].found) and not climb.asked
    box = climb.boxes[0].box if held and climb.boxes is not None else _first_box(climb)
    witness = find_witness(climb.step, box, climb.settings.seed, climb.deadline)
    outcome = "trajectories that do not meet" if witness else "no counterexample"
    climb.attempts += (Attempt(-1, outcome, float("nan"), time.monotonic() - began),)
    return witness


class Bounded(eqx.Module):
    """An invariant box and the rate on it."""

    invariant: InvariantBox
    rate: Array
    weights: Array
    gain: Array
    input_sums: Array


def _tangled(cell: CellLike, *_: object, **__: object) -> bool:
    return getattr(cell, "choices", 0) >= _MANY_CHOICES


@partial(quickly_compiled, tangled=_tangled)
def _settled(cell: CellLike, box: Box, *, centred: bool) -> tuple[InvariantBox, InvariantBox]:
    return settle(cell, box, tolerance=1e-4, centred=centred)


@eqx.filter_jit
def _by_pieces(cell: CellLike, invariant: InvariantBox) -> InvariantBox:
    return shrink(cell, invariant, cuts=CUTS, rounds=40, tolerance=1e-3)


def rate_on(cell: CellLike, invariant: InvariantBox) -> Bounded:
    """The smallest rate that the bound of one step proves on a box, with the weights that give it."""
    bounds: StepBounds = step_bounds(cell, invariant.box)
    rate, weights = good_weights(bounds.row_sums, jnp.ones(invariant.box.states))
    rate = jnp.where(invariant.found & bounds.bounded, rate, jnp.inf)
    sums = bounds.input_sums()
    return Bounded(invariant, rate, weights, jnp.max(sums / weights), sums)


_bounded = quickly_compiled(rate_on, tangled=_tangled)
