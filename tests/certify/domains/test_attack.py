"""Five hundred random programs against the rules of the bounds, and whether they would find a false rule.

They run in a process of their own: it takes NumPy for JAX while the rules run, and checks no types.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1]


def attacked(first, count, *faults):
    source = HERE.parents[1] / "src"
    return json.loads(
        subprocess.run(
            [sys.executable, "attack.py", str(first), str(count), *faults],
            cwd=HERE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(source), str(HERE)])},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )


def test_five_hundred_random_programs_find_no_false_claim():
    found = attacked(0, 500)
    assert not found["violations"]
    values, slopes = found["claimed"]
    assert values > 1000  # most programs have bounds, and those are what is attacked
    assert slopes > 3000


FAULTS = {"sine is zero only at zero": 110, "casts are nothing": 50, "steps are flat": 33}


@pytest.mark.parametrize(
    ("fault", "first"),
    [
        pytest.param(*one, marks=[pytest.mark.slow] * (one[0] != "casts are nothing"))
        for one in FAULTS.items()
    ],
)
def test_the_attack_finds_a_false_rule(fault, first):
    assert attacked(first, 24, fault)["violations"]


TANGLED = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (8 * 2**30,) * 2)
from attack import STATES, random_program
from attractor.certify import CertifySettings, certify
from written import Written
program = random_program(1_001_456)
cell = Written(lambda u, x: 0.5 * program(u, x), STATES)
print(certify(cell, settings=CertifySettings(levels=(1, 2), refute=False)).verdict.name)
"""


@pytest.mark.slow
def test_choices_inside_choices_are_compiled_in_a_bounded_space():
    """Four of them, one inside another, took more than 20 GB to compile."""
    source = HERE.parents[1] / "src"
    done = subprocess.run(
        [sys.executable, "-c", TANGLED],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(source), str(HERE)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["UNKNOWN"], done.stderr[-500:]
