"""Following a fixed point in a parameter, around folds, by pseudo-arclength continuation."""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Annotated

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from attractor.cells import CellLike, State, initial_state, shaped_input, step_options
from attractor.errors import ConfigError, InputDataError, ShapeError
from attractor.program import FlatMap, double_precision
from attractor.progress import Reporter, SilentReporter
from attractor.settings import Positive, Settings, Within

from ..trajectory import analysed
from .fixed_point_curve import Bifurcation, Branch, BranchStatus, Curve, CurvePoint, between
from .points import unstable_directions
from .search import constant_inputs

# Tangents of neighbouring points differ by at most 20 degrees (cosine), so that no other branch is taken.
_STRAIGHT = 0.94
_LONGER, _SHORTER = 1.5, 0.5
# Directions that one bifurcation makes unstable; where more change, a shorter step tells them apart.
_MOST_CHANGES = 2
# Shortest step for that, in smallest steps: in a symmetric network several change at the same point.
_APART = 100.0


@dataclass(frozen=True)
class ContinuationSettings(Settings):
    """How long the steps along a branch are.

    Lengths are those of the curve where the interval of the parameter has length 1 and states are divided by
    the root of their number.

    Args:
        first_step: length of the first step.
        largest_step: of any step.
        smallest_step: the branch ends where no point is found with this step.
        points: the most points.

    Raises:
        ConfigError: steps that are not positive or out of order, or fewer than two points.
    """

    first_step: Positive = 0.01
    largest_step: Positive = 0.05
    smallest_step: Positive = 1e-6
    points: Annotated[int, Within(2)] = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        rising = self.smallest_step <= self.first_step <= self.largest_step
        self.expect(rising, "positive numbers in this order", "smallest_step", "first_step", "largest_step")


_USUAL = ContinuationSettings()


def follow_fixed_point(
    build: Callable[..., CellLike],
    state: State,
    interval: tuple[float | int, float | int],
    *,
    input: Float[Array | np.ndarray, "..."] | None = None,
    settings: ContinuationSettings = _USUAL,
    reporter: Reporter | None = None,
) -> Branch:
    """The curve of fixed points that starts at one of them, as a parameter moves between two values.

    Each step goes along the tangent and is corrected across it, so that the branch passes folds, where it
    turns and the parameter moves back. It ends at the last value, or back at the first. Folds and changes of
    stability between two points are located to the rounding of the step.

    Args:
        build: `build(parameter) -> cell`, differentiable by JAX: the parameter is traced, so it may enter
            arrays (`eqx.tree_at`, or a weight times it) and no shape, static field or Python branch.
            `scaled_input` makes one whose parameter is the size of a constant input.
        state: a fixed point at the first value, flat or in the form of the cell's state; Newton's method
            corrects small errors.
        interval: first and last value of the parameter; the last may be the smaller one.
        input: the constant input; None means zeros.
        settings: lengths of the steps.
        reporter: hears how far along the interval the branch has come.

    Raises:
        ConfigError: an empty interval, or a cell that cannot be built from a traced parameter.
        ShapeError: a state or an input that does not fit the cell.
        InputDataError: the state is not near a fixed point, or something is not finite.

    Source:
        Keller 1977; Allgower and Georg 2003, *Introduction to numerical continuation methods*.
    """
    began = time.perf_counter()
    first, last = map(float, interval)
    if first == last or not np.isfinite([first, last]).all():
        raise ConfigError(f"interval={interval}: expected two different finite values of the parameter")
    with double_precision():
        cell = build(jnp.asarray(first, jnp.float64))
        row = constant_inputs(cell, input)[0]
        curve = Curve(build, row, (first, last))
        start = _start(curve, cell, state)
        with closing(reporter or SilentReporter()) as listener:
            points, found, status = _followed(curve, start, settings, listener)
        return Branch(
            parameters=np.array([curve.parameter(point.position) for point in points]),
            states=np.stack([curve.state(point.position) for point in points]),
            residuals=np.array([np.linalg.norm(point.values) for point in points]),
            eigenvalues=np.stack([point.eigenvalues for point in points]),
            bifurcations=tuple(found),
            status=status,
            seconds=time.perf_counter() - began,
        )


def _start(curve: Curve, cell: CellLike, state: State) -> CurvePoint:
    flat = _vector(analysed(cell).still("continuation"), state)
    along = np.append(np.zeros(len(flat)), 1.0)  # the parameter keeps its first value
    try:
        found = curve.corrected(curve.scaled(flat, curve.interval[0]), along)
    except jax.errors.ConcretizationTypeError as error:
        raise ConfigError(
            "build(parameter) uses the parameter as a plain number; let it enter arrays only, for instance "
            "by eqx.tree_at on a cell built outside"
        ) from error
    if found is None:
        raise InputDataError(
            f"no fixed point near the state at parameter {curve.interval[0]:.6g}: give one of "
            "those that `fixed_points` finds there"
        )
    return found


def _vector(flat: FlatMap, state: State) -> np.ndarray:
    """A state of the cell as a vector, or a vector as it is."""
    if isinstance(state, np.ndarray | jax.Array) and not jnp.iscomplexobj(state):
        vector = np.asarray(state, np.float64).ravel()
    else:
        vector = np.asarray(flat.flatten(jax.tree.map(jnp.asarray, state)))
    if len(vector) != flat.size:
        raise ShapeError(f"a state of {len(vector)} entries, expected {flat.size} for {flat.layout.owner}")
    return vector


def _followed(
    curve: Curve, start: CurvePoint, settings: ContinuationSettings, reporter: Reporter
) -> tuple[list[CurvePoint], list[Bifurcation], BranchStatus]:
    points, found = [start], []
    tangent, step = start.first_tangent(), settings.first_step
    while len(points) < settings.points:
        following = _next(curve, points[-1], tangent, step)
        crowded = following is not None and _changes(points[-1], following[0]) > _MOST_CHANGES
        if following is None or (crowded and step > _APART * settings.smallest_step):
            step *= _SHORTER
            if step < settings.smallest_step:
                return points, found, BranchStatus.STEP_TOO_SMALL
            continue
        point, turned = following
        point, end = _within(curve, points[-1], point)
        turned = turned if end is None else point.tangent(turned)
        found += between(curve, points[-1], point, (tangent, turned), len(points) - 1)
        points.append(point)
        reporter.update(round(100 * float(np.clip(point.position[-1], 0, 1))), 100, "% of the interval")
        if end is not None:
            return points, found, end
        tangent = turned
        step = min(step * (_LONGER if point.easy else 1.0), settings.largest_step)
    return points, found, BranchStatus.TOO_MANY_POINTS


def _next(
    curve: Curve, here: CurvePoint, tangent: np.ndarray, step: float
) -> tuple[CurvePoint, np.ndarray] | None:
    """The point one step further with its tangent; None where the step is too long."""
    point = curve.corrected(here.position + step * tangent, tangent)
    if point is None:
        return None
    turned = point.tangent(tangent)
    return (point, turned) if turned @ tangent >= _STRAIGHT else None


def _changes(here: CurvePoint, there: CurvePoint) -> int:
    """By how much the number of unstable directions differs."""
    before, after = (int(unstable_directions(point.eigenvalues)) for point in (here, there))
    return abs(after - before)


def _within(curve: Curve, here: CurvePoint, there: CurvePoint) -> tuple[CurvePoint, BranchStatus | None]:
    """The next point, or the one at the end of the interval where it lies beyond."""
    ahead = there.position[-1]
    if 0 < ahead < 1:
        return there, None
    bound, status = (1.0, BranchStatus.REACHED_LAST) if ahead >= 1 else (0.0, BranchStatus.RETURNED)
    share = (bound - here.position[-1]) / (ahead - here.position[-1])
    guess = here.position + share * (there.position - here.position)
    along = np.append(np.zeros(len(guess) - 1), 1.0)
    return curve.corrected(guess, along) or there, status


class _Driven(eqx.Module):
    """A cell whose input is a fixed one, times a scale."""

    cell: CellLike
    row: Float[Array | np.ndarray, " inputs"]
    scale: Array
    input_size: int = eqx.field(static=True, default=0)

    def __call__(self, input: Array, state: State, *, key: PRNGKeyArray | None = None) -> State:
        given = shaped_input(self.cell, self.scale * self.row)
        return self.cell(given, state, **step_options(self.cell, key))

    def initial_state(self) -> State:
        return initial_state(self.cell)


def scaled_input(cell: CellLike, input: Float[Array | np.ndarray, " inputs"]) -> Callable[..., CellLike]:
    """A `build` for `follow_fixed_point` whose parameter is the size of a constant input.

    Args:
        cell: any cell.
        input: the input at parameter 1.

    Raises:
        ShapeError: an input that does not fit the cell.
        InputDataError: an input that is not finite.
    """
    return eqx.Partial(_Driven, cell, constant_inputs(cell, input)[0])
