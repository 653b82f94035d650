"""Diagrams: the same bits from any backend, no tile twice, files that read back, lines of theory."""

import json
import shutil
import threading
from dataclasses import replace

import joblib
import numpy as np
import pytest
from phase_cases import BIASES, FLIPS, FORM, GAINS, GATED, LEAKY, SHORT, leaky_rates

from attractor.arrays import pack, unpack
from attractor.cells import GatedForm
from attractor.errors import InputDataError, RunFolderError, StorageError, UnsupportedError
from attractor.folders import locked, write_sealed
from attractor.progress import SilentReporter
from attractor.report.about import About
from attractor.sweeps import TaskStore, store_for
from attractor.theory.mean_field import GatedParameters, marginal_range
from attractor.theory.phase import (
    Outcome,
    PhaseAxis,
    PhaseDiagram,
    PhasePlan,
    PhaseSimulation,
    Theory,
    TheoryLine,
    agreement,
    expected_outcomes,
    load_diagram,
    phase_diagram,
    position_in,
    save_diagram,
)
from attractor.theory.phase.critical_lines import theory_of
from attractor.theory.phase.diagram import tile_tasks
from attractor.theory.phase.phase_page import phase_page
from attractor.theory.phase.phase_simulation import plan_hash


class Listener(SilentReporter):
    """Remembers what it hears."""

    def __init__(self):
        self.heard = []

    def update(self, done, total, message=""):
        self.heard.append((done, total, message))


@pytest.fixture(scope="module")
def gated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gated")
    return folder, phase_diagram(GATED, folder)


def same(one, other):
    fields = ("exponent", "low", "high", "variance")
    lines = zip(one.theory.lines, other.theory.lines, strict=True)
    return (
        one.hash == other.hash
        and all(np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True) for name in fields)
        and all(np.array_equal(a.x, b.x, equal_nan=True) for a, b in lines)
    )


def test_a_run_that_was_stopped_computes_what_is_missing(gated):
    folder, whole = gated
    parts = sorted((folder / "parts" / whole.hash[:16]).iterdir())
    assert [part.name for part in parts if part.name.startswith("tile")] == [
        f"tile-0-{place:05d}.safetensors" for place in range(3)
    ]
    parts[-1].unlink()
    parts[-2].write_bytes(b"half of a fi")
    (parts[0].parent / ".tile-0-00000.safetensors.12ab.attractor.tmp").touch()
    listener = Listener()
    again = phase_diagram(GATED, folder, reporter=listener)
    assert same(again, whole)
    assert [(done, total) for done, total, _ in listener.heard] == [(2, 3), (3, 3)]
    assert not list(parts[0].parent.glob("*.tmp"))


def test_threads_give_the_same_bits(gated):
    with joblib.parallel_config(backend="threading", n_jobs=2):
        assert same(phase_diagram(GATED), gated[1])


@pytest.mark.slow
def test_processes_give_the_same_bits(gated):
    with joblib.parallel_config(backend="loky", n_jobs=2):
        assert same(phase_diagram(GATED), gated[1])


@pytest.mark.peer
def test_a_cluster_gives_the_same_bits(gated):
    distributed = pytest.importorskip("distributed", reason="install attractor[cluster] to test it")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with (
        distributed.LocalCluster(**options) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        assert same(phase_diagram(GATED), gated[1])


def test_a_diagram_reads_back_as_it_was(gated, tmp_path):
    _, whole = gated
    again = load_diagram(save_diagram(whole, tmp_path))
    assert same(again, whole)
    assert again.plan == GATED
    assert (again.outcomes == whole.outcomes).all()
    assert again.theory.remarks == whole.theory.remarks
    rows = (tmp_path / "diagram.csv").read_text().splitlines()
    assert len(rows) == 13
    first = dict(zip(rows[0].split(","), rows[1].split(","), strict=True))
    assert (first["gain"], first["reset_bias"]) == ("0.5", "-1.0")
    assert float(first["exponent_large"]) == whole.exponent[0, 0, 0]
    assert first["outcome"] == whole.outcomes[0, 0].name.lower()
    assert float(first["relaxation_time_small"]) == -1 / whole.exponent[1, 0, 0]


def test_files_that_are_no_diagrams_are_refused(tmp_path):
    with pytest.raises(RunFolderError, match="no finished phase diagram"):
        load_diagram(tmp_path)
    (tmp_path / "diagram.json").write_text('{"format": 99}')
    with pytest.raises(RunFolderError, match="no finished phase diagram"):
        load_diagram(tmp_path)
    write_sealed(tmp_path, {"diagram.csv": b"", "diagram.json": b'{"format": 99}'})
    with pytest.raises(RunFolderError, match="no phase diagram of format 3"):
        load_diagram(tmp_path)


def test_a_damaged_part_is_computed_again_and_changes_nothing(gated, tmp_path):
    """Flipped bytes, a part of another tile or plan, or one that was sealed anew with other arrays."""
    folder, whole = gated
    shutil.copytree(folder, tmp_path / "copy")
    parts = sorted((tmp_path / "copy" / "parts" / whole.hash[:16]).glob("tile*"))
    data = bytearray(parts[0].read_bytes())
    data[-3] ^= 1
    parts[0].write_bytes(data)
    arrays, facts = unpack(parts[2].read_bytes(), "part")
    parts[1].write_bytes(parts[2].read_bytes())
    for forged in (
        pack(arrays, {**facts, "origin": "other"}),
        pack({"growth": arrays["growth"]}, facts),
        pack({**arrays, "variance": arrays["variance"][:1]}, facts),
        pack({**arrays, "variance": arrays["variance"].astype(np.float32)}, facts),
    ):
        parts[2].write_bytes(forged)
        store = store_for(tmp_path / "copy", whole.hash)
        assert [store.find(task) is None for task in tile_tasks(GATED)] == [True, True, True]
    assert same(phase_diagram(GATED, tmp_path / "copy"), whole)


def test_a_diagram_is_not_replaced_by_that_of_another_plan(gated, tmp_path):
    _, whole = gated
    save_diagram(whole, tmp_path)
    save_diagram(whole, tmp_path)
    (tmp_path / "diagram.html").write_text("of the old one")
    other = replace(whole, plan=replace(GATED, tile=GATED.tile + 1))
    with pytest.raises(RunFolderError, match="holds the diagram of another plan"):
        save_diagram(other, tmp_path)
    assert load_diagram(tmp_path).plan == GATED
    save_diagram(other, tmp_path, overwrite=True)
    assert load_diagram(tmp_path).plan == other.plan
    assert not (tmp_path / "diagram.html").exists()


@pytest.mark.parametrize("left", ["killed", "older", "torn"])
def test_a_diagram_without_digests_is_replaced_by_its_own_plan_only(gated, tmp_path, left):
    """One that a killed command left is written again; one of a version that wrote no digests is kept."""
    _, whole = gated
    save_diagram(whole, tmp_path)
    (tmp_path / "SHA256SUMS").unlink()
    path = tmp_path / "diagram.json"
    if left == "older":
        path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 1}))
    if left == "torn":
        path.write_text("{")
    other = replace(whole, plan=replace(GATED, tile=GATED.tile + 1))
    with pytest.raises(RunFolderError, match=r"another plan|diagram\.json lacks a fact"):
        save_diagram(other, tmp_path)
    if left == "killed":
        save_diagram(whole, tmp_path)
        assert load_diagram(tmp_path).plan == GATED
    save_diagram(other, tmp_path, overwrite=True)
    assert load_diagram(tmp_path).plan == other.plan


def test_a_run_folder_does_not_become_that_of_a_diagram(gated, tmp_path):
    write_sealed(tmp_path, {"card.json": b"{}"})
    with pytest.raises(RunFolderError, match="holds something else"):
        save_diagram(gated[1], tmp_path, overwrite=True)


def test_two_diagrams_at_once_in_one_folder_are_refused(gated, tmp_path):
    def other():
        with locked(tmp_path):
            held.set()
            done.wait()

    held, done = threading.Event(), threading.Event()
    thread = threading.Thread(target=other)
    thread.start()
    held.wait()
    try:
        for act in (lambda: phase_diagram(GATED, tmp_path), lambda: save_diagram(gated[1], tmp_path)):
            with pytest.raises(StorageError, match="in use by process"):
                act()
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("name", ["diagram.json", "diagram.csv", "SHA256SUMS"])
def test_any_changed_byte_of_a_diagram_is_noticed(gated, tmp_path, name):
    save_diagram(gated[1], tmp_path)
    whole = (tmp_path / name).read_bytes()
    for place in np.linspace(0, len(whole) - 1, 40).astype(int):
        data = bytearray(whole)
        data[place] ^= 1
        (tmp_path / name).write_bytes(data)
        with pytest.raises(RunFolderError, match=r"damaged|was changed"):
            load_diagram(tmp_path)


WRONG = {
    "plan": [None, [], 1, {}],
    "plan.x": [None, {"name": "gain"}, {"name": 5, "low": 0, "high": 1, "points": 2}],
    "plan.x.name": [None, 3, "speed", "g_h" * 10**6],
    "plan.x.points": [10**12, -1, 2.5, "2", True, None],
    "plan.x.low": ["0", float("nan"), 10**400, None],
    "plan.form": [{"gain": "1"}, {"speed": 1}, []],
    "plan.form.gain": ["1", True, None, [1]],
    "plan.simulation.seeds": [None, [], ["0"], [0, 0], [0.5], 7],
    "plan.simulation.blocks": [10**9, "10", 1.5],
    "plan.simulation.method": ["magic", 3],
    "plan.tile": [0, "64", None, 1.5],
    "plan.size": [0, "10", None],
    "exponent": [None, [], [[1]], "text", [[["1"]]], [[[10**400]]]],
    "low": [[[[1, 2], [3]]], {}],
    "theory": [None, [], {}],
    "theory.lines": [None, [{}], [{"name": "zero", "x": [1], "y": ["a"], "residual": [0]}], [{"name": []}]],
    "theory.remarks": [None, [1]],
    "theory.map_x": [None, ["a"], [[1]]],
    "seconds": [None, "1", True],
    "versions": [None, 5],
    "hash": [None, 5],
}


@pytest.mark.parametrize("place", WRONG)
def test_a_diagram_with_wrong_facts_is_refused_with_a_short_message(gated, tmp_path, place):
    save_diagram(gated[1], tmp_path)
    contents = {name: (tmp_path / name).read_bytes() for name in ("diagram.csv", "diagram.json")}
    for wrong in WRONG[place]:
        facts = json.loads(contents["diagram.json"])
        *way, last = place.split(".")
        inner = facts
        for step in way:
            inner = inner[step]
        inner[last] = wrong
        write_sealed(tmp_path, {**contents, "diagram.json": json.dumps(facts).encode()})
        with pytest.raises(RunFolderError) as caught:
            load_diagram(tmp_path)
        assert len(str(caught.value)) < 2500


def test_a_flow_of_the_user_goes_through(tmp_path):
    """Without gain every difference shrinks at the rate of the leak: ln(1 - d l + (d l)^2 / 2) / d."""
    found = phase_diagram(LEAKY)
    product = -SHORT.step * LEAKY.y.values
    expected = np.log(1 + product + product**2 / 2) / SHORT.step
    np.testing.assert_allclose(found.exponent[:, :, 0], [expected, expected], rtol=1e-4)
    np.testing.assert_allclose(found.relaxation_time[0, :, 0], -1 / expected, rtol=1e-4)
    assert (found.outcomes[:, 0] == Outcome.SETTLES).all()
    assert found.variance[0, 0, 3] > 0.1 > found.variance[0, 0, 0]
    assert not found.theory.lines
    assert "leaky_rates is not the gated network" in found.theory.remarks[0]
    again = load_diagram(save_diagram(found, tmp_path))
    assert again.plan.network == "leaky_rates"
    with pytest.raises(UnsupportedError, match="build=leaky_rates again"):
        phase_diagram(again.plan)


def test_several_networks_are_averaged():
    two = phase_diagram(replace(LEAKY, simulation=replace(SHORT, seeds=(0, 1))))
    each = [phase_diagram(replace(LEAKY, simulation=replace(SHORT, seeds=(seed,)))) for seed in (0, 1)]
    np.testing.assert_allclose(two.exponent, np.mean([one.exponent for one in each], axis=0), rtol=1e-12)
    assert np.abs(each[0].exponent[..., 3] - each[1].exponent[..., 3]).max() > 1e-3


def test_the_hash_follows_settings_and_equations():
    def faster(values, key):
        return leaky_rates({**values, "gain": 2 * values["gain"]}, key)

    faster.__qualname__ = leaky_rates.__qualname__
    hashes = [
        plan_hash(plan)
        for plan in (
            LEAKY,
            replace(LEAKY, build=faster),
            replace(LEAKY, simulation=replace(SHORT, step=0.1)),
            GATED,
            replace(GATED, form=replace(FORM, bias=0.1)),
        )
    ]
    assert len(set(hashes)) == 5
    assert plan_hash(replace(LEAKY)) == hashes[0]


def theory(plan):
    return theory_of(plan, TaskStore(None), SilentReporter())


def named(found, name):
    return next(line for line in found.lines if line.name == name)


def test_lines_over_the_gain_are_those_of_theory(gated):
    """g_zero = 1 + exp(-b_r); g_fold = 2.06904 at alpha_r = 10, b_r = -1; none beside g_zero at b_r = 1."""
    found = gated[1].theory
    assert [line.name for line in found.lines] == ["zero", "fold", "marginal"]
    assert "no closed equation for the onset of chaos" in found.remarks[0]
    zero, fold = named(found, "zero"), named(found, "fold")
    np.testing.assert_allclose(zero.x, 1 + np.exp(-BIASES.values), rtol=1e-12)
    np.testing.assert_array_equal(zero.y, BIASES.values)
    assert fold.x[0] == pytest.approx(2.06904, abs=1e-5)
    assert np.isnan(fold.x[-1])
    assert np.isnan(fold.y[-1])


@pytest.mark.slow
def test_the_onset_of_chaos_is_that_of_theory():
    """2.2869 at alpha_r = 10, b_r = -1; at alpha_r = 1 chaos grows from zero, and there is one line."""
    plan = PhasePlan(
        PhaseAxis("g_h", 1, 4, 3),
        PhaseAxis("alpha_r", 1, 10, 2),
        form=GatedForm(open_update=True, reset_bias=-1),
    )
    chaos = named(theory(plan), "chaos")
    assert np.isnan(chaos.x[0])
    assert chaos.x[1] == pytest.approx(2.2869, abs=2e-3)


def test_lines_over_two_other_parameters_are_contours():
    """Without reset gate marginal stability ends at a gain that the time of the update gate leaves alone."""
    axes = PhaseAxis("tau_z", 1, 2, 2), PhaseAxis("b_z", -1, -0.1, 3)
    found = theory(PhasePlan(*axes, form=GatedForm(gain=4.0, update_gain=2.0, open_reset=True)))
    assert [line.name for line in found.lines] == ["marginal"]
    assert any("where zero loses stability" in remark for remark in found.remarks)
    line = found.lines[0]
    assert np.ptp(line.y) < 1e-3
    assert line.residual.max() < 1e-3
    upper = marginal_range(GatedParameters(update_gain=2.0, update_bias=line.y[0], open_reset=True))[1]
    assert upper == pytest.approx(4.0, rel=1e-3)


def test_a_jump_of_theory_is_no_line():
    """An update gate that is open at rest has no marginal range: the critical gain jumps at b_z = 0."""
    axes = PhaseAxis("tau_z", 1, 2, 2), PhaseAxis("b_z", -1, 1, 3)
    found = theory(PhasePlan(*axes, form=GatedForm(gain=2.0, update_gain=2.0, open_reset=True)))
    assert np.isnan(found.lines[0].x).all()
    assert np.isnan(found.lines[0].residual).all()


@pytest.mark.slow
def test_the_fold_is_a_contour_where_the_gain_is_no_axis():
    """At g = 2.06904 the fold goes through alpha_r = 10, b_r = -1, and zero loses stability at -ln(g - 1)."""
    axes = PhaseAxis("alpha_r", 6, 14, 5), PhaseAxis("b_r", -2, 0.5, 5)
    plan = PhasePlan(*axes, form=GatedForm(gain=2.0690388, update_gain=1.0))
    found = theory(plan)
    zero, fold = named(found, "zero"), named(found, "fold")
    np.testing.assert_allclose(zero.y, -np.log(1.0690388), atol=2e-3)
    assert np.interp(10.0, *np.array(sorted(zip(fold.x, fold.y, strict=True))).T) == pytest.approx(
        -1, abs=0.02
    )
    assert max(zero.residual.max(), fold.residual.max()) < 1e-3


def test_the_gain_of_the_update_gate_has_a_map_of_relaxation_times():
    """Without reset gate: Lambda = 1.363 at g = 2, so that time grows with alpha_z; 2 / (1 - g) at 0."""
    axes = PhaseAxis("g_h", 0.5, 2.0, 2), PhaseAxis("alpha_z", 0.0, 20.0, 2)
    found = theory(PhasePlan(*axes, form=GatedForm(open_reset=True)))
    assert found.log_relaxation[0, 0] == pytest.approx(np.log10(1 / (0.5 * 0.5)), abs=1e-9)
    assert found.log_relaxation[1, 1] > found.log_relaxation[0, 1] + 2
    marginal = named(found, "marginal")
    assert np.isnan(marginal.x[0])
    assert marginal.x[1] == pytest.approx(3.2732, abs=1e-3)


def test_what_has_no_line_says_so():
    biased = theory(PhasePlan(GAINS, PhaseAxis("b_h", 0, 1, 2)))
    assert not biased.lines
    assert "no fixed point" in biased.remarks[0]


def test_a_network_finds_its_place(gated):
    _, diagram = gated
    here = position_in(diagram, {"g_h": 1.0, "reset_bias": 0.0, "alpha_r": 10.0})
    assert here.inside
    assert here.outcome is diagram.outcomes[1, 0]
    assert here.distances["zero"] == pytest.approx(1.0)
    assert "nearest point" in here.sentence
    away = position_in(diagram, {"gain": 9.0, "b_r": 0.0})
    assert (away.inside, away.outcome) == (False, None)
    assert "outside" in away.sentence
    assert "zero" not in position_in(diagram, {"gain": 1.0, "b_r": 5.0}).distances
    with pytest.raises(InputDataError, match="no finite reset_bias among gain"):
        position_in(diagram, {"g_h": 1.0})


def test_what_settles_is_not_said_to_rest_where_it_repeats_itself(tmp_path):
    """A map of period two has a negative exponent as one at rest has; and a tile of one point is a tile."""
    diagram = phase_diagram(FLIPS)
    assert [len({tuple(point) for point in tile}) for tile in FLIPS.tiles] == [3, 1]
    assert (diagram.outcomes == Outcome.SETTLES).all()
    assert diagram.moving == 2
    np.testing.assert_allclose(diagram.change[:, :, 1], 2 * 1.9150080481545, rtol=1e-4)  # x = 2 tanh(x)
    np.testing.assert_allclose(diagram.change[:, :, 0], 0, atol=1e-9)
    assert "2 of those that settle still move in the last step: their orbit repeats" in str(diagram)
    assert "rest" not in phase_page(diagram, About()).verdict
    known = load_diagram(save_diagram(diagram, tmp_path / "new"))
    np.testing.assert_array_equal(known.change, diagram.change)
    older = load_diagram(save_diagram(replace(diagram, change=None), tmp_path / "old"))
    assert older.moving is None
    assert "was not looked at" in str(older)
    alone = phase_diagram(replace(FLIPS, x=replace(FLIPS.x, high=0.6), tile=1))
    assert alone.moving == 0
    assert "stand still" in str(alone)


def by_hand(form, x, y, exponents, lines):
    """A diagram with these exponents from both starts, on a grid of 4 by 2 points."""
    plan = PhasePlan(x, y, form=form, simulation=SHORT)
    found = Theory(lines, (), np.empty(0), np.empty(0), np.empty((0, 0)))
    middle = np.array(exponents, float)
    fields = middle, middle - 3e-3, middle + 3e-3, np.ones((2, 2, 4))
    return PhaseDiagram(plan, "", *fields, found, 1.0, {})


def test_theory_and_simulation_are_compared_point_by_point():
    """Chaos from 2, zero unstable from 3 at the lower height; above there is no onset."""
    x, y, nothing = PhaseAxis("g_h", 1.5, 4.5, 4), PhaseAxis("b_r", 0.0, 1.0, 2), np.zeros(2)
    zero = TheoryLine("zero", np.array([3.0, 2.0]), y.values, nothing)
    chaos = TheoryLine("chaos", np.array([2.0, np.nan]), np.array([0.0, np.nan]), nothing)
    exponents = [[[-1, 1, 1, 1], [1] * 4], [[-1, 1, 1, 0], [1] * 4]]
    diagram = by_hand(GatedForm(open_update=True), x, y, exponents, (zero, chaos))
    expected = [Outcome.SETTLES, Outcome.START_DECIDES, Outcome.CHAOTIC, Outcome.CHAOTIC]
    assert expected_outcomes(diagram).tolist() == [expected, [None] * 4]
    assert agreement(diagram) == (2, 3), "one is chaotic from both starts already, one is undecided"
    upright = by_hand(
        GatedForm(open_reset=True), PhaseAxis("b_z", 0, 1, 4), replace(x, points=2), exponents, ()
    )
    assert agreement(upright) == (0, 0)
    level = TheoryLine("zero", np.linspace(0, 1, 4), np.full(4, 2.0), np.zeros(4))
    found = expected_outcomes(replace(upright, theory=replace(upright.theory, lines=(level,))))
    assert found.tolist() == [[Outcome.SETTLES] * 4, [Outcome.CHAOTIC] * 4]


@pytest.mark.slow
def test_two_attractors_beside_each_other():
    """Between g_dyn = 2.29 and g_zero = 3.72 large starts stay chaotic; far outside no start decides."""
    axes = PhaseAxis("g_h", 1.8, 4.4, 3), PhaseAxis("alpha_r", 9.9, 10, 2)
    plan = PhasePlan(
        *axes, form=GatedForm(open_update=True, reset_bias=-1), simulation=PhaseSimulation(time=100)
    )
    assert [one.name for one in phase_diagram(plan).outcomes[1]] == ["SETTLES", "START_DECIDES", "CHAOTIC"]
