"""Which family suits a plant? Several are trained, validation data decide, the result says by how much."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from attractor.cells import Stack, cell_class
from attractor.control.baselines import MOST_ROWS
from attractor.control.metrics import relative_gain
from attractor.errors import DivergedError, InputDataError
from attractor.progress import AtMost, Reporter
from attractor.settings import Count, NonNegative, Within
from attractor.shown import counted
from attractor.training import RunLog, Trained, TrainingSettings, select_replica, train
from attractor.training.checkpoint import RACE, Facts
from attractor.training.networks import cell_name, fact

from .identification_task import IdentificationTask, score, squares
from .linear_start import LinearStart
from .plant_network import ENCODER_WIDTH, NetworkPlan, PlantNetwork
from .regressions import PolynomialStart

Error = Annotated[float, Within(0, infinite=True)]
LINEAR, POLYNOMIAL = AS_FITTED = ("linear", "polynomial-narx")
"""Families that a regression gives; no gradient moves them."""
RECURRENT = ("state-space", "gru")
"""Families that are trained; the first begins as the linear model."""
_EXTRA_STATES = 2
"""States of a network beyond those of the linear model that it begins as."""
_LEAST_GAIN, _LARGE_GAIN = 0.02, 0.1
"""See `_is_better`."""
PATIENCE = 10
"""Validations without improvement after which a training of a race stops, if the settings name none."""
_SECONDS_PER_ROW, _SECONDS_TO_COMPILE, _SECONDS_PER_OUTPUT = 5e-7, 6.0, 3e-3
"""Measured on two cores: one row of one window through an update, compiling one family, and all regressions
of one number of the outputs."""


@dataclass(frozen=True)
class Structure:
    """What a race decides: everything of a network that the options leave open.

    Args:
        cell: name of the family.
        hidden_size: its units.
        encoder_width: hidden units of the encoder.
    """

    cell: str
    hidden_size: int
    encoder_width: int = ENCODER_WIDTH

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "Structure":
        """The structure that a card tells.

        Raises:
            KeyError: a fact is missing.
            ConfigError: one is of another kind.
        """
        sizes = fact(facts, "hidden_size", Count), fact(facts, "encoder_width", Count)
        return cls(fact(facts, "cell", str), *sizes)

    @classmethod
    def of_network(cls, network: PlantNetwork) -> "Structure":
        """The structure of a network that is there already."""
        encoder, cell = network.encoder, network.inner
        cell = cell.cells[0] if isinstance(cell, Stack) else cell
        units = getattr(cell, "hidden_size", 1)
        width = ENCODER_WIDTH if encoder is None else encoder.network.width_size
        return cls(cell_name(type(cell)), units, width)

    def plan(self, plan: NetworkPlan) -> NetworkPlan:
        """The plan with this structure."""
        return replace(
            plan,
            cell=cell_class(self.cell),
            hidden_size=self.hidden_size,
            layers=1 if self.cell in AS_FITTED else plan.layers,
            encoder_width=self.encoder_width,
        )


@dataclass(frozen=True, eq=False)
class Entrant:
    """One family of a race.

    Args:
        structure: of its network.
        build: makes its network from a key.
        trained: whether it is trained; a regression is what it is.
    """

    structure: Structure
    build: Callable[[PRNGKeyArray], PlantNetwork]
    trained: bool = True


@dataclass(frozen=True)
class Result:
    """How one family did.

    Args:
        cell: name of the family.
        hidden_size: its units.
        error: lowest root mean square of the free run on the validation data, scaled outputs.
        seconds: of training.
        won: whether it was taken.
    """

    cell: str
    hidden_size: int
    error: float
    seconds: float
    won: bool = False

    def facts(self) -> Facts:
        """For a card."""
        return asdict(self)

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "Result":
        """From a card.

        Raises:
            KeyError: a fact is missing.
            ConfigError: one is of another kind.
        """
        kinds = {"cell": str, "hidden_size": Count, "error": Error, "seconds": NonNegative, "won": bool}
        return cls(**{name: fact(facts, name, kind) for name, kind in kinds.items()})


def entrants(
    plan: NetworkPlan, hidden_size: int, linear: LinearStart | None, polynomial: PolynomialStart | None = None
) -> list[Entrant]:
    """The families of a race: two regressions, the state-space network that begins as one, and gated units.

    Args:
        plan: of the network, whose cell and sizes are left open.
        hidden_size: units of a family that does not begin as the linear model.
        linear: the best linear model; None where there is none.
        polynomial: the best polynomial NARX model; None where there is none.
    """
    found = []
    if linear is not None:
        extra = {LINEAR: 0, "state-space": _EXTRA_STATES}
        for family, more in extra.items():
            structure = Structure(family, linear.size + more, ENCODER_WIDTH + linear.size)
            own = structure.plan(plan)
            found.append(
                Entrant(structure, linear.builder(own) if own.layers == 1 else own, family != LINEAR)
            )
    if polynomial is not None:
        structure = Structure(POLYNOMIAL, polynomial.order)
        found.append(Entrant(structure, polynomial.builder(structure.plan(plan)), trained=False))
    left = [family for family in RECURRENT if family not in [one.structure.cell for one in found]]
    structures = [Structure(family, hidden_size) for family in left]
    return [*found, *(Entrant(one, one.plan(plan)) for one in structures)]


def only(entrants: Sequence[Entrant], family: str) -> list[Entrant]:
    """Those of one family that a regression gives.

    Raises:
        InputDataError: there is none: too few rows.
    """
    named = [one for one in entrants if one.structure.cell == family]
    if not named:
        raise InputDataError(
            f"there are too few rows for a regression ({family}); record more, or name another cell"
        )
    return named


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a race leaves.

    Args:
        structure: of the winner.
        task: that it was trained on.
        trained: its training.
        results: of all families, in the order in which they raced.
    """

    structure: Structure
    task: IdentificationTask
    trained: Trained
    results: tuple[Result, ...]


def race(
    entrants: Sequence[Entrant],
    task_of: Callable[[Callable[[PRNGKeyArray], PlantNetwork]], IdentificationTask],
    settings: TrainingSettings,
    seed: int,
    log: RunLog,
) -> Outcome:
    """Train every entrant and take the one with the lowest validation; the linear one where it is as good.

    Each has a checkpoint of its own in the folder of the log, so that a race that was killed goes on where it
    was.

    Args:
        entrants: the families.
        task_of: the task of a network that is built so.
        settings: of every training.
        seed: of every training.
        log: where to write and report.

    Raises:
        DivergedError: no family has a finite validation.
    """
    if settings.patience is None:
        settings = replace(settings, patience=PATIENCE)
    running = [one for one in entrants if one.trained]
    tasks, trained, problems = [], [], []
    for one in entrants:
        task = task_of(one.build)
        tasks.append(task)
        if not one.trained:
            trained.append(_as_it_is(task, seed))
            continue
        lane = running.index(one)
        reporter = _Lane(log.reporter, lane, len(running), one.structure.cell)
        logs = [replace(log, reporter=reporter, name=name) for name in RACE[lane :: len(running)]]
        try:
            trained.append(_careful(task, settings, seed, logs))
        except DivergedError as problem:
            trained.append(None)
            problems.append(problem)
    scores = [np.inf if one is None else float(np.min(one.scores)) for one in trained]
    if not np.isfinite(scores).any():
        raise problems[0]
    winner = _winner(entrants, trained, tasks[0], scores)
    results = tuple(
        Result(
            one.structure.cell,
            one.structure.hidden_size,
            error,
            0.0 if run is None else round(run.seconds, 2),
            one is entrants[winner],
        )
        for one, run, error in zip(entrants, trained, scores, strict=True)
    )
    log.restart(trained[winner].history)
    return Outcome(entrants[winner].structure, tasks[winner], trained[winner], results)


def _careful(task: IdentificationTask, settings: TrainingSettings, seed: int, logs: list[RunLog]) -> Trained:
    """A training; where it leaves the finite numbers, another one at a quarter of the learning rate.

    Args:
        task: what is learned.
        settings: of the first attempt.
        seed: of all.
        logs: one for every attempt, for each has a checkpoint of its own.

    Raises:
        DivergedError: the last attempt diverged, too.
    """
    try:
        return _guarded(train(task, settings, seed, logs[0]), task)
    except DivergedError:
        if not logs[1:]:
            raise
        slower = replace(settings, learning_rate=settings.learning_rate / 4)
        return _careful(task, slower, seed, logs[1:])


def _winner(
    entrants: Sequence[Entrant],
    trained: Sequence[Trained | None],
    task: IdentificationTask,
    scores: list[float],
) -> int:
    """The lowest score; the linear model where nothing is better than it by more than chance."""
    best = int(np.argmin(scores))
    for index, one in enumerate(entrants):
        if one.structure.cell == LINEAR and np.isfinite(scores[index]):
            pair = (trained[place].model() for place in (index, best))  # pyright: ignore
            return best if _is_better(*(squares(task, network) for network in pair)) else index
    return best


def _is_better(known: Float[np.ndarray, " rows"], new: Float[np.ndarray, " rows"]) -> bool:
    """Whether a new model removes a tenth of the squared error of a known one, or less beyond chance."""
    gain, error = relative_gain(known, new)
    return gain > min(max(_LEAST_GAIN, error), _LARGE_GAIN)


def _as_it_is(task: IdentificationTask, seed: int) -> Trained:
    """A network that is not trained, as a training leaves it."""
    network = task.initial(jax.random.key(seed))
    error = float(score(task, network))
    models = jax.tree.map(lambda leaf: leaf[None] if eqx.is_array(leaf) else leaf, network)
    error = error if np.isfinite(error) else np.inf
    return Trained(models, np.array([error]), np.zeros(1, int), [], 0.0)


def _guarded(trained: Trained, task: IdentificationTask) -> Trained:
    """Every replica no worse on validation than its start: training may only improve on it."""
    errors = [
        float(score(task, select_replica(trained.initial, index))) for index in range(len(trained.scores))
    ]
    kept = np.array(errors) < trained.scores
    if not kept.any():
        return trained
    flags = jnp.asarray(kept)

    def pick(start: Any, best: Any) -> Any:
        if not eqx.is_array(start):
            return start
        return jnp.where(flags.reshape(-1, *[1] * (start.ndim - 1)), start, best)

    return replace(
        trained,
        models=jax.tree.map(pick, trained.initial, trained.models),
        scores=np.where(kept, errors, trained.scores),
        steps=np.where(kept, 0, trained.steps),
    )


class _Lane:
    """The part of a race's progress that is one training's."""

    def __init__(self, reporter: Reporter, lane: int, lanes: int, family: str) -> None:
        self._reporter, self._lane, self._lanes, self._family = reporter, lane, lanes, family
        self._total = 0

    def update(self, done: int, total: int, message: str = "") -> None:
        """As of all trainings together; one that ends early has all of its part behind it."""
        done, self._total = (total - done, max(self._total, total))
        all_of = self._lanes * self._total
        self._reporter.update(
            self._lane * self._total + (self._total - done),
            AtMost(all_of) if isinstance(total, AtMost) else all_of,
            f"{self._family} ({self._lane + 1} of {self._lanes}), {message}",
        )

    def close(self) -> None:
        """The stretch goes on until the last training is over."""
        if self._lane + 1 == self._lanes:
            self._reporter.close()


def forecast(families: Sequence[str], settings: TrainingSettings, rows: int, regressed: int) -> str:
    """What is about to happen, and about how long it takes on two cores.

    Args:
        families: that are found one after the other.
        settings: of every training.
        rows: of one window.
        regressed: numbers of outputs that regressions are fitted to.
    """
    work = settings.steps * settings.batch_size * settings.seeds * rows
    regressions = _SECONDS_PER_OUTPUT * min(regressed, MOST_ROWS)
    trained = [family for family in families if family not in AS_FITTED]
    seconds = regressions + len(trained) * (_SECONDS_TO_COMPILE + _SECONDS_PER_ROW * work)
    about = f"about {seconds:.0f} s" if seconds < 90 else f"about {seconds / 60:.0f} min"
    if not trained:
        return f"fitting {families[0]}: {about} on two cores"
    if len(families) == 1:
        return f"training {families[0]}, at most {settings.steps} updates: {about} on two cores"
    return (
        f"two regressions, {' and '.join(families)} race on the validation data, at most {settings.steps} "
        f"updates each: {about} on two cores (--cell NAME trains one family alone)"
    )


def in_words(results: Sequence[Result]) -> str:
    """Who won, by how much, over whom; empty where nothing raced."""
    if not results:
        return ""
    winner = next(one for one in results if one.won)
    others = sorted((one for one in results if not one.won), key=lambda one: one.error)
    told = [f"{_named(one)} by {_by(winner, one)}" for one in others]
    beside = f" over {', '.join(told)}" if told else ""
    return (
        f"{_named(winner)} was chosen on the validation data{beside}; its free run errs by "
        f"{winner.error:.3g} standard deviations there"
    )


def _named(result: Result) -> str:
    return f"{result.cell} with {counted(result.hidden_size, 'state')}"


def _by(winner: Result, other: Result) -> str:
    if not np.isfinite(other.error):
        return "far, for it diverged"
    if other.error < winner.error:
        return f"its simplicity (that one's error is {100 * (1 - other.error / winner.error):.1f} % smaller)"
    return f"{100 * (1 - winner.error / other.error):.1f} %" if other.error else "nothing"
