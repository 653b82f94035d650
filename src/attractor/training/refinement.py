"""Refine small networks by Gauss-Newton steps with Levenberg-Marquardt damping.

First-order training brings a plant model near a good fit and then crawls; least squares on all residuals at
once finishes the work. Every step solves (J'J + mu diag(J'J)) d = -J'r in float64, with J by forward mode
(Levenberg 1944; Marquardt 1963; Nocedal and Wright 2006, section 10.3). The best weights by validation are
kept, so that refinement never makes the chosen figure worse.
"""

import time
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int

from attractor.program import compiled, double_precision

from .checkpoint import REFINEMENT, from_arrays, load_training, save_checkpoint
from .task import Model, Task, score_of
from .trainer import Diary, Trained

MOST_PARAMETERS = 2000
"""J'J of more parameters costs more than it gains on a CPU."""

_FIRST_DAMPING, _LEAST_DAMPING, _MOST_DAMPING = 1e-3, 1e-9, 1e9
_MORE, _LESS = 5.0, 0.25
_SMALLEST_GAIN = 1e-7


@runtime_checkable
class LeastSquares(Task, Protocol):
    """A task whose loss is a sum of squares."""

    def groups(self) -> Any:
        """All training data as a pytree whose leaves have the groups on their leading axis."""
        ...

    def residuals(self, model: Model, group: Any) -> Float[Array, " residuals"]:
        """Residuals of one group of training data; padding gives residuals of exactly 0."""
        ...

    def residual_count(self, groups: Any) -> Int[Array, ""]:
        """How many residuals of all groups are data and not padding."""
        ...

    def refinable(self, model: Model) -> Any:
        """A pytree of booleans: which leaves of the model take part."""
        ...


class Refinement(eqx.Module):
    """What a refinement carries from step to step; all numbers are float64.

    Args:
        model: the weights.
        loss: mean squared residual, padding not counted.
        damping: mu.
        score: the validation figure of `model`.
        best: the weights of the lowest validation figure so far.
        best_score: that figure.
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
    exact = to_double(model)
    score = score_of(task, exact).astype(float)
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
def advance(task: LeastSquares, groups: Any, state: Refinement) -> Refinement:
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
        return damping, step, _squares(task, groups, _with(state.model, restore(step)))

    low = jnp.maximum(state.damping * _LESS / _MORE, _LEAST_DAMPING)
    damping, new, squares = jax.lax.while_loop(worse, attempt, (low, flat, jnp.array(jnp.inf, float)))
    success = squares < system.squares
    model = _with(state.model, restore(jnp.where(success, new, flat)))
    score = jnp.where(success, score_of(task, model).astype(float), state.score)
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


def refine(task: LeastSquares, trained: Trained, steps: int, diary: Diary) -> Trained:
    """Refine every member of a finished training for up to `steps` steps, in float64.

    Members advance side by side and stop one by one. For the reporter this is a stretch of work of its own,
    closed at its end, also when it is interrupted. With a folder in the diary, every round is logged and
    checkpointed as it is made; a killed refinement that is called again ends in the same bits.

    Args:
        task: what was learned.
        trained: its training.
        steps: most steps a member; 0 changes nothing.
        diary: where to write and report.
    """
    if steps == 0:
        return trained
    count = parameter_count(task, trained.model(0))
    if count > MOST_PARAMETERS:
        note = f"not refined: {count} weights, the limit is {MOST_PARAMETERS}"
        return replace(trained, warnings=(*trained.warnings, note))
    with double_precision():
        members, history = _rounds(task, trained, steps, diary)
        return _merge(trained, members, history)


def _rounds(
    task: LeastSquares, trained: Trained, steps: int, diary: Diary
) -> tuple[list[Refinement], list[dict[str, Any]]]:
    task = _cast(task, jnp.float64)
    members = [start(task, trained.model(index)) for index in range(len(trained.scores))]
    groups = task.groups()
    path = diary.folder / REFINEMENT if diary.folder else None
    history: list[dict[str, Any]] = []
    if path is not None and path.exists():
        arrays, facts = load_training(path)
        if facts["fingerprint"] == diary.fingerprint:
            members, history = from_arrays(members, arrays, str(path)), facts["history"]
    diary.restart_log([*trained.history, *history])
    begin = time.monotonic() - (history[-1]["seconds"] - trained.seconds if history else 0.0)
    first = trained.history[-1]["step"] if trained.history else 0
    try:
        while len(history) < steps and not all(bool(member.stopped) for member in members):
            members = [
                member if bool(member.stopped) else advance(task, groups, member) for member in members
            ]
            history.append(_entry(members, first, trained.seconds + time.monotonic() - begin))
            diary.note(history[-1])
            if path is not None:
                save_checkpoint(path, members, {"fingerprint": diary.fingerprint, "history": history})
            diary.reporter.update(len(history), steps, _message(members))
    finally:
        diary.reporter.close()
    return members, history


def _merge(trained: Trained, members: list[Refinement], history: list[dict[str, Any]]) -> Trained:
    arrays = [eqx.filter(to_single(member.best), eqx.is_array) for member in members]
    models = eqx.combine(jax.tree.map(lambda *leaves: jnp.stack(leaves), *arrays), trained.models)
    refined = np.array([int(member.best_step) for member in members])
    last = trained.history[-1]["step"] if trained.history else 0
    return replace(
        trained,
        models=models,
        scores=np.array([float(member.best_score) for member in members]),
        steps=np.where(refined > 0, last + refined, trained.steps),
        history=[*trained.history, *history],
        seconds=history[-1]["seconds"] if history else trained.seconds,
    )


def _entry(members: list[Refinement], first: int, seconds: float) -> dict[str, Any]:
    return {
        "step": first + max(int(member.step) for member in members),
        "seconds": round(seconds, 3),
        "loss": [float(member.loss) for member in members],
        "validation": [float(member.score) for member in members],
        "method": "Gauss-Newton",
    }


def _message(members: list[Refinement]) -> str:
    best = min(float(member.best_score) for member in members)
    loss = np.fmin.reduce([float(member.loss) for member in members])  # fmin leaves NaN out
    return f"refining, loss {loss:.2e}, validation {best:.4f}"


def to_double(model: Model) -> Model:
    """The same weights in float64."""
    return _cast(model, jnp.float64)


def to_single(model: Model) -> Model:
    """The same weights in float32, as they are trained and stored."""
    return _cast(model, jnp.float32)


def _cast(model: Model, dtype: Any) -> Model:
    return jax.tree.map(lambda leaf: leaf.astype(dtype) if eqx.is_inexact_array(leaf) else leaf, model)


def _with(model: Model, chosen: Model) -> Model:
    return eqx.combine(chosen, model)


def _normal_equations(
    task: LeastSquares, groups: Any, model: Model, flat: Float[Array, " parameters"]
) -> NormalEquations:
    """Sums over the groups, one Jacobian at a time."""
    _, restore = ravel_pytree(eqx.filter(model, task.refinable(model)))
    size = len(flat)

    def add(total: NormalEquations, group: Any) -> tuple[NormalEquations, None]:
        def residuals(flat: Float[Array, " parameters"]) -> Float[Array, " residuals"]:
            return task.residuals(_with(model, restore(flat)), group)

        values, jacobian = residuals(flat), jax.jacfwd(residuals)(flat)
        parts = NormalEquations(jacobian.T @ jacobian, jacobian.T @ values, values @ values)
        return jax.tree.map(jnp.add, total, parts), None

    zero = NormalEquations(jnp.zeros((size, size)), jnp.zeros(size), jnp.zeros(()))
    return jax.lax.scan(add, zero, groups)[0]


def _squares(task: LeastSquares, groups: Any, model: Model) -> Float[Array, ""]:
    def one(group: Any) -> Float[Array, ""]:
        return jnp.sum(task.residuals(model, group) ** 2)

    return jnp.sum(jax.lax.map(one, groups))


def _step(system: NormalEquations, damping: Float[Array, ""]) -> Float[Array, " parameters"]:
    scale = jnp.diag(system.curvature) + _LEAST_DAMPING
    return jnp.linalg.solve(system.curvature + damping * jnp.diag(scale), -system.gradient)
