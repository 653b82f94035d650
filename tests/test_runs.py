"""A run folder comes back as it was, or is refused with a reason."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from attractor import files, folders, runs
from attractor.errors import RunFolderError, StorageError
from attractor.folders import locked
from attractor.origin import Origin
from attractor.runs import Run, append_log, environment, load_run, save_run, write_log

SOURCE = Path(runs.__file__).parents[1]
HASHED = ("weights.safetensors", "evaluation.safetensors", "card.json", "SHA256SUMS")
EQUATION = {"sha256": "e" * 64}
RUN = Run(
    {"kind": "test", "equation": EQUATION, "nested": {"list": [1, 2.5, None], "text": "pH \u00b5"}},
    {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "empty": np.zeros((0, 2), np.float32)},
    {"inputs": np.array([[np.nan], [1e-300]]), "count": np.array(3)},
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    save_run(folder, RUN)
    return folder


def seal_again(folder):
    """Digests that fit, as a forger would write them."""
    content = {name: (folder / name).read_bytes() for name in HASHED[:3]}
    (folder / "SHA256SUMS").write_bytes(folders.sums(content))


def test_a_run_comes_back_as_it_was(folder):
    loaded = load_run(folder)
    assert {name: loaded.card[name] for name in RUN.card} == RUN.card
    for part in ("weights", "evaluation"):
        saved, back = getattr(RUN, part), getattr(loaded, part)
        assert saved.keys() == back.keys()
        for name, array in saved.items():
            assert array.dtype == back[name].dtype
            np.testing.assert_array_equal(array, back[name])


def test_a_card_that_was_read_back_does_not_keep_the_digest_of_its_old_weights(folder, tmp_path):
    card = {**load_run(folder).card, "format": 99, "made_with": {}}
    weights = {"weight": np.ones(3, np.float32)}
    save_run(tmp_path, Run(card, weights, {}))
    again = load_run(tmp_path).card
    digest = hashlib.sha256((tmp_path / "weights.safetensors").read_bytes()).hexdigest()
    assert again["weights_sha256"] == digest != card["weights_sha256"]
    assert again["made_with"]["jax"]
    assert next(iter(again)) == "format"


def test_the_card_says_what_made_it(folder):
    made_with = load_run(folder).card["made_with"]
    assert made_with["jax"]
    assert made_with["threads"] == runs.allowed_threads()


def test_the_card_counts_the_threads_that_were_allowed(monkeypatch):
    """Bits depend on them, not on the processors of the machine."""
    monkeypatch.delenv("NPROC", raising=False)
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert environment()["threads"] == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert environment()["threads"] == len(allowed)
    monkeypatch.setenv("NPROC", "7")  # what XLA asks first
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert (environment()["threads"], environment()["OMP_NUM_THREADS"]) == (7, "1")


def test_a_run_knows_what_everything_made_from_it_carries(tmp_path):
    origin = save_run(tmp_path, RUN)
    assert load_run(tmp_path).origin == origin
    assert origin.equation == EQUATION["sha256"]
    assert origin.weights == hashlib.sha256((tmp_path / "weights.safetensors").read_bytes()).hexdigest()


def test_the_card_of_other_weights_is_refused(folder, tmp_path):
    save_run(tmp_path, Run(RUN.card, {"weight": np.ones(3, np.float32)}, {}))
    (tmp_path / "card.json").write_bytes((folder / "card.json").read_bytes())
    seal_again(tmp_path)
    with pytest.raises(RunFolderError, match="is the card of other weights than"):
        load_run(tmp_path)


OLD = Origin("0" * 64, "e" * 64)


@pytest.mark.parametrize("format", [1, 2])
def test_overwriting_a_run_removes_what_was_derived_from_it(tmp_path, format):
    """Stamped files of something else, and unstamped ones of ours; never a file of the user's."""
    save_run(tmp_path, RUN)
    if format == 1:
        card = json.loads((tmp_path / "card.json").read_text())
        (tmp_path / "card.json").write_text(json.dumps({**card, "format": 1}))
        seal_again(tmp_path)
    (tmp_path / "exported_before.c").write_text(f"/* {OLD.stamp} */")
    for name in ("step.c", "closed_loop.csv", "certificate.html"):
        (tmp_path / name).write_text("of the old weights, without a stamp")
    (tmp_path / "notes.txt").write_text("of the user")
    (tmp_path / "of the user").mkdir()
    new = Run({"kind": "other", "equation": EQUATION}, {"weight": np.ones(3, np.float32)}, {})
    save_run(tmp_path, new, overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == {*HASHED, "notes.txt", "of the user"}


def test_the_same_weights_again_keep_what_was_derived(tmp_path):
    origin = save_run(tmp_path, RUN)
    (tmp_path / "step.c").write_text(f"/* {origin.stamp} */")
    (tmp_path / "closed_loop.csv").write_text("0,1")
    assert save_run(tmp_path, RUN, overwrite=True) == origin
    assert (tmp_path / "step.c").exists()
    assert (tmp_path / "closed_loop.csv").exists()


def test_a_full_disk_removes_nothing_that_was_derived(tmp_path, monkeypatch):
    save_run(tmp_path, RUN)
    (tmp_path / "step.c").write_text(f"/* {OLD.stamp} */")

    def full_disk(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full_disk)
        with pytest.raises(StorageError):
            save_run(tmp_path, Run({"kind": "other", "equation": EQUATION}, {}, {}), overwrite=True)
    assert (tmp_path / "step.c").exists()


def test_the_digests_are_those_of_sha256sum(folder):
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=folder, capture_output=True, text=True)  # noqa: S607
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": OK") == 3


@pytest.mark.parametrize("name", HASHED)
@settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(place=st.integers(0, 10**6), mask=st.integers(1, 255))
@example(place=64, mask=ord(" ") ^ ord("\t"))  # in SHA256SUMS white space that a lenient reader skips
@example(place=86, mask=ord("\n") ^ ord("\r"))
@example(place=10**6 - 1, mask=1)
def test_any_flipped_byte_is_noticed(folder, tmp_path, name, place, mask):
    for other in HASHED:
        data = bytearray((folder / other).read_bytes())
        if other == name:
            data[place % len(data)] ^= mask
        (tmp_path / other).write_bytes(data)
    with pytest.raises(RunFolderError, match=r"damaged|was changed"):
        load_run(tmp_path)


def test_a_truncated_file_is_noticed(folder, tmp_path):
    for name in HASHED:
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(RunFolderError, match=r"weights\.safetensors is damaged.*make it again"):
        load_run(tmp_path)


@pytest.mark.parametrize("name", HASHED[:3])
def test_a_missing_file_is_named(folder, tmp_path, name):
    for other in HASHED:
        if other != name:
            (tmp_path / other).write_bytes((folder / other).read_bytes())
    with pytest.raises(RunFolderError, match=f"{name} cannot be read: No such file"):
        load_run(tmp_path)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(RunFolderError, match="there is no run folder"):
        load_run(tmp_path / "nowhere")


def test_a_foreign_folder(tmp_path):
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(RunFolderError, match="not a run folder of Attractor"):
        load_run(tmp_path)


def test_a_command_that_was_killed_early_says_to_give_it_again(tmp_path):
    with locked(tmp_path):
        pass
    with pytest.raises(RunFolderError, match="did not come far enough to leave anything; give it again"):
        load_run(tmp_path)


def test_an_unfinished_training_says_how_to_go_on(tmp_path):
    (tmp_path / "checkpoint.safetensors").touch()
    with pytest.raises(RunFolderError, match=r"unfinished training; run the same .* again"):
        load_run(tmp_path)


@pytest.mark.parametrize(
    ("card", "reason"),
    [
        (b'{"format": 99}', "has format 99; this version reads format 2"),
        (b'{"format": 1, "weights_sha256": ""}', "older version of Attractor .format 1.*train again"),
        (b'{"format": 2}', "names neither the weights nor the equation"),
        (b"{}", "has format None"),
        (b"[1]", "has format 'list'"),
        (b'"text"', "has format 'str'"),
        (b"{", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 100_000 + b"]" * 100_000, "is not JSON"),
        (b'{"format": ' + b"9" * 5000 + b"}", "is not JSON"),
    ],
    ids=["newer", "older", "without origin", "none", "list", "text", "torn", "bytes", "deep", "huge"],
)
def test_a_forged_card_is_refused(folder, tmp_path, card, reason):
    for name in HASHED:
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "card.json").write_bytes(card)
    seal_again(tmp_path)
    with pytest.raises(RunFolderError, match=reason):
        load_run(tmp_path)


@pytest.mark.parametrize(
    "data",
    [b"", b"garbage", (10**12).to_bytes(8, "little") + b"{}", b"\x80\x04cos\nsystem\n."],
    ids=["empty", "text", "huge header", "pickle"],
)
def test_weights_that_are_no_safetensors_are_refused(folder, tmp_path, data):
    for name in HASHED:
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "weights.safetensors").write_bytes(data)
    seal_again(tmp_path)
    with pytest.raises(RunFolderError, match="not a safetensors file"):
        load_run(tmp_path)


def test_a_finished_run_is_overwritten_on_purpose_only(tmp_path):
    save_run(tmp_path, RUN)
    with pytest.raises(RunFolderError, match="already holds a finished run"):
        save_run(tmp_path, RUN)
    save_run(tmp_path, Run({"kind": "other", "equation": EQUATION}, {}, {}), overwrite=True)
    assert load_run(tmp_path).card["kind"] == "other"


def test_a_full_disk_while_overwriting_keeps_the_old_run(tmp_path, monkeypatch):
    save_run(tmp_path, RUN)
    before = sorted(path.name for path in tmp_path.iterdir())

    def full_disk(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full_disk)
    with pytest.raises(StorageError, match="No space left"):
        save_run(tmp_path, Run({"kind": "other", "equation": EQUATION}, {}, {}), overwrite=True)
    monkeypatch.undo()
    assert load_run(tmp_path).card["kind"] == "test"
    assert sorted(path.name for path in tmp_path.iterdir()) == before


HOLD = """
import sys, time
from pathlib import Path
from attractor.folders import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_process_is_told_who_holds_the_folder_until_that_one_is_killed(tmp_path, holder):
    with pytest.raises(StorageError, match=f"in use by process {holder.pid} on ") as caught, locked(tmp_path):
        pytest.fail("the folder was given to two processes")
    assert caught.value.exit_code == 4
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    (tmp_path / ".weights.safetensors.xyz.attractor.tmp").touch()
    with locked(tmp_path):
        assert str(os.getpid()) in (tmp_path / "lock").read_text()
        assert not list(tmp_path.glob(".*.tmp")), "strays of the killed process"


def test_a_lock_is_given_back_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        raise ZeroDivisionError
    with locked(tmp_path):
        pass


def test_a_blocking_error_inside_the_lock_is_not_taken_for_a_held_lock(tmp_path):
    with pytest.raises(BlockingIOError), locked(tmp_path):
        raise BlockingIOError


def test_a_lock_that_cannot_be_written_is_a_storage_error(tmp_path, monkeypatch):
    def full_disk(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(folders.os, "write", full_disk)
    with pytest.raises(StorageError, match="No space left"), locked(tmp_path):
        pytest.fail("no lock could be written")
    monkeypatch.undo()
    (tmp_path / "file").touch()
    with pytest.raises(StorageError), locked(tmp_path / "file"):
        pytest.fail("a file is no folder")


def test_a_log_grows_line_by_line_and_is_written_anew_over_a_torn_one(tmp_path):
    log = tmp_path / "log.jsonl"
    entries = [{"step": step, "loss": [0.5, float("inf")]} for step in range(3)]
    for entry in entries:
        append_log(log, entry)
    assert [json.loads(line) for line in log.read_text().splitlines()] == entries
    log.write_bytes(b'{"step": 3, "lo\xff')
    write_log(log, entries)
    assert [json.loads(line) for line in log.read_text().splitlines()] == entries


def test_a_log_that_cannot_be_written_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match="cannot write"):
        append_log(tmp_path / "missing" / "log.jsonl", {})
    with pytest.raises(StorageError, match="cannot write"):
        write_log(tmp_path / "missing" / "log.jsonl", [{}])


def test_names_in_a_run_folder_never_leave_it(folder):
    arrays = safetensors.numpy.load((folder / "weights.safetensors").read_bytes())
    assert set(arrays) == {"weight", "empty"}


def unjudged(**facts):
    return Run({**RUN.card, **runs.UNJUDGED, **facts}, RUN.weights, RUN.evaluation)


def test_a_run_that_was_never_judged_may_be_judged_and_a_judged_one_may_not(tmp_path):
    assert not runs.is_unjudged(tmp_path)
    save_run(tmp_path, unjudged(fingerprint="abc", command="attractor identify"))
    assert runs.is_unjudged(tmp_path)
    assert runs.is_unjudged(tmp_path, "abc")
    assert not runs.is_unjudged(tmp_path, "other")
    with pytest.raises(RunFolderError, match=r"had judged the model.*attractor identify"):
        runs.check_judged(tmp_path, load_run(tmp_path))
    runs.check_free(tmp_path, overwrite=False)
    save_run(tmp_path, RUN)  # in its place
    assert not runs.is_unjudged(tmp_path)
    runs.check_judged(tmp_path, load_run(tmp_path))
    with pytest.raises(RunFolderError, match="already holds a finished run"):
        runs.check_free(tmp_path, overwrite=False)
    (tmp_path / "card.json").write_text("{}")
    assert not runs.is_unjudged(tmp_path), "what is damaged is not overwritten by accident"
    with pytest.raises(RunFolderError, match="already holds"):
        runs.check_free(tmp_path, overwrite=False)


def test_a_run_without_its_report_says_how_to_write_it(tmp_path):
    save_run(tmp_path, RUN)
    with pytest.raises(RunFolderError, match="attractor report"):
        runs.check_free(tmp_path, overwrite=False)
    (tmp_path / "report.html").touch()
    with pytest.raises(RunFolderError, match=r"on purpose$"):
        runs.check_free(tmp_path, overwrite=False)
    runs.check_free(tmp_path, overwrite=True)


def test_what_was_made_from_one_run_is_not_put_beside_another(tmp_path):
    runs.check_origin(tmp_path, OLD)  # no run, no objection
    origin = save_run(tmp_path, RUN)
    runs.check_origin(tmp_path, origin)
    for other, words in ((OLD, "belongs to other weights"), (None, "does not say which weights")):
        with pytest.raises(RunFolderError, match=f"holds another run .*{words}"):
            runs.check_origin(tmp_path, other)


def test_weights_have_the_digest_of_the_file_that_holds_them(tmp_path):
    assert save_run(tmp_path, RUN).weights == runs.weights_digest(RUN.weights)
    assert runs.weights_digest({"weight": np.ones(2)}) != runs.weights_digest({"weight": np.zeros(2)})


def test_threads_are_counted_where_the_variable_says_nothing_and_where_the_system_does_not(monkeypatch):
    for nothing in ("0", "", "two", "-3", "1.5"):
        monkeypatch.setenv("NPROC", nothing)
        assert runs.allowed_threads() == len(os.sched_getaffinity(0))
    monkeypatch.setenv("NPROC", "5")
    assert runs.allowed_threads() == 5
    monkeypatch.delenv("NPROC")
    monkeypatch.delattr(os, "sched_getaffinity")
    for count, threads in ((3, 3), (None, 1)):
        monkeypatch.setattr(os, "cpu_count", lambda count=count: count)
        assert runs.allowed_threads() == threads


def test_the_environment_names_versions_and_what_was_said_of_threads(monkeypatch):
    monkeypatch.delenv("NPROC", raising=False)
    monkeypatch.setenv("XLA_FLAGS", "--flag")
    found = environment()
    assert "NPROC" not in found
    assert found["XLA_FLAGS"] == "--flag"
    assert {"python", "system", "threads", "attractor", "jax", "jaxlib", "equinox", "numpy"} <= set(found)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("weights_sha256", "E" * 64), ("weights_sha256", "e" * 63), ("weights_sha256", "e" * 65),
        ("weights_sha256", 64 * [1]), ("weights_sha256", None), ("equation", "e" * 64), ("equation", {}),
        ("equation", {"sha256": "g" * 64}), ("equation", None),
    ],
)  # fmt: skip
def test_a_card_whose_origin_is_no_digest_is_refused(folder, tmp_path, name, value):
    card = {**json.loads((folder / "card.json").read_bytes()), name: value}
    for other in HASHED:
        (tmp_path / other).write_bytes((folder / other).read_bytes())
    (tmp_path / "card.json").write_text(json.dumps(card))
    seal_again(tmp_path)
    with pytest.raises(RunFolderError, match="names neither the weights nor the equation"):
        load_run(tmp_path)


@pytest.mark.parametrize("name", HASHED[:3])
def test_a_run_without_its_table_was_not_written_to_its_end(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(RunFolderError, match="was not written to its end: SHA256SUMS is missing"):
        load_run(tmp_path)
    (tmp_path / "checkpoint.safetensors").touch()
    with pytest.raises(RunFolderError, match="unfinished training"):
        load_run(tmp_path)


def test_a_new_equation_alone_makes_what_was_derived_stale(tmp_path):
    origin = save_run(tmp_path, RUN)
    (tmp_path / "step.c").write_text(f"/* {origin.stamp} */")
    (tmp_path / "closed_loop.csv").write_text("0,1")
    (tmp_path / "report.html").mkdir()
    other = Run({**RUN.card, "equation": {"sha256": "f" * 64}}, RUN.weights, RUN.evaluation)
    assert save_run(tmp_path, other, overwrite=True) != origin
    assert {path.name for path in tmp_path.iterdir()} == {*HASHED, "report.html"}
