"""The trainer: one loop for every task, with members side by side and checkpoints that resume bit for bit."""

import dataclasses
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray

from attractor.errors import DivergedError
from attractor.program import programs_of, quickly_compiled, single_precision, to_single_precision
from attractor.progress import Reporter, SilentReporter
from attractor.runs import append_log, write_log

from .checkpoint import CHECKPOINT, check_own, from_arrays, load_training, save_checkpoint
from .divergence import diagnose
from .optimiser import make_optimiser
from .settings import LARGEST_WHOLE, TrainingSettings
from .starting import start_all, structure_of
from .task import (
    Memory,
    Model,
    Moment,
    Remembering,
    Task,
    losses_at,
    review,
    score_of,
    select_member,
    settled,
    start_memory,
)

NEVER = -1


class Member(eqx.Module):
    """All that one training carries from step to step."""

    model: Model
    optimiser: optax.OptState
    key: PRNGKeyArray
    step: Int[Array, ""]
    loss: Float[Array, ""]
    score: Float[Array, ""]
    best: Model
    best_score: Float[Array, ""]
    best_step: Int[Array, ""]
    failed: Int[Array, ""]
    stopped: Bool[Array, ""]
    memory: Memory = None

    @property
    def moment(self) -> Moment:
        """Where this training stands; its key is that of the next step."""
        return Moment(self.memory, jax.random.fold_in(self.key, self.step), self.step)


@dataclass(frozen=True)
class Trained:
    """What training leaves.

    Args:
        models: the best weights of every member, stacked on a leading axis.
        scores: their validation figures, shape (members,); inf for a member that diverged at once.
        steps: the step each was found at, shape (members,).
        history: one entry a validation: step, seconds, loss and validation of each member.
        seconds: time spent, interruptions not counted.
        warnings: members that diverged, and how.
        last: the weights of every member after its last step, whatever their validation figure.
        memory: what the task carried at the end, stacked like the models; None for most tasks.
    """

    models: Model
    scores: np.ndarray
    steps: np.ndarray
    history: list[dict[str, Any]]
    seconds: float
    warnings: tuple[str, ...] = ()
    last: Model = None
    memory: Memory = None

    @property
    def chosen(self) -> int:
        """The member with the lowest validation figure."""
        return int(np.argmin(self.scores))

    def model(self, member: int | None = None) -> Model:
        """The weights of one member, the chosen one by default."""
        return select_member(self.models, self.chosen if member is None else member)


@dataclass(frozen=True)
class Diary:
    """Where a training writes: a folder with a log and a checkpoint, or nowhere.

    The checkpoint holds the history of the training; the log only shows it. A log that was lost, torn or
    ran ahead of the checkpoint is written anew when the training goes on.

    Args:
        folder: the run folder; None keeps everything in memory.
        fingerprint: identifies data, model and settings; a checkpoint of another one is refused.
        reporter: hears about progress.
    """

    folder: Path | None = None
    fingerprint: str = ""
    reporter: Reporter = field(default_factory=SilentReporter)

    @property
    def checkpoint(self) -> Path | None:
        """The checkpoint file."""
        return self.folder / CHECKPOINT if self.folder else None

    @property
    def log(self) -> Path | None:
        """The log file."""
        return self.folder / "log.jsonl" if self.folder else None

    def restart_log(self, history: list[dict[str, Any]]) -> None:
        """Make the log show this history and nothing else; no log where there is no history."""
        if self.log is None:
            return
        if history:
            write_log(self.log, history)
        else:
            self.log.unlink(missing_ok=True)

    def note(self, entry: dict[str, Any]) -> None:
        """Add an entry to the log."""
        if self.log is not None:
            append_log(self.log, entry)


@single_precision()
def train(
    task: Task | Remembering, settings: TrainingSettings, seed: int = 0, diary: Diary | None = None
) -> Trained:
    """Train `settings.seeds` members of a task and keep the best weights of each by validation.

    Members differ in their keys only, run under one `vmap`, and never look at one another. Every
    `validate_every` steps they are validated, a line is logged and a checkpoint written; a killed training
    that is called again with the same arguments goes on from there and ends in the same bits. It computes in
    float32, and casts the arrays of the task to it.

    Args:
        task: what is learned.
        settings: how long and how fast.
        seed: the keys of all members follow from it.
        diary: where to write and report.

    Raises:
        DivergedError: all members met a value that is not finite; the message names step, tensor and example.
        RunFolderError: the folder holds a checkpoint of another training.
        StorageError: a checkpoint cannot be written; the previous one stays.
    """
    diary, task = diary or Diary(), to_single_precision(task)
    members, history, spent = _resume(_fresh(task, settings, jnp.asarray(seed)), diary)
    programs = _programs(task, select_member(members.model, 0))
    start = time.monotonic() - spent
    try:
        while not bool(members.stopped.all()):
            members = _advance((task, programs), settings, members)
            entry = _entry(members, time.monotonic() - start)
            history.append(entry)
            diary.note(entry)
            _save(diary, members, history)
            diary.reporter.update(entry["step"], settings.steps, _message(members))
    finally:
        diary.reporter.close()
    try:
        return _result(task, members, history, entry_seconds(history))
    except DivergedError:
        if diary.checkpoint:  # nothing worth going on from; the remedy is other settings in the same folder
            diary.checkpoint.unlink(missing_ok=True)
        raise


def entry_seconds(history: list[dict[str, Any]]) -> float:
    """Training time so far."""
    return history[-1]["seconds"] if history else 0.0


def _programs(task: Any, model: Model) -> Any:
    """What compiled training is kept by beside its structure; nothing for code of this library alone."""
    return programs_of(model) if type(task).__module__.startswith("attractor.") else object()


def _fresh(task: Any, settings: TrainingSettings, seed: Int[Array, ""]) -> Member:
    keys = jax.random.split(jax.random.key(seed), settings.seeds)
    # What draws a cell of the user's own may read what has changed since; it is compiled for this training.
    drawing = object() if _programs(task, structure_of(task.initial)) else None
    return start_all(
        lambda keys: _all_fresh(task, settings, keys, drawing),
        lambda key: _one_fresh(task, settings, key),
        keys,
    )


@quickly_compiled
def _all_fresh(task: Any, settings: TrainingSettings, keys: Key[Array, " seeds"], _drawing: Any) -> Member:
    return eqx.filter_vmap(lambda key: _one_fresh(task, settings, key))(keys)


def _one_fresh(task: Any, settings: TrainingSettings, key: PRNGKeyArray) -> Member:
    model_key, batch_key = jax.random.split(key)
    model = task.initial(model_key)
    zero = jnp.zeros((), jnp.int32)
    infinite = jnp.array(jnp.inf, jnp.float32)
    return Member(
        model=model,
        optimiser=make_optimiser(settings).init(eqx.filter(model, eqx.is_inexact_array)),
        key=batch_key,
        step=zero,
        loss=infinite,
        score=infinite,
        best=model,
        best_score=infinite,
        best_step=zero,
        failed=jnp.array(NEVER, jnp.int32),
        stopped=jnp.zeros((), bool),
        memory=start_memory(task, batch_key),
    )


@eqx.filter_jit(donate="all-except-first")
def _advance(learned: tuple[Any, Any], settings: TrainingSettings, members: Member) -> Member:
    """All members up to the next validation; the task, and which programs it trains."""
    task, _ = learned
    optimiser = make_optimiser(settings)

    def one(member: Member) -> Member:
        arrays, static = eqx.partition(member, eqx.is_array)

        def body(arrays: Member, _: None) -> tuple[Member, None]:
            stepped = _step(task, optimiser, eqx.combine(arrays, static), settings)
            return eqx.filter(stepped, eqx.is_array), None

        arrays, _ = jax.lax.scan(body, arrays, None, length=settings.validate_every)
        return _validate(task, eqx.combine(arrays, static), settings)

    if settings.seeds > 1:
        return eqx.filter_vmap(one)(members)
    # A mapped axis of length one is not free: a fifth of the time of a Lipschitz network on 196 steps.
    return _lead(one(select_member(members, 0)))


def _lead(member: Member) -> Member:
    """A member alone on a leading axis."""
    return jax.tree.map(lambda leaf: leaf[None] if eqx.is_array(leaf) else leaf, member)


def _step(
    task: Any, optimiser: optax.GradientTransformation, member: Member, settings: TrainingSettings
) -> Member:
    """One update, unless the member has stopped or the update would not be finite."""

    @eqx.filter_value_and_grad(has_aux=True)
    def mean_loss(model: Model) -> tuple[Float[Array, ""], Memory]:
        losses, memory = losses_at(task, model, member.moment)
        return jnp.mean(losses), memory

    (loss, memory), gradient = mean_loss(member.model)
    # Of a complex weight JAX gives the conjugate of the direction in which the loss rises.
    gradient = jax.tree.map(jnp.conj, gradient)
    trained = eqx.filter(member.model, eqx.is_inexact_array)
    updates, state = optimiser.update(gradient, member.optimiser, trained)
    finite = jnp.isfinite(loss) & jnp.isfinite(optax.tree.norm(gradient))
    active = ~member.stopped & (member.step < settings.steps)
    go = active & finite
    return Member(
        model=_choose(go, eqx.apply_updates(member.model, updates), member.model),
        optimiser=_choose(go, state, member.optimiser),
        key=member.key,
        step=member.step + go,
        loss=jnp.where(go, loss, member.loss),
        score=member.score,
        best=member.best,
        best_score=member.best_score,
        best_step=member.best_step,
        failed=jnp.where(active & ~finite, member.step, member.failed),
        stopped=member.stopped | (active & ~finite),
        memory=_choose(go, memory, member.memory),
    )


def _validate(task: Any, member: Member, settings: TrainingSettings) -> Member:
    candidate = settled(task, member.model)
    score = jnp.where(member.stopped, jnp.inf, score_of(task, candidate))
    better = score < member.best_score
    best_step = jnp.where(better, member.step, member.best_step)
    stopped = member.stopped | (member.step >= settings.steps)
    if settings.patience is not None:
        stopped |= member.step - best_step >= min(settings.patience * settings.validate_every, LARGEST_WHOLE)
    memory = review(task, candidate, member.moment)
    return dataclasses.replace(
        member,
        score=jnp.where(member.stopped, member.score, score),
        best=_choose(better, candidate, member.best),
        best_score=jnp.where(better, score, member.best_score),
        best_step=best_step,
        stopped=stopped,
        memory=_choose(~member.stopped, memory, member.memory),
    )


def _choose(condition: Bool[Array, ""], yes: Any, no: Any) -> Any:
    def pick(one: Any, two: Any) -> Any:
        return jnp.where(condition, one, two) if eqx.is_array(one) else one

    return jax.tree.map(pick, yes, no)


def _entry(members: Member, seconds: float) -> dict[str, Any]:
    return {
        "step": int(members.step.max()),
        "seconds": round(seconds, 3),
        "loss": [float(value) for value in members.loss],
        "validation": [float(value) for value in members.score],
    }


def _message(members: Member) -> str:
    return f"loss {float(jnp.nanmin(members.loss)):.2e}, validation {float(members.best_score.min()):.4f}"


def _resume(members: Member, diary: Diary) -> tuple[Member, list[dict[str, Any]], float]:
    if diary.checkpoint is None or not diary.checkpoint.exists():
        diary.restart_log([])
        return members, [], 0.0
    check_own(diary.checkpoint, diary.fingerprint)
    arrays, facts = load_training(diary.checkpoint)
    members, history = from_arrays(members, arrays, str(diary.checkpoint)), facts["history"]
    diary.restart_log(history)
    return members, history, entry_seconds(history)


def _save(diary: Diary, members: Member, history: list[dict[str, Any]]) -> None:
    if diary.checkpoint is not None:
        save_checkpoint(diary.checkpoint, members, {"fingerprint": diary.fingerprint, "history": history})


def _result(task: Any, members: Member, history: list[dict[str, Any]], seconds: float) -> Trained:
    scores = np.asarray(members.best_score, float)
    failed = [index for index, step in enumerate(np.asarray(members.failed)) if step != NEVER]
    problems = [_failure(task, members, index) for index in failed]
    if not np.isfinite(scores).any():
        raise problems[0] if problems else _never_finite(members)
    warnings = tuple(f"member {index}: {problem}" for index, problem in zip(failed, problems, strict=True))
    return Trained(
        models=members.best,
        scores=scores,
        steps=np.asarray(members.best_step),
        history=history,
        seconds=seconds,
        warnings=warnings,
        last=members.model,
        memory=members.memory,
    )


def _failure(task: Any, members: Member, index: int) -> DivergedError:
    member = select_member(members, index)
    return diagnose(task, member.model, member.moment)


def _never_finite(members: Member) -> DivergedError:
    message = (
        f"after {int(members.step.max())} steps the validation figure was never finite, although every loss "
        "was; look for NaN or very large values in the validation data"
    )
    return DivergedError(message)
