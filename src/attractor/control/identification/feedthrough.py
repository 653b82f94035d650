"""Decide from data whether an input acts on the output of the same sample."""

import numpy as np

from attractor.data import Record

ORDER = 4
_ROUNDING = 1e-10
"""What a regression leaves of signals of unit variance by rounding; noise-free data go down to it."""
_CRITICAL = 10.0
"""F value far beyond chance (1e-3 is near 11 for one input, less for several): only a clear effect counts."""


def has_feedthrough(record: Record) -> bool:
    """Whether u_k helps to explain y_k beyond the past of both.

    Two linear autoregressions of order 4 are fitted by least squares, with and without u_k; the F statistic
    of the difference decides, for the output where it is largest (Ljung 1999, section 16.4). The effect must
    also remove a hundredth of what the past leaves unexplained, so that long records do not turn a trifle
    into a direct path.
    """
    past, now, answers = _regressors(record)
    if len(answers) <= past.shape[1] + now.shape[1] + 1:
        return False
    without = _left_over(past, answers)
    together = _left_over(np.hstack([past, now]), answers)
    gain = (without - together) / (together + _ROUNDING * len(answers))
    freedom = len(answers) - past.shape[1] - now.shape[1]
    return bool(np.any((gain * freedom / now.shape[1] > _CRITICAL) & (gain > 0.01)))


def _regressors(record: Record) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Past of inputs and outputs (with a constant), present inputs, present outputs; standardised."""
    past, now, answers = [], [], []
    answered = _standardised([one.outputs for one in record.experiments])
    applied = _standardised([one.inputs for one in record.experiments])
    for one, inputs, outputs in zip(record.experiments, applied, answered, strict=True):
        rows = len(one) - ORDER
        if rows < 1:
            continue
        lags = [signal[lag : lag + rows] for lag in range(ORDER) for signal in (outputs, inputs)]
        past.append(np.hstack([np.ones((rows, 1)), *lags]))
        now.append(inputs[ORDER:])
        answers.append(outputs[ORDER:])
    if not answers:
        return np.empty((0, 1)), np.empty((0, 1)), np.empty((0, 1))
    return np.concatenate(past), np.concatenate(now), np.concatenate(answers)


def _standardised(recordings: list[np.ndarray]) -> list[np.ndarray]:
    """Every signal with mean zero and unit variance over all recordings; zero where it does not vary."""
    whole = np.concatenate(recordings)
    deviation = whole.std(axis=0)
    scale = np.where(deviation > 0, deviation, 1.0)
    return [(one - whole.mean(axis=0)) / scale for one in recordings]


def _left_over(regressors: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Sum of squared residuals of every output."""
    weights, *_ = np.linalg.lstsq(regressors, answers, rcond=None)
    return np.sum((answers - regressors @ weights) ** 2, axis=0)
