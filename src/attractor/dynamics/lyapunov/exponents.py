"""Lyapunov exponents of any cell: how fast small differences of the state grow along a trajectory.

The QR method of Benettin et al. 1980: an orthonormal basis is multiplied by the step's Jacobian and made
orthonormal again; the mean logarithms of the diagonal of R are the exponents.

Between two decompositions the basis is multiplied by several Jacobians. More steps are cheaper, but slow
directions drown in the rounding errors of fast ones once their growth differs by more than `MOST_SPREAD`. So
the number of steps is chosen like the step of an integrator: from the spread of the last interval; an
interval that was too long is repeated with half the steps.
"""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray

from attractor.cells import CellLike, State
from attractor.dynamics.trajectory import prepared_batch, time_step
from attractor.errors import ConfigError, DivergedError, InputDataError
from attractor.program import FlatMap, compiled, double_precision
from attractor.progress import Reporter, interactive_reporter
from attractor.settings import Count, CountOrNone, Positive, Seed, Settings, Within

from .at_rest import growth_at_rest, with_growth
from .low_frequency import BINS
from .lyapunov_spectrum import Ending, LyapunovSpectrum

_Triangles = TypeVar("_Triangles", Array, np.ndarray)
_USUAL_COUNT = 10
# Ratio of growths within an interval: rounding then disturbs an exponent by about 1e-9 an interval.
MOST_SPREAD = 1e7

# Inputs, and keys where the steps are noisy.
Driven = tuple[Float[Array, "batch time inputs"], Key[Array, "batch time"] | None]
# Intervals between decompositions at least: within one the growth counts as even, and a short path shows.
_FEWEST_INTERVALS = 64

Inputs = Float[Array | np.ndarray, "time inputs"] | Float[Array | np.ndarray, "batch time inputs"] | int


@dataclass(frozen=True)
class LyapunovSettings(Settings):
    """How Lyapunov exponents are measured.

    Args:
        count: how many of the largest; "all", or "leading" for all but at most ten.
        burn_in: steps at the start that do not count, while the state comes to the attractor.
        alignment: the last steps of the burn-in in which the basis is carried along, to turn to the fast
            directions before it counts; at most the burn-in, and all of it when None.
        blocks: parts of the path after which the reporter hears and the tolerance is checked.
        longest: steps between two QR decompositions at most; as many as rounding allows are taken, 1 makes
            one in every step.
        tolerance: stop when every finite exponent has a standard error below this (per step), after
            half of the blocks at the earliest; None goes to the end.
        time_step: time of one step, for exponents per unit of time; None asks the cell for its `step`.
        seed: of the basis at the start.

    Raises:
        ConfigError: a value outside its range.
    """

    count: Count | Literal["leading", "all"] = "leading"
    burn_in: CountOrNone = 100
    alignment: CountOrNone | None = None
    blocks: Annotated[int, Within(2)] = 20
    longest: Count = 64
    tolerance: Positive | None = None
    time_step: Positive | None = None
    seed: Seed = 0

    @property
    def settling(self) -> int:
        """Steps at the start in which the state moves alone."""
        return 0 if self.alignment is None else max(self.burn_in - self.alignment, 0)

    def columns(self, states: int) -> int:
        """Number of exponents for a state with so many entries.

        Raises:
            ConfigError: more exponents than the state has entries.
        """
        if isinstance(self.count, str):
            return states if self.count == "all" else min(states, _USUAL_COUNT)
        if self.count > states:
            raise ConfigError(f"count={self.count} exponents of a state with {states} entries")
        return self.count


class Carried(NamedTuple):
    """What is carried along.

    Args:
        states: flat states.
        basis: tangent vectors as rows, which is what LAPACK calls columns: no transposition.
        interval: steps that the next interval should have.
        longest: steps of one interval at most.
        singular: directions in which some step had a Jacobian without a part of their own.
        broken: the first step of every run with numbers that are not finite; -1 if there is none.
        still: the states stood still, bit by bit, in the last step.
    """

    states: Float[Array, "batch states"]
    basis: Float[Array, "batch count real"]
    interval: Int[Array, ""]
    longest: Int[Array, ""]
    singular: Bool[Array, "batch count"]
    broken: Int[Array, " batch"]
    still: Bool[Array, " batch"]


def start(
    flat: FlatMap, states: Float[Array, "batch states"], count: int, seed: int, longest: int
) -> Carried:
    """States with a random basis of their real part, the same for all of the batch."""
    batch = len(states)
    first = np.asarray(_first_basis(jax.random.key(seed), (flat.real_size, count), states.dtype)).T
    basis = jax.device_put(np.tile(first, (batch, 1, 1)))
    nothing = jax.device_put(np.zeros((batch, count), bool))
    still, sound = jax.device_put((np.zeros(batch, bool), np.full(batch, -1, np.int64)))
    return Carried(states, basis, as_index(1), as_index(longest), nothing, sound, still)


@partial(jax.jit, static_argnums=(1, 2))
def _first_basis(key: PRNGKeyArray, shape: tuple[int, int], dtype: np.dtype) -> Array:
    """Random orthonormal columns, as one program."""
    return jnp.linalg.qr(jax.random.normal(key, shape, dtype))[0]


def as_index(step: int) -> Int[Array, ""]:
    """A number of a step in the one type that the loops are compiled for."""
    return jnp.asarray(step, jnp.int64)


def _row(driven: Driven, step: Array | int) -> tuple[Array, Array | None]:
    inputs, keys = driven
    return inputs[:, step], None if keys is None else keys[:, step]


@compiled
def settle(
    flat: FlatMap, carried: Carried, driven: Driven, first: Int[Array, ""], last: Int[Array, ""]
) -> Carried:
    """Move the states alone, from step `first` to before `last`."""
    move = jax.vmap(flat.step)

    def body(step: Array | int, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        states, broken = carry
        new = move(states, *_row(driven, step))
        return new, _first_broken(broken, jnp.all(jnp.isfinite(new), axis=1), step)

    states, broken = jax.lax.fori_loop(first, last, body, (carried.states, carried.broken))
    return carried._replace(states=states, broken=broken)


@compiled
def advance(
    flat: FlatMap, carried: Carried, driven: Driven, first: Int[Array, ""], marks: Int[Array, " marks"]
) -> tuple[Carried, Float[Array, "marks batch count"], Int[Array, ""]]:
    """Move states and basis from step `first` to before the last mark.

    Runs that leave the finite numbers are carried on as they are; the others are not affected.

    Args:
        flat: the cell.
        carried: what is carried along.
        driven: inputs and keys.
        first: number of the first step.
        marks: steps, in rising order, before which the growth is recorded.

    Returns:
        What is carried on, the growth of logarithms from the first step to every mark, and the number of
        decompositions. Between two decompositions the growth counts as even.
    """
    pushed, last = _pushed(flat), marks[-1]

    def body(carry: tuple[Array, Carried, Array, Array, Array]) -> tuple[Array, Carried, Array, Array, Array]:
        step, carried, growth, recorded, count = carry
        length = jnp.minimum(carried.interval, last - step)
        moved = jax.lax.fori_loop(step, step + length, lambda at, some: pushed(at, some, driven), carried)
        basis, logs, empty = _orthonormal(moved.basis)
        # A basis may overflow because the interval is long: only a single step shows a broken Jacobian.
        sound = jnp.all(jnp.isfinite(logs) | empty, axis=1) | (length > 1)
        moved = moved._replace(broken=_first_broken(moved.broken, sound, step))
        spread = _spread(logs, carried.singular | empty | (moved.broken >= 0)[:, None])
        whole = (spread <= jnp.log(MOST_SPREAD)) & ~jnp.any(empty & ~carried.singular)
        good = whole | (length == 1)
        wanted = length * jnp.log(MOST_SPREAD) / jnp.maximum(spread, 1e-3)
        longer = jnp.clip(jnp.floor(wanted), 1, jnp.minimum(2 * length, carried.longest)).astype(length.dtype)
        singular = carried.singular | (empty & (length == 1))
        done = moved._replace(basis=basis, interval=longer, singular=singular)
        again = carried._replace(interval=jnp.maximum(length // 2, 1))
        # Broken paths are not mended by shorter intervals: where none is left, it ends here.
        stop = jnp.all(moved.broken >= 0)
        kept = jax.tree.map(lambda one, other: jnp.where(good | stop, one, other), done, again)
        logs = jnp.where(empty, -jnp.inf, logs)
        share = jnp.clip((marks - step) / length, 0.0, 1.0)[:, None, None]
        passed = good & (share > 0)
        return (
            jnp.where(stop, last, jnp.where(good, step + length, step)),
            kept,
            jnp.where(good, growth + logs, growth),
            jnp.where(passed, growth + jnp.where(share > 0, share, 1.0) * logs, recorded),
            count + good,
        )

    nothing = jnp.zeros(carried.singular.shape, carried.states.dtype)
    untold = jnp.zeros((len(marks), *nothing.shape), nothing.dtype)
    begun = (first, carried, nothing, untold, as_index(0))
    _, carried, _, recorded, count = jax.lax.while_loop(lambda carry: carry[0] < last, body, begun)
    return carried, recorded, count


def _first_broken(
    broken: Int[Array, " batch"], sound: Bool[Array, " batch"], step: Array | int
) -> Int[Array, " batch"]:
    return jnp.where((broken < 0) & ~sound, step, broken)


def _pushed(flat: FlatMap) -> Callable[[Array, Carried, Driven], Carried]:
    """One step of states and basis."""

    def one(state: Array, basis: Array, row: Array, key: Array | None) -> tuple[Array, Array]:
        new, push = flat.linearize(state, row, key)
        return new, jax.vmap(push)(basis)

    def step(at: Array, carried: Carried, driven: Driven) -> Carried:
        states, basis = jax.vmap(one)(carried.states, carried.basis, *_row(driven, at))
        broken = _first_broken(carried.broken, jnp.all(jnp.isfinite(states), axis=1), at)
        still = jnp.all(states == carried.states, axis=1)
        return carried._replace(states=states, basis=basis, broken=broken, still=still)

    return step


def _orthonormal(
    basis: Float[Array, "batch count states"],
) -> tuple[Float[Array, "batch count states"], Float[Array, "batch count"], Bool[Array, "batch count"]]:
    """An orthonormal basis of the same nested spaces, log |diag R|, and which of these are only rounding."""
    turned, triangle = jnp.linalg.qr(jnp.swapaxes(basis, 1, 2))
    own = jnp.abs(jnp.diagonal(triangle, axis1=1, axis2=2))
    return jnp.swapaxes(turned, 1, 2), jnp.log(own), only_rounding(triangle, basis.shape[2])


def only_rounding(triangles: _Triangles, states: int) -> _Triangles:
    """Which entries of diag R are zeros, to the accuracy of the arithmetic.

    What a pushed vector has beside the vectors before it is rounding where it is about as large as the error
    of a product, which is that of the longest one: then the Jacobian has no such direction. Some LAPACK leave
    an exact zero there, others a number near 1e-16, so that the number itself says nothing.

    Args:
        triangles: R of QR decompositions, shape (..., count, count), NumPy or JAX; its columns are as long as
            the pushed vectors.
        states: entries of a pushed vector.
    """
    longest = abs(triangles).sum(axis=-2).max(axis=-1)[..., None]  # no squares, which may overflow
    own = abs(triangles.diagonal(axis1=-2, axis2=-1))
    return own <= 4 * states * np.finfo(triangles.dtype).eps * longest


def _spread(logs: Float[Array, "batch count"], unused: Bool[Array, "batch count"]) -> Float[Array, ""]:
    """Difference of the largest and the smallest growth within an interval, over directions that count."""
    largest = jnp.max(jnp.where(unused, -jnp.inf, logs), axis=1)
    smallest = jnp.min(jnp.where(unused, jnp.inf, logs), axis=1)
    return jnp.max(jnp.where(jnp.all(unused, axis=1), 0.0, largest - smallest))


_USUAL = LyapunovSettings()


def lyapunov_exponents(
    cell: CellLike,
    inputs: Inputs,
    state: State | None = None,
    *,
    settings: LyapunovSettings = _USUAL,
    key: PRNGKeyArray | None = None,
    reporter: Reporter | None = None,
) -> LyapunovSpectrum:
    """The largest Lyapunov exponents of a cell along the trajectories that inputs drive, in float64.

    Exponents of a driven cell are conditional: they say how two runs under the same inputs part. Those of a
    discretised flow are of the map of its steps. With a key the trajectory is noisy and the Jacobians contain
    the derivative of the noise term: the exponents are those of two runs under the same noise, too.

    Runs of a batch are taken as samples of one attractor. Where they differ by more than chance, a remark
    says so and the interval is that of their scatter; a run that leaves the finite numbers is left out, and
    named. Where inputs stand still and a run comes to rest its exponents are the logarithms of the moduli of
    the eigenvalues there, to rounding.

    Args:
        cell: any cell; its state is taken as one flat vector.
        inputs: a sequence, a batch of them, or a number of steps without input (zeros).
        state: where to start, or a batch of starts (a leading axis); the cell's own initial state when None.
        settings: number of exponents, burn-in, blocks, tolerance, time step.
        key: noise of the steps; None means no noise.
        reporter: hears about every block.

    Raises:
        ConfigError: more exponents than the state has entries, or a flow, which has no steps.
        ShapeError: inputs or starts that do not fit the cell.
        InputDataError: inputs with fewer than two steps beyond the burn-in, or not finite.
        DivergedError: the state or a Jacobian left the finite numbers in every run; the step is named, and
            `partial` of the error is the spectrum until then, or None.

    Example:
        >>> import jax
        >>> from attractor.cells import GRU
        >>> cell = GRU(1, 4, key=jax.random.key(0))
        >>> found = lyapunov_exponents(cell, 400, settings=LyapunovSettings(count="all"))
        >>> bool(found.per_step[0] < 0)
        True
    """
    begun = time.perf_counter()
    with double_precision():
        flat, states, driven = prepared_batch(cell, inputs, state, key)
        count = settings.columns(flat.real_size)
        blocks = _blocks(driven[0].shape[1], settings)
        longest = min(settings.longest, max((driven[0].shape[1] - settings.burn_in) // _FEWEST_INTERVALS, 1))
        carried = start(flat, states, count, settings.seed, longest)
        carried = settle(flat, carried, driven, as_index(0), as_index(settings.settling))
        arrived = np.full_like(blocks[0], settings.burn_in)  # one shape, one compilation
        carried, _, _ = advance(flat, carried, driven, as_index(settings.settling), jax.device_put(arrived))
        step = time_step(cell) if settings.time_step is None else settings.time_step
        path = _Path(settings, step, carried)
        _check(carried, path, begun)
        with closing(reporter or interactive_reporter("measuring exponents")) as listener:
            ending = _measured(flat, carried, driven, blocks, path, listener)
        if key is None:
            path.look_for_rest(flat, driven)
    return path.spectrum(ending, time.perf_counter() - begun)


def _blocks(steps: int, settings: LyapunovSettings) -> np.ndarray:
    """The steps before which growth is recorded, a row a block; the last rows may repeat their end."""
    counted = steps - settings.burn_in
    if counted < 2:
        raise InputDataError(
            f"{steps} steps with burn_in={settings.burn_in}: give more inputs, or a shorter burn-in"
        )
    bins = min(BINS, counted)
    marks = settings.burn_in + np.round(np.linspace(0, counted, bins + 1)).astype(int)[1:]
    parts = np.array_split(marks, min(settings.blocks, bins))
    return np.stack([np.pad(part, (0, len(parts[0]) - len(part)), mode="edge") for part in parts])


class _Path:
    """The growth that is known."""

    def __init__(self, settings: LyapunovSettings, step: float | None, carried: Carried) -> None:
        self.settings, self._step, self._last = settings, step, carried
        self._sums: list[np.ndarray] = []
        self._marks: list[np.ndarray] = []
        self._decompositions = 0
        self._known: list[np.ndarray] = []

    def add(self, carried: Carried, recorded: Array, marks: np.ndarray, decompositions: Array) -> None:
        """One more block: growth of every run until each mark, the marks may repeat the last one."""
        kept = np.unique(marks, return_index=True)[1]
        before = self._sums[-1][:, -1:] if self._sums else 0.0
        self._sums.append(before + np.swapaxes(np.asarray(recorded)[kept], 0, 1))
        self._marks.append(marks[kept] - self.settings.burn_in)
        self._decompositions += int(decompositions)
        self._last = carried

    def good_enough(self) -> bool:
        """Whether all standard errors are below the tolerance."""
        tolerance, enough = self.settings.tolerance, max(self.settings.blocks // 2, 2)
        if tolerance is None or len(self._sums) < enough:
            return False
        return bool(np.all(self.spectrum(Ending.TOLERANCE, 0.0).standard_error < tolerance))

    def look_for_rest(self, flat: FlatMap, driven: Driven) -> None:
        """Find runs that have come to rest, whose exponents are known exactly; see `growth_at_rest`."""
        first = self.settings.burn_in
        after = settle(flat, self._last, driven, as_index(first), as_index(first + 1)).states
        inputs = np.asarray(driven[0])[:, first:]
        states = np.asarray(self._last.states), np.asarray(after)
        self._known = growth_at_rest(flat, *states, inputs)

    def _with_rest(self, sums: np.ndarray, marks: np.ndarray, alive: np.ndarray) -> np.ndarray:
        """Put growth that is known in the place of what was measured; which runs it is known of."""
        found = np.zeros(len(sums), bool)
        for number, run in enumerate(np.flatnonzero(alive) if self._known else ()):
            exact = with_growth(sums[number], marks, self._known[run])
            if exact is not None:
                sums[number], found[number] = exact, True
        return found

    def partial(self, seconds: float) -> LyapunovSpectrum | None:
        """What is known where the path breaks off."""
        return self.spectrum(Ending.DIVERGED, seconds) if self._sums else None

    def spectrum(self, ending: Ending, seconds: float) -> LyapunovSpectrum:
        """What the runs say that are still under way; there is at least one, and one block."""
        broken = np.asarray(self._last.broken)
        alive = broken < 0
        sums, marks = np.concatenate(self._sums, axis=1)[alive], np.concatenate(self._marks).astype(float)
        resting = self._with_rest(sums, marks, alive)
        return LyapunovSpectrum(
            sums=sums,
            marks=marks,
            time_step=self._step,
            ending=ending,
            collapsed=np.asarray(self._last.still)[alive] & (sums[:, -1].max(axis=1) > 0),
            resting=resting,
            broken=broken,
            decompositions=self._decompositions,
            last_state=np.asarray(self._last.states)[alive],
            last_basis=np.asarray(self._last.basis)[alive],
            seconds=seconds,
        )


def _measured(
    flat: FlatMap, carried: Carried, driven: Driven, blocks: np.ndarray, path: _Path, reporter: Reporter
) -> Ending:
    begun, first = time.perf_counter(), path.settings.burn_in
    for done, marks in enumerate(blocks):
        carried, recorded, count = advance(flat, carried, driven, as_index(first), jax.device_put(marks))
        _check(carried, path, begun)
        path.add(carried, recorded, marks, count)
        reporter.update(done + 1, len(blocks))
        if path.good_enough():
            return Ending.TOLERANCE
        first = int(marks[-1])
    return Ending.ALL_STEPS


def _check(carried: Carried, path: _Path, begun: float) -> None:
    """Whether a run is left."""
    broken = np.asarray(carried.broken)
    if broken.min() < 0:
        return
    partial = path.partial(time.perf_counter() - begun)
    until = (
        "" if partial is None else f"; the largest exponent until then was {partial.per_step[0]:.4g} per step"
    )
    where = f"step {broken[0]}" if len(broken) == 1 else f"steps {broken.min()} to {broken.max()} of all runs"
    raise DivergedError(
        f"the state or its Jacobian is not finite at {where}{until}. Start elsewhere, or scale down", partial
    )
