"""What one signal alone gives away, and whether the inputs move enough and independently."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from .finding import Finding, error, warning
from .preprocessing import is_constant
from .record import Record, find_runs

# One sample in a hundred at a limit: enough to bend a model that does not know the limit.
STUCK_SHARE = 0.01
# A smooth extremum stays within 0.1 % of the range for a sample or two, a limit for longer.
STUCK_RUN = 5
# A signal with this few levels is made of steps; that it rests at the largest is its design.
STEPPED_LEVELS = 10
# Six bits: the rounding error of 1/64 of the range is a noise floor of about 1 % of the amplitude.
COARSE_LEVELS = 64
# Distance from the running median, in robust standard deviations; a Gaussian sample never gets there.
SPIKE_SIGMAS = 10.0
# More than half of an output's variance is a straight line that the inputs do not have.
DRIFT_SHARE = 0.5

Blocks = Sequence[Float[np.ndarray, "_"]]


def centre(blocks: Blocks, longest: int) -> list[Float[np.ndarray, "_"]]:
    """The first samples of each block about their mean; zero where it rests, as rounding is no signal."""
    parts = [block[:longest] for block in blocks]
    return [np.zeros(len(part)) if is_constant(part) else part - part.mean() for part in parts]


def normalise(blocks: Blocks, longest: int) -> list[Float[np.ndarray, "_"]]:
    """`centre`, with mean square one over all blocks: what follows must not depend on units."""
    centred = centre(blocks, longest)
    size = float(np.sqrt(np.mean(np.concatenate(centred) ** 2)))
    return [part / size for part in centred] if size > 0 else centred


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
    return [error("constant", name, message, advice, value=float(values[0]))]


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
    return [warning("saturation", name, message, advice, share=share, limit=limit)]


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
    return [warning("quantisation", name, message, advice, levels=levels, step=step)]


def check_outliers(name: str, blocks: Blocks) -> list[Finding]:
    """Single samples far from both neighbours are faults of the measurement.

    A signal that is made of steps has none; its levels are counted without its smallest and largest values,
    for a code such as -999 makes all others look alike.
    """
    values = np.concatenate(blocks)
    low, high = np.quantile(values, [0.02, 0.98])
    usual = values[(values >= low) & (values <= high)]
    if count_levels(usual if len(usual) else values) <= STEPPED_LEVELS:
        return []
    spikes = [int(np.sum(find_spikes(block))) for block in blocks]
    if not sum(spikes):
        return []
    first = next(position for position, count in enumerate(spikes) if count)
    row = int(np.flatnonzero(find_spikes(blocks[first]))[0])
    message = f"'{name}' has {sum(spikes)} spike(s); the first at sample {row} of experiment {first + 1}"
    advice = "Blank these cells and read the file with missing values interpolated, or cut the rows out."
    return [warning("outliers", name, message, advice, count=sum(spikes), first=row)]


_HELD = 0.5
"""Share of samples equal to the one before, above which a signal is held."""


def find_spikes(values: Float[np.ndarray, "samples"]) -> Bool[np.ndarray, "samples"]:
    """Samples far from the median of the five around them, in a signal that is otherwise smooth there.

    Far means ten robust standard deviations of that distance (1.4826 times its median absolute value), a
    fifth of the central 90 % of the signal's range, and five times the largest distance among the 20
    samples on either side: a step is no spike, since the median follows it, nor is a lively signal. Where a
    signal is held most of the time, as a commanded input is, short steps are no spikes either: one is a
    single sample that comes back to the value before it.
    """
    from scipy.ndimage import maximum_filter1d, median_filter

    if len(values) < 5:
        return np.zeros(len(values), dtype=bool)
    distance = np.abs(values - median_filter(values, size=5, mode="nearest"))
    span = float(np.subtract(*np.percentile(values, [95, 5])))
    limit = max(SPIKE_SIGMAS * 1.4826 * float(np.median(distance)), 0.2 * span)
    padded = np.pad(maximum_filter1d(distance, size=19, mode="constant"), 12)
    around = np.maximum(padded[: len(values)], padded[24:])
    found = np.asarray(distance > np.maximum(limit, 5 * around))
    if np.mean(np.diff(values) == 0) > _HELD:
        found[1:-1] &= values[:-2] == values[2:]
    return found


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
            return [warning("drift", name, message, advice, share=share)]
    return []


# A curve through the steady states needs five points before its bend can be told from its slope.
FEWEST_LEVELS = 5
# Each move shows the dynamics once; with fewer, noise and disturbances do not average out.
FEWEST_MOVES = 10
# At least half of ten equal parts of the range are visited.
LEAST_COVERAGE = 0.5
# A linear plant of order n has 2n parameters and needs excitation of order 2n; 6 serves n = 3.
LEAST_ORDER = 6
# Lags of the autocovariance whose rank is the order of excitation.
LAGS = 30
# Smallest eigenvalue of the inputs' correlation matrix; for two inputs it is one minus |correlation|.
COLLINEAR = 0.02
_LONGEST = 100_000


def check_excitation(name: str, blocks: Blocks) -> list[Finding]:
    """All checks of one input's movement."""
    return [
        *check_levels(name, blocks),
        *check_moves(name, blocks),
        *check_coverage(name, blocks),
        *check_order(name, blocks),
    ]


def check_levels(name: str, blocks: Blocks) -> list[Finding]:
    """An input with two levels cannot show that the gain depends on the level."""
    levels = count_levels(np.concatenate(blocks))
    if levels >= FEWEST_LEVELS:
        return []
    message = f"'{name}' takes only {levels} distinct levels"
    advice = "Enough for a linear model; for a nonlinear one use steps of many different sizes."
    return [warning("few-levels", name, message, advice, levels=levels)]


def count_moves(values: Float[np.ndarray, "samples"], span: float) -> int:
    """How often a signal moves by more than a tenth of `span` from where it last was counted."""
    moves, last = 0, values[0]
    step, start = 0.1 * span, 0
    while moves < 10 * FEWEST_MOVES:
        away = np.abs(values[start : start + 4096] - last) > step
        if away.any():
            start += int(np.argmax(away))
            last, moves = values[start], moves + 1
        elif start + 4096 >= len(values):
            break
        else:
            start += 4096
    return moves


def check_moves(name: str, blocks: Blocks) -> list[Finding]:
    """An input that moves a few times shows the dynamics a few times."""
    span = float(np.ptp(np.concatenate(blocks)))
    moves = sum(count_moves(block, span) for block in blocks)
    if moves >= FEWEST_MOVES:
        return []
    message = f"'{name}' moves by more than a tenth of its range only {moves} times"
    advice = f"Record more steps, {FEWEST_MOVES} at the least, in both directions."
    return [warning("few-moves", name, message, advice, moves=moves)]


def check_coverage(name: str, blocks: Blocks) -> list[Finding]:
    """An input that stays in a part of its range leaves the model to guess the rest."""
    values = np.concatenate(blocks)
    if count_levels(values) < FEWEST_LEVELS:
        return []
    counts, _ = np.histogram(values, bins=10)
    coverage = float(np.mean(counts >= 0.005 * len(values)))
    if coverage >= LEAST_COVERAGE:
        return []
    message = f"'{name}' visits only {coverage:.0%} of its range for more than 0.5 % of the samples each"
    advice = "Spread the levels over the range in which the model will be used; look for outliers."
    return [warning("narrow-coverage", name, message, advice, coverage=coverage)]


def excitation_order(blocks: Blocks) -> int:
    r"""The order of persistent excitation, up to 30.

    An input $u$ excites to order $n$ if the $n \times n$ matrix of its lagged products
    $\sum_t \phi_t \phi_t^\top$, $\phi_t = (u_t, ..., u_{t-n+1})$, has full rank (Ljung, System
    Identification, 2nd ed., section 13.2). Its rank here counts eigenvalues above 1e-4 of the largest, so
    that one per cent of measurement noise does not count as excitation.
    """
    gram = np.zeros((LAGS, LAGS))
    for part in centre(blocks, _LONGEST):
        if len(part) > LAGS:
            windows = np.lib.stride_tricks.sliding_window_view(part, LAGS)
            gram += windows.T @ windows
    eigenvalues = np.linalg.eigvalsh(gram)
    return int(np.sum(eigenvalues > 1e-4 * eigenvalues[-1])) if eigenvalues[-1] > 0 else 0


def check_order(name: str, blocks: Blocks) -> list[Finding]:
    """An input made of one or two sines fits many wrong models."""
    if max(len(block) for block in blocks) <= 2 * LAGS:
        return []
    order = excitation_order(blocks)
    if order >= LEAST_ORDER:
        return []
    message = f"'{name}' excites the plant persistently only to order {order}: its spectrum is a few lines"
    advice = (
        "Add random steps or a multisine with many frequencies; one sine shows one point of the response."
    )
    return [warning("poor-excitation", name, message, advice, order=order)]


def check_collinear(record: Record) -> list[Finding]:
    """Inputs that always move together cannot be told apart."""
    values = np.concatenate([experiment.inputs for experiment in record.experiments])
    moving = [channel for channel in range(values.shape[1]) if not is_constant(values[:, channel])]
    if len(moving) < 2:
        return []
    eigenvalues, vectors = np.linalg.eigh(np.corrcoef(values[:, moving], rowvar=False))
    if eigenvalues[0] >= COLLINEAR:
        return []
    names = [
        record.inputs[channel].name
        for channel, weight in zip(moving, vectors[:, 0], strict=True)
        if abs(weight) > 0.2
    ]
    label = ", ".join(names)
    message = (
        f"the inputs {label} always move together (eigenvalue {eigenvalues[0]:.3g} of their correlation)"
    )
    advice = "Leave one out, or record an experiment in which they move one at a time."
    return [warning("collinear", label, message, advice, eigenvalue=float(eigenvalues[0]))]
