"""Lyapunov exponents of any cell: how fast small differences of the state grow along a trajectory.

The QR method of Benettin et al. 1980: an orthonormal basis is carried along by products of the step's
Jacobian with its vectors and made orthonormal again; the mean logarithms of the diagonal of R are the
exponents.
"""

import time
from itertools import pairwise
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from attractor.cells import State
from attractor.dynamics.trajectory import prepared_batch, time_step
from attractor.errors import DivergedError, InputDataError
from attractor.program import FlatMap
from attractor.progress import Reporter, SilentReporter

from .follow import Driven, Riding, advance, place, settle, start
from .settings import LyapunovSettings
from .spectrum import Ending, LyapunovSpectrum

_USUAL = LyapunovSettings()

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

    Args:
        cell: any cell; its state is taken as one flat vector.
        inputs: a sequence, a batch of them, or a number of steps without input (zeros).
        state: where to start, or a batch of starts (a leading axis); the cell's own initial state when None.
        settings: number of exponents, burn-in, blocks, tolerance, time step.
        key: noise of the steps; None means no noise.
        reporter: hears about every block.

    Raises:
        ConfigError: more exponents than the state has entries.
        ShapeError: inputs or starts that do not fit the cell.
        InputDataError: inputs with fewer than two steps beyond the burn-in, or not finite.
        DivergedError: the state or a Jacobian left the finite numbers; the step is named, and `partial` of
            the error is the spectrum until then, or None.

    Example:
        >>> import jax
        >>> from attractor.cells import GRU
        >>> cell = GRU(1, 4, key=jax.random.key(0))
        >>> found = lyapunov_exponents(cell, 400, settings=LyapunovSettings(count="all"))
        >>> bool(found.per_step[0] < 0)
        True
    """
    begun = time.perf_counter()
    with jax.enable_x64(True):
        flat, states, driven = prepared_batch(cell, inputs, state, key)
        count = settings.columns(flat.real_size)
        ends = _ends(driven[0].shape[1], settings)
        riding = start(flat, states, count, settings.seed, settings.longest)
        align = max(settings.burn_in - settings.alignment, 0)
        riding = settle(flat, riding, driven, place(0), place(align))
        riding, _, _ = advance(flat, riding, driven, place(align), place(settings.burn_in))
        path = _Path(settings, time_step(cell) if settings.time_step is None else float(settings.time_step))
        _check(riding, path, begun)
        reporter = reporter or SilentReporter()
        try:
            ending = _measured(flat, riding, driven, ends, path, reporter)
        finally:
            reporter.close()
    return path.spectrum(ending, time.perf_counter() - begun)


def _ends(steps: int, settings: LyapunovSettings) -> np.ndarray:
    """Where blocks begin and end, as even as steps allow."""
    counted = steps - settings.burn_in
    if counted < 2:
        message = f"{steps} steps with burn_in={settings.burn_in}: give more inputs, or a shorter burn-in"
        raise InputDataError(message)
    blocks = min(settings.blocks, counted)
    return settings.burn_in + np.round(np.linspace(0, counted, blocks + 1)).astype(int)


class _Path:
    """The blocks that are done."""

    def __init__(self, settings: LyapunovSettings, step: float | None) -> None:
        self.settings, self._step = settings, step
        self._growth: list[np.ndarray] = []
        self._lengths: list[int] = []
        self._decompositions = 0
        self._last: Any = None

    def add(self, riding: Riding, growth: Array, length: int, decompositions: Array) -> None:
        """One more block."""
        self._growth.append(np.asarray(growth) / length)
        self._lengths.append(length)
        self._decompositions += int(decompositions)
        self._last = riding

    def good_enough(self) -> bool:
        """Whether all standard errors are below the tolerance."""
        tolerance, enough = self.settings.tolerance, max(self.settings.blocks // 2, 2)
        if tolerance is None or len(self._lengths) < enough:
            return False
        return bool(np.all(self.spectrum(Ending.TOLERANCE, 0.0).standard_error < tolerance))

    def partial(self, seconds: float) -> LyapunovSpectrum | None:
        """What is known where the path breaks off."""
        return self.spectrum(Ending.DIVERGED, seconds) if self._lengths else None

    def spectrum(self, ending: Ending, seconds: float) -> LyapunovSpectrum:
        """What the blocks say; there is at least one."""
        blocks, lengths = np.stack(self._growth, axis=1), np.asarray(self._lengths, float)
        grows = np.average(blocks, axis=1, weights=lengths).max(axis=1) > 0
        return LyapunovSpectrum(
            blocks=blocks,
            block_steps=lengths,
            time_step=self._step,
            ending=ending,
            collapsed=np.asarray(self._last.still) & grows,
            decompositions=self._decompositions,
            last_state=np.asarray(self._last.states),
            last_basis=np.asarray(self._last.basis),
            seconds=seconds,
        )


def _measured(
    flat: FlatMap, riding: Riding, driven: Driven, ends: np.ndarray, path: _Path, reporter: Reporter
) -> Ending:
    begun = time.perf_counter()
    for done, (first, last) in enumerate(pairwise(ends.tolist())):
        riding, growth, count = advance(flat, riding, driven, place(first), place(last))
        _check(riding, path, begun)
        path.add(riding, growth, last - first, count)
        reporter.update(done + 1, len(ends) - 1)
        if path.good_enough():
            return Ending.TOLERANCE
    return Ending.ALL_STEPS


def _check(riding: Riding, path: _Path, begun: float) -> None:
    broken = int(riding.broken)
    if broken < 0:
        return
    partial = path.partial(time.perf_counter() - begun)
    until = (
        "" if partial is None else f"; the largest exponent until then was {partial.per_step[0]:.4g} a step"
    )
    message = (
        f"the state or its Jacobian is not finite at step {broken}{until}. Start elsewhere, or scale down"
    )
    raise DivergedError(message, partial)
