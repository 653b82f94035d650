"""A writer that is killed at any file event leaves the old files, the new ones, or an unfinished folder."""

import json
import subprocess
import sys
from pathlib import Path

from attractor import files


def test_every_file_event_of_a_writer_may_be_its_last(tmp_path):
    script = Path(__file__).with_name("killed_writers.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path(files.__file__).parents[1])},
    )
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    assert counts["run"] >= 20
    assert min(counts.values()) >= 6
