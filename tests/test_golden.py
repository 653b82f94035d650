"""Two stores of outputs are equal only where nothing moved, is missing or has another verdict."""

import copy
import json
import math
import sys

import numpy as np
import pytest

from attractor.certify import Verdict
from benchmarks import golden
from benchmarks.golden_cases import SECTIONS

TOLERANCE = 1e-6
STATED = golden.TOLERANCES


@pytest.fixture(autouse=True)
def tolerance(monkeypatch):
    monkeypatch.setattr(golden, "TOLERANCES", {"certificates": TOLERANCE})


def store():
    found = {
        "verdict": Verdict.PROVED,
        "rate": 0.9,
        "transient": 3,
        "weights": np.array([1.0, 1e-3, -np.inf, np.nan]),
        "groups": None,
    }
    case = {name: golden.encode(value) for name, value in found.items()}
    return {"certificates": {"gru": case, "lstm": copy.deepcopy(case)}}


def compared(change):
    """The rows of a store and a changed one."""
    after = store()
    change(after["certificates"])
    return golden.compare(store(), after)


def moved(case, entry, value):
    return lambda cases: cases[case].update({entry: golden.encode(value)})


def test_numbers_are_stored_to_the_last_bit_through_json():
    value = np.array([0.1, np.nextafter(0.1, 1), np.pi, -0.0])
    stored = json.loads(json.dumps(golden.encode(value)))
    back = np.array([float.fromhex(text) for text in stored["numbers"]])
    assert back.tobytes() == value.tobytes()


def test_equal_stores_are_equal_in_bits():
    rows = compared(lambda cases: None)
    assert [row.found for row in rows] == ["bits equal"] * 2
    assert all(row.good for row in rows)


def test_one_last_bit_is_seen_and_allowed_by_a_tolerance():
    row, other = compared(moved("gru", "rate", math.nextafter(0.9, 1)))
    assert not row.bits
    assert row.good
    assert row.where == "rate"
    assert other.bits


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("rate", 0.9 * (1 + 2 * TOLERANCE)),
        ("rate", np.nan),
        ("rate", np.array([0.9])),
        ("transient", 4),
        ("verdict", Verdict.UNKNOWN),
        ("groups", np.array([0, 1])),
        ("weights", np.array([1.0, 1e-3, np.inf, np.nan])),
        ("weights", np.array([1.0, 1e-3 + 2 * TOLERANCE, -np.inf, np.nan])),
    ],
)
def test_what_moves_too_far_fails_and_is_named(entry, value):
    row, other = compared(moved("gru", entry, value))
    assert not row.good
    assert entry in row.found
    assert other.bits


def test_differences_are_relative_to_the_largest_number_of_an_entry():
    row, _ = compared(moved("gru", "weights", np.array([1.0, 1e-3 + 0.5 * TOLERANCE, -np.inf, np.nan])))
    assert row.largest == pytest.approx(0.5 * TOLERANCE)
    assert row.good


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda cases: cases.pop("lstm"), "missing after"),
        (lambda cases: cases["lstm"].pop("rate"), "rate missing after"),
        (moved("lstm", "gain", 1.0), "gain missing before"),
    ],
)
def test_what_is_missing_on_either_side_fails(change, found):
    _, row = compared(change)
    assert not row.good
    assert row.found == found


def test_a_new_case_or_section_fails():
    before, after = store(), {**store(), "spectra": {"gru": {"rate": golden.encode(1.0)}}}
    assert [row.what for row in golden.compare(before, after) if not row.good] == ["spectra/gru"]
    assert [row.what for row in golden.compare(after, before) if not row.good] == ["spectra/gru"]


@pytest.mark.parametrize(("rate", "status"), [(0.9, 0), (0.8, 1)])
def test_the_command_prints_the_table_and_exits_by_it(tmp_path, capsys, monkeypatch, rate, status):
    after = store()
    moved("gru", "rate", rate)(after["certificates"])
    for name, content in (("before", store()), ("after", after)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "certificates.json").write_text(json.dumps(content["certificates"]))
    monkeypatch.setattr(sys, "argv", ["golden", "compare", str(tmp_path / "before"), str(tmp_path / "after")])
    with pytest.raises(SystemExit) as ended:
        golden.main()
    assert int(ended.value.code) == status
    printed = capsys.readouterr().out
    assert "certificates/gru" in printed
    assert ("NOT EQUAL" in printed) == bool(status)


def test_every_section_that_is_measured_has_a_tolerance():
    assert set(STATED) == set(SECTIONS)
