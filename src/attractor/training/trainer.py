"""The trainer: one loop for every task, replicas side by side, checkpoints that resume bit for bit."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.experimental.multihost_utils import broadcast_one_to_all
from jax.typing import ArrayLike
from jaxtyping import Array, Key

from attractor.errors import ConfigError, DivergedError, InputDataError
from attractor.program import programs_of, quickly_compiled, single_precision, to_single_precision
from attractor.progress import AtMost
from attractor.report.drawn import Drawn
from attractor.settings import LARGEST_WHOLE

from .checkpoint import fingerprint
from .networks import start_all, structure_of
from .run_log import Entry, RunLog, is_first_process, plain_state
from .spreading import Device, choose_mesh, everywhere, on_one_device
from .task import Batch, BatchIterator, Memory, Model, Task, check_number, select_replica
from .training_settings import TrainingSettings
from .update import NEVER, Observed, Replica, Update, diagnose

_CHECKPOINTS = 20
"""A checkpoint is written when so great a part of the history is new: at most 5 % of the work is lost."""
_LONGEST_UNSAVED = 60.0
"""Seconds after which one is written all the same."""

_FALLING = 0.05


@dataclass(frozen=True)
class Trained(
    Drawn,
    picture="attractor.training.training_pictures:draw_training",
    next_call=".plot(), .model(), .scores",
):
    """What training leaves.

    Args:
        models: the best weights of every replica, stacked on a leading axis.
        scores: their validations, shape (replicas,); inf for a replica that diverged at once.
        steps: the step each was found at, shape (replicas,).
        history: one entry per validation: step, seconds, and by replica loss, validation and, with one list
            of the values of every step since the entry before, what the task observed.
        seconds: time spent, interruptions not counted.
        warnings: replicas that diverged, and how.
        last: the weights of every replica after its last step, whatever their validation.
        initial: the weights of every replica before its first step.
        memory: what the task carried at the end, stacked like the models; None for most tasks.
        devices: over how many devices each batch was spread.
        judged: whether there was anything to validate by; without it `scores` and `steps` mean nothing.
    """

    models: Model
    scores: np.ndarray
    steps: np.ndarray
    history: list[Entry]
    seconds: float
    warnings: tuple[str, ...] = ()
    last: Model = None
    initial: Model = None
    memory: Memory = None
    devices: int = 1
    judged: bool = True

    @property
    def chosen(self) -> int:
        """The replica with the lowest validation."""
        return int(np.argmin(self.scores))

    @property
    def still_falling(self) -> bool:
        """Whether the validation of the chosen replica was best at the end, and clearly fell until then.

        By 5 % over the last quarter of the training: it would have gone on learning.
        """
        if not self.judged or len(self.history) < 8 or self.steps[self.chosen] < self.history[-2]["step"]:
            return False
        best = np.fmin.accumulate([entry["validation"][self.chosen] for entry in self.history])
        return bool(best[-1] < (1 - _FALLING) * best[-1 - len(best) // 4])

    def model(self, replica: int | None = None) -> Model:
        """The weights of one replica, the chosen one by default."""
        return select_replica(self.models, self.chosen if replica is None else replica)

    def __str__(self) -> str:
        """What validation chose, and what went wrong."""
        replica, scores = self.chosen, self.scores
        if not self.judged:
            steps = self.history[-1]["step"] if self.history else 0
            said = f"the last weights, after {steps} steps and {self.seconds:.3g} s; nothing validated them"
            return "\n".join([said, *self.warnings])
        best = f"validation {scores[replica]:.5g} at step {self.steps[replica]}, after {self.seconds:.3g} s"
        others = (
            f"; {len(scores)} replicas, {scores.min():.5g} to {scores.max():.5g}" if len(scores) > 1 else ""
        )
        return "\n".join([f"replica {replica} is chosen: {best}{others}", *self.warnings])


@single_precision()
def train(
    task: Task,
    settings: TrainingSettings,
    seed: int = 0,
    log: RunLog | None = None,
    *,
    optimiser: optax.GradientTransformation | None = None,
    devices: Sequence[Device] | None = None,
) -> Trained:
    """Train `settings.seeds` replicas of a task and keep the best weights of each by validation.

    Replicas differ in their keys only, run under one `vmap`, and never look at one another. Every
    `validate_every` steps they are validated, a line is logged and, unless the last is young, a checkpoint
    written; a killed training that is called again with the same arguments goes on from there and ends in the
    same bits. It computes in float32, and casts the arrays of the task to it.

    Each batch is spread over devices where its size pays for that, and over those of all processes under
    `jax.distributed`; every process then makes the same call and gets the same result, but for its seconds.

    Args:
        task: what is learned.
        settings: how long and how fast.
        seed: the keys of all replicas follow from it.
        log: where to write and report.
        optimiser: any Optax transformation, with its own learning rate; None takes Adam or momentum with the
            schedule, clipping and decay of the settings. Only the optimiser that wrote a checkpoint resumes
            it: its functions, with all that they enclose, are part of the fingerprint.
        devices: spread each batch over these; None decides by the size of the work.

    Raises:
        ConfigError: a task, seed, optimiser, devices, state of an iterator or observation that is none.
        DivergedError: all replicas met a value that is not finite; the message names where.
        InputDataError: the task's iterator of batches ended too early.
        RunFolderError: the folder holds a checkpoint of another training.
        ShapeError: losses that are not one for each example, a validation that is not one number, or devices
            that cannot share the first batch evenly.
        StorageError: a checkpoint cannot be written; the previous one stays.
    """
    _check(task, seed, optimiser)
    log, task = log or RunLog(), to_single_precision(task)
    update, batches = Update(task, settings, optimiser), task.batches(seed)
    mark = _mark(log, update, seed, batches)
    replicas = _fresh(update, jnp.asarray(seed))
    one = select_replica(replicas, 0)
    mesh = choose_mesh(task, one.model, one.context, _peek(batches), settings.steps, devices)
    replicas, history = log.load(replicas, mark, batches)
    if mesh is not None:
        task, replicas = everywhere((task, replicas), mesh)
    update = replace(update, task=task, mesh=mesh, programs=_programs(task, one.model))
    running = _Running(update, replicas, history, batches)
    start = time.monotonic() - entry_seconds(history)
    most = settings.steps if settings.patience is None else AtMost(settings.steps)
    try:
        while not running.finished:
            running.advance(start)
            log.add(history[-1])
            if log.checkpoint and running.checkpoint_due():
                log.save(on_one_device(running.replicas, mesh), mark, history, batches)
            log.report(history[-1]["step"], most, running.message())
            if running.ended:
                log.report(history[-1]["step"], history[-1]["step"], f"{running.ended}; {running.message()}")
    finally:
        log.reporter.close()
    try:
        return running.result()
    except DivergedError:
        log.discard()  # the remedy is other settings in the same folder
        raise


def _check(task: Task, seed: int, optimiser: optax.GradientTransformation | None) -> None:
    if not isinstance(task, Task):
        raise ConfigError(
            f"task={task!r}: expected an instance of a class derived from attractor.training.Task"
        )
    if not isinstance(seed, Integral) or not 0 <= seed <= LARGEST_WHOLE:
        raise ConfigError(f"seed={seed!r}: expected a whole number from 0 to {LARGEST_WHOLE}")
    if optimiser is not None and not isinstance(optimiser, optax.GradientTransformation):
        raise ConfigError(
            f"optimiser={optimiser!r}: expected an Optax transformation, such as optax.adam(1e-3)"
        )


def _mark(log: RunLog, update: Update, seed: int, batches: BatchIterator | None) -> str:
    """What identifies a training in its checkpoint; nothing where none is written."""
    if log.folder is None:
        return ""
    start = None if batches is None else (type(batches).__qualname__, plain_state(batches))
    if log.fingerprint is None:
        seen = {"task": update.task, "settings": update.settings, "optimiser": update.optimiser}
        return fingerprint(**seen, seed=seed, batches=start)
    if update.optimiser is None:
        return log.fingerprint
    return fingerprint(of=log.fingerprint, optimiser=update.optimiser)


def entry_seconds(history: list[Entry]) -> float:
    """Training time so far."""
    return history[-1]["seconds"] if history else 0.0


def _programs(task: Task, model: Model) -> object:
    """What compiled training is kept by beside its structure; nothing for code of this library alone."""
    return programs_of(model) if type(task).__module__.startswith("attractor.") else object()


def _fresh(update: Update, seed: Array) -> Replica:
    keys = jax.random.split(jax.random.key(seed), update.settings.seeds)
    # What draws a cell of the user's own may read what has changed since; it is compiled for this training.
    drawing = object() if _programs(update.task, structure_of(update.task.initial)) else None
    return start_all(lambda keys: _all_fresh(update, keys, drawing), update.start, keys)


@quickly_compiled
def _all_fresh(update: Update, keys: Key[Array, " seeds"], _drawing: object) -> Replica:
    return eqx.filter_vmap(update.start)(keys)


def _peek(batches: BatchIterator | None) -> Batch:
    """The first batch of an iterator, which stays where it stands; only several devices need to know it."""
    if batches is None or (jax.process_count() == 1 and jax.local_device_count() == 1):
        return None
    state = batches.get_state()
    batch = _next(batches, 0, 1)
    batches.set_state(state)
    return batch


def _next(batches: BatchIterator, step: int, steps: int) -> Batch:
    try:
        return next(batches)
    except StopIteration:
        raise InputDataError(
            f"the iterator of batches ended after {step} of {steps} steps; let it begin anew (`.repeat()` in "
            "Grain), or train for fewer steps"
        ) from None


class _Running:
    """A training under way: `history` and `batches` are those of the caller."""

    def __init__(
        self, update: Update, replicas: Replica, history: list[Entry], batches: BatchIterator | None
    ) -> None:
        self.update, self.replicas, self.history, self.batches = update, replicas, history, batches
        self.task = on_one_device(update.task, update.mesh)
        self._kept, self._kept_at = len(history), time.monotonic()

    def checkpoint_due(self) -> bool:
        """Whether a checkpoint should be written now.

        It holds the whole history, so one for every validation would write with the square of their number:
        they come at every twentieth more of it, and where none was written for a while.
        """
        count, now = len(self.history), time.monotonic()
        more = count - self._kept >= max(count // _CHECKPOINTS, 1)
        due = self.finished or more or now - self._kept_at > _LONGEST_UNSAVED
        if due:
            self._kept, self._kept_at = count, now
        return due

    @property
    def finished(self) -> bool:
        """Whether every replica has stopped."""
        return bool(np.asarray(self.replicas.stopped).all())

    @property
    def ended(self) -> str:
        """Why the training is over before all steps were made; empty where it is not."""
        step, settings = self.history[-1]["step"], self.update.settings
        scores = np.asarray(self.replicas.best_score)
        if not self.finished or step >= settings.steps or not np.isfinite(scores).any():
            return ""
        waits = (settings.patience or 0) * settings.validate_every
        return f"stopped at {step}: no better for {waits}" if waits else ""

    def advance(self, start: float) -> None:
        """Up to the next validation, with an entry in the history; `start` is on the monotonic clock."""
        before = np.array(self.replicas.step)  # a copy: the array is about to be donated
        failures: dict[str, str] = {}
        if self.batches is None:
            self.replicas, observed = _advance(self.update, self.replicas)
        else:
            observed = self._advance_with(self.batches, failures)
        if self.update.task.validation_on_host:
            self._validate_on_host()
        elif self.batches is not None:
            self.replicas = _validate(self.update, self.replicas)
        self._note(np.array(self.replicas.step) - before, observed, failures, time.monotonic() - start)

    def _advance_with(self, batches: BatchIterator, failures: dict[str, str]) -> Observed:
        every, steps = self.update.settings.validate_every, self.update.settings.steps
        begun, values = len(self.history) * every, []
        for step in range(begun, min(begun + every, steps)):
            batch = jax.tree.map(_as_array, _next(batches, step, steps))
            known = np.array(self.replicas.failed)
            self.replicas, observed = _step_with((self.update, batch), self.replicas)
            values.append(observed)
            for index in np.flatnonzero(np.asarray(self.replicas.failed) != known):
                failures[str(index)] = str(self._failure(int(index), batch))
        return jax.tree.map(lambda *steps: np.stack([np.asarray(one) for one in steps], axis=1), *values)

    def _validate_on_host(self) -> None:
        candidates = _settled(self.update, self.replicas)
        models, task = on_one_device(candidates, self.update.mesh), self.task
        scores = [
            math.inf if stopped or not is_first_process() else _finite(task, select_replica(models, index))
            for index, stopped in enumerate(np.asarray(self.replicas.stopped))
        ]
        told = np.asarray(scores, np.float32)
        # The first process tells the others, so that all of them stop at the same step.
        told = broadcast_one_to_all(told) if jax.process_count() > 1 else told
        self.replicas = _judge((self.update, candidates, told), self.replicas)

    def _note(self, made: np.ndarray, observed: Observed, failures: dict[str, str], seconds: float) -> None:
        entry: Entry = {
            "step": int(np.max(np.asarray(self.replicas.step))),
            "seconds": round(seconds, 3),
            "loss": np.asarray(self.replicas.loss, float).tolist(),
            "validation": np.asarray(self.replicas.score, float).tolist(),
        }
        if observed:
            entry["observed"] = {
                name: [own[:count].tolist() for own, count in zip(np.asarray(all_of), made, strict=True)]
                for name, all_of in observed.items()
            }
        if failures:
            entry["failed"] = failures
        if self._devices > 1:
            entry["devices"] = self._devices
        self.history.append(entry)

    @property
    def _devices(self) -> int:
        return 1 if self.update.mesh is None else self.update.mesh.size

    def message(self) -> str:
        """What people read while they wait."""
        loss, score = np.nanmin(np.asarray(self.replicas.loss)), np.min(np.asarray(self.replicas.best_score))
        spread = f", batch spread over {self._devices} devices" if self._devices > 1 else ""
        judged = f", validation {score:.4f}" if self.update.task.is_judged else ""
        return f"loss {loss:.2e}{judged}{spread}"

    def result(self) -> Trained:
        """What the training leaves.

        Raises:
            DivergedError: no replica was ever validated to something finite.
        """
        replicas = on_one_device(self.replicas, self.update.mesh)
        scores = np.asarray(replicas.best_score, float)
        failed = [index for index, step in enumerate(np.asarray(replicas.failed)) if step != NEVER]
        problems = [self._known(index) or self._failure(index) for index in failed]
        if not np.isfinite(scores).any():
            raise problems[0] if problems else _never_finite(replicas)
        return Trained(
            models=replicas.best,
            scores=scores,
            steps=np.asarray(replicas.best_step),
            history=self.history,
            seconds=entry_seconds(self.history),
            warnings=tuple(f"replica {one}: {text}" for one, text in zip(failed, problems, strict=True)),
            last=replicas.model,
            initial=replicas.initial,
            memory=replicas.memory,
            devices=self._devices,
            judged=self.update.task.is_judged,
        )

    def _known(self, index: int) -> DivergedError | None:
        """What was said of a failure when it happened: its batch came from the host and is gone."""
        texts = (entry.get("failed", {}).get(str(index)) for entry in self.history)
        return next((DivergedError(text) for text in texts if text), None)

    def _failure(self, index: int, batch: Batch = None) -> DivergedError:
        replica = select_replica(on_one_device(self.replicas, self.update.mesh), index)
        return diagnose(self.task, replica.model, replica.context, batch)


@eqx.filter_jit(donate="all-except-first")
def _advance(update: Update, replicas: Replica) -> tuple[Replica, Observed]:
    """All replicas up to the next validation, and through it where it is compiled."""

    def one(replica: Replica) -> tuple[Replica, Observed]:
        replica, observed = update.steps(replica)
        return replica if update.task.validation_on_host else update.validated(replica), observed

    return update.each(one, replicas)


@eqx.filter_jit(donate="all-except-first")
def _step_with(given: tuple[Update, Batch], replicas: Replica) -> tuple[Replica, Observed]:
    """All replicas by one step, with a batch that was made on the host: one program per shape."""
    update, batch = given
    return update.each(lambda replica: update.step(replica, batch), replicas)


@eqx.filter_jit(donate="all-except-first")
def _validate(update: Update, replicas: Replica) -> Replica:
    return update.each(update.validated, replicas)


@eqx.filter_jit
def _settled(update: Update, replicas: Replica) -> Model:
    return update.each(lambda replica: update.task.settle(replica.model), replicas)


@eqx.filter_jit(donate="all-except-first")
def _judge(given: tuple[Update, Model, ArrayLike], replicas: Replica) -> Replica:
    update, candidates, scores = given
    return update.each(update.judged, replicas, candidates, jnp.asarray(scores))


def _as_array(leaf: object) -> object:
    """Numbers of a batch as arrays, which a compiled step takes without being compiled anew."""
    return np.asarray(leaf) if isinstance(leaf, bool | int | float) else leaf


def _finite(task: Task, model: Model) -> float:
    """The validation on the host, infinite where it is not finite."""
    found = task.validation(model)
    check_number(f"`validation` of {type(task).__name__}", found)
    score = float(found)
    return score if math.isfinite(score) else math.inf


def _never_finite(replicas: Replica) -> DivergedError:
    message = (
        f"after {int(replicas.step.max())} steps the validation was never finite, although every loss was; "
        "look for NaN or very large values in the validation data"
    )
    return DivergedError(message)
