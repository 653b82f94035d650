"""Robustness curves: accuracy against the level of every perturbation and attack; trends over levels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike
from scipy.stats import spearmanr

from attractor.errors import ConfigError, InputDataError, ShapeError
from attractor.program import compiled
from attractor.progress import Reporter, interactive_reporter
from attractor.report.drawn import Drawn
from attractor.report.publishing import PAGES, PageKind
from attractor.settings import Count, Seed, Settings
from attractor.shown import Rows, Shown, counted

from .attacks import Attack, How, attack_piece, check_channels, check_finite_gradients
from .margins import class_margin, class_margins
from .perturbations import PERTURBATIONS, ChannelRange, Perturbation, channel_range, check_limits, perturb_one
from .perturbations import Function as PerturbationFunction
from .sequences import LabelledSequences, Logits, Piece, piece_count, pieces, valid_steps

Trial = Perturbation | Attack
"""What a suite is made of."""

_SUITE = tuple(PERTURBATIONS.values())


@dataclass(frozen=True)
class RobustnessSettings(Settings):
    """How robustness curves are measured.

    Args:
        seeds: every perturbation is drawn once for each of them. One network attacked or disturbed once says
            little: keep several.
        batch: cases that are computed together; memory grows with it, results do not depend on it.
        limits: range of every channel in the training data, for salt and pepper and for clipping.

    Raises:
        ConfigError: no seed, a seed twice, or a batch below 1.
    """

    seeds: tuple[Seed, ...] = (0, 1, 2, 3, 4)
    batch: Count = 256
    limits: ChannelRange | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.expect(len(set(self.seeds)) == len(self.seeds) > 0, "one or more different seeds", "seeds")


_USUAL = RobustnessSettings()


@dataclass(frozen=True, eq=False)
class RobustnessCurve(Drawn, picture="attractor.audit.curves_page:draw_curve", next_call=".plot(), .mean"):
    """Accuracy under one perturbation.

    Args:
        name: of the perturbation or attack.
        meaning: what a level stands for.
        unit: unit of the level.
        levels: shape (levels,).
        accuracies: share of correct cases, shape (levels, seeds).
    """

    name: str
    meaning: str
    unit: str
    levels: tuple[float | int, ...]
    accuracies: Float[np.ndarray, "levels seeds"]

    @property
    def mean(self) -> Float[np.ndarray, " levels"]:
        """Mean over the seeds."""
        return self.accuracies.mean(axis=1)

    @property
    def standard_deviation(self) -> Float[np.ndarray, " levels"] | None:
        """Standard deviation over the seeds; None for a single seed, which shows none."""
        return self.accuracies.std(axis=1, ddof=1) if self.accuracies.shape[1] > 1 else None

    def to_dict(self) -> dict[str, object]:
        """Plain numbers and lists."""
        return {
            "name": self.name,
            "meaning": self.meaning,
            "unit": self.unit,
            "levels": [float(level) for level in self.levels],
            "accuracies": self.accuracies.tolist(),
            "mean": self.mean.tolist(),
            "standard_deviation": None
            if self.standard_deviation is None
            else self.standard_deviation.tolist(),
        }

    def __str__(self) -> str:
        """The accuracy at the first and at the last level."""
        first, last = (f"{100 * self.mean[one]:.1f} % at {self.levels[one]:g}" for one in (0, -1))
        return f"{self.name}: right in {first}, {last} ({self.unit})"


def _ends(means: np.ndarray) -> tuple[str, str]:
    return f"{means[0]:.4f}", f"{means.min():.4f}"


@dataclass(frozen=True, eq=False)
class InputScale(Shown):
    """The scale of the inputs, without which a level in their unit means nothing.

    Args:
        mean: of the valid samples of every channel, shape (channels,).
        standard_deviation: of them.
        low: smallest of them.
        high: largest of them.
    """

    mean: Float[np.ndarray, " channels"]
    standard_deviation: Float[np.ndarray, " channels"]
    low: Float[np.ndarray, " channels"]
    high: Float[np.ndarray, " channels"]

    def to_dict(self) -> dict[str, list[float]]:
        """Plain lists."""
        return {name: getattr(self, name).tolist() for name in ("mean", "standard_deviation", "low", "high")}


@dataclass(frozen=True, eq=False)
class RobustnessCurves(
    Drawn, picture="attractor.audit.curves_page:draw_curves", next_call=".plot(), .curves[0].plot()"
):
    """Robustness of one classifier on one set of cases.

    Args:
        clean: accuracy on the inputs as they are. A case is correct where its class alone has the highest
            score.
        cases: number of cases.
        seeds: of the perturbations.
        clipped: whether perturbed inputs were kept in the range of their channel.
        scale: of the clean inputs.
        curves: one for every perturbation, in the order of the suite.
    """

    clean: float
    cases: int
    seeds: tuple[int, ...]
    clipped: bool
    scale: InputScale
    curves: tuple[RobustnessCurve, ...]

    def curve(self, name: str) -> RobustnessCurve:
        """The curve of one perturbation.

        Raises:
            ConfigError: it was not measured; those that were are listed.
        """
        for curve in self.curves:
            if curve.name == name:
                return curve
        raise ConfigError(f"no curve {name!r}; measured: {', '.join(curve.name for curve in self.curves)}")

    def to_dict(self) -> dict[str, object]:
        """Plain numbers, lists and dictionaries, ready for JSON."""
        return {
            "clean": self.clean,
            "cases": self.cases,
            "seeds": list(self.seeds),
            "clipped": self.clipped,
            "scale": self.scale.to_dict(),
            "curves": [curve.to_dict() for curve in self.curves],
        }

    def __str__(self) -> str:
        """The accuracy without a perturbation, and under the worst."""
        clean = f"right in {100 * self.clean:.1f} % of {counted(self.cases, 'case')} as they are"
        if not self.curves:
            return f"{clean}; no perturbation was tried"
        worst = min(self.curves, key=lambda curve: float(curve.mean.min()))
        return "\n".join([
            clean,
            f"in {100 * worst.mean.min():.1f} % under {worst.name}, the worst of {len(self.curves)} tried",
            f"means of {counted(len(self.seeds), 'draw')}",
        ])

    def rows_shown(self) -> Rows:
        """Mean and worst accuracy under every perturbation."""
        rows = (
            (one.name, f"{min(one.levels):g} to {max(one.levels):g} {one.unit}", *_ends(one.mean))
            for one in self.curves
        )
        return Rows(("perturbation", "levels", "accuracy at the first", "lowest"), tuple(rows))


def robustness_curves(
    logits: Logits,
    data: LabelledSequences,
    suite: Sequence[Trial] = _SUITE,
    settings: RobustnessSettings = _USUAL,
    reporter: Reporter | None = None,
) -> RobustnessCurves:
    """Accuracy of a classifier under every perturbation of a suite, at every level, for several seeds.

    Args:
        logits: `logits(inputs (time, channels), length) -> (classes,)`, an Equinox module or a function.
        data: cases that were not trained on.
        suite: perturbations and attacks; `PERTURBATIONS["white"].at(0.1, 0.2)` chooses other levels.
        settings: seeds, batch size, range of the channels.
        reporter: hears about progress, in pieces of data.

    Raises:
        ConfigError: an empty suite, a name twice, or a range of the channels that is needed and missing.
        ShapeError: sizes that do not fit.
        InputDataError: a label beyond the classes, or clean scores that are not finite; the case is named.

    Example:
        >>> import numpy as np
        >>> from attractor.audit import labelled_sequences
        >>> data = labelled_sequences(np.ones((2, 5, 1)), np.array([0, 0]))
        >>> suite = [PERTURBATIONS["white"].at(0.0, 0.1)]
        >>> mean_sign = lambda inputs, length: jnp.array([1.0, -1.0]) * jnp.mean(inputs)
        >>> robustness_curves(mean_sign, data, suite).curve("white").mean.tolist()
        [1.0, 1.0]
    """
    _check(suite, data, settings.limits)
    reporter = reporter or interactive_reporter("disturbances")
    clean = class_margins(logits, data, settings.batch)
    work = _Work(logits, data, settings, reporter)
    work.total = sum(len(trial.levels) * len(work.seeds(trial)) for trial in suite)
    try:
        curves = tuple(work.curve(trial) for trial in suite)
    finally:
        reporter.close()
    return RobustnessCurves(
        clean=float(np.mean(clean > 0)),
        cases=len(data),
        seeds=settings.seeds,
        clipped=settings.limits is not None and settings.limits.clip,
        scale=input_scale(data),
        curves=curves,
    )


def _check(suite: Sequence[Trial], data: LabelledSequences, limits: ChannelRange | None) -> None:
    channels, names = data.inputs.shape[2], [trial.name for trial in suite]
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"suite={names}: expected one or more perturbations with different names")
    check_limits(limits, channels)
    for trial in suite:
        if isinstance(trial, Attack):
            check_channels(trial, channels)


def input_scale(data: LabelledSequences) -> InputScale:
    """The scale of the valid, present samples.

    Raises:
        InputDataError: a channel without any sample.
    """
    values = data.inputs.astype(np.float64)
    present = valid_steps(data.lengths, values.shape[1])[:, :, None] & ~np.isnan(values)
    count = np.maximum(present.sum(axis=(0, 1)), 1)
    mean = np.where(present, values, 0.0).sum(axis=(0, 1)) / count
    squares = np.where(present, values - mean, 0.0) ** 2
    low, high, _ = channel_range(data.inputs, data.lengths)
    return InputScale(mean, np.sqrt(squares.sum(axis=(0, 1)) / count), np.asarray(low), np.asarray(high))


@dataclass(eq=False)
class _Work:
    """One evaluation of a suite, and how much of it is done."""

    logits: Logits
    data: LabelledSequences
    settings: RobustnessSettings
    reporter: Reporter
    total: int = 0
    done: int = 0

    def seeds(self, trial: Trial) -> tuple[int, ...]:
        """An attack without random start is run for one seed."""
        return self.settings.seeds if trial.is_random else self.settings.seeds[:1]

    def curve(self, trial: Trial) -> RobustnessCurve:
        """The accuracies of one perturbation."""
        seeds = self.seeds(trial)
        found = np.array([[self._accuracy(trial, level, seed) for seed in seeds] for level in trial.levels])
        every = np.broadcast_to(found, (len(trial.levels), len(self.settings.seeds))).copy()
        return RobustnessCurve(trial.name, trial.meaning, trial.unit, trial.levels, every)

    def _accuracy(self, trial: Trial, level: float | int, seed: int) -> float:
        correct, total = 0, self.total * piece_count(self.data, self.settings.batch)
        how = jnp.asarray(level, float), self.settings.limits, jax.random.key(seed)
        for piece, count in pieces(self.data, self.settings.batch):
            margins = np.asarray(_margins(self.logits, trial, piece, how))[:count]
            correct += int(np.sum(margins > 0))
            self.done += 1
            self.reporter.update(self.done, total, f"{trial.name} {level:g}")
        return correct / len(self.data)


def _margins(logits: Logits, trial: Trial, piece: Piece, how: How) -> Array:
    if isinstance(trial, Perturbation):
        return _perturbed_margins(logits, trial.function, piece, how)
    _, margins, _, finite = attack_piece(logits, trial, piece, how)
    check_finite_gradients(np.asarray(finite), int(piece.numbers[0]))
    return margins


@compiled
def _perturbed_margins(logits: Logits, function: PerturbationFunction, piece: Piece, how: How) -> Array:
    level, limits, key = how

    def one(inputs: Array, length: Array, label: Array, number: Array) -> Array:
        draws = jax.random.fold_in(key, number)
        changed = perturb_one(function, inputs, length, level, (limits, draws))
        return class_margin(logits(changed, length), label)

    return jax.vmap(one)(*piece)


class Trend(NamedTuple):
    """A rank correlation.

    Args:
        correlation: Spearman's rho, from -1 (falls with the level throughout) to 1.
        p_value: two-sided, of no association; an approximation for few points, and one that takes the
            points as independent.
        points: how many pairs of level and value.
    """

    correlation: float
    p_value: float
    points: int


def trend(levels: ArrayLike, values: ArrayLike) -> Trend:
    """Spearman's rank correlation of a measure with the level, over all levels and seeds.

    Args:
        levels: shape (levels,).
        values: the measure, shape (levels,) or (levels, seeds).

    Raises:
        ShapeError: sizes that do not fit, or fewer than three points.
        InputDataError: numbers that are not finite, or all the same, which have no ranks.

    Example:
        >>> trend([0.0, 0.1, 0.2], [[3.0, 3.1], [2.0, 2.2], [1.0, 0.9]]).correlation < -0.9
        True
    """
    level, value = np.asarray(levels, float), np.asarray(values, float)
    if level.ndim != 1 or value.ndim not in (1, 2) or len(value) != len(level) or value.size < 3:
        raise ShapeError(
            f"levels of shape {level.shape} and values of shape {value.shape}, expected (levels,) and "
            "(levels, seeds) with three points or more"
        )
    repeated = np.broadcast_to(level.reshape(-1, *[1] * (value.ndim - 1)), value.shape).ravel()
    for name, numbers in (("levels", repeated), ("values", value.ravel())):
        if not np.isfinite(numbers).all() or np.ptp(numbers) == 0:
            raise InputDataError(f"{name} must be finite and not all the same, to be ranked")
    correlation, p_value = np.asarray(spearmanr(repeated, value.ravel())).tolist()
    return Trend(correlation, p_value, value.size)


PAGES.register(
    RobustnessCurves,
    PageKind("curves.html", "attractor.audit.curves_page:curves_page", "curves.json"),
    source=__name__,
)
