"""Real processes that are interrupted, meet a full disk or each other; nothing is lost."""

import signal
import subprocess
import sys
import time

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NO_SPACE = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Becomes another command that cannot write larger files."""
OPTIONS = (
    "--cell",
    "gru",
    "--hidden",
    "3",
    "--steps",
    "6000",
    "--window",
    "20",
    "--washout",
    "5",
    "--batch-size",
    "8",
)


def command(log, run):
    words = ("identify", log, "--inputs", "q3", "--outputs", "pH", *OPTIONS, "--out", run)
    return [sys.executable, "-m", "attractor", *map(str, words)]


def ended(words):
    """Status and messages of a command run to its end."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def begun(log, run):
    """A training that has written its first checkpoint and has far to go."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background ignore it
    process = subprocess.Popen(command(log, run), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    signal.signal(signal.SIGINT, before)
    deadline = time.monotonic() + 120
    while not (run / "checkpoint.safetensors").exists():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


def stopped(log, run):
    """The checkpoint that a training leaves which was told to end."""
    process = begun(log, run)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    return (run / "checkpoint.safetensors").read_bytes()


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    path = tmp_path_factory.mktemp("log") / "ph.csv"
    words = ("plant", "ph", "--samples", 600, "--out", path)
    assert ended([sys.executable, "-m", "attractor", *map(str, words)])[0] == 0
    return path


@pytest.fixture(scope="module")
def weights(log, tmp_path_factory):
    """The bytes that a training without interruption ends with."""
    run = tmp_path_factory.mktemp("whole") / "run"
    assert ended(command(log, run))[0] == 0
    return (run / "weights.safetensors").read_bytes()


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_training_says_how_to_go_on_and_ends_in_the_same_bits(log, weights, tmp_path, kind):
    run = tmp_path / "run"
    process = begun(log, run)
    process.send_signal(kind)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "give the same command again" in said
    assert ended(command(log, run))[0] == 0
    assert (run / "weights.safetensors").read_bytes() == weights
    assert not list(run.glob(".*.tmp"))


def test_a_disk_that_is_full_ends_with_status_4_and_keeps_the_checkpoint(log, weights, tmp_path):
    run = tmp_path / "run"
    checkpoint = stopped(log, run)

    words = [sys.executable, "-c", NO_SPACE, str(len(checkpoint) // 2), *command(log, run)]
    status, said = ended(words)
    assert status == 4, said
    assert "cannot write" in said
    assert "free some space" in " ".join(said.split())
    assert (run / "checkpoint.safetensors").read_bytes() == checkpoint
    assert not list(run.glob(".*.tmp"))
    assert ended(command(log, run))[0] == 0
    assert (run / "weights.safetensors").read_bytes() == weights


def test_a_second_process_on_one_run_ends_with_status_4_and_the_first_goes_on(log, weights, tmp_path):
    run = tmp_path / "run"
    first = begun(log, run)
    first.send_signal(signal.SIGSTOP)  # while the second one starts
    status, said = ended(command(log, run))
    first.send_signal(signal.SIGCONT)
    assert status == 4, said
    assert str(first.pid) in said
    said, _ = first.communicate(timeout=120)
    assert first.returncode == 0, said
    assert (run / "weights.safetensors").read_bytes() == weights


def test_a_folder_that_cannot_be_written_ends_with_status_4(log, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    status, said = ended(command(log, tmp_path / "file" / "run"))
    assert status == 4, said
    assert "choose a folder you may write to" in " ".join(said.split())


def test_a_read_only_folder_ends_with_status_4_and_keeps_the_run(log, tmp_path):
    run = tmp_path / "run"
    checkpoint = stopped(log, run)
    run.chmod(0o555)
    try:
        if writable(run):
            pytest.skip("this user may write everywhere")
        status, said = ended(command(log, run))
    finally:
        run.chmod(0o755)
    assert status == 4, said
    assert (run / "checkpoint.safetensors").read_bytes() == checkpoint


def writable(folder):
    try:
        (folder / "probe").touch()
    except OSError:
        return False
    (folder / "probe").unlink()
    return True
