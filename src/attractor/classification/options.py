"""Options of a classifier: whether they make sense, and what identifies a training."""

from math import inf
from typing import Any

from attractor.data import MISSING, Sequences
from attractor.errors import ConfigError
from attractor.training import Reweighting, label_loss
from attractor.training.describing import describe_option, describe_program
from attractor.training.fingerprint import fingerprint

from .examples import NOISE_FORMS
from .sequence_network import POOLINGS

KEEPS = ("best", "last")


def check_options(model: Any) -> None:
    """Refuse options outside their range.

    Raises:
        ConfigError: names the option, its value and what was expected.
    """
    for name in ("hidden_size", "layers", "epochs", "batch_size", "seeds"):
        _check(model, name, getattr(model, name) >= 1, "at least 1")
    for name in ("noise", "multiplicative_noise", "weight_decay"):
        _check(model, name, 0 <= getattr(model, name) < inf, "at least 0")
    for name in ("dropout", "input_dropout", "validation_share", "coteaching"):
        _check(model, name, 0 <= getattr(model, name) < 1, "a share of at least 0 and below 1")
    _check(model, "annealing", 0 <= model.annealing <= 1, "a share between 0 and 1")
    _check(model, "learning_rate", 0 < model.learning_rate < inf, "a positive number")
    _check(model, "seed", 0 <= model.seed < 2**31, "a whole number from 0 to 2147483647")
    choices = {"pooling": POOLINGS, "missing": MISSING, "keep": KEEPS, "noise_form": NOISE_FORMS}
    for name, known in choices.items():
        _check(model, name, getattr(model, name) in known, f"one of {', '.join(known)}")
    if model.noise_form != "injection":
        _check_expected_noise(model)
    label_loss(model.loss)
    weighted = model.reweighting in (None, "auto") or isinstance(model.reweighting, Reweighting)
    _check(model, "reweighting", weighted, 'None, "auto" or a Reweighting')


def _check_expected_noise(model: Any) -> None:
    """Noise as a term of the loss needs a level, the last state, and a loss that keeps nothing."""
    if not (model.noise or model.multiplicative_noise):
        message = f"noise_form={model.noise_form!r} without noise: set noise or multiplicative_noise"
        raise ConfigError(message)
    good = model.pooling == "last" and not (model.dropout or model.input_dropout)
    if not good or label_loss(model.loss).start(1, 2) is not None:
        message = (
            f"noise_form={model.noise_form!r} works with pooling='last', without dropout, and with a loss "
            "that keeps nothing about its cases"
        )
        raise ConfigError(message)


def _check(model: Any, name: str, good: bool, expected: str) -> None:
    if not good:
        message = f"{name}={getattr(model, name)!r}: expected {expected}"
        raise ConfigError(message)


def fingerprint_of(model: Any, task: Any, training: Sequences, checking: Sequences | None) -> str:
    """Identifies a training, so that a checkpoint is resumed by the one that wrote it only.

    Args:
        model: with its options and its structure.
        task: that is trained.
        training: cases to learn from.
        checking: cases for validation; None for none.
    """
    options = model.get_params()
    own = {} if isinstance(model.loss, str) else {"loss": model.loss}
    return fingerprint(
        options={name: describe_option(value) for name, value in options.items()},
        own=own,
        program=describe_program(model.plan_, model.plan_.channels) if callable(model.cell) else None,
        classes=model.classes_,
        training=_seen(training),
        validation=None if checking is None else _seen(checking),
        task=task,
    )


def _seen(data: Sequences) -> list[Any]:
    return [data.names, data.values, data.lengths, data.labels]
