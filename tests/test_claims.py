"""Numbers with their errors, and solutions with their reasons, as users read them."""

import json
from enum import Enum

import pytest

from attractor.claims import Estimate, Solution
from attractor.errors import ConfigError


class Ended(Enum):
    FOUND = "a root was found"


def test_an_estimate_reads_in_two_to_six_lines_and_goes_to_json():
    found = Estimate(
        1.25, 1.2, 1.31, unit="per step", estimator="counting", samples=40, assumptions=("rain",)
    )
    assert str(found).splitlines() == [
        "1.25 per step, 95 % interval 1.2 to 1.31",
        "by counting, from 40 samples",
        "assumes rain",
    ]
    assert json.loads(json.dumps(found.to_dict()))["high"] == 1.31
    assert found.may_be(1.3)
    assert not found.may_be(1.4)


def test_what_is_unknown_is_said_with_its_reason():
    found = Estimate(None, 0.0, None, reason="more exponents are needed")
    assert str(found).splitlines() == ["unknown, 95 % interval 0 to unknown", "more exponents are needed"]
    assert found.to_dict()["value"] is None
    assert found.may_be(1e9)
    assert str(Estimate(None, None, None, reason="no attractor")) == "unknown\nno attractor"
    assert not found.may_be(-1.0)
    assert Estimate(float("-inf"), float("-inf"), 0.0).to_dict()["low"] is None


@pytest.mark.parametrize(
    ("value", "low", "high", "level"), [(2.0, 0.0, 1.0, 0.9), (0.0, 1.0, 0.0, 0.9), (0.0, 0.0, 0.0, 95.0)]
)
def test_an_estimate_that_contradicts_itself_is_refused(value, low, high, level):
    with pytest.raises(ConfigError, match="expected"):
        Estimate(value, low, high, level)


def test_a_solution_says_why_it_stopped():
    found = Solution(0.5, Ended.FOUND, 1e-13, {"evaluations": 7}, 0.25)
    assert str(found).splitlines() == [
        "a root was found",
        "value 0.5, residual 1.00e-13",
        "7 evaluations, 0.25 s",
    ]
    assert found.to_dict()["status"] == "found"
    inner = Solution(Estimate(1.0, 0.0, 2.0), Ended.FOUND, 0.0)
    assert inner.to_dict()["value"]["high"] == 2.0
