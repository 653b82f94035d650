"""Simple models that every identified model is compared with, and what noise leaves to be reached.

Persistence holds the last measured sample. ARX and its quadratic form predict a sample from the samples
before it, by least squares, and are then simulated: from the inputs alone, fed with their own outputs. All of
them take seconds, so whatever is trained longer has to earn it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

ORDERS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20)
QUADRATIC_ORDERS = (1, 2, 3, 4, 5, 6)
LONG_ORDERS = (5, 10, 20, 40)
"""Of the linear predictors that estimate the noise floor."""
PENALTIES = tuple(10.0**exponent for exponent in range(-9, 1))
MOST_FEATURES = 250
"""A quadratic model with more regressors takes longer than the comparison is worth."""
MOST_ROWS = 30_000
"""Rows that a choice is made on; coefficients of a few hundred regressors gain nothing from more."""
_JUDGING_ROWS = 8_000
"""Rows of validation data that models are simulated over to choose among them."""
_ROOM = 0.5
"""A simulation is kept within the range of the training outputs, widened by this share on either side."""

Inputs = Float[np.ndarray, "time inputs"]
Outputs = Float[np.ndarray, "time outputs"]
Recording = tuple[Float[np.ndarray, "_ _"], Float[np.ndarray, "_ _"]]
"""Inputs and outputs of the same rows; recordings differ in their length."""
Recordings = Sequence[Recording]


@dataclass(frozen=True, eq=False)
class Autoregression:
    r"""$y_k = W \phi(z_k)$ with $z_k = (y_{k-1}, ..., y_{k-n}, u_{k-f}, ..., u_{k-f-n+1})$.

    $\phi$ is $(1, z)$ (ARX), or $(1, z)$ and all products of two entries of $z$ (a polynomial NARX model of
    degree 2). Signals are scaled: near zero mean and unit size.

    Args:
        order: n, past samples of every signal.
        first: f, 0 where an input acts on the output of the same sample, otherwise 1.
        quadratic: whether products are among the regressors.
        weights: W, shape (regressors, outputs).
        low: least value of every output in a simulation.
        high: largest value of every output in a simulation.
        penalty: of the ridge regression that gave W, relative to the mean square of the regressors.
    """

    order: int
    first: int
    quadratic: bool
    weights: Float[np.ndarray, "regressors outputs"]
    low: Float[np.ndarray, " outputs"]
    high: Float[np.ndarray, " outputs"]
    penalty: float = 0.0

    @property
    def name(self) -> str:
        """What tables call it."""
        return "polynomial NARX" if self.quadratic else "ARX"

    @property
    def description(self) -> str:
        """Its order, and what it was chosen by."""
        ridge = f", ridge {self.penalty:.0e}" if self.penalty else ""
        now = ", input of the same row" if self.first == 0 else ""
        return f"{'degree 2, ' if self.quadratic else ''}order {self.order}{now}{ridge}"

    def simulate(self, inputs: Inputs, outputs: Outputs, start: int) -> Outputs:
        """Free run: measured outputs up to row `start`, its own after it.

        Before the first row all is at rest as in that row. Outputs are kept between `low` and `high`, so that
        a model that runs away stays comparable.
        """
        return simulate_all([self], inputs, outputs, start)[0]

    def predict(self, inputs: Inputs, outputs: Outputs) -> Outputs:
        """Every row from the measured rows before it."""
        lagged = _lagged(inputs, outputs, self.order, self.first)
        return _features(lagged, quadratic=self.quadratic) @ self.weights


def simulate_all(
    models: Sequence[Autoregression], inputs: Inputs, outputs: Outputs, start: int
) -> Float[np.ndarray, "models time outputs"]:
    """Free runs of models of one order side by side; see `Autoregression.simulate`."""
    one = models[0]
    known = _lagged(inputs, outputs, one.order, one.first)
    width = one.order * outputs.shape[1]
    simulated = np.repeat(np.asarray(outputs, float)[None], len(models), axis=0)
    weights = np.stack([model.weights for model in models])
    past = np.repeat(known[start : start + 1, :width], len(models), axis=0)
    for row in range(start, len(inputs)):
        forced = np.broadcast_to(known[row, width:], (len(models), known.shape[1] - width))
        features = _features(np.concatenate([past, forced], axis=1), quadratic=one.quadratic)
        value = np.clip(np.einsum("mr,mro->mo", features, weights), one.low, one.high)
        simulated[:, row] = value
        past = np.concatenate([value, past[:, : width - value.shape[1]]], axis=1)
    return simulated


def _lagged(inputs: Inputs, outputs: Outputs, order: int, first: int) -> Float[np.ndarray, "time lags"]:
    """Z of every row; before the first row everything is as in it."""
    return np.hstack([
        *(_shifted(outputs, lag) for lag in range(1, order + 1)),
        *(_shifted(inputs, lag) for lag in range(first, order + first)),
    ])


def _shifted(values: Float[np.ndarray, "time channels"], lag: int) -> Float[np.ndarray, "time channels"]:
    """Every row holds what was there `lag` rows before."""
    return values[np.maximum(np.arange(len(values)) - lag, 0)]


def _features(
    lagged: Float[np.ndarray, "rows lags"], *, quadratic: bool
) -> Float[np.ndarray, "rows regressors"]:
    parts = [np.ones((len(lagged), 1)), lagged]
    if quadratic:
        left, right = np.triu_indices(lagged.shape[1])
        parts.append(lagged[:, left] * lagged[:, right])
    return np.hstack(parts)


def leading(recordings: Recordings, most: int) -> list[Recording]:
    """The recordings up to that many rows in all."""
    kept, left = [], most
    for u, y in recordings:
        if left > 0:
            kept.append((u[:left], y[:left]))
            left -= len(u)
    return kept


def fit_autoregressions(
    recordings: Recordings, order: int, first: int, *, quadratic: bool, penalties: Sequence[float] = (0.0,)
) -> list[Autoregression]:
    """One model a penalty, by ridge regression of every row on the rows before it.

    Args:
        recordings: scaled inputs and outputs.
        order: n.
        first: f.
        quadratic: whether products are among the regressors.
        penalties: of the ridge regressions.

    Raises:
        numpy.linalg.LinAlgError: the decomposition of the regressors does not converge.
    """
    rows = order + first
    regressors = [_features(_lagged(u, y, order, first)[rows:], quadratic=quadratic) for u, y in recordings]
    features, targets = np.concatenate(regressors), np.concatenate([y[rows:] for _, y in recordings])
    scale = np.maximum(np.sqrt(np.mean(features**2, axis=0)), 1e-12)
    left, sizes, right = np.linalg.svd(features / scale, full_matrices=False)
    projected = left.T @ targets
    seen = np.concatenate([y for _, y in recordings])
    room = _ROOM * np.ptp(seen, axis=0)
    low, high = seen.min(axis=0) - room, seen.max(axis=0) + room
    models = []
    for penalty in penalties:
        ridge = len(features) * penalty + (1e-13 * sizes[0]) ** 2
        solution = right.T @ ((sizes / (sizes**2 + ridge))[:, None] * projected)
        weights = solution / scale[:, None]
        models.append(Autoregression(order, first, quadratic, weights, low, high, penalty))
    return models


def fit_arx(training: Recordings, validation: Recordings, start: int) -> Autoregression | None:
    """The ARX model whose order and first input lag simulate the validation data best.

    Args:
        training: scaled inputs and outputs.
        validation: the same, for the choice.
        start: rows of a recording that are measured before a simulation begins.

    Returns:
        The model; None where there are too few rows for the smallest one.
    """
    return _best(training, validation, start, quadratic=False)


def fit_polynomial_narx(
    training: Recordings,
    validation: Recordings,
    start: int,
    firsts: tuple[int, ...] = (0, 1),
    weights: tuple[float, float] = (0.0, 1.0),
) -> Autoregression | None:
    """The same with products of two regressors; the penalty of its ridge regression is chosen, too.

    Args:
        training: as above.
        validation: as above.
        start: as above.
        firsts: first input lags to choose from.
        weights: of the squared errors of free runs over training and validation data. Validation alone may by
            chance like a model that cannot follow the training data.
    """
    return _best(training, validation, start, quadratic=True, firsts=firsts, weights=weights)


def _best(
    training: Recordings,
    validation: Recordings,
    start: int,
    *,
    quadratic: bool,
    firsts: tuple[int, ...] = (0, 1),
    weights: tuple[float, float] = (0.0, 1.0),
) -> Autoregression | None:
    training, validation = leading(training, MOST_ROWS), leading(validation, _JUDGING_ROWS)
    best, least = None, np.inf
    for models in _candidates(training, quadratic=quadratic, firsts=firsts):
        pairs = zip((leading(training, _JUDGING_ROWS), validation), weights, strict=True)
        errors = np.sqrt(sum(weight * _errors(models, side, start) ** 2 for side, weight in pairs if weight))
        if errors.min() < least:
            best, least = models[int(errors.argmin())], float(errors.min())
    return best


def _candidates(
    training: Recordings, *, quadratic: bool, firsts: tuple[int, ...] = (0, 1)
) -> Iterator[list[Autoregression]]:
    """Models of every order that the rows are enough for, all penalties of an order at once.

    Yields:
        Models of one order and first lag.
    """
    signals = training[0][0].shape[1] + training[0][1].shape[1]
    for order in QUADRATIC_ORDERS if quadratic else ORDERS:
        lags = order * signals
        regressors = 1 + lags + (lags * (lags + 1) // 2 if quadratic else 0)
        usable = [(u, y) for u, y in training if len(u) > 2 * order + 2]
        if regressors > MOST_FEATURES or sum(len(u) - order for u, _ in usable) < 2 * regressors:
            return
        for first in firsts:
            penalties = PENALTIES if quadratic else (0.0,)
            yield fit_autoregressions(usable, order, first, quadratic=quadratic, penalties=penalties)


def _errors(models: Sequence[Autoregression], recordings: Recordings, start: int) -> np.ndarray:
    """Root mean squared error of the free run of every model after the first `start` rows."""
    total, rows = np.zeros(len(models)), 0
    for u, y in recordings:
        begin = min(start, len(y) - 1)
        error = simulate_all(models, u, y, begin)[:, begin:] - y[begin:]
        total, rows = total + np.sum(np.mean(error**2, axis=2), axis=1), rows + len(y) - begin
    return np.sqrt(total / rows)


def persistence(outputs: Outputs, start: int) -> Outputs:
    """The last measured sample before row `start`, held; zero (the training mean) where there is none."""
    held = outputs[start - 1] if start else np.zeros(outputs.shape[1])
    return np.concatenate([outputs[:start], np.broadcast_to(held, outputs[start:].shape)])


@dataclass(frozen=True, eq=False)
class NoiseFloor:
    """An estimate of the error that no simulation can be expected to get below.

    A simulation sees inputs only. A predictor that also sees every measured output up to the sample before
    can do no worse, so the error of a good one-step predictor estimates the noise that is left (Ljung 1999,
    section 3.2). The error of the best simulation lies above that of the best predictor, far above where
    disturbances are slow; the error of a poor predictor may lie above both.

    Args:
        predictor: the best one-step predictor on the validation data, a long ARX or a polynomial NARX model.
    """

    predictor: Autoregression

    def residuals(self, inputs: Inputs, outputs: Outputs, start: int) -> Float[np.ndarray, "rows outputs"]:
        """Its one-step errors from row `start` on."""
        return (self.predictor.predict(inputs, outputs) - outputs)[start:]


def fit_noise_floor(training: Recordings, validation: Recordings, start: int) -> NoiseFloor | None:
    """Choose the one-step predictor on the validation data; None where there are too few rows.

    Args:
        training: scaled inputs and outputs.
        validation: the same, for the choice.
        start: rows of a recording that do not count.
    """
    training, validation = leading(training, MOST_ROWS), leading(validation, MOST_ROWS)
    best, least = None, np.inf
    for model in _predictors(training):
        errors = [NoiseFloor(model).residuals(u, y, min(start, len(y) - 1)) for u, y in validation]
        error = float(np.mean(np.concatenate(errors) ** 2))
        if error < least:
            best, least = NoiseFloor(model), error
    return best


def _predictors(training: Recordings) -> Iterator[Autoregression]:
    """What may predict one step ahead best.

    Yields:
        Long linear models, then quadratic ones.
    """
    signals = training[0][0].shape[1] + training[0][1].shape[1]
    for order in LONG_ORDERS:
        usable = [(u, y) for u, y in training if len(u) > 2 * order + 2]
        if sum(len(u) - order for u, _ in usable) > 5 * order * signals:
            yield fit_autoregressions(usable, order, 0, quadratic=False)[0]
    for models in _candidates(training, quadratic=True):
        yield from models
