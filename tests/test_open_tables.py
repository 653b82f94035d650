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
    with pytest.raises(ConfigError, match="colour 'red' is registered already by one; choose another name"):
        table.register("red", 3)
    table.register("blue", 1)
    with pytest.raises(ConfigError, match="colour 'blue' is registered already; choose"):
        table.register("blue", 2)
    assert dict(table) == {"red": 2, "blue": 1}


def test_a_module_of_the_house_that_fails_leaves_no_table_with_holes(tmp_path, monkeypatch):
    folder = tmp_path / "house_with_a_hole"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "__main__.py").write_text("raise SystemExit('a program, no module')\n")
    (folder / "torn.py").write_text("import no_such_module\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    table = Registry[str, int]("colour", "attractor.test_none", "house_with_a_hole")
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="no_such_module"):
            list(table)
    (folder / "torn.py").write_text("")
    assert list(table) == []


def test_keys_may_be_classes():
    table = Registry[type, str]("condition", "attractor.test_none")
    table.register(types.SimpleNamespace, "simple", source="here")
    assert table.find(types.SimpleNamespace) == "simple"
