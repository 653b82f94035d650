"""`stability.json` in a run folder: plain JSON, and what it says in one sentence."""

import json
from dataclasses import replace

import numpy as np
import pytest

from attractor.certify import Attempt, Certificate, StabilityResult, Verdict, Witness
from attractor.control.identification.stability import save_stability, stored_statement
from attractor.errors import StorageError

WIDE = np.array([np.inf, 1.0])
CERTIFICATE = Certificate(4, 0.875, np.ones(2), 0.5, -WIDE, WIDE, -WIDE, WIDE, 0, np.array([1.0]), np.eye(2))
RESULT = StabilityResult(
    Verdict.PROVED,
    CERTIFICATE,
    None,
    (Attempt(0, "none", float("nan"), 0.5), Attempt(4, "yes", 0.875, 1.0)),
    1.5,
)


def strict(path):
    """JSON as its standard has it: NaN and Infinity are refused."""

    def refuse(word):
        raise ValueError(word)

    return json.loads(path.read_text(), parse_constant=refuse)


def test_a_proof_is_kept_with_all_its_numbers(tmp_path):
    content = strict(save_stability(tmp_path, RESULT))
    assert (content["verdict"], content["seconds"], content["witness"]) == ("proved", 1.5, None)
    assert content["certificate"]["rate"] == 0.875
    assert content["certificate"]["metric"] == [[1.0, 0.0], [0.0, 1.0]]
    assert content["certificate"]["high"] == [None, 1.0]  # infinite: JSON has no word for it
    assert [attempt["rate"] for attempt in content["attempts"]] == [None, 0.875]
    assert stored_statement(tmp_path) == "The model is certified: differences shrink by 0.8750 a sample."


def test_a_counterexample_is_kept_as_it_is(tmp_path):
    witness = Witness(np.array([0.1, 0.2]), np.array([0.3, 0.4]), np.array([[0.5]]), 0.25, 99)
    result = replace(RESULT, verdict=Verdict.REFUTED, certificate=None, witness=witness)
    content = strict(save_stability(tmp_path, result))
    assert content["witness"] == {
        "first": [0.1, 0.2],
        "second": [0.3, 0.4],
        "inputs": [[0.5]],
        "distance": 0.25,
        "steps": 99,
    }
    assert stored_statement(tmp_path) == "Stability of the model is refuted."


def test_nothing_known_is_said_to_be_so(tmp_path):
    assert stored_statement(tmp_path).startswith("Nothing is proved")
    unknown = replace(RESULT, verdict=Verdict.UNKNOWN, certificate=None, reason="no time")
    assert strict(save_stability(tmp_path, unknown))["reason"] == "no time"
    assert stored_statement(tmp_path) == "Stability of the model is unknown."


def test_a_folder_that_is_a_file_is_an_error_of_storage(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(StorageError):
        save_stability(tmp_path / "run", RESULT)
