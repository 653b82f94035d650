"""The main job end to end: simulate a plant, identify it, write the report. `make demo` runs this."""

import shutil
import subprocess
import sys
from pathlib import Path


def attractor(*words: str) -> None:
    print(f"\n$ attractor {' '.join(words)}", flush=True)
    subprocess.run([sys.executable, "-m", "attractor.cli", *words], check=True)


def main(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    log, run = str(folder / "ph.csv"), str(folder / "ph")
    attractor("plant", "ph", "--samples", "8000", "--seed", "0", "--out", log)
    model = ("--cell", "gru", "--hidden", "8", "--out", run)
    attractor("identify", log, "--inputs", "q3", "--outputs", "pH", *model)
    attractor("predict", run, log, "--out", str(folder / "predicted.csv"))
    print(f"\nOpen {folder / 'ph' / 'report.html'} in a browser.")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))
