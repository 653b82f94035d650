"""Where the plant should come to rest: the state and the input that hold a reference, within the limits."""

from dataclasses import dataclass

import daqp
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attractor.control.model import ControlModel, InputVector, OutputVector, StateVector
from attractor.dynamics.roots import state_of_rest
from attractor.program import double_precision
from attractor.shown import Shown

from .control_problem import ControlProblem
from .sensitivities import unpacking

_RESTS = 1e-10
"""Largest |f(x, u) - x| of a state that counts as at rest, scaled."""
_REACHED = 1e-6
"""Largest error of an output that counts as reached, scaled."""
_STEADY_ROUNDS = 100
_SMALL_MOVE = 1e-9
_ROUNDS = 30


@dataclass(frozen=True, eq=False)
class Rest(Shown):
    """The model at rest under one input.

    Args:
        state: x, with x = f(x, u).
        input: u.
        output: g(x), without disturbance.
        residual: largest entry of f(x, u) - x.
        jacobian: A = df/dx there.
        reading: C = dg/dx there.
        gain: dy/du = C (I - A)^-1 B of the steady state.
    """

    state: StateVector
    input: InputVector
    output: OutputVector
    residual: float
    jacobian: Float[np.ndarray, "states states"]
    reading: Float[np.ndarray, "outputs states"]
    gain: Float[np.ndarray, "outputs inputs"]

    @property
    def steady(self) -> bool:
        """Whether the state is at rest, and everything finite."""
        finite = np.isfinite(self.gain).all() and np.isfinite(self.output).all()
        return bool(self.residual <= _RESTS and finite)


@dataclass(frozen=True, eq=False)
class SteadyTarget(Shown):
    """A target for the controller, in scaled units.

    Args:
        rest: state, input and what belongs to them.
        output: the output there, disturbance included: the reference if that can be reached, else the nearest
            output in the weights of the objective.
        reachable: whether the reference is reached within the input limits.
        distance: largest difference of an output from its reference.
        iterations: Newton steps.
    """

    rest: Rest
    output: OutputVector
    reachable: bool
    distance: float
    iterations: int


class TargetFinder:
    r"""Solves $x = f(x, u)$, $g(x) + d = r$ for (x, u) with u within its limits.

    For a contracting model every u has one state of rest $x(u)$, found by Newton's method on
    $f(x, u) - x$ with plain iteration of f as the fallback. Then Gauss-Newton in u with
    $dx/du = (I - A)^{-1} B$: every step minimises
    $|g + d + G \Delta u - r|_Q^2 + \epsilon |\Delta u|^2$ within the box. With more inputs than outputs the
    small last term picks the solution near the start, which is the last target; with fewer, or with a
    reference out of reach, the result is the nearest reachable output. Where the first search ends short of
    the reference, further ones start at both ends and in the middle.

    Args:
        model: the plant.
        problem: input limits and output weights are used.
    """

    def __init__(self, model: ControlModel, problem: ControlProblem) -> None:
        self._low, self._high, _ = problem.limits.input_box(model.input_size)
        self._weight, _, _ = problem.objective.diagonals(model.input_size, model.output_size)
        states, inputs, outputs = model.state_size, model.input_size, model.output_size
        matrices = (states, states), (outputs, states), (outputs, inputs)
        self._unpack = unpacking((states,), (outputs,), (), *matrices)
        self._call = jax.jit(lambda state, input: _at_rest(model, state, input))
        self._zero = np.zeros(states)
        self._none = np.zeros((0, inputs))

    def rest(self, input: InputVector, start: StateVector | None = None) -> Rest:
        """The model at rest under a constant input, sought from `start` (zeros by default)."""
        begin = self._zero if start is None or not np.isfinite(start).all() else start
        with double_precision():
            state, output, residual, *matrices = self._unpack(np.array(self._call(begin, input)))
        return Rest(state, input, output, float(residual), *matrices)

    def find(
        self, reference: OutputVector, disturbance: OutputVector, near: Rest | None = None
    ) -> SteadyTarget:
        """The target for a reference.

        Args:
            reference: r, scaled.
            disturbance: d, added to the output of the model.
            near: where to start and, if there is a choice, to stay: the last target.
        """
        wanted = reference - disturbance
        middle = (self._low + self._high) / 2
        best, iterations = self._search(wanted, near or self.rest(middle))
        if self._distance(best, wanted) > _REACHED:
            for start in (middle, self._low, self._high):
                found, more = self._search(wanted, self.rest(start))
                iterations += more
                if self._cost(found, wanted) < self._cost(best, wanted) - _REACHED**2:
                    best = found
        distance = self._distance(best, wanted)
        reachable = distance <= _REACHED and best.steady
        return SteadyTarget(best, best.output + disturbance, reachable, distance, iterations)

    def _search(self, wanted: OutputVector, start: Rest) -> tuple[Rest, int]:
        inside = np.clip(start.input, self._low, self._high)
        here = self.rest(inside, start.state)
        for done in range(_ROUNDS):
            error = here.output - wanted
            if np.abs(error).max() <= 1e-3 * _REACHED or not here.steady:
                return here, done
            step = self._step(here, error)
            if step is None or np.abs(step).max() <= 1e-12:
                return here, done
            after = self._shorten(here, step, wanted)
            if after is None:
                return here, done + 1
            here = after
        return here, _ROUNDS

    def _step(self, here: Rest, error: OutputVector) -> InputVector | None:
        weighted = here.gain.T * np.maximum(self._weight, 1e-12)
        hessian = weighted @ here.gain
        # Relative to the gain, so that a weak actuator is not held back by the tie-break.
        hessian += _SMALL_MOVE * max(float(np.trace(hessian)), 1e-12) * np.eye(len(hessian))
        step, _, flag, _ = daqp.solve(
            hessian,
            weighted @ error,
            self._none,
            self._high - here.input,
            self._low - here.input,
            np.zeros(len(hessian), np.int32),
            primal_tol=1e-12,
        )
        step = np.asarray(step)
        return step if flag > 0 and np.isfinite(step).all() else None

    def _shorten(self, here: Rest, step: InputVector, wanted: OutputVector) -> Rest | None:
        for length in 0.5 ** np.arange(12):
            after = self.rest(np.clip(here.input + length * step, self._low, self._high), here.state)
            if after.steady and self._cost(after, wanted) < self._cost(here, wanted):
                return after
        return None

    def _cost(self, rest: Rest, wanted: OutputVector) -> float:
        cost = float(self._weight @ (rest.output - wanted) ** 2)
        return cost if rest.steady and np.isfinite(cost) else np.inf

    def _distance(self, rest: Rest, wanted: OutputVector) -> float:
        return float(np.abs(rest.output - wanted).max()) if rest.steady else np.inf


def _at_rest(model: ControlModel, start: Array, input: Array) -> Array:
    identity = jnp.eye(len(start), dtype=start.dtype)
    state, error = state_of_rest(lambda x: model.step(x, input), start, 1e-2 * _RESTS, _STEADY_ROUNDS)
    jacobian, by_input = jax.jacfwd(model.step, (0, 1))(state, input)
    reading = jax.jacfwd(model.output)(state)
    gain = reading @ jnp.linalg.solve(identity - jacobian, by_input)
    parts = (state, model.output(state), error, jacobian, reading, gain)
    return jnp.concatenate([part.ravel() for part in parts])
