"""What an identification comes to, in one sentence, and what to do next: always beside simple models."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from attractor.report.about import About
from attractor.report.page import Step, Tone

from .assessment import mean_metric
from .comparison import GOOD, Comparison, Outlook, Rival, in_words
from .plant_model import PlantModel
from .race import LINEAR

TONES: dict[Outlook, Tone] = {
    "lost": "poor",
    "undefined": "fair",
    "linear": "good",
    "behind": "poor",
    "noise": "good",
    "follows": "good",
    "partly": "fair",
    "no better": "poor",
}


def verdict(found: Comparison, outlook: Outlook, recordings: int, start: int) -> str:
    """One sentence, and a second one where nothing can be said of FIT.

    Args:
        found: the model and its rivals on the test data.
        outlook: what that comes to.
        recordings: number of test recordings.
        start: rows of a recording whose measured outputs set the initial state.
    """
    unseen = f"On {'a recording' if recordings == 1 else f'{recordings} recordings'} it has never seen"
    if outlook == "lost":
        return f"{unseen}, the model runs away: its simulation has values that are not finite."
    if outlook == "undefined":
        advice = "Look at the errors below, and test it where the plant moves."
        return f"{unseen}, FIT is undefined: no measured output moves there. {advice}"
    seen = f"{unseen}, in free run from the inputs alone" + (
        f" after its first {start} samples" if start else ""
    )
    return f"{_headline(found, outlook, seen)}: {in_words(found)}."


_UNDECIDED = "It is not shown that the model is better than a linear one: its lead may be chance"


def _headline(found: Comparison, outlook: Outlook, seen: str) -> str:
    if outlook == "linear":
        if found.family == LINEAR:
            return f"A linear model is enough. {seen}, the model follows the plant {_how_well(found)}"
        linear = "A linear model does as well" if found.trails_linear else _UNDECIDED
        return f"{linear}. {seen}, the model follows the plant {_how_well(found)}"
    if outlook == "behind" and found.best is not None:
        return f"A simpler model is better ({_named(found.best)}). {seen}, this one falls behind it"
    said = {
        "noise": "the model follows the plant down to what looks like noise",
        "follows": "the model follows the plant",
        "partly": "the model follows the plant in part",
        "no better": "the model tells no more than the simple ones",
    }
    return f"{seen}, {said[outlook]}"


def _how_well(found: Comparison) -> str:
    if found.reaches_noise:
        return "down to what looks like noise"
    return "well" if found.fit >= GOOD else "in part"


def _named(rival: Rival) -> str:
    return f"{rival.name}, {rival.description}"


def advice(
    outlook: Outlook, about: About, family: str, *, proved: bool = False
) -> tuple[str, tuple[Step, ...]]:
    """What the verdict means, and what to do next.

    Args:
        outlook: what the comparison came to.
        about: the run.
        family: of the model.
        proved: whether the run has a certificate of this model, so that nobody has to look for one.
    """
    meaning, steps = _advice(outlook, about, family)
    return meaning, tuple(step for step in steps if not (proved and "attractor certify" in step.command))


def _advice(outlook: Outlook, about: About, family: str) -> tuple[str, tuple[Step, ...]]:
    certify = Step("Prove that a wrong start dies out:", f"attractor certify {about.run}")
    control = Step("Try it in a closed loop:", f"attractor control {about.run} --plant PLANT")
    doctor = Step("Look at the data first:", "attractor doctor DATA.csv")
    longer = Step("Train longer, from several starts:", "attractor identify ... --steps 12000 --seeds 3")
    linear = Step("Take the linear model itself:", "attractor identify ... --cell linear")
    stands_in = (
        "For inputs like those of the test, its simulation can stand in for the plant: to predict, to try "
        "controllers, to look for the best inputs."
    )
    return {
        "follows": (stands_in, (certify, control)),
        "noise": (
            f"{stands_in} What is left is as small as the errors of the best predictor that sees all samples "
            "measured before; that one is simple, and a better one may tell more.",
            (certify, control),
        ),
        "linear": (
            "What these data show of the plant is linear, or what is not linear is hidden by noise: a linear "
            "model is simpler to understand, and as good. For control beyond these data, record an "
            "experiment with larger steps.",
            (certify if family == LINEAR else linear, control),
        ),
        "partly": (
            "It leaves some of the movement unexplained. Good enough for control that measurements correct; "
            "not for a long simulation without them.",
            (longer, certify),
        ),
        "undefined": ("The test says nothing about how the model follows the plant.", (doctor,)),
        "behind": (
            "Do not take this model while a simpler one does better: the training has not found what the "
            "data show.",
            (longer, linear),
        ),
        "no better": (
            "Do not decide anything by it yet. The inputs explain little of the outputs in these data, or "
            "the plant was not seen where it is tested.",
            (doctor, longer),
        ),
        "lost": ("Do not use it.", (longer, linear)),
    }[outlook]


def of_run(model: PlantModel, card: Mapping[str, Any]) -> str:
    """The verdict on a run.

    Args:
        model: the model.
        card: with the metrics and the comparison, see `assess`.
    """
    found = Comparison.of(card["comparison"])
    outlook = outlook_of(found, float(mean_metric(card, "rmse")[model.chosen_]))
    return verdict(found, outlook, len(card["metrics"]["test"]), start_rows(model))


def start_rows(model: PlantModel) -> int:
    """Rows of a recording whose measured outputs set the initial state."""
    return model.settled if model.network().reads_state else 0


def outlook_of(found: Comparison, rmse: float) -> Outlook:
    """What the comparison comes to; a simulation that is not finite is lost, whatever its FIT."""
    return found.outlook if np.isfinite(rmse) else "lost"
