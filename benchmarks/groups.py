"""Groups of variables as one batched product, against a loop over groups.

Forward and backward of a memory-gated network over a batch of sequences, in float32, one processor thread a
side where the command line says so. The loops are the published way: every group is a small unit of its own
that a Python loop calls at every step, once in JAX (compiled as a whole) and once in torch (eager, as the
authors run it). The runs take turns; the table gives loop / ours (above 1: ours is faster) for the minimum of
wall time, and compilation apart.

    taskset -c 0 python benchmarks/groups.py --repeats 10
"""

import argparse
import os
import sys
import time
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

from attractor.cells import Cell, MemoryGated
from attractor.scan import unroll
from benchmarks.recording import record

SIZES = {
    "2 groups of 8": (2, 8, 16, 2, 62, 32),
    "16 single variables": (16, 1, 16, 2, 48, 32),
    "17 groups of 4": (17, 4, 8, 8, 48, 8),
    "24 single variables": (24, 1, 16, 2, 51, 32),
    "37 groups of 2": (37, 2, 16, 2, 48, 32),
    "64 single variables": (64, 1, 16, 2, 50, 16),
}
"""(groups, variables a group, hidden, joint factor, time, batch)."""


class Looped(Cell):
    """The same network with one call a group."""

    whole: MemoryGated
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(self, whole):
        self.whole = whole
        self.input_size, self.hidden_size = whole.input_size, whole.hidden_size

    def initial_state(self):
        """As a list of vectors."""
        marginal, joint = self.whole.initial_state()
        return list(marginal), joint

    def __call__(self, input, state, *, key=None):
        """One step."""
        whole, size = self.whole, self.hidden_size
        candidates, memories = [], []
        for index, variables in enumerate(whole.partition.groups):
            own = input[jnp.asarray(variables)]
            driven = whole.input_weight[index, :, : len(variables)] @ own + whole.bias[index]
            recurrent = whole.state_weight[index] @ state[0][index]
            reset = jax.nn.sigmoid(driven[:size] + recurrent[:size])
            keep = jax.nn.sigmoid(driven[size : 2 * size] + recurrent[size : 2 * size])
            candidates.append(jnp.tanh(driven[2 * size :] + reset * recurrent[2 * size :]))
            memories.append(candidates[-1] + keep * (state[0][index] - candidates[-1]))
        shown = jnp.tanh(whole.joint_weight @ jnp.concatenate(candidates) + whole.joint_bias)
        gate = whole.gate_input_weight @ input + whole.gate_state_weight @ state[1] + whole.gate_bias
        return memories, shown + jax.nn.sigmoid(gate) * (state[1] - shown)


def jax_runner(cell, batch) -> Callable[[], object]:
    """Loss and gradient, compiled."""

    @eqx.filter_jit
    @eqx.filter_value_and_grad
    def gradient(cell, batch):
        last = jax.vmap(lambda inputs: unroll(cell, inputs).last)(batch)
        return jnp.sum(last[1] ** 2)

    return lambda: jax.block_until_ready(gradient(cell, batch))


def torch_runner(cell: MemoryGated, batch) -> Callable[[], object] | None:
    """The authors' order of work on the same weights, or None without torch."""
    try:
        import torch
    except ImportError:
        return None

    def tensor(array):
        return torch.tensor(np.array(array), requires_grad=True)

    parts = [
        [tensor(own[index]) for own in (cell.input_weight, cell.state_weight, cell.bias)]
        for index in range(len(cell.partition.groups))
    ]
    u_c, b_c = tensor(cell.joint_weight), tensor(cell.joint_bias)
    w_z, u_z, b_z = (tensor(a) for a in (cell.gate_input_weight, cell.gate_state_weight, cell.gate_bias))
    inputs = torch.tensor(np.array(batch)).transpose(0, 1)
    weights = [u_c, b_c, w_z, u_z, b_z, *(one for part in parts for one in part)]

    def marginal(own, part):
        w, u, b = part
        state, shown = torch.zeros(own.shape[1], u.shape[1]), []
        for now in own:
            driven, recurrent = (now @ w[:, : own.shape[2]].T + b).chunk(3, 1), (state @ u.T).chunk(3, 1)
            reset, keep = (torch.sigmoid(driven[gate] + recurrent[gate]) for gate in (0, 1))
            shown.append(torch.tanh(driven[2] + reset * recurrent[2]))
            state = shown[-1] + keep * (state - shown[-1])
        return torch.stack(shown)

    def run():
        for weight in weights:
            weight.grad = None
        groups = zip(cell.partition.groups, parts, strict=True)
        shown = torch.cat([marginal(inputs[:, :, list(group)], part) for group, part in groups], 2)
        joint = torch.zeros(inputs.shape[1], len(b_c))
        for now, candidates in zip(inputs, shown, strict=True):
            proposed = torch.tanh(candidates @ u_c.T + b_c)
            keep = torch.sigmoid(now @ w_z.T + joint @ u_z.T + b_z)
            joint = proposed + keep * (joint - proposed)
        loss = (joint**2).sum()
        loss.backward()
        return loss.item()

    return run


def measure(runners, repeats):
    """Seconds of the first call and the least of all later ones, the runners taking turns."""
    first, best = {}, dict.fromkeys(runners, float("inf"))
    for name, run in runners.items():
        begin = time.perf_counter()
        run()
        first[name] = time.perf_counter() - begin
    for _ in range(repeats):
        for name, run in runners.items():
            begin = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - begin)
    return first, best


def compare(name, repeats):
    groups, variables, hidden, factor, steps, size = SIZES[name]
    inputs = groups * variables
    parted = [range(index * variables, (index + 1) * variables) for index in range(groups)]
    cell = MemoryGated(inputs, hidden, groups=parted, joint_factor=factor, key=jax.random.key(0))
    batch = jax.random.normal(jax.random.key(1), (size, steps, inputs))
    runners = {"ours": jax_runner(cell, batch), "jax loop": jax_runner(Looped(cell), batch)}
    if peer := torch_runner(cell, batch):
        runners["torch loop"] = peer
    losses = {
        side: float(run()[0]) if side != "torch loop" else float(run()) for side, run in runners.items()
    }
    for side, loss in losses.items():
        np.testing.assert_allclose(loss, losses["ours"], rtol=1e-3, err_msg=f"{name}: {side} differs")
    jax.clear_caches()
    first, best = measure(runners, repeats)
    return {"size": name, "first": first, "seconds": best}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--repeats", type=int, default=10)
    asked = parser.parse_args()
    if "torch" not in sys.modules and os.environ.get("OMP_NUM_THREADS") is None:
        os.environ["OMP_NUM_THREADS"] = str(len(os.sched_getaffinity(0)))
    rows = [compare(name, asked.repeats) for name in asked.sizes]
    table = Table("size", "ours ms", "jax loop", "torch loop", "compile s, ours", "compile s, jax loop")
    for row in rows:
        best, first = row["seconds"], row["first"]
        ratios = [
            f"{best[side] / best['ours']:.1f}x" if side in best else "-"
            for side in ("jax loop", "torch loop")
        ]
        compiled = [f"{first[side]:.2f}" for side in ("ours", "jax loop")]
        table.add_row(row["size"], f"{1e3 * best['ours']:.2f}", *ratios, *compiled)
    console = Console()
    console.width = max(console.width, 100)
    console.print(table)
    record("groups", table, rows)


if __name__ == "__main__":
    main()
