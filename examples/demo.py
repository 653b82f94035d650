"""The main job end to end: simulate, identify, certify, control, export. `make demo` runs this."""

import shutil
import subprocess
import sys
from pathlib import Path

REFERENCE = [(7.0, 60), (8.0, 60), (6.5, 60), (7.0, 120)]
"""Wished pH, and for how many samples of 10 s; half-way through the last level the buffer flow falls."""


def attractor(*words: str) -> None:
    print(f"\n$ attractor {' '.join(words)}", flush=True)
    subprocess.run([sys.executable, "-m", "attractor", *words], check=True)


def write_reference(path: Path) -> None:
    levels = [level for level, rows in REFERENCE for _ in range(rows)]
    flows = [0.55 if row < len(levels) - 60 else 0.35 for row in range(len(levels))]
    path.write_text("pH,q2\n" + "".join(f"{a},{b}\n" for a, b in zip(levels, flows, strict=True)))


def main(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    log, run, reference = (str(folder / name) for name in ("ph.csv", "ph", "reference.csv"))
    attractor("plant", "ph", "--samples", "8000", "--seed", "0", "--out", log)
    model = ("--cell", "gru", "--hidden", "8", "--certified", "--out", run)
    attractor("identify", log, "--inputs", "q3", "--outputs", "pH", *model)
    attractor("certify", run)
    write_reference(Path(reference))
    attractor("control", run, "--plant", "ph", "--reference", reference)
    attractor("export", run, "--to", "numpy", "c")
    attractor("report", run)  # it knows of the certificate now
    print(f"\nOpen report.html, certificate.html and control.html in {run} with a browser.")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))
