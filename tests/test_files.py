"""A file is the old one or the new one, whatever happens in between."""

import errno
import os
from pathlib import Path

import pytest

from attractor import files
from attractor.errors import StorageError
from attractor.files import (
    append_line,
    hold,
    make_folder,
    remove_strays,
    write_atomically,
    write_together,
)


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


def test_a_file_and_then_its_folder_reach_the_disk_at_every_rename(tmp_path, monkeypatch):
    events, fsync, replace = [], os.fsync, Path.replace

    def flushed(handle):
        events.append("folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "file")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(Path, "replace", lambda self, to: (events.append("rename"), replace(self, to)))
    write_atomically(tmp_path / "weights", b"x")
    assert events == ["file", "rename", "folder"]
    events.clear()
    write_together(tmp_path, {"a": b"1", "seal": b"s"}, "seal")
    assert events == ["file", "file", "rename", "folder", "rename", "folder"]


def test_nothing_old_is_touched_before_all_new_files_are_on_the_disk(tmp_path, monkeypatch):
    write_together(tmp_path, {"a": b"1", "seal": b"s"}, "seal")
    (tmp_path / "page").touch()
    seen, fsync = [], os.fsync

    def flushed(handle):
        seen.append({"seal", "page"} & {path.name for path in tmp_path.iterdir()})
        fsync(handle)

    monkeypatch.setattr(os, "fsync", flushed)
    stale = [tmp_path / "page", tmp_path / "gone already"]
    write_together(tmp_path, {"a": b"2", "seal": b"t"}, "seal", stale)
    assert seen[:2] == [{"seal", "page"}] * 2
    assert seen[2] == set(), "neither the old seal nor what was made from the old files"
    assert content(tmp_path) == {"a": b"2", "seal": b"t"}


def test_what_a_link_points_to_lends_the_new_file_nothing(tmp_path, umask):
    (tmp_path / "private").touch()
    (tmp_path / "private").chmod(0o600)
    (tmp_path / "page").symlink_to(tmp_path / "private")
    umask(0o022)
    write_atomically(tmp_path / "page", b"x")
    assert (mode(tmp_path / "page"), mode(tmp_path / "private")) == (0o644, 0o600)


def test_lines_are_added_at_the_end_of_a_file_that_may_be_new(tmp_path, umask):
    umask(0o022)
    for line in ("first", "pH \u00b5"):
        append_line(tmp_path / "log", line)
    assert content(tmp_path) == {"log": "first\npH \u00b5\n".encode()}
    assert mode(tmp_path / "log") == 0o644


def test_a_lock_is_held_by_one_handle_and_the_other_one_is_not_made_to_wait(tmp_path):
    (tmp_path / "lock").touch()
    first, second = (os.open(tmp_path / "lock", os.O_RDWR) for _ in range(2))
    assert (hold(first), hold(second), hold(first)) == (True, False, True)
    os.close(first)
    assert hold(second)
    os.close(second)


def test_a_temporary_file_that_was_swept_away_before_it_was_locked_is_made_anew(tmp_path, monkeypatch):
    swept = []

    def sweep_first(handle):
        if not swept:
            swept.extend(tmp_path.glob(".*"))
            swept[0].unlink()
        return hold(handle)

    monkeypatch.setattr(files, "hold", sweep_first)
    write_atomically(tmp_path / "weights", b"x")
    assert len(swept) == 1
    assert content(tmp_path) == {"weights": b"x"}


def test_a_file_system_without_locks_can_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "hold", full_disk)
    write_atomically(tmp_path / "weights", b"x")
    (tmp_path / ".page.1.attractor.tmp").touch()
    remove_strays(tmp_path)  # what cannot be locked cannot be told from what is being written
    assert sorted(content(tmp_path)) == [".page.1.attractor.tmp", "weights"]


@pytest.mark.parametrize("name", ["w*", "w?", "[w]"])
def test_a_name_is_no_pattern_for_the_temporary_files_of_others(tmp_path, name):
    for one in ("w1", "w", name):
        (tmp_path / f".{one}.00.attractor.tmp").touch()
    write_atomically(tmp_path / name, b"x")
    assert sorted(content(tmp_path)) == sorted([name, ".w1.00.attractor.tmp", ".w.00.attractor.tmp"])


def test_links_among_temporary_files_stay(tmp_path):
    (tmp_path / "diary").touch()
    (tmp_path / ".x.attractor.tmp").symlink_to(tmp_path / "diary")
    remove_strays(tmp_path)
    assert sorted(content(tmp_path)) == [".x.attractor.tmp", "diary"]
