"""Refine small networks by Gauss-Newton steps with Levenberg-Marquardt damping.

First-order training brings a plant model near a good fit and then crawls; least squares on all residuals at
once finishes the work. Every step solves (J'J + mu diag(J'J)) d = -J'r in float64, with J by forward mode
(Levenberg 1944; Marquardt 1963; Nocedal and Wright 2006, section 10.3). The best weights by validation are
kept, so that refinement never makes the chosen validation worse.
"""

import time
from abc import abstractmethod
from dataclasses import replace
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, DTypeLike, Float, Int, PyTree

from attractor.program import compiled, double_precision
from attractor.progress import AtMost

from .checkpoint import REFINEMENT, fingerprint, from_arrays, load_training, save_checkpoint
from .run_log import Entry, RunLog
from .task import Model, Task
from .trainer import Trained

MOST_PARAMETERS = 2000
"""J'J of more parameters costs more than it gains on a CPU."""

_FIRST_DAMPING, _LEAST_DAMPING, _MOST_DAMPING = 1e-3, 1e-9, 1e9
_MORE, _LESS = 5.0, 0.25
_SMALLEST_GAIN = 1e-7


class LeastSquares(Task):
    """A task whose loss is a sum of squares."""

    @abstractmethod
    def groups(self) -> PyTree[Array]:
        """All training data as a pytree whose leaves have the groups on their leading axis."""

    @abstractmethod
    def residuals(self, model: Model, group: PyTree[Array]) -> Float[Array, " residuals"]:
        """Residuals of one group of training data; padding gives residuals of exactly 0."""

    @abstractmethod
    def residual_count(self, groups: PyTree[Array]) -> Int[Array, ""]:
        """How many residuals of all groups are data and not padding."""

    @abstractmethod
    def refinable(self, model: Model) -> PyTree[bool]:
        """Which leaves of the model take part."""


class Refinement(eqx.Module):
    """What a refinement carries from step to step; all numbers are float64.

    Args:
        model: the weights.
        loss: mean squared residual, padding not counted.
        damping: mu.
        score: the validation of `model`.
        best: the weights of the lowest validation so far.
        best_score: that validation.
        step: number of the step.
        best_step: the step of `best`.
        stopped: nothing is left to gain.
    """

    model: Model
    loss: Float[Array, ""]
    damping: Float[Array, ""]
    score: Float[Array, ""]
    best: Model
    best_score: Float[Array, ""]
    step: Int[Array, ""]
    best_step: Int[Array, ""]
    stopped: Array


class NormalEquations(NamedTuple):
    """J'J, J'r and r'r over all groups."""

    curvature: Float[Array, "parameters parameters"]
    gradient: Float[Array, " parameters"]
    squares: Float[Array, ""]


def parameter_count(task: LeastSquares, model: Model) -> int:
    """Number of weights that would be refined."""
    return sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(model, task.refinable(model))))


@compiled
def start(task: LeastSquares, model: Model) -> Refinement:
    """A refinement at its first step; call inside `jax.enable_x64(True)`."""
    exact = _cast(model, jnp.float64)
    score = task.score(exact).astype(float)
    return Refinement(
        model=exact,
        loss=jnp.array(jnp.inf, float),
        damping=jnp.array(_FIRST_DAMPING, float),
        score=score,
        best=exact,
        best_score=score,
        step=jnp.zeros((), jnp.int32),
        best_step=jnp.zeros((), jnp.int32),
        stopped=jnp.zeros((), bool),
    )


@compiled
def advance(task: LeastSquares, groups: PyTree[Array], state: Refinement) -> Refinement:
    """One accepted step, or the end.

    The damping grows until the squares fall; it shrinks after a success. The refinement stops when no
    damping helps or when a step gains less than 1e-7 of the loss.
    """
    chosen = eqx.filter(state.model, task.refinable(state.model))
    flat, restore = ravel_pytree(chosen)
    system = _normal_equations(task, groups, state.model, flat)

    def worse(carry: tuple[Array, Array, Array]) -> Array:
        damping, _, squares = carry
        return ~(squares < system.squares) & (damping < _MOST_DAMPING)

    def attempt(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        damping, _, _ = carry
        damping = damping * _MORE
        step = flat + _step(system, damping)
        return damping, step, _squares(task, groups, eqx.combine(restore(step), state.model))

    low = jnp.maximum(state.damping * _LESS / _MORE, _LEAST_DAMPING)
    damping, new, squares = jax.lax.while_loop(worse, attempt, (low, flat, jnp.array(jnp.inf, float)))
    success = squares < system.squares
    model = eqx.combine(restore(jnp.where(success, new, flat)), state.model)
    score = jnp.where(success, task.score(model).astype(float), state.score)
    better = score < state.best_score
    gain = 1 - squares / system.squares
    return Refinement(
        model=model,
        loss=jnp.minimum(squares, system.squares) / task.residual_count(groups),
        damping=damping,
        score=score,
        best=jax.tree.map(lambda a, b: jnp.where(better, a, b) if eqx.is_array(a) else a, model, state.best),
        best_score=jnp.where(better, score, state.best_score),
        step=state.step + 1,
        best_step=jnp.where(better, state.step + 1, state.best_step),
        stopped=~success | (gain < _SMALLEST_GAIN),
    )


def refine(task: LeastSquares, trained: Trained, steps: int, log: RunLog) -> Trained:
    """Refine every replica of a finished training for up to `steps` steps, in float64.

    Replicas advance side by side and stop one by one. For the reporter this is a stretch of work of its own,
    closed at its end, also when it is interrupted. With a folder in the log, every round is logged and
    checkpointed as it is made; a killed refinement that is called again ends in the same bits.

    Args:
        task: what was learned.
        trained: its training.
        steps: most steps per replica; 0 changes nothing.
        log: where to write and report.
    """
    if steps == 0:
        return trained
    count = parameter_count(task, trained.model(0))
    if count > MOST_PARAMETERS:
        note = f"not refined: {count} weights, the limit is {MOST_PARAMETERS}"
        return replace(trained, warnings=(*trained.warnings, note))
    with double_precision():
        replicas, history = _rounds(task, trained, steps, log)
        return _merge(trained, replicas, history)


def _rounds(
    task: LeastSquares, trained: Trained, steps: int, log: RunLog
) -> tuple[list[Refinement], list[Entry]]:
    task = _cast(task, jnp.float64)
    replicas = [start(task, trained.model(index)) for index in range(len(trained.scores))]
    groups = task.groups()
    path = log.folder / REFINEMENT if log.folder else None
    mark = log.fingerprint
    if path is not None and mark is None:
        mark = fingerprint(task=task, models=trained.models)
    history: list[Entry] = []
    if path is not None and path.exists():
        arrays, facts = load_training(path)
        if facts["fingerprint"] == mark:
            replicas, history = from_arrays(replicas, arrays, str(path)), facts["history"]
    log.restart([*trained.history, *history])
    begin = time.monotonic() - (history[-1]["seconds"] - trained.seconds if history else 0.0)
    first = trained.history[-1]["step"] if trained.history else 0
    try:
        while len(history) < steps and not all(bool(replica.stopped) for replica in replicas):
            replicas = [
                replica if bool(replica.stopped) else advance(task, groups, replica) for replica in replicas
            ]
            history.append(_entry(replicas, first, trained.seconds + time.monotonic() - begin))
            log.add(history[-1])
            if path is not None and log.log:
                save_checkpoint(path, replicas, {"fingerprint": mark, "history": history})
            log.report(len(history), AtMost(steps), _message(replicas))
        if 0 < len(history) < steps:
            log.report(len(history), len(history), f"stopped at {len(history)}: nothing is left to gain")
    finally:
        log.reporter.close()
    return replicas, history


def _merge(trained: Trained, replicas: list[Refinement], history: list[Entry]) -> Trained:
    arrays = [eqx.filter(_cast(replica.best, jnp.float32), eqx.is_array) for replica in replicas]
    models = eqx.combine(jax.tree.map(lambda *leaves: jnp.stack(leaves), *arrays), trained.models)
    refined = np.array([int(replica.best_step) for replica in replicas])
    last = trained.history[-1]["step"] if trained.history else 0
    return replace(
        trained,
        models=models,
        scores=np.array([float(replica.best_score) for replica in replicas]),
        steps=np.where(refined > 0, last + refined, trained.steps),
        history=[*trained.history, *history],
        seconds=history[-1]["seconds"] if history else trained.seconds,
    )


def _entry(replicas: list[Refinement], first: int, seconds: float) -> Entry:
    return {
        "step": first + max(int(replica.step) for replica in replicas),
        "seconds": round(seconds, 3),
        "loss": [float(replica.loss) for replica in replicas],
        "validation": [float(replica.score) for replica in replicas],
        "method": "Gauss-Newton",
    }


def _message(replicas: list[Refinement]) -> str:
    best = min(float(replica.best_score) for replica in replicas)
    loss = np.fmin.reduce([float(replica.loss) for replica in replicas])  # fmin leaves NaN out
    return f"refining, loss {loss:.2e}, validation {best:.4f}"


def _cast(model: Model, dtype: DTypeLike) -> Model:
    return jax.tree.map(lambda leaf: leaf.astype(dtype) if eqx.is_inexact_array(leaf) else leaf, model)


def _normal_equations(
    task: LeastSquares, groups: PyTree[Array], model: Model, flat: Float[Array, " parameters"]
) -> NormalEquations:
    """Sums over the groups, one Jacobian at a time."""
    _, restore = ravel_pytree(eqx.filter(model, task.refinable(model)))
    size = len(flat)

    def add(total: NormalEquations, group: PyTree[Array]) -> tuple[NormalEquations, None]:
        def residuals(flat: Float[Array, " parameters"]) -> Float[Array, " residuals"]:
            return task.residuals(eqx.combine(restore(flat), model), group)

        values, jacobian = residuals(flat), jax.jacfwd(residuals)(flat)
        parts = NormalEquations(jacobian.T @ jacobian, jacobian.T @ values, values @ values)
        return jax.tree.map(jnp.add, total, parts), None

    zero = NormalEquations(jnp.zeros((size, size)), jnp.zeros(size), jnp.zeros(()))
    return jax.lax.scan(add, zero, groups)[0]


def _squares(task: LeastSquares, groups: PyTree[Array], model: Model) -> Float[Array, ""]:
    def one(group: PyTree[Array]) -> Float[Array, ""]:
        return jnp.sum(task.residuals(model, group) ** 2)

    return jnp.sum(jax.lax.map(one, groups))


def _step(system: NormalEquations, damping: Float[Array, ""]) -> Float[Array, " parameters"]:
    scale = jnp.diag(system.curvature) + _LEAST_DAMPING
    return jnp.linalg.solve(system.curvature + damping * jnp.diag(scale), -system.gradient)
