"""Lyapunov exponents with what is known about their errors."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.stats import t as student

from .summaries import entropy_rate_bound, kaplan_yorke_dimension


class Ending(Enum):
    """Why a measurement ended; the value is the text that users see."""

    ALL_STEPS = "all steps were used"
    TOLERANCE = "stopped early: all standard errors are below the tolerance"
    DIVERGED = "ended early: the state or its Jacobian is not finite"


@dataclass(frozen=True, eq=False)
class LyapunovSpectrum:
    """The largest Lyapunov exponents of a map along trajectories.

    Args:
        blocks: growth of logarithms in one step, mean of every block of the path, in the order of the
            basis; -inf where a Jacobian had no such direction.
        block_steps: steps of every block.
        time_step: time of one step; None for a cell without one.
        ending: why the measurement ended.
        collapsed: for every run, whether it stood still at the end, bit by bit, at a point from which nearby
            states flee: it began there, or rounding drove a chaotic orbit there (as x -> 2x mod 1). The
            exponents are those of that point.
        decompositions: QR decompositions that were made; fewer than steps where growth is even.
        last_state: the flat states at the end, to go on from.
        last_basis: the basis at the end, vectors in rows.
        seconds: wall time with compilation.
    """

    blocks: Float[np.ndarray, "batch blocks count"]
    block_steps: Float[np.ndarray, " blocks"]
    time_step: float | None
    ending: Ending
    collapsed: np.ndarray
    decompositions: int
    last_state: Float[np.ndarray, "batch states"]
    last_basis: Float[np.ndarray, "batch count real"]
    seconds: float

    @property
    def runs(self) -> Float[np.ndarray, "batch count"]:
        """Exponents a step of every run of the batch, each from the largest down."""
        return -np.sort(-np.average(self.blocks, axis=1, weights=self.block_steps), axis=1)

    @property
    def per_step(self) -> Float[np.ndarray, " count"]:
        """Growth of logarithms in one step, mean over the batch, from the largest down."""
        means = self._means
        return means[self._order]

    @property
    def standard_error(self) -> Float[np.ndarray, " count"]:
        """Of `per_step`, by batch means: blocks are taken as independent. 0 beside -inf."""
        runs, blocks, _ = self.blocks.shape
        weights = self.block_steps / self.block_steps.mean()
        with np.errstate(invalid="ignore"):
            deviations = (self.blocks - self._means) * weights[:, None]
            errors = np.sqrt(np.sum(deviations**2, axis=(0, 1)) / (runs * blocks * (runs * blocks - 1)))
        return np.where(np.isfinite(self._means), errors, 0.0)[self._order]

    @property
    def per_time(self) -> Float[np.ndarray, " count"] | None:
        """Exponents per unit of time, None for a cell without a time step."""
        return None if self.time_step is None else self.per_step / self.time_step

    @property
    def steps(self) -> int:
        """Steps of a run that counted."""
        return int(self.block_steps.sum())

    @property
    def infinite(self) -> int:
        """How many exponents are -inf: directions that a step forgets at once, to the accuracy of float64."""
        return int(np.sum(self.per_step == -np.inf))

    @property
    def drift(self) -> Float[np.ndarray, " count"]:
        """Second half minus first half of the path, a step; large beside the error: it still settles."""
        half = self.blocks.shape[1] // 2
        first, second = (
            np.average(self.blocks[:, part], axis=1, weights=self.block_steps[part]).mean(axis=0)
            for part in (slice(0, half), slice(half, None))
        )
        with np.errstate(invalid="ignore"):
            return np.where(np.isfinite(self._means), second - first, 0.0)[self._order]

    @property
    def kaplan_yorke(self) -> float | None:
        """Kaplan-Yorke dimension; None if more exponents are needed."""
        return kaplan_yorke_dimension(self.per_step, self.last_state.shape[1])

    @property
    def entropy_rate(self) -> float:
        """Upper bound on the entropy rate, nats a step."""
        return entropy_rate_bound(self.per_step)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader of the numbers must know."""
        said = [self.ending.value] if self.ending is not Ending.ALL_STEPS else []
        if self.infinite:
            said.append(f"{self.infinite} exponents are -inf: a step forgets these directions at once")
        if self.collapsed.any():
            said.append(
                "the state stands still, bit by bit, at a point from which nearby states flee; these are the "
                "exponents of that point: start elsewhere, or rounding has ended a chaotic orbit"
            )
        if abs(self.drift[0]) > 4 * self.standard_error[0] + 1e-9:
            said.append("the largest exponent still changes along the path: more steps, or a longer burn-in")
        return tuple(said)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for a JSON file; -inf is written as null."""
        low, high = self.interval()
        return {
            "per_step": _plain(self.per_step),
            "standard_error": _plain(self.standard_error),
            "interval": [_plain(low), _plain(high)],
            "time_step": self.time_step,
            "steps": self.steps,
            "runs": len(self.blocks),
            "kaplan_yorke": self.kaplan_yorke,
            "entropy_rate": self.entropy_rate,
            "infinite": self.infinite,
            "remarks": list(self.remarks),
            "seconds": self.seconds,
        }

    def interval(self, level: float = 0.95) -> Float[np.ndarray, "2 count"]:
        """Confidence interval of `per_step`, by Student's t over the blocks of all runs.

        Args:
            level: probability, between 0 and 1.
        """
        freedom = self.blocks.shape[0] * self.blocks.shape[1] - 1
        width = student.ppf(0.5 + level / 2, freedom) * self.standard_error
        return np.stack([self.per_step - width, self.per_step + width])

    @property
    def _means(self) -> Float[np.ndarray, " count"]:
        return np.average(self.blocks, axis=1, weights=self.block_steps).mean(axis=0)

    @property
    def _order(self) -> np.ndarray:
        return np.argsort(-self._means, kind="stable")


def _plain(values: np.ndarray) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
