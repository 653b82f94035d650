"""`stability.json` in a run folder: plain JSON, and what it says in one sentence."""

import json
from dataclasses import replace

import numpy as np
import pytest

from attractor.certify import Attempt, Certificate, StabilityResult, Verdict, Witness, claim
from attractor.control.identification.certification import FILE, Use, save_stability, stored_statement
from attractor.errors import RunFolderError, StorageError
from attractor.origin import Origin
from attractor.runs import Run, save_run

ORIGIN = Origin("1" * 64, "e" * 64)
USE = Use(ORIGIN, np.array([1.0]))
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
    content = strict(save_stability(tmp_path, RESULT, 1.0, ORIGIN))
    assert (content["verdict"], content["seconds"], content["witness"]) == ("proved", 1.5, None)
    assert content["certificate"]["rate"] == 0.875
    assert content["certificate"]["metric"] == [[1.0, 0.0], [0.0, 1.0]]
    assert content["certificate"]["high"] == [None, 1.0]  # infinite: JSON has no word for it
    assert [attempt["rate"] for attempt in content["attempts"]] == [None, 0.875]
    assert stored_statement(tmp_path, USE) == (
        "The model is certified for inputs within ±1 and starts in the certified set: differences shrink to "
        "at most 0.8750 times their size per sample."
    )


def test_a_counterexample_is_kept_as_it_is(tmp_path):
    witness = Witness(np.array([0.1, 0.2]), np.array([0.3, 0.4]), np.array([[0.5]]), 0.25, 99)
    result = replace(RESULT, verdict=Verdict.REFUTED, certificate=None, witness=witness)
    content = strict(save_stability(tmp_path, result, 1.0, ORIGIN))
    assert content["witness"] == {
        "first": [0.1, 0.2],
        "second": [0.3, 0.4],
        "inputs": [[0.5]],
        "distance": 0.25,
        "steps": 99,
    }
    assert stored_statement(tmp_path, USE) == "Stability of the model for inputs within ±1 is refuted."


def test_nothing_known_is_said_to_be_so(tmp_path):
    assert stored_statement(tmp_path, USE).startswith("Nothing is proved")
    unknown = replace(RESULT, verdict=Verdict.UNKNOWN, certificate=None, reason="no time")
    assert strict(save_stability(tmp_path, unknown, 1.0, ORIGIN))["reason"] == "no time"
    assert stored_statement(tmp_path, USE) == "Stability of the model for inputs within ±1 is unknown."


def test_a_folder_that_is_a_file_is_an_error_of_storage(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(StorageError):
        save_stability(tmp_path / "run", RESULT, 1.0, ORIGIN)


OTHERS = {
    "other weights": Origin("2" * 64, ORIGIN.equation),
    "another equation": Origin(ORIGIN.weights, "f" * 64),
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_certificate_of_something_else_proves_nothing(tmp_path, what):
    save_stability(tmp_path, RESULT, 1.0, OTHERS[what])
    said = stored_statement(tmp_path, USE)
    assert f"stability.json belongs to {what}" in said
    assert "Nothing is proved of this model" in said
    assert "certified" not in said


def test_a_certificate_without_an_origin_proves_nothing(tmp_path):
    save_stability(tmp_path, RESULT, 1.0, None)
    assert "does not say which weights it belongs to" in stored_statement(tmp_path, USE)


def test_a_certificate_for_smaller_inputs_than_those_in_use_proves_nothing(tmp_path):
    small = replace(RESULT, certificate=replace(CERTIFICATE, input_bound=np.array([0.001])))
    save_stability(tmp_path, small, 0.001, ORIGIN)
    said = stored_statement(tmp_path, USE)
    assert said == (
        "Nothing is proved of this use of the model: its certificate holds for inputs within ±0.001, and "
        "inputs within ±1 are used here."
    )
    assert "certified for inputs within ±0.001" in stored_statement(
        tmp_path, replace(USE, inputs=np.array([0.001]))
    )


def test_every_input_has_its_own_bound(tmp_path):
    two = replace(RESULT, certificate=replace(CERTIFICATE, input_bound=np.array([1.0, 0.5])))
    save_stability(tmp_path, two, 1.0, ORIGIN)
    assert "within ±(1, 0.5), and inputs within ±(0.5, 1)" in stored_statement(
        tmp_path, replace(USE, inputs=np.array([0.5, 1.0]))
    )
    assert "certified" in stored_statement(tmp_path, replace(USE, inputs=np.array([1.0, 0.5])))


def test_states_outside_the_certified_set_are_not_covered(tmp_path):
    save_stability(tmp_path, RESULT, 1.0, ORIGIN)  # the first state may be anything, the second within one
    inside, outside = np.array([[99.0, 0.5], [0.0, -1.0]]), np.array([[0.0, 0.5], [0.0, -1.5]])
    assert "is certified" in stored_statement(tmp_path, replace(USE, states=inside))
    said = stored_statement(tmp_path, replace(USE, states=outside))
    assert "in 1 samples the estimated state is outside" in said
    assert "certified" not in said


DAMAGES = {
    "half a file": lambda text: text[: len(text) // 2],
    "another digit": lambda text: text.replace("0.875", "0.375"),
    "no digest": lambda text: text.replace('"digest"', '"summary"'),
    "no rate": lambda text: text.replace('"rate"', '"gait"'),
    "a rate of text": lambda text: text.replace('"rate": 0.875', '"rate": "fast"'),
    "a list": lambda text: f"[{text}]",
    "no bound": lambda text: text.replace('"input_bound"', '"bound"'),
    "null": lambda _: f'"{ORIGIN.stamp}"',
    "deep": lambda _: ORIGIN.stamp + "[" * 100_000,
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_proves_nothing_and_is_no_traceback(tmp_path, name):
    path = save_stability(tmp_path, RESULT, 1.0, ORIGIN)
    path.write_text(DAMAGES[name](path.read_text()))
    said = stored_statement(tmp_path, USE)
    assert said.startswith("stability.json is damaged")
    assert said.endswith("Nothing is proved of this model; `attractor certify` tries.")


def test_a_rate_that_is_no_contraction_proves_nothing(tmp_path):
    path = save_stability(tmp_path, RESULT, 1.0, ORIGIN)
    path.write_text(path.read_text().replace('"rate": 0.875', '"rate": 1.5'))
    assert "certified" not in stored_statement(tmp_path, USE)


def test_what_was_found_of_one_run_is_not_put_into_the_folder_of_another(tmp_path):
    save_run(tmp_path, Run({"kind": "test", "equation": {"sha256": "e" * 64}}, {}, {}))
    with pytest.raises(RunFolderError, match=r"holds another run.*belongs to other weights"):
        save_stability(tmp_path, RESULT, 1.0, ORIGIN)
    assert not (tmp_path / FILE).exists()


def test_every_claim_names_its_inputs():
    assert claim(RESULT, 0.001).startswith("Proved for inputs within ±0.001 and starts in the certified set")
    refuted = replace(RESULT, verdict=Verdict.REFUTED, certificate=None)
    assert claim(refuted, 2).startswith("Refuted for inputs within ±2:")
    unknown = replace(refuted, verdict=Verdict.UNKNOWN, reason="No time.")
    assert claim(unknown, np.array([1.0, 0.5])).startswith("Unknown for inputs within ±(1, 0.5):")
