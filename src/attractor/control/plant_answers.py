r"""Whether a plant answers in the closed loop as its model foresees, or otherwise.

At sample k a controller stands in an estimated state, from which the model foresees how the outputs move over
the next H samples under the inputs that were then applied: $\hat y_{k+H} - \hat y_k$. What the plant did is
$y_{k+H} - y_k$, without the noise of its sensors. A constant error of the model cancels, which offset-free
tracking takes out anyway; a gain of another size or sign does not, nor another speed.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attractor.program import compiled, double_precision
from attractor.shown import Shown

from .identification.bands import BandCalibration
from .model import ControlModel, ModelCard, OutputVector
from .predictive import ClosedLoop

_MISSED, _TIMES = 0.4, 2.0
"""An answer is another one if more than this share of the moves, the plant's or the foreseen ones, is missed,
and so many times what errors as on validation data explain. Models of five families on three plants of the
house missed at most 0.22 and 0.7 times."""
_UNKNOWN = 0.1
"""Errors, in standard deviations of an output, of a model without validation data."""
_MOST_WINDOWS = 500
_FEWEST_WINDOWS = 20


@dataclass(frozen=True, eq=False)
class PlantAnswers(Shown):
    """How outputs moved over some samples in a closed loop, and how the model foresaw it; engineering units.

    Args:
        names: of the outputs.
        samples: H, over which moves are taken.
        moved: root mean square of the plant's moves, shape (outputs,).
        foreseen: of the moves that the model foresaw.
        missed: of the difference of the two.
        usual: the same of a move, if the errors are those on validation data, as far as these can explain.
        slope: what the plant moves for a foreseen move of one, by least squares; NaN where none is foreseen.
    """

    names: tuple[str, ...]
    samples: int
    moved: OutputVector
    foreseen: OutputVector
    missed: OutputVector
    usual: OutputVector
    slope: OutputVector

    @property
    def share(self) -> OutputVector:
        """What was missed, as a share of the larger of both moves; 0 where nothing moves."""
        larger = np.maximum(self.moved, self.foreseen)
        return np.divide(self.missed, larger, out=np.zeros(len(larger)), where=larger > 0)

    @property
    def otherwise(self) -> tuple[bool, ...]:
        """For every output whether the plant clearly answers otherwise than the model."""
        return tuple(map(bool, (self.share > _MISSED) & (self.missed > _TIMES * self.usual)))

    def __str__(self) -> str:
        """The verdict with its figures, or how near plant and model are."""
        told = [self._told(at) for at, hit in enumerate(self.otherwise) if hit]
        if told:
            return (
                f"The plant answers otherwise than the model: {'; '.join(told)}. Either the log is of "
                "another plant or operating range, or its inputs never moved as here, or something acts that "
                "is none of the inputs."
            )
        shares = ", ".join(f"{100 * one:.0f} %" for one in self.share)
        return f"Over {self.samples} samples the model misses {shares} of how {', '.join(self.names)} move."

    def _told(self, at: int) -> str:
        """How one output moves, beside what was foreseen."""
        slope = self.slope[at]
        way = f"{slope:.2g} times as far as foreseen"
        if not np.isfinite(slope):
            way = "where no move is foreseen"
        elif slope < 0:
            way = "the other way than foreseen"
        elif abs(slope) < _STANDS:
            way = "hardly, whatever is foreseen"
        return (
            f"over {self.samples} samples {self.names[at]} moves {way}, and the model errs by "
            f"{self.missed[at]:.3g} there, {self.usual[at]:.2g} at most by its errors on validation data"
        )


_STANDS = 0.1
"""Of a foreseen move, below which a plant stands still."""


def plant_answers(
    known: tuple[ControlModel, ModelCard],
    loop: ClosedLoop,
    samples: int,
    usual: OutputVector,
    rows: int | None = None,
) -> PlantAnswers | None:
    """Compare moves of a plant with those that its model foresaw.

    Args:
        known: the model of the plant, and what its numbers mean.
        loop: a closed loop on the plant.
        samples: over which moves are taken, such as the horizon of the plans.
        usual: the size of the errors of a free run, scaled, such as `usual_errors`.
        rows: of the loop that count, for disturbances from there on move the plant as well; None for all.

    Returns:
        None where the loop is too short to tell anything.
    """
    model, card = known
    length = len(loop.outputs) if rows is None else rows
    count = length - samples
    if count < _FEWEST_WINDOWS:
        return None
    begins = np.unique(np.linspace(0, count - 1, min(count, _MOST_WINDOWS)).astype(int))
    inputs = card.inputs.to_unit(loop.inputs)[begins[:, None] + np.arange(samples)]
    with double_precision():
        moves = _foreseen(model, jnp.asarray(loop.estimates[begins]), jnp.asarray(inputs))
        foreseen = np.asarray(moves) * card.outputs.scale
    moved = loop.outputs[begins + samples] - loop.outputs[begins]
    finite = np.isfinite(foreseen).all(axis=1) & np.isfinite(moved).all(axis=1)
    if finite.sum() < _FEWEST_WINDOWS:
        return None
    moved, foreseen = moved[finite], foreseen[finite]
    squares, products = np.sum(foreseen**2, axis=0), np.sum(foreseen * moved, axis=0)
    none = np.full(len(squares), np.nan)
    return PlantAnswers(
        names=tuple(one.name for one in card.signals.outputs),
        samples=samples,
        moved=_size(moved),
        foreseen=_size(foreseen),
        missed=_size(moved - foreseen),
        # A move is a difference of two outputs; at worst their errors have nothing in common.
        usual=np.sqrt(2) * usual * card.outputs.scale,
        slope=np.divide(products, squares, out=none, where=squares > 0),
    )


@compiled
def _foreseen(
    model: ControlModel,
    states: Float[Array, "windows states"],
    inputs: Float[Array, "windows samples inputs"],
) -> Float[Array, "windows outputs"]:
    """How far outputs move from each state under the inputs of its window, scaled."""

    def one(state: Array, rows: Array) -> Array:
        last, _ = jax.lax.scan(lambda now, row: (model.step(now, row), None), state, rows)
        return model.output(last) - model.output(state)

    return jax.vmap(one)(states, inputs)


def _size(values: Float[np.ndarray, "windows outputs"]) -> OutputVector:
    return np.sqrt(np.mean(values**2, axis=0))


def usual_errors(calibration: BandCalibration | None, outputs: int) -> OutputVector:
    """Root mean square of the errors of free runs over validation data, late in a run, scaled.

    Args:
        calibration: errors at every share of the rows; None where nothing was held out.
        outputs: how many.
    """
    if calibration is None:
        return np.full(outputs, _UNKNOWN)
    return np.sqrt(np.mean(calibration.errors[-1] ** 2, axis=0))


def undisturbed_rows(loop: ClosedLoop, nominal: np.ndarray) -> int:
    """Rows at the beginning of a loop in which nature does what she does on an ordinary day."""
    away = (loop.disturbances != nominal).any(axis=1)
    return int(np.argmax(away)) if away.any() else len(away)
