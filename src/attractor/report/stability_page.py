"""The page of a certificate: verdict, rate, settling time, set, and every rung that was tried."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from attractor.certify import LEVELS, Certificate, StabilityResult, Verdict, bound_in_words
from attractor.certify.stability.certificate import simulated_contraction
from attractor.control import PlantModel
from attractor.control.identification.certification import claim, visited_states
from attractor.data import from_archive
from attractor.folders import facts_of
from attractor.runs import check_origin, load_run

from .analysis import AnalysisContents, Picture, Section, Sheet, Tile, write_analysis
from .figures.stability import box_figure, contraction_figure
from .wording import significant

_TONES: dict[Verdict, Literal["good", "fair", "poor"]] = {
    Verdict.PROVED: "good",
    Verdict.UNKNOWN: "fair",
    Verdict.REFUTED: "poor",
}
_WEIGHTED = (1, 2, 3)
"""Levels whose norm is the weighted maximum norm."""
_LONGEST = 4000
_DISTANCES = (
    "Distances are in the norm of the certificate.",
    "Simulated distances are largest differences of a state; the proof has another norm, see the remarks, "
    "and at first a simulated line may lie above it.",
)


@dataclass(frozen=True)
class StabilityFacts:
    """What the page says beside the analysis.

    Args:
        title: name of the run.
        input_bound: inputs within +- this were asked about, scaled.
        sampling_time: s a step.
        command: that made the page.
    """

    title: str
    input_bound: float
    sampling_time: float
    command: str


def write_stability_report(
    folder: Path, model: PlantModel, result: StabilityResult, facts: StabilityFacts
) -> Path:
    """Write `certificate.html` into a run folder.

    Args:
        folder: of the run; its training data, if it has them, show where the states have been.
        model: the model that was analysed.
        result: of `certify`.
        facts: what the page says beside it.

    Raises:
        RunFolderError: the folder holds another run than the one that was analysed.
        StorageError: the file cannot be written.
    """
    check_origin(folder, model.origin)
    contents = stability_contents(model.network().cell, result, facts, _visited(folder, model))
    return write_analysis(replace(contents, origin=model.origin), folder / "certificate.html")


def _visited(folder: Path, model: PlantModel) -> np.ndarray | None:
    run = load_run(folder)
    if not run.evaluation or "data" not in run.card:
        return None
    with facts_of(folder / "card.json"):
        roles = from_archive(run.card["data"], run.evaluation)
    experiments = roles.training.experiments or roles.test.experiments
    return visited_states(model, experiments[0].inputs, experiments[0].outputs)


def stability_contents(
    cell: Any,
    result: StabilityResult,
    facts: StabilityFacts,
    visited: Float[np.ndarray, "2 states"] | None,
) -> AnalysisContents:
    """What the page shows.

    Args:
        cell: the cell that was analysed.
        result: of `certify`.
        facts: what the page says beside it.
        visited: least and largest value of every state over the data; None if not known.
    """
    sampling_time = facts.sampling_time
    certificate = result.certificate
    sections = [_attempts(result)]
    if certificate is not None:
        sections = [_contraction(cell, certificate, sampling_time), _set(certificate, visited), *sections]
    elif result.witness is not None:
        sections = [_witness(result), *sections]
    return AnalysisContents(
        kind="Stability certificate",
        title=facts.title,
        verdict=claim(result, facts.input_bound),
        tone=_TONES[result.verdict],
        tiles=_tiles(result, sampling_time),
        sections=tuple(sections),
        reproduce=facts.command,
    )


def _tiles(result: StabilityResult, sampling_time: float) -> tuple[Tile, ...]:
    seconds = Tile("Analysis", significant(result.seconds, 2), "s", "wall time with compilation")
    certificate = result.certificate
    if certificate is None:
        return (Tile("Verdict", result.verdict.name.lower(), "", "no certificate"), seconds)
    steps = certificate.settling_steps()
    return (
        Tile(
            "Contraction", f"{certificate.rate:.4f}", "times", "what a step leaves of a difference, at most"
        ),
        Tile("Settling", significant(steps * sampling_time), "s", f"to 1 %, certified: {steps} steps"),
        Tile("Level", str(certificate.level), "", LEVELS[certificate.level]),
        Tile(
            "Gain", significant(certificate.asymptotic_gain), "", "state per lasting input difference, scaled"
        ),
        seconds,
    )


def _contraction(cell: Any, certificate: Certificate, sampling_time: float) -> Section:
    steps = min(max(certificate.settling_steps(1e-3), 20), _LONGEST)
    simulated = simulated_contraction(cell, certificate, steps)
    picture = Picture(
        name="contraction",
        title="How fast differences vanish",
        caption=(
            "The blue line is proved: no pair of trajectories in the box can lie above it. The orange line "
            "is the slowest of 60 simulated pairs; the room between them is what the proof gives away. The "
            f"dotted line is 1 %. {_DISTANCES[certificate.level == 0]}"
        ),
        plot=lambda size: contraction_figure(certificate, simulated, sampling_time, size),
    )
    lead = "Two trajectories under the same inputs, from different starts: a wrong start is forgotten."
    return Section("contraction", "Contraction", lead, pictures=(picture,))


def _set(certificate: Certificate, visited: np.ndarray | None) -> Section:
    picture = Picture(
        name="box",
        title="The certified set",
        caption=(
            "The proof speaks for starts in the light box and inputs within "
            f"{bound_in_words(certificate.input_bound)} (scaled: the training data are within ±1). After "
            f"{certificate.transient} steps every trajectory is in the blue box, and the rate holds there. "
            "Outside the light box nothing is claimed."
        ),
        plot=lambda size: box_figure(certificate, visited, size),
    )
    rows = (
        ("norm", "largest |difference| / weight" if certificate.level in _WEIGHTED else "see remarks"),
        ("input gain of one step", significant(certificate.input_gain)),
        (
            "weights, smallest to largest",
            f"{certificate.weights.min():.3g} to {certificate.weights.max():.3g}",
        ),
        ("remarks", certificate.remarks),
    )
    facts = Sheet("In numbers", ("fact", "value"), rows)
    lead = "A certificate without its set is worth nothing: here is where this one holds."
    return Section("set", "Certified set", lead, (picture,), (facts,))


def _witness(result: StabilityResult) -> Section:
    witness = result.witness
    if witness is None:
        return Section("witness", "Witness", "There is none.")
    rows = (
        ("first start", _numbers(witness.first)),
        ("second start", _numbers(witness.second)),
        ("inputs, repeated for ever", "; ".join(_numbers(row) for row in witness.inputs)),
        ("difference after that", significant(witness.distance)),
        ("steps followed", str(witness.steps)),
    )
    lead = "Start the model at both places under these inputs and see for yourself."
    return Section("witness", "Witness", lead, sheets=(Sheet("Two trajectories", ("what", "value"), rows),))


def _attempts(result: StabilityResult) -> Section:
    rows = tuple(
        (LEVELS.get(one.level, "search for a counterexample"), one.outcome, f"{one.seconds:.2f} s")
        for one in result.attempts
    )
    sheet = Sheet("Rungs of the ladder", ("bound", "outcome", "time"), rows, "Times include compilation.")
    lead = "From the published condition to the strongest bound; the proof that settles soonest is kept."
    return Section("attempts", "What was tried", lead, sheets=(sheet,))


def _numbers(values: np.ndarray) -> str:
    return "(" + ", ".join(f"{value:.4g}" for value in values) + ")"
