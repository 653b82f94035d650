"""The best polynomial NARX model as a network: an entrant of the race that is not trained any further."""

from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx

from attractor.cells import late_inputs
from attractor.control.baselines import Autoregression, Recordings, fit_polynomial_narx
from attractor.program import single

from .linear_start import WEIGHTS, Start
from .plant_network import PlantNetwork


@dataclass(frozen=True, eq=False)
class PolynomialStart:
    """A regression on past samples and their products.

    Args:
        model: on scaled signals.
    """

    model: Autoregression

    @property
    def order(self) -> int:
        """Past samples of every signal."""
        return self.model.order

    def network(self, network: PlantNetwork) -> PlantNetwork:
        """A fresh network of a `PolynomialNARX` cell of that order that computes what this model does."""
        cell: Any = network.inner
        found = self.model
        values = tuple(single(part) for part in (found.weights, found.low, found.high))
        return replace(
            network.with_inner(eqx.tree_at(lambda c: (c.weights, c.low, c.high), cell, values)), readout=None
        )


def find_polynomial_start(
    training: Recordings, validation: Recordings, start: Start, delays: tuple[int, ...] = ()
) -> PolynomialStart | None:
    """The model whose order and penalty simulate training and validation data best, as of the linear one.

    None where there are too few rows.

    Args:
        training: scaled inputs and outputs.
        validation: the same, for the choice; it counts twice.
        start: how a recording starts; the rows that tell the state must hold all past samples.
        delays: samples by which the inputs are late before they act; empty for none.
    """
    learned, judged = (
        [(late_inputs(u, delays) if delays else u, y) for u, y in side] for side in (training, validation)
    )
    found = fit_polynomial_narx(learned, judged, start.settled, (start.first,), WEIGHTS)
    return None if found is None or 0 < start.settled < found.order else PolynomialStart(found)
