"""Packages of other people, installed for one test."""

import sys

import pytest


@pytest.fixture
def install(tmp_path, monkeypatch):
    """`install(table, name, source)`: a package of one module, which the entry points of a table name."""
    names = []

    def installed(table, name, source):
        names.append(name)
        before = dict(table)
        (tmp_path / f"{name}.py").write_text(source)
        metadata = tmp_path / f"{name}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[{table.group}]\n{name} = {name}\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setattr(table, "_entries", before)  # after this test it is what it was
        monkeypatch.setattr(table, "_sources", dict(table._sources))
        monkeypatch.setattr(table, "_complete", False)

    yield installed
    for name in names:
        sys.modules.pop(name, None)
