"""The study of one network: regimes, points and planes of cells whose answers are known."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dynamics_cases import KEY, Listener, Map, linear

from attractor.cells import LSTM, Cell, Elman
from attractor.certify import StabilityResult, Verdict
from attractor.certify.search import Witness
from attractor.errors import ConfigError, InputDataError
from attractor.report.about import About
from attractor.theory import DynamicsSettings, Regime, dynamics_study
from attractor.theory.dynamics_page import _position, dynamics_page, verdict
from attractor.theory.dynamics_study import comes_back
from attractor.theory.far_starts import far_starts
from attractor.theory.regimes import regime_of
from attractor.theory.regimes.regime_position import NetworkPosition

PLAN = DynamicsSettings(steps=300, starts=16, points=3)
INPUTS = np.random.default_rng(0).normal(size=(300, 1))


class Switch(Cell):
    """x' = tanh(2 x + u) for every unit: two attracting points and one between them at u = 0."""

    hidden_size: int = eqx.field(static=True, default=1)
    input_size: int = eqx.field(static=True, default=1)

    def __call__(self, input, state, *, key=None):
        return jnp.tanh(2 * state + input)


@pytest.fixture(scope="module")
def switched():
    """The study of a switch under small inputs, and what its reporter heard."""
    listener = Listener()
    return dynamics_study(Switch(), 0.01 * INPUTS - 0.01 * INPUTS.mean(), PLAN, listener), listener


def test_a_switch_has_three_points_and_is_stable_where_inputs_are_small(switched):
    study, listener = switched
    assert listener.heard[-5:] == [(done, 4) for done in range(5)]
    assert study.regime is Regime.STABLE
    assert sorted(kind.name for kind in study.points.kinds) == ["ATTRACTING", "ATTRACTING", "REPELLING"]
    assert study.points.index_sums[0] == 1
    root = 0.957504
    np.testing.assert_allclose(np.sort(study.points.states[:, 0]), [-root, 0.0, root], atol=1e-6)
    slope = 2 * (1 - root**2)
    assert study.driven.per_step[0] == pytest.approx(np.log(slope), abs=0.02)
    assert study.forgetting == pytest.approx(-1 / np.log(slope), rel=0.02)
    assert study.resting.per_step[0] == pytest.approx(np.log(slope), abs=0.02)
    assert study.to_dict()["regime"] == "stable"


def refuted():
    witness = Witness(np.ones(1), -np.ones(1), np.zeros((1, 1)), 2.0, 20_000)
    return StabilityResult(Verdict.REFUTED, None, witness, (), 1.0)


def test_a_negative_exponent_is_not_taken_for_word_of_far_starts(switched):
    """Nearby states approach each other on either branch of a switch; the other branch stays where it is."""
    study, _ = switched
    far = study.far
    assert far.starts == 34  # two attracting points, and 32 random ones
    assert 0 < far.met < far.starts
    assert far.falling == far.lost == 0
    assert far.apart == pytest.approx(2 * 0.957504, abs=0.1)
    assert f"{far.starts - far.met} of 34 far starts do not meet the path in 300 steps" in str(study)
    assert study.to_dict()["far_starts"]["met"] == far.met
    for proved in (None, refuted()):
        page = dynamics_page(study, About("switch", "attractor dynamics"), proved)
        assert page.tone == "fair"
        assert page.meaning.startswith(
            "A wrong start nearby is forgotten along these inputs. Not so from afar"
        )
        assert "one of 2 attracting points" in page.meaning
        assert ("refuted" in page.meaning) == (proved is not None)
        tile = next(tile for tile in page.tiles if tile.label == "Proved below")
        assert tile.value == ("—" if proved is None else "refuted")
        assert "nothing is proved" not in tile.note


def test_far_starts_meet_where_a_map_contracts_and_those_that_run_away_are_told():
    rows, starts = np.zeros((60, 1)), np.array([[5.0], [-5.0]])
    halving = far_starts(Map(lambda x: 0.5 * x, 1, 1), rows, starts, 1.0)
    assert halving.all_met
    assert halving.last == 22  # 5 / 2^22 is above 1e-6, half of that is not
    assert str(halving) == "all 2 far starts that were tried meet the path, the last after 22 steps"
    slow = far_starts(Map(lambda x: 0.9 * x, 1, 1), rows, starts, 1.0)
    assert (slow.met, slow.falling) == (0, 2)
    wild = far_starts(Map(lambda x: x**3, 1, 1), rows, np.array([[5.0], [0.5]]), 1.0)
    assert (wild.met, wild.lost) == (1, 1)
    assert "1 leave" in str(wild)
    assert wild.to_dict()["apart"] == 0


def test_starts_outside_of_where_a_map_is_defined_say_nothing_of_it():
    """x' = sqrt(x - 5) + 4.9 lives above 5: starts below it "left the finite numbers"."""
    root = Map(lambda x: jnp.sqrt(x - 5) + 4.9, 1, 1)
    rows, path = np.zeros((60, 1)), jnp.full(1, 6.0)
    far = far_starts(root, rows, np.array([[7.0], [30.0], [-3.0]]), 6.0, path)
    assert (far.starts, far.met, far.lost, far.outside) == (2, 2, 0, 1)
    assert far.all_met
    assert str(far).endswith("; 1 more lay where the step is not defined")
    none = far_starts(root, rows, np.array([[-3.0]]), 6.0, path)
    assert not none.all_met
    assert str(none).startswith("no far start was tried")


def test_a_path_that_stands_on_an_unstable_point_tells_nothing_about_others():
    """x' = tanh(2 x) from its own start, zero: the exponent there is log 2, and nobody else's."""
    study = dynamics_study(Switch(), 0 * INPUTS, PLAN)
    assert study.driven.collapsed.all()
    assert study.driven.per_step[0] == pytest.approx(np.log(2))
    assert study.regime is Regime.COLLAPSED
    assert study.to_dict()["regime"] == "collapsed"
    told = verdict(study)
    assert "haotic" not in told
    assert "start elsewhere" in told
    assert "2 attracting" in told
    assert study.driven.kaplan_yorke.value is None  # no dimension either, and no entropy
    assert "unstable point" in study.driven.entropy_rate.reason
    assert not study.remarks  # three points whose indices sum to 1


LOGISTIC = Map(lambda x: 3.9 * x * (1 - x), 1, 1)
HENON = Map(lambda x: jnp.stack([1 - 1.4 * x[0] ** 2 + x[1], 0.3 * x[0]]), 2, 1)


def test_points_are_missing_only_where_trajectories_come_back_from_afar():
    """Both roots of the logistic map are found, and their indices sum to 0: from outside it runs away."""
    study = dynamics_study(LOGISTIC, 0 * INPUTS, PLAN, state=jnp.array([0.3]))
    assert study.points.index_sums[0] == 0
    np.testing.assert_allclose(np.sort(study.points.states[:, 0]), [0, 1 - 1 / 3.9], atol=1e-9)
    assert not [text for text in study.remarks if "not found" in text]
    assert study.regime is Regime.CHAOTIC


@pytest.mark.parametrize(
    ("cell", "known", "back"),
    [
        (HENON, [[0.63, 0.19]], False),
        (LOGISTIC, [[0.0]], False),
        (Map(lambda x: 1.01 * x, 1, 1), [[0.0]], False),
        (Map(lambda x: x, 1, 1), [[0.0]], False),
        (Map(lambda x: 0.999 * x, 1, 1), [[0.0]], True),
        (Switch(), [[0.96], [0.0]], True),
    ],
)
def test_the_premise_of_the_sum_of_indices_is_looked_at(cell, known, back):
    assert comes_back(cell, np.zeros(1), np.array(known)) is back


def test_theory_and_measurement_are_said_apart():
    """The default LSTM lies beyond the edge without input, and is stable along inputs."""
    place = NetworkPosition(regime_of(LSTM(1, 16, key=KEY)), None)
    lead = _position(place, Regime.STABLE).lead
    assert "left without input: beyond the edge (zero is unstable" in lead
    assert f"Measured: {Regime.STABLE}" in lead
    assert "chaotic" not in lead


@pytest.mark.slow
def test_a_turning_plane_is_at_the_edge_and_its_plane_is_found():
    angle, axes = 0.3, np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))[0]
    turning = np.diag([0.0, 0.0, 0.5, 0.4, 0.3])
    turning[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix = axes @ turning @ axes.T
    start = jnp.asarray(axes[:, 0], jnp.float32)
    study = dynamics_study(linear((matrix - np.eye(5)) / 0.1), 0 * INPUTS, PLAN, state=start)
    assert study.regime is Regime.EDGE
    assert study.participation == pytest.approx(2, abs=0.05)
    np.testing.assert_allclose(study.plane.shares[:2].sum(), 1, atol=1e-3)
    np.testing.assert_allclose(np.abs(np.linalg.det(study.plane.axes @ axes[:, :2])), 1, atol=1e-3)
    turned = study.plane.axes @ axes[:, :2]  # from the plane's own axes to those of the study
    change = (turning[:2, :2] - np.eye(2)).T
    np.testing.assert_allclose(study.plane.drift, study.plane.grid @ turned @ change @ turned.T, atol=1e-2)


@pytest.mark.slow
def test_a_network_with_large_weights_is_chaotic():
    key = jax.random.key(1)  # with key 0 the chaos of the first 300 steps is a transient: -0.013 in 3000
    cell = Elman(1, 40, key=key)
    cell = eqx.tree_at(lambda cell: cell.state_weight, cell, 8 * cell.state_weight)
    study = dynamics_study(cell, 0 * INPUTS, PLAN, state=jax.random.normal(key, (40,)))
    assert study.regime is Regime.CHAOTIC
    assert study.driven.kaplan_yorke.value > 1
    assert study.participation > 1.2
    assert "chaotic" in str(study)


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (lambda: DynamicsSettings(steps=5), ConfigError, "steps=5"),
        (lambda: dynamics_study(Switch(), INPUTS[:10], PLAN), InputDataError, "10 steps are too few"),
    ],
)
def test_a_mistake_is_named(call, kind, said):
    with pytest.raises(kind, match=said):
        call()
