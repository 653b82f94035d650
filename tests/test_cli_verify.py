"""verify on the command line: the verdict in words, the status, the page, and what a user may get wrong."""

import json
import sys

import numpy as np
import pytest

from attractor import PlantModel, cli
from attractor.certify.verify import Answer
from attractor.certify.verify.verification import output_band
from attractor.classification import SequenceClassifier
from attractor.classification.classifier_verification import certified_cases
from attractor.control.identification.recordings import stored_roles
from attractor.control.plant_verification import PlantQuestion, verify_plant
from attractor.data import read_sequences
from attractor.errors import ConfigError, InputDataError, UnsupportedError
from attractor.runs import load_run

TINY = ("--hidden", "3", "--steps", "40", "--window", "20", "--washout", "5", "--batch-size", "8")


def call(*words):
    """Exit status of a command, run in this process."""
    before = sys.argv
    sys.argv = ["attractor", *map(str, words)]
    try:
        cli.main()
    except SystemExit as end:
        return end.code
    finally:
        sys.argv = before
    return 0


def said(capsys):
    told = capsys.readouterr()
    return " ".join((told.out + told.err).split())


@pytest.fixture(scope="module")
def plant(tmp_path_factory):
    """A log of the pH plant and a run folder trained on it."""
    folder = tmp_path_factory.mktemp("verify")
    assert call("plant", "ph", "--samples", 300, "--out", folder / "ph.csv") == 0
    words = ("--inputs", "q3", "--outputs", "pH", "--cell", "gru", *TINY, "--out", folder / "run")
    assert call("identify", folder / "ph.csv", *words) == 0
    return folder


@pytest.fixture(scope="module")
def model(plant):
    return PlantModel.load(plant / "run")


@pytest.fixture(scope="module")
def record(plant):
    return stored_roles(plant / "run", load_run(plant / "run")).test.experiments[0]


@pytest.fixture(scope="module")
def tube(model, record):
    return verify_plant(model, record, PlantQuestion(horizon=6)).tube


def test_a_band_around_the_tube_holds_and_leaves_a_page(plant, tube, capsys):
    low, high = tube.low.min() - 0.01, tube.high.max() + 0.01
    assert call("verify", plant / "run", "--horizon", 6, "--outputs", f"pH in {low}:{high}") == 0
    text = said(capsys)
    assert "The property holds: pH stays between" in text
    assert "within ±0.05 of the record (1 is half of the range of the training): q3 ±" in text
    html = (plant / "run" / "verify.html").read_text()
    assert "The property holds" in html
    assert 'id="sensitivity"' in html
    assert "<script" not in html
    facts = json.loads((plant / "run" / "verify.json").read_text())
    assert facts["answer"] == "holds"
    assert np.allclose(facts["tube"]["high"], tube.high)


def test_a_band_that_runs_leave_is_violated_by_inputs_that_are_shown(plant, model, record, tube, capsys):
    high = (tube.nominal.max() + tube.most.max()) / 2
    assert call("verify", plant / "run", "--horizon", 6, "--outputs", f"pH in :{high}") == 5
    assert "The property is violated by an input of the set: pH is" in said(capsys)
    assert 'id="counterexample"' in (plant / "run" / "verify.html").read_text()
    found = verify_plant(model, record, PlantQuestion(horizon=6, outputs=(f"pH in :{high}",)))
    case, settled = found.counterexample, model.settled
    assert ((case.inputs >= tube.input_low - 1e-9) & (case.inputs <= tube.input_high + 1e-9)).all()
    inputs = record.inputs[: settled + 6].copy()
    inputs[settled:] = case.inputs
    if not model.feedthrough_:
        inputs = np.concatenate([inputs, inputs[-1:]])
    measured = np.resize(record.outputs, (len(inputs), 1))
    measured[:settled] = record.outputs[:settled]
    simulated = model.predict(inputs, measured)[settled:]
    simulated = simulated[-6:]
    assert np.allclose(simulated, case.outputs, atol=1e-4)
    assert simulated.max() > high


def test_random_inputs_of_the_set_stay_in_the_tube(model, record, tube):
    settled, generator = model.settled, np.random.default_rng(0)
    for _ in range(40):
        inputs = record.inputs[: settled + 7].copy()
        corners = generator.random() < 0.5
        share = generator.integers(0, 2, (6, 1)) if corners else generator.random((6, 1))
        inputs[settled : settled + 6] = tube.input_low + share * (tube.input_high - tube.input_low)
        shown = model.predict(inputs, record.outputs[: settled + 7])[settled + 1 - model.feedthrough_ :][:6]
        assert (shown >= tube.low - 1e-4).all()
        assert (shown <= tube.high + 1e-4).all()


def test_between_both_it_is_not_decided_with_the_bracket(model, record, tube):
    step = int(tube.high.argmax())
    edge = (tube.high[step, 0] + tube.most[step, 0]) / 2
    found = verify_plant(model, record, PlantQuestion(horizon=6, outputs=(f"pH in :{edge}",), timeout=0.01))
    assert found.proof.answer in (Answer.OPEN, Answer.HOLDS)
    if found.proof.answer is Answer.OPEN:
        assert found.headline.startswith("Not decided whether pH is at most")
        assert "(reached) and" in found.headline


def test_without_bands_the_tube_is_told(plant, capsys):
    assert call("verify", plant / "run", "--horizon", 3, "--full-range", "--from-row", 8) == 0
    text = said(capsys)
    assert "Over 3 steps pH stays between" in text
    assert "free in their whole range of the training at each of 3 steps from row 8: q3 from" in text


@pytest.mark.slow
def test_for_all_time_a_contraction_is_asked_for(plant, capsys):
    """Whether this tiny model is proved to forget is its own affair: what is said must fit what was found."""
    call("verify", plant / "run", "--horizon", 4, "--for-ever", "--within", 0.01, "--outputs", "pH in 0:100")
    text, facts = said(capsys), json.loads((plant / "run" / "verify.json").read_text())
    assert "at every step, for all time, within ±0.01 of those of row" in text
    assert (np.diff(facts["tube"]["input_nominal"], axis=0) == 0).all()
    if facts["for_ever"]["found"]:
        assert facts["answer"] == "holds"
        assert "The property holds: pH stays between 0 and 100 for all time" in text
        assert "For all time" in (plant / "run" / "verify.html").read_text()
        assert facts["for_ever"]["low"][0] <= np.min(facts["tube"]["least"]) + 1e-9
        assert facts["for_ever"]["high"][0] >= np.max(facts["tube"]["most"]) - 1e-9
    else:
        assert facts["answer"] == "open"
        assert "for all time nothing is proved" in text


def test_nominal_inputs_may_come_from_a_file(plant, tmp_path, capsys):
    assert call("verify", plant / "run", "--horizon", 3, "--data", plant / "ph.csv", "--from-row", 30) == 0
    assert "from row 30" in said(capsys)
    alone = tmp_path / "q3.csv"
    rows = (plant / "ph.csv").read_text().splitlines()
    columns = [row.split(",") for row in rows]
    place = next(index for index, name in enumerate(columns[0]) if name.startswith("q3"))
    alone.write_text("\n".join(row[place] for row in columns) + "\n")
    assert call("verify", plant / "run", "--horizon", 3, "--data", alone, "--from-row", 30) == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--outputs", "ph in 5:6"), "the model has no output 'ph'"),
        (("--outputs", "pH in 6:5"), "the lower end 6 is above the upper one 5"),
        (("--outputs", "pH in :"), "the band has no end"),
        (("--outputs", "pH in a:5"), "'a' is no number"),
        (("--outputs", "pH in inf:"), "finite"),
        (("--outputs", "pH below 5"), "says no band"),
        (("--within", "-1"), "--within"),
        (("--horizon", "0"), "--horizon"),
        (("--horizon", "100000"), "ask for fewer steps"),
        (("--from-row", "2"), "begin at row"),
        (("--data", "missing.csv"), "missing.csv"),
        (("property.vnnlib",), "about an ONNX file"),
    ],
)
def test_what_a_user_gets_wrong_is_named(plant, capsys, words, expected):
    assert call("verify", plant / "run", *words) == 2
    assert expected in said(capsys)


def test_unknown_runs_and_networks_without_property_are_named(tmp_path, capsys):
    assert call("verify", tmp_path / "nothing") == 2
    assert "nothing" in said(capsys)
    assert call("verify", tmp_path / "net.onnx") == 2
    assert "which property" in said(capsys)
    assert call("verify", tmp_path / "net.onnx", tmp_path / "p.vnnlib") == 2
    assert "there is no such file" in said(capsys)


def test_an_onnx_network_is_asked_by_a_property(tmp_path, capsys):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    ports = [onnx.helper.make_tensor_value_info(one, onnx.TensorProto.FLOAT, [1, 2]) for one in "xy"]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", ports[:1], ports[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    declared = "".join(f"(declare-const {one}_{k} Real)" for one in "XY" for k in (0, 1))
    box = "".join(f"(assert (<= X_{k} 1.0)) (assert (>= X_{k} -1.0))" for k in (0, 1))
    for threshold, status, words in (
        (1.5, 0, "The property holds: no input satisfies"),
        (0.5, 5, "is violated"),
    ):
        (tmp_path / "p.vnnlib").write_text(f"{declared}{box}(assert (>= Y_0 {threshold}))")
        files, certificate = (tmp_path / "net.onnx", tmp_path / "p.vnnlib"), tmp_path / f"{threshold}.npz"
        assert call("verify", *files, "--timeout", 20, "--certificate", certificate) == status
        text = said(capsys)
        assert words in text
        assert ("X = [" in text) == (status == 5)
        assert ("replayed in onnxruntime: its outputs differ by at most 0" in text) == (status == 5)
        named = ("--network", f"N={files[0]}", "--query", files[1])
        assert call("recheck", certificate, *named) == 0
        assert "accepted" in said(capsys)
        files[1].write_text(f"{declared}{box}(assert (>= Y_0 {threshold + 0.1}))")
        assert call("recheck", certificate, *named) == 5
        said(capsys)


def test_a_certificate_is_no_matter_of_a_run(tmp_path, capsys):
    assert call("verify", tmp_path, "--certificate", tmp_path / "c.npz") == 2
    assert "certificates are written of an ONNX file" in said(capsys)


def test_bands_say_themselves():
    names = ("pH", "level in tank")
    assert str(output_band("pH in 5.5:8.5", names)) == "pH stays between 5.5 and 8.5"
    assert str(output_band("level in tank in 2:", names)) == "level in tank is at least 2"
    with pytest.raises(ConfigError, match="did you mean 'pH'"):
        output_band("pHH in 1:2", names)


def test_a_short_record_is_refused(model, record):
    with pytest.raises(InputDataError, match="ask for fewer steps"):
        verify_plant(model, record, PlantQuestion(from_row=len(record) - 2))


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """Cases that rise or fall, and a run of a small recurrent classifier."""
    folder = tmp_path_factory.mktemp("cases")
    for name, count, seed in (("train", 40, 0), ("test", 12, 1)):
        rng, labels = np.random.default_rng(seed), np.arange(count) % 2
        values = 0.3 * rng.standard_normal((count, 6, 2))
        values[:, :, 0] += np.linspace(0, 2, 6) * (2 * labels - 1)[:, None]
        np.savez(folder / f"{name}.npz", X=values, y=labels, classes=np.array(["fall", "rise"]))
    tiny = (
        "--cell",
        "lipschitz",
        "--hidden",
        "3",
        "--epochs",
        "30",
        "--batch-size",
        "8",
        "--convolutions",
        "0",
    )
    words = ("--test", folder / "test.npz", *tiny, "--out", folder / "run")
    assert call("classify", folder / "train.npz", *words) == 0
    return folder


def test_cases_of_a_classifier_are_certified_or_attacked(cases, capsys):
    assert call("verify", cases / "run", "--within", 0.02) == 0
    assert "of 12 cases cannot change while every value changes by at most 0.02 (proved)" in said(capsys)
    assert "Certified" in (cases / "run" / "verify.html").read_text()
    assert call("verify", cases / "run", "--within", 0.02, "--cases", 3) == 0
    assert "of 3 cases" in said(capsys)
    assert call("verify", cases / "run", "--horizon", 3) == 2
    assert "for models of plants" in said(capsys)


def test_what_is_certified_resists_attack_and_shrinks_with_the_radius(cases):
    model = SequenceClassifier.load(cases / "run")
    data = read_sequences(cases / "test.npz")
    shares, generator = [], np.random.default_rng(0)
    scale = np.asarray(model.scaling_.scale)
    for within in (0.0, 0.1, 1.5):
        found = certified_cases(model, data, within)
        assert found.certified_accuracy <= found.attacked_accuracy <= found.clean_accuracy
        assert not (found.certified & found.changed).any()
        known = np.isfinite(found.lead)
        assert (found.lead[known] <= found.reached[known] + 1e-9).all()
        plain = model.predict(data.values)
        for _ in range(30):
            moved = data.values + within * 0.999 * scale * generator.choice([-1.0, 1.0], data.values.shape)
            assert (model.predict(moved) == plain)[found.certified].all()
        shares.append(found.certified_accuracy)
        shares.append(found.attacked_accuracy)
    assert shares[0] == shares[1] == found.clean_accuracy
    assert shares[5] < shares[1]


def test_a_training_against_changes_says_what_it_is_proved_to_survive(cases, capsys):
    words = ("--test", cases / "test.npz", "--cell", "tanh", "--hidden", 3, "--epochs", 2)
    run = ("--within", 0.2, "--convolutions", 0, "--out", cases / "robust")
    assert call("classify", cases / "train.npz", *words, *run) == 0
    text = said(capsys)
    assert "cannot change while every value changes by at most 0.2 (proved)" in text
    assert "% certified" in text
    facts = json.loads((cases / "robust" / "verify.json").read_text())
    assert facts["certified_accuracy"] <= facts["attacked_accuracy"] <= facts["clean_accuracy"]
    assert SequenceClassifier.load(cases / "robust").noise.within == 0.2
    again = (*words, "--within", 0.2, "--convolutions", 84, "--out", cases / "other")
    assert call("classify", cases / "train.npz", *again) == 2
    assert "--convolutions 0" in said(capsys)


def test_a_classifier_with_convolutions_is_refused(cases, tmp_path):
    model = SequenceClassifier(cell="lipschitz", hidden_size=3)
    data = read_sequences(cases / "train.npz")
    model.set_params(readout__convolutions=84, training__epochs=1).fit(data)
    with pytest.raises(UnsupportedError, match="--convolutions 0"):
        certified_cases(model, data, 0.1)
