"""What an expensive command will take, told before it starts; right to a factor of a few.

Nothing is measured and nothing compiled for it: operations are counted, and a core is taken to do a billion
of them a second in double precision, three in single precision. Compiling comes on top.
"""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

import equinox as eqx
import jax
import numpy as np

from attractor.cells import CellLike, EchoState, Elman, initial_state, name_of
from attractor.errors import AttractorError
from attractor.shown import counted

if TYPE_CHECKING:
    from attractor.audit.perturbations import Perturbation
    from attractor.certify import CertifySettings
    from attractor.classification import RobustnessPlan, SequenceClassifier
    from attractor.data import Sequences
    from attractor.dynamics import LyapunovSettings
    from attractor.theory.phase import PhasePlan

DOUBLE, SINGLE = 1e9, 3e9
"""Multiplications and additions a second, of one core."""
_COPIES = 3.5
"""Of the largest array of a proof, that are in memory at once; 512 states were seen to take 3.8 GB."""
_WORTH_SAYING = 0.5
"""GB of memory from which it is told."""


def in_words(seconds: float) -> str:
    """A time, with one figure or two: "about 3 min"."""
    if seconds < 2:
        return "a few seconds"
    for unit, length in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"about {float(f'{seconds / length:.2g}'):g} {unit}"
    return f"about {float(f'{seconds:.1g}'):g} s"


def states_of(cell: CellLike) -> int:
    """Real numbers in the state of a cell; 0 for what is no cell, which the work itself refuses."""
    from attractor.program import layout_of

    try:
        return layout_of(initial_state(cell), name_of(cell)).real_size
    except (AttractorError, AttributeError, TypeError, ValueError):
        return 0


def weights_of(model: object) -> int:
    """Numbers in the arrays of a cell or network."""
    return sum(np.size(leaf) for leaf in jax.tree.leaves(eqx.filter(model, eqx.is_array)))


def proof(cell: CellLike, settings: "CertifySettings") -> str:
    """Time and memory of `certify`: its budget; Jacobians that weights are chosen by, and level 4."""
    from attractor.certify.stability.lmi import fits, slope_system, solver_bytes
    from attractor.certify.stability.weighted_norms import SAMPLES

    states = states_of(cell)
    searched = type(cell) in (Elman, EchoState) and 4 in settings.levels
    solver = solver_bytes(sum(slope_system(cell).acting.shape)) if searched else 0
    # A solver that would need more than there is does not start.
    gigabytes = max(_COPIES * SAMPLES * states**2 * 8, solver if fits(solver) else 0) / 1e9
    memory = f", up to about {gigabytes:.2g} GB of memory" if gigabytes >= _WORTH_SAYING else ""
    budget = settings.time_budget
    time = f"about {budget:g} s at most, and the time to compile" if np.isfinite(budget) else "any time"
    return f"{counted(states, 'state')}, {time}{memory}, as an estimate"


def exponents(cell: CellLike, steps: int, settings: "LyapunovSettings") -> str:
    """Time of Lyapunov exponents: at each step a Jacobian times directions, and an orthogonalisation."""
    states = states_of(cell)
    if not states:
        return f"measuring exponents over {steps} steps"
    directions = settings.columns(states)
    step = 2.0 * weights_of(cell) * (1 + 2 * directions) + 4.0 * states * directions**2
    which = f"{directions} of {counted(states, 'exponent')}"
    return f"{which} over {counted(steps, 'step')}: {_guess(steps * step / DOUBLE)}"


def diagram(plan: "PhasePlan", workers: int) -> str:
    """Time of a phase diagram: three products with the couplings for each evaluation, from two starts."""
    simulation = plan.simulation
    networks = plan.x.points * plan.y.points * len(simulation.seeds)
    evaluations = {"euler": 1, "heun": 2, "rk4": 4}[simulation.method]
    steps = (simulation.time + simulation.transient) / simulation.step
    # The state and one direction beside it, from a large and a small start.
    work = networks * 2 * 2 * steps * evaluations * 3 * 2.0 * plan.size**2
    cores = (os.cpu_count() or 1) if workers < 0 else max(workers, 1)
    rate = SINGLE if simulation.precision == "float32" else DOUBLE
    what = f"{counted(networks, 'network')} of {counted(plan.size, 'unit')}"
    return f"{what}, {counted(round(steps), 'step')} each: {_guess(work / rate / cores)}"


def disturbances(model: "SequenceClassifier", data: "Sequences", plan: "RobustnessPlan") -> str:
    """Time of a robustness study: passes over all cases, and the budget of its proof."""
    from attractor.audit import ATTACKS, PERTURBATIONS

    passes = plan.seeds * _levels(PERTURBATIONS.values())
    gradients = 0
    if plan.attacks:
        # A gradient costs about three passes.
        gradients = 3 * sum(len(one.levels) * one.steps * one.restarts for one in ATTACKS.values())
    rows = float(np.sum(data.lengths))
    seconds = (passes + gradients) * rows * 2.0 * weights_of(model.network()) / SINGLE + plan.time_budget
    each = counted(passes + gradients, "pass", "passes")
    return f"{counted(len(data), 'case')}, {each} over each: {_guess(seconds)}"


def _levels(trials: "Iterable[Perturbation]") -> int:
    return sum(len(one.levels) for one in trials)


def _guess(seconds: float) -> str:
    return f"{in_words(seconds)} and the time to compile, as a rough estimate"
