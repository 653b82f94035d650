"""Classification on the command line: the whole chain, resumption, and the mistakes a user makes."""

import csv
import json
import re
import shutil
import sys
import warnings

import numpy as np
import pytest

from attractor import cli, progress
from attractor.classification import SequenceClassifier
from attractor.classification.classifier_study import ClassifierRoles
from attractor.cli.classify_commands import _examined
from attractor.data import LongColumns, Sequences
from attractor.errors import ConfigError, DataWarning
from attractor.origin import origin_of
from attractor.runs import load_run

TINY = ("--cell", "lipschitz", "--hidden", "3", "--epochs", "2", "--batch-size", "8", "--convolutions", "84")

CHAIN = (*TINY, "--epochs", "6", "--reweight", "0.5", "--balance", "class", "--noise", "0.05")


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
    """All that was printed since, in one line."""
    told = capsys.readouterr()
    return " ".join((told.out + told.err).split())


def write_groups(path, cases=40, names=True):
    """Pairs of cases, one of each class, as groups."""
    rows = [f"{f'case {case},' if names else ''}patient {case // 2}" for case in range(cases)]
    path.write_text("\n".join(["case,group" if names else "group", *rows]) + "\n")
    return path


def write_ramps(path, cases=40, seed=0, **changes):
    """Two classes of series that rise or fall, as an .npz file."""
    rng = np.random.default_rng(seed)
    labels = np.arange(cases) % 2
    values = 0.3 * rng.standard_normal((cases, 8, 2))
    values[:, :, 0] += np.linspace(0, 2, 8) * (2 * labels - 1)[:, None]
    arrays = {"X": values, "y": labels, "classes": np.array(["fall", "rise"])} | changes
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    return path


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """Training and test cases, and a run folder trained on them with reweighting."""
    folder = tmp_path_factory.mktemp("classify")
    train = write_ramps(folder / "train.npz")
    test = write_ramps(folder / "test.npz", cases=20, seed=1)
    assert call("classify", train, "--test", test, *CHAIN, "--out", folder / "run") == 0
    return folder


@pytest.fixture(scope="module")
def alone(chain):
    """A run of the same cases that its recurrent network decides."""
    words = ("classify", chain / "train.npz", "--test", chain / "test.npz", *CHAIN, "--convolutions", "0")
    assert call(*words, "--out", chain / "alone") == 0
    return chain / "alone"


def test_the_chain_leaves_a_run_with_scores_and_report(chain):
    names = {path.name for path in (chain / "run").iterdir()}
    assert {"weights.safetensors", "card.json", "SHA256SUMS", "log.jsonl", "report.html"} <= names
    assert "checkpoint.safetensors" not in names
    card = json.loads((chain / "run" / "card.json").read_text())
    assert card["kind"] == "SequenceClassifier"
    assert card["options"]["labels"]["reweighting"]["strength"] == 0.5
    assert card["options"]["labels"]["reweighting"]["balance"] == "class"
    assert card["options"]["noise"]["additive"] == 0.05
    scores = card["metrics"]["test"]
    assert scores["cases"] == 20
    model = SequenceClassifier.load(chain / "run")
    test = np.load(chain / "test.npz")
    assert scores["accuracy"] == np.mean(model.predict(test["X"]) == np.array(["fall", "rise"])[test["y"]])
    assert card["command"].startswith("attractor classify")


def test_new_series_get_labels_probabilities_and_sets(chain, tmp_path, capsys):
    model, values = SequenceClassifier.load(chain / "run"), np.load(chain / "test.npz")["X"]
    np.savez(tmp_path / "new.npz", X=values)
    out = tmp_path / "named.csv"
    assert call("predict", chain / "run", tmp_path / "new.npz", "--out", out, "--coverage", "0.8") == 0
    told = said(capsys)
    assert "20 cases named" in told
    assert "at least 80 % of such cases" in told
    assert "exchangeable" in told
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["case", "class", "p(fall)", "p(rise)", "labels at 80 %"]
    assert [row["class"] for row in rows] == model.predict(values).tolist()
    probabilities = [[float(row["p(fall)"]), float(row["p(rise)"])] for row in rows]
    np.testing.assert_allclose(probabilities, model.predict_proba(values), rtol=1e-6)
    assert all(row["class"] in row["labels at 80 %"].split(" | ") for row in rows)
    assert call("predict", chain / "run", chain / "test.npz", "--out", out, "--overwrite") == 0
    assert re.search(r"20 cases named; \d+ of them as the labels of the file have it", said(capsys))
    assert "label" in out.read_text().splitlines()[0].split(",")


@pytest.mark.parametrize("coverage", ["0", "1", "1.5"])
def test_a_coverage_that_is_no_probability_is_named(chain, tmp_path, capsys, coverage):
    words = (chain / "test.npz", "--out", tmp_path / "x.csv", "--coverage", coverage)
    assert call("predict", chain / "run", *words) == 2
    assert "expected a probability between 0 and 1" in said(capsys)


def test_the_exported_step_gives_the_probabilities_of_the_model(chain, tmp_path, capsys):
    assert call("export", chain / "run", "--to", "numpy", "--out", tmp_path) == 0
    assert "differs from the model by at most" in said(capsys)
    names: dict = {}
    exec((tmp_path / "step.py").read_text(), names)  # noqa: S102 (our own export)
    model, series = SequenceClassifier.load(chain / "run"), np.load(chain / "test.npz")["X"][0]
    state = np.array(names["INITIAL_STATE"], float)
    for row in series:
        state = names["step"](row, state)
    found = names["read"](state)
    np.testing.assert_allclose(found, model.predict_proba(series[None])[0], atol=1e-5)


def test_a_network_without_a_say_is_not_certified(chain, capsys):
    """A proof about it would say nothing of the classifier, and takes as long."""
    assert call("certify", chain / "run", "--time-budget", "5") == 2
    told = said(capsys)
    assert "Random convolutions decide alone" in told
    assert "--convolutions 0" in told


def test_options_that_changed_nothing_are_named(chain):
    facts = load_run(chain / "run").card["training"]["warnings"]
    assert any("noise__additive acted on the recurrent network alone" in one for one in facts)
    assert "noise__additive acted on" in (chain / "run" / "report.html").read_text()


def test_the_recurrent_part_can_be_certified_for_the_range_of_the_training(alone, tmp_path, capsys):
    run = shutil.copytree(alone, tmp_path / "run")
    assert call("certify", run, "--time-budget", "5") in (0, 5)
    told = said(capsys)
    assert re.search(r"(Proved|Unknown|Refuted) for inputs within", told)
    page = (run / "certificate.html").read_text()
    assert "None" not in re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)


def test_the_doctor_looks_at_series_and_at_their_runs(chain, tmp_path, capsys):
    assert call("doctor", chain / "train.npz") == 0
    assert "40 cases of 8 steps and 2 variables; fall: 20, rise: 20" in said(capsys)
    rows = [
        f"{case},{step},{case % 2},1.5,{'left' if case % 2 else 'right'}"
        for case in range(8)
        for step in range(6)
    ]
    (tmp_path / "table.csv").write_text("\n".join(["who,time,a,flat,side", *rows]) + "\n")
    columns = ("--id-column", "who", "--label-column", "side", "--json")
    assert call("doctor", tmp_path / "table.csv", *columns) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["cases"] == 8
    assert any("constant" in one["message"] for one in found["findings"])
    assert call("doctor", chain / "run") == 0
    assert call("doctor", chain / "run", "--id-column", "who") == 2


def write_long(path, trials=12, **more):
    """A long table with two variables, a text for the subject, and a column that nobody knows."""
    head = "subject,trial,t,acc_x,acc_y,activity,remark"
    rows = [
        f"S{trial % 3},{trial},{step / 50},{step * (1 - 2 * (trial % 2))},{step % 3},"
        f"{more.get('label', ('fall', 'rise')[trial % 2])},fine"
        for step in range(8)
        for trial in range(trials)
    ]
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def test_a_run_reads_other_tables_as_the_one_that_it_learned_from(chain, tmp_path, capsys):
    model = SequenceClassifier.load(chain / "run")
    model.names_ = ("acc_x", "acc_y")
    model.columns_ = LongColumns("trial", "activity", group="subject", variables="acc_*")
    model.save(tmp_path / "run")
    assert SequenceClassifier.load(tmp_path / "run").columns_ == model.columns_
    table = write_long(tmp_path / "new.csv")
    assert call("predict", tmp_path / "run", table, "--out", tmp_path / "p.csv") == 0
    told = said(capsys)
    assert "12 cases named; " in told
    assert "as the labels of the file have it. Columns that are not used: remark" in told
    rows = list(csv.DictReader((tmp_path / "p.csv").read_text().splitlines()))
    assert [row["case"] for row in rows] == [str(trial) for trial in range(12)]
    assert [row["label"] for row in rows] == ["fall", "rise"] * 6
    strange = write_long(tmp_path / "strange.csv", label="jump")
    with warnings.catch_warnings():
        warnings.simplefilter("default", DataWarning)
        assert call("predict", tmp_path / "run", strange, "--out", tmp_path / "q.csv") == 0
    assert "warning: the labels in column 'activity' are not used: classes not known: jump" in said(capsys)
    options = ("--label-column", "activity", "--out", tmp_path / "r.csv")
    assert call("predict", tmp_path / "run", strange, *options) == 2
    assert "classes not known: jump; known: fall, rise" in said(capsys)


def test_a_run_that_fills_gaps_is_exported_and_not_certified(chain, tmp_path, capsys):
    model = SequenceClassifier.load(chain / "run")
    model.missing = "forward"
    model.save(tmp_path / "run")
    assert call("certify", tmp_path / "run") == 2
    told = said(capsys)
    assert "fills gaps (missing='forward')" in told
    assert "looking for a proof" not in told
    assert call("export", tmp_path / "run", "--to", "numpy", "--out", tmp_path) == 0
    head = (tmp_path / "step.py").read_text().splitlines()[1:3]
    assert (
        head[0] == "# u: one sample in the units of the data, NaN where a value is missing (forward): v1, v2"
    )
    assert head[1] == "# output: probabilities of the classes in this order: fall, rise"
    assert call("export", tmp_path / "run", "--to", "casadi", "--out", tmp_path) == 2


def test_messages_about_columns_name_the_options_of_the_command_line(tmp_path, capsys):
    table = write_long(tmp_path / "long.csv")
    assert call("doctor", table, "--label-column", "activity") == 2
    assert "Name it and the class, as in --id-column trial --label-column" in said(capsys)
    assert call("doctor", table, "--id-column", "trial") == 2
    told = said(capsys)
    assert "'subject', 'activity', 'remark' are text columns and no variable" in told
    assert "--variables acc_x acc_y: other columns" in told
    assert call("doctor", table) == 2
    assert "add --id-column trial --label-column" in said(capsys)
    words = ("--id-column", "trial", "--label-column", "activity", "--variables", "acc_*")
    assert call("doctor", table, *words, "--weight-groups", "subject") == 0
    assert "12 cases of 8 steps and 2 variables" in said(capsys)
    assert call("doctor", table, *words, "--weight-groups", "subjekt") == 2
    assert "no column 'subjekt'; did you mean 'subject'?" in said(capsys)
    both = ("--weight-groups", "subject", "--group-column", "subject")
    assert call("classify", table, *words, *both, "--out", tmp_path / "run") == 2
    assert "both name the groups; give one" in said(capsys)


def test_groups_of_test_cases_are_read_from_the_table_that_names_them(chain, tmp_path, capsys, monkeypatch):
    """And what reading the test assumed, or what is wild in it, is told before the training."""
    seen = []

    def stops(model, roles, *_):
        seen.append(roles)
        raise ConfigError("enough is known")

    monkeypatch.setattr("attractor.classification.classifier_study.classify", stops)
    values = np.load(chain / "test.npz")["X"]
    values[3, 2, 1] = -1e7
    ids = np.array([f"t{case}" for case in range(20)])
    test = write_ramps(tmp_path / "t.npz", cases=20, X=values, ids=ids, classes=None)
    groups = write_groups(tmp_path / "groups.csv")
    named = np.load(chain / "train.npz")
    train = write_ramps(tmp_path / "train.npz", y=named["classes"][named["y"]], classes=None)
    words = ("classify", train, "--test", test, *CHAIN, "--weight-groups", groups)
    assert call(*words, "--out", tmp_path / "run") == 2
    told = said(capsys)
    assert "taken as positions among the classes of the training: 0 is 'fall', 1 is 'rise'" in told
    assert "case 't3', step 2, variable 'v2': -1e+07" in told
    with groups.open("a") as file:
        file.writelines(f"t{case},patient {case // 5}\n" for case in range(20))
    assert call(*words, "--out", tmp_path / "run") == 2
    alike = (*words[:3], chain / "test.npz", *words[4:])  # whose cases are called as those of the training
    assert call(*alike, "--out", tmp_path / "run") == 2
    assert [None if one.test.groups is None else len(set(one.test.groups)) for one in seen] == [None, 4, None]


def test_what_is_wild_in_the_validation_is_found_before_the_training():
    values = np.random.default_rng(0).normal(size=(30, 8, 2))
    test = Sequences.from_arrays(values[20:] + 1.0, np.arange(10) % 2)
    values[2, 5, 0] = 1e9
    learning = Sequences.from_arrays(values[:20], np.arange(20) % 2)
    found = _examined(ClassifierRoles(learning, np.arange(4), test, ""))
    assert ["case 2, step 5, variable 'v1': 1e+09" in one.message for one in found] == [True]


def test_an_analysis_that_dies_loses_no_training_and_the_same_command_goes_on(
    chain, tmp_path, capsys, monkeypatch
):
    run, words = tmp_path / "run", ("--test", chain / "test.npz", *CHAIN)  # whose programs are there

    def dies(*_):
        raise OverflowError

    with monkeypatch.context() as patch:
        patch.setattr("attractor.classification.classifier_study.run_contents", dies)
        assert call("classify", chain / "train.npz", *words, "--out", run) == cli.OUR_BUG
    assert "trained and saved in" in said(capsys)
    weights = (run / "weights.safetensors").read_bytes()
    assert SequenceClassifier.load(run).predict(np.zeros((1, 8, 2))).shape == (1,)
    assert call("report", run) == 2
    assert f"trains nothing twice: attractor classify {chain / 'train.npz'}" in said(capsys)
    with monkeypatch.context() as patch:
        patch.setattr("attractor.training.trainer._advance", dies)  # there is nothing left to train
        assert call("classify", chain / "train.npz", *words, "--out", run) == 0
    assert (run / "weights.safetensors").read_bytes() == weights
    assert json.loads((run / "card.json").read_text())["metrics"]["test"]["cases"] == 20
    assert not (run / "checkpoint.safetensors").exists()
    assert call("classify", chain / "train.npz", *words, "--out", run) == 2  # finished for good


def test_the_report_has_its_parts_and_is_harmless(chain):
    html = (chain / "run" / "report.html").read_text()
    found = re.findall(r'<section id="([^"]+)"', html)
    assert found == ["scores", "calibration", "training", "suspects", "data", "card", "reproduce"]
    assert "<script" not in html
    assert not re.search(r'(?:src|href)="(?!#)', html), "it loads something"
    for words in (
        "Confusion matrix",
        "AUC-ROC",
        "All 20 cases of the test",
        "Random convolutions decide alone",
    ):
        assert words in html
    assert "Cases with improbable labels counted less in the ridge regression" in html
    assert "Weights of the training cases" not in html, "those of a network without a say"
    assert "nan" not in re.sub(r"<svg.*?</svg>", "", html, flags=re.DOTALL).casefold().replace("finance", "")


def test_windows_and_an_index_do_not_mislead(tmp_path, capsys):
    walks = np.random.default_rng(0).normal(size=(8, 16, 2)).cumsum(axis=1)
    rows = [
        f"{row},{case},{'ab'[case >= 20]},{step},{x},{y}"
        for case in range(40)
        for row, step in enumerate(range(8), 8 * case)
        for x, y in [walks[case // 5, 2 * (case % 5) + step]]
    ]
    (tmp_path / "t.csv").write_text("\n".join([",case,label,t,x,y", *rows]) + "\n")
    assert call("classify", tmp_path / "t.csv", *TINY, "--out", tmp_path / "run") == 0
    told = said(capsys)
    assert "40 of 40 cases share stretches of values with others, as windows of 8 recording(s) do" in told
    assert "'c1' was left out: it counts the rows" in told
    card = load_run(tmp_path / "run").card
    assert card["names"] == ["x", "y"]
    assert "they stay on one side" in card["data"]["explanation"]
    scores = card["metrics"]["test"]
    assert scores["groups"] == scores["cases"] // 5, "recordings are what another draw would draw"
    page = (tmp_path / "run" / "report.html").read_text()
    assert "another draw of groups" in page
    assert "signs flipped group by group" in page
    # Five windows a recording: no recording is on two sides.
    sizes = [sum(counts.values()) for counts in card["data"]["counts"].values()]
    assert all(size % 5 == 0 for size in sizes)
    assert any("was left out" in finding["message"] for finding in card["data"]["findings"])


def test_a_network_that_decides_shows_its_weights_and_ranks_its_training_cases(alone, capsys):
    assert "Weights of the training cases" in (alone / "report.html").read_text()
    assert call("suspects", alone, "--top", "2") == 0
    assert "32 training cases are ranked by their losses; those held out for validation and test" in said(
        capsys
    )


def test_without_validation_no_number_of_a_validation_is_told(chain, tmp_path, capsys):
    words = (*TINY, "--validation-share", "0", "--test", chain / "test.npz", "--out", tmp_path / "run")
    assert call("classify", chain / "train.npz", *words) == 0
    told = said(capsys)
    assert "no case was kept for validation, so that nothing could tell whether a recurrent" in told
    assert "validation 0" not in told
    page = (tmp_path / "run" / "report.html").read_text()
    assert "none, no network was trained" in page
    assert "Training curves" not in page


def test_report_writes_the_same_page_again(chain):
    before = (chain / "run" / "report.html").read_bytes()
    (chain / "run" / "report.html").unlink()
    assert call("report", chain / "run") == 0
    assert (chain / "run" / "report.html").read_bytes() == before


def test_suspects_are_shown_and_written(chain, tmp_path, capsys):
    assert call("suspects", chain / "run", "--top", "2", "--out", tmp_path / "suspects.csv") == 0
    told = said(capsys)
    with (tmp_path / "suspects.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 40, "those of validation as well, for fits without each case judge"
    assert list(rows[0]) == ["id", "given", "proposed", "mean_loss", "stands_apart", "weight", "origin"]
    assert origin_of(tmp_path / "suspects.csv") == load_run(chain / "run").origin
    assert rows[0]["id"] in told
    assert rows[2]["id"] not in told.split()
    assert "P(wrong)" not in told
    assert "40 cases are ranked by what fits without each of them say of its label" in told
    assert "test case(s)" not in told
    card = {"metrics": {"test": {"doubted": ["case 3", "case 7"]}}}
    SequenceClassifier.load(chain / "run").save(tmp_path / "run", card=card)
    assert call("suspects", tmp_path / "run") == 0
    assert "Of 2 test case(s) the model says another class" in said(capsys)
    page = (chain / "run" / "report.html").read_text()
    assert "probability of being wrong" not in page
    assert "A ranking for people to look at, not a verdict" in page


@pytest.mark.slow
def test_cases_of_a_group_share_their_weight_and_their_role(chain, tmp_path, capsys):
    groups = write_groups(tmp_path / "groups.csv")
    words = (*TINY, "--convolutions", "0", "--reweight", "2", "--weight-groups", groups)
    words = (*words, "--out", tmp_path / "run")
    assert call("classify", chain / "train.npz", *words) == 0
    assert "whole groups, about 20 % of every class" in said(capsys)
    model = SequenceClassifier.load(tmp_path / "run")
    places = [int(name.split()[1]) for name in model.training_ids_]
    pairs = {place // 2 for place in places}
    assert len(places) == 2 * len(pairs)
    weights = dict(zip(places, model.case_history_.weights, strict=True))
    assert len({round(float(weights[2 * pair]), 6) for pair in pairs}) > 1
    for pair in pairs:
        assert weights[2 * pair] == pytest.approx(weights[2 * pair + 1], rel=1e-5)


@pytest.mark.slow
def test_robustness_writes_numbers_and_a_page(chain, capsys):
    words = ("--seeds", "2", "--fragility-cases", "4", "--time-budget", "1")
    assert call("robustness", chain / "run", chain / "test.npz", *words) == 0
    assert "salt and pepper" in said(capsys)
    facts = json.loads((chain / "run" / "robustness.json").read_text())
    card = json.loads((chain / "run" / "card.json").read_text())
    assert {origin_of(chain / "run" / f"robustness.{kind}") for kind in ("json", "html")} == {
        load_run(chain / "run").origin
    }
    assert facts["curves"]["clean"] == card["metrics"]["test"]["accuracy"]
    assert facts["curves"]["seeds"] == [0, 1]
    html = (chain / "run" / "robustness.html").read_text()
    found = re.findall(r'<section id="([^"]+)"', html)
    assert found == ["curves", "fragility", "margins", "stability", "reproduce"]
    assert SequenceClassifier.load(chain / "run").classes_.tolist() == ["fall", "rise"]  # still sealed


class Stops(progress.SilentReporter):
    """Interrupts a training after its first epoch."""

    def update(self, done, total, message=""):
        if "loss" in message:  # not yet while the convolutions are fitted, which leave no checkpoint
            raise KeyboardInterrupt


@pytest.mark.slow
def test_an_interrupted_training_goes_on_to_the_same_bits(chain, tmp_path, monkeypatch, capsys):
    words = ("classify", chain / "train.npz", *TINY)
    assert call(*words, "--out", tmp_path / "whole") == 0
    assert "No test file was given: 8 cases, 20 % of every class" in said(capsys)
    with monkeypatch.context() as patch:
        patch.setattr(progress, "reporter_for", lambda title: Stops())
        assert call(*words, "--out", tmp_path / "run") == 130
    assert "give the same command again" in said(capsys)
    assert (tmp_path / "run" / "checkpoint.safetensors").exists()
    assert call("suspects", tmp_path / "run") == 2
    assert "run the same command again to resume it" in said(capsys)
    assert call(*words, "--out", tmp_path / "run") == 0
    one, other = ((tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "run"))
    assert one == other


@pytest.mark.slow
def test_tables_are_read_by_their_columns(tmp_path, capsys):
    rng = np.random.default_rng(0)
    lines = ["who,when,kind,x,y"]
    for case in range(20):
        for step in range(6):
            x = step * (1 if case % 2 else -1) + 0.1 * rng.standard_normal()
            lines.append(f"p{case},{step},{'up' if case % 2 else 'down'},{x:.3f},{rng.standard_normal():.3f}")
    path = tmp_path / "long.csv"
    path.write_text("\n".join(lines) + "\n")
    columns = ("--id-column", "who", "--label-column", "kind", "--time-column", "when")
    assert call("classify", path, *columns, *TINY, "--out", tmp_path / "run") == 0
    card = json.loads((tmp_path / "run" / "card.json").read_text())
    assert card["names"] == ["x", "y"]
    assert card["classes"] == ["down", "up"]
    assert all(name.startswith("p") for name in card["suspects"])
    assert (
        call("classify", path, *columns[:2], "--label-column", "sort", *TINY, "--out", tmp_path / "other")
        == 2
    )
    assert "sort" in said(capsys)


MISTAKES = {
    "strength": (("--reweight", "much"), "--reweight much: expected none, auto or a strength"),
    "negative strength": (("--reweight=-1",), "strength=-1.0"),
    "balance of nothing": (("--balance", "class"), "give --reweight as well"),
    "unknown cell": (("--cell", "gro"), "did you mean 'gru'"),
    "groups for a cell without": (("--groups", "v1,v2"), "takes none; use mgrn"),
    "group that is not there": (("--cell", "mgrn", "--groups", "acc_*"), "acc_*"),
    "epochs": (("--epochs", "0"), "--epochs=0: expected a whole number from 1"),
    "unknown loss": (("--loss", "hinge"), "unknown loss 'hinge'"),
    "own cell that is not there": (("--cell", "nowhere.py:Cell"), "nowhere.py"),
    "columns of a file without": (("--label-column", "y"), "columns are for tables"),
    "missing test": (("--test", "nowhere.npz"), "nowhere.npz"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_ends_with_status_2_before_the_training(name, chain, tmp_path, capsys):
    words, message = MISTAKES[name]
    assert call("classify", chain / "train.npz", *TINY, *words, "--out", tmp_path / "run") == 2
    told = said(capsys)
    assert message in told
    assert "Traceback" not in told
    assert not (tmp_path / "run" / "log.jsonl").exists()


def test_data_that_cannot_be_used_are_named(chain, tmp_path, capsys):
    strange = write_ramps(tmp_path / "strange.npz", classes=np.array(["fall", "float"]))
    assert call("classify", chain / "train.npz", "--test", strange, *TINY, "--out", tmp_path / "run") == 2
    assert "classes not known: float" in said(capsys)
    gaps = np.random.default_rng(0).standard_normal((40, 8, 2))
    gaps[3, 2, 1] = np.nan  # of a case that is held back: no training begins
    holed = write_ramps(tmp_path / "holed.npz", X=gaps)
    assert call("classify", holed, *TINY, "--out", tmp_path / "run") == 2
    told = said(capsys)
    assert "choose what becomes of missing values" in told
    assert "trained" not in told
    assert call("classify", chain / "train.npz", *TINY, "--out", chain / "run") == 2
    assert "already holds a finished run" in said(capsys)
    assert call("suspects", chain / "run", "--top", "0") == 2
    assert "--top=0: expected a whole number from 1" in said(capsys)
    assert call("robustness", chain / "run", chain / "test.npz", "--seeds", "0") == 2
    assert "--seeds=0: expected a whole number from 1" in said(capsys)


def test_a_model_saved_from_python_has_no_report_and_says_what_to_do(chain, tmp_path, capsys):
    SequenceClassifier.load(chain / "run").save(tmp_path / "bare")
    assert call("report", tmp_path / "bare") == 2
    assert "run_contents(model, roles, {})" in said(capsys)
