"""The best linear model of a log, from which networks start: its orders, its states, how to read them off."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.linalg import block_diag, solve_discrete_lyapunov

from attractor.cells import late_inputs
from attractor.control.baselines import MOST_ROWS, Recordings, leading
from attractor.program import single
from attractor.progress import AtMost, Reporter, SilentReporter

from .output_error import OutputError, cleaned, fit_output_error, with_drift, without_drift
from .plant_network import NetworkPlan
from .regressions import WEIGHTS, FromRegression, Start, begin_as_linear

ORDERS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20)
MOST_STATES = 40
"""Orders whose model has more states than this are left out."""
_AS_GOOD = 1.01
"""A model of lower order whose error is larger by less than this is taken."""
_RIDGE = 1e-6
"""Of the noise of a reading, so that a model without errors has one."""
_LONGEST_MEMORY = 5_000
"""Rows after which a first state is forgotten, for the noise that a model leaves."""
_NEGLIGIBLE = 1e-12
"""Share of the variance of the strongest state below which a direction of the state is rounding."""
_UNSEEN = 1e-3
"""States that outputs show this much less than the strongest one are left out."""
_DRIFT = 0.98
"""Pole of a slow disturbance; whatever forgets more slowly than a plant is nearly white when it is undone."""
_SLOW_POLES = 1 - 1 / np.geomspace(5, 2000, 27)
"""Poles, of 5 to 2000 rows, by one of which what a model leaves may resemble itself later."""
_SLOW_LAGS = 100
_SLOW_SHARE = 0.2
"""Share of what a model leaves of an output from which a slow disturbance is tried."""
_LEAST_REST = 1e-3
"""What is left beside a slow disturbance, at least, as a share of it."""

Matrix = Float[np.ndarray, "_ _"]
Vector = Float[np.ndarray, " _"]


@dataclass(frozen=True, eq=False)
class LinearStart:
    """x' = A x + B u, y = C x + c on scaled signals; over the training data every state has unit variance.

    Args:
        transition: A.
        gain: B.
        shown: C.
        offset: c.
        reading: M of x = M (u_0, y_0, ..., u_{W-1}, y_{W-1}) + m, the state after W rows; see `_reading`.
        reading_offset: m.
        order: of the transfer functions behind it, the largest.
        error: root mean square of its free runs over training and validation data, scaled outputs.
        delays: samples by which the inputs are late before they act; empty for none.
        drifts: whether what it leaves of its output is slow, in part; unknown of several outputs.
    """

    transition: Matrix
    gain: Matrix
    shown: Matrix
    offset: Vector
    reading: Matrix
    reading_offset: Vector
    order: int
    error: float = float("inf")
    delays: tuple[int, ...] = ()
    drifts: bool = False

    @property
    def size(self) -> int:
        """Number of states."""
        return len(self.transition)

    def builder(self, plan: NetworkPlan) -> "FromRegression":
        """What builds a network of a `Linear` or `NeuralStateSpace` cell that computes what this model does.

        What the network has beyond it stays as it was drawn, and does nothing at first.
        """
        parts = self.transition, self.gain, self.shown, self.offset, self.reading, self.reading_offset
        return FromRegression(plan, begin_as_linear, tuple(map(single, parts)))

    def simulate(self, inputs: Matrix, outputs: Matrix, start: int, past: int) -> Matrix:
        """Free run after the first `start` rows, of which the last `past` tell the state; none: from rest."""
        rows = np.hstack([inputs, outputs])[start - past : start]
        inputs = late_inputs(inputs, self.delays)
        state = self.reading @ rows.ravel() + self.reading_offset if past else np.zeros(self.size)
        begin = start if past else 0
        states = _states(self.transition, inputs[begin:] @ self.gain.T, state)
        return states[start - begin :] @ self.shown.T + self.offset


def find_linear_start(
    training: Recordings,
    validation: Recordings,
    start: Start,
    delays: tuple[int, ...] = (),
    reporter: Reporter | None = None,
) -> LinearStart | None:
    """The model whose orders simulate training and validation data best; None if there is none.

    Every output has the order that serves it: one that no linear model follows must not choose for others.
    A short validation part alone may by chance like a model that cannot follow the training data. So both
    count, validation twice, the training error by Akaike's final prediction error: (N + d) / (N - d) times
    what it is, for d parameters and N rows (Ljung 1999, section 7.4).

    Args:
        training: scaled inputs and outputs.
        validation: the same, for the choice of the order.
        start: how a recording starts.
        delays: samples by which the inputs are late before they act; empty for none.
        reporter: hears about every order.
    """
    reporter = reporter or SilentReporter()
    usable = [(u, y) for u, y in training if len(u) > 2 * max(start.settled, start.past) + 10]
    if not usable:
        return None
    search = _Search(leading(usable, MOST_ROWS), leading(validation, MOST_ROWS), start, delays)
    outputs = usable[0][1].shape[1]
    chosen = [search.of_output(index, outputs, reporter) for index in range(outputs)]
    every = 2 * outputs * len(ORDERS)
    reporter.update(every, every, "linear models")
    reporter.close()
    found = [one for one in chosen if one is not None]
    return _side_by_side(found) if len(found) == outputs else None


@dataclass(frozen=True, eq=False)
class _Search:
    """What judges linear models: the recordings, how they start, and when inputs act."""

    training: Recordings
    validation: Recordings
    start: Start
    delays: tuple[int, ...]

    def of_output(self, index: int, outputs: int, reporter: Reporter) -> LinearStart | None:
        """The best model of one of so many outputs; beside a drift where that is better."""

        def tell(number: int, order: int) -> None:
            done = 2 * index * len(ORDERS) + number
            reporter.update(done, AtMost(2 * outputs * len(ORDERS)), f"linear models of order {order}")

        training, validation = (_only(side, index) for side in (self.training, self.validation))
        own = _Search(training, validation, self.start, self.delays)
        found = own.best(outputs, 0.0, tell)
        if found is None or not found.drifts:
            return found
        beside = own.best(outputs, _DRIFT, lambda number, order: tell(len(ORDERS) + number, order))
        return beside if beside is not None and beside.error * _AS_GOOD < found.error else found

    def best(self, outputs: int, drift: float, tell: Callable[[int, int], None]) -> LinearStart | None:
        """The best of all orders, one of so many outputs, beside a drift of this pole; 0 for none."""
        late = self.late()
        learned = without_drift(late, drift) if drift else late
        clean = cleaned(learned, self.start.first)
        best: LinearStart | None = None
        smaller: OutputError | None = None
        for number, order in enumerate(ORDERS):
            tell(number, order)
            models = self.of_order(order, outputs, learned, clean, smaller)
            smaller = models[0] if models else smaller
            for model in models:
                found = self.judged(model, drift)
                if found is not None and (best is None or found.error * _AS_GOOD < best.error):
                    best = found
        return best

    def late(self) -> Recordings:
        """The training recordings with inputs as late as they act."""
        return [(late_inputs(u, self.delays), y) for u, y in self.training]

    def of_order(
        self, order: int, outputs: int, learned: Recordings, clean: Recordings, smaller: OutputError | None
    ) -> list[OutputError]:
        """By simulation and by one-step error (ARX), which validation may like; none for too few rows."""
        channels, rows = learned[0][0].shape[1] + outputs, sum(len(u) for u, _ in learned)
        if order * outputs > MOST_STATES or rows < 5 * order * channels:
            return []
        if min(len(u) for u, _ in learned) <= 2 * order + self.start.past:
            return []
        try:
            with np.errstate(all="ignore"):
                return list(fit_output_error(learned, order, self.start.first, clean, smaller))
        except np.linalg.LinAlgError:
            return []

    def judged(self, model: OutputError, drift: float) -> LinearStart | None:
        """The model with balanced states and its error, beside a drift; None where it cannot be run."""
        found, late = None, self.late()
        with suppress(np.linalg.LinAlgError), np.errstate(all="ignore"):
            own = with_drift(model, late, drift) if drift else model
            found = _balanced(own, late, self.start, self.delays)
        if found is None:
            return None
        squares = [_error(found, side, self.start) ** 2 for side in (self.training, self.validation)]
        squares[0] *= _optimism(self.training, model.order)
        error = float(np.sqrt(np.average(squares, weights=WEIGHTS)))
        return replace(found, error=error) if np.isfinite(error) else None


def _side_by_side(models: Sequence[LinearStart]) -> LinearStart:
    """One model of all outputs from one of each; every state is read off the output that shows it."""
    inputs = models[0].gain.shape[1]
    readings = []
    for output, model in enumerate(models):
        rows = model.reading.shape[1] // (inputs + 1)
        own = model.reading.reshape(model.size, rows, inputs + 1)
        reading = np.zeros((model.size, rows, inputs + len(models)))
        reading[:, :, :inputs], reading[:, :, inputs + output] = own[:, :, :inputs], own[:, :, inputs]
        readings.append(reading.reshape(model.size, -1))
    return LinearStart(
        np.asarray(block_diag(*(model.transition for model in models))),
        np.concatenate([model.gain for model in models]),
        np.asarray(block_diag(*(model.shown for model in models))),
        np.concatenate([model.offset for model in models]),
        np.concatenate(readings),
        np.concatenate([model.reading_offset for model in models]),
        max(model.order for model in models),
        float(np.sqrt(np.mean([model.error**2 for model in models]))),
        models[0].delays,
    )


def _only(recordings: Recordings, output: int) -> Recordings:
    return [(u, y[:, output : output + 1]) for u, y in recordings]


def _optimism(training: Recordings, order: int) -> float:
    """By how much the squared error over rows that were not learned from is larger."""
    rows, parameters = sum(len(u) for u, _ in training), order * (1 + training[0][0].shape[1])
    return (rows + parameters) / max(rows - parameters, 1)


def _error(model: LinearStart, recordings: Recordings, start: Start) -> float:
    """Root mean square of the free runs, with the start that a network of it has."""
    settled, past = start.settled, start.past
    total, rows = 0.0, 0
    for u, y in recordings:
        if len(u) <= max(settled, past):
            continue
        # With feedthrough the state that shows a row is the one after its input.
        shown = model.simulate(u, y, settled, past)
        error = (shown[1:] if start.feedthrough else shown[:-1]) - y[settled:]
        total, rows = total + float(np.sum(error**2)), rows + error.size
    return float(np.sqrt(total / rows)) if rows and np.isfinite(total) else float("inf")


def _balanced(
    model: OutputError, late: Recordings, start: Start, delays: tuple[int, ...]
) -> LinearStart | None:
    """The same model with states of unit variance, and how to read them off past rows."""
    transition, gain, shown = model.matrices()
    runs = []
    for u, _ in late:
        rest = np.linalg.solve(np.eye(len(transition)) - transition, gain @ u[0])
        runs.append(_states(transition, u @ gain.T, rest))
    states = np.concatenate(runs)
    if not np.isfinite(states).all():
        return None
    to_new, to_old = _coordinates(np.atleast_2d(np.cov(states.T)), transition, shown)
    if not len(to_new):
        return None
    found = LinearStart(
        to_new @ transition @ to_old,
        to_new @ gain,
        shown @ to_old,
        model.offset,
        np.zeros((len(to_new), 0)),
        np.zeros(len(to_new)),
        model.order,
        delays=delays,
    )
    if not start.past:
        return found
    moves = [run @ to_new.T for run in runs]
    noise = np.concatenate([
        _unexplained(found, run, y, start) for run, (_, y) in zip(moves, late, strict=True)
    ])
    mean, covariance = np.concatenate(moves).mean(axis=0), _covariance(noise, start.past)
    left = noise[:, 0]
    if model.drift[0]:
        variance = _slow_variance(left, model.drift[0])
        found, mean = _beside_drift(found, model.drift[0], variance), np.append(mean, 0.0)
        rest = max(float(np.mean(left**2)) - variance, _LEAST_REST * variance)
        covariance = rest * np.eye(len(covariance))
    reading, offset = _reading(found, start, covariance, mean)
    return replace(found, reading=reading, reading_offset=offset, drifts=_is_slow(left))


def _beside_drift(model: LinearStart, pole: float, variance: float) -> LinearStart:
    """The model of one output with a state d' = p d that it shows besides.

    A free run cannot know how such a disturbance goes on, but where it stands at the beginning, and that it
    will go back (Box and Jenkins; Ljung 1999, section 4.2).
    """
    return replace(
        model,
        transition=np.asarray(block_diag(model.transition, [[pole]])),
        gain=np.vstack([model.gain, np.zeros((1, model.gain.shape[1]))]),
        shown=np.hstack([model.shown, [[np.sqrt(variance)]]]),
    )


def _is_slow(noise: Vector) -> bool:
    """Whether a good part of a signal resembles itself later as a slow disturbance does."""
    seen = _autocovariance(noise)
    powers = _powers(_SLOW_POLES, len(seen) - 1)
    if not powers.size or seen[0] <= 0:
        return False
    shares = powers @ seen[1:] / np.sum(powers**2, axis=1)
    best = int(np.argmin(np.sum((seen[1:] - shares[:, None] * powers) ** 2, axis=1)))
    return bool(shares[best] > _SLOW_SHARE * seen[0])


def _slow_variance(noise: Vector, pole: float) -> float:
    """The variance of a disturbance of this pole that explains best how a signal resembles itself later."""
    seen = _autocovariance(noise)
    powers = _powers(np.array([pole]), len(seen) - 1)[0]
    return min(max(float(powers @ seen[1:] / (powers @ powers)), 0.0), float(seen[0]))


def _powers(poles: Vector, lags: int) -> Matrix:
    return poles[:, None] ** np.arange(1, lags + 1)


def _autocovariance(values: Vector) -> Vector:
    lags = min(_SLOW_LAGS, len(values) // 4)
    return np.array([values[lag:] @ values[: len(values) - lag] for lag in range(lags + 1)]) / len(values)


def _coordinates(covariance: Matrix, transition: Matrix, shown: Matrix) -> tuple[Matrix, Matrix]:
    """To new states and back: of unit variance over the data, without those that outputs hardly show.

    In the new coordinates the energy that a released state still gives to the outputs is diagonal (balanced
    truncation, Moore 1981, with the covariance of the data for the controllability of white noise).
    """
    variances, directions = np.linalg.eigh(covariance)
    moving = variances > _NEGLIGIBLE * variances[-1]
    root = directions[:, moving] * np.sqrt(variances[moving])
    back = (directions[:, moving] / np.sqrt(variances[moving])).T
    energy = np.atleast_2d(solve_discrete_lyapunov(transition.T, shown.T @ shown))
    shares, turned = np.linalg.eigh(root.T @ energy @ root)
    seen = shares > _UNSEEN**2 * shares[-1]
    return turned[:, seen].T @ back, root @ turned[:, seen]


def _states(transition: Matrix, driven: Matrix, state: Vector) -> Matrix:
    """x_0, ..., x_T under B u of T rows."""
    states = np.empty((len(driven) + 1, len(state)))
    states[0] = state
    for row, drive in enumerate(driven):
        states[row + 1] = transition @ states[row] + drive
    return states


def _unexplained(model: LinearStart, states: Matrix, outputs: Matrix, start: Start) -> Matrix:
    """What a run leaves of the outputs when its first state is the best one, by least squares."""
    shift = 1 if start.feedthrough else 0
    errors = outputs - (states[shift : shift + len(outputs)] @ model.shown.T + model.offset)
    rows = min(len(outputs), _LONGEST_MEMORY)
    free = np.empty((rows, *model.shown.shape))
    power = model.shown @ np.linalg.matrix_power(model.transition, shift)
    for row in range(rows):
        free[row], power = power, power @ model.transition
    flat = free.reshape(-1, model.size)
    errors[:rows] -= (flat @ np.linalg.lstsq(flat, errors[:rows].ravel())[0]).reshape(rows, -1)
    return errors


def _covariance(noise: Matrix, rows: int) -> Matrix:
    """Of so many rows in sequence, as one vector, from the autocovariances of all (positive semidefinite)."""
    outputs = noise.shape[1]
    lagged = [noise[lag:].T @ noise[: len(noise) - lag] / len(noise) for lag in range(min(rows, len(noise)))]
    lagged += [np.zeros((outputs, outputs))] * (rows - len(lagged))
    blocks = [
        [lagged[row - column] if row >= column else lagged[column - row].T for column in range(rows)]
        for row in range(rows)
    ]
    return np.block(blocks)


def _reading(model: LinearStart, start: Start, noise: Matrix, mean: Vector) -> tuple[Matrix, Vector]:
    """M and m of the state after W rows, x = M (u_0, y_0, ..., u_{W-1}, y_{W-1}) + m.

    The state before the rows is estimated from what the model says of them (best linear unbiased prediction:
    states vary by one about their mean, outputs have the noise that the model leaves), and carried through
    them by the inputs. So it holds for inputs that the training never saw, as a regression of states on rows
    does not: a structure that was swept below its resonances would start wrong above them.

    Args:
        model: without a reading.
        start: how many rows, and whether an input shows in its own row.
        noise: covariance of the outputs of W rows that the model does not explain.
        mean: of the states.
    """
    past, inputs, outputs = start.past, model.gain.shape[1], len(model.shown)
    before = min(max(model.delays, default=0), past // 2)  # rows whose late inputs were not seen
    late = late_inputs(np.eye(past * inputs).reshape(past, inputs, -1), model.delays)
    power, driven = np.eye(model.size), np.zeros((model.size, past * inputs))
    free, forced = [], []
    for row in range(before, past):
        moved = model.transition @ driven + model.gain @ late[row]
        step = model.transition @ power
        seen = (step, moved) if start.feedthrough else (power, driven)
        free.append(model.shown @ seen[0])
        forced.append(model.shown @ seen[1])
        power, driven = step, moved
    observed, known = np.concatenate(free), np.concatenate(forced)
    kept = noise[before * outputs :, before * outputs :]
    kept = kept + (_RIDGE * np.trace(kept) / len(kept) + _RIDGE**2) * np.eye(len(kept))
    weighted = np.linalg.solve(kept, observed)
    estimate = power @ np.linalg.solve(np.eye(model.size) + observed.T @ weighted, weighted.T)
    from_outputs = np.zeros((model.size, past, outputs))
    from_outputs[:, before:] = estimate.reshape(model.size, -1, outputs)
    from_inputs = (driven - estimate @ known).reshape(model.size, past, inputs)
    reading = np.concatenate([from_inputs, from_outputs], axis=2).reshape(model.size, -1)
    shown = observed @ mean + np.tile(model.offset, past - before)
    return reading, power @ mean - estimate @ shown
