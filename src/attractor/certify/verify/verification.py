"""What was asked of a trained model about a set of inputs, and what was found: tube, bands, the answer."""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
from jaxtyping import Float

from attractor.errors import ConfigError
from attractor.report.drawn import Drawn
from attractor.report.publishing import PAGES, PageKind
from attractor.shown import Rows, Shown, counted

from .for_ever import ForEver
from .proof import Answer, Proof
from .tube import Tube

_BAND = re.compile(r"\s*(?P<name>.+?)\s+in\s+(?P<low>[^:\s]*)\s*:\s*(?P<high>[^:\s]*)\s*")


@dataclass(frozen=True)
class OutputBand:
    """Where an output must stay.

    Args:
        output: its position.
        name: what it is called.
        low: the lower end, itself allowed; minus infinity for none.
        high: the upper end; infinity for none.
    """

    output: int
    name: str
    low: float
    high: float

    def __str__(self) -> str:
        """The band in words."""
        if np.isneginf(self.low):
            return f"{self.name} is at most {self.high:g}"
        if np.isposinf(self.high):
            return f"{self.name} is at least {self.low:g}"
        return f"{self.name} stays between {self.low:g} and {self.high:g}"


def output_band(text: str, names: tuple[str, ...]) -> OutputBand:
    """The band that a text such as "pH in 5.5:8.5" asks for; an end that is left out is none.

    Args:
        text: name, "in", both ends with a colon between.
        names: of the outputs.

    Raises:
        ConfigError: it is no such text, the output is not known, or the band is empty.

    Example:
        >>> str(output_band("pH in :8.5", ("pH",)))
        'pH is at most 8.5'
    """
    found = _BAND.fullmatch(text)
    if found is None:
        raise ConfigError(f'"{text}" says no band; write "NAME in LOW:HIGH", such as "{names[0]} in 5.5:8.5"')
    name = found["name"]
    if name not in names:
        near = get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(names)}"
        raise ConfigError(f'"{text}": the model has no output {name!r}; {hint}')
    low, high = (_end(found[side], text, default) for side, default in (("low", -np.inf), ("high", np.inf)))
    if np.isinf(low) and np.isinf(high):
        raise ConfigError(f'"{text}": the band has no end; give a lower one, an upper one, or both')
    if low > high:
        raise ConfigError(f'"{text}": the lower end {low:g} is above the upper one {high:g}; swap them')
    return OutputBand(names.index(name), name, low, high)


def _end(text: str, whole: str, default: float) -> float:
    if not text:
        return default
    try:
        value = float(text)
    except ValueError as problem:
        raise ConfigError(f'"{whole}": {text!r} is no number') from problem
    if not np.isfinite(value):
        raise ConfigError(f'"{whole}": an end is a finite number; leave it out for none')
    return value


@dataclass(frozen=True, eq=False)
class Counterexample(Shown):
    """Inputs of the set under which a property does not hold, and what they do.

    Args:
        inputs: in the units of the data.
        outputs: likewise.
        step: where it first leaves a band, counted from 0.
        band: which band.
    """

    inputs: Float[np.ndarray, "steps channels"]
    outputs: Float[np.ndarray, "steps outputs"]
    step: int
    band: OutputBand


@dataclass(frozen=True, eq=False)
class Verification(
    Drawn,
    picture="attractor.certify.verify.verify_figures:draw_verification",
    next_call=".plot(), .tube, .proof, .counterexample",
):
    """What is known of a trained model on inputs near a nominal series.

    Args:
        tube: in the units of the data.
        bands: that were asked about; empty if only the tube was.
        proof: the answer about them; None if nothing was asked.
        counterexample: where they are violated; None if no such input is known.
        inputs_in_words: the set of inputs, in a sentence.
        source: where the nominal inputs come from.
        units: of the outputs, then of the inputs.
        sampling_time: seconds of a step; None if that is only assumed.
        for_ever: the bands for all time, in the units of the data; None if only a horizon was asked about.
    """

    tube: Tube
    bands: tuple[OutputBand, ...]
    proof: Proof | None
    counterexample: Counterexample | None
    inputs_in_words: str
    source: str
    units: tuple[str, ...]
    sampling_time: float | None
    for_ever: ForEver | None = None

    @property
    def property_in_words(self) -> str:
        """What was asked; empty if nothing was."""
        return f"{' and '.join(map(str, self.bands))} {self.how_long}" if self.bands else ""

    @property
    def how_long(self) -> str:
        """The time that was asked about."""
        return f"over {counted(len(self.tube.low), 'step')}" if self.for_ever is None else "for all time"

    @property
    def headline(self) -> str:
        """The answer in one sentence."""
        if self.proof is None:
            return self.tube_in_words
        if self.proof.answer is Answer.HOLDS:
            return f"The property holds: {self.property_in_words}, for every input of the set (proved)."
        if self.proof.answer is Answer.VIOLATED and self.counterexample is not None:
            found = self.counterexample
            value = found.outputs[found.step, found.band.output]
            return (
                f"The property is violated by an input of the set: {found.band.name} is {value:.6g} after "
                f"{counted(found.step + 1, 'step')}, and asked was that {found.band}."
            )
        return f"Not decided whether {self.property_in_words}: {self.bracket_in_words}."

    @property
    def tube_in_words(self) -> str:
        """The range of every output over the whole horizon."""
        ends = self.tube.low.min(axis=0), self.tube.high.max(axis=0)
        if self.for_ever is not None:
            if not self.for_ever.found:
                return f"Not decided for all time: {self.for_ever.reason}"
            ends = self.for_ever.low, self.for_ever.high
        parts = [
            f"{name} stays between {ends[0][index]:.4g} and {ends[1][index]:.4g}{f' {unit}' if unit else ''}"
            for index, (name, unit) in enumerate(zip(self.tube.names, self.units, strict=False))
        ]
        said = f"{self.how_long[0].upper()}{self.how_long[1:]}"
        return f"{said} {', '.join(parts)}, for every input of the set (proved)."

    @property
    def for_ever_in_words(self) -> str:
        """What the answer for all time rests on."""
        found = self.for_ever
        if found is None or not found.found or found.certificate is None:
            return "" if found is None else f"For all time nothing is proved: {found.reason}"
        return (
            f"For all time: a step leaves at most {found.certificate.rate:.4g} of a difference between two "
            f"states (proved); from step {found.after} on outputs keep to a band that no start changes."
        )

    @property
    def bracket_in_words(self) -> str:
        """Between what is reached and what is proved, for every band that is not proved."""
        always, said = self.for_ever, []
        if always is not None and not always.found:
            return f"for all time nothing is proved, for {always.reason}"
        if always is not None:
            return ", ".join(
                f"for all time {band.name} is proved to be between {always.low[band.output]:.6g} and "
                f"{always.high[band.output]:.6g}"
                for band in self.bands
            )
        for band in self.bands:
            ends = [
                end[:, band.output]
                for end in (self.tube.low, self.tube.least, self.tube.most, self.tube.high)
            ]
            if ends[3].max() > band.high:
                said.append(
                    f"the largest {band.name} lies between {ends[2].max():.6g} (reached) and "
                    f"{ends[3].max():.6g} (proved)"
                )
            if ends[0].min() < band.low:
                said.append(
                    f"the least {band.name} lies between {ends[0].min():.6g} (proved) and "
                    f"{ends[1].min():.6g} (reached)"
                )
        return ", ".join(said)

    def __str__(self) -> str:
        """The answer, the set of inputs, and how tight the tube is."""
        return "\n".join([
            self.headline,
            self.inputs_in_words,
            *([] if self.for_ever is None else [self.for_ever_in_words]),
            f"The proved band is {self.tube.looseness:.3g} times as wide as what attacked runs reach, in the "
            "mean.",
        ])

    def rows_shown(self) -> Rows:
        """Proved and reached ends of every output at every step."""
        return self.tube.rows_shown()

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, ready for JSON."""
        names = ("low", "least", "nominal", "most", "high", "input_low", "input_nominal", "input_high")
        found = self.counterexample
        return {
            "answer": "tube" if self.proof is None else self.proof.answer.name.lower(),
            "headline": self.headline,
            "inputs": self.inputs_in_words,
            "source": self.source,
            "outputs": list(self.tube.names),
            "channels": list(self.tube.channels),
            "bands": [vars(band) for band in self.bands],
            "looseness": self.tube.looseness,
            "for_ever": self.for_ever
            and {
                "found": self.for_ever.found,
                "low": self.for_ever.low.tolist() if self.for_ever.found else None,
                "high": self.for_ever.high.tolist() if self.for_ever.found else None,
                "after": self.for_ever.after,
                "reason": self.for_ever.reason,
            },
            "tube": {name: getattr(self.tube, name).tolist() for name in names},
            "counterexample": found
            and {"inputs": found.inputs.tolist(), "outputs": found.outputs.tolist(), "step": found.step},
            "seconds": self.tube.seconds + (0.0 if self.proof is None else self.proof.seconds),
        }


PAGES.register(
    Verification,
    PageKind("verify.html", "attractor.certify.verify.verify_page:verify_page", "verify.json"),
    source=__name__,
)
