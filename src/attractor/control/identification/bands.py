"""Bands that hold the measured outputs with a stated probability, by split conformal prediction.

What is calibrated by is not a row but a stretch of rows: the errors of neighbouring rows are nearly the same
error, and a thousand of them may be worth ten. All rows of a stretch share the weight of one case, and the
new stretch counts as one whose error is infinite (hierarchical conformal prediction: Lee, Barber and Willett
2023, after Vovk, Gammerman and Shafer 2005).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from attractor.errors import ConfigError, ShapeError
from attractor.shown import Shown

from .simulator import FreeRuns

ASSUMPTION = (
    "This holds on average over the rows of new stretches that are drawn like those of the calibration, none "
    "of them special (exchangeable): the same plant, the same kinds of inputs and disturbances, started from "
    "measured rows. Neighbouring stretches of one log are so only nearly, and a drift breaks it."
)
NOT_CALIBRATED = (
    "bands are calibrated by validation data, and this model kept none (or was saved by an earlier version): "
    "fit it with a validation_share above 0"
)
NO_START = (
    "bands are calibrated by runs that start from measured rows: give the measured outputs of at least the "
    "first {rows} rows"
)
LEVELS = 1000
"""Shares at which the distribution of errors is kept; each is rounded up."""
_STRETCHES = 20
"""Stretches that a bin of its own needs; with fewer its rows are judged with later ones."""
_EDGES = (0.25, 1.0, 4.0)
"""Where bins of rows since the start of a run end, in lengths of a stretch."""


@dataclass(frozen=True, eq=False)
class BandCalibration(Shown):
    """How far free runs were from measured rows that the model had not learned from.

    Args:
        errors: for each bin of rows since the start of a run, the absolute error (scaled) that this share of
            the rows of a stretch stays within, on average over stretches; shares 1/1000, 2/1000, ... 1.
        first_rows: rows since the start from which each bin holds.
        stretches: of each bin.
        length: rows of a stretch.
        rows: the longest run; what is later is taken to be as in the last bin.
    """

    errors: Float[np.ndarray, "bins levels outputs"]
    first_rows: Int[np.ndarray, " bins"]
    stretches: Int[np.ndarray, " bins"]
    length: int
    rows: int

    def stated(self, coverage: float) -> tuple[float, float]:
        """Ends between which the coverage of new rows is expected: what was asked for, and 1/(n + 1) more."""
        return coverage, min(coverage + 1 / (int(self.stretches.min()) + 1), 1.0)

    @property
    def highest(self) -> float:
        """The highest coverage that can be stated for all rows: n stretches say nothing of one in n + 1."""
        fewest = int(self.stretches.min())
        return fewest / (fewest + 1)

    def half_widths(self, rows: int, coverage: float) -> Float[np.ndarray, "rows outputs"]:
        """How far a band reaches on either side, scaled, for each row since the start of a run.

        With n stretches it is the smallest error that a share of coverage (n + 1) / n of the rows stays
        within, every stretch with the same weight. Infinite where that share is above 1: too few stretches.

        Raises:
            ConfigError: a coverage outside (0, 1).
        """
        if not 0 < coverage < 1:
            raise ConfigError(f"coverage={coverage}: expected a probability between 0 and 1, such as 0.9")
        shares = coverage * (self.stretches + 1) / self.stretches
        levels = np.ceil(shares * LEVELS - 1e-6).astype(int)
        beyond = np.full((1, 1, self.errors.shape[2]), np.inf)
        known = np.concatenate([self.errors, np.repeat(beyond, len(self.errors), axis=0)], axis=1)
        widths = known[np.arange(len(levels)), np.minimum(levels, LEVELS + 1) - 1]
        return widths[np.searchsorted(self.first_rows, np.arange(rows), side="right") - 1]

    def arrays(self) -> dict[str, np.ndarray]:
        """For a run folder."""
        return {f"bands.{name}": np.asarray(value) for name, value in vars(self).items()}


@dataclass(frozen=True, eq=False)
class OutputBands(Shown):
    """A free run and the band around it, in engineering units.

    Args:
        predicted: what the model says, NaN over the rows that set its state.
        low: lower end of the band, NaN over the rows that set the state; -inf where nothing can be stated.
        high: upper end.
        coverage: the share of the rows of new stretches that lie inside is at least this; see `ASSUMPTION`.
        calibration: what that is known from.
    """

    predicted: Float[np.ndarray, "time *outputs"]
    low: Float[np.ndarray, "time *outputs"]
    high: Float[np.ndarray, "time *outputs"]
    coverage: float
    calibration: BandCalibration

    @classmethod
    def around(
        cls,
        predicted: Float[np.ndarray, "time outputs"],
        calibration: BandCalibration,
        coverage: float,
        run: tuple[int, Float[np.ndarray, " outputs"]],
    ) -> "OutputBands":
        """Around a free run in engineering units.

        Args:
            predicted: the free run.
            calibration: of the model.
            coverage: asked for.
            run: rows that set its state, and engineering units in one scaled unit of each output.
        """
        settled, scale = run
        widths = np.full(predicted.shape, np.nan)
        rows = max(len(predicted) - settled, 0)
        widths[settled:] = calibration.half_widths(rows, coverage) * scale
        return cls(predicted, predicted - widths, predicted + widths, coverage, calibration)

    def flat(self) -> "OutputBands":
        """Those of the only output, of shape (time,)."""
        found, low, high = (values[:, 0] for values in (self.predicted, self.low, self.high))
        return OutputBands(found, low, high, self.coverage, self.calibration)

    def holds(self, measured: object) -> np.ndarray:
        """Which measured values lie inside; those of rows without a band do not.

        Raises:
            ShapeError: measured outputs of another shape.
        """
        values = np.asarray(measured, float)
        if values.shape != self.low.shape:
            raise ShapeError(f"measured outputs of shape {values.shape} for bands of shape {self.low.shape}")
        return (self.low <= values) & (values <= self.high)

    def __str__(self) -> str:
        """What the bands hold, by how much is known, and what is assumed."""
        widths = (self.high - self.low)[~np.isnan(self.low).reshape(len(self.low), -1).any(axis=1)]
        mean = float(np.mean(widths)) if len(widths) else float("nan")
        first = f"bands over {len(self.low)} rows, {mean:.4g} wide on average"
        return f"{first}\n{in_words(self.calibration, self.coverage)} {ASSUMPTION}"


def in_words(found: BandCalibration, coverage: float) -> str:
    """What bands of a coverage hold and by how many stretches that is known, or why they are infinite."""
    by = calibrated_by(found)
    if coverage > found.highest:
        return (
            f"The bands are infinite: {by}, say nothing of more than {100 * found.highest:.1f} % of rows. "
            "Ask for a lower coverage, or hold more rows out for validation."
        )
    low, high = (100 * one for one in found.stated(coverage))
    return (
        f"The bands are stated to hold {low:g} to {high:.1f} % of the rows of such recordings: what was "
        f"asked, and the most that it comes to. They are calibrated by {by}."
    )


def calibrated_by(found: BandCalibration) -> str:
    """How much a calibration rests on: half a sentence."""
    rows = "one row" if found.length == 1 else f"{found.length} rows"
    return f"{int(found.stretches.min())} stretches of the validation data, {rows} each"


def calibrate(runs: FreeRuns, length: int | None = None, *, grows: bool = True) -> BandCalibration | None:
    """Distributions of errors by rows since the start of a run, in a few bins.

    Args:
        runs: over recordings that the model has not learned from, started every few rows.
        length: rows of a stretch; None takes the time over which errors remember each other, so that
            stretches are nearly independent.
        grows: whether the band may depend on the rows since the start; else its width is constant.

    Returns:
        None where there is no whole stretch.
    """
    length = runs.memory if length is None else length
    stretches = runs.stretches(length)
    if stretches.max(initial=-1) < 0:
        return None
    rows = int(np.flatnonzero((stretches >= 0).any(axis=0))[-1]) + 1
    edges = _edges(stretches, length) if grows else [0]
    if len(edges) == 1:
        # Rows soon after a start would outweigh the others; the longest runs are what the bands are for.
        stretches = np.where(runs.starts[:, None] == 0, stretches, -1)
    found, counts = [], []
    for begin, end in zip(edges, [*edges[1:], rows], strict=True):
        cases = _cases(stretches[:, begin:end], length)
        used = cases >= 0
        found.append(pooled(np.abs(runs.errors[:, begin:end][used]), cases[used]))
        counts.append(len(np.unique(cases[used])))
    return BandCalibration(np.stack(found), np.array(edges), np.array(counts), length, rows)


def pooled(
    errors: Float[np.ndarray, "rows outputs"], cases: Int[np.ndarray, " rows"]
) -> Float[np.ndarray, "levels outputs"]:
    """The error that a share of the rows stays within, for shares 1/1000 to 1; every case has one vote.

    Args:
        errors: absolute; what is not finite counts as infinite.
        cases: which case each row is of; its rows share its vote.
    """
    _, positions, counts = np.unique(cases, return_inverse=True, return_counts=True)
    votes = 1.0 / (len(counts) * counts[positions])
    wanted = np.arange(1, LEVELS + 1) / LEVELS - 1e-9
    columns = []
    for values in np.where(np.isfinite(errors), errors, np.inf).T:
        order = np.argsort(values)
        reached = np.searchsorted(np.cumsum(votes[order]), wanted)
        columns.append(values[order][np.minimum(reached, len(values) - 1)])
    return np.stack(columns, axis=1)


def _cases(stretches: Int[np.ndarray, "runs rows"], length: int) -> Int[np.ndarray, "runs rows"]:
    """Which case a row counts to; a run across two stretches is no second case of a short bin."""
    if stretches.shape[1] > length:
        return stretches
    return np.where(stretches >= 0, stretches[:, :1], -1)


def _edges(stretches: Int[np.ndarray, "runs rows"], length: int) -> list[int]:
    """Rows at which bins begin: as proposed, as far as every bin has stretches enough."""
    proposed = sorted({max(int(length * edge), 1) for edge in _EDGES})
    if _count(stretches[:, proposed[-1] :]) < _STRETCHES:
        return [0]
    edges = [0]
    for edge in proposed:
        if _count(_cases(stretches[:, edges[-1] : edge], length)) >= _STRETCHES:
            edges.append(edge)
    return edges


def _count(stretches: Int[np.ndarray, "runs rows"]) -> int:
    return len(np.unique(stretches[stretches >= 0]))


def calibration_of(arrays: Mapping[str, np.ndarray], outputs: int) -> BandCalibration | None:
    """Back from the arrays of a run; None if it has none, as runs of earlier versions.

    Raises:
        ValueError: arrays of other shapes.
    """
    if "bands.errors" not in arrays:
        return None
    facts: dict[str, Any] = {name: arrays[f"bands.{name}"] for name in BandCalibration.__annotations__}
    bins = len(facts["first_rows"])
    sound = facts["errors"].shape == (bins, LEVELS, outputs) and facts["stretches"].shape == (bins,)
    if not (sound and bins and facts["first_rows"][0] == 0 and facts["stretches"].min() > 0):
        raise ValueError(f"bands of shape {facts['errors'].shape} in {bins} bins for {outputs} outputs")
    whole = {name: int(facts[name]) for name in ("length", "rows")}
    return BandCalibration(
        facts["errors"].astype(float),
        facts["first_rows"].astype(int),
        facts["stretches"].astype(int),
        **whole,
    )


def assessed(
    bands: Sequence[OutputBands],
    measured: Sequence[np.ndarray],
    settled: int,
    fixed: Float[np.ndarray, " outputs"],
) -> list[dict[str, float]]:
    """How often bands hold the measured rows of test recordings, for each output, and how wide they are.

    Args:
        bands: of each recording, (time, outputs).
        measured: its outputs.
        settled: rows at its beginning that have no band.
        fixed: half widths of bands of a constant width.

    Returns:
        `coverage` asked for, `stated` at most; `held` on test with its standard `error`, from stretches of
        the length of those of the calibration (NaN for fewer than two); mean `width` of the bands, and
        `constant`.
    """
    inside = [band.holds(values)[settled:] for band, values in zip(bands, measured, strict=True)]
    widths = np.concatenate([(band.high - band.low)[settled:] for band in bands])
    every, length = np.concatenate(inside), bands[0].calibration.length
    blocks = [
        one[begin : begin + length].mean(axis=0)
        for one in inside
        for begin in range(0, len(one) - length + 1, length)
    ]
    errors = np.std(blocks, axis=0, ddof=1) / np.sqrt(len(blocks)) if len(blocks) > 1 else None
    return [
        {
            "coverage": bands[0].coverage,
            "stated": bands[0].calibration.stated(bands[0].coverage)[1],
            "held": float(every[:, output].mean()),
            "error": float("nan") if errors is None else float(errors[output]),
            "width": float(widths[:, output].mean()),
            "constant": 2.0 * float(fixed[output]),
        }
        for output in range(every.shape[1])
    ]
