"""Which recordings train, which choose, and which judge."""

from dataclasses import dataclass

from attractor.errors import InputDataError

from .record import Experiment, Record
from .splits import hold_out

_PREFIXES = {"training": ("train", "est"), "validation": ("val",), "test": ("test",)}


@dataclass(frozen=True)
class Roles:
    """A data set by what each part is for; test recordings are looked at once, at the end.

    Args:
        training: fits the weights.
        validation: chooses among them.
        test: judges the choice.
        explanation: how the parts were chosen, in a sentence.
    """

    training: Record
    validation: Record
    test: Record
    explanation: str = ""


def assign_roles(
    record: Record, test: Record | None = None, *, share: float = 0.2, validation_share: float = 0.2
) -> Roles:
    """Give every recording a role: by the names of experiments where they say so, else by blocks in time.

    Experiments called train..., val... and test... are taken at their word. Without such names the last
    part of what there is becomes test data (unless `test` is given), and the last part of the rest
    validation data; never single samples, because neighbours in time are nearly the same.

    Args:
        record: the data.
        test: test data that came separately.
        share: part of the data for the test.
        validation_share: part of the rest for validation; 0 lets everything train.

    Raises:
        InputDataError: experiments are named by role, but none is for training.
    """
    named = {role: _called(record, prefixes) for role, prefixes in _PREFIXES.items()}
    if not (named["validation"] or named["test"]):
        return _by_blocks(record, test, share, validation_share)
    if not named["training"]:
        names = ", ".join(experiment.name for experiment in record.experiments)
        message = f"no experiment is called train..., only {names}; rename one, or give --test separately"
        raise InputDataError(message)
    training, sentence = (
        record.with_experiments(named["training"]),
        "Experiments were used as they are named.",
    )
    if test is None and named["test"]:
        test = record.with_experiments(named["test"])
    if not named["validation"]:
        return _by_blocks(training, test, share, validation_share)
    if test is None:
        split = hold_out(training, share)
        training, test, sentence = split.training, split.validation, f"Test: {split.description}"
    return Roles(training, record.with_experiments(named["validation"]), test, sentence)


def _by_blocks(record: Record, test: Record | None, share: float, validation_share: float) -> Roles:
    sentences = []
    if test is None:
        split = hold_out(record, share)
        record, test = split.training, split.validation
        sentences.append(f"Test: {split.description}")
    if validation_share == 0:
        sentences.append("Validation: none, all of the rest trains.")
        return Roles(record, record.with_experiments(()), test, " ".join(sentences))
    split = hold_out(record, validation_share)
    sentences.append(f"Validation: {split.description}")
    return Roles(split.training, split.validation, test, " ".join(sentences))


def _called(record: Record, prefixes: tuple[str, ...]) -> list[Experiment]:
    return [one for one in record.experiments if one.name.lower().startswith(prefixes)]
