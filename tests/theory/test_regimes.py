"""Regimes: the theory against eigenvalues, cells of every kind, and what is refused."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from attractor.cells import (
    GRU,
    LSTM,
    Elman,
    GatedFlow,
    GatedForm,
    ResetAfterGRU,
    Stack,
    cell_class,
    gated_rate,
    initial_state,
)
from attractor.errors import ConfigError, RunFolderError, UnsupportedError
from attractor.program import in_double_precision
from attractor.theory.mean_field import fold_threshold
from attractor.theory.regimes import (
    Agreement,
    Coupling,
    builder,
    effective_parameters,
    in_regime,
    initialise,
    recommended_regime,
    regime_of,
    resting_modes,
)
from attractor.theory.regimes.at_rest import state_matrices
from attractor.theory.regimes.couplings import CANDIDATE, time_quantiles, with_parameters
from attractor.theory.regimes.initialising import GOALS, couplings_for
from attractor.training.networks import describe_option, find_cell

KEY = jax.random.key(0)
UNITS = 64
GATED = {
    "gru": GRU(1, UNITS, key=KEY),
    "gru-reset-after": ResetAfterGRU(1, UNITS, key=KEY),
    "lstm": LSTM(1, UNITS, key=KEY),
    "equinox-gru": eqx.nn.GRUCell(1, UNITS, key=KEY),
    "equinox-lstm": eqx.nn.LSTMCell(1, UNITS, key=KEY),
    "gated-rate": gated_rate(1, UNITS, key=KEY),
    "gated-flow": GatedFlow(1, UNITS, form=GatedForm(update_time=3.0), key=KEY),
}
KNOWN = {**GATED, "tanh": Elman(1, UNITS, key=KEY)}


class Leaky(eqx.Module):
    """h' = h + a (-h + tanh(W h + U u)), as a user may write it."""

    coupling: jax.Array
    drive: jax.Array
    leak: jax.Array
    hidden_size: int = eqx.field(static=True)
    input_size: int = eqx.field(static=True)

    def __init__(self, input_size, hidden_size, *, leak=0.5, key):
        first, second = jax.random.split(key)
        raw = jax.random.normal(first, (hidden_size, hidden_size))
        self.coupling = (raw + raw.T) / 8
        self.drive = jax.random.normal(second, (hidden_size, input_size)) / 4
        self.leak = jnp.asarray(leak)
        self.hidden_size, self.input_size = hidden_size, input_size

    def __call__(self, input, state, *, key=None):
        return state + self.leak * (jnp.tanh(self.coupling @ state + self.drive @ input) - state)


class Timed(Leaky):
    """Takes time scales of its own."""

    def __init__(self, input_size, hidden_size, *, timescales=(2, 20), key):
        super().__init__(input_size, hidden_size, leak=1 / timescales[1], key=key)


class Diagonal(eqx.Module):
    """No matrix multiplies the state."""

    weight: jax.Array
    hidden_size: int = eqx.field(static=True)
    input_size: int = eqx.field(static=True)

    def __call__(self, input, state, *, key=None):
        return self.weight[0] * state + self.weight @ input


def eigenvalues(cell):
    """Of the Jacobian at zero; of a flow and its map the rates of the flow."""
    with jax.enable_x64(True):  # an accelerator's products in float32 differ in the fifth digit
        flow = in_double_precision(getattr(cell, "flow", cell))
        flat, restore = ravel_pytree(initial_state(flow))
        moved = flow if callable(flow) else flow.vector_field

        def step(flat):
            return ravel_pytree(moved(jnp.zeros(cell.input_size), restore(flat)))[0]

        jacobian = jax.jit(jax.jacfwd(step))(flat)
    return np.linalg.eigvals(np.asarray(jacobian, float))


@pytest.mark.parametrize("name", KNOWN)
def test_parameters_are_read_as_they_were_written(name):
    cell = KNOWN[name]
    asked = {
        coupling: Coupling(0.5 + place, np.linspace(-place, 1, UNITS))
        for place, coupling in enumerate(effective_parameters(cell).couplings)
    }
    found = effective_parameters(with_parameters(cell, asked, KEY)).couplings
    for coupling, wanted in asked.items():
        # the norm of N^2 normal numbers deviates by 1 / (N sqrt(2)) of itself: five times that
        assert found[coupling].gain == pytest.approx(wanted.gain, rel=5 / UNITS / 2**0.5)
        assert np.allclose(found[coupling].bias, wanted.bias, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "leading"),
    [
        ("gru", 0.5 + 0.5 * 0.9 * 0.5),  # z + (1 - z) a r
        ("gru-reset-after", 0.5 + 0.5 * 0.9 * 0.5),
        ("lstm", 0.5 + 0.5 * 0.9 * 0.5),  # f + i a o
        ("gated-flow", 0.5 * (-1 + 0.9 * 0.5)),  # s_z (-1 + g s_r)
        ("tanh", 0.9),
    ],
)
def test_leading_eigenvalue_of_equal_units_has_a_closed_form(name, leading):
    cell, closed = KNOWN[name], np.zeros(UNITS)
    gates = dict.fromkeys(effective_parameters(cell).couplings, Coupling(1.0, closed))
    modes = resting_modes(cell, {**gates, CANDIDATE: Coupling(0.9, closed)})
    assert modes.leading == pytest.approx(leading, abs=1e-9)
    assert modes.level(modes.leading) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("name", GATED)
@pytest.mark.parametrize(
    ("regime", "timescales"), [("contracting", None), ("edge", (2, 20)), ("integrator", (2, 100))]
)
def test_eigenvalues_of_drawn_cells_are_those_of_the_theory(name, regime, timescales):
    cell = GATED[name]
    couplings = couplings_for(cell, regime, timescales)
    modes = resting_modes(cell, couplings)
    assert modes.leading == pytest.approx(modes.marginal, abs=1e-6) or regime == "contracting"
    values = eigenvalues(with_parameters(cell, couplings, jax.random.key(1)))
    own = modes.own(values)
    assert len(own) == UNITS
    largest = own.real.max() if modes.continuous else np.abs(own).max()
    assert abs(largest - modes.leading) < modes.tolerance
    if timescales:
        short, middle, long = time_quantiles(own, continuous=modes.continuous)
        asked = modes.unit_times
        assert short == pytest.approx(asked[0], rel=0.5)
        assert middle == pytest.approx(asked[1], rel=0.5)
        assert long > asked[2] / 1.5
        # geometrically between the ends: nine tenths of the way on a logarithmic axis
        ends = np.asarray(timescales, float)
        assert asked[2] == pytest.approx(ends[0] * (ends[1] / ends[0]) ** 0.9, rel=0.1)


def test_edge_gain_of_an_lstm_falls_with_its_memory():
    """a_g = 2 where i = 1 - f and o = 1/2; with i = 1/2 it is 4 / rms(tau), below what torch draws."""
    zeros, bias = np.zeros(UNITS), np.log(np.geomspace(2, 20, UNITS) - 1)
    bounded = {"write": -bias, "keep": bias, "show": zeros, CANDIDATE: zeros}
    couplings = {name: Coupling(1.0, value) for name, value in bounded.items()}
    cell = KNOWN["lstm"]
    assert resting_modes(cell, couplings).edge_gain == pytest.approx(2, rel=1e-9)
    half_open = {**couplings, "write": Coupling(1.0, zeros)}
    rms = np.sqrt(np.mean(np.geomspace(2, 20, UNITS) ** 2))
    assert resting_modes(cell, half_open).edge_gain == pytest.approx(4 / rms, rel=1e-9)


@pytest.fixture(scope="module")
def made():
    return {
        regime: initialise(GATED["gru"], regime, timescales, key=jax.random.key(2))
        for regime, timescales in (("contracting", None), ("edge", None), ("integrator", (2, 80)))
    }


@pytest.mark.parametrize("regime", ["contracting", "edge", "integrator"])
def test_an_initialised_gru_is_measured_to_be_what_was_asked_for(made, regime):
    one = made[regime]
    assert one.status is Agreement.MET, one.warnings
    assert "asked for" in str(one.status)
    leading = np.abs(eigenvalues(one.cell)).max()
    assert abs(one.measured.leading) == pytest.approx(leading, abs=1e-5)
    assert one.measured.at_rest
    # what is left of the small random start decays as the leading mode does, but for what its size adds
    rate, error = np.log(leading), one.measured.standard_errors[0]
    assert one.measured.autonomous_exponent == pytest.approx(rate, abs=0.002 + 5 * error)
    assert one.measured.driven_exponent < 0
    assert np.array_equal(one.cell.input_weight, GATED["gru"].input_weight)
    assert regime_of(one.cell).regime == regime


def test_regimes_differ_in_how_long_they_remember(made):
    times = {regime: one.measured.slowest_time for regime, one in made.items()}
    assert 1.5 < times["contracting"] < 6
    assert times["contracting"] * 2 < abs(times["edge"])
    assert abs(times["integrator"]) > 50
    assert made["contracting"].predicted.slowest_time == pytest.approx(-1 / np.log(0.75))
    assert made["edge"].predicted.slowest_time == np.inf
    assert made["integrator"].parameters.candidate_gain == pytest.approx(2, rel=0.06)


@pytest.fixture(scope="module")
def leaky():
    return Leaky(6, 6, key=KEY)


def test_a_cell_of_the_users_own_is_scaled_to_its_edge(leaky):
    assert state_matrices(leaky) == (True, False, False)  # the input matrix is as large, and left alone
    one = initialise(leaky, "edge", key=KEY)
    top = np.linalg.eigvalsh(np.asarray(leaky.coupling, float)).max()
    assert one.edge.value == pytest.approx(1 / top, rel=1e-5)
    assert one.measured.leading == pytest.approx(1, abs=1e-5)
    assert one.status is Agreement.MET, one.warnings
    assert one.parameters is None
    assert np.array_equal(one.cell.drive, leaky.drive)
    half = initialise(leaky, "contracting", key=KEY)
    assert np.allclose(half.cell.coupling, one.cell.coupling / 2)
    assert half.measured.leading == pytest.approx(0.75, abs=1e-5)
    assert half.measured.autonomous_exponent == pytest.approx(np.log(0.75), abs=1e-3)


def test_a_leak_that_decides_alone_is_told(leaky):
    slow = eqx.tree_at(lambda cell: cell.leak, leaky, jnp.asarray(0.01))
    one = initialise(slow, "contracting", key=KEY)
    assert one.status is Agreement.DIFFERS
    assert "leak" in one.warnings[0]


def test_what_cannot_be_met_is_refused(leaky):
    cases = [
        (ConfigError, "expected one of", GATED["gru"], "chaos", None),
        (ConfigError, "needs timescales", GATED["gru"], "integrator", None),
        (ConfigError, "shortest <= longest", GATED["gru"], "integrator", (20, 2)),
        (UnsupportedError, "no gate of Elman", KNOWN["tanh"], "integrator", (2, 20)),
        (UnsupportedError, "no gate of GatedFlow", _open_flow(), "edge", (2, 20)),
        (UnsupportedError, "initialise its cells", Stack((leaky,)), "edge", None),
        (UnsupportedError, "`builder`", leaky, "integrator", (2, 20)),
        (UnsupportedError, "no matrix", Diagonal(jnp.ones((2, 2)), 2, 2), "edge", None),
        (UnsupportedError, "more leak", eqx.tree_at(lambda c: c.leak, leaky, jnp.asarray(0.0)), "edge", None),
    ]
    for error, part, cell, regime, timescales in cases:
        with pytest.raises(error, match=part):
            initialise(cell, regime, timescales, key=KEY)
    with pytest.raises(UnsupportedError, match="no gates that the theory knows"):
        effective_parameters(leaky)


def _open_flow():
    return GatedFlow(1, 4, form=GatedForm(open_update=True), key=KEY)


@pytest.mark.slow
def test_builders_build_inside_a_trace():
    build = builder("lstm", "integrator", timescales=(2, 50))
    keys = jax.random.split(KEY, 2)
    several = eqx.filter_jit(eqx.filter_vmap(lambda key: build(3, 8, key=key)))(keys)
    flow = eqx.filter_jit(lambda key: builder("gated-rate", "edge", timescales=(2, 50))(3, 8, key=key))(KEY)
    assert float(flow.flow.gain) == pytest.approx(2)
    alone = build(3, 8, key=keys[1])
    assert jax.tree.all(jax.tree.map(lambda one, all: np.allclose(one, all[1]), alone, several))
    assert not np.allclose(several.state_weight[0], several.state_weight[1])


@pytest.mark.slow
def test_builders_scale_cells_of_the_users_own_inside_a_trace():
    made = jax.jit(lambda key: builder(Leaky, "edge")(6, 6, key=key).coupling)(KEY)
    drawn = Leaky(6, 6, key=jax.random.split(KEY)[0]).coupling
    sample = np.asarray(Leaky(6, 6, key=jax.random.key(0)).coupling, float)
    assert np.allclose(made, drawn / np.linalg.eigvalsh(sample).max(), rtol=1e-4)
    timed = builder(Timed, "contracting", timescales=(2, 50))(6, 6, key=KEY)
    assert float(timed.leak) == pytest.approx(1 / 50)
    with pytest.raises(UnsupportedError, match="takes no `timescales`"):
        builder(Leaky, "edge", timescales=(2, 50))(6, 6, key=KEY)


def test_builders_check_what_they_are_given():
    with pytest.raises(ConfigError, match="unknown cell"):
        builder("grru", "edge")
    with pytest.raises(ConfigError, match="needs timescales"):
        builder("gru", "integrator")


def test_a_run_folder_keeps_the_options_of_a_builder():
    build = builder("gru", "integrator", timescales=(2, 50))
    saved = describe_option(build)
    with pytest.raises(RunFolderError, match="hand it in"):
        find_cell(saved, None, "SequenceClassifier")
    again = find_cell(saved, in_regime, "SequenceClassifier")
    assert isinstance(again, partial)
    assert again.keywords == build.keywords
    assert find_cell(saved, build, "SequenceClassifier") is build


def test_where_the_cells_of_the_library_start():
    gru, lstm = (regime_of(cell_class(name)(1, UNITS, key=KEY)) for name in ("gru", "lstm"))
    assert gru.regime == "contracting"
    assert gru.criticality == pytest.approx(3**-0.5 / 2, rel=0.05)  # uniform weights, a half-open gate
    assert gru.bias_distance == np.inf  # even an open gate leaves a_h below 1
    assert gru.reset_distance == pytest.approx(8**0.5 - 0.3 * 3**-0.5, rel=0.05)
    # the forget gates hold for 2 to 20 steps and the input gates rest half open: beyond the edge 4 / rms(tau)
    assert lstm.regime == "beyond the edge"
    assert lstm.criticality == pytest.approx(1.34, rel=0.05)
    assert lstm.gain_distance < 0
    assert lstm.reset_distance is None
    assert lstm.nearest_line == "zero loses stability"


def test_distances_lead_to_the_lines():
    asked = dict(couplings_for(GATED["gru"], "edge", (2, 20)))
    asked[CANDIDATE] = Coupling(1.4, asked[CANDIDATE].bias)
    asked["reset"] = Coupling(2.7, asked["reset"].bias - 0.4)
    place = regime_of(with_parameters(GATED["gru"], asked, KEY))
    opened = dict(place.parameters.couplings)
    opened["reset"] = Coupling(1.0, opened["reset"].bias + place.bias_distance)
    assert resting_modes(GATED["gru"], opened).edge_gain == pytest.approx(place.modes.gain, rel=1e-9)
    rest = 1 / (1 + np.exp(0.4))
    assert place.modes.edge_gain == pytest.approx(1 / rest, rel=1e-6)
    threshold = np.sqrt(2 / ((1 - rest) * (2 - 3 * rest)))
    assert place.reset_distance == pytest.approx(threshold - place.parameters.reset_gain)
    assert place.nearest_line == "fold of the reset gain"
    assert not np.isfinite(
        regime_of(
            with_parameters(GATED["gru"], {**asked, "reset": Coupling(1, np.ones(UNITS))}, KEY)
        ).reset_distance
    )


def test_a_position_is_a_line_of_a_log():
    entry = regime_of(GATED["lstm"]).to_dict()
    assert all(isinstance(value, float) for value in entry.values())
    assert {"criticality", "keep_bias_mean", "slowest_time"} <= set(entry)


def test_gates_stay_below_the_fold():
    for goal in GOALS.values():
        assert goal.gate_gain < fold_threshold(0.0) == pytest.approx(8**0.5)


def test_the_rule():
    short, long = recommended_regime(10), recommended_regime(400)
    assert (short.regime, short.timescales, short.matters) == ("contracting", None, False)
    assert (long.regime, long.timescales, long.matters) == ("contracting", (2.0, 400.0), True)
    assert "400 steps" in long.reason
    with pytest.raises(ConfigError, match="longest_lag=0"):
        recommended_regime(0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tanh", "lstm", "gru-reset-after", "gated-rate"])
def test_other_cells_are_measured_to_be_what_was_asked_for(name):
    regimes = [("contracting", None), ("edge", None)] + [("integrator", (2, 80))] * (name in GATED)
    for regime, timescales in regimes:
        one = initialise(KNOWN[name], regime, timescales, key=jax.random.key(2))
        assert one.status is Agreement.MET, one.warnings


@pytest.mark.slow
def test_estimators_train_save_and_load_cells_in_a_regime(tmp_path):
    import attractor

    build = builder("gru", "integrator", timescales=(2, 30))
    x = np.random.default_rng(0).normal(size=(40, 12, 2))
    y = np.where(x[:, :, 0].sum(axis=1) > 0, "up", "down")
    model = (
        attractor
        .SequenceClassifier(cell=build, hidden_size=4, layers=2)
        .set_params(training__epochs=2)
        .fit(x, y)
    )
    model.save(tmp_path / "classifier")
    for cell in (in_regime, build):
        again = attractor.SequenceClassifier.load(tmp_path / "classifier", cell=cell)
        assert np.array_equal(again.predict_proba(x), model.predict_proba(x))
    with pytest.raises(RunFolderError, match="hand it in"):
        attractor.SequenceClassifier.load(tmp_path / "classifier")
