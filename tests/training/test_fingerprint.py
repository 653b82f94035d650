"""A training is known by everything it sees: one changed argument is another training."""

import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attractor.training.checkpoint import fingerprint
from attractor.training.losses import CrossEntropy, GeneralisedCrossEntropy


def scaled(factor, *, shift=0):
    return lambda x: factor * x + shift


class Loss:
    power = 2.0

    def __init__(self, weight):
        self.weight = weight

    def __call__(self, x):
        return self.weight * x


class OtherLoss(Loss):
    def __call__(self, x):
        return -self.weight * x


A, B = np.arange(6.0), np.arange(6.0, 9.0)
DIFFERENT = [
    A,
    A.astype(np.float32),
    A.reshape(2, 3),
    -A,
    [A, B],
    [np.concatenate([A, B])],
    [[A], B],
    [[A, B]],
    [A, B, np.zeros(0)],
    {"a": A},
    {"b": A},
    None,
    0,
    False,
    "",
    "None",
    b"",
    np.array(["a", "b"], object),
    np.array(["a", "c"], object),
    jnp.arange(6.0),
    jax.random.key(0),
    jax.random.key(1),
    scaled(2.0),
    scaled(3.0),
    scaled(2.0, shift=1),
    lambda x: 2.0 * x,
    lambda x: 2.0 + x,
    lambda x, by=2.0: by * x,
    partial(scaled(2.0), 1),
    partial(scaled(2.0), 2),
    Loss,
    OtherLoss,
    Loss(1.0),
    Loss(2.0),
    OtherLoss(1.0),
    Loss(1.0).__call__,
    CrossEntropy(),
    CrossEntropy(0.1),
    GeneralisedCrossEntropy(),
    jnp.tanh,
    jnp.sin,
    {1, 2},
    {1, 3},
]


def test_things_that_differ_have_different_fingerprints():
    # floating arrays of NumPy and of JAX are the same numbers where they have one type
    floating = [isinstance(one, jax.Array) and jnp.issubdtype(one.dtype, jnp.floating) for one in DIFFERENT]
    different = [one for one, left_out in zip(DIFFERENT, floating, strict=True) if not left_out]
    found = [fingerprint(part=part) for part in different]
    assert len(set(found)) == len(found)
    assert fingerprint(part=A.astype(np.float32)) == fingerprint(part=jnp.arange(6.0, dtype=jnp.float32))


def test_things_that_are_alike_have_equal_fingerprints():
    for one, other in (
        (scaled(2.0), scaled(2.0)),
        (Loss(1.0), Loss(1.0)),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (A[::2], A[::2].copy()),
        ((1, 2), [1, 2]),
    ):
        assert fingerprint(part=one) == fingerprint(part=other)


def test_a_circle_ends():
    circle = [1]
    circle.append(circle)
    assert fingerprint(part=circle) != fingerprint(part=[1])


PROGRAM = """
import numpy as np
from attractor.training.checkpoint import fingerprint
words = {"red", "green", "blue"}
def loss(x, names=frozenset(words)):
    return x in {"red", "green", "blue"}
print(fingerprint(loss=loss, data=[np.arange(3)], words=words))
"""


def test_another_process_finds_the_same():
    def run(seed):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    assert run("1") == run("2")


@pytest.mark.parametrize("parts", [([A], [B, A]), ([A, B], [A])])
def test_boundaries_between_parts_count(parts):
    train, check = parts
    together = fingerprint(train=[A, B, A], check=[])
    assert fingerprint(train=train, check=check) != together
    assert fingerprint(train=[A], check=[B, A]) != fingerprint(train=[A, B], check=[A])
