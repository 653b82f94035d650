"""What input and output together say about delay and sampling time."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from .finding import Finding, Severity
from .signal_checks import Blocks

LAGS = 60
"""Lags searched for the first answer of an output."""
ORDER = 10
"""Order of the autoregression that whitens the input."""
SLOWEST_DECAY = 200
"""A good step is a tenth of the rise time or so (Ljung, section 13.7); 200 samples waste twenty times that."""
FASTEST_SHARE = 0.995
"""Share of the answer's energy in two samples; a first-order plant gets there with a pole below 0.27."""
_LONGEST = 100_000


def cross_correlation(
    source: Float[np.ndarray, "samples"], answer: Float[np.ndarray, "samples"], lags: int
) -> Float[np.ndarray, "_"]:
    """Sums of source[t] answer[t + k] for k = -lags ... lags, shape (2 lags + 1,), by FFT."""
    from scipy.signal import correlate  # noqa: PLC0415

    full = correlate(answer, source, mode="full", method="fft")
    middle = len(source) - 1
    padded = np.pad(full, lags)
    return padded[middle : middle + 2 * lags + 1]


def whitening_filter(blocks: Blocks) -> Float[np.ndarray, "_"]:
    """The filter (1, -a1, ..., -a10) that makes the input white, by least squares (Yule-Walker)."""
    from scipy.linalg import solve  # noqa: PLC0415
    from scipy.linalg import toeplitz  # noqa: PLC0415

    covariance = sum(
        (cross_correlation(block, block, ORDER)[ORDER:] for block in blocks), np.zeros(ORDER + 1)
    )
    matrix = np.asarray(toeplitz(covariance[:-1])) + 1e-8 * covariance[0] * np.eye(ORDER)
    return np.concatenate(([1.0], -np.asarray(solve(matrix, covariance[1:]))))


def impulse_correlation(source: Blocks, answer: Blocks) -> Float[np.ndarray, "_"]:
    """Correlation of the whitened input with the output filtered alike, lags -60 ... 60.

    Its shape is that of the impulse response (Box and Jenkins, prewhitening); chance alone gives values of
    standard deviation one over the root of the number of samples.
    """
    centred = [block[:_LONGEST] - block[:_LONGEST].mean() for block in source]
    taps = whitening_filter(centred)
    total, energy = np.zeros(2 * LAGS + 1), np.zeros(2)
    for block, output in zip(centred, answer, strict=True):
        if len(block) <= 2 * ORDER:
            continue
        white = np.convolve(block, taps, mode="valid")
        filtered = np.convolve(output[:_LONGEST] - output[:_LONGEST].mean(), taps, mode="valid")
        total += cross_correlation(white, filtered, LAGS)
        energy += white @ white, filtered @ filtered
    return total / np.sqrt(energy[0] * energy[1]) if energy.all() else total


def estimate_delay(correlation: Float[np.ndarray, "_"], samples: int) -> int | None:
    """The first lag from 0 on at which the output answers; `None` if it does not.

    The threshold is four standard deviations of chance, or half as much again as anything at negative lags,
    where an output cannot answer yet and what is seen comes from imperfect whitening.
    """
    before, after = np.abs(correlation[:LAGS]), np.abs(correlation[LAGS:])
    threshold = max(4.0 / np.sqrt(samples), 1.5 * float(before.max()))
    answers = np.flatnonzero(after > threshold)
    return int(answers[0]) if len(answers) else None


def check_delay(
    names: tuple[str, str], source: Blocks, answer: Blocks, sampling_time: float
) -> list[Finding]:
    """How long an output waits before it answers an input, and whether it does at all."""
    samples = sum(min(len(block), _LONGEST) for block in source)
    if samples < 4 * LAGS:
        return []
    delay = estimate_delay(impulse_correlation(source, answer), samples)
    label = f"{names[0]} -> {names[1]}"
    if delay is None:
        message = f"'{names[1]}' does not visibly answer '{names[0]}' within {LAGS} samples"
        advice = (
            "Check that the right columns were chosen; a slow or noisy plant needs a larger or longer input."
        )
        return [Finding(Severity.WARNING, "no-response", label, message, advice, {"lags": LAGS})]
    seconds = delay * sampling_time
    message = f"'{names[1]}' answers '{names[0]}' after {delay} sample(s), {seconds:.4g} s"
    advice = (
        "A delay of more than a few samples costs the model memory: shift the input by it."
        if delay > 1
        else "Nothing to do."
    )
    return [Finding(Severity.NOTE, "delay", label, message, advice, {"samples": delay, "seconds": seconds})]


def decay_lag(blocks: Sequence[Float[np.ndarray, "_"]]) -> int:
    """The first lag at which the autocorrelation falls below 1/e, or the length of the longest block."""
    longest = min(max(len(block) for block in blocks), _LONGEST)
    total = np.zeros(longest)
    for block in blocks:
        part = block[:_LONGEST] - block[:_LONGEST].mean()
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
    advice = f"Keep about every {factor}th sample (after a low-pass filter); training becomes faster and better posed."
    return [
        Finding(Severity.WARNING, "oversampled", name, message, advice, {"decay": decay, "factor": factor})
    ]


def check_undersampling(names: tuple[str, str], source: Blocks, answer: Blocks) -> list[Finding]:
    """An output that has fully answered within two samples was sampled too slowly, or has no dynamics."""
    samples = sum(min(len(block), _LONGEST) for block in source)
    correlation = impulse_correlation(source, answer)
    delay = estimate_delay(correlation, samples)
    if samples < 4 * LAGS or delay is None or delay > LAGS - 30:
        return []
    # Chance adds 1/samples to each squared value on average; without it noise would look like a tail.
    energy = correlation[LAGS + delay : LAGS + delay + 30] ** 2 - 1.0 / samples
    share = float(energy[:2].sum() / energy.sum()) if energy.sum() > 0 else 0.0
    if share < FASTEST_SHARE:
        return []
    label = f"{names[0]} -> {names[1]}"
    message = f"'{names[1]}' settles within two samples of a move of '{names[0]}'"
    advice = "Sample at least five times faster if the plant has dynamics of interest; otherwise a static curve will do."
    return [Finding(Severity.WARNING, "undersampled", label, message, advice, {"share": min(share, 1.0)})]
