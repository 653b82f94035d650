"""The command line: the whole chain, and every mistake a user makes."""

import subprocess
import sys
import warnings

import numpy as np
import pytest

from attractor import cli

TINY = ("--hidden", "3", "--steps", "40", "--window", "20", "--washout", "5", "--batch-size", "8")
GRU = ("--cell", "gru", *TINY)


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


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """A log of the pH plant and a run folder trained on it."""
    folder = tmp_path_factory.mktemp("chain")
    assert call("plant", "ph", "--samples", 300, "--out", folder / "ph.csv") == 0
    words = ("--inputs", "q3", "--outputs", "pH", *GRU, "--out", folder / "run")
    assert call("identify", folder / "ph.csv", *words) == 0
    return folder


def test_the_chain_leaves_a_run_with_report_and_log(chain):
    names = {path.name for path in (chain / "run").iterdir()}
    assert {"weights.safetensors", "card.json", "SHA256SUMS", "log.jsonl", "report.html"} <= names
    assert "checkpoint.safetensors" not in names


# The second is fitted at once and leaves no checkpoint.
@pytest.mark.parametrize("cell", ["gru", "esn"])
def test_an_identification_that_dies_while_judging_keeps_its_model_and_goes_on(
    chain, tmp_path, monkeypatch, cell
):
    run, names = tmp_path / "run", ("--inputs", "q3", "--outputs", "pH", "--cell", cell, *TINY)

    def dies(*_):
        raise OverflowError

    with monkeypatch.context() as patch:
        patch.setattr("attractor.control.identification.assessment.assess", dies)
        assert call("identify", chain / "ph.csv", *names, "--out", run) == cli.OUR_BUG
    weights = (run / "weights.safetensors").read_bytes()
    assert call("identify", chain / "ph.csv", *names, "--seed", "5", "--out", run) == 2  # another training
    assert (run / "weights.safetensors").read_bytes() == weights
    assert call("identify", chain / "ph.csv", *names, "--out", run) == 0
    assert (run / "weights.safetensors").read_bytes() == weights
    assert (run / "report.html").exists()


def test_killed_between_the_run_and_its_report_it_says_which_command_writes_it(
    chain, tmp_path, monkeypatch, capsys
):
    """A run whose report was not written: interrupted, asked again, and reported on."""
    run = tmp_path / "run"
    words = ("--inputs", "q3", "--outputs", "pH", "--cell", "esn", *TINY, "--out", run)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("attractor.control.identification.identification_page.write_run_report", interrupted)
        assert call("identify", chain / "ph.csv", *words) == cli.INTERRUPTED
    assert f"the run is finished, its report is not: `attractor report {run}` writes it" in said(capsys)
    assert call("identify", chain / "ph.csv", *words) == 2
    assert f"Its report was not written yet: `attractor report {run}` writes it" in said(capsys)
    (run / ".report.html.0123abcd.attractor.tmp").write_text("of a killed report")
    assert call("report", run) == 0
    assert (run / "report.html").exists()
    assert not list(run.glob(".*.tmp"))
    assert call("identify", chain / "ph.csv", *words) == 2
    assert "attractor report" not in said(capsys)


def test_an_interrupt_before_the_first_checkpoint_promises_none(chain, tmp_path, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("attractor.control.PlantModel.fit", interrupted)
    words = ("--inputs", "q3", "--outputs", "pH", *GRU, "--out", tmp_path / "run")
    assert call("identify", chain / "ph.csv", *words) == cli.INTERRUPTED
    assert said(capsys).endswith("interrupted; give the same command again")


def said(capsys):
    return " ".join(capsys.readouterr().err.split())


def test_predict_keeps_the_columns_and_adds_one(chain, tmp_path):
    assert call("predict", chain / "run", chain / "ph.csv", "--out", tmp_path / "new.csv") == 0
    before = (chain / "ph.csv").read_text().splitlines()
    after = (tmp_path / "new.csv").read_text().splitlines()
    assert after[0] == before[0] + ",pH_pred"
    assert len(after) == len(before)
    assert [line.rsplit(",", 1)[0] for line in after] == before


def test_report_and_doctor_answer(chain, capsys):
    (chain / "run" / "report.html").unlink()
    assert call("report", chain / "run") == 0
    assert (chain / "run" / "report.html").exists()
    assert call("doctor", chain / "ph.csv") == 0
    assert "q3" in capsys.readouterr().out


def log(tmp_path, change=None):
    """A small log, with one line changed."""
    draw = np.random.default_rng(0)
    lines = ["u,y", *(f"{a:.3f},{b:.3f}" for a, b in draw.uniform(size=(80, 2)))]
    for row, text in (change or {}).items():
        lines[row] = text
    path = tmp_path / "log.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


MISTAKES = {
    "missing column": (None, ("--inputs", "v", "--outputs", "y"), "no column 'v'"),
    "text in a number": ({5: "abc,0.1"}, (), "row 6"),
    "NaN": ({5: "nan,0.1"}, (), "row 6"),
    "Inf": ({5: "inf,0.1"}, (), "row 6"),
    "unequal lengths": ({5: "0.1"}, (), "row 6"),
    "negative sampling time": (None, ("--sampling-time", "-1"), "--sampling-time=-1.0"),
    "seed that is no number of 31 bits": (None, ("--seed", "3000000000"), "seed=3000000000"),
    "unknown cell": (None, ("--cell", "gro"), "did you mean 'gru'"),
    "own cell that is not there": (None, ("--cell", "nowhere.py:Cell"), "nowhere.py"),
    "test rows among training rows": (None, ("--test-rows", "0:20"), "--train-rows"),
    "overlapping rows": (None, ("--train-rows", "0:60", "--test-rows", "50:80"), "share rows"),
    "validation rows alone": (
        None,
        ("--train-rows", "0:40", "--validation-rows", "40:60"),
        "--validation-rows needs test data",
    ),
    "rows beyond the end": (None, ("--train-rows", "0:40", "--test-rows", "60:200"), "80"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_ends_with_status_2_and_its_place(name, tmp_path, capsys):
    change, words, message = MISTAKES[name]
    path = log(tmp_path, change)
    columns = () if "--inputs" in words else ("--inputs", "u", "--outputs", "y")
    assert call("identify", path, *columns, *words, *TINY, "--out", tmp_path / "run") == 2
    said = capsys.readouterr().err
    assert message in " ".join(said.split())
    assert "Traceback" not in said


def test_a_cell_file_that_cannot_be_run_is_named_with_its_error(tmp_path, capsys):
    cell = tmp_path / "cell.py"
    cell.write_text("import numpy\nraise RuntimeError('boom')\n")
    words = ("--inputs", "u", "--outputs", "y", "--cell", f"{cell}:Mine", *TINY, "--out", tmp_path / "run")
    assert call("identify", log(tmp_path), *words) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "cell.py cannot be run (cell.py:2): RuntimeError: boom" in said
    cell.write_text("Other = 3\n")
    assert call("identify", log(tmp_path), *words) == 2
    assert "has no class or cell Mine" in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
def test_a_cell_file_may_put_off_its_annotations(tmp_path):
    cell = tmp_path / "cell.py"
    cell.write_text(
        "from __future__ import annotations\n"
        "from typing import ClassVar\n"
        "from attractor.cells import EchoState\n"  # its fit compiles least
        "class Mine(EchoState):\n"
        "    kind: ClassVar[str] = 'mine'\n"
    )
    words = ("--inputs", "u", "--outputs", "y", "--cell", f"{cell}:Mine", *TINY, "--out", tmp_path / "[/run]")
    assert call("identify", log(tmp_path), *words) == 0


def test_test_data_are_checked_before_the_training(tmp_path, capsys):
    words = ("--inputs", "u", "--outputs", "y", *GRU, "--out", tmp_path / "run")
    short, fast = tmp_path / "short.csv", tmp_path / "fast.csv"
    short.write_text("u,y\n1,2\n3,4\n5,6\n")
    assert call("identify", log(tmp_path), *words, "--test", short) == 2
    assert "test data: short has 3 rows" in " ".join(capsys.readouterr().err.split())
    fast.write_text("time [ms],u,y\n" + "".join(f"{row},{row % 5},{row % 7}\n" for row in range(40)))
    assert call("identify", log(tmp_path), *words, "--test", fast) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "the test data have a sampling time of 0.001 s, the training data 1 s" in said
    assert not (tmp_path / "run").exists()


def test_no_file_is_written_over_without_a_word(chain, tmp_path, capsys):
    log, other = tmp_path / "ph.csv", tmp_path / "notes.csv"
    log.write_bytes((chain / "ph.csv").read_bytes())
    other.write_text("mine\n")
    (tmp_path / "link.csv").symlink_to(log)
    for target, more in ((log, ()), (log, ("--overwrite",)), (tmp_path / "link.csv", ("--overwrite",))):
        assert call("predict", chain / "run", log, "--out", target, *more) == 2
        assert f"{target.name} is the file that is read; choose another name" in said(capsys)
    assert call("predict", chain / "run", log, "--out", other) == 2
    assert "notes.csv is there already; choose another name, or give --overwrite to replace it" in said(
        capsys
    )
    assert call("plant", "ph", "--out", other) == 2
    assert other.read_text() == "mine\n"
    assert log.read_bytes() == (chain / "ph.csv").read_bytes()
    assert call("predict", chain / "run", log, "--out", other, "--overwrite") == 0
    assert "pH_pred" in other.read_text()


def test_a_sampling_time_that_nobody_gave_is_assumed_and_asked_for(tmp_path, capsys):
    path = tmp_path / "log.csv"
    path.write_text(",u,y\n" + "".join(f"{row},{row * row % 17},{row * row % 13}\n" for row in range(60)))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert call("doctor", path) == 0
    told = capsys.readouterr()
    assert "column 'c1' is no signal: it counts the rows" in " ".join(told.err.split())
    words = " ".join(told.out.split())
    assert "60 rows of u -> y, every 1 s (assumed: no column tells the time)" in words
    assert "give it by --sampling-time, in seconds, or name its column by --time" in words
    assert call("doctor", path, "--inputs", "u", "--outputs", "y", "--sampling-time", "2") == 0
    assert "assumed" not in capsys.readouterr().out


def test_the_doctor_takes_the_columns_as_told(tmp_path, capsys):
    path = tmp_path / "log.txt"
    path.write_text("stamp!u [V]!y [cm]\n" + "".join(f"{row}!{row % 5}!{row % 7}\n" for row in range(60)))
    assert call("doctor", path, "--delimiter", "!", "--time", "stamp", "--outputs", "y [cm]") == 0
    assert "60 rows of u [V] -> y [cm], every 1 s" in " ".join(capsys.readouterr().out.split())


def test_brackets_in_names_are_shown_as_they_are(tmp_path, capsys):
    path = log(tmp_path, {0: "valve[bold],level [red]"})
    assert call("doctor", path) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "valve" in said
    assert "[bold]" in said
    assert "[red]" in said


def test_one_row_and_a_constant_signal_are_refused(tmp_path, capsys):
    words = ("--inputs", "u", "--outputs", "y", *GRU, "--out", tmp_path / "run")
    path = tmp_path / "short.csv"
    path.write_text("u,y\n1,2\n")
    assert call("identify", path, *words) == 2
    path.write_text("u,y\n" + "".join(f"1.0,{row % 7}\n" for row in range(80)))
    assert call("identify", path, *words) == 2
    assert "constant" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("doctor", "nowhere.csv"), "nowhere.csv"),
        (("report", "nowhere"), "no run folder"),
        (("plant", "pk", "--out", "x.csv"), "no plant 'pk'"),
        (("plant", "ph", "--out", "x.csv", "--sampling-time", "0"), "sampling_time=0.0"),
        (("plant", "ph", "--out", "x.csv", "--sampling-time", "nan"), "--sampling-time=nan"),
        (("plant", "ph", "--out", "x.csv", "--noise", "nan"), "--noise=nan"),
        (("plant", "ph", "--out", "x.csv", "--seed", "-1"), "seed=-1"),
    ],
)
def test_what_does_not_exist_or_makes_no_sense_is_named(words, message, capsys):
    assert call(*words) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_finished_run_is_not_overwritten_by_accident(chain, capsys):
    words = ("--inputs", "q3", "--outputs", "pH", *GRU, "--out", chain / "run")
    assert call("identify", chain / "ph.csv", *words) == 2
    assert "already holds a finished run" in " ".join(capsys.readouterr().err.split())


def test_one_flipped_byte_of_a_run_is_refused(chain, tmp_path, capsys):
    for source in (chain / "run").iterdir():
        (tmp_path / source.name).write_bytes(source.read_bytes())
    content = bytearray((tmp_path / "weights.safetensors").read_bytes())
    content[-5] ^= 1
    (tmp_path / "weights.safetensors").write_bytes(content)
    assert call("report", tmp_path) == 2
    assert "damaged or was changed" in " ".join(capsys.readouterr().err.split())


def test_an_unknown_flag_ends_with_status_2(capsys):
    assert call("doctor", "x.csv", "--nonsense", "1") == 2
    assert "--nonsense" in capsys.readouterr().err


def test_help_does_not_wait_for_jax():
    program = "import sys, attractor.cli; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


DEAF = """
import os, signal, sys, time
from attractor import cli

class Destructor:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)

def task():
    Destructor()  # the exception of the signal is dropped here
    time.sleep(30)

cli._listen_to_interrupts()
sys.exit(cli._run(task))
"""


def test_a_signal_that_falls_into_a_destructor_is_heard_all_the_same():
    words = [sys.executable, "-c", DEAF]
    done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 130
    assert "Exception ignored" in done.stderr
    assert "give the same command again" in done.stderr


SWALLOWED = """
import os, signal, sys, time
from attractor import cli
from attractor.errors import ConfigError

def task():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    except KeyboardInterrupt:
        raise ConfigError("another error on the way out")

cli._listen_to_interrupts()
status = cli._run(task)
time.sleep(2 * cli.REPEAT_SECONDS)
sys.exit(status)
"""


def test_an_interrupt_that_was_answered_does_not_come_again():
    words = [sys.executable, "-c", SWALLOWED]
    done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2
    assert "another error on the way out" in done.stderr
    assert "Traceback" not in done.stderr
