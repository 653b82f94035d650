"""Exported C on this machine: one step, a step with its Jacobians, and the predictive controller.

The model is a GRU with random weights and one input; `step` and `step + Jacobians` are a million calls from a
loop in C. The controller runs in closed loop on its own model with a little noise on the state, a new target
every 30 samples, and starts each call from its last plan. Each call is made three times and the shortest
counts, since other work on the machine only adds time; the call from Python is in it.

    python -m benchmarks.export --units 8 --horizon 20
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

import jax
import jax.numpy as jnp
import numpy as np

from attractor.cells import GRU
from attractor.export import CompiledController, ControllerCode
from attractor.export.c.c_controller import step_with_jacobians
from attractor.export.c.c_step import c_prelude, compile_c, to_c_function
from attractor.program import in_double_precision, trace

OPTIONS = {"-O2": ("-O2",), "-O3 -march=native": ("-O3", "-march=native")}
CALLS = 1_000_000
SAMPLES = 240

LOOP = """
#include <stdio.h>
#include <time.h>
int main(void) {
  static double x[UNITS], u[1], next[UNITS], by_x[UNITS * UNITS], by_u[UNITS];
  double sum = 0;
  const clock_t start = clock();
  for (int k = 0; k < CALLS; ++k) {
    u[0] = 0.3 * (k % 7) - 1;
    timed(x, u, RESULTS);
    for (int i = 0; i < UNITS; ++i) x[i] = next[i];
    sum += next[0] + by_x[1] + by_u[0];
  }
  printf("%g %g\\n", (double)(clock() - start) / CLOCKS_PER_SEC / CALLS * 1e6, sum);
}
"""


def model(units, seed):
    """A GRU and a read-out in float64: x' = f(x, u), y = g(x)."""
    cell = in_double_precision(GRU(1, units, key=jax.random.key(seed)))
    sensor = jnp.asarray(np.random.default_rng(seed).normal(size=(1, units)))
    return (lambda state, given: cell(2 * given, state)), (lambda state: sensor @ state)


def microseconds(function, units, results, options):
    """One call of a function of (x, u) in C."""
    program = trace(function, jnp.zeros(units), jnp.zeros(1))
    loop = LOOP.replace("UNITS", str(units)).replace("CALLS", str(CALLS)).replace("RESULTS", results)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "timed.c"
        path.write_text(c_prelude() + to_c_function(program, "timed", storage="static").code + loop)
        binary = compile_c(path, options=options, shared=False)
        runs = [subprocess.run([binary], capture_output=True, text=True, check=True) for _ in range(3)]
    return min(float(run.stdout.split()[0]) for run in runs)


def closed_loop(units, horizon, seed, options):
    """Microseconds and iterations of every call."""
    step, output = model(units, seed)
    unit = np.eye(1)
    code = ControllerCode(
        step, output, horizon, unit, 0.01 * unit, 0.1 * unit, 0.1 * np.eye(units), -unit[0], unit[0]
    )
    numbers, advance = np.random.default_rng(0), jax.jit(step)
    state, previous, plan, rows = np.zeros(units), np.zeros(1), None, []
    with tempfile.TemporaryDirectory() as folder:
        controller = CompiledController(code, pathlib.Path(folder), options=options)
        for sample in range(SAMPLES):
            if sample % 30 == 0:
                target = numbers.uniform(-1.5, 1.5, 1)
            answers = [controller(state, target, previous=previous, plan=plan) for _ in range(3)]
            answer = min(answers, key=lambda answer: answer.seconds)
            rows.append((
                answer.seconds * 1e6,
                answer.iterations,
                answer.changes,
                answer.status.name == "CONVERGED",
            ))
            previous, plan = answer.now, answer.plan
            state = np.asarray(advance(state, previous)) + 0.002 * numbers.normal(size=units)
    times, iterations, changes, converged = np.array(rows).T
    return {
        "median_us": float(np.median(times)),
        "p99_us": float(np.quantile(times, 0.99)),
        "mean_iterations": float(iterations.mean()),
        "mean_changes_of_limits": float(changes.mean()),
        "most_iterations": int(iterations.max()),
        "converged_share": float(converged.mean()),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, default=8)
    parser.add_argument("--horizon", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    found = {}
    with jax.enable_x64(True):
        step, _ = model(arguments.units, 0)
        for name, options in OPTIONS.items():
            found[name] = {
                "step_us": microseconds(step, arguments.units, "next", options),
                "step_and_jacobians_us": microseconds(
                    step_with_jacobians(step), arguments.units, "next, by_x, by_u", options
                ),
                "controller": [
                    closed_loop(arguments.units, arguments.horizon, seed, options)
                    for seed in range(arguments.seeds)
                ],
            }
    print(json.dumps({"units": arguments.units, "horizon": arguments.horizon, **found}, indent=2))


if __name__ == "__main__":
    main()
