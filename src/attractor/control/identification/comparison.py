"""A model beside the simple models of `attractor.control.baselines`, all on the same test rows."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from attractor.control import baselines
from attractor.control.baselines import Recordings
from attractor.control.metrics import Metrics, evaluate, relative_gain
from attractor.data import Record, Roles
from attractor.training.networks import fact

from .plant_model import PlantModel
from .race import LINEAR

Outlook = Literal["lost", "undefined", "linear", "behind", "noise", "follows", "partly", "no better"]
"""What a comparison comes to, see `Comparison.outlook`."""

GOOD, FAIR = 90.0, 70.0
"""FIT from which a model follows the plant, and follows it roughly."""
_POINT = 1.0
"""Points of FIT below which two models count as alike."""
_FAR = 5.0
"""Points of FIT beyond which they are not alike, however few rows there are."""
_CLEAR = 2.0
"""Standard errors beyond which one of two models is better."""
_ANYTHING = 5.0
"""FIT below which a model follows nothing, whatever the noise."""
_NEAR_FLOOR = 1.05
"""A model whose error is at most this many times the noise floor has reached it."""
_ARX = "ARX"


@dataclass(frozen=True)
class Rival:
    """A simple model on the test data.

    Args:
        name: what it is.
        description: its order and the like.
        fit: FIT in percent, averaged over outputs and recordings.
        gain: share of its squared error that the identified model removes; negative where it adds some.
        gain_error: standard error of `gain`.
    """

    name: str
    description: str
    fit: float
    gain: float
    gain_error: float

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "Rival":
        """From a card.

        Raises:
            KeyError: a fact is missing.
            ConfigError: one is of another kind.
        """
        numbers = (float(facts[name]) for name in ("fit", "gain", "gain_error"))
        return cls(fact(facts, "name", str), fact(facts, "description", str), *numbers)


@dataclass(frozen=True)
class Comparison:
    """An identified model and its rivals.

    Args:
        fit: FIT of the model on the test data, percent.
        spread: standard deviation of FIT over seeds; 0 for one seed.
        rivals: persistence, ARX and polynomial NARX, as far as there were rows for them.
        ceiling: FIT that the noise leaves to be reached, an estimate; NaN where there is none.
        predictor: the one-step predictor that the estimate comes from.
        family: of the cell that the model has.
    """

    fit: float
    spread: float
    rivals: tuple[Rival, ...]
    ceiling: float
    predictor: str
    family: str

    @property
    def best(self) -> Rival | None:
        """The rival with the highest FIT."""
        known = [one for one in self.rivals if np.isfinite(one.fit)]
        return max(known, key=lambda one: one.fit) if known else None

    @property
    def attainable(self) -> float:
        """The ceiling, or what the model reached where that is higher."""
        return max(self.ceiling, self.fit) if np.isfinite(self.ceiling) else float("nan")

    @property
    def reaches_noise(self) -> bool:
        """Whether the model follows anything, and its error is that of the noise floor."""
        return self.fit > _ANYTHING and 100 - self.fit <= _NEAR_FLOOR * (100 - self.ceiling)

    def is_clearly_better(self, rival: Rival) -> bool:
        """Whether the model beats a rival by more than a point, its own spread and chance."""
        return self._is_apart(self.fit - rival.fit, rival.gain / max(rival.gain_error, 1e-12))

    def is_clearly_worse(self, rival: Rival) -> bool:
        """Whether a rival beats the model by more than a point, the model's own spread and chance."""
        return self._is_apart(rival.fit - self.fit, -rival.gain / max(rival.gain_error, 1e-12))

    def _is_apart(self, points: float, errors: float) -> bool:
        """Whether so many points of FIT, and standard errors, are more than spread and chance."""
        return points > max(_POINT, self.spread) and (errors > _CLEAR or points > _FAR)

    @property
    def outlook(self) -> Outlook:
        """What the comparison comes to.

        "undefined": no output moves; "lost": values that are not finite; "behind": a rival is clearly better;
        "linear": a linear model does as well, or the model is one and leaves nothing but noise; "noise":
        nothing but noise is left; "follows", "partly": by FIT; "no better": a low FIT, and no clear gain over
        the rivals.
        """
        if not np.isfinite(self.fit):
            return "undefined" if np.isnan(self.fit) else "lost"
        if any(self.is_clearly_worse(one) for one in self.rivals):
            return "behind"
        if self._linear_is_enough:
            return "linear"
        if self.reaches_noise or self.fit >= GOOD:
            return "noise" if self.reaches_noise else "follows"
        return "partly" if self.fit >= FAIR or self._beats_all else "no better"

    @property
    def _linear_is_enough(self) -> bool:
        """Whether a linear model reaches noise, or does as well as another one that follows the plant."""
        if self.family == LINEAR:
            return self.reaches_noise
        return self._linear_is_as_good and (self.reaches_noise or self.fit >= FAIR)

    @property
    def _linear_is_as_good(self) -> bool:
        linear = [one for one in self.rivals if one.name == _ARX and np.isfinite(one.fit)]
        return any(not self.is_clearly_better(one) for one in linear)

    @property
    def trails_linear(self) -> bool:
        """Whether ARX has at least the FIT of the model, but for a point."""
        return any(one.name == _ARX and one.fit >= self.fit - _POINT for one in self.rivals)

    @property
    def _beats_all(self) -> bool:
        """Whether there are rivals, and the model is clearly better than each of them, and than the mean."""
        return self.fit > 0 and self.best is not None and all(map(self.is_clearly_better, self.rivals))

    def facts(self) -> dict[str, Any]:
        """For a card."""
        return asdict(self)

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "Comparison":
        """From a card.

        Raises:
            KeyError: a fact is missing.
            ConfigError: one is of another kind.
        """
        numbers = {name: float(facts[name]) for name in ("fit", "spread", "ceiling")}
        words = {name: fact(facts, name, str) for name in ("predictor", "family")}
        return cls(**numbers, **words, rivals=tuple(Rival.of(one) for one in facts["rivals"]))


def compare(model: PlantModel, roles: Roles, fits: Float[np.ndarray, " replicas"]) -> Comparison:
    """Fit the simple models on training and validation data, and judge all on the test data.

    The test data are looked at here, once, and by all models alike.

    Args:
        model: a fitted model.
        roles: the data.
        fits: FIT of every replica on the test data.
    """
    training, test = _scaled(model, roles.training), _scaled(model, roles.test)
    validation = _scaled(model, roles.validation) if roles.validation.experiments else training
    start = model.settled
    simulated = [model.output_scaling_.to_unit(model.simulate(one)) for one in roles.test.experiments]
    own = _squares(test, simulated, start)
    held = [baselines.persistence(y, start) for _, y in test]
    rivals = [_rival(("persistence", "the last sample of the start, held"), test, held, start, own)]
    for find in (baselines.fit_arx, baselines.fit_polynomial_narx):
        found = find(training, validation, start)
        if found is not None:
            runs = [found.simulate(u, y, start) for u, y in test]
            rivals.append(_rival((found.name, found.description), test, runs, start, own))
    floor = baselines.fit_noise_floor(training, validation, start)
    ceiling, predictor = float("nan"), ""
    if floor is not None:
        ceiling = _fit(test, [floor.predictor.predict(u, y) for u, y in test], start)
        predictor = f"{floor.predictor.name} of {floor.predictor.description}, one step ahead"
    spread = float(np.std(fits, ddof=1)) if len(fits) > 1 and np.isfinite(fits).all() else 0.0
    return Comparison(float(fits[model.chosen_]), spread, tuple(rivals), ceiling, predictor, model.family)


def _scaled(model: PlantModel, record: Record) -> Recordings:
    pairs = zip(*model.scaled(record), strict=True)
    return [(np.asarray(u, float), np.asarray(y, float)) for u, y in pairs]


def _rival(
    words: tuple[str, str], test: Recordings, runs: Sequence[np.ndarray], start: int, own: np.ndarray
) -> Rival:
    gain, error = relative_gain(_squares(test, runs, start), own)
    return Rival(*words, _fit(test, runs, start), gain, error)


def _squares(test: Recordings, runs: Sequence[np.ndarray], start: int) -> Float[np.ndarray, " rows"]:
    """Squared errors of all rows that count, all outputs together."""
    return np.concatenate([
        np.sum((run - y)[start:] ** 2, axis=1) for (_, y), run in zip(test, runs, strict=True)
    ])


def _fit(test: Recordings, runs: Sequence[np.ndarray], start: int) -> float:
    """FIT averaged over outputs and recordings; NaN where no output moves."""
    found: list[Metrics] = [evaluate(y, run, washout=start) for (_, y), run in zip(test, runs, strict=True)]
    fits = np.array([one.mean_fit for one in found])
    return float(np.mean(fits[~np.isnan(fits)])) if not np.isnan(fits).all() else float("nan")


def in_words(found: Comparison) -> str:
    """FIT beside that of the rivals and the ceiling: half a sentence."""
    told = [one for one in found.rivals if one.name != "persistence"]
    beside = " and ".join(f"{one.fit:.1f} % of {one.name}" for one in told)
    text = f"FIT {found.fit:.1f} %" + (f", against {beside}" if beside else "")
    if not np.isfinite(found.ceiling):
        return text
    if found.fit >= found.ceiling:
        return f"{text}; a one-step predictor reaches no more ({found.ceiling:.1f} %)"
    return f"{text}; a one-step predictor, which sees all that was measured before, has {found.ceiling:.1f} %"
