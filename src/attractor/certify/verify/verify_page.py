"""The page of a verification: the verdict in words, the tube, what each input adds, the counterexample."""

import numpy as np

from attractor.report.about import About
from attractor.report.page import Page, PageFigure, PageTable, Section, Step, Tile, Tone
from attractor.report.wording import duration, significant
from attractor.shown import counted

from .proof import Answer
from .verification import Counterexample, Verification
from .verify_figures import counterexample_figure, influence_figure, sensitivity_figure, tube_figure

_TONES: dict[Answer, Tone] = {Answer.HOLDS: "good", Answer.VIOLATED: "poor", Answer.OPEN: "fair"}
_MEANINGS = {
    Answer.HOLDS: (
        "No input of the set, whatever it does from step to step, makes this model leave the band. That is "
        "about the model: how far the plant is from it, the report of the run says."
    ),
    Answer.VIOLATED: (
        "The inputs below were put through the model, in double and in single precision, and it left the "
        "band. They lie inside the set."
    ),
    Answer.OPEN: (
        "Neither a proof nor an input that violates it was found. The truth lies between what was reached "
        "and what is proved."
    ),
    None: (
        "Whatever the inputs of the set do from step to step, the outputs of this model stay inside the "
        "proved band. That is about the model: how far the plant is from it, the report of the run says."
    ),
}


def verify_page(found: Verification, about: About) -> Page:
    """What the page says.

    Args:
        found: the tube and the answer.
        about: the run.
    """
    answer = None if found.proof is None else found.proof.answer
    sections = [_tube(found), _sensitivity(found), _numbers(found)]
    if found.counterexample is not None:
        sections.insert(0, _counterexample(found, found.counterexample))
    return Page(
        kind="Verification",
        verdict=found.headline,
        tone="good" if answer is None else _TONES[answer],
        meaning=f"{found.inputs_in_words} {_MEANINGS[answer]}",
        steps=_steps(found, answer, about.run),
        tiles=_tiles(found),
        sections=tuple(sections),
        facts={},
    )


def _steps(found: Verification, answer: Answer | None, run: str) -> tuple[Step, ...]:
    if answer is None:
        name, index = found.tube.names[0], 0
        low, high = found.tube.low[:, index].min(), found.tube.high[:, index].max()
        asked = f'attractor verify {run} --outputs "{name} in {low:.3g}:{high:.3g}"'
        return (Step("Ask whether an output keeps to a band:", asked),)
    if answer is Answer.OPEN:
        return (
            Step("Ask about smaller changes of the inputs:", f"attractor verify {run} --within 0.02 ..."),
            Step("Or search longer:", f"attractor verify {run} --timeout 600 ..."),
        )
    return ()


def _tiles(found: Verification) -> tuple[Tile, ...]:
    tube = found.tube
    seconds = tube.seconds + (0.0 if found.proof is None else found.proof.seconds)
    took, unit = duration(seconds)
    tiles = [
        Tile(name, _ends(tube.low[:, index].min(), tube.high[:, index].max()), found.units[index], "proved")
        for index, name in list(enumerate(tube.names))[:3]
    ]
    steps = len(tube.low)
    horizon = (str(steps), "steps") if found.sampling_time is None else duration(steps * found.sampling_time)
    always = found.for_ever
    if always is not None and always.found:
        rest = f"proved; from step {always.after} on {_ends(always.settled_low[0], always.settled_high[0])}"
        tiles.append(Tile("For all time", _ends(always.low[0], always.high[0]), found.units[0], rest))
    return (
        *tiles,
        Tile("Looseness", f"{tube.looseness:.3g}", "times", "proved width by reached width, in the mean"),
        Tile("Horizon", *horizon, f"{counted(steps, 'step')}, back by {tube.window} at once"),
        Tile("Took", took, unit, "bounds, attack and search"),
    )


def _ends(low: float, high: float) -> str:
    return f"{significant(low)} to {significant(high)}"


def _label(found: Verification, index: int) -> str:
    """Of an output, or of an input behind all outputs."""
    name, unit = [*found.tube.names, *found.tube.channels][index], found.units[index]
    return f"{name} [{unit}]" if unit else name


def _labels(found: Verification) -> tuple[tuple[str, ...], tuple[str, ...]]:
    outputs = len(found.tube.names)
    every = tuple(_label(found, index) for index in range(outputs + len(found.tube.channels)))
    return every[:outputs], every[outputs:]


def _tube(found: Verification) -> Section:
    outputs, _ = _labels(found)
    caption = (
        "The shaded band is proved: no inputs of the set lead out of it. The dashed lines are the furthest "
        "that sampled and attacked runs came, so the truth lies between; the black line is the run of the "
        "nominal inputs."
    )
    figures = tuple(
        PageFigure(
            name=f"tube-{index}",
            title=f"{found.tube.names[index]} over the horizon",
            caption="" if index else caption,
            plot=lambda size, index=index, label=label: tube_figure(found, index, label, size),
        )
        for index, label in enumerate(outputs)
    )
    held = "" if found.for_ever is None else "the first of "
    lead = f"What the outputs can be. The nominal inputs are {held}those of {found.source}."
    return Section("tube", "Tube", lead, figures)


def _sensitivity(found: Verification) -> Section:
    outputs, inputs = _labels(found)
    tube = found.tube
    figures = [
        PageFigure(
            name=f"owed-{index}",
            title=f"The band of {tube.names[index]} at the last step",
            caption=""
            if index
            else "Each bar is the part of half the width of the band that one input at one step accounts for "
            "(its coefficient in the proof times how far it may move). What is missing to the full half "
            "width is what the proof gives away.",
            plot=lambda size, index=index: sensitivity_figure(tube, index, inputs, size),
        )
        for index in range(len(outputs))
    ]
    if len(tube.low) > 1:
        channel = int(np.argmax(tube.sensitivity().sum(axis=0)))
        output, signal = tube.names[0], tube.channels[channel]
        figures.append(
            PageFigure(
                name="map",
                title=f"Which step of {signal} moves {output} when",
                caption=(
                    f"Dark: the input {signal} at that step (across) widens the band of {output} at that "
                    "step (upwards) most; the scale is half of the width that it accounts for. Inputs before "
                    "the reach of a proof act through a box of the state and are not told apart."
                ),
                plot=lambda size: influence_figure(tube, 0, channel, size),
            )
        )
    lead = "Which input at which step moves the bound."
    return Section("sensitivity", "Sensitivity", lead, tuple(figures))


_MOST_ROWS = 60


def _numbers(found: Verification) -> Section:
    tube = found.tube
    header = ("step", "proved low", "reached low", "nominal", "reached high", "proved high")
    chosen = np.unique(np.linspace(0, len(tube.low) - 1, min(len(tube.low), _MOST_ROWS)).round().astype(int))
    tables = []
    for index, label in enumerate(_labels(found)[0]):
        ends = (tube.low, tube.least, tube.nominal, tube.most, tube.high)
        rows = tuple(
            (str(step + 1), *(f"{end[step, index]:.5g}" for end in ends)) for step in chosen.tolist()
        )
        tables.append(PageTable(label, header, rows))
    if found.counterexample is not None:
        tables.append(_inputs_table(found, found.counterexample))
    return Section("numbers", "In numbers", "The bands, step by step.", tables=tuple(tables))


def _inputs_table(found: Verification, case: Counterexample) -> PageTable:
    outputs, inputs = _labels(found)
    header = ("step", *inputs, *outputs)
    both = np.concatenate([case.inputs, case.outputs], axis=1)
    rows = tuple(
        (str(step + 1), *(f"{value:.6g}" for value in row)) for step, row in enumerate(both[:_MOST_ROWS])
    )
    return PageTable("Counterexample", header, rows, "Outputs are those after the input of their row.")


def _counterexample(found: Verification, case: Counterexample) -> Section:
    outputs, inputs = _labels(found)
    figure = PageFigure(
        name="counterexample",
        title="The inputs that violate it",
        caption=(
            f"Red: the counterexample; black: the nominal series. Step {case.step + 1} is the first at which "
            f"{case.band.name} leaves the band (dotted). The shaded band of an input is the set that it is "
            "taken from."
        ),
        plot=lambda size: counterexample_figure(found, (outputs, inputs), size),
    )
    lead = "Put these inputs through the model and see for yourself."
    return Section("counterexample", "Counterexample", lead, (figure,))
