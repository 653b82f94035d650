"""A linear model by its simulation error: the start from which state-space networks learn what is not linear.

ARX makes the next sample right, and is biased where noise sits on the output. The output-error model of the
same order makes the whole simulation right (Ljung 1999, section 4.2). It is found from the ARX model by
Gauss-Newton steps, whose derivatives are filtered signals, so that the model of a long log takes seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.signal import lfilter

from attractor.control.baselines import Autoregression, Recordings, fit_autoregressions

_STABLE = 0.9995
"""Largest size of a pole: a start may be slow, and forgets nevertheless."""
_STEPS = 30
_LONG = 40
"""Order of the ARX model that takes the noise out of outputs."""
_SMALLEST_GAIN = 1e-5


@dataclass(frozen=True, eq=False)
class OutputError:
    r"""$\hat y_k = \sum_i \frac{B_i(q)}{F(q)} u_{i,k} + c$ for every output, all polynomials of one order n.

    Args:
        first: 0 where $u_k$ acts on $y_k$, otherwise 1.
        denominators: f of every output, shape (outputs, order); poles are the roots of (1, f).
        numerators: b, shape (outputs, inputs, order).
        offset: c, shape (outputs,).
        drift: pole of a slow disturbance that each output shows besides, shape (outputs,); 0 for none.
    """

    first: int
    denominators: Float[np.ndarray, "outputs order"]
    numerators: Float[np.ndarray, "outputs inputs order"]
    offset: Float[np.ndarray, " outputs"]
    drift: Float[np.ndarray, " outputs"]

    @property
    def order(self) -> int:
        """N."""
        return self.denominators.shape[1]

    def matrices(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A, B, C of x' = A x + B u, y = C x + c in observer form, the states of output after output."""
        outputs, inputs, order = self.numerators.shape
        size = outputs * order
        transition, gain, shown = np.zeros((size, size)), np.zeros((size, inputs)), np.zeros((outputs, size))
        for output, poles in enumerate(self.denominators):
            own = slice(output * order, (output + 1) * order)
            transition[own, own] = np.eye(order, k=1)
            transition[own, output * order] = -poles
            gain[own] = self.numerators[output].T
            shown[output, output * order] = 1.0
        return transition, gain, shown


def cleaned(recordings: Recordings, first: int) -> Recordings:
    """The recordings with outputs that a long ARX model simulates: without most of their noise.

    Least squares of a short model is misled by noise, most of all about poles near the circle; a long one
    has room for it.

    Args:
        recordings: scaled inputs and outputs.
        first: see `OutputError`.
    """
    rows = sum(len(u) for u, _ in recordings)
    signals = recordings[0][0].shape[1] + 1
    order = max(min(_LONG, rows // (10 * signals), min(len(u) for u, _ in recordings) // 3), 1)
    simulated = []
    for index in range(recordings[0][1].shape[1]):
        own = [(u, y[:, index : index + 1]) for u, y in recordings]
        parameters = _from_arx(fit_autoregressions(own, order, first, quadratic=False)[0])
        columns = [(u, y[:, 0]) for u, y in own]
        simulated.append([
            y - e for (_, y), e in zip(columns, _errors(columns, parameters, order, first), strict=True)
        ])
    outputs = [np.stack(parts, axis=1) for parts in zip(*simulated, strict=True)]
    return [(u, y) for (u, _), y in zip(recordings, outputs, strict=True)]


def fit_output_error(
    recordings: Recordings,
    order: int,
    first: int,
    clean: Recordings | None = None,
    smaller: OutputError | None = None,
) -> tuple[OutputError, OutputError]:
    """The output-error model of an order, and the ARX model of that order.

    Each output has a model of its own, from its own past and all inputs. The output-error model is sought
    from the ARX model, from that of the cleaned recordings, and from a model of lower order, if there is one;
    the best one is taken.

    Args:
        recordings: scaled inputs and outputs.
        order: n.
        first: see `OutputError`.
        clean: see `cleaned`; made here if it is not given.
        smaller: the output-error model of a lower order.
    """
    clean = cleaned(recordings, first) if clean is None else clean
    begun, fitted = [], []
    for index in range(recordings[0][1].shape[1]):
        sides = [[(u, y[:, index : index + 1]) for u, y in side] for side in (recordings, clean)]
        starts = [_from_arx(fit_autoregressions(own, order, first, quadratic=False)[0]) for own in sides]
        columns = [(u, y[:, 0]) for u, y in sides[0]]
        begun.append((starts[0], _linearised(columns, starts[0], order, first)[2]))
        starts += [] if smaller is None else [_widened(smaller, index, order)]
        found = [_minimised(columns, start, order, first) for start in starts]
        fitted.append(min(found, key=lambda one: one[2])[:2])
    shape = recordings[0][0].shape[1], order
    return _joined(fitted, first, shape), _joined(begun, first, shape)


def with_drift(model: OutputError, recordings: Recordings, pole: float) -> OutputError:
    """A model of recordings `without_drift` beside its drift, with the offset of the recordings."""
    offsets = []
    for output, poles in enumerate(model.denominators):
        columns = [(u, y[:, output]) for u, y in recordings]
        parameters = np.concatenate([model.numerators[output].ravel(), poles])
        offsets.append(_linearised(columns, parameters, model.order, model.first)[2])
    return replace(model, offset=np.array(offsets), drift=np.full(len(offsets), pole))


def without_drift(recordings: Recordings, pole: float) -> Recordings:
    """Inputs and outputs through 1 - p q^-1: the same model holds, and a disturbance of this pole is white.

    So a model learns from what inputs do, and does not explain a drift by them (Ljung 1999, section 7.2).
    """
    return [(u[1:] - pole * u[:-1], y[1:] - pole * y[:-1]) for u, y in recordings]


def _joined(parts: list[tuple[np.ndarray, float]], first: int, shape: tuple[int, int]) -> OutputError:
    poles = np.stack([parameters[-shape[1] :] for parameters, _ in parts])
    gains = np.stack([parameters[: -shape[1]].reshape(shape) for parameters, _ in parts])
    return OutputError(first, poles, gains, np.array([offset for _, offset in parts]), np.zeros(len(parts)))


def _from_arx(model: Autoregression) -> np.ndarray:
    """B of all inputs, then f, of an ARX model of one output, moved to where it is stable."""
    weights, order = model.weights[1:, 0], model.order
    gains = weights[order:].reshape(order, -1).T.ravel()
    return np.concatenate([gains, stabilised(-weights[:order])])


def _widened(model: OutputError, output: int, order: int) -> np.ndarray:
    """The parameters of one output with lags that do nothing yet."""
    more = order - model.order
    gains = np.pad(model.numerators[output], ((0, 0), (0, more)))
    return np.concatenate([gains.ravel(), np.pad(model.denominators[output], (0, more))])


def _minimised(
    recordings: Sequence[tuple[np.ndarray, np.ndarray]], parameters: np.ndarray, order: int, first: int
) -> tuple[np.ndarray, float, float]:
    """Parameters with the least simulation error nearby, the offset, and the sum of squared errors."""
    slopes, errors, offset = _linearised(recordings, parameters, order, first)
    damping = 1e-3
    for _ in range(_STEPS):
        curvature, descent, squares = slopes.T @ slopes, slopes.T @ errors, errors @ errors
        new = None
        while new is None and damping < 1e6:
            diagonal = np.diag(damping * np.diag(curvature) + 1e-12 * np.trace(curvature) + 1e-300)
            trial = parameters + np.linalg.solve(curvature + diagonal, descent)
            if np.abs(np.roots([1.0, *trial[-order:]])).max() < _STABLE:
                found = _linearised(recordings, trial, order, first)
                new = (trial, found) if found[1] @ found[1] < squares else None
            damping *= 0.25 if new else 4.0
        if new is None:
            break
        parameters, (slopes, errors, offset) = new
        if errors @ errors > (1 - _SMALLEST_GAIN) * squares:
            break
    return parameters, offset, float(errors @ errors)


def _linearised(
    recordings: Sequence[tuple[np.ndarray, np.ndarray]], parameters: np.ndarray, order: int, first: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Derivatives of the simulation, its errors, and the offset.

    Initial states and offset enter linearly; they are solved for, and projected out of the derivatives.
    """
    filters = np.concatenate([[1.0], parameters[-order:]])
    gains = parameters[:-order].reshape(-1, order)
    slopes, errors, offsets = [], [], []
    for u, y in recordings:
        about = u[0]
        passed = _filtered(filters, u - about)
        forced_by = np.stack(
            [_delayed(passed[:, index], first + lag) for index in range(u.shape[1]) for lag in range(order)],
            axis=1,
        )
        forced = forced_by @ gains.ravel()
        impulse = _filtered(filters, np.eye(1, len(y))[0])
        free = np.stack([np.ones(len(y)), *(_delayed(impulse, lag) for lag in range(order))], axis=1)
        basis, triangle = np.linalg.qr(free)
        projected = basis.T @ (y - forced)
        solved = np.linalg.lstsq(triangle, projected, rcond=1e-10)[0]
        moving = forced + free[:, 1:] @ solved[1:]
        again = _filtered(filters, moving)
        slope = np.hstack([
            forced_by,
            -np.stack([_delayed(again, lag) for lag in range(1, order + 1)], axis=1),
        ])
        slopes.append(slope - basis @ (basis.T @ slope))
        errors.append(y - forced - basis @ projected)
        offsets.append(solved[0] - gains.sum(axis=1) @ about / filters.sum())
    return np.concatenate(slopes), np.concatenate(errors), float(np.mean(offsets))


def _errors(
    recordings: Sequence[tuple[np.ndarray, np.ndarray]], parameters: np.ndarray, order: int, first: int
) -> list[np.ndarray]:
    """Errors of the simulation, recording by recording."""
    return [_linearised([one], parameters, order, first)[1] for one in recordings]


def _filtered(denominator: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Every column through 1 / F(q)."""
    return np.asarray(lfilter([1.0], denominator, values, axis=0))


def _delayed(values: Float[np.ndarray, " time"], lag: int) -> Float[np.ndarray, " time"]:
    return np.concatenate([np.zeros(lag), values[: len(values) - lag]]) if lag else values


def stabilised(polynomial: Float[np.ndarray, " order"]) -> Float[np.ndarray, " order"]:
    """F whose roots outside the circle are mirrored into it, and those on it moved in a little."""
    roots = np.roots([1.0, *polynomial])
    sizes = np.abs(roots)
    roots = np.where(sizes > 1, roots / np.maximum(sizes, 1e-300) ** 2, roots)
    sizes = np.abs(roots)
    roots = np.where(sizes > _STABLE, roots * (0.999 * _STABLE / np.maximum(sizes, 1e-300)), roots)
    return np.real(np.poly(roots))[1:]
