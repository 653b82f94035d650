"""A file is the old one or the new one, whatever happens in between."""

import errno
import os
from pathlib import Path

import pytest

from attractor import files
from attractor.errors import StorageError
from attractor.files import make_folder, remove_strays, write_atomically, write_together


def full_disk(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_file_is_written_and_replaced(tmp_path):
    target = tmp_path / "weights"
    for text in (b"old", b"new", b""):
        write_atomically(target, text)
        assert content(tmp_path) == {"weights": text}


@pytest.fixture
def umask():
    """Set the umask of this process, which has the usual one again after the test."""
    usual = os.umask(0o022)
    yield os.umask
    os.umask(usual)


def mode(path):
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize(("mask", "expected"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_has_the_permissions_of_new_files(tmp_path, umask, mask, expected):
    umask(mask)
    write_atomically(tmp_path / "weights", b"x")
    write_together(tmp_path, {"a": b"", "seal": b""}, "seal")
    assert {mode(path) for path in tmp_path.iterdir()} == {expected}


@pytest.mark.parametrize("kept", [0o600, 0o664, 0o444])
def test_an_old_file_keeps_its_permissions(tmp_path, umask, kept):
    for name in ("weights", "seal"):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(kept)
    umask(0o022)
    write_atomically(tmp_path / "weights", b"x")
    write_together(tmp_path, {"weights": b"y", "seal": b"z"}, "seal")
    assert {mode(path) for path in tmp_path.iterdir()} == {kept}
    assert content(tmp_path) == {"weights": b"y", "seal": b"z"}


@pytest.mark.parametrize("broken", ["fsync", "fdopen"])
def test_a_full_disk_leaves_the_old_file_and_no_stray(tmp_path, monkeypatch, broken):
    write_atomically(tmp_path / "weights", b"old")
    monkeypatch.setattr(os, broken, full_disk)
    with pytest.raises(StorageError, match=r"weights: No space left on device.*unchanged.*free some space"):
        write_atomically(tmp_path / "weights", b"new")
    monkeypatch.undo()
    assert content(tmp_path) == {"weights": b"old"}


def test_a_failing_rename_leaves_the_old_file_and_no_stray(tmp_path, monkeypatch):
    write_atomically(tmp_path / "weights", b"old")
    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(StorageError, match="weights"):
        write_atomically(tmp_path / "weights", b"new")
    assert content(tmp_path) == {"weights": b"old"}


def test_an_interrupt_during_the_write_leaves_no_stray(tmp_path, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "weights", b"new")
    assert content(tmp_path) == {}


def test_a_missing_folder_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match="choose a folder you may write to") as caught:
        write_atomically(tmp_path / "missing" / "weights", b"x")
    assert caught.value.exit_code == 4
    assert isinstance(caught.value, OSError)


def test_a_file_in_the_place_of_the_folder_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for act in (
        lambda: make_folder(tmp_path / "file"),
        lambda: make_folder(tmp_path / "file" / "below"),
        lambda: write_atomically(tmp_path / "file" / "weights", b"x"),
        lambda: write_atomically(Path(), b"x"),
        lambda: write_together(tmp_path / "file", {"a": b"", "seal": b""}, "seal"),
    ):
        with pytest.raises(StorageError, match="cannot write"):
            act()
    assert (tmp_path / "file").read_text() == "in the way"


def test_strays_of_a_killed_process_are_removed_and_nothing_else(tmp_path, monkeypatch):
    users = (".notes.tmp", ".my.notes.tmp", "weights", ".hidden", "note.tmp", "notes.attractor.tmp")
    for name in users:
        (tmp_path / name).touch()
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(StorageError):
        write_atomically(tmp_path / "weights", b"never finished")
    monkeypatch.undo()
    assert len(content(tmp_path)) == len(users) + 1
    remove_strays(tmp_path)
    assert sorted(content(tmp_path)) == sorted(users)


def test_files_that_belong_together_are_written_seal_last(tmp_path, monkeypatch):
    order = []
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, to: (order.append(to.name), replace(self, to)))
    write_together(tmp_path, {"seal": b"s", "a": b"1", "b": b"2"}, "seal")
    assert order == ["a", "b", "seal"]
    assert content(tmp_path) == {"a": b"1", "b": b"2", "seal": b"s"}


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_disk_that_fills_up_between_files_leaves_all_old_ones(tmp_path, monkeypatch, after):
    old = {"a": b"1", "b": b"2", "seal": b"s"}
    write_together(tmp_path, old, "seal")
    stage, calls = files._stage, []

    def stage_some(path, data):
        calls.append(path)
        return stage(path, data) if len(calls) <= after else full_disk()

    monkeypatch.setattr(files, "_stage", stage_some)
    with pytest.raises(StorageError):
        write_together(tmp_path, {"a": b"3", "b": b"4", "seal": b"t"}, "seal")
    assert content(tmp_path) == old


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_crash_between_renames_leaves_no_seal(tmp_path, monkeypatch, after):
    write_together(tmp_path, {"a": b"1", "b": b"2", "seal": b"s"}, "seal")
    replace, calls = Path.replace, []

    def crash(self, to):
        calls.append(to)
        if len(calls) > after:
            raise KeyboardInterrupt
        return replace(self, to)

    monkeypatch.setattr(Path, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        write_together(tmp_path, {"a": b"3", "b": b"4", "seal": b"t"}, "seal")
    assert sorted(content(tmp_path)) == ["a", "b"]
