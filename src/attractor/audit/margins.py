r"""How far a classified sequence is from another class: in its scores, and in its inputs.

Scores are $o = V h_M + c$, the margin of a case of class y is $\min_{j \ne y} (o_y - o_j)$. A perturbation dx
of the inputs moves the last state by at most

$$|dh_M| \le \sum_m \Big(\prod_{k > m} q_k\Big) g_m |dx_m| \le G |dx|_2, \qquad
G^2 = \sum_m \Big(g_m \prod_{k > m} q_k\Big)^2$$

where q bounds the Jacobian of a step in the state and g that in its input. So no perturbation of the whole
sequence with |dx|_2 below $\min_j (o_y - o_j) / (|V_y - V_j| G)$ changes the class (the margin theorem of
Lim et al. 2021, arXiv 2102.04877, has this form, with bounds along the path).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from attractor.cells import CellLike, exposed
from attractor.errors import ConfigError, ShapeError, UnsupportedError
from attractor.program import compiled, double_precision, in_double_precision
from attractor.scan import unroll
from attractor.shown import Shown, at_prompt, in_notebook, in_words

from .lipschitz_bounds import SLACK, drift_bounds
from .sequences import LabelledSequences, Logits, Piece, check_classes, check_finite_margins, in_pieces

_FORWARD = 1e-9
"""Share of the largest score that is taken off every gap for the rounding of the float64 forward pass."""


def class_margin(scores: Float[Array, " classes"], label: Int[Array, ""]) -> Float[Array, ""]:
    """The least o_y - o_j over j != y for one case; positive where it is classified correctly."""
    return scores[label] - jnp.max(jnp.where(jnp.arange(len(scores)) == label, -jnp.inf, scores))


def class_margins(logits: Logits, data: LabelledSequences, batch: int = 256) -> Float[np.ndarray, " cases"]:
    """The margins of all cases, computed in pieces of `batch` cases.

    Raises:
        ShapeError: logits that are not a vector of two classes or more.
        InputDataError: a label beyond the classes, or logits that are not finite; the case is named.
        ConfigError: a batch below 1.
    """
    check_classes(logits, data)
    (margins,) = in_pieces(lambda piece: (_piece_margins(logits, piece),), data, batch)
    check_finite_margins(margins, data)
    return margins


@compiled
def _piece_margins(logits: Logits, piece: Piece) -> Float[Array, " size"]:
    """The margins of one piece."""
    scores = jax.vmap(logits)(piece.inputs, piece.lengths)
    return jax.vmap(class_margin)(scores, piece.labels)


class EstimatedRadii(NamedTuple):
    """First-order distances to the nearest other class. An estimate, not a certificate.

    Args:
        margins: min_j (o_y - o_j), shape (cases,).
        radii: min_j (o_y - o_j) / |d(o_y - o_j)/dx|_2, in the Euclidean norm over the whole sequence, shape
            (cases,); 0 for a case that is classified wrongly.
    """

    margins: Float[np.ndarray, " cases"]
    radii: Float[np.ndarray, " cases"]

    def in_brief(self) -> str:
        """How many cases are right, and how far the nearest change may be."""
        right = self.margins > 0
        radii = in_words(self.radii[right])
        return (
            f"an estimate, no certificate: {right.sum()} of {len(right)} cases right, radii of those {radii}"
        )

    def __repr__(self) -> str:
        return at_prompt(self)

    def _repr_html_(self) -> str:
        return in_notebook(self)


def estimated_radii(logits: Logits, data: LabelledSequences, batch: int = 64) -> EstimatedRadii:
    """How far inputs could move before the class changes if the scores were linear in them.

    Args:
        logits: `logits(inputs (time, channels), length) -> (classes,)`, differentiable.
        data: the cases; padding and missing samples do not move.
        batch: cases at a time; memory grows with batch * classes * time * channels.

    Raises:
        ShapeError: logits that are not a vector of two classes or more.
        InputDataError: a label beyond the classes, or logits that are not finite; the case is named.
        ConfigError: a batch below 1.
    """
    check_classes(logits, data)
    margins, radii = in_pieces(lambda piece: _estimate(logits, piece), data, batch)
    check_finite_margins(margins, data)
    return EstimatedRadii(margins, radii)


@compiled
def _estimate(logits: Logits, piece: Piece) -> tuple[Array, Array]:
    def one(inputs: Array, length: Array, label: Array) -> tuple[Array, Array]:
        scores = logits(inputs, length)
        slopes = jax.jacrev(lambda values: logits(values, length))(inputs)
        free = (jnp.arange(len(inputs)) < length)[:, None] & ~jnp.isnan(inputs)
        steep = jnp.linalg.norm(jnp.where(free, slopes[label] - slopes, 0.0).reshape(len(scores), -1), axis=1)
        other = jnp.arange(len(scores)) != label
        gaps = jnp.maximum(scores[label] - scores, 0.0)
        radii = jnp.where(gaps > 0, gaps / jnp.where(steep > 0, steep, 1.0), 0.0)
        radii = jnp.where((steep > 0) | (gaps == 0), radii, jnp.inf)
        return class_margin(scores, label), jnp.min(jnp.where(other, radii, jnp.inf))

    return jax.vmap(one)(piece.inputs, piece.lengths, piece.labels)


@dataclass(frozen=True, eq=False)
class StepGains(Shown):
    """Euclidean bounds on the Jacobians of a step, for all states and inputs that can occur.

    Args:
        state: q >= |d step / d state|, one number or one for every step, shape (time,).
        inputs: g >= |d step / d input|, one number or one for every step, shape (time,).

    Raises:
        ConfigError: a bound that is negative or no number.
    """

    state: ArrayLike
    inputs: ArrayLike

    def __post_init__(self) -> None:
        for name in ("state", "inputs"):
            if not np.all(np.asarray(getattr(self, name)) >= 0):
                raise ConfigError(
                    f"{name}={getattr(self, name)}: bounds on Jacobians are numbers of at least 0"
                )

    def to_last_state(self, length: int) -> float:
        """G, the most by which the last of `length` states moves for inputs that move by 1 altogether.

        Raises:
            ShapeError: fewer bounds than steps.
        """
        states, inputs = (self._each(name, length) for name in ("state", "inputs"))
        with np.errstate(over="ignore", invalid="ignore"):
            later = np.concatenate([np.cumprod(states[:0:-1])[::-1], [1.0]])
            terms = np.where((inputs == 0) | (later == 0), 0.0, inputs * later)
            return float(np.linalg.norm(terms)) * SLACK

    def _each(self, name: str, length: int) -> Float[np.ndarray, " time"]:
        values = np.asarray(getattr(self, name), np.float64)
        if values.ndim and len(values) < length:
            raise ShapeError(f"{name} has {len(values)} bounds for a sequence of {length} steps")
        return values[:length] if values.ndim else np.full(length, float(values))


def score_separations(weight: Float[np.ndarray, "classes states"]) -> Float[np.ndarray, "classes classes"]:
    """|V_y - V_j| for every pair of rows of a linear read-out, rounded upward."""
    weight = np.asarray(weight, np.float64)
    return np.linalg.norm(weight[:, None] - weight[None], axis=-1) * SLACK


def certified_radii(
    scores: Float[np.ndarray, "..."],
    data: LabelledSequences,
    gains: StepGains,
    separations: Float[np.ndarray, "..."],
) -> Float[np.ndarray, " cases"]:
    """Radii in the Euclidean norm over the sequence within which no perturbation changes the class.

    The theorem needs bounds that hold for all states and inputs in reach; this function cannot check them.

    Args:
        scores: logits of the clean cases, shape (cases, classes).
        data: their lengths and labels.
        gains: bounds of a step.
        separations: a Lipschitz constant of o_y - o_j as a function of the last state, for every pair, shape
            (classes, classes); see `score_separations`.

    Returns:
        One radius a case; 0 for a case that is classified wrongly.

    Raises:
        ShapeError: sizes that do not fit.
    """
    cases, classes = len(data), separations.shape[0]
    if scores.shape != (cases, classes) or separations.shape != (classes, classes):
        raise ShapeError(
            f"scores of shape {scores.shape} and separations of shape {separations.shape}, expected "
            f"({cases}, classes) and (classes, classes)"
        )
    scores = np.asarray(scores, np.float64)
    slack = _FORWARD * np.abs(scores).max(axis=1, keepdims=True)
    gaps = np.maximum(scores[np.arange(cases), data.labels][:, None] - scores - slack, 0.0)
    reach = {length: gains.to_last_state(int(length)) for length in np.unique(data.lengths)}
    moved = separations[data.labels] * np.array([reach[length] for length in data.lengths])[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        radii = np.where(gaps > 0, gaps / moved, 0.0)
    radii[np.arange(cases), data.labels] = np.inf
    return np.nan_to_num(radii.min(axis=1), nan=0.0, posinf=np.inf) / SLACK


class CertifiedMargins(NamedTuple):
    """What is certain about a classifier with a Lipschitz cell, in float64.

    Args:
        scores: logits of the clean cases, shape (cases, classes).
        radii: certified radii, shape (cases,); see `certified_radii`.
        gains: the bounds of a step they follow from.
    """

    scores: Float[np.ndarray, "cases classes"]
    radii: Float[np.ndarray, " cases"]
    gains: StepGains

    def in_brief(self) -> str:
        """For how many cases a change of class is excluded, and within what."""
        proved = self.radii > 0
        radii = in_words(self.radii[proved])
        return f"proved for {proved.sum()} of {len(proved)} cases: no change of class within {radii}"

    def __repr__(self) -> str:
        return at_prompt(self)

    def _repr_html_(self) -> str:
        return in_notebook(self)


def certified_margins(
    cell: CellLike, readout: Callable[[Array], Array], data: LabelledSequences, batch: int = 256
) -> CertifiedMargins:
    """Certified radii of a classifier that reads the last state of a Lipschitz cell, without noise.

    The bound is global, so it is sound and loose. It speaks of the network with these weights in exact
    arithmetic; the clean scores are computed in float64, with a share of 1e-9 taken off for their rounding.

    Args:
        cell: a `Lipschitz` cell.
        readout: the linear map from its last state to the logits, an `equinox.nn.Linear`.
        data: the cases, without missing samples.
        batch: cases at a time.

    Raises:
        UnsupportedError: a cell or a read-out of another kind; `certified_radii` takes bounds of your own.
        ShapeError: sizes that do not fit.
        InputDataError: a label beyond the classes, or scores that are not finite; the case is named.
        ConfigError: a batch below 1.
    """
    gains = lipschitz_gains(cell)
    if not isinstance(readout, eqx.nn.Linear):
        raise UnsupportedError(
            f"the read-out is a {type(readout).__name__}; certified margins know equinox.nn.Linear. Give "
            "the Lipschitz constants of its score differences to `certified_radii`"
        )
    with double_precision():
        exact = LabelledSequences(data.inputs.astype(np.float64), data.lengths, data.labels)
        logits = LastStateLogits(*in_double_precision((cell, readout)))
        check_classes(logits, exact)
        (scores,) = in_pieces(lambda piece: (_scores(logits, piece),), exact, batch)
    check_finite_margins(scores.sum(axis=1), data)
    separations = score_separations(np.asarray(readout.weight, np.float64))
    return CertifiedMargins(scores, certified_radii(scores, data, gains, separations), gains)


class LastStateLogits(eqx.Module):
    """The classifier `readout(exposed last state)` of a cell.

    Args:
        cell: any cell.
        readout: a function of what the cell exposes.
    """

    cell: CellLike
    readout: Callable[[Array], Array]

    def __call__(self, inputs: Float[Array, "time channels"], length: Array) -> Float[Array, " classes"]:
        """Logits of one sequence."""
        return self.readout(exposed(self.cell, unroll(self.cell, inputs, length=length).last))


@compiled
def _scores(logits: Logits, piece: Piece) -> Array:
    return jax.vmap(logits)(piece.inputs, piece.lengths)


def lipschitz_gains(cell: CellLike) -> StepGains:
    """Bounds of a noise-free step of a Lipschitz cell, for all states and inputs, in float64.

    Raises:
        UnsupportedError: a cell of another kind.
    """
    bounds = drift_bounds(cell)
    return StepGains(bounds.step_factor, bounds.input_gain)
