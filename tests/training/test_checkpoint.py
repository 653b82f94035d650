"""A training that was interrupted goes on to the same bits; a checkpoint that does not fit is refused."""

import errno
import json
import os

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from linear_task import linear_task

from attractor import files
from attractor.arrays import pack
from attractor.errors import RunFolderError, StorageError
from attractor.progress import SilentReporter
from attractor.training import RunLog, TrainingSettings, train
from attractor.training.checkpoint import from_arrays, load_checkpoint, save_checkpoint, to_arrays

SETTINGS = TrainingSettings(steps=200, learning_rate=0.1, validate_every=20, clip_norm=10.0, seeds=3)


class StopAfter(SilentReporter):
    """Interrupts a training as Ctrl-C would, after some validations."""

    def __init__(self, validations):
        self.left = validations

    def update(self, done, total, message=""):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def run(folder, reporter=None, fingerprint="same"):
    return train(linear_task(), SETTINGS, 1, RunLog(folder, fingerprint, reporter or SilentReporter()))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted training and its folder."""
    folder = tmp_path_factory.mktemp("whole")
    return run(folder), folder


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("interrupted")
    with pytest.raises(KeyboardInterrupt):
        run(folder, StopAfter(3))
    return folder


def copy(source, target):
    for path in source.iterdir():
        (target / path.name).write_bytes(path.read_bytes())


def logged(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def without_seconds(entries):
    return [{key: value for key, value in entry.items() if key != "seconds"} for entry in entries]


def same(one, two):
    for left, right in zip(jax.tree.leaves(one.models), jax.tree.leaves(two.models), strict=True):
        np.testing.assert_array_equal(left, right)
    np.testing.assert_array_equal(one.scores, two.scores)
    np.testing.assert_array_equal(one.steps, two.steps)
    assert without_seconds(one.history) == without_seconds(two.history)


@pytest.mark.parametrize("stops", [[1], [5], [10], [1, 1, 3], [4, 2]], ids=str)
def test_an_interrupted_training_ends_in_the_same_bits(whole, tmp_path, stops):
    for validations in stops:
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, StopAfter(validations))
    same(run(tmp_path), whole[0])
    assert without_seconds(logged(tmp_path)) == without_seconds(logged(whole[1]))


def test_seconds_of_both_parts_add_up(interrupted, tmp_path):
    copy(interrupted, tmp_path)
    before = logged(tmp_path)[-1]["seconds"]
    seconds = [entry["seconds"] for entry in run(tmp_path).history]
    assert seconds == sorted(seconds)
    assert seconds[-1] >= before


def test_a_line_logged_after_the_last_checkpoint_does_not_come_twice(whole, interrupted, tmp_path):
    """A kill between the line and the checkpoint."""
    copy(interrupted, tmp_path)
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write(json.dumps({"step": 80, "seconds": 1.0}) + '\n{"step": 1')
    same(run(tmp_path), whole[0])
    assert [entry["step"] for entry in logged(tmp_path)] == list(range(20, 201, 20))


@pytest.mark.parametrize("kept", [None, 0, 1], ids=["no log", "no lines", "one line"])
@pytest.mark.parametrize("stage", ["whole", "interrupted"])
def test_a_log_that_a_power_cut_took_is_written_again_from_the_checkpoint(request, tmp_path, stage, kept):
    """The checkpoint is forced onto the disk, the log is not."""
    folder = request.getfixturevalue(stage)
    copy(folder[1] if stage == "whole" else folder, tmp_path)
    lines = (tmp_path / "log.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "log.jsonl").unlink()
    if kept is not None:
        (tmp_path / "log.jsonl").write_text("".join(lines[:kept]))
    trained = run(tmp_path)
    same(trained, request.getfixturevalue("whole")[0])
    assert logged(tmp_path) == trained.history


def test_a_checkpoint_of_a_version_that_kept_no_history_is_refused_with_a_remedy(interrupted, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    arrays, facts = load_checkpoint(interrupted / path.name)
    old = {"fingerprint": facts["fingerprint"], "entries": 3}
    save_checkpoint(path, jax.tree.map(jnp.asarray, arrays), old)
    with pytest.raises(RunFolderError, match=r"another version of Attractor.*delete the file"):
        run(tmp_path)


def test_a_finished_training_is_not_done_again(whole, tmp_path):
    copy(whole[1], tmp_path)

    class Never(SilentReporter):
        def update(self, done, total, message=""):
            pytest.fail("it trained again")

    same(run(tmp_path, Never()), whole[0])


def test_a_log_without_a_checkpoint_starts_afresh(whole, tmp_path):
    (tmp_path / "log.jsonl").write_text('{"step": 999}\n')
    same(run(tmp_path), whole[0])
    assert logged(tmp_path)[0]["step"] == 20


def test_a_checkpoint_of_other_data_or_settings_is_refused_with_a_remedy(interrupted, tmp_path):
    copy(interrupted, tmp_path)
    with pytest.raises(
        RunFolderError, match=r"other data, model, settings, seed or optimiser.*choose another folder"
    ):
        run(tmp_path, fingerprint="other")
    settings = TrainingSettings(steps=200, validate_every=20, seeds=2)
    with pytest.raises(RunFolderError, match="other data, model, settings, seed or optimiser"):
        train(linear_task(), settings, 1, RunLog(tmp_path, "other size"))
    assert (tmp_path / "checkpoint.safetensors").exists(), "a refusal must not cost the other training"


@settings(
    max_examples=150,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(place=st.integers(0, 10**6), mask=st.integers(1, 255))
def test_any_flipped_byte_of_a_checkpoint_is_noticed_or_harmless(interrupted, tmp_path, place, mask):
    """White space of the header may change without changing what is read."""
    good = (interrupted / "checkpoint.safetensors").read_bytes()
    data = bytearray(good)
    data[place % len(data)] ^= mask
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(data)
    try:
        arrays, facts = load_checkpoint(path)
    except RunFolderError as problem:
        assert "is damaged; delete it to start this training again" in str(problem)  # noqa: PT017
        return
    expected, known = load_checkpoint(interrupted / "checkpoint.safetensors")
    assert facts == known
    for name, array in expected.items():
        np.testing.assert_array_equal(arrays[name], array)


@pytest.mark.parametrize("data", [b"", b"{}", b"\x80\x04cos\nsystem\n."], ids=["empty", "json", "pickle"])
def test_a_file_that_is_no_checkpoint_is_refused_with_a_remedy(tmp_path, data):
    (tmp_path / "checkpoint.safetensors").write_bytes(data)
    with pytest.raises(RunFolderError, match="delete it to start this training again"):
        run(tmp_path)


@pytest.mark.parametrize("failing", ["fsync", "chmod"])
def test_a_full_disk_keeps_the_checkpoint_and_the_training_goes_on_later(
    whole, tmp_path, monkeypatch, failing
):
    class FillDisk(SilentReporter):
        def update(self, done, total, message=""):
            if done == 60:
                target = files.os if failing == "fsync" else files.Path
                monkeypatch.setattr(target, failing, full)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(StorageError, match=r"No space left on device.*free some space") as caught:
        run(tmp_path, FillDisk())
    assert caught.value.exit_code == 4
    monkeypatch.undo()
    assert len(load_checkpoint(tmp_path / "checkpoint.safetensors")[1]["history"]) == 3
    assert not list(tmp_path.glob(".*.tmp"))
    same(run(tmp_path), whole[0])


class Odd(eqx.Module):
    key: jax.Array
    flag: jax.Array
    name: str = eqx.field(static=True)


def test_keys_and_flags_come_back(tmp_path):
    tree = Odd(jax.random.split(jax.random.key(3), 2), jnp.array([True, False]), "x")
    save_checkpoint(tmp_path / "c", tree, {"n": 1})
    arrays, facts = load_checkpoint(tmp_path / "c")
    back = from_arrays(Odd(jax.random.split(jax.random.key(0), 2), jnp.zeros(2, bool), "x"), arrays, "c")
    assert facts == {"n": 1}
    assert back.flag.tolist() == [True, False]
    for one, two in zip(back.key, tree.key, strict=True):
        assert jax.random.uniform(one) == jax.random.uniform(two)


def test_arrays_that_do_not_fit_are_named():
    like = Odd(jax.random.key(0), jnp.zeros(2, bool), "x")
    arrays = to_arrays(like)
    with pytest.raises(RunFolderError, match="there does not fit this model: flag missing or not known"):
        from_arrays(like, {"key": arrays["key"]}, "there")
    with pytest.raises(RunFolderError, match=r"flag is bool\[3\], expected bool\[2\]"):
        from_arrays(like, {**arrays, "flag": np.zeros(3, bool)}, "there")
    with pytest.raises(RunFolderError, match=r"flag is int8\[2\], expected bool\[2\]"):
        from_arrays(like, {**arrays, "flag": np.zeros(2, np.int8)}, "there")


@pytest.mark.parametrize(
    "history",
    [[{"step": 20}], [{}], [3], {"step": 1}, None, "text", [10**400], [True]],
    ids=lambda one: str(one)[:20],
)
def test_a_checkpoint_that_was_sealed_anew_with_a_wrong_history_is_refused(interrupted, tmp_path, history):
    arrays, facts = load_checkpoint(interrupted / "checkpoint.safetensors")
    path = tmp_path / "checkpoint.safetensors"
    if history == [10**400]:
        history = [entry | {"seconds": 10**400} for entry in facts["history"]]
    path.write_bytes(pack(arrays, facts | {"history": history}))
    with pytest.raises(RunFolderError, match="no history of a training"):
        run(tmp_path)
    path.write_bytes(pack(arrays, {"history": facts["history"]}))
    with pytest.raises(RunFolderError, match="no history of a training"):
        run(tmp_path)
