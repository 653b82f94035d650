"""Time of one predictive-control solve, side by side with CasADi + IPOPT and do-mpc on the same problem.

Randomly drawn recurrent models that were checked to contract, a closed loop of 30 samples with the perfect
model and a little noise on the state, box on the input, terminal cost, every solver warm-started in its own
way. All of them solve the same problems from the same states; whole loops take turns, three times, so that a
busy machine is equally unkind to each. The first inputs must agree to 1e-4. CPU time is given beside wall
time, since on a busy machine the latter is mostly waiting.

    python -m benchmarks.control            all models and horizons
    python -m benchmarks.control --models "GRU 8" --horizons 20

CasADi: multiple shooting, primal and dual warm start, MUMPS, printing off. do-mpc: default settings with a
discrete model, printing off; its time is that of `make_step`, with the time inside IPOPT beside it.
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import casadi
import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

from attractor.cells import GRU, LSTM, Stack
from attractor.control.model import from_network
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

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import do_mpc

SAMPLES, NOISE, ROUNDS = 30, 1e-3, 3
OBJECTIVE = ControlObjective(output_weight=1.0, input_weight=0.05, move_weight=0.1)
LIMITS = Limits(-0.9, 0.9)
TOLERANCE = 1e-8
RESULTS = Path(__file__).parent / "results" / "control.json"


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
        message = f"this draw does not contract: two trajectories are still {worst} apart after 300 samples"
        raise RuntimeError(message)


def matrix(values):
    return casadi.DM(np.asarray(values, float))


def sigmoid(value):
    return 1 / (1 + casadi.exp(-value))


def one_cell(cell, given, state):
    """One step by hand on CasADi expressions; returns the flat state and what is exposed."""
    size = cell.hidden_size
    weight, bias = matrix(cell.input_weight), matrix(cell.bias)
    driven = weight @ given + bias
    if isinstance(cell, GRU):
        gates = sigmoid(driven[: 2 * size] + matrix(cell.gate_weight) @ state)
        keep, reset = gates[:size], gates[size:]
        candidate = casadi.tanh(driven[2 * size :] + matrix(cell.candidate_weight) @ (reset * state))
        after = keep * state + (1 - keep) * candidate
        return after, after
    hidden, memory = state[:size], state[size:]
    driven = driven + matrix(cell.state_weight) @ hidden
    write, keep, candidate, show = (driven[i * size : (i + 1) * size] for i in range(4))
    memory = sigmoid(keep) * memory + sigmoid(write) * casadi.tanh(candidate)
    hidden = sigmoid(show) * casadi.tanh(memory)
    return casadi.vertcat(hidden, memory), hidden


def symbolic(model):
    """CasADi functions of the model: (x, u) -> x' and x -> y."""
    cell = model.network.cell
    cells = cell.cells if isinstance(cell, Stack) else (cell,)
    state, given = casadi.SX.sym("x", model.state_size), casadi.SX.sym("u", 1)
    parts, seen, start = [], given, 0
    for one in cells:
        size = one.hidden_size * (1 if isinstance(one, GRU) else 2)
        after, seen = one_cell(one, seen, state[start : start + size])
        parts.append(after)
        start += size
    shown = state[state.shape[0] - size :][: cells[-1].hidden_size]
    readout = model.network.readout
    output = matrix(readout.weight) @ shown + matrix(readout.bias)
    step = casadi.Function("step", [state, given], [casadi.vertcat(*parts)])
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


def situations(model, horizon):
    """A list of what every solver is asked: the closed loop, driven by a fully converged solver of ours."""
    problem = ControlProblem(horizon, OBJECTIVE, LIMITS)
    finder, generator = TargetFinder(model, problem), np.random.default_rng(0)
    targets = [finder.find(np.array([wish]), np.zeros(1)).rest for wish in (0.6, -0.5, 0.2)]
    middle, rule = finder.rest(np.zeros(1)), LocalTerminal()
    exact = PlanSolver(model, problem, SolverSettings(tolerance=1e-9))
    state, last = middle.state, np.zeros(1)
    ahead = jax.jit(lambda state, given: model.step(state, given))
    asked = []
    for sample in range(SAMPLES):
        target = targets[sample * len(targets) // SAMPLES]
        estimate = state + NOISE * generator.standard_normal(len(state))
        references = np.tile(target.output, (horizon, 1))
        terminal = rule.at(target.jacobian, target.reading, np.ones(1)).matrix
        here = Situation(estimate, last, references, target.state, target.input, np.zeros(1), terminal)
        last = exact.solve(here).input
        asked.append(here)
        with jax.enable_x64(True):
            state = np.asarray(ahead(state, last))
    return asked


def compare(name, horizon):
    """Medians in ms, ratios, and the largest differences of the first input."""
    model = draw(name)
    asked = situations(model, horizon)
    solvers = {
        "ours": Ours(model, horizon, SolverSettings()),
        "ours, real time": Ours(model, horizon, SolverSettings(iterations=1)),
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
        message = f"{name}, N={horizon}: first inputs differ from those of IPOPT: {disagree}"
        raise RuntimeError(message)
    return {
        "model": name,
        "horizon": horizon,
        "median_ms": medians,
        "p99_ms": {key: float(np.quantile(values, 0.99)) for key, values in times.items()},
        "median_cpu_ms": cpu,
        "ratio": {key: medians["ours"] / value for key, value in medians.items()},
        "cpu_ratio": {key: cpu["ours"] / value for key, value in cpu.items()},
        "largest_gap": gaps,
        "median_iterations": float(np.median(iterations)),
    }


MODELS = ("GRU 8", "GRU 8+8", "LSTM 4 (8 states)", "LSTM 10 (20 states)")


def main():
    """Print a table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", nargs="*", default=MODELS, choices=MODELS)
    parser.add_argument("--horizons", nargs="*", type=int, default=[10, 20, 30])
    asked = parser.parse_args()
    grid = Table(
        "model",
        "N",
        "ours ms",
        "steps",
        "real time ms",
        "CasADi ms",
        "do-mpc ms (in IPOPT)",
        "ours / CasADi",
        "ours / do-mpc",
        "the same, CPU time",
        "largest gap: ours, RTI, CasADi, do-mpc",
    )
    results = []
    for name in asked.models:
        for horizon in asked.horizons:
            one = compare(name, horizon)
            results.append(one)
            median, ratio, busy = one["median_ms"], one["ratio"], one["cpu_ratio"]
            grid.add_row(
                name,
                str(horizon),
                f"{median['ours']:.2f}",
                f"{one['median_iterations']:.0f}",
                f"{median['ours, real time']:.2f}",
                f"{median['CasADi + IPOPT']:.2f}",
                f"{median['do-mpc']:.2f} ({median['do-mpc, inside IPOPT']:.2f})",
                f"1/{1 / ratio['CasADi + IPOPT']:.1f}",
                f"1/{1 / ratio['do-mpc']:.1f}",
                f"1/{1 / busy['CasADi + IPOPT']:.1f}, 1/{1 / busy['do-mpc']:.1f}",
                " ".join(f"{gap:.0e}" for gap in one["largest_gap"].values()),
            )
            RESULTS.parent.mkdir(exist_ok=True)
            RESULTS.write_text(json.dumps(results, indent=2))
    Console(width=150).print(grid)


if __name__ == "__main__":
    main()
