"""A `SequenceClassifier` in a run folder, and back."""

from collections.abc import Callable, Mapping
from math import inf
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float

from attractor.data import Scaling, channel_blocks
from attractor.errors import RunFolderError
from attractor.folders import facts_of
from attractor.origin import Origin
from attractor.program import single_precision
from attractor.program.digest import equation_digest
from attractor.runs import Run, load_run, weights_digest
from attractor.training import LOSSES, Reweighting
from attractor.training.checkpoint import CHECKPOINT, save_finished, to_arrays
from attractor.training.describing import describe_option, find_cell
from attractor.training.identity import check_equation, check_rebuilds, describe_equation, probe_rows
from attractor.training.restoring import check_scaling, check_sizes, fact, restored, texts

from .classifier import SequenceClassifier
from .options import check_options
from .sequence_network import SequenceNetwork
from .suspects import TrainingDiary

KIND = "SequenceClassifier"
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
        ConfigError: the cell draws something while it is built that a folder does not keep.
        RunFolderError: the folder holds a finished run and `overwrite` is off, or another training has its
            checkpoint there.
        StorageError: another process works in the folder, or it cannot be written.
    """
    model.network()
    check_kept(model)
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
    model.origin = save_finished(folder, run, (CHECKPOINT,), model.fingerprint_, overwrite=overwrite)


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
    with facts_of(folder / "card.json"):
        check_sizes({**run.card["options"], **run.card}, run.weights)
        model = _from_run(kind, run, cell)
        model.members_ = restored(model.plan_, run.card["members"], run.weights, folder)
        check_equation(folder, run.card, classifier_equation(model))
    model.origin = run.origin
    return model


def classifier_equation(model: SequenceClassifier) -> dict[str, Any]:
    """What a card keeps of the equation of a fitted classifier, see `describe_equation`."""
    return describe_equation(_once, model.network(), _probe_data(model), model.cell)


def classifier_origin(model: SequenceClassifier) -> Origin:
    """Weights and equation of a fitted classifier, as its run folder has them or would have them."""
    equation = equation_digest(_once, model.network(), *_probe_data(model))
    return Origin(weights_digest(to_arrays(model.members_)), equation)


def check_kept(model: SequenceClassifier) -> None:
    """Refuse a cell that a run folder could not give back, see `check_rebuilds`.

    Raises:
        ConfigError: it is one.
    """
    check_rebuilds(_once, model.plan_, lambda _: _probe_data(model), model.cell)


def _probe_data(model: SequenceClassifier) -> tuple[Array]:
    """One sample, as the network takes it."""
    channels = channel_blocks(model.missing) * len(model.names_)
    return (probe_rows(1, channels)[0],)


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
    check_options(model)
    model.names_, model.training_ids_ = texts(card, "names"), texts(card, "training_ids")
    model.classes_ = _classes(card["classes"])
    model.scaling_ = Scaling.from_dict(card["scaling"])
    check_scaling(model.scaling_, len(model.names_))
    model.member_, model.temperature_ = fact(card, "member", int), fact(card, "temperature", float)
    if not 0 < model.temperature_ < inf:
        message = f"temperature {model.temperature_}: expected a positive number"
        raise ValueError(message)
    model.fingerprint_ = fact(card, "fingerprint", str)
    model.plan_ = model.make_plan()
    model.diary_ = _diary(run, len(model.training_ids_))
    return model


def _classes(values: Any) -> np.ndarray:
    classes = np.array(values)
    if not isinstance(values, list) or classes.ndim != 1 or classes.dtype.kind not in "biufU":
        message = f"classes {str(values)[:80]}: expected a list of texts or of numbers"
        raise ValueError(message)
    return classes


def _diary(run: Run, cases: int) -> TrainingDiary:
    """What was noted of the training cases, one row each."""
    parts = {
        name.removeprefix(_DIARY): value for name, value in run.evaluation.items() if name.startswith(_DIARY)
    }
    diary = TrainingDiary(**{**parts, "scores": parts["scores"].astype(np.float32)})
    classes = len(run.card["classes"])
    found = diary.scores.shape[1:], diary.weights.shape, diary.labels.shape, diary.logits.shape
    if found != ((cases,), (cases,), (cases,), (cases, classes)) or diary.labels.dtype.kind not in "iu":
        message = f"notes about cases of shapes {found}, expected {cases} cases and {classes} classes"
        raise ValueError(message)
    return diary
