"""Compiled linearisation at a plan: prediction, exact sensitivities, Gauss-Newton model of the cost."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attractor.control.model import ControlModel, InputVector, OutputVector, StateArray, StateVector
from attractor.shown import Shown

from .control_problem import ControlProblem, Hessian, InputPlan, Numbers, OutputPlan, Values


@dataclass(frozen=True)
class Situation(Shown):
    """What is fixed while one plan is sought, in scaled units, all NumPy and float64.

    Args:
        state: where the plant is believed to be.
        last_input: the input of the sample before.
        references: wanted outputs y_1 .. y_N.
        target_state: x_r of the cost.
        target_input: u_r of the cost.
        disturbance: d, added to every predicted output.
        terminal: P of the cost.
    """

    state: StateVector
    last_input: InputVector
    references: OutputPlan
    target_state: StateVector
    target_input: InputVector
    disturbance: OutputVector
    terminal: Float[np.ndarray, "states states"]

    @staticmethod
    def shapes(states: int, inputs: int, outputs: int, horizon: int) -> dict[str, tuple[int, ...]]:
        """The shape of every field, in their order."""
        return {
            "state": (states,),
            "last_input": (inputs,),
            "references": (horizon, outputs),
            "target_state": (states,),
            "target_input": (inputs,),
            "disturbance": (outputs,),
            "terminal": (states, states),
        }

    def packed(self) -> Float[np.ndarray, " all"]:
        """All of it in one vector: one transfer to the compiled function instead of seven."""
        return np.concatenate([np.ravel(part) for part in vars(self).values()])


@dataclass(frozen=True)
class Linearisation(Shown):
    r"""The cost and the outputs about a plan u (flat, `numbers` = N * inputs).

    With $p$ the change of the plan: $J(u + p) \approx J(u) + g'p + \frac{1}{2} p'Hp$, $H$ positive
    semidefinite (Gauss-Newton), and $y(u + p) \approx y + Y p$ with the exact Jacobian $Y$.

    Args:
        cost: J without the penalty of output limits.
        merit: J with it.
        gradient: g, exact.
        hessian: H.
        outputs: predicted y_1 .. y_N, with the disturbance.
        sensitivity: Y, rows in the order of the outputs.
        final_sensitivity: dx_N/du.
        final_gradient: dJ/dx_N of the terminal cost.
    """

    cost: float
    merit: float
    gradient: Numbers
    hessian: Hessian
    outputs: OutputPlan
    sensitivity: Float[np.ndarray, "rows numbers"]
    final_sensitivity: Float[np.ndarray, "states numbers"]
    final_gradient: StateVector

    @property
    def finite(self) -> bool:
        """Whether every number can be used."""
        used = self.merit, self.gradient, self.hessian, self.sensitivity
        return all(np.isfinite(part).all() for part in used)


def predict(
    model: ControlModel, state: StateArray, plan: Float[Array, "horizon inputs"]
) -> Float[Array, "horizon states"]:
    """The states x_1 .. x_N that follow a state under a plan."""

    def advance(state: Array, input: Array) -> tuple[Array, Array]:
        after = model.step(state, input)
        return after, after

    return jax.lax.scan(advance, state, plan)[1]


def sensitivities(
    model: ControlModel, state: StateArray, plan: Float[Array, "horizon inputs"]
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
    """The compiled function from a situation and a plan to a `Linearisation`: one vector in, one out.

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
        square, by_rows = (self.numbers, self.numbers), (rows, self.numbers)
        outputs, final = (self.horizon, self.outputs), (self.states, self.numbers)
        self._unpack = unpacking((2,), (self.numbers,), square, outputs, by_rows, final, (self.states,))

    def __call__(self, situation: Float[np.ndarray, " all"], plan: InputPlan) -> Linearisation:
        """Linearise at a plan; `situation` is `Situation.packed()`. Call inside `jax.enable_x64(True)`."""
        # A copy, since the buffers of JAX are read-only and the QP solver asks for writable ones.
        (cost, merit), *rest = self._unpack(np.array(self._call(situation, plan)))
        return Linearisation(float(cost), float(merit), *rest)


def _evaluation(model: ControlModel, problem: ControlProblem) -> Callable[[Array, Array], Array]:
    horizon, inputs = problem.horizon, model.input_size
    weights = problem.objective.diagonals(inputs, model.output_size)
    output_weight, input_weight, move_weight = (np.tile(weight, horizon) for weight in weights)
    difference = differences(horizon, inputs)
    moves = difference.T @ (move_weight[:, None] * difference)
    fixed = 2.0 * (moves + np.diag(input_weight))
    unpack = situation_unpacking(model, horizon)
    penalty = output_penalty(problem, model.output_size)

    def evaluate(situation: Array, plan: Array) -> Array:
        state, last, references, target_state, target_input, disturbance, terminal = unpack(situation)
        terminal = problem.objective.terminal_weight * terminal
        states, outputs, moved, sensitivity = sensitivities(model, state, plan)
        outputs = outputs + disturbance
        sensitivity = sensitivity.reshape(-1, plan.size)
        error = (outputs - references).ravel()
        final, by_plan = states[-1] - target_state, moved[-1]
        away = (plan - target_input).ravel()
        move = difference @ plan.ravel() - jnp.pad(last, (0, plan.size - inputs))
        cost = output_weight @ error**2 + final @ terminal @ final
        cost += input_weight @ away**2 + move_weight @ move**2
        weighted = sensitivity * output_weight[:, None]
        gradient = weighted.T @ error + by_plan.T @ (terminal @ final)
        gradient += input_weight * away
        gradient += difference.T @ (move_weight * move)
        hessian = 2.0 * (weighted.T @ sensitivity + by_plan.T @ terminal @ by_plan) + fixed
        values = jnp.stack([cost, cost + penalty(outputs)])
        parts = values, 2.0 * gradient, hessian, outputs, sensitivity, by_plan, 2.0 * (terminal @ final)
        return jnp.concatenate([part.ravel() for part in parts])

    return evaluate


def output_penalty(problem: ControlProblem, outputs: int) -> Callable[[Array], Array]:
    """What violations of output limits cost, as a function of the outputs over the horizon."""
    limits = problem.limits
    if not limits.has_output_limits:
        return lambda outputs: jnp.zeros(())
    low, high = map(jnp.asarray, limits.output_box(outputs))
    return lambda outputs: jnp.asarray(limits.penalty(outputs, low, high))


def unpacking(*shapes: tuple[int, ...]) -> Callable[[Values], list[Values]]:
    """The function that cuts a vector into arrays of these shapes, the inverse of joining them."""
    ends = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)]).tolist()
    spans = [slice(*span) for span in pairwise(ends)]
    return lambda packed: [packed[span].reshape(shape) for span, shape in zip(spans, shapes, strict=True)]


def situation_unpacking(model: ControlModel, horizon: int) -> Callable[[Array], list[Array]]:
    """The inverse of `Situation.packed`, in the order of its fields."""
    sizes = model.state_size, model.input_size, model.output_size
    return unpacking(*Situation.shapes(*sizes, horizon).values())


def differences(horizon: int, inputs: int) -> Hessian:
    """The matrix that turns a flat plan into its moves u_k - u_{k-1}, but for the last input before it."""
    size = horizon * inputs
    return np.eye(size) - np.eye(size, k=-inputs)
