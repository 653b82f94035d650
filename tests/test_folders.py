"""One process in a folder, no writing through links, no temporary file of a living writer lost."""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from attractor import files, folders
from attractor.errors import AttractorError, RunFolderError, StorageError, printable
from attractor.files import append_line, remove_strays, write_atomically
from attractor.folders import locked, read_file, read_sealed, write_sealed

SOURCE = Path(files.__file__).parents[1]
CONTENTS = {"a.json": b"{}", "b.csv": b"1,2\n"}


def test_a_thread_may_take_a_folder_again_and_another_may_not(tmp_path):
    refused = []

    def other():
        try:
            with locked(tmp_path):
                refused.append(None)
        except StorageError as problem:
            refused.append(str(problem))

    with locked(tmp_path):
        with locked(tmp_path):
            pass
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        assert f"in use by process {os.getpid()}" in refused[0]
    other()
    assert refused[1] is None


def test_a_lock_that_is_a_link_is_refused_and_what_it_points_to_stays(tmp_path):
    (tmp_path / "diary").write_text("dear diary")
    run = tmp_path / "run"
    run.mkdir()
    (run / "lock").symlink_to(tmp_path / "diary")
    with pytest.raises(StorageError, match="symbolic link"), locked(run):
        pytest.fail("the lock was taken")
    assert (tmp_path / "diary").read_text() == "dear diary"


def test_nothing_is_written_through_a_link(tmp_path):
    (tmp_path / "diary").write_text("dear diary")
    for name in ("page", "log"):
        (tmp_path / name).symlink_to(tmp_path / "diary")
    write_atomically(tmp_path / "page", b"page")
    with pytest.raises(StorageError, match="symbolic link"):
        append_line(tmp_path / "log", "line")
    assert (tmp_path / "diary").read_text() == "dear diary"
    assert (tmp_path / "page").read_bytes() == b"page"
    assert not (tmp_path / "page").is_symlink()


STAGE = """
import sys, time
from pathlib import Path
from attractor import files
staged = files._stage(Path(sys.argv[1]) / "page", b"page")
print("staged", flush=True)
sys.stdin.readline()
staged.path.replace(Path(sys.argv[1]) / "page")
"""


@pytest.fixture
def writer(tmp_path):
    """Another process that has written a temporary file and not renamed it yet."""
    process = subprocess.Popen(
        [sys.executable, "-c", STAGE, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )
    assert process.stdout.readline() == "staged\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_start_leaves_the_temporary_file_of_a_living_writer(tmp_path, writer):
    remove_strays(tmp_path)
    with locked(tmp_path):
        write_atomically(tmp_path / "page", b"other")
    writer.communicate("go on\n", timeout=30)
    assert writer.returncode == 0
    assert (tmp_path / "page").read_bytes() == b"page"


def test_the_next_writer_of_a_file_removes_what_a_killed_one_left(tmp_path, writer):
    writer.kill()
    writer.wait()
    assert len(list(tmp_path.iterdir())) == 1
    write_atomically(tmp_path / "[other]*", b"other")
    assert len(list(tmp_path.iterdir())) == 2
    write_atomically(tmp_path / "page", b"new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["[other]*", "page"]


def test_sealed_files_come_back_and_a_changed_one_is_named(tmp_path):
    write_sealed(tmp_path, CONTENTS)
    assert read_sealed(tmp_path, tuple(CONTENTS)) == CONTENTS
    (tmp_path / "b.csv").write_bytes(b"1,3\n")
    with pytest.raises(RunFolderError, match=r"b\.csv is damaged or was changed"):
        read_sealed(tmp_path, tuple(CONTENTS))


def test_a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "card.json")
    with pytest.raises(RunFolderError, match="no plain file"):
        read_file(tmp_path / "card.json")


def test_a_message_neither_commands_the_terminal_nor_fills_it():
    error = AttractorError("column '\x1b]0;title\x07' \x9b31m\u202e\udcff " + 10**6 * "x")
    assert not set("\x1b\x07\x9b\u202e\udcff") & set(str(error))
    assert r"\x1b]0;title\x07" in str(error)
    assert r"\xff" in str(error)
    assert len(str(error)) < 2500
    assert "characters" in str(error)
    assert printable("温度 [°C]\t\n") == "温度 [°C]\t\n"
    assert str(StorageError("\x1b")) == r"\x1b"


def test_the_table_is_the_one_of_sha256sum(tmp_path):
    write_sealed(tmp_path, CONTENTS)
    line = (tmp_path / folders.SEAL).read_text().splitlines()[0]
    assert line == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a  a.json"


def test_a_lock_file_names_its_holder_and_nothing_of_an_earlier_one(tmp_path):
    (tmp_path / "lock").write_text(
        "process 1 on a computer with a much longer name than any that there is" * 3
    )
    with locked(tmp_path):
        assert (tmp_path / "lock").read_text() == f"process {os.getpid()} on {socket.gethostname()}"


def test_a_lock_of_which_the_holder_is_not_known_is_still_held(tmp_path):
    (tmp_path / "lock").touch()
    handle = os.open(tmp_path / "lock", os.O_RDWR)
    assert files.hold(handle)
    with pytest.raises(StorageError, match="in use by another process; wait"), locked(tmp_path):
        pytest.fail("the lock was taken")
    os.close(handle)
    with locked(tmp_path):
        pass


def test_an_inner_lock_leaves_the_strays_of_the_outer_one_alone(tmp_path):
    with locked(tmp_path):
        (tmp_path / ".page.00.attractor.tmp").touch()
        with locked(tmp_path):
            assert (tmp_path / ".page.00.attractor.tmp").exists()
    with locked(tmp_path):
        assert not (tmp_path / ".page.00.attractor.tmp").exists()


def test_a_table_with_more_or_turned_lines_is_refused(tmp_path):
    write_sealed(tmp_path, CONTENTS)
    seal = tmp_path / folders.SEAL
    lines = seal.read_bytes().splitlines(keepends=True)
    for changed in ([*lines, b"\n"], lines[::-1], [*lines, *lines]):
        seal.write_bytes(b"".join(changed))
        with pytest.raises(RunFolderError, match=r"SHA256SUMS was changed: .* a\.json, b\.csv"):
            read_sealed(tmp_path, tuple(CONTENTS))


def test_a_folder_sealed_with_other_files_is_not_overwritten(tmp_path):
    write_sealed(tmp_path, CONTENTS)
    with pytest.raises(RunFolderError, match=r"holds something else, sealed with b\.csv; choose"):
        write_sealed(tmp_path, {"a.json": b"{}"})
    write_sealed(tmp_path, {**CONTENTS, "c": b""})
    assert read_sealed(tmp_path, ("a.json", "b.csv", "c"))["c"] == b""
    many = {f"{number}": b"" for number in range(7)}
    (tmp_path / "many").mkdir()
    write_sealed(tmp_path / "many", many)
    with pytest.raises(RunFolderError, match=r"sealed with 0, 1, 2, 3, 4; choose"):
        write_sealed(tmp_path / "many", {"8": b""})


def test_a_folder_in_the_place_of_the_table_is_no_seal(tmp_path):
    (tmp_path / folders.SEAL).mkdir()
    assert not folders.is_sealed(tmp_path)
    (tmp_path / folders.SEAL).rmdir()
    write_sealed(tmp_path, CONTENTS)
    assert folders.is_sealed(tmp_path)


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: None])
def test_a_file_that_cannot_be_read_is_named(tmp_path, make):
    make(tmp_path / "card.json")
    with pytest.raises(RunFolderError, match=r"card\.json cannot be read: "):
        read_file(tmp_path / "card.json")


def test_a_fact_that_is_missing_is_blamed_on_its_file_and_other_errors_are_left_as_they_are():
    for wrong in (KeyError("weights"), TypeError("no number"), ValueError("nan")):
        with (
            pytest.raises(RunFolderError, match=rf"card lacks a fact .*{type(wrong).__name__}") as caught,
            folders.facts_of(Path("card")),
        ):
            raise wrong
        assert caught.value.__cause__ is wrong
    for own in (RunFolderError("mine"), StorageError("mine"), KeyboardInterrupt()):
        with pytest.raises(type(own)) as caught, folders.facts_of(Path("card")):
            raise own
        assert caught.value is own
