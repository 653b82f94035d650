r"""Many starts at once go downhill in q(x) = |F(x)|^2 / 2, with F(x) = step(x) - x.

Levenberg-Marquardt: a trial solves $(J^T J + \mu s I) d = -J^T F$ with the exact Jacobian J of F and s the
mean of the diagonal of $J^T J$. With a large $\mu$ that is a short step downhill, with a small one Newton's
step. Only a trial that lowers q is accepted. So nothing diverges, and a start that reaches no zero comes to
rest at another minimum of q, a slow point (Sussillo and Barak 2013, *Opening the black box*, doi
10.1162/NECO_a_00409), or runs away to where q fades.

Near a zero a second step follows with the factor at hand. It costs little beside the Jacobian and its factor
and makes the convergence cubic (Fan 2012, *The modified Levenberg-Marquardt method for nonlinear equations
with cubic convergence*, Mathematics of Computation 81).

A compiled loop holds a pool of starts. Every trial takes as many of the running ones as it has seats, so that
no time is spent on finished ones and no shape is compiled twice. (Under `vmap` all starts of optimistix's
Levenberg-Marquardt wait for the slowest: for 256 starts of a network of 16 and 64 units it took 11 and 13
times as long, on one core.)

Slow points are made exact by Newton's method for a minimum of q. Levenberg-Marquardt leaves out the curvature
of F and is slow where q is not zero at the minimum. The whole Hessian of q is used here, with the moduli of
its eigenvalues, so that steps lead down also where it is not positive definite. A state that still moves
after the last step is no slow point.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from attractor.program import HeldMap, compiled
from attractor.progress import Reporter

# Bytes that Jacobians and their products may take.
_MEMORY = 2**28
# Slots times states beyond which more slots gain nothing on a CPU (measured from 3 to 128 states).
_COLUMNS = 1024
_MOST_SLOTS = 256
# Starts in the compiled loop, in slots.
_POOL = 8
# Trials of all slots between two reports.
_ROUND = 32
_FIRST_DAMPING, _LEAST_DAMPING, _MOST_DAMPING = 1e-2, 1e-16, 1e12
# Where a step leaves a smaller share of |F| than this, a second one with the same factor follows. Far
# from a zero, and where F fades as the state runs away, no step gains as much.
_FAST = 0.1
# At rest where |F| falls at less than this share of the steepest slope that the Jacobian allows.
_FLAT = 1e-5
_STEPS = 20
# Of one step, as a share of max(1, |x|).
_LONGEST = 0.1
# Length of the last step, as a share of max(1, |x|).
_SETTLED = 1e-7
# Rounding of an entry of the gradient of q, as a share of |F| |J|.
_NOISE = 1e-12
# An eigenvalue of the Hessian may be this far below zero, as a share of the largest, at a minimum.
_NEGATIVE = 1e-8


# F of a flat state and an input.
Field = Callable[[Array, Array], Array]


class Outcome(IntEnum):
    """How the way of a start ended."""

    RUNNING = 0
    CONVERGED = 1
    AT_REST = 2
    UNFINISHED = 3
    NOT_FINITE = 4


class Descents(NamedTuple):
    """Starts on their way: NumPy arrays outside of compiled code, JAX arrays inside, there also of one start.

    Args:
        states: x, shape (starts, states).
        inputs: the constant input of each, shape (starts, inputs).
        damping: mu, shape (starts,).
        outcomes: `Outcome` numbers, shape (starts,).
        trials: steps tried so far, shape (starts,).
        speeds: |F|, shape (starts,).
    """

    states: Any
    inputs: Any
    damping: Any
    outcomes: Any
    trials: Any
    speeds: Any


def drift(flat: HeldMap) -> Field:
    """F(x, u) = step(x, u) - x of the flat state x, zero at a fixed point."""
    return lambda state, row: flat.step(state, row) - state


def accuracy(state: Array, tolerance: Array | float) -> Array:
    """The |F| below which a state counts as fixed: rounding of F grows with the state."""
    return tolerance * jnp.maximum(1.0, jnp.linalg.norm(state))


def slots_for(starts: int, states: int) -> int:
    """How many starts are on their way at a time: a power of two, so that few shapes are compiled."""
    fitting = min(_MOST_SLOTS, max(8, _COLUMNS // states), _MEMORY // (8 * 6 * states**2))
    return 1 << (max(1, min(fitting, 2 * starts - 1)).bit_length() - 1)


def descend(
    flat: HeldMap, starts: np.ndarray, rows: np.ndarray, limits: tuple[float, int], reporter: Reporter
) -> Descents:
    """All starts at the ends of their ways.

    Args:
        flat: the map, in float64.
        starts: flat states, shape (starts, states).
        rows: the constant input of each, shape (starts, inputs).
        limits: tolerance on |F| (see `accuracy`), and most trials of one start.
        reporter: hears how many starts have finished.
    """
    count = len(starts)
    everyone = _at_start(starts, rows)
    slots = slots_for(count, starts.shape[1])
    pool = _POOL * slots  # one shape for each number of slots
    seats, waiting = np.arange(min(pool, count)), min(pool, count)
    while len(seats):
        here = Descents(*(_filled(part[seats], pool) for part in everyone))
        here.outcomes[len(seats) :] = Outcome.UNFINISHED  # empty seats stay as they are
        fewest = slots if waiting < count else 1
        after = _advanced(flat, here, slots, tuple(map(jnp.asarray, (*limits, fewest))))
        after = jax.tree.map(np.asarray, after)
        for part, new in zip(everyone, after, strict=True):
            part[seats] = new[: len(seats)]
        seats = seats[everyone.outcomes[seats] == Outcome.RUNNING]
        done = waiting - len(seats)
        newcomers = np.arange(waiting, min(waiting + pool - len(seats), count))
        seats, waiting = np.concatenate([seats, newcomers]), waiting + len(newcomers)
        reporter.update(done, count, "starts")
    return everyone


def _at_start(starts: np.ndarray, rows: np.ndarray) -> Descents:
    count = len(starts)
    return Descents(
        np.array(starts, np.float64),
        np.array(rows, np.float64),
        np.full(count, _FIRST_DAMPING),
        np.full(count, int(Outcome.RUNNING), np.int32),
        np.zeros(count, np.int32),
        np.full(count, np.inf),
    )


def _filled(part: np.ndarray, slots: int) -> np.ndarray:
    """Empty seats repeat the first start."""
    return np.concatenate([part, np.repeat(part[:1], slots - len(part), axis=0)])


@compiled
def _advanced(flat: HeldMap, descents: Descents, slots: int, limits: tuple[Array, ...]) -> Descents:
    """Some trials further, or until fewer than the fewest allowed still run."""
    tolerance, most, fewest = limits
    field = drift(flat)
    step = jax.vmap(lambda descent: _trial(field, descent, tolerance, most))

    def going(carry: tuple[Array | int, Descents]) -> Array:
        return (carry[0] < _ROUND) & (jnp.sum(carry[1].outcomes == Outcome.RUNNING) >= fewest)

    def body(carry: tuple[Array | int, Descents]) -> tuple[Array | int, Descents]:
        everyone = carry[1]
        chosen = _running(everyone, slots)
        some = step(Descents(*(part.at[chosen].get(mode="clip") for part in everyone)))
        pairs = zip(everyone, some, strict=True)
        new = Descents(*(old.at[chosen].set(part, mode="drop") for old, part in pairs))
        return carry[0] + 1, new._replace(inputs=everyone.inputs)

    return jax.lax.while_loop(going, body, (0, descents))[1]


def _running(descents: Descents, slots: int) -> Array:
    """The numbers of as many descents that run as there are slots; beyond the last one where fewer run.

    On a CPU the search for the largest in float32 is a library call: several times faster than `nonzero` to
    compile and to run, and than a sort to run.
    """
    runs, chosen = jax.lax.top_k((descents.outcomes == Outcome.RUNNING).astype(jnp.float32), slots)
    return jnp.where(runs > 0, chosen, len(descents.outcomes))


def _trial(field: Field, descent: Descents, tolerance: Array, most: Array) -> Descents:
    """One trial of one start that runs."""
    value, columns = _linearised(field, descent)
    before, slope = jnp.linalg.norm(value), columns @ value
    square, trace = columns @ columns.T, jnp.sum(columns**2)
    shift = descent.damping * trace / len(slope)
    # the matrix is symmetric as it stands, and making it so again costs as much as a product with a vector
    factor = jax.lax.linalg.cholesky(square + shift * jnp.eye(len(slope)), symmetrize_input=False)
    move = _solved(factor, -slope)
    first, rest, once = _at(field, descent, descent.states + move)
    second, _, twice = _at(field, descent, first - _solved(factor, columns @ rest))
    fast = (once < _FAST * before) & (twice < once)
    tried, after = jnp.where(fast, second, first), jnp.where(fast, twice, once)
    better = after < before
    hoped = shift * move @ move - slope @ move  # |F|^2 - |F + J d|^2
    damping = descent.damping * _change(better, (before**2 - once**2) / hoped)
    new = descent._replace(
        states=jnp.where(better, tried, descent.states),
        speeds=jnp.where(better, after, before),
        damping=jnp.maximum(damping, _LEAST_DAMPING),
        trials=descent.trials + 1,
    )
    at_rest = jnp.linalg.norm(slope) <= _FLAT * before * jnp.sqrt(trace)
    return new._replace(outcomes=_outcome(new, before, at_rest, (tolerance, most)))


def _at(field: Field, descent: Descents, state: Array) -> tuple[Array, Array, Array]:
    """A state that is tried, with F and |F| there."""
    value = field(state, descent.inputs)
    return state, value, jnp.linalg.norm(value)


def _linearised(field: Field, descent: Descents) -> tuple[Array, Array]:
    """F and J^T: the columns of J, one a row, as they come."""
    value, push = jax.linearize(lambda state: field(state, descent.inputs), descent.states)
    return value, jax.vmap(push)(jnp.eye(len(value)))


def _solved(factor: Array, right: Array) -> Array:
    return jax.scipy.linalg.cho_solve((factor, True), right)


def _change(better: Array, gain: Array) -> Array:
    """Less damping where q fell nearly as hoped, more where it fell too little, and most where it rose."""
    kept = jnp.where(gain > 0.75, 0.1, jnp.where(gain > 0.25, 1.0, 4.0))
    return jnp.where(better, kept, 8.0)


def _outcome(new: Descents, before: Array, at_rest: Array, limits: tuple[Array, Array]) -> Array:
    tolerance, most = limits
    exhausted = (new.damping > _MOST_DAMPING) | (new.trials >= most)
    cases = {
        Outcome.NOT_FINITE: ~jnp.isfinite(before),
        Outcome.CONVERGED: new.speeds <= accuracy(new.states, tolerance),
        Outcome.AT_REST: at_rest,
        Outcome.UNFINISHED: exhausted,
    }
    numbers = [jnp.asarray(int(case), new.outcomes.dtype) for case in cases]
    return jnp.select(list(cases.values()), numbers, jnp.asarray(0, new.outcomes.dtype))


def settled(flat: HeldMap, states: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, ...]:
    """Where Newton's method for a minimum of q leads, the |F| there, and whether it is a minimum.

    Args:
        flat: the map, in float64.
        states: flat states near minima.
        rows: the constant input of each.
    """
    return in_chunks(_settled, flat, states, rows, slots_for(len(states), states.shape[1]))


def in_chunks(
    evaluate: Callable[..., tuple[Array, ...]],
    flat: HeldMap,
    states: np.ndarray,
    rows: np.ndarray,
    slots: int,
) -> tuple[np.ndarray, ...]:
    """What a compiled function gives at every state, so many at a time, in one shape however few there are.

    Args:
        evaluate: `evaluate(flat, states, rows)`, arrays with one entry a state.
        flat: the map, in float64.
        states: flat states, at least one.
        rows: the constant input of each.
        slots: states of one call; the last one is repeated where they do not fill it.
    """
    found = []
    for first in range(0, len(states), slots):
        some = np.arange(first, first + slots).clip(max=len(states) - 1)
        part = evaluate(flat, states[some], rows[some])
        found.append([np.asarray(piece)[: len(states) - first] for piece in part])
    return tuple(np.concatenate(pieces) for pieces in zip(*found, strict=True))


@compiled
def _settled(flat: HeldMap, states: Array, rows: Array) -> tuple[Array, Array, Array]:
    field = drift(flat)

    def one(state: Array, row: Array) -> tuple[Array, Array, Array]:
        def body(carry: tuple[Array, Array, Array], _: None) -> tuple[tuple[Array, Array, Array], None]:
            state = carry[0]
            move, convex = _newton(lambda state: field(state, row), state)
            size = jnp.maximum(1.0, jnp.linalg.norm(state))
            length = jnp.linalg.norm(move) / size
            move = move * jnp.minimum(1.0, _LONGEST / jnp.maximum(length, 1e-300))
            return (state + move, length, convex), None

        start = (state, jnp.asarray(jnp.inf), jnp.asarray(False))
        (end, length, convex), _ = jax.lax.scan(body, start, None, length=_STEPS)
        return end, jnp.linalg.norm(field(end, row)), (length <= _SETTLED) & convex

    return jax.vmap(one)(states, rows)


def _gradient(field: Callable[[Array], Array], state: Array) -> Array:
    """That of |F|^2 / 2, forwards: a loop whose length depends on values has no derivative backwards."""
    return jax.jacfwd(field)(state).T @ field(state)


def _newton(field: Callable[[Array], Array], state: Array) -> tuple[Array, Array]:
    """The step -H^+ g with the moduli of the eigenvalues of H, and whether none of them is negative."""
    value, jacobian = field(state), jax.jacfwd(field)(state)
    values, vectors = jnp.linalg.eigh(jax.jacfwd(lambda state: _gradient(field, state))(state))
    parts = vectors.T @ (jacobian.T @ value)
    noise = _NOISE * jnp.linalg.norm(value) * jnp.linalg.norm(jacobian)
    scaled = jnp.where(jnp.abs(parts) > noise, parts / jnp.abs(values), 0.0)
    return -vectors @ scaled, values[0] >= -_NEGATIVE * values[-1]
