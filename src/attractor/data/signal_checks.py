"""What one signal alone gives away: constant, saturated, quantised, spiky or drifting."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from .finding import Finding, Severity
from .rows import find_runs
from .scaling import is_constant

STUCK_SHARE = 0.01
"""One sample in a hundred at a limit: enough to bend a model that does not know the limit."""
STUCK_RUN = 5
"""A smooth extremum stays within 0.1 % of the range for a sample or two, a limit for longer."""
STEPPED_LEVELS = 10
"""A signal with this few levels is made of steps; that it rests at the largest is its design."""
COARSE_LEVELS = 64
"""Six bits: the rounding error of 1/64 of the range is a noise floor of about 1 % of the amplitude."""
SPIKE_SIGMAS = 10.0
"""Distance from the running median, in robust standard deviations; a Gaussian sample never gets there."""
DRIFT_SHARE = 0.5
"""More than half of an output's variance is a straight line that the inputs do not have."""

Blocks = Sequence[Float[np.ndarray, "_"]]


def centre(blocks: Blocks, longest: int) -> list[Float[np.ndarray, "_"]]:
    """The first samples of each block about their mean; zero where it rests, as rounding is no signal."""
    parts = [block[:longest] for block in blocks]
    return [np.zeros(len(part)) if is_constant(part) else part - part.mean() for part in parts]


def count_levels(values: Float[np.ndarray, "samples"]) -> int:
    """Distinct levels of a signal, where differences below 0.1 % of the range do not count."""
    if is_constant(values):
        return 1
    return len(np.unique(np.rint((values - values.min()) / np.ptp(values) * 1000)))


def check_constant(name: str, blocks: Blocks) -> list[Finding]:
    """A signal that never moves carries no information."""
    values = np.concatenate(blocks)
    if not is_constant(values):
        return []
    message = f"'{name}' is constant at {values[0]:g}"
    advice = "Leave it out, or record data while it moves."
    return [Finding(Severity.ERROR, "constant", name, message, advice, {"value": float(values[0])})]


def check_saturation(name: str, blocks: Blocks, visits: int = 2) -> list[Finding]:
    """A signal that rests at its largest or smallest value again and again has met a limit.

    `visits` is how often it must rest there; of random steps two may well be the largest by chance.
    """
    values = np.concatenate(blocks)
    if count_levels(values) <= STEPPED_LEVELS:
        return []
    return [
        finding
        for limit, side in ((values.max(), "largest"), (values.min(), "smallest"))
        for finding in _saturation_at(name, blocks, (float(limit), side), visits)
    ]


def _saturation_at(name: str, blocks: Blocks, end: tuple[float, str], visits: int) -> list[Finding]:
    limit, side = end
    span = float(np.ptp(np.concatenate(blocks)))
    runs, count = [], sum(len(block) for block in blocks)
    for block in blocks:
        runs += [stop - start for start, stop in find_runs(np.abs(block - limit) <= 1e-3 * span)]
    stuck = [run for run in runs if run >= STUCK_RUN]
    share = sum(stuck) / count
    if share < STUCK_SHARE or (len(stuck) < visits and not _is_frozen(blocks, limit)):
        return []
    message = (
        f"'{name}' rests at its {side} value {limit:g} for {share:.1%} of the samples ({len(stuck)} times)"
    )
    advice = (
        "Find out whether a sensor, an actuator or the plant itself has a limit there. Keep the samples if "
        "the limit is part of the plant; leave them out if it is the sensor's."
    )
    return [Finding(Severity.WARNING, "saturation", name, message, advice, {"share": share, "limit": limit})]


def _is_frozen(blocks: Blocks, limit: float) -> bool:
    """Whether the value repeats exactly at the limit in a signal that hardly repeats elsewhere."""
    still = np.concatenate([np.diff(block) == 0 for block in blocks])
    at_limit = np.concatenate([block[1:] == limit for block in blocks])
    return bool(still[at_limit].mean() > 0.8 and still[~at_limit].mean() < 0.02) if at_limit.any() else False


def check_quantisation(name: str, blocks: Blocks) -> list[Finding]:
    """An output with few distinct values has lost what happens between them."""
    values = np.concatenate(blocks)
    levels = len(np.unique(values))
    if len(values) < 4 * COARSE_LEVELS or not 2 <= levels <= COARSE_LEVELS:
        return []
    step = float(np.ptp(values) / (levels - 1))
    message = f"'{name}' takes only {levels} distinct values; its resolution is about {step:g}"
    advice = "Use a finer sensor range or log more digits; a model cannot be better than this resolution."
    return [
        Finding(Severity.WARNING, "quantisation", name, message, advice, {"levels": levels, "step": step})
    ]


def check_outliers(name: str, blocks: Blocks) -> list[Finding]:
    """Single samples far from both neighbours are faults of the measurement."""
    values = np.concatenate(blocks)
    if count_levels(values) <= STEPPED_LEVELS:
        return []
    spikes = [int(np.sum(find_spikes(block))) for block in blocks]
    if not sum(spikes):
        return []
    first = next(place for place, count in enumerate(spikes) if count)
    row = int(np.flatnonzero(find_spikes(blocks[first]))[0])
    message = f"'{name}' has {sum(spikes)} spike(s); the first at sample {row} of experiment {first + 1}"
    advice = "Blank these cells and read the file with missing values interpolated, or cut the rows out."
    return [
        Finding(Severity.WARNING, "outliers", name, message, advice, {"count": sum(spikes), "first": row})
    ]


def find_spikes(values: Float[np.ndarray, "samples"]) -> Bool[np.ndarray, "samples"]:
    """Samples far from the median of the five around them, in a signal that is otherwise smooth there.

    Far means ten robust standard deviations of that distance (1.4826 times its median absolute value), a
    fifth of the central 90 % of the signal's range, and five times the largest distance among the 20
    samples on either side: a step is no spike, since the median follows it, nor is a lively signal.
    """
    from scipy.ndimage import maximum_filter1d, median_filter

    if len(values) < 5:
        return np.zeros(len(values), dtype=bool)
    distance = np.abs(values - median_filter(values, size=5, mode="nearest"))
    span = float(np.subtract(*np.percentile(values, [95, 5])))
    limit = max(SPIKE_SIGMAS * 1.4826 * float(np.median(distance)), 0.2 * span)
    padded = np.pad(maximum_filter1d(distance, size=19, mode="constant"), 12)
    around = np.maximum(padded[: len(values)], padded[24:])
    return np.asarray(distance > np.maximum(limit, 5 * around))


def trend_share(values: Float[np.ndarray, "samples"]) -> float:
    """The share of a signal's variance that a straight line explains, between 0 and 1."""
    if len(values) < 3 or is_constant(values):
        return 0.0
    return float(np.corrcoef(np.arange(len(values)), values)[0, 1] ** 2)


def check_drift(name: str, output: Blocks, inputs: Sequence[Blocks]) -> list[Finding]:
    """An output that rises or falls on a straight line while no input does is drifting."""
    for number, block in enumerate(output):
        share = trend_share(block)
        explained = max((trend_share(channel[number]) for channel in inputs), default=0.0)
        if share > DRIFT_SHARE and explained < DRIFT_SHARE / 2:
            message = f"{share:.0%} of the variance of '{name}' is a straight line in experiment {number + 1}"
            advice = (
                "Look for a disturbance that is not logged (temperature, wear, a filling vessel) or an "
                "integrating plant; log it as an input, or use the difference of the output."
            )
            return [Finding(Severity.WARNING, "drift", name, message, advice, {"share": share})]
    return []
