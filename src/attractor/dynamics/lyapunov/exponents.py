"""Lyapunov exponents of any cell: how fast small differences of the state grow along a trajectory.

The QR method of Benettin et al. 1980: an orthonormal basis is carried along by products of the step's
Jacobian with its vectors and made orthonormal again; the mean logarithms of the diagonal of R are the
exponents.
"""

import time
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from attractor.cells import State
from attractor.dynamics.trajectory import prepared_batch, time_step
from attractor.errors import DivergedError, InputDataError
from attractor.program import FlatMap, double_precision
from attractor.progress import Reporter, SilentReporter

from .follow import Driven, Riding, advance, place, settle, start
from .low_frequency import BINS
from .lyapunov_settings import LyapunovSettings
from .lyapunov_spectrum import Ending, LyapunovSpectrum

_USUAL = LyapunovSettings()

_FEWEST_INTERVALS = 64
"""Intervals between decompositions at least: within one the growth counts as even, and a short path shows."""

Inputs = Float[Array | np.ndarray, "time inputs"] | Float[Array | np.ndarray, "batch time inputs"] | int


def lyapunov_exponents(
    cell: Any,
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
    named.

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
        riding = start(flat, states, count, settings.seed, longest)
        riding = settle(flat, riding, driven, place(0), place(settings.settling))
        arrived = np.full_like(blocks[0], settings.burn_in)  # one shape, one compilation
        riding, _, _ = advance(flat, riding, driven, place(settings.settling), jnp.asarray(arrived))
        path = _Path(settings, time_step(cell) if settings.time_step is None else float(settings.time_step))
        _check(riding, path, begun)
        reporter = reporter or SilentReporter()
        try:
            ending = _measured(flat, riding, driven, blocks, path, reporter)
        finally:
            reporter.close()
    return path.spectrum(ending, time.perf_counter() - begun)


def _blocks(steps: int, settings: LyapunovSettings) -> np.ndarray:
    """The steps before which growth is told, a row for every block; the last rows may repeat their end."""
    counted = steps - settings.burn_in
    if counted < 2:
        message = f"{steps} steps with burn_in={settings.burn_in}: give more inputs, or a shorter burn-in"
        raise InputDataError(message)
    bins = min(BINS, counted)
    marks = settings.burn_in + np.round(np.linspace(0, counted, bins + 1)).astype(int)[1:]
    parts = np.array_split(marks, min(settings.blocks, bins))
    return np.stack([np.pad(part, (0, len(parts[0]) - len(part)), mode="edge") for part in parts])


class _Path:
    """The growth that is known."""

    def __init__(self, settings: LyapunovSettings, step: float | None) -> None:
        self.settings, self._step = settings, step
        self._sums: list[np.ndarray] = []
        self._marks: list[np.ndarray] = []
        self._decompositions = 0
        self._last: Any = None

    def add(self, riding: Riding, told: Array, marks: np.ndarray, decompositions: Array) -> None:
        """One more block: growth of every run until each mark, the marks may repeat the last one."""
        kept = np.unique(marks, return_index=True)[1]
        before = self._sums[-1][:, -1:] if self._sums else 0.0
        self._sums.append(before + np.swapaxes(np.asarray(told)[kept], 0, 1))
        self._marks.append(marks[kept] - self.settings.burn_in)
        self._decompositions += int(decompositions)
        self._last = riding

    def good_enough(self) -> bool:
        """Whether all standard errors are below the tolerance."""
        tolerance, enough = self.settings.tolerance, max(self.settings.blocks // 2, 2)
        if tolerance is None or len(self._sums) < enough:
            return False
        return bool(np.all(self.spectrum(Ending.TOLERANCE, 0.0).standard_error < tolerance))

    def partial(self, seconds: float) -> LyapunovSpectrum | None:
        """What is known where the path breaks off."""
        return self.spectrum(Ending.DIVERGED, seconds) if self._sums else None

    def spectrum(self, ending: Ending, seconds: float) -> LyapunovSpectrum:
        """What the runs say that are still under way; there is at least one, and one block."""
        broken = np.asarray(self._last.broken)
        alive = broken < 0
        sums, marks = np.concatenate(self._sums, axis=1)[alive], np.concatenate(self._marks)
        return LyapunovSpectrum(
            sums=sums,
            marks=marks.astype(float),
            time_step=self._step,
            ending=ending,
            collapsed=np.asarray(self._last.still)[alive] & (sums[:, -1].max(axis=1) > 0),
            broken=broken,
            decompositions=self._decompositions,
            last_state=np.asarray(self._last.states)[alive],
            last_basis=np.asarray(self._last.basis)[alive],
            seconds=seconds,
        )


def _measured(
    flat: FlatMap, riding: Riding, driven: Driven, blocks: np.ndarray, path: _Path, reporter: Reporter
) -> Ending:
    begun, first = time.perf_counter(), path.settings.burn_in
    for done, marks in enumerate(blocks):
        riding, told, count = advance(flat, riding, driven, place(first), jnp.asarray(marks))
        _check(riding, path, begun)
        path.add(riding, told, marks, count)
        reporter.update(done + 1, len(blocks))
        if path.good_enough():
            return Ending.TOLERANCE
        first = int(marks[-1])
    return Ending.ALL_STEPS


def _check(riding: Riding, path: _Path, begun: float) -> None:
    """Whether a run is left."""
    broken = np.asarray(riding.broken)
    if broken.min() < 0:
        return
    partial = path.partial(time.perf_counter() - begun)
    until = (
        "" if partial is None else f"; the largest exponent until then was {partial.per_step[0]:.4g} a step"
    )
    where = f"step {broken[0]}" if len(broken) == 1 else f"steps {broken.min()} to {broken.max()} of all runs"
    message = f"the state or its Jacobian is not finite at {where}{until}. Start elsewhere, or scale down"
    raise DivergedError(message, partial)
