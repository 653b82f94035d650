"""A `SequenceClassifier` in a run folder, and back."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float

from attractor.data import Scaling, channel_blocks
from attractor.errors import RunFolderError
from attractor.program import single_precision
from attractor.runs import Run, load_run
from attractor.training import LOSSES, Reweighting
from attractor.training.checkpoint import from_arrays, save_finished, to_arrays
from attractor.training.describing import describe_option, find_cell
from attractor.training.identity import check_equation, describe_equation, probe_rows

from .estimator import SequenceClassifier
from .network import SequenceNetwork
from .suspects import TrainingDiary

KIND = "SequenceClassifier"
CHECKPOINT = "checkpoint.safetensors"
_DIARY = "diary."


def save_classifier(
    model: SequenceClassifier,
    folder: Path,
    *,
    card: Mapping[str, Any] | None = None,
    evaluation: Mapping[str, np.ndarray] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a fitted classifier; `card` and `evaluation` add what a report needs.

    Raises:
        RunFolderError: the folder holds a finished run and `overwrite` is off, or another training has its
            checkpoint there.
        StorageError: another process works in the folder, or it cannot be written.
    """
    model.network()
    content = {
        "kind": KIND,
        "options": _options(model),
        "names": list(model.names_),
        "classes": model.classes_.tolist(),
        "training_ids": list(model.training_ids_),
        "scaling": model.scaling_.to_dict(),
        "members": len(jax.tree.leaves(eqx.filter(model.members_, eqx.is_array))[0]),
        "member": model.member_,
        "temperature": model.temperature_,
        "fingerprint": model.fingerprint_,
        **(card or {}),
        "equation": classifier_equation(model),
    }
    diary = {_DIARY + name: value for name, value in vars(model.diary_).items()}
    diary[_DIARY + "scores"] = diary[_DIARY + "scores"].astype(np.float16)
    run = Run(content, to_arrays(model.members_), {**diary, **(evaluation or {})})
    model.origin_ = save_finished(folder, run, (CHECKPOINT,), model.fingerprint_, overwrite=overwrite)


@single_precision()
def load_classifier(
    kind: type[SequenceClassifier], folder: Path, cell: Callable[..., Any] | None
) -> SequenceClassifier:
    """Read a fitted classifier.

    Raises:
        RunFolderError: the folder holds something else, or a cell that must be handed in.
    """
    run = load_run(folder)
    if run.card.get("kind") != KIND:
        message = f"{folder} holds {run.card.get('kind')!r}, not a {KIND}"
        raise RunFolderError(message)
    try:
        model = _from_run(kind, run, cell)
    except RunFolderError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as problem:
        message = f"{folder / 'card.json'} lacks a fact or holds a wrong one: {problem}"
        raise RunFolderError(message) from problem
    keys = jax.random.split(jax.random.key(0), run.card["members"])
    model.members_ = from_arrays(eqx.filter_vmap(model.plan_)(keys), run.weights, str(folder))
    check_equation(folder, run.card, classifier_equation(model))
    model.origin_ = run.origin
    return model


def classifier_equation(model: SequenceClassifier) -> dict[str, Any]:
    """What a card keeps of the equation of a fitted classifier, see `describe_equation`."""
    channels = channel_blocks(model.missing) * len(model.names_)
    return describe_equation(_once, model.network(), (probe_rows(1, channels)[0],), model.cell)


def _once(network: SequenceNetwork, row: Float[Array, " channels"]) -> Any:
    """Everything that a prediction hangs on: start, one step, logits."""
    stream = network.start()
    return stream, network.step(row, stream)


def _options(model: SequenceClassifier) -> dict[str, Any]:
    """Options as plain JSON; a loss of the user's own is only named, it matters in training alone."""
    options = {name: describe_option(value) for name, value in model.get_params().items()}
    if not isinstance(model.loss, str):
        options["loss"] = type(model.loss).__name__
    return options


def _from_run(
    kind: type[SequenceClassifier], run: Run, cell: Callable[..., Any] | None
) -> SequenceClassifier:
    card, options = run.card, dict(run.card["options"])
    options["cell"] = find_cell(options["cell"], cell, KIND)
    if isinstance(options["reweighting"], dict):
        options["reweighting"] = Reweighting(**options["reweighting"])
    if options["loss"] not in LOSSES:
        options["loss"] = "cross-entropy"
    model = kind(**options)
    model.names_, model.training_ids_ = tuple(card["names"]), tuple(card["training_ids"])
    model.classes_ = np.array(card["classes"])
    model.scaling_ = Scaling.from_dict(card["scaling"])
    model.member_, model.temperature_ = card["member"], card["temperature"]
    model.fingerprint_ = card["fingerprint"]
    model.plan_ = model.make_plan()
    parts = {
        name.removeprefix(_DIARY): value for name, value in run.evaluation.items() if name.startswith(_DIARY)
    }
    model.diary_ = TrainingDiary(**{**parts, "scores": parts["scores"].astype(np.float32)})
    return model
