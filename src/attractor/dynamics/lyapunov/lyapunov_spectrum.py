"""Lyapunov exponents with their errors, and what they say about the attractor."""

from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property

import numpy as np
from jaxtyping import Array, Float, Int

from attractor.claims import Estimate
from attractor.errors import ConfigError
from attractor.report.drawn import Drawn
from attractor.shown import Rows, counted

from .low_frequency import MeanError, error_of_mean

Exponents = Float[np.ndarray, " count"]
# Error of an exponent per step that rounding between two decompositions may leave.
_ROUNDING = 1e-9

# Of the intervals that are asked for again and again.
_LEVEL = 0.95

# Exponents that are shown in words, and at the prompt.
_SHOWN, _FIRST = 10, 2

_ASSUMED = ("the path, after the burn-in, is typical of the attractor",)


def kaplan_yorke_dimension(exponents: Exponents, states: int | None = None) -> float | None:
    """Dimension of the attractor, j + (lambda_1 + ... + lambda_j) / |lambda_{j+1}| (Kaplan and Yorke 1979).

    j is the last index at which the sum is not negative; 0 if already lambda_1 is negative.

    Args:
        exponents: from the largest down; in any unit of time.
        states: entries of the state; None means that these are all exponents.

    Returns:
        The dimension; None where exponents are missing that decide it.

    Example:
        >>> kaplan_yorke_dimension(np.array([1.0, 0.0, -2.0]))
        2.5
    """
    sums = np.cumsum(exponents)
    falling = np.flatnonzero(sums < 0)
    if len(falling):
        last = int(falling[0])
        return float(last + (sums[last - 1] / -exponents[last] if last else 0.0))
    return float(len(exponents)) if states is None or len(exponents) == states else None


def entropy_rate_bound(exponents: Exponents) -> float:
    """Sum of the positive exponents, an upper bound on the entropy rate in nats a unit of time (Ruelle 1978).

    Exponents that were not measured are taken as not positive.
    """
    return float(np.sum(exponents, where=exponents > 0))


def participation_ratio(states: Float[Array | np.ndarray, "samples states"]) -> float:
    """Number of directions in which states vary, tr(C)^2 / tr(C^2) of their covariance C.

    It is k for k equal variances, and 0 where nothing varies.
    """
    centred = np.asarray(states, np.float64)
    # of any size: squares of scaled entries do not overflow
    centred = centred / (float(np.abs(centred).max(initial=0.0)) or 1.0)
    centred = centred - centred.mean(axis=0)
    # tr(C^2) from the smaller of the two Gram matrices
    gram = centred @ centred.T if len(centred) < centred.shape[1] else centred.T @ centred
    trace, square = np.trace(gram), np.sum(gram**2)
    return float(trace**2 / square) if square > 0 else 0.0


class Ending(Enum):
    """Why a measurement ended; the value is the text that users see."""

    ALL_STEPS = "all steps were used"
    TOLERANCE = "stopped early: all standard errors are below the tolerance"
    DIVERGED = "ended early: the state or its Jacobian is not finite"


@dataclass(frozen=True, eq=False)
class LyapunovSpectrum(
    Drawn,
    picture="attractor.dynamics.dynamics_pictures:draw_exponents",
    next_call=".plot(), .largest, .kaplan_yorke",
):
    """The largest Lyapunov exponents of a map along trajectories.

    Args:
        sums: growth of logarithms from the first step that counts to every mark, for the runs that stayed
            finite, in the order of the basis; -inf where a Jacobian had no such direction.
        marks: steps from the first that counts; the last mark is all of them.
        time_step: time of one step; None for a cell without one.
        ending: why the measurement ended.
        collapsed: for every run, whether it stood still at the end, bit by bit, at a point from which nearby
            states flee: it began there, or rounding drove a chaotic orbit there (as x -> 2x mod 1). The
            exponents are those of that point.
        resting: for every run, whether it came to rest under inputs that stand still, so that its growth is
            that of the eigenvalues there, exact to rounding; see `at_rest`.
        broken: the step at which each run that was asked for left the finite numbers; -1 where it did not.
        decompositions: QR decompositions that were made; fewer than steps where growth is even.
        last_state: the flat states at the end, to go on from.
        last_basis: the basis at the end, vectors in rows.
        seconds: wall time with compilation.
    """

    sums: Float[np.ndarray, "runs marks count"]
    marks: Float[np.ndarray, " marks"]
    time_step: float | None
    ending: Ending
    collapsed: np.ndarray
    resting: np.ndarray
    broken: Int[np.ndarray, " asked"]
    decompositions: int
    last_state: Float[np.ndarray, "runs states"]
    last_basis: Float[np.ndarray, "runs count real"]
    seconds: float

    @property
    def runs(self) -> Float[np.ndarray, "runs count"]:
        """Exponents per step of every run that stayed finite, each from the largest down."""
        return -np.sort(-self._each, axis=1)

    @property
    def per_step(self) -> Float[np.ndarray, " count"]:
        """Growth of logarithms in one step, mean over the runs, from the largest down."""
        return self._means[self._order]

    @property
    def standard_error(self) -> Float[np.ndarray, " count"]:
        """Of `per_step`: the truth lies within it with a probability of 68 %; 0 beside -inf."""
        return np.where(np.isfinite(self._means), self._error.standard_error, 0.0)[self._order]

    @property
    def per_time(self) -> Float[np.ndarray, " count"] | None:
        """Exponents per unit of time, None for a cell without a time step."""
        return None if self.time_step is None else self.per_step / self.time_step

    @property
    def steps(self) -> int:
        """Steps of a run that counted."""
        return int(self.marks[-1])

    @property
    def infinite(self) -> int:
        """How many exponents are -inf: directions that a step forgets at once, to the accuracy of float64."""
        return int(np.sum(self.per_step == -np.inf))

    @property
    def drift(self) -> Float[np.ndarray, " count"]:
        """Second half minus first half of the path, per step."""
        half = int(np.searchsorted(self.marks, self.marks[-1] / 2))
        if half == len(self.marks) - 1:
            return np.zeros(self.sums.shape[2])
        with np.errstate(invalid="ignore"):
            first = self.sums[:, half] / self.marks[half]
            second = (self.sums[:, -1] - self.sums[:, half]) / (self.marks[-1] - self.marks[half])
            difference = np.mean(second - first, axis=0)
        return np.where(np.isfinite(self._means), difference, 0.0)[self._order]

    @property
    def one_attractor(self) -> bool:
        """Whether the runs have one largest exponent, as far as chance allows to tell."""
        return bool(self._error.agree[self._order[0]])

    @property
    def largest(self) -> Estimate:
        """The largest exponent, per step."""
        return self.estimates()[0]

    @property
    def kaplan_yorke(self) -> Estimate:
        """Kaplan-Yorke dimension.

        An exponent whose interval holds zero counts as zero in the value. The ends of the interval are the
        dimensions of the lower and of the upper ends of all exponents, for it rises with each of them; below
        and above zero the dimension of a cycle is 0 and above 1, so that its interval is wide.
        """
        states = self.last_basis.shape[2]
        low, high = (kaplan_yorke_dimension(-np.sort(-end), states) for end in self.interval())
        value = kaplan_yorke_dimension(self._without_noise, states)
        missing = "" if value is not None and high is not None else 'more exponents decide it: count="all"'
        return self._of_attractor(value, (low, high), "", "formula of Kaplan and Yorke 1979", missing)

    @property
    def entropy_rate(self) -> Estimate:
        """Upper bound on the entropy rate, the sum of positive exponents; zero if it may be zero."""
        low, high = (entropy_rate_bound(end) for end in self.interval())
        value = entropy_rate_bound(self._without_noise)
        return self._of_attractor(value, (low, high), "nats per step", "inequality of Ruelle 1978")

    def _of_attractor(
        self, value: float | None, ends: tuple[float | None, float | None], unit: str, by: str, why: str = ""
    ) -> Estimate:
        """A number that describes an attractor, between its ends; none where the runs do not share one."""
        if self._no_attractor:
            return self._estimate(None, (None, None), unit, by, self._no_attractor)
        low, high = ends
        if value is not None and high is not None:
            value = min(max(value, low or 0.0), high)
        return self._estimate(value, ends, unit, by, why)

    @property
    def _no_attractor(self) -> str:
        """Why there is no one attractor that these exponents describe; empty where there is."""
        if self.collapsed.any():
            return "the exponents are those of an unstable point, not of an attractor"
        return "" if self.one_attractor else "the runs do not share one attractor"

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader of the numbers must know."""
        said = [self.ending.value] if self.ending is not Ending.ALL_STEPS else []
        said += [
            f"run {index} is left out: it is not finite at step {self.broken[index]}"
            for index in np.flatnonzero(self.broken >= 0)
            if self.ending is not Ending.DIVERGED
        ]
        if not self.one_attractor:
            low, high = self.runs[:, 0].min(), self.runs[:, 0].max()
            said.append(
                f"the runs do not share one attractor: their largest exponents reach from {low:.4g} to "
                f"{high:.4g}, which chance does not explain; read them one by one (`alone`)"
            )
        if self.infinite:
            said.append(f"{self.infinite} exponents are -inf: a step forgets these directions at once")
        if self.collapsed.any():
            said.append(
                "the state stands still, bit by bit, at a point from which nearby states flee; these are the "
                "exponents of that point: start elsewhere, or rounding has ended a chaotic orbit"
            )
        if np.any(self.resting & ~self.collapsed):
            which = "the state comes" if self.resting.all() else f"{self.resting.sum()} runs come"
            said.append(
                f"{which} to rest: the exponents are the logarithms of the moduli of the eigenvalues there"
            )
        if self._error.slow[self._order[0]] and self.standard_error[0] > _ROUNDING:
            said.append(
                "the path is short for the memory of its growth, so that the interval of the largest "
                "exponent is wide: more steps, or a longer burn-in"
            )
        return tuple(said)

    def __str__(self) -> str:
        """The first exponents, the dimension, and the remarks."""
        return "\n".join(self._told(_SHOWN))

    def in_brief(self) -> str:
        """The same with fewer exponents, so that there is room for the remarks."""
        return "\n".join(self._told(_FIRST))

    def _told(self, most: int) -> list[str]:
        """In lines: so many exponents at most, and how many more there are."""
        low, high = self.interval()
        count, shown = len(low), most if len(low) > most + 1 else len(low)
        runs = "" if len(self.sums) == 1 else f", {len(self.sums)} runs"
        lines = [f"{counted(count, 'Lyapunov exponent')} per step, {counted(self.steps, 'step')}{runs}"]
        lines += [
            f"{index + 1}: {value:.5g}, 95 % interval {low[index]:.5g} to {high[index]:.5g}"
            + self._in_time(value, low[index], high[index])
            for index, value in enumerate(self.per_step[:shown])
        ]
        lines += [f"and {count - shown} more in .per_step"] if shown < count else []
        dimension = self.kaplan_yorke
        if dimension.value is not None:
            lines.append(f"Kaplan-Yorke dimension {str(dimension).splitlines()[0]}")
        return [*lines, *self.remarks]

    def _in_time(self, *numbers: float) -> str:
        """An exponent and the ends of its interval per unit of time, where a step has a time."""
        if self.time_step is None:
            return ""
        value, low, high = (f"{number / self.time_step:.5g}" for number in numbers)
        return f"; per unit of time {value}, {low} to {high}"

    def to_dict(self) -> dict[str, object]:
        """Plain numbers for a JSON file; -inf is written as null."""
        low, high = self.interval()
        return {
            "per_step": _plain(self.per_step),
            "standard_error": _plain(self.standard_error),
            "interval": [_plain(low), _plain(high)],
            "time_step": self.time_step,
            "steps": self.steps,
            "runs": len(self.sums),
            "kaplan_yorke": self.kaplan_yorke.to_dict(),
            "entropy_rate": self.entropy_rate.to_dict(),
            "infinite": self.infinite,
            "one_attractor": self.one_attractor,
            "remarks": list(self.remarks),
            "seconds": self.seconds,
        }

    def interval(self, level: float = 0.95) -> Float[np.ndarray, "2 count"]:
        """Confidence interval of `per_step`; `low_frequency` says how it is found.

        It holds for correlated growth, is narrow where the growth of a flow telescopes, and is wide where
        the path is too short for its own correlation. It need not be symmetric.

        Args:
            level: probability, between 0 and 1.

        Raises:
            ConfigError: a level outside (0, 1).
        """
        if not 0 < level < 1:
            raise ConfigError(f"level={level}: expected a probability between 0 and 1")
        return self._usual.copy() if level == _LEVEL else self._interval(level)

    @cached_property
    def _usual(self) -> Float[np.ndarray, "2 count"]:
        return self._interval(_LEVEL)

    def _interval(self, level: float) -> Float[np.ndarray, "2 count"]:
        ends = []
        for share, sign in (((1 - level) / 2, -1), ((1 + level) / 2, 1)):
            # the interval holds the value itself, at the accuracy of the measurement
            reach = np.maximum(sign * self._error.quantile(share), 0.0) + _ROUNDING
            ends.append((self._means + sign * reach)[self._order])
        return np.stack(ends)

    def estimates(self, level: float = 0.95) -> tuple[Estimate, ...]:
        """Every exponent per step with its interval, from the largest down.

        Args:
            level: probability, between 0 and 1.
        """
        low, high = self.interval(level)
        ends = zip(low.tolist(), high.tolist(), strict=True)
        by = "QR method of Benettin et al. 1980, error from the slowest variations of the growth"
        if self.resting.all():
            by = "eigenvalues of the Jacobian at the point of rest"
        return tuple(
            self._estimate(value, pair, "per step", by, level=level)
            for value, pair in zip(self.per_step.tolist(), ends, strict=True)
        )

    def alone(self, run: int) -> "LyapunovSpectrum":
        """The exponents of one run by itself.

        Args:
            run: its number among those that stayed finite.

        Raises:
            ConfigError: no such run.
        """
        if not 0 <= run < len(self.sums):
            raise ConfigError(f"run={run}: expected 0 to {len(self.sums) - 1}")
        one = slice(run, run + 1)
        return replace(
            self,
            sums=self.sums[one],
            collapsed=self.collapsed[one],
            resting=self.resting[one],
            broken=np.full(1, -1),
            last_state=self.last_state[one],
            last_basis=self.last_basis[one],
        )

    def _estimate(
        self,
        value: float | None,
        ends: tuple[float | None, float | None],
        unit: str,
        estimator: str,
        reason: str = "",
        *,
        level: float = 0.95,
    ) -> Estimate:
        samples = self.steps * len(self.sums)
        return Estimate(value, *ends, level, unit, estimator, samples, _ASSUMED, reason)

    @property
    def _each(self) -> Float[np.ndarray, "runs count"]:
        return self.sums[:, -1] / self.marks[-1]

    @cached_property
    def _means(self) -> Float[np.ndarray, " count"]:
        return self._each.mean(axis=0)

    @property
    def _order(self) -> np.ndarray:
        return np.argsort(-self._means, kind="stable")

    @cached_property
    def _error(self) -> MeanError:
        finite = np.isfinite(self._means)
        return error_of_mean(
            np.where(finite, np.where(np.isfinite(self.sums), self.sums, 0.0), 0.0), self.marks
        )

    @property
    def _without_noise(self) -> Float[np.ndarray, " count"]:
        """Exponents per step, those that may be zero as zero."""
        low, high = self.interval()
        return -np.sort(-np.where((low <= 0) & (high >= 0), 0.0, self.per_step))

    def rows_shown(self) -> Rows:
        """Every exponent with its interval, per step and, where a step has a time, per unit of time."""
        columns, header = (
            [self.per_step, *self.interval()],
            ("exponent", "per step", "low, 95 %", "high, 95 %"),
        )
        if self.time_step is not None:
            columns += [column / self.time_step for column in columns]
            header = (*header, "per unit of time", "low, 95 %", "high, 95 %")
        ends = zip(*columns, strict=True)
        rows = [(str(rank), *(f"{number:.5g}" for number in one)) for rank, one in enumerate(ends, 1)]
        return Rows(header, tuple(rows))


def _plain(values: np.ndarray) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
