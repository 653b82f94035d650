"""Where the real data sets are, and how a test writes a small file."""

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[3] / "shared/data"
CONTROL_DATA = SHARED_DATA / "control"
SERIES_DATA = SHARED_DATA / "timeseries"


@pytest.fixture
def control_data() -> Path:
    """The folder with the real data sets, which lies beside the repository."""
    if not CONTROL_DATA.is_dir():
        pytest.skip("the folder shared/data/control is not beside the repository")
    return CONTROL_DATA


@pytest.fixture
def series_data() -> Path:
    """The folder with the real labelled series, which lies beside the repository."""
    if not SERIES_DATA.is_dir():
        pytest.skip("the folder shared/data/timeseries is not beside the repository")
    return SERIES_DATA


@pytest.fixture
def write(tmp_path):
    """Write a text (or bytes) to a file and return its path."""

    def writer(content, name="log.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return writer
