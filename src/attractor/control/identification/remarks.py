"""What a user should know about a training before he looks at its metrics."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np

from attractor.cells import Linear, PolynomialNARX
from attractor.data import Record
from attractor.shown import in_words
from attractor.training import Trained

from .plant_network import PlantNetwork

_UNLIKE = 4.0
"""Times by which a validation part moves less or more than the training part."""
_MARGIN = 0.05
"""Share of the training range by which rows may leave it without a word."""
_OUTSIDE = 0.05
"""Share of validation rows outside the training range from which they are worth a word."""


def parameter_count(network: PlantNetwork) -> int:
    """Numbers that were learned: those of a fixed cell, such as a reservoir, are drawn and stay.

    A regression learns its weights; how a linear model reads its state off past rows follows from them.
    """
    inner = network.inner
    if isinstance(inner, PolynomialNARX):
        return inner.weights.size
    learned = (network.cell, network.readout) if isinstance(inner, Linear) else network
    numbers = eqx.filter(learned, eqx.is_inexact_array)
    return sum(0 if _is_fixed(part) else part.size for part in jax.tree.leaves(numbers, is_leaf=_is_fixed))


def _is_fixed(part: Any) -> bool:
    return getattr(type(part), "fixed", False) is True


def remarks(network: PlantNetwork, trained: Trained, training: Record, checking: Record) -> list[str]:
    """Warnings, a sentence each, with what to do.

    Args:
        network: that was trained.
        trained: how.
        training: the recordings that it learned from.
        checking: those that chose the weights.
    """
    said = [*_size(network, training), *_still_falling(trained), *_unlike(training, checking)]
    names = [training.outputs[index].name for index in drifting_outputs(network)]
    return [*said, *_drift(names), *_slower(network, training)]


def drifting_outputs(network: PlantNetwork) -> list[int]:
    """Outputs of a linear model that show a state which no input and no other state moves."""
    cell: Any = network.inner
    if not isinstance(cell, Linear) or network.readout is None:
        return []
    transition, gain = np.asarray(cell.transition), np.asarray(cell.input_weight)
    coupled = transition - np.diag(np.diag(transition))
    alone = ~(gain.any(axis=1) | coupled.any(axis=0) | coupled.any(axis=1))
    readout: Any = network.readout
    return np.flatnonzero(np.asarray(readout.weight)[:, alone].any(axis=1)).tolist()


def _drift(names: list[str]) -> list[str]:
    if not names:
        return []
    verb = "drifts" if len(names) == 1 else "drift"
    return [
        f"{in_words(names)} {verb} whatever the inputs do: a run begins where a drift stands and lets it die "
        "away, for nobody knows how it goes on; record what causes it, if that can be measured"
    ]


_SHOWN = 0.2
"""Of the rows of the longest recording: a time constant above that is hardly shown by it."""


def _slower(network: PlantNetwork, training: Record) -> list[str]:
    """Of a linear model that inputs drive by poles slower than the log can show."""
    cell: Any = network.inner
    if not isinstance(cell, Linear):
        return []
    rows = max(map(len, training.experiments))
    values, modes = np.linalg.eig(np.asarray(cell.transition, float))
    driven = np.abs(np.linalg.pinv(modes) @ np.asarray(cell.input_weight)).max(axis=1)
    slow = (np.abs(values) > np.exp(-1 / (_SHOWN * rows))) & (driven > _DRIVEN * driven.max())
    if not slow.any():
        return []
    pole = float(np.abs(values[slow]).max())
    return [
        f"an input acts through a pole of {pole:.5f}, which forgets more slowly than {rows} rows can show: "
        "the plant integrates, or a drift was taken for what inputs did. Its gain at rest is a guess: record "
        "a longer log, in which inputs rest and come back, before a controller relies on it"
    ]


_DRIVEN = 1e-6
"""Of the mode that inputs drive most: what is driven less is not driven."""


def _size(network: PlantNetwork, training: Record) -> list[str]:
    parameters, samples = parameter_count(network), training.samples * len(training.outputs)
    # A linear model was not trained: its encoder is a regression that reads its states off.
    if parameters <= samples or isinstance(network.inner, Linear):
        return []
    return [
        f"the model has {parameters} trained numbers for {samples} samples of outputs: it can learn them by "
        "heart; record more, or take fewer units (--hidden) or a shorter washout"
    ]


def _still_falling(trained: Trained) -> list[str]:
    if not trained.still_falling:
        return []
    steps = trained.history[-1]["step"]
    return [f"validation was still falling after {steps} updates: give it more of them (--steps {3 * steps})"]


def _unlike(training: Record, checking: Record) -> list[str]:
    """Signals of the validation part that look nothing like those of the training part."""
    if checking is training:
        return []
    found = []
    for side in ("inputs", "outputs"):
        learned, judged = (_joined(record, side) for record in (training, checking))
        for index, signal in enumerate(getattr(training, side)):
            reason = _difference(learned[:, index], judged[:, index])
            if reason:
                found.append(f"{signal.name} {reason}")
    if not found:
        return []
    return [
        f"the validation part looks nothing like the training part: {'; '.join(found)}. Weights were chosen "
        "for conditions that training hardly saw; choose other rows (--validation-rows), or record more"
    ]


def _difference(learned: np.ndarray, judged: np.ndarray) -> str:
    spread, other = float(learned.std()), float(judged.std())
    if other > _UNLIKE * spread or other * _UNLIKE < spread:
        return f"moves by {other:.3g} there (standard deviation), and by {spread:.3g} in training"
    margin = _MARGIN * float(np.ptp(learned))
    outside = float(np.mean((judged < learned.min() - margin) | (judged > learned.max() + margin)))
    if outside > _OUTSIDE:
        return f"is outside its training range in {100 * outside:.0f} % of the rows there"
    speed, own = _speed(judged), _speed(learned)
    if min(speed, own) > 0 and max(speed / own, own / speed) > _UNLIKE:
        times = max(speed / own, own / speed)
        return f"changes {times:.0f} times as {'fast' if speed > own else 'slowly'} there"
    return ""


def _speed(values: np.ndarray) -> float:
    """Change from row to row relative to the movement as a whole: a figure for the spectrum."""
    return float(np.diff(values).std() / values.std()) if values.std() > 0 else 0.0


def _joined(record: Record, side: str) -> np.ndarray:
    parts: Sequence[np.ndarray] = [getattr(one, side) for one in record.experiments]
    return np.concatenate(parts)
