"""The study of one network: exponents, fixed points and spectra, beside what theory predicts of them."""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, TypeVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attractor.cells import CellLike, State
from attractor.dynamics import (
    FixedPoints,
    LyapunovSettings,
    LyapunovSpectrum,
    fixed_points,
    lyapunov_exponents,
    participation_ratio,
)
from attractor.dynamics.equilibria.points import PointKind
from attractor.dynamics.equilibria.search import root_mean_square
from attractor.dynamics.jacobians import JacobianSpectrum, spectra_along
from attractor.dynamics.trajectory import Portrait, analysed, checked, moved, path_of, portrait
from attractor.errors import AttractorError, InputDataError
from attractor.program import double_precision
from attractor.progress import Reporter, SilentReporter
from attractor.report.drawn import Drawn
from attractor.report.publishing import PAGES, PageKind
from attractor.settings import Count, Seed, Settings, Within
from attractor.shown import Rows, counted

from .far_starts import FarStarts, far_starts
from .random_matrices.spectral_curve import SpectralCurve, spectral_curve
from .regimes.regime_position import NetworkPosition, network_position

# States up to which all exponents are measured, beyond it the leading ones.
_MANY = 64

_LEADING = 20

# Steps at least of the run without changing inputs; as many as the data have costs no further program.
_HELD = 500

# Sizes of the noise around the path and of random starts, relative to that of the path.
_BESIDE, _FAR = 0.1, (0.3, 1.0, 3.0)
# Random starts, and attracting points, that are run along the inputs to see whether they meet the path.
_RUN, _MOST_POINTS = 32, 16

_MARGINAL = "a fixed point is marginal, so that the sum of indices cannot say whether others are missing"
_MISSING = (
    "the indices of the fixed points sum to {:g}; trajectories from far outside all came back, and where "
    "they do the indices sum to 1, so that at least one fixed point was not found"
)

# An exponent per step below which nothing grows or falls within any path that is measured.
_NOTHING = 1e-6
_STARTS_OUTSIDE, _STEPS_BACK = 64, 200
# Distances of starts, in sizes of the states that are known.
_FAR_OUTSIDE = (10.0, 100.0)


_Measured = TypeVar("_Measured")


class Regime(StrEnum):
    """What the largest exponent says; the value is the text that users see."""

    STABLE = "stable along these inputs: nearby states approach each other"
    CHAOTIC = "chaotic along these inputs: nearby states part"
    EDGE = "at the edge: nearby states neither approach nor part, as far as this path tells"
    COLLAPSED = (
        "not told: the path stands still on a point from which nearby states flee, so that any other start "
        "leaves it; start elsewhere"
    )


@dataclass(frozen=True)
class DynamicsSettings(Settings):
    """How much is measured.

    Args:
        steps: of the inputs at most.
        starts: of the search for fixed points, half from the path and half random.
        points: states of the path whose Jacobians are taken apart.
        seed: of starts.

    Raises:
        ConfigError: a value outside its range.
    """

    steps: Annotated[int, Within(40)] = 2000
    starts: Annotated[int, Within(2)] = 256
    points: Count = 20
    seed: Seed = 0


@dataclass(frozen=True, eq=False)
class DynamicsStudy(
    Drawn, picture="attractor.theory.dynamics_figures:draw_study", next_call=".plot(), .driven, .points"
):
    """What a network does along inputs, and when they stand still.

    Args:
        driven: exponents along the inputs.
        resting: exponents under the mean input, held for ever; None where that run leaves the finite numbers.
        points: fixed points at the mean input.
        far: whether far starts, attracting points among them, meet the path under the same inputs.
        spectrum: eigenvalues of step Jacobians along the path.
        curve: the spectrum in the middle of the path beside that of a random network; None if not possible.
        plane: the principal plane.
        position: where the network sits among the phases of theory; None where theory does not know the cell.
        participation: number of directions in which the path varies.
        input: the mean input.
        remarks: what could not be had, and why.
        seconds: wall time.
    """

    driven: LyapunovSpectrum
    resting: LyapunovSpectrum | None
    points: FixedPoints
    far: FarStarts
    spectrum: JacobianSpectrum
    curve: SpectralCurve | None
    plane: Portrait
    position: NetworkPosition | None
    participation: float
    input: Float[np.ndarray, " inputs"]
    remarks: tuple[str, ...]
    seconds: float

    @property
    def regime(self) -> Regime:
        """By the 95 % interval of the largest exponent, where the path tells anything about others."""
        if self.driven.collapsed.any():
            return Regime.COLLAPSED
        low, high = self.driven.interval()[:, 0]
        if high < -_NOTHING:
            return Regime.STABLE
        return Regime.CHAOTIC if low > _NOTHING else Regime.EDGE

    @property
    def attracting(self) -> int:
        """How many attracting points were found at the mean input."""
        return self.points.kinds.count(PointKind.ATTRACTING)

    @property
    def forgetting(self) -> float:
        """Steps after which a small difference has fallen by a factor e; infinite where it does not fall."""
        largest = self.driven.per_step[0]
        return float(-1 / largest) if largest < 0 else np.inf

    def __str__(self) -> str:
        """The regime, the largest exponent, and the fixed points."""
        low, high = self.driven.interval()[:, 0]
        lines = [
            str(self.regime),
            f"largest exponent {self.driven.per_step[0]:.5f} per step, 95 % interval {low:.5f} to {high:.5f}",
            f"the path varies in {self.participation:.1f} directions",
            str(self.far),
            str(self.points),
            *self.driven.remarks,
            *self.remarks,
        ]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, object]:
        """Plain numbers for a JSON file."""
        points = self.points
        return {
            "regime": self.regime.name.lower(),
            "driven": self.driven.to_dict(),
            "resting": None if self.resting is None else self.resting.to_dict(),
            "participation_ratio": self.participation,
            "far_starts": self.far.to_dict(),
            "mean_input": self.input.tolist(),
            "fixed_points": [
                {
                    "state": points.states[index].tolist(),
                    "kind": kind.name.lower(),
                    "unstable": int(points.unstable[index]),
                    "residual": float(points.residuals[index]),
                    "largest_modulus": float(abs(points.eigenvalues[index, 0])),
                }
                for index, kind in enumerate(points.kinds)
            ],
            "position": None if self.position is None else self.position.position.to_dict(),
            "outliers": [
                [one.value.real, one.value.imag] for one in (self.curve.outliers if self.curve else ())
            ],
            "remarks": list(self.remarks),
            "seconds": self.seconds,
        }

    def in_brief(self) -> str:
        """The regime, the largest exponent, and how many fixed points there are."""
        lines = str(self).splitlines()
        more = len(self.driven.remarks) + len(self.remarks)
        remarks = [f"{counted(more, 'remark')}: print() shows them"] if more else []
        return "\n".join([*lines[:5], *remarks])

    def rows_shown(self) -> Rows:
        """The fixed points at the mean input."""
        return self.points.rows_shown()


_USUAL = DynamicsSettings()


PAGES.register(
    DynamicsStudy,
    PageKind("dynamics.html", "attractor.theory.dynamics_page:dynamics_page", "dynamics.json"),
    source=__name__,
)


def dynamics_study(
    cell: CellLike,
    inputs: Float[Array | np.ndarray, "time inputs"],
    settings: DynamicsSettings = _USUAL,
    reporter: Reporter | None = None,
    state: State | None = None,
) -> DynamicsStudy:
    """Measure what a cell does, in float64.

    Args:
        cell: any cell.
        inputs: one sequence as the cell sees it (scaled); the first fifth is left to the state to arrive.
        settings: how much is measured.
        reporter: hears about progress.
        state: where to start; the cell's own initial state when None.

    Raises:
        ShapeError: inputs that do not fit the cell.
        InputDataError: fewer than 20 steps, or inputs that are not finite.
        DivergedError: the state left the finite numbers along the inputs; the step is named.
    """
    begun, remarks = time.perf_counter(), []
    reporter = reporter or SilentReporter()
    rows = checked(cell, inputs)[: settings.steps]
    if len(rows) < 20:
        raise InputDataError(
            f"{len(rows)} steps are too few to see dynamics; give at least 20, better some hundreds"
        )
    path, mean, middle = path_of(cell, rows, state), rows.mean(axis=0), len(rows) // 2
    arrived, burn_in = path[len(path) // 5 :], len(path) // 5
    how = LyapunovSettings("all" if path.shape[1] <= _MANY else _LEADING, burn_in, seed=settings.seed)
    driven = lyapunov_exponents(cell, rows, state, settings=how, reporter=reporter)
    held = np.tile(mean, (max(len(rows), _HELD), 1))
    points, doubt = _fixed_points(cell, path, mean, settings, reporter)
    remarks += doubt
    far = _far(cell, rows, path, points, settings.seed, state)
    resting = _or_remark(
        lambda: lyapunov_exponents(cell, held, state, settings=how, reporter=reporter), remarks
    )
    with closing(reporter):
        reporter.update(0, 4, "eigenvalues")
        spectrum = spectra_along(cell, rows, state, points=settings.points)
        reporter.update(1, 4, "curve of random networks")
        curve = _or_remark(
            lambda: spectral_curve(cell, _state(cell, path[middle - 1]), rows[middle]), remarks
        )
        reporter.update(2, 4, "principal plane")
        plane = portrait(cell, arrived, mean, points.states)
        reporter.update(3, 4, "position among gated networks")
        position = network_position(cell)
        reporter.update(4, 4)
    return DynamicsStudy(
        driven=driven,
        resting=resting,
        points=points,
        far=far,
        spectrum=spectrum,
        curve=curve,
        plane=plane,
        position=position,
        participation=participation_ratio(arrived),
        input=mean,
        remarks=tuple(remarks),
        seconds=time.perf_counter() - begun,
    )


def _fixed_points(
    cell: CellLike, path: np.ndarray, mean: np.ndarray, settings: DynamicsSettings, reporter: Reporter
) -> tuple[FixedPoints, list[str]]:
    """Once more with four times the starts where the sum of indices says that a point is missing.

    Returns:
        The points, and what speaks against their being all.
    """
    for count in (settings.starts, 4 * settings.starts):
        starts = _starts(path, count, np.random.default_rng(settings.seed))
        found = fixed_points(cell, mean, starts=starts, reporter=reporter)
        total = found.index_sums[0]
        if total == 1 or np.isnan(total) or not comes_back(cell, mean, found.states):
            break
    else:
        return found, [_MISSING.format(total)]
    return found, [_MARGINAL] if np.isnan(total) else []


def _starts(path: np.ndarray, count: int, source: np.random.Generator) -> np.ndarray:
    """Half of them near the path, half random around its size."""
    drawn, half = source.normal(size=(count, path.shape[1])), count // 2
    size = root_mean_square(path) or 1.0
    near = source.choice(path, half) + _BESIDE * size * drawn[:half]
    far = size * np.resize(_FAR, count - half)[:, None] * drawn[half:]
    return np.concatenate([near, far])


def _far(
    cell: CellLike, rows: np.ndarray, path: np.ndarray, points: FixedPoints, seed: int, state: State | None
) -> FarStarts:
    """From the attracting points, which one start alone may never leave, and from random states."""
    attracting = [kind is PointKind.ATTRACTING for kind in points.kinds]
    drawn = _starts(path, 2 * _RUN, np.random.default_rng(seed))[_RUN:]
    starts = np.concatenate([points.states[attracting][:_MOST_POINTS], drawn])
    return far_starts(cell, rows, starts, float(np.abs(path).max(initial=0.0)) or 1.0, state)


def _or_remark(measure: Callable[[], _Measured], remarks: list[str]) -> _Measured | None:
    try:
        return measure()
    except AttractorError as problem:
        remarks.append(str(problem))
        return None


def _state(cell: CellLike, flat: np.ndarray) -> State:
    """A flat state in the form that the cell gives it."""
    with double_precision():
        return analysed(cell).still("the study").restore(jnp.asarray(flat))


def comes_back(
    cell: CellLike, input: Float[np.ndarray, " inputs"], known: Float[np.ndarray, "points states"]
) -> bool:
    """Whether trajectories from random states far outside all end nearer than they began.

    It is evidence, not a proof: a state that runs away refutes the premise, none that does supports it.

    Args:
        cell: any cell.
        input: the constant input.
        known: flat states, such as fixed points; far means far from all of them.
    """
    size = max(1.0, float(np.linalg.norm(known, axis=1).max(initial=0.0)))
    drawn = np.random.default_rng(0).normal(size=(_STARTS_OUTSIDE, known.shape[1]))
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    starts = np.concatenate([distance * size * drawn for distance in _FAR_OUTSIDE])
    with double_precision():
        flat = analysed(cell).still("fixed points")
        ends = np.asarray(moved(flat, jnp.asarray(starts), jnp.asarray(input), _STEPS_BACK))
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.all(np.linalg.norm(ends, axis=1) < np.linalg.norm(starts, axis=1)))
