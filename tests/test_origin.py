"""A stamp is found in files of any format and compared with what is in use."""

import pytest

from attractor.origin import Origin, find_origin, origin_of, strangers

ONE = Origin("1" * 64, "e" * 64)
OTHER_WEIGHTS, OTHER_EQUATION = Origin("2" * 64, "e" * 64), Origin("1" * 64, "f" * 64)


@pytest.mark.parametrize("around", ["/* {} */", '{{"origin": "{}"}}', "# {}\n", "\x00\x08{}\xff"])
def test_a_stamp_is_found_in_any_format(around, tmp_path):
    content = around.format(ONE.stamp).encode("latin-1")
    assert find_origin(content) == ONE
    (tmp_path / "file").write_bytes(content)
    assert origin_of(tmp_path / "file") == ONE


@pytest.mark.parametrize("content", [b"", b"attractor-origin: weights=12 equation=34", b"\xff" * 200])
def test_what_has_no_stamp_has_no_origin(content):
    assert find_origin(content) is None


def test_a_file_that_is_not_there_has_no_origin(tmp_path):
    assert origin_of(tmp_path / "nothing") is None


def test_the_same_origin_is_accepted_and_others_are_named():
    assert ONE.objection(Origin(ONE.weights, ONE.equation)) == ""
    assert ONE.objection(OTHER_WEIGHTS) == "belongs to other weights (222222222222, these are 111111111111)"
    assert ONE.objection(OTHER_EQUATION).startswith("belongs to another equation (ffffffffffff")
    assert ONE.objection(None) == "does not say which weights it belongs to"


def test_strangers_in_a_folder_are_found(tmp_path):
    for name, origin in {"own.c": ONE, "old.c": OTHER_WEIGHTS, "odd.html": OTHER_EQUATION}.items():
        (tmp_path / name).write_text(f"/* {origin.stamp} */")
    (tmp_path / "notes.txt").write_text("of the user")
    (tmp_path / "folder").mkdir()
    assert {path.name for path in strangers(tmp_path, ONE)} == {"old.c", "odd.html"}
