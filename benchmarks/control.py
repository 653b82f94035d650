"""Time of one predictive-control solve, side by side with CasADi + IPOPT and do-mpc on the same problem.

Networks identified on the simulated pH plant and randomly drawn ones that were checked to contract, all
handed to the others by `attractor.export.to_casadi`; a closed loop of 30 samples with the perfect model and a
little noise on the state, box on the input, terminal cost, every solver warm-started in its own way. All of
them solve the same problems from the same states; whole loops take turns, nine times, so that a busy machine
is equally unkind to each. The first inputs must agree to 1e-4. CPU time is given beside wall time, since on a
busy machine the latter is mostly waiting. Everything runs on one core, as a controller in real time does:
XLA hands a program of this size to another thread, and a core that has to wake up for it takes longer than
the program (`--free` lets the system choose).

    python -m benchmarks.control            all models and horizons
    python -m benchmarks.control --models "GRU 8" --horizons 20

C: the exported controller, compiled with -O3 -march=native and called from Python, the call included;
`C step` is one step of the model, from a loop in C. CasADi: multiple shooting, primal and dual warm start,
MUMPS, printing off. do-mpc: default settings with a discrete model, printing off; its time is that of
`make_step`, with the time inside IPOPT beside it.
"""

import argparse
import os
import tempfile
import time
import warnings
from functools import cache
from pathlib import Path

import casadi
import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

from attractor.cells import GRU, LSTM, Stack
from attractor.control import PHNeutralisation, PlantModel, record_experiments
from attractor.control.model import control_model, from_network
from attractor.control.predictive import (
    ControlObjective,
    ControlProblem,
    Limits,
    LocalTerminal,
    PlanSolver,
    Situation,
    SolverSettings,
    TargetFinder,
)
from attractor.export import (
    CompiledController,
    ControllerCode,
    ControllerStatus,
    casadi_expressions,
    flat_step,
    to_casadi,
)
from attractor.training import TrainingSettings
from benchmarks.recording import record

from .export import microseconds

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import do_mpc

SAMPLES, NOISE, ROUNDS = 30, 1e-3, 9
OBJECTIVE = ControlObjective(output_weight=1.0, input_weight=0.05, move_weight=0.1)
LIMITS = Limits(-0.9, 0.9)
TOLERANCE = 1e-8


def calmed(cell, factor):
    return jax.tree.map(lambda leaf: factor * leaf if isinstance(leaf, jax.Array) else leaf, cell)


def draw(name):
    """A model with one input and one output that forgets its start; 1.6 of input give 2 of output."""
    key, generator = jax.random.key(7), np.random.default_rng(7)
    cells = {
        "GRU 8": lambda: GRU(1, 8, timescales=(2.0, 12.0), key=key),
        "GRU 8+8": lambda: Stack((
            GRU(1, 8, timescales=(2.0, 6.0), key=key),
            GRU(8, 8, timescales=(2.0, 6.0), key=jax.random.key(8)),
        )),
        "LSTM 4 (8 states)": lambda: LSTM(1, 4, timescales=(2.0, 8.0), key=key),
        "LSTM 10 (20 states)": lambda: LSTM(1, 10, timescales=(2.0, 8.0), key=key),
    }
    cell = calmed(cells[name](), 0.8)
    size = {"GRU 8": 8, "GRU 8+8": 8, "LSTM 4 (8 states)": 4, "LSTM 10 (20 states)": 10}[name]
    everything = from_network(cell, np.eye(size), np.zeros(size))
    check_contraction(everything, generator)
    finder = TargetFinder(everything, ControlProblem(limits=LIMITS))
    rise = finder.rest(np.array([0.8])).output - finder.rest(np.array([-0.8])).output
    # Every unit adds to the gain, as in an identified plant; with random signs the gain is a small difference
    # of large numbers, and the plans then have several local optima, on which solvers need not agree.
    reading = np.sign(rise) * np.abs(generator.standard_normal(size))
    return from_network(cell, 2.0 * reading[None] / (reading @ rise), [0.0])


@cache
def make(name):
    """A drawn model, or one that was identified on the simulated pH plant in 1500 steps."""
    if not name.endswith("identified"):
        return draw(name)
    record = record_experiments(PHNeutralisation(), 6000)
    options = {"washout": 20, "feedthrough": False, "training": TrainingSettings(steps=1500)}
    fitted = PlantModel(cell=name.split()[0].lower(), hidden_size=8, **options).fit(
        record.with_experiments(record.experiments[:1]),
        validation=record.with_experiments(record.experiments[1:2]),
    )
    print(f"{name}: FIT {fitted.evaluate(record.experiments[2]).mean_fit:.1f} % on unseen data")
    return control_model(fitted)[0]


def check_contraction(model, generator):
    """Pairs of trajectories under the same random inputs must meet."""
    with jax.enable_x64(True):
        pairs = jnp.asarray(generator.uniform(-1, 1, (64, 2, model.state_size)))
        inputs = jnp.asarray(generator.uniform(-1, 1, (64, 300, 1)))

        def run(pair, inputs):
            ahead = jax.vmap(model.step, in_axes=(0, None))
            last, _ = jax.lax.scan(lambda pair, given: (ahead(pair, given), None), pair, inputs)
            return jnp.abs(last[0] - last[1]).max()

        worst = float(jax.jit(jax.vmap(run))(pairs, inputs).max())
    if worst > 1e-6:
        raise RuntimeError(
            f"this draw does not contract: two trajectories are still {worst} apart after 300 samples"
        )


def symbolic(model):
    """CasADi functions of the model: (x, u) -> x' and x -> y."""
    both = to_casadi(model.network)
    state, given = casadi.SX.sym("x", model.state_size), casadi.SX.sym("u", model.input_size)
    [output] = casadi_expressions(flat_step(model.network).output, [state])
    step = casadi.Function("step", [state, given], [both(given, state)[0]])
    return step, casadi.Function("output", [state], [output])


class MultipleShooting:
    """The way CasADi's own examples do it, with everything warm-started."""

    def __init__(self, model, horizon):
        step, output = symbolic(model)
        states = model.state_size
        x, u = casadi.MX.sym("X", states, horizon + 1), casadi.MX.sym("U", 1, horizon)
        start, last = casadi.MX.sym("x0", states), casadi.MX.sym("u_", 1)
        wish, target = casadi.MX.sym("r", horizon), casadi.MX.sym("xr", states)
        terminal = casadi.MX.sym("P", states, states)
        target_input = casadi.MX.sym("ur", 1)
        cost, gaps = 0, [x[:, 0] - start]
        for k in range(horizon):
            gaps.append(x[:, k + 1] - step(x[:, k], u[:, k]))
            cost += OBJECTIVE.output_weight * (output(x[:, k + 1]) - wish[k]) ** 2
            cost += OBJECTIVE.input_weight * (u[:, k] - target_input) ** 2
            cost += OBJECTIVE.move_weight * (u[:, k] - (u[:, k - 1] if k else last)) ** 2
        away = x[:, horizon] - target
        cost += casadi.bilin(terminal, away, away)
        variables = casadi.veccat(x, u)
        parameters = casadi.veccat(start, last, wish, target, target_input, terminal)
        options = {
            "print_time": False,
            "expand": True,
            "ipopt": {
                "print_level": 0,
                "sb": "yes",
                "tol": TOLERANCE,
                "linear_solver": "mumps",
                "warm_start_init_point": "yes",
                "warm_start_bound_push": 1e-6,
                "warm_start_mult_bound_push": 1e-6,
                "mu_init": 1e-4,
            },
        }
        problem = {"x": variables, "f": cost, "g": casadi.veccat(*gaps), "p": parameters}
        self.solver = casadi.nlpsol("solver", "ipopt", problem, options)
        self.states, self.horizon = states, horizon
        self.low = np.concatenate([np.full(states * (horizon + 1), -np.inf), np.full(horizon, -0.9)])
        self.restart()

    def restart(self):
        """Forget the last solution."""
        self.memory = None

    def shift(self, values, rows):
        """One sample on, the last row twice."""
        table = np.asarray(values).reshape(-1, rows)
        return np.concatenate([table[1:], table[-1:]]).ravel()

    def solve(self, here):
        """The first input."""
        parameters = np.concatenate([
            here.state,
            here.last_input,
            here.references[:, 0],
            here.target_state,
            here.target_input,
            here.terminal.ravel(),
        ])
        warm = self.memory or {
            "x0": np.concatenate([np.tile(here.state, self.horizon + 1), np.zeros(self.horizon)])
        }
        found = self.solver(p=parameters, lbx=self.low, ubx=-self.low, lbg=0, ubg=0, **warm)
        split = self.states * (self.horizon + 1)
        best, price, duals = (np.array(found[name]).ravel() for name in ("x", "lam_x", "lam_g"))
        self.memory = {
            "x0": np.concatenate([self.shift(best[:split], self.states), self.shift(best[split:], 1)]),
            "lam_x0": np.concatenate([self.shift(price[:split], self.states), self.shift(price[split:], 1)]),
            "lam_g0": self.shift(duals, self.states),
        }
        return best[split]


class DoMPC:
    """do-mpc as its documentation sets it up, for a discrete model."""

    def __init__(self, model, horizon):
        step, output = symbolic(model)
        states = model.state_size
        plant = do_mpc.model.Model("discrete", "SX")
        x, u = plant.set_variable("_x", "x", (states, 1)), plant.set_variable("_u", "u")
        wish, target = plant.set_variable("_tvp", "r"), plant.set_variable("_tvp", "xr", (states, 1))
        target_input = plant.set_variable("_tvp", "ur")
        terminal = plant.set_variable("_tvp", "P", (states, states))
        plant.set_rhs("x", step(x, u))
        plant.setup()
        self.mpc = mpc = do_mpc.controller.MPC(plant)
        mpc.settings.n_horizon, mpc.settings.t_step = horizon, 1.0
        mpc.settings.nlpsol_opts = {"ipopt.tol": TOLERANCE, "record_time": True}
        mpc.settings.supress_ipopt_output()
        error = OBJECTIVE.output_weight * (output(x) - wish) ** 2
        last = error + casadi.bilin(terminal, x - target, x - target)
        mpc.set_objective(mterm=last, lterm=error + OBJECTIVE.input_weight * (u - target_input) ** 2)
        mpc.set_rterm(u=OBJECTIVE.move_weight)
        mpc.bounds["lower", "_u", "u"], mpc.bounds["upper", "_u", "u"] = -0.9, 0.9
        self.values = mpc.get_tvp_template()
        mpc.set_tvp_fun(lambda now: self.values)
        mpc.setup()
        self.restart()

    def restart(self):
        """Begin with do-mpc's own initial guess."""
        self.started = False

    def solve(self, here):
        """The first input."""
        for name, value in (
            ("r", here.references[0]),
            ("xr", here.target_state),
            ("ur", here.target_input),
            ("P", here.terminal),
        ):
            self.values["_tvp", :, name] = value
        self.mpc.u0 = here.last_input
        if not self.started:
            self.mpc.x0 = here.state
            self.mpc.set_initial_guess()
            self.started = True
        given = self.mpc.make_step(here.state)
        self.inside = self.mpc.solver_stats["t_wall_total"]
        return given.ravel()


class Ours:
    """The solver of this library."""

    def __init__(self, model, horizon, settings):
        self.solver = PlanSolver(model, ControlProblem(horizon, OBJECTIVE, LIMITS), settings)

    def restart(self):
        """Forget the last plan."""
        self.solver.reset()

    def solve(self, here):
        """The first input."""
        self.last = self.solver.solve(here)
        return self.last.input


class Exported:
    """The same problem as one C file, carried to convergence."""

    def __init__(self, model, horizon, terminal, folder):
        unit = np.eye(1)
        code = ControllerCode(
            model.step,
            model.output,
            horizon,
            OBJECTIVE.output_weight * unit,
            OBJECTIVE.input_weight * unit,
            OBJECTIVE.move_weight * unit,
            terminal,
            np.array([LIMITS.input_low]),
            np.array([LIMITS.input_high]),
            iterations=30,
            tolerance=SolverSettings().tolerance,
        )
        self.controller = CompiledController(code, folder)
        self.restart()

    def restart(self):
        """Forget the last plan."""
        self.plan = None

    def solve(self, here):
        """The first input."""
        answer = self.controller(
            here.state,
            here.references[0],
            previous=here.last_input,
            plan=self.plan,
            input_target=here.target_input,
            state_target=here.target_state,
        )
        if answer.status is not ControllerStatus.CONVERGED:
            raise RuntimeError(f"the controller in C ended with {answer.status}")
        self.plan = answer.plan
        return answer.now


def situations(model, horizon):
    """A list of what every solver is asked: the closed loop, driven by a fully converged solver of ours."""
    problem = ControlProblem(horizon, OBJECTIVE, LIMITS)
    finder, generator = TargetFinder(model, problem), np.random.default_rng(0)
    targets = [finder.find(np.array([wish]), np.zeros(1)).rest for wish in (0.6, -0.5, 0.2)]
    middle = finder.rest(np.zeros(1))
    # One terminal cost for all targets, since in the C file it is a constant.
    terminal = LocalTerminal().at(middle.jacobian, middle.reading, np.ones(1)).matrix
    exact = PlanSolver(model, problem, SolverSettings(tolerance=1e-9))
    state, last = middle.state, np.zeros(1)
    ahead = jax.jit(lambda state, given: model.step(state, given))
    asked = []
    for sample in range(SAMPLES):
        target = targets[sample * len(targets) // SAMPLES]
        estimate = state + NOISE * generator.standard_normal(len(state))
        references = np.tile(target.output, (horizon, 1))
        here = Situation(estimate, last, references, target.state, target.input, np.zeros(1), terminal)
        last = exact.solve(here).input
        asked.append(here)
        with jax.enable_x64(True):
            state = np.asarray(ahead(state, last))
    return asked


def compare(name, horizon):
    """Medians in ms, ratios, and the largest differences of the first input."""
    with tempfile.TemporaryDirectory() as folder:
        return compare_in(Path(folder), name, horizon)


def compare_in(folder, name, horizon):
    model = make(name)
    asked = situations(model, horizon)
    solvers = {
        "ours": Ours(model, horizon, SolverSettings()),
        "ours, real time": Ours(model, horizon, SolverSettings(iterations=1)),
        "C": Exported(model, horizon, asked[0].terminal, folder),
        "CasADi + IPOPT": MultipleShooting(model, horizon),
        "do-mpc": DoMPC(model, horizon),
    }
    for key in ("ours", "ours, real time"):
        solvers[key].solver.compile(asked[0])
    answers = [solvers["CasADi + IPOPT"].solve(here) for here in asked]
    times = {key: [] for key in (*solvers, "do-mpc, inside IPOPT")}
    work, gaps = {key: [] for key in solvers}, dict.fromkeys(solvers, 0.0)
    iterations = []
    for _ in range(ROUNDS):
        for key, solver in solvers.items():
            solver.restart()
            for sample, here in enumerate(asked):
                begin, busy = time.perf_counter(), time.process_time()
                found = solver.solve(here)
                spent = time.perf_counter() - begin, time.process_time() - busy
                gaps[key] = max(gaps[key], float(np.abs(found - answers[sample]).max()))
                if not sample:
                    continue  # a cold start for everybody
                times[key].append(1e3 * spent[0])
                work[key].append(1e3 * spent[1])
                if key == "do-mpc":
                    times["do-mpc, inside IPOPT"].append(1e3 * solver.inside)
                if key == "ours":
                    iterations.append(solver.last.iterations)
    medians = {key: float(np.median(values)) for key, values in times.items()}
    cpu = {key: float(np.median(values)) for key, values in work.items()}
    disagree = {key: gap for key, gap in gaps.items() if gap > 1e-4 and key != "ours, real time"}
    if disagree:
        raise RuntimeError(f"{name}, N={horizon}: first inputs differ from those of IPOPT: {disagree}")
    return {
        "model": name,
        "horizon": horizon,
        "median_ms": medians,
        "p99_ms": {key: float(np.quantile(values, 0.99)) for key, values in times.items()},
        "median_cpu_ms": cpu,
        "ratio": {key: medians["ours"] / value for key, value in medians.items()},
        "cpu_ratio": {key: cpu["ours"] / value for key, value in cpu.items()},
        "c_ratio": {key: medians["C"] / value for key, value in medians.items()},
        "c_step_us": step_microseconds(model),
        "largest_gap": gaps,
        "median_iterations": float(np.median(iterations)),
    }


def step_microseconds(model):
    """One step of the model in C."""
    with jax.enable_x64(True):
        return microseconds(model.step, model.state_size, "next", ("-O3", "-march=native"))


MODELS = (
    "GRU 8, identified",
    "LSTM 8, identified",
    "GRU 8",
    "GRU 8+8",
    "LSTM 4 (8 states)",
    "LSTM 10 (20 states)",
)


def row_of(one):
    """One line of the table."""
    median = one["median_ms"]

    def shares(ratios):
        return ", ".join(f"1/{1 / ratios[key]:.1f}" for key in ("CasADi + IPOPT", "do-mpc"))

    return (
        one["model"],
        str(one["horizon"]),
        f"{median['ours']:.2f}",
        f"{one['median_iterations']:.0f}",
        f"{median['ours, real time']:.2f}",
        f"{median['C']:.3f}",
        f"{one['c_step_us']:.2f}",
        f"{median['CasADi + IPOPT']:.2f}",
        f"{median['do-mpc']:.2f} ({median['do-mpc, inside IPOPT']:.2f})",
        shares(one["ratio"]),
        shares(one["cpu_ratio"]),
        shares(one["c_ratio"]),
        " ".join(f"{gap:.0e}" for gap in one["largest_gap"].values()),
    )


def main():
    """Print a table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", nargs="*", default=MODELS, choices=MODELS)
    parser.add_argument("--horizons", nargs="*", type=int, default=[10, 20, 30])
    parser.add_argument("--free", action="store_true", help="do not bind the process to one core")
    asked = parser.parse_args()
    if not asked.free and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # before JAX makes its threads
    grid = Table(
        "model",
        "N",
        "ours ms",
        "steps",
        "real time ms",
        "C ms",
        "C step us",
        "CasADi ms",
        "do-mpc ms (in IPOPT)",
        "ours / CasADi, do-mpc",
        "the same, CPU time",
        "C / CasADi, do-mpc",
        "largest gap: ours, RTI, C, CasADi, do-mpc",
    )
    results = []
    for name in asked.models:
        for horizon in asked.horizons:
            one = compare(name, horizon)
            one["load"], one["one_core"] = os.getloadavg()[0], not asked.free
            results.append(one)
            grid.add_row(*row_of(one))
            record("control", grid, results)
    Console(width=190).print(grid)


if __name__ == "__main__":
    main()
