"""Whether the inputs move enough, and independently enough, to show what the plant does."""

import numpy as np
from jaxtyping import Float

from .finding import Finding, Severity
from .record import Record
from .scaling import is_constant
from .signal_checks import Blocks, centre, count_levels

FEWEST_LEVELS = 5
"""A curve through the steady states needs five points before its bend can be told from its slope."""
FEWEST_MOVES = 10
"""Each move shows the dynamics once; with fewer, noise and disturbances do not average out."""
LEAST_COVERAGE = 0.5
"""At least half of ten equal parts of the range are visited."""
LEAST_ORDER = 6
"""A linear plant of order n has 2n parameters and needs excitation of order 2n; 6 serves n = 3."""
LAGS = 30
"""Lags of the autocovariance whose rank is the order of excitation."""
COLLINEAR = 0.02
"""Smallest eigenvalue of the inputs' correlation matrix; for two inputs it is one minus |correlation|."""
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
    return [Finding(Severity.WARNING, "few-levels", name, message, advice, {"levels": levels})]


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
    return [Finding(Severity.WARNING, "few-moves", name, message, advice, {"moves": moves})]


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
    return [Finding(Severity.WARNING, "narrow-coverage", name, message, advice, {"coverage": coverage})]


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
    return [Finding(Severity.WARNING, "poor-excitation", name, message, advice, {"order": order})]


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
    numbers = {"eigenvalue": float(eigenvalues[0])}
    return [Finding(Severity.WARNING, "collinear", label, message, advice, numbers)]
