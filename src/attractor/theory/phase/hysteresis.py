"""Scans of one parameter, up and down, the state carried along: where two attractors stand side by side."""

from dataclasses import dataclass
from time import perf_counter

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from attractor.cells import GatedForm, State
from attractor.progress import Reporter
from attractor.report.drawn import Drawn
from attractor.shown import counted
from attractor.sweeps import Arrays, Task, sweep

from .diagram import mean_and_interval, signs
from .phase_plan import USUAL_FORM, Build, Networks, PhaseAxis, PhaseSimulation, check_axis, check_step
from .phase_simulation import family, follow, networks_at, one_start_each, starts_of

_FIVE_SEEDS = PhaseSimulation(seeds=(0, 1, 2, 3, 4))


@dataclass(frozen=True, eq=False)
class HysteresisScan(
    Drawn, picture="attractor.theory.dynamics_figures:draw_hysteresis", next_call=".plot(), .share"
):
    """Exponents along one parameter, with the state of one value as the start of the next.

    Args:
        axis: the parameter.
        exponent: per unit of time; first axis: upwards from the small start, downwards from the large one.
        low: lower end of the interval of every exponent, at the confidence of the simulation.
        high: its upper end.
        variance: mean square of the activity in the last block.
        simulation: how it was measured.
        seconds: wall time.
    """

    axis: PhaseAxis
    exponent: Float[np.ndarray, "directions seeds points"]
    low: Float[np.ndarray, "directions seeds points"]
    high: Float[np.ndarray, "directions seeds points"]
    variance: Float[np.ndarray, "directions seeds points"]
    simulation: PhaseSimulation
    seconds: float

    @property
    def signs(self) -> Float[np.ndarray, "directions seeds points"]:
        """1 chaotic, -1 settling, 0 undecided, NaN diverged."""
        return signs(self.low, self.high)

    @property
    def share(self) -> Float[np.ndarray, " points"]:
        """For every value the share of seeds that settle on the way up and are chaotic on the way down."""
        up, down = self.signs
        return np.mean((up == -1) & (down == 1), axis=0)

    def __str__(self) -> str:
        """Where the two ways differ."""
        axis, both = self.axis, self.axis.values[self.share > 0]
        where = f"from {both[0]:.4g} to {both[-1]:.4g}" if len(both) else "nowhere"
        return "\n".join([
            f"{axis.name} from {axis.low:g} to {axis.high:g}, {counted(self.exponent.shape[1], 'seed')}",
            f"settles on the way up, chaotic on the way down: {where}, {len(both)} of {axis.points} values",
        ])


def hysteresis_scan(
    axis: PhaseAxis,
    *,
    form: GatedForm = USUAL_FORM,
    size: int = 600,
    build: Build | None = None,
    simulation: PhaseSimulation = _FIVE_SEEDS,
    reporter: Reporter | None = None,
) -> HysteresisScan:
    """Carry the state through rising values of a parameter, and another through falling ones.

    On the way up the network begins near zero, on the way down from the large start. Where the two ways
    differ the network has two attractors. Before every value the state is disturbed by the small amplitude:
    one that has sunk to exactly zero would stay there for ever, stable or not. One that has left the finite
    numbers begins anew at the next value, which would be called diverged else.

    Args:
        axis: the parameter and its values.
        form: of a gated network.
        size: its units.
        build: of other networks, as in `PhasePlan`; then `form` and `size` have no effect.
        simulation: how every value is simulated; each seed has a network of its own.
        reporter: hears about every seed.

    Raises:
        ConfigError: a parameter that does not exist or has no effect.
    """
    begun = perf_counter()
    if build is None:
        check_axis(form, axis, "axis")
        check_step(form, (axis,), simulation)
    networks, ends = Networks(form, size, build), (2, axis.points)
    shapes = {"growth": (*ends, simulation.blocks), "variance": ends}
    tasks = [
        Task(f"seed-{seed}", _followed, (networks, axis, simulation, seed), shapes)
        for seed in simulation.seeds
    ]
    found = sweep(tasks, reporter=reporter)
    growth, variance = (np.stack([one[name] for one in found], axis=1) for name in shapes)
    estimates = mean_and_interval(growth[None], simulation.confidence)
    return HysteresisScan(axis, *estimates, variance, simulation, perf_counter() - begun)


def _followed(networks: Networks, axis: PhaseAxis, simulation: PhaseSimulation, seed: int) -> Arrays:
    """Growth (directions, points, blocks) and variance (directions, points) of one network, rising first."""
    flows = networks_at(networks, [{axis.name: float(value)} for value in axis.values], seed)
    all_values = family(flows)
    states, tangents = starts_of(flows[0], simulation, seed)
    states = begun = jax.tree.map(lambda leaf: leaf[::-1], states)  # the small start goes up
    growth, variance = [], []
    for index in range(axis.points):
        both = [index, axis.points - 1 - index]
        grown, squares, _, states = follow(
            all_values.some(both), (states, tangents), simulation, one_start_each
        )
        states = jax.tree.map(
            lambda leaf, kick: leaf + simulation.small * kick, _where_finite(states, begun), tangents
        )
        growth.append(np.asarray(grown, np.float64))
        variance.append(np.asarray(squares, np.float64))
    by_value = {"growth": np.stack(growth, axis=1), "variance": np.stack(variance, axis=1)}
    return {name: np.stack([field[0], field[1, ::-1]]) for name, field in by_value.items()}


def _where_finite(states: State, begun: State) -> State:
    """States of both ways, that of a way which has diverged as it was at the beginning."""
    finite = jnp.stack([
        jnp.isfinite(leaf).reshape(len(leaf), -1).all(axis=1) for leaf in jax.tree.leaves(states)
    ]).all(axis=0)

    def chosen(leaf: Array, start: ArrayLike) -> Array:
        return jnp.where(finite.reshape(-1, *[1] * (leaf.ndim - 1)), leaf, start)

    return jax.tree.map(chosen, states, begun)
