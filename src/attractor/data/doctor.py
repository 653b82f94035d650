"""The data doctor: looks at a record before any model does, and says what will go wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Literal

import numpy as np
from jaxtyping import Float

from .counters import why_counted
from .delays import LAGS, estimate_delays, lags_searched, rows_compared
from .finding import Finding, Findings, Severity, by_severity, error, note, out_of_range, warning
from .preprocessing import is_constant
from .record import Record, Signal
from .signal_checks import (
    Blocks,
    centre,
    check_collinear,
    check_constant,
    check_drift,
    check_excitation,
    check_outliers,
    check_quantisation,
    check_saturation,
    normalise,
)

# Below a hundred rows even a linear model of a few parameters is uncertain.
FEWEST_SAMPLES = 100
# A small recurrent network has some hundred parameters.
FEW_SAMPLES = 500


def check_finite(record: Record) -> list[Finding]:
    """NaN or infinite values make every other check meaningless."""
    findings = []
    for signal, values in all_channels(record):
        count = int(np.sum(~np.isfinite(values)))
        if count:
            message = f"'{signal.name}' has {count} values that are NaN or infinite"
            advice = "Fill in the values, or read the file with missing values interpolated or split."
            findings.append(error("not-finite", signal.name, message, advice, count=count))
    return findings


def all_channels(record: Record) -> list[tuple[Signal, Float[np.ndarray, "_"]]]:
    """Each signal with its samples over all experiments."""
    inputs = np.concatenate([experiment.inputs for experiment in record.experiments])
    outputs = np.concatenate([experiment.outputs for experiment in record.experiments])
    return [*zip(record.inputs, inputs.T, strict=True), *zip(record.outputs, outputs.T, strict=True)]


def check_counted(record: Record) -> list[Finding]:
    """Signals that only count the rows or run like a clock: they tell the order of the rows."""
    findings = []
    for column, signal in enumerate(record.inputs + record.outputs):
        experiments = [np.hstack([one.inputs, one.outputs])[:, column] for one in record.experiments]
        why = why_counted(signal.name, experiments)
        if why:
            message = f"'{signal.name}' may be no measured quantity: {why}"
            findings.append(warning("counter", signal.name, message, "Leave it out, unless it was applied."))
    return findings


def check_length(record: Record) -> list[Finding]:
    """Whether there are enough rows to learn from."""
    samples = record.samples
    if samples >= FEW_SAMPLES:
        return []
    severity = Severity.ERROR if samples < FEWEST_SAMPLES else Severity.WARNING
    message = f"the record has only {samples} samples"
    advice = f"Record more; {FEW_SAMPLES} samples are a modest beginning for a recurrent network."
    return [Finding(severity, "few-samples", "", message, advice, {"samples": samples})]


def check_ranges(record: Record) -> list[Finding]:
    """An experiment that goes where no other goes cannot be predicted from the others."""
    if len(record.experiments) < 2:
        return []
    findings = []
    for number, experiment in enumerate(record.experiments):
        others = [other for position, other in enumerate(record.experiments) if position != number]
        findings += compare_ranges(record.with_experiments(others), record.with_experiments([experiment]))
    return findings


def compare_ranges(training: Record, test: Record) -> list[Finding]:
    """Signals of a test record that leave the range of the training record.

    Args:
        training: what the model learns from.
        test: where it will be judged; the same signals.

    Returns:
        A warning for each signal of which more than 1 % of the samples lie more than a tenth of the
        training range outside of it.
    """
    where = f"'{test.experiments[0].name}'"
    pairs = zip(all_channels(training), all_channels(test), strict=True)
    return [
        finding
        for (signal, known), (_, values) in pairs
        for finding in out_of_range(signal.name, known, values, where)
    ]


def examine(record: Record) -> Findings:
    """Examine a record for what spoils identification.

    Every check has its threshold, with the reason for it, at the top of its module. Signals that are
    constant or not finite are reported and then left alone.

    Args:
        record: the data, with at least one experiment.

    Returns:
        The findings, errors first, then warnings, then notes; empty for data without any remark.
    """
    broken = check_finite(record)
    if broken:
        return by_severity(broken)
    inputs, outputs = (_blocks(record, side) for side in ("inputs", "outputs"))
    constant = [finding for name, blocks in inputs + outputs for finding in check_constant(name, blocks)]
    still = {finding.signal for finding in constant}
    inputs, outputs = ([one for one in side if one[0] not in still] for side in (inputs, outputs))
    findings = [*constant, *check_counted(record), *check_length(record), *check_ranges(record)]
    findings += check_collinear(record)
    for name, blocks in inputs:
        findings += examine_input(name, blocks)
    for name, blocks in outputs:
        findings += examine_output(name, blocks, [channel for _, channel in inputs])
    pairs: dict[tuple[str, str], list[Finding]] = {}
    for answer, effect in outputs:
        pairs |= check_answers(answer, effect, inputs, record.known_sampling_time)
    for (source, cause), (answer, effect) in product(inputs, outputs):
        findings += check_undersampling((source, answer), cause, effect)
    return by_severity([*findings, *_as_a_whole(pairs)])


def _as_a_whole(pairs: Mapping[tuple[str, str], list[Finding]]) -> list[Finding]:
    """What was found about every pair; one of many that shows nothing may be the way of the plant.

    A valve far behind a tank need not act on its level. An input that moves no output at all, or an output
    that answers no input, stays a warning.
    """
    answered = [pair for pair, found in pairs.items() if any(one.code == "delay" for one in found)]
    moving, moved = ({pair[side] for pair in answered} for side in (0, 1))
    return [
        replace(one, severity=Severity.NOTE, advice=_BUILT_SO)
        if one.code == "no-response" and source in moving and answer in moved
        else one
        for (source, answer), found in pairs.items()
        for one in found
    ]


_BUILT_SO = "Nothing to do if the plant is built so: both act or answer elsewhere."


def examine_input(name: str, blocks: Blocks) -> list[Finding]:
    """The checks of one input, given as one array of shape (samples,) for each experiment."""
    return [
        *check_excitation(name, blocks),
        *check_saturation(name, blocks, visits=3),
        *check_outliers(name, blocks),
    ]


def examine_output(name: str, blocks: Blocks, inputs: list[Blocks]) -> list[Finding]:
    """The checks of one output; `inputs` tell whether the plant or its input is slow."""
    findings = [
        *check_saturation(name, blocks),
        *check_quantisation(name, blocks),
        *check_outliers(name, blocks),
        *check_drift(name, blocks, inputs),
    ]
    drifts = any(one.code == "drift" for one in findings)  # and is slow for that reason
    return findings + (check_oversampling(name, blocks, inputs) if inputs and not drifts else [])


def _blocks(record: Record, side: Literal["inputs", "outputs"]) -> list[tuple[str, Blocks]]:
    """Name of each signal of a side, and its samples in each experiment."""
    arrays = [getattr(experiment, side) for experiment in record.experiments]
    signals = enumerate(getattr(record, side))
    return [(signal.name, [array[:, position] for array in arrays]) for position, signal in signals]


# Order of the autoregression that whitens the input.
ORDER = 10
# A good step is about a tenth of the rise time (Ljung, section 13.7); 200 samples are twenty times finer.
SLOWEST_DECAY = 200
# Share of the answer's energy in two samples; a first-order plant gets there with a pole below 0.27.
FASTEST_SHARE = 0.995
# Chance may hide as much of the energy in the later samples, with certainty of three standard deviations.
HIDDEN_SHARE = 0.1
# Samples of an answer that are looked at.
_TAIL = 30
_AT_REST = 1e-200
_LONGEST = 100_000
# As many rows as show an answer that is a sixth of the noise; fewer may hide one.
_ENOUGH_ROWS = 180


def cross_correlation(
    source: Float[np.ndarray, "samples"], answer: Float[np.ndarray, "samples"], lags: int
) -> Float[np.ndarray, "_"]:
    """Sums of source[t] answer[t + k] for k = -lags ... lags, shape (2 lags + 1,), by FFT."""
    from scipy.signal import correlate

    full = correlate(answer, source, mode="full", method="fft")
    middle = len(source) - 1
    padded = np.pad(full, lags)
    return padded[middle : middle + 2 * lags + 1]


def whitening_filter(blocks: Blocks) -> Float[np.ndarray, "_"]:
    """The filter (1, -a1, ..., -a10) that makes the input white, by least squares (Yule-Walker).

    An input at rest stays as it is.
    """
    from scipy.linalg import solve, toeplitz

    covariance = sum(
        (cross_correlation(block, block, ORDER)[ORDER:] for block in blocks), np.zeros(ORDER + 1)
    )
    if covariance[0] < _AT_REST:
        return np.eye(1, ORDER + 1)[0]
    matrix = np.asarray(toeplitz(covariance[:-1])) + 1e-8 * covariance[0] * np.eye(ORDER)
    return np.concatenate(([1.0], -np.asarray(solve(matrix, covariance[1:]))))


def impulse_correlation(source: Blocks, answer: Blocks) -> Float[np.ndarray, "_"]:
    """Correlation of the whitened input with the output filtered alike, lags -60 ... 60.

    Its shape is that of the impulse response (Box and Jenkins, prewhitening); chance alone gives values of
    standard deviation one over the root of the number of samples.
    """
    causes, effects = normalise(source, _LONGEST), normalise(answer, _LONGEST)
    taps = whitening_filter(causes)
    total, energy = np.zeros(2 * LAGS + 1), np.zeros(2)
    for block, output in zip(causes, effects, strict=True):
        if len(block) <= 2 * ORDER:
            continue
        white = np.convolve(block, taps, mode="valid")
        filtered = np.convolve(output, taps, mode="valid")
        total += cross_correlation(white, filtered, LAGS)
        energy += white @ white, filtered @ filtered
    return total / np.sqrt(energy[0] * energy[1]) if energy.all() else total


def first_answer(correlation: Float[np.ndarray, "_"], samples: int) -> int | None:
    """The first lag from 0 on at which the output answers; `None` if it does not.

    The threshold is four standard deviations of chance, or half as much again as anything at negative lags,
    where an output cannot answer yet and what is seen comes from imperfect whitening.
    """
    before, after = np.abs(correlation[:LAGS]), np.abs(correlation[LAGS:])
    threshold = max(4.0 / np.sqrt(samples), 1.5 * float(before.max()))
    answers = np.flatnonzero(after > threshold)
    return int(answers[0]) if len(answers) else None


def check_answers(
    name: str, answer: Blocks, inputs: Sequence[tuple[str, Blocks]], sampling_time: float | None
) -> dict[tuple[str, str], list[Finding]]:
    """How long an output waits before it answers each input, and whether it does at all.

    The sampling time is None where it is only assumed. An input that rests throughout each experiment, as in
    a step test, leaves both open, and so do recordings too short to tell; that an output does not answer is
    said only of as many rows as show a weak answer.
    """
    delays = estimate_delays([source for _, source in inputs], answer)
    searched, enough = lags_searched(answer), rows_compared(answer) >= _ENOUGH_ROWS
    return {
        (source, name): []
        if not searched or (delay is None and not enough) or all(map(is_constant, cause))
        else [_describe_answer((source, name), delay, searched, sampling_time)]
        for (source, cause), delay in zip(inputs, delays, strict=True)
    }


def _describe_answer(
    names: tuple[str, str], delay: int | None, searched: int, sampling_time: float | None
) -> Finding:
    label = f"{names[0]} -> {names[1]}"
    if delay is None:
        message = f"'{names[1]}' does not visibly answer '{names[0]}' within {searched} samples"
        advice = "Check that the right columns were chosen; a noisy plant needs a larger or longer input."
        return warning("no-response", label, message, advice, lags=searched)
    seconds = {} if sampling_time is None else {"seconds": delay * sampling_time}
    message = f"'{names[1]}' answers '{names[0]}' after about {delay} sample(s)"
    message += "".join(f", {one:.4g} s" for one in seconds.values())
    is_long = delay > 3
    advice = (
        "A long delay costs the model memory: `identify` takes it out where that helps; --delay states it."
        if is_long
        else "Nothing to do."
    )
    return note("delay", label, message, advice, samples=delay, **seconds)


def decay_lag(blocks: Sequence[Float[np.ndarray, "_"]]) -> int:
    """The first lag at which the autocorrelation falls below 1/e, or the length of the longest block."""
    longest = min(max(len(block) for block in blocks), _LONGEST)
    total = np.zeros(longest)
    for part in centre(blocks, _LONGEST):
        total[: len(part)] += cross_correlation(part, part, len(part) - 1)[len(part) - 1 :]
    below = np.flatnonzero(total < total[0] / np.e)
    return int(below[0]) if len(below) else longest


def check_oversampling(name: str, output: Blocks, inputs: Sequence[Blocks]) -> list[Finding]:
    """An output that hardly changes in 200 samples was sampled much too fast.

    A fast plant behind an input that is seldom moved looks slow as well; it is told apart by the changes of
    the output over 20 samples, which then die out at once.
    """
    decay = decay_lag(output)
    if decay <= SLOWEST_DECAY:
        return []
    driven = max(decay_lag(channel) for channel in inputs)
    changes = [block[20:] - block[:-20] for block in output if len(block) > 40]
    if decay < 2 * driven and changes and decay_lag(changes) <= 60:
        return []
    factor = max(2, round(decay / 20))
    message = f"'{name}' needs {decay} samples to change noticeably: the sampling time is too short"
    advice = f"Keep about every {factor}th sample (after a low-pass filter); training becomes faster."
    return [warning("oversampled", name, message, advice, decay=decay, factor=factor)]


def check_undersampling(names: tuple[str, str], source: Blocks, answer: Blocks) -> list[Finding]:
    """An output that has fully answered within two samples was sampled too slowly, or has no dynamics.

    Said only where chance could not hide a slower answer: what other inputs and noise do to the correlation
    shows at negative lags, at which the output cannot answer yet.
    """
    samples = sum(min(len(block), _LONGEST) for block in source)
    correlation = impulse_correlation(source, answer)
    delay = first_answer(correlation, samples)
    if samples < 4 * LAGS or delay is None or delay > LAGS - _TAIL:
        return []
    # Chance adds 1/samples to each squared value on average; without it noise would look like a tail.
    energy = correlation[LAGS + delay : LAGS + delay + _TAIL] ** 2 - 1.0 / samples
    share = float(energy[:2].sum() / energy.sum()) if energy.sum() > 0 else 0.0
    chance = max(1.0 / samples, float(np.mean(correlation[:LAGS] ** 2))) * np.sqrt(2.0 * _TAIL)
    if share < FASTEST_SHARE or 3.0 * chance > HIDDEN_SHARE * energy[:2].sum():
        return []
    label = f"{names[0]} -> {names[1]}"
    message = f"'{names[1]}' settles within two samples of a move of '{names[0]}'"
    advice = "Sample at least five times faster, unless the plant has no dynamics of interest."
    return [warning("undersampled", label, message, advice, share=min(share, 1.0))]
