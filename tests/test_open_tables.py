"""Tables to which other files and packages add their lines."""

import sys
import types

import pytest

from attractor.errors import ConfigError
from attractor.registry import Registry


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package of two modules that register themselves, and the entry points of two others."""
    folder = tmp_path / "house_of_tests"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from attractor.registry import Registry\n"
        "T = Registry('colour', 'attractor.test_colours', __name__)\n"
    )
    (folder / "red.py").write_text("from house_of_tests import T\nT.register('red', 1, source=__name__)\n")
    (folder / "blue.py").write_text("from house_of_tests import T\nT.register('blue', 2, source=__name__)\n")
    (tmp_path / "stranger.py").write_text("from house_of_tests import T\nT.register('green', 3)\n")
    (tmp_path / "broken.py").write_text("raise RuntimeError('no such thing')\n")
    metadata = tmp_path / "stranger-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[attractor.test_colours]\ngreen = stranger\nbroken = broken\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in list(sys.modules):
        if name.split(".")[0] in {"house_of_tests", "stranger", "broken"}:
            del sys.modules[name]


def test_files_and_other_packages_add_their_lines_and_a_broken_one_is_told(package):
    from house_of_tests import T

    assert "house_of_tests.red" not in sys.modules, "nothing is imported before the table is read"
    with pytest.warns(
        UserWarning, match=r"'broken' of stranger \(broken\) could not be loaded.*no such thing"
    ):
        assert dict(T) == {"red": 1, "blue": 2, "green": 3}
    assert T.find("green") == 3


def test_an_unknown_name_gets_the_nearest_one():
    table = Registry[str, int]("colour", "attractor.test_none")
    table.register("red", 1)
    with pytest.raises(ConfigError, match=r"unknown colour 'rad'; did you mean 'red'\? Known: red"):
        table.find("rad")
    with pytest.raises(KeyError):
        table["rad"]


def test_a_name_belongs_to_one_module():
    table = Registry[str, int]("colour", "attractor.test_none")
    table.register("red", 1, source="one")
    assert table.register("red", 2, source="one") == 2, "a module that is imported anew replaces its own"
    with pytest.raises(ConfigError, match="colour 'red' of two is registered already by one"):
        table.register("red", 3, source="two")


def test_keys_may_be_classes():
    table = Registry[type, str]("condition", "attractor.test_none")
    table.register(types.SimpleNamespace, "simple", source="here")
    assert table.find(types.SimpleNamespace) == "simple"
