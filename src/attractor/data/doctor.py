"""The data doctor: looks at a record before any model does, and says what will go wrong."""

from itertools import product

import numpy as np
from jaxtyping import Float

from .dynamics_checks import check_delay, check_oversampling, check_undersampling
from .finding import BEYOND_SHARE, Finding, Severity, by_severity, error, share_outside, warning
from .record import Record, Signal
from .signal_checks import (
    Blocks,
    check_collinear,
    check_constant,
    check_drift,
    check_excitation,
    check_outliers,
    check_quantisation,
    check_saturation,
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
    findings = []
    for (signal, known), (_, values) in zip(all_channels(training), all_channels(test), strict=True):
        share = share_outside(known, values)
        if share > BEYOND_SHARE:
            findings.append(_out_of_range(signal, known, test.experiments[0].name, share))
    return findings


def _out_of_range(signal: Signal, known: Float[np.ndarray, "_"], where: str, share: float) -> Finding:
    message = (
        f"in '{where}' {share:.1%} of the samples of '{signal.name}' lie outside the range "
        f"{known.min():g} to {known.max():g} of the other data"
    )
    advice = (
        "Train on data that cover this range, or do not judge the model there: it would have to extrapolate."
    )
    return warning("range-mismatch", signal.name, message, advice, share=share)


def examine(record: Record) -> list[Finding]:
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
        return broken
    inputs = [
        (signal.name, _blocks(record, "inputs", position)) for position, signal in enumerate(record.inputs)
    ]
    outputs = [
        (signal.name, _blocks(record, "outputs", position)) for position, signal in enumerate(record.outputs)
    ]
    constant = [finding for name, blocks in inputs + outputs for finding in check_constant(name, blocks)]
    still = {finding.signal for finding in constant}
    moving_inputs = [(name, blocks) for name, blocks in inputs if name not in still]
    moving_outputs = [(name, blocks) for name, blocks in outputs if name not in still]
    findings = [*constant, *check_length(record), *check_ranges(record), *check_collinear(record)]
    for name, blocks in moving_inputs:
        findings += examine_input(name, blocks)
    for name, blocks in moving_outputs:
        findings += examine_output(name, blocks, [channel for _, channel in moving_inputs])
    for (source, cause), (answer, effect) in product(moving_inputs, moving_outputs):
        findings += check_delay((source, answer), cause, effect, record.sampling_time)
        findings += check_undersampling((source, answer), cause, effect)
    return by_severity(findings)


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
    return findings + (check_oversampling(name, blocks, inputs) if inputs else [])


def _blocks(record: Record, side: str, position: int) -> Blocks:
    return [np.asarray(getattr(experiment, side)[:, position]) for experiment in record.experiments]
