"""Records whose truth is known."""

import numpy as np

from attractor.data import Experiment, Record, Signal


def held_noise(samples, hold, seed):
    """Random levels between -1 and 1, each held for `hold` samples."""
    levels = np.random.default_rng(seed).uniform(-1, 1, samples // hold + 1)
    return np.repeat(levels, hold)[:samples]


def first_order(source, pole, delay=1, noise=0.01, seed=1):
    """y[t] = pole y[t-1] + (1 - pole) u[t - delay], with measurement noise."""
    answer = np.zeros(len(source))
    for t in range(1, len(source)):
        answer[t] = pole * answer[t - 1] + (1 - pole) * (source[t - delay] if t >= delay else 0.0)
    return answer + noise * np.random.default_rng(seed).normal(size=len(source))


def record_of(inputs, outputs, sampling_time=1.0):
    """A record of one experiment from lists of channels."""
    return Record(
        tuple(Signal(f"u{k}") for k in range(1, len(inputs) + 1)),
        tuple(Signal(f"y{k}") for k in range(1, len(outputs) + 1)),
        (Experiment("one", np.column_stack(inputs), np.column_stack(outputs)),),
        sampling_time,
    )
