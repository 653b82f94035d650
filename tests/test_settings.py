"""Settings compare themselves with their annotations."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf, nan
from typing import Annotated, Any, Literal

import jax.numpy as jnp
import numpy as np
import pytest

from attractor.errors import ConfigError
from attractor.settings import Count, PartialShare, Positive, Seed, Settings, Within, checked


@dataclass(frozen=True)
class Inner(Settings):
    share: PartialShare = 0.5


@dataclass(frozen=True)
class Outer(Settings):
    count: Count = 1
    rate: Positive = 0.1
    seed: Seed = 0
    method: Literal["euler", "heun"] | None = "heun"
    fast: bool = True
    most: Count | Literal["all"] = "all"
    scales: tuple[Positive, ...] = (1.0,)
    pair: tuple[int, str] = (1, "a")
    limit: Annotated[float, Within(0, infinite=True), "inf for no limit"] = inf
    inner: Inner = Inner()
    build: Callable[..., Any] | None = None
    anything: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.expect(self.count <= 10 * self.rate + 10, "few or fast", "count", "rate")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"count": 0}, r"count=0: expected a whole number from 1 to 2147483647$"),
        ({"count": 2**31}, r"count=2147483648: expected a whole number from 1 to 2147483647"),
        ({"count": 2.5}, r"count=2\.5: expected a whole number"),
        ({"count": 8.0}, r"count=8\.0: .*; write 8$"),
        ({"count": "2"}, r"count='2': .*; write 2, without quotes"),
        ({"count": True}, r"count=True: expected a whole number"),
        ({"count": None}, r"count=None: expected"),
        ({"rate": 0}, r"rate=0: expected a positive number"),
        ({"rate": nan}, r"rate=nan: expected a positive number"),
        ({"rate": inf}, r"rate=inf: expected a positive number"),
        ({"rate": np.True_}, r"rate=True: expected a positive number"),
        ({"rate": 1 + 0j}, r"rate=\(1\+0j\): expected a positive number"),
        ({"seed": -1}, r"seed=-1: expected a whole number from 0 to 2147483647"),
        (
            {"method": "hune"},
            r"method='hune': expected one of 'euler', 'heun' or None; did you mean 'heun'\?",
        ),
        ({"fast": 1}, r"fast=1: expected True or False"),
        ({"most": "some"}, r"most='some': expected a whole number from 1 to 2147483647 or 'all'"),
        ({"scales": (1.0, inf)}, r"scales=\(1\.0, inf\): expected a list, each a positive number"),
        ({"scales": 1.0}, r"scales=1\.0: expected a list"),
        ({"pair": (1,)}, r"pair=\(1,\): expected 2 values"),
        ({"limit": nan}, r"limit=nan: expected a number of at least 0, inf for no limit"),
        ({"inner": 3}, r"inner=3: expected an Inner"),
        ({"inner": {"share": 1}}, r"share=1: expected a number of at least 0 and below 1"),
        ({"inner": {"shore": 1}}, r"Inner has no option 'shore'; did you mean 'share'\?"),
        ({"build": 3}, r"build=3: expected a function or class or None"),
        ({"count": 100}, r"count=100, rate=0\.1: expected few or fast"),
    ],
)
def test_a_field_that_does_not_fit_is_named_with_what_was_expected(given, message):
    with pytest.raises(ConfigError, match=message):
        Outer(**given)


def test_numbers_of_numpy_and_jax_become_plain_ones():
    made = Outer(count=np.int64(3), rate=jnp.asarray(2), scales=np.array([1, 2]), pair=[2, "b"])
    assert made == Outer(count=3, rate=2.0, scales=(1.0, 2.0), pair=(2, "b"))
    assert [type(one) for one in (made.count, made.rate, made.scales[0])] == [int, float, float]
    assert Outer(method=None, build=len).build is len


def test_tables_become_nested_settings_and_all_survive_a_copy():
    made = Outer.from_facts({"inner": {"share": 0.25}, "scales": [2]})
    assert made.inner == Inner(0.25)
    assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301 (our own bytes)
    with pytest.raises(ConfigError, match="count=-1"):
        replace(made, count=-1)
    with pytest.raises(ConfigError, match="Outer has no option 'cuont'; did you mean 'count'"):
        Outer.from_facts({"cuont": 3})


def test_an_annotation_can_be_asked_for_alone():
    assert checked("levels", tuple[int, ...], [1, 2]) == (1, 2)
    assert checked("words", str | None, None) is None
    with pytest.raises(ConfigError, match=r"level=-3: expected a whole number above -3 and at most 7"):
        checked("level", Annotated[int, Within(-3, 7, above=True)], -3)
    with pytest.raises(ConfigError, match=r"words=3: expected a text or None"):
        checked("words", str | None, 3)
    with pytest.raises(ConfigError, match=r"long='x{199}\.\.\."):
        checked("long", int, "x" * 500)
    assert type(checked("gain", Annotated[float, Within(0, infinite=True)], 2)) is float
    assert checked("gain", Annotated[float, Within(0, infinite=True)], np.float32("inf")) == float("inf")
    for none in (float("nan"), 10**400, -(10**400)):  # no float holds so many digits
        with pytest.raises(ConfigError, match=r"expected a number of at least 0"):
            checked("gain", Annotated[float, Within(0, infinite=True)], none)
