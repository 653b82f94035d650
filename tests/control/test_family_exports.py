"""Every family that a race may choose, late and not, in every format: two inputs and two outputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor.cells import Cell, cell_class
from attractor.control.controller_check import compare_controller
from attractor.control.identification.plant_network import NetworkPlan
from attractor.control.identification.race import AS_FITTED, POLYNOMIAL, RECURRENT
from attractor.control.identification.recordings import Signals
from attractor.control.model import ControlModel, ModelCard, from_network
from attractor.control.study import ControlSettings
from attractor.data import Scaling, Signal
from attractor.export import export
from attractor.export.c.c_step import c_compiler
from attractor.program import in_double_precision

UNITS = Scaling(np.zeros(2), np.ones(2))
CARD = ModelCard(Signals((Signal("a"), Signal("b")), (Signal("c"), Signal("d")), 1.0), UNITS, UNITS)
SETUP = ControlSettings(horizon=2)
compiled = pytest.mark.skipif(c_compiler() is None, reason="no C compiler on the path")


def network(family, delays):
    """As it is drawn."""
    plan = NetworkPlan(cell_class(family), 2, 1, 2, 2, 0, feedthrough=False, delays=delays)
    return plan(jax.random.key(3))


@compiled
@pytest.mark.parametrize(
    ("family", "delays"),
    [
        pytest.param(family, delays, marks=[pytest.mark.slow] * (not delays and family != POLYNOMIAL))
        for family in (*AS_FITTED, *RECURRENT)
        for delays in ((), (0, 2))
    ],
)
def test_every_family_is_written_in_every_format(tmp_path, family, delays):
    """polynomial-narx, and whatever was late, had no controller in C: its derivatives had no rule."""
    plain = network(family, delays)
    for target in ("c", "numpy"):
        ((_, difference),) = export(plain, target, tmp_path)
        assert difference < 1e-6
    with jax.enable_x64(True):
        model = ControlModel(in_double_precision(plain))
    found = compare_controller(model, CARD, SETUP)
    assert not found.elsewhere
    assert found.difference < 1e-6


class Picking(Cell):
    """A user's own: entries are picked twice, and stacked."""

    input_size: int = 1
    hidden_size: int = 3

    def __call__(self, input, state, *, key=None):
        squares = state[jnp.array([0, 2, 2])] * state[jnp.array([1, 1, 0])]
        first, last = state[0], jnp.stack([state[1], input[0]])
        return 0.5 * jnp.tanh(squares + jnp.stack([first, last @ jnp.array([0.3, 1.0]), last[0]]) + input)


@compiled
def test_derivatives_of_picked_and_stacked_entries_are_written():
    units = Scaling(np.zeros(1), np.ones(1))
    card = ModelCard(Signals((Signal("u"),), (Signal("y"),), 1.0), units, units)
    found = compare_controller(from_network(Picking(), [[1.0, -0.5, 0.4]], [0.0]), card, SETUP)
    assert not found.elsewhere
    assert found.difference < 1e-6
