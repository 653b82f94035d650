"""Many control samples in one process: memory must not grow, and no sample may fail.

    python -m benchmarks.control_endurance --samples 1000000

Real-time iterations of a GRU of 8 units with changing references, now and then a measurement that is not a
number. Prints resident memory and the rate every tenth of the way.
"""

import argparse
import os
import time
from collections import Counter
from pathlib import Path

import jax
import numpy as np
from rich.console import Console

from attractor.cells import GRU
from attractor.control.identification.recordings import Signals
from attractor.control.model import ModelCard, from_network
from attractor.control.predictive import ControllerSettings, PredictiveController, SolverSettings
from attractor.data import Scaling, Signal


def resident():
    """Resident memory now, MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def main():
    """Run and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--iterations", type=int, default=1)
    asked = parser.parse_args()
    reading = np.random.default_rng(0).standard_normal((1, 8))
    model = from_network(GRU(1, 8, key=jax.random.key(0)), reading, [0.0])
    unit = Scaling(np.zeros(1), np.ones(1))
    card = ModelCard(Signals((Signal("u"),), (Signal("y"),), 1.0), unit, unit)
    options = ControllerSettings(solver=SolverSettings(iterations=asked.iterations))
    controller = PredictiveController(model, card, settings=options)
    generator, console, statuses = np.random.default_rng(1), Console(), Counter()
    begin, reference, slowest = time.perf_counter(), np.zeros(1), 0.0
    for sample in range(asked.samples):
        if sample % 50 == 0:
            reference = generator.uniform(-0.3, 0.3, 1)
        measured = reference + 0.01 * generator.standard_normal(1)
        decision = controller.act(np.array([np.nan]) if sample % 997 == 996 else measured, reference)
        statuses[decision.status.name] += 1
        slowest = max(slowest, decision.seconds)
        if not (np.isfinite(decision.input).all() and np.abs(decision.input).max() <= 1):
            raise RuntimeError(f"sample {sample}: the input {decision.input} cannot be applied")
        if (sample + 1) % max(asked.samples // 10, 1) == 0:
            rate = (sample + 1) / (time.perf_counter() - begin)
            console.print(
                f"{sample + 1} samples, {rate:.0f}/s, {resident():.1f} MiB, slowest {slowest:.3f} s"
            )
    console.print(dict(statuses))


if __name__ == "__main__":
    main()
