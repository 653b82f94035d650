"""A `PlantModel` in a run folder, and back."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

from attractor.data import Scaling, Signal
from attractor.errors import RunFolderError
from attractor.program import single_precision
from attractor.runs import Run, load_run
from attractor.training import TrainingSettings
from attractor.training.checkpoint import from_arrays, save_finished, to_arrays
from attractor.training.describing import describe_option, find_cell

from .estimator import PlantModel
from .recordings import Signals

KIND = "PlantModel"
CHECKPOINTS = ("checkpoint.safetensors", "refinement.safetensors")


def save_model(
    model: PlantModel,
    folder: Path,
    *,
    card: Mapping[str, Any] | None = None,
    evaluation: Mapping[str, np.ndarray] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a fitted model; `card` and `evaluation` add what a report needs.

    Raises:
        RunFolderError: the folder holds a finished run and `overwrite` is off, or another training has its
            checkpoint there.
        StorageError: another process works in the folder, or it cannot be written.
    """
    model.network()
    content = {
        "kind": KIND,
        "options": {name: describe_option(value) for name, value in model.get_params(deep=False).items()},
        "signals": asdict(model.signals_),
        "scaling": {"inputs": model.input_scaling_.to_dict(), "outputs": model.output_scaling_.to_dict()},
        "members": len(jax.tree.leaves(eqx.filter(model.members_, eqx.is_array))[0]),
        "member": model.member_,
        "flat_output": model.flat_output_,
        "feedthrough": model.feedthrough_,
        "fingerprint": model.fingerprint_,
        **(card or {}),
    }
    run = Run(content, to_arrays(model.members_), dict(evaluation or {}))
    save_finished(folder, run, CHECKPOINTS, model.fingerprint_, overwrite=overwrite)


@single_precision()
def load_model(kind: type[PlantModel], folder: Path, cell: Callable[..., Any] | None) -> Any:
    """Read a fitted model.

    Raises:
        RunFolderError: the folder holds something else, or a cell that must be handed in.
    """
    run = load_run(folder)
    card = run.card
    if card.get("kind") != KIND:
        message = f"{folder} holds {card.get('kind')!r}, not a {KIND}"
        raise RunFolderError(message)
    try:
        model = _from_card(kind, card, cell)
    except RunFolderError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as problem:
        message = f"{folder / 'card.json'} lacks a fact or holds a wrong one: {problem}"
        raise RunFolderError(message) from problem
    keys = jax.random.split(jax.random.key(0), card["members"])
    model.members_ = from_arrays(eqx.filter_vmap(model.plan_)(keys), run.weights, str(folder))
    return model


def _from_card(
    kind: type[PlantModel], card: Mapping[str, Any], cell: Callable[..., Any] | None
) -> PlantModel:
    options = dict(card["options"])
    options["cell"] = find_cell(options["cell"], cell, KIND)
    options["training"] = TrainingSettings(**options["training"])
    model = kind(**options)
    signals = card["signals"]
    model.signals_ = Signals(
        tuple(Signal(**one) for one in signals["inputs"]),
        tuple(Signal(**one) for one in signals["outputs"]),
        signals["sampling_time"],
    )
    model.input_scaling_ = Scaling.from_dict(card["scaling"]["inputs"])
    model.output_scaling_ = Scaling.from_dict(card["scaling"]["outputs"])
    model.member_, model.flat_output_ = card["member"], card["flat_output"]
    model.feedthrough_ = card["feedthrough"]
    model.fingerprint_ = card.get("fingerprint", "")
    model.plan_ = model.make_plan()
    return model
