"""One process in a folder, no writing through links, no temporary file of a living writer lost."""

import os
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
