"""The data doctor: looks at a record before any model does, and says what will go wrong."""

from itertools import product

import numpy as np

from .dynamics_checks import check_delay, check_oversampling, check_undersampling
from .excitation_checks import check_collinear, check_excitation
from .finding import Finding, Severity
from .record import Record
from .record_checks import check_finite, check_length, check_ranges
from .signal_checks import (
    Blocks,
    check_constant,
    check_drift,
    check_outliers,
    check_quantisation,
    check_saturation,
)

_ORDER = (Severity.ERROR, Severity.WARNING, Severity.NOTE)


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
    inputs = [(signal.name, _blocks(record, "inputs", place)) for place, signal in enumerate(record.inputs)]
    outputs = [
        (signal.name, _blocks(record, "outputs", place)) for place, signal in enumerate(record.outputs)
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
    return sorted(findings, key=lambda finding: _ORDER.index(finding.severity))


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


def _blocks(record: Record, side: str, place: int) -> Blocks:
    return [np.asarray(getattr(experiment, side)[:, place]) for experiment in record.experiments]
