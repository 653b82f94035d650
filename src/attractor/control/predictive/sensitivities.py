"""One compiled look at a plan: prediction, exact sensitivities, condensed Gauss-Newton model of the cost."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attractor.control.model import ControlModel

from .control_problem import ControlProblem


@dataclass(frozen=True)
class Situation:
    """What is fixed while one plan is sought, in scaled units, all NumPy and float64.

    Args:
        state: where the plant is believed to be.
        last_input: the input of the sample before.
        references: wished outputs y_1 .. y_N.
        target_state: x_r of the cost.
        target_input: u_r of the cost.
        disturbance: d, added to every predicted output.
        terminal: P of the cost.
    """

    state: Float[np.ndarray, " states"]
    last_input: Float[np.ndarray, " inputs"]
    references: Float[np.ndarray, "horizon outputs"]
    target_state: Float[np.ndarray, " states"]
    target_input: Float[np.ndarray, " inputs"]
    disturbance: Float[np.ndarray, " outputs"]
    terminal: Float[np.ndarray, "states states"]

    def packed(self) -> Float[np.ndarray, " numbers"]:
        """All of it in one vector: one transfer to the compiled function instead of seven."""
        return np.concatenate([
            self.state,
            self.last_input,
            self.references.ravel(),
            self.target_state,
            self.target_input,
            self.disturbance,
            self.terminal.ravel(),
        ])


@dataclass(frozen=True)
class Look:
    r"""What one evaluation tells about a plan u (flat, `numbers` = N * inputs).

    With $p$ the change of the plan: $J(u + p) \approx J(u) + g'p + \frac{1}{2} p'Hp$, $H$ positive
    semidefinite (Gauss-Newton), and $y(u + p) \approx y + Y p$ with the exact Jacobian $Y$.

    Args:
        cost: J without the penalty of output limits.
        merit: J with it.
        gradient: g, exact.
        hessian: H.
        outputs: predicted y_1 .. y_N, with the disturbance.
        sensitivity: Y, rows in the order of the outputs.
        reach: dx_N/du.
        pull: dJ/dx_N of the terminal cost.
    """

    cost: float
    merit: float
    gradient: Float[np.ndarray, " numbers"]
    hessian: Float[np.ndarray, "numbers numbers"]
    outputs: Float[np.ndarray, "horizon outputs"]
    sensitivity: Float[np.ndarray, "rows numbers"]
    reach: Float[np.ndarray, "states numbers"]
    pull: Float[np.ndarray, " states"]

    @property
    def finite(self) -> bool:
        """Whether every number can be used."""
        return bool(
            np.isfinite(self.merit)
            and np.isfinite(self.gradient).all()
            and np.isfinite(self.hessian).all()
            and np.isfinite(self.sensitivity).all()
        )


def predict(
    model: ControlModel, state: Float[Array, " states"], plan: Float[Array, "horizon inputs"]
) -> Float[Array, "horizon states"]:
    """The states x_1 .. x_N that follow a state under a plan."""

    def advance(state: Array, given: Array) -> tuple[Array, Array]:
        after = model.step(state, given)
        return after, after

    return jax.lax.scan(advance, state, plan)[1]


def sensitivities(
    model: ControlModel, state: Float[Array, " states"], plan: Float[Array, "horizon inputs"]
) -> tuple[
    Float[Array, "horizon states"],
    Float[Array, "horizon outputs"],
    Float[Array, "horizon states numbers"],
    Float[Array, "horizon outputs numbers"],
]:
    r"""States and outputs along a plan, and their exact derivatives by the whole plan.

    $$\frac{dx_{k+1}}{du} = A_k \frac{dx_k}{du} + B_k E_k, \qquad
      \frac{dy_k}{du} = C_k \frac{dx_k}{du}$$

    with $A_k = \partial f/\partial x$, $B_k = \partial f/\partial u$, $C_k = \partial g/\partial x$ by
    forward mode at the predicted states, all samples at once, and $E_k$ (inputs, numbers) which picks $u_k$.

    Args:
        model: the plant.
        state: x_0.
        plan: u_0 .. u_{N-1}.

    Returns:
        x_1 .. x_N, y_1 .. y_N, dx/du and dy/du; `numbers` = N * inputs.
    """
    size, (horizon, inputs) = len(state), plan.shape
    states = predict(model, state, plan)
    points = jnp.concatenate([jnp.concatenate([state[None], states[:-1]]), plan], axis=1)
    both = jax.vmap(jax.jacfwd(lambda point: model.step(point[:size], point[size:])))(points)
    outputs, reading = jax.vmap(lambda x: (model.output(x), jax.jacfwd(model.output)(x)))(states)

    def carry(moved: Array, sample: tuple[Array, Array]) -> tuple[Array, Array]:
        jacobian, index = sample
        moved = jacobian[:, :size] @ moved
        moved = jax.lax.dynamic_update_slice(moved, jacobian[:, size:], (0, index * inputs))
        return moved, moved

    start = jnp.zeros((size, horizon * inputs), both.dtype)
    _, moved = jax.lax.scan(carry, start, (both, jnp.arange(horizon)))
    return states, outputs, moved, reading @ moved


class Evaluation:
    """The compiled function from a situation and a plan to a `Look`: one call, one vector in, one out.

    Dispatch is what a small controller spends its time on, so everything a step of the solver needs comes
    from one call.

    Args:
        model: the plant.
        problem: horizon, weights and limits; they are constants of the compiled function.
    """

    def __init__(self, model: ControlModel, problem: ControlProblem) -> None:
        self.inputs, self.outputs, self.states = model.input_size, model.output_size, model.state_size
        self.horizon, self.numbers = problem.horizon, problem.horizon * model.input_size
        self._call = jax.jit(_evaluation(model, problem))
        rows = self.horizon * self.outputs
        sizes = (2, self.numbers, self.numbers**2, rows, rows * self.numbers, self.states * self.numbers)
        ends = np.cumsum([0, *sizes, self.states]).tolist()
        self._parts = [slice(*span) for span in pairwise(ends)]

    def __call__(
        self, situation: Float[np.ndarray, " numbers"], plan: Float[np.ndarray, "horizon inputs"]
    ) -> Look:
        """Look at a plan; `situation` is `Situation.packed()`. Call inside `jax.enable_x64(True)`."""
        # A copy, since the buffers of JAX are read-only and the QP solver asks for writable ones.
        flat = np.array(self._call(situation, plan))
        values, gradient, hessian, outputs, sensitivity, reach, pull = (flat[part] for part in self._parts)
        return Look(
            float(values[0]),
            float(values[1]),
            gradient,
            hessian.reshape(self.numbers, self.numbers),
            outputs.reshape(self.horizon, self.outputs),
            sensitivity.reshape(-1, self.numbers),
            reach.reshape(self.states, self.numbers),
            pull,
        )


def _evaluation(model: ControlModel, problem: ControlProblem) -> Callable[[Array, Array], Array]:
    horizon, inputs = problem.horizon, model.input_size
    output_weight, input_weight, move_weight = problem.objective.diagonals(inputs, model.output_size)
    output_weight = np.tile(output_weight, horizon)
    difference = differences(horizon, inputs)
    moves = difference.T @ (np.tile(move_weight, horizon)[:, None] * difference)
    fixed = 2.0 * (moves + np.diag(np.tile(input_weight, horizon)))
    unpack = unpacker(model, horizon)

    def evaluate(situation: Array, plan: Array) -> Array:
        state, last, references, target_state, target_input, disturbance, terminal = unpack(situation)
        terminal = problem.objective.terminal_weight * terminal
        states, outputs, moved, sensitivity = sensitivities(model, state, plan)
        outputs = outputs + disturbance
        sensitivity = sensitivity.reshape(-1, plan.size)
        error = (outputs - references).ravel()
        final, reach = states[-1] - target_state, moved[-1]
        away = (plan - target_input).ravel()
        move = difference @ plan.ravel() - jnp.pad(last, (0, plan.size - inputs))
        cost = output_weight @ error**2 + final @ terminal @ final
        cost += np.tile(input_weight, horizon) @ away**2 + np.tile(move_weight, horizon) @ move**2
        weighted = sensitivity * output_weight[:, None]
        gradient = weighted.T @ error + reach.T @ (terminal @ final)
        gradient += np.tile(input_weight, horizon) * away
        gradient += difference.T @ (np.tile(move_weight, horizon) * move)
        hessian = 2.0 * (weighted.T @ sensitivity + reach.T @ terminal @ reach) + fixed
        merit = cost + penalty(problem, outputs)
        pull = 2.0 * (terminal @ final)
        parts = (jnp.stack([cost, merit]), 2.0 * gradient, hessian, outputs, sensitivity, reach, pull)
        return jnp.concatenate([part.ravel() for part in parts])

    return evaluate


def penalty(problem: ControlProblem, outputs: Float[Array, "horizon outputs"]) -> Float[Array, ""]:
    """What violations of output limits cost."""
    limits = problem.limits
    if not limits.has_output_limits:
        return jnp.zeros(())
    low, high = limits.output_box(outputs.shape[1])
    beyond = jnp.maximum(jnp.maximum(low - outputs, outputs - high), 0.0)
    return (limits.linear_penalty * beyond + 0.5 * limits.quadratic_penalty * beyond**2).sum()


def unpacker(model: ControlModel, horizon: int) -> Callable[[Array], list[Array]]:
    """The inverse of `Situation.packed`, in the order of its fields."""
    states, inputs, outputs = model.state_size, model.input_size, model.output_size
    shapes = [(states,), (inputs,), (horizon, outputs), (states,), (inputs,), (outputs,), (states, states)]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]

    def unpack(packed: Array) -> list[Array]:
        return [part.reshape(shape) for part, shape in zip(jnp.split(packed, ends), shapes, strict=True)]

    return unpack


def differences(horizon: int, inputs: int) -> Float[np.ndarray, "numbers numbers"]:
    """The matrix that turns a flat plan into its moves u_k - u_{k-1}, but for the last input before it."""
    size = horizon * inputs
    return np.eye(size) - np.eye(size, k=-inputs)
