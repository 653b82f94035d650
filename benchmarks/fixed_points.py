"""Fixed points of a trained flip-flop network: this library beside fixed-point-finder, from the same starts.

An `Elman` or `ResetAfterGRU` cell learns to remember the last pulse of three channels, and its weights go to
`torch.nn.RNN` or `GRU`. Both programs search from the same states of its trajectories, with noise. The peer
(https://github.com/mattgolub/fixed-point-finder, its torch path) is read from a checkout; it runs with its
own settings in float32, and once more in float64. Residuals of both are |step(x) - x| of one float64 step. A
point of the peer with no point of ours within 0.01 is followed by Newton's method to see whether it is one.

Seconds are of processor time, of the best of five runs for both.

    OMP_NUM_THREADS=1 taskset -c 0 python -m benchmarks.fixed_points --peer ~/fixed-point-finder
"""

import argparse
import contextlib
import io
import json
import pathlib
import sys
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from attractor.cells import Elman, ResetAfterGRU
from attractor.dynamics import count_fixed_points, fixed_points, sampled_starts
from attractor.export.torch_weights import to_torch_state
from attractor.program import in_double_precision
from attractor.scan import unroll
from benchmarks.recording import record

BITS, STEPS, BATCH = 3, 40, 64
CELLS = {"tanh": Elman, "gru": ResetAfterGRU}
REPEATS = 5
NEAR = 1e-2


def pulses(seed, batch=BATCH):
    """Rare pulses of +-1, and the sign of the last one of every channel."""
    source = np.random.default_rng(seed)
    inputs = source.choice([-1.0, 0.0, 1.0], size=(batch, STEPS, BITS), p=[0.1, 0.8, 0.1])
    inputs[:, 0] = source.choice([-1.0, 1.0], size=(batch, BITS))
    targets = inputs.copy()
    for step in range(1, STEPS):
        targets[:, step] = np.where(inputs[:, step] == 0, targets[:, step - 1], inputs[:, step])
    return jnp.asarray(inputs, jnp.float32), jnp.asarray(targets, jnp.float32)


def trained(kind, hidden, rounds):
    """The cell after training, and its last loss."""
    keys = jax.random.split(jax.random.key(0))
    network = CELLS[kind](BITS, hidden, key=keys[0]), eqx.nn.Linear(hidden, BITS, key=keys[1])
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(5e-3))

    @eqx.filter_jit
    def improved(network, moments, inputs, targets):
        def loss(network):
            states = jax.vmap(lambda one: unroll(network[0], one).states)(inputs)
            return jnp.mean((jax.vmap(jax.vmap(network[1]))(states) - targets) ** 2)

        value, slope = eqx.filter_value_and_grad(loss)(network)
        change, moments = optimiser.update(slope, moments)
        return eqx.apply_updates(network, change), moments, value

    moments = optimiser.init(eqx.filter(network, eqx.is_inexact_array))
    for seed in range(rounds):
        network, moments, value = improved(network, moments, *pulses(seed))
    return network[0], float(value)


def residuals(cell, states):
    """|step(x) - x| in float64 at zero input."""
    with jax.enable_x64(True):
        wide, states = in_double_precision(cell), jnp.asarray(states, jnp.float64)
        moved = jax.vmap(lambda state: wide(jnp.zeros(BITS), state))(states)
        return np.asarray(jnp.linalg.norm(moved - states, axis=1))


def timed(work):
    """What work returns, and its seconds of processor time, which other work hardly changes."""
    began = time.process_time()
    return work(), time.process_time() - began


def ours(cell, starts):
    """What this library finds, with the first call (compilation included) and the best of some more."""
    found, first = timed(lambda: fixed_points(cell, starts=starts))
    return found, {
        "seconds_first": first,
        "seconds_again": min(timed(lambda: fixed_points(cell, starts=starts))[1] for _ in range(REPEATS)),
        "points": len(found),
        "stable": int((found.unstable == 0).sum()),
        "sum_of_indices": float(found.index_sums[0]),
        "slow_points": len(found.slow),
        "largest_residual": float(found.residuals.max()),
        "unfinished_starts": found.counts.unfinished,
    }


def peer(cell, kind, starts, states, arguments, dtype):
    """What fixed-point-finder finds, its seconds, and |F| of its own network at our points."""
    import torch

    sys.path.insert(0, str(arguments.peer))
    from FixedPointFinderTorch import FixedPointFinderTorch

    hidden = starts.shape[1]
    options = {"dtype": dtype, "max_iters": arguments.iterations, "lr_init": arguments.rate}
    dtype = getattr(torch, dtype)
    network = {"tanh": torch.nn.RNN, "gru": torch.nn.GRU}[kind](BITS, hidden, batch_first=True).to(dtype)
    state = {name: torch.as_tensor(np.array(part)).to(dtype) for name, part in to_torch_state(cell).items()}
    network.load_state_dict(state)
    finder = FixedPointFinderTorch(network, verbose=False, **options)
    with contextlib.redirect_stdout(io.StringIO()):  # in float64 it overwrites the starts it is given
        runs = [
            timed(lambda: finder.find_fixed_points(starts.copy(), np.zeros((1, BITS))))
            for _ in range(REPEATS)
        ]
    (unique, _), seconds = min(runs, key=lambda run: run[1])
    with torch.no_grad():
        given = torch.as_tensor(states[None]).to(dtype)
        moved = network(torch.zeros(len(states), 1, BITS, dtype=dtype), given)[1] - given
    return np.asarray(unique.xstar, np.float64), seconds, float(moved.norm(dim=-1).max())


def compared(cell, found, theirs):
    """How the points of the peer and ours match."""
    distances = np.linalg.norm(theirs[:, None] - found.states[None], axis=-1)
    alone = theirs[distances.min(axis=1) > NEAR]
    followed = fixed_points(cell, starts=alone).states if len(alone) else np.zeros((0, theirs.shape[1]))
    inside = followed[np.abs(followed).max(axis=1) <= 1]  # where all states of these cells end up
    new = [state for state in inside if np.linalg.norm(found.states - state, axis=1).min() > 1e-6]
    sizes = residuals(cell, theirs)
    return {
        "points": len(theirs),
        "median_residual": float(np.median(sizes)),
        "largest_residual": float(sizes.max()),
        "with_no_point_of_ours_within_0.01": len(alone),
        "of_these_lead_to_a_point_we_missed": len(new),
        "our_points_it_has_not": int((distances.min(axis=0) > NEAR).sum()),
        "our_stable_points_it_has_not": int((distances.min(axis=0)[found.unstable == 0] > NEAR).sum()),
    }


def measured(kind, hidden, arguments):
    cell, loss = trained(kind, hidden, arguments.rounds)
    starts = sampled_starts(cell, np.asarray(pulses(10_000)[0]), arguments.starts, noise=0.5)
    found, mine = ours(cell, starts)
    row = {"cell": kind, "hidden": hidden, "starts": len(starts), "loss": loss, "ours": mine}
    if arguments.count:
        row["counted"] = str(count_fixed_points(cell))
    if arguments.peer is None:
        return row
    for name, dtype in (("peer, float32", "float32"), ("peer, float64", "float64")):
        theirs, seconds, check = peer(cell, kind, starts, found.states, arguments, dtype)
        row[name] = {
            "seconds": seconds,
            "times_longer": seconds / mine["seconds_again"],
            "times_longer_than_our_first_call": seconds / mine["seconds_first"],
            "largest_residual_of_its_network_at_our_points": check,
            **(compared(cell, found, theirs) if len(theirs) else {"points": 0}),
        }
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", type=pathlib.Path, help="folder of a checkout of fixed-point-finder")
    parser.add_argument("--cells", nargs="+", default=["tanh:16", "gru:32"], help="kind:hidden units")
    parser.add_argument("--starts", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=1500, help="steps of training")
    parser.add_argument("--iterations", type=int, default=5000, help="of the peer, its own default")
    parser.add_argument("--rate", type=float, default=1.0, help="of Adam in the peer, its own default")
    parser.add_argument("--count", action="store_true", help="also count the points by random starts")
    arguments = parser.parse_args()
    if arguments.peer is None or not (arguments.peer / "FixedPointFinderTorch.py").is_file():
        print("no checkout of fixed-point-finder given by --peer: only this library is measured")
        arguments.peer = None
    rows = []
    for name in arguments.cells:
        kind, hidden = name.split(":")
        rows.append(measured(kind, int(hidden), arguments))
        print(json.dumps(rows[-1], indent=2), flush=True)
    record("fixed_points", rows)


if __name__ == "__main__":
    main()
