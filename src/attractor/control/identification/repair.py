"""Repair: from a trained model that nothing is proved of to a certified one close to it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from attractor.progress import Reporter

from .plant_model import PlantModel


def repair(
    model: PlantModel,
    record: Any,
    *,
    validation: Any = None,
    steps: int = 2000,
    folder: Path | None = None,
    reporter: Reporter | None = None,
) -> PlantModel:
    """A certified model that starts from the weights of a trained one.

    The weights of the cell are first moved into the set of contracting cells by projections of the linearised
    bound, which changes them little; a training with the bound as a penalty then takes back what that cost.

    Args:
        model: a fitted model.
        record: the data that it was trained on (a `Record`, or a pair of inputs and outputs).
        validation: data for the choice of the best weights; None keeps the last part of the recordings.
        steps: updates of the training.
        folder: for log and checkpoints.
        reporter: hears about progress.

    Returns:
        A new model; ask its `certify`.

    Raises:
        NotFittedError: there is no model yet.
    """
    start = model.network()
    options = model.get_params(deep=False)
    settings = replace(model.training, steps=steps, seeds=1, refine=0)
    # The structure was decided by the first training, also where that was left to the data.
    options |= {"certified": True, "training": settings, "feedthrough": model.feedthrough_}
    fresh = PlantModel(**options)
    pair = record if isinstance(record, tuple) else (record, None)
    return fresh.fit(*pair, validation=validation, start=start, folder=folder, reporter=reporter)
