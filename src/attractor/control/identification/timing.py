"""When an input acts: within its own row, a row later, or many rows later; found in the data and said."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from attractor.control.baselines import Recording
from attractor.data import Record, Signal
from attractor.data.delays import estimate_delays
from attractor.errors import ConfigError
from attractor.progress import Reporter
from attractor.settings import CountOrNone
from attractor.training.networks import fact

from .linear_start import find_linear_start
from .recordings import has_feedthrough
from .regressions import Start

Feedthrough = bool | Literal["shift"] | None
Delay = CountOrNone | tuple[CountOrNone, ...] | None
LONG = 3
"""Delays up to this many samples are left to the model to learn."""
_SLACK = 1
"""A found delay is shortened by this: an estimate may be one sample too long, and a model can wait itself."""
_NO_WORSE = 1.02
"""An error that is larger by less than this is no worse: a long model can learn a delay as well."""


@dataclass(frozen=True)
class Timing:
    """How inputs and outputs are lined up.

    Args:
        feedthrough: whether an input acts on the output of the same row inside of the network.
        shifted: whether the network is given the inputs one row early, so that an input that acts within its
            row precedes the output: the output of a row is then taken to be measured after its input acted.
        delays: samples by which every input is delayed on its way into the network; empty for none.
    """

    feedthrough: bool
    shifted: bool = False
    delays: tuple[int, ...] = ()

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "Timing":
        """From a card.

        Raises:
            KeyError: a fact is missing.
            ConfigError: one is of another kind.
        """
        if "timing" not in facts:  # a run of an earlier version
            return cls(fact(facts, "feedthrough", bool))
        table = facts["timing"]
        delays = fact(table, "delays", tuple[CountOrNone, ...])
        return cls(fact(table, "feedthrough", bool), fact(table, "shifted", bool), delays)

    @property
    def option(self) -> Feedthrough:
        """The option of `PlantModel` that gives this."""
        return "shift" if self.shifted else self.feedthrough

    def lined_up(self, inputs: Float[np.ndarray, "time inputs"]) -> Float[np.ndarray, "time inputs"]:
        """The inputs as the network takes them, row by row beside the outputs; delays are its own affair.

        After the last row of a shifted recording comes an input that nobody knows; it acts on no row of it.
        """
        return np.concatenate([inputs[1:], inputs[-1:]]) if self.shifted else inputs

    def in_words(self, inputs: Sequence[Signal]) -> list[str]:
        """What was found or asked for, a sentence each; nothing where all is as usual."""
        told = []
        if self.shifted:
            told.append(
                "an input acts on the output of its own row: inputs are shifted by one row, so that a "
                "controller can use the model; the output of a row is taken to be measured after its input "
                "has acted"
            )
        late = [(one.name, delay) for one, delay in zip(inputs, self.delays, strict=False) if delay]
        if late:
            names = ", ".join(f"{name} by {delay} samples" for name, delay in late)
            told.append(f"inputs are delayed before they act in the model: {names}")
        return told


def find_timing(
    training: Record,
    checking: Record,
    feedthrough: Feedthrough,
    delay: Delay,
    start: tuple[int, int],
    reporter: Reporter | None = None,
) -> Timing:
    """What the options say; what they leave open, from the data.

    Args:
        training: the recordings that the model learns from.
        checking: those that judge it.
        feedthrough: the option; None shifts where an input acts on the output of its row.
        delay: the option; None takes long delays from the data where they help a linear model.
        start: rows of a recording that do not count, and rows that the initial state is read from.
        reporter: hears about progress.

    Raises:
        ConfigError: not one delay for every input.
    """
    if feedthrough is None:
        direct = has_feedthrough(training)
        # A recording that starts at rest would lose the input of its first row by a shift.
        feedthrough = ("shift" if start[0] else True) if direct else False
    if feedthrough == "shift" and not start[0]:
        raise ConfigError(
            "feedthrough='shift' with initial_state='zero': the input of the first row would be lost; let "
            "the model read its state ('encoder'), or forget it ('washout')"
        )
    timing = Timing(feedthrough is True, feedthrough == "shift")
    if delay is None:
        delays = _found(training, checking, timing, start, reporter)
    else:
        delays = delay if isinstance(delay, tuple) else (delay,) * len(training.inputs)
        if len(delays) != len(training.inputs):
            raise ConfigError(
                f"delay={delay}: expected one number, or one for each of {len(training.inputs)} inputs"
            )
    return Timing(timing.feedthrough, timing.shifted, tuple(delays) if any(delays) else ())


def _found(
    training: Record, checking: Record, timing: Timing, start: tuple[int, int], reporter: Reporter | None
) -> tuple[int, ...]:
    """Delays that are long, and with which the best linear model simulates as well as without them."""
    delays = _long_delays(training, timing)
    if not any(delays):
        return ()
    learned, judged = (_standardised(record, training, timing) for record in (training, checking))
    begin = Start(timing.feedthrough, *start)
    found = [find_linear_start(learned, judged, begin, tried, reporter) for tried in ((), delays)]
    errors = [np.inf if one is None else one.error for one in found]
    return delays if errors[1] <= _NO_WORSE * errors[0] else ()


def _long_delays(record: Record, timing: Timing) -> tuple[int, ...]:
    """Samples to take out of each input: its shortest delay to any output, if that is long."""
    sources = [
        [timing.lined_up(one.inputs)[:, index] for one in record.experiments]
        for index in range(len(record.inputs))
    ]
    found = [
        estimate_delays(sources, [one.outputs[:, output] for one in record.experiments])
        for output in range(len(record.outputs))
    ]
    own = 0 if timing.feedthrough else 1
    shortest = [
        min((delay for delay in one if delay is not None), default=0) for one in zip(*found, strict=True)
    ]
    return tuple(delay - own - _SLACK if delay > LONG else 0 for delay in shortest)


def _standardised(record: Record, training: Record, timing: Timing) -> list[Recording]:
    inputs = np.concatenate([one.inputs for one in training.experiments])
    outputs = np.concatenate([one.outputs for one in training.experiments])
    pairs = []
    for one in record.experiments:
        u = (timing.lined_up(one.inputs) - inputs.mean(axis=0)) / inputs.std(axis=0)
        y = (one.outputs - outputs.mean(axis=0)) / outputs.std(axis=0)
        pairs.append((u, y))
    return pairs
