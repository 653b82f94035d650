"""What certificates are worth: attacks on thousands of them, and their reach beyond published formulas.

    python -m benchmarks.certificates --cells 10000 --only soundness strength steps

- soundness: random cells of every family; whatever a level proves is attacked by two trajectories from the
  certified start set under constant, random and adversarial inputs;
- steps: random pairs of states and inputs, one step each, against |dx+| <= rate |dx| + gain |du|;
- strength: the largest factor of random weights that each level accepts, relative to the published condition.
"""

import argparse
import time
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from rich.console import Console
from rich.table import Table

from attractor.cells import (
    GRU,
    LSTM,
    NNARX,
    Cell,
    EchoState,
    Elman,
    Lipschitz,
    LipschitzForm,
    ResetAfterGRU,
    Stack,
    initial_state,
)
from attractor.certify import CertifySettings, certify, unit_box
from attractor.certify.stability.invariant import settle
from attractor.certify.stability.ladder import rate_on
from attractor.certify.stability.published import published_condition
from benchmarks.recording import record

KEY = jax.random.key(0)
CHUNK = 64
"""Cells that one compiled attack takes."""

STEPS, PAIRS = 1000, 2
SLACK = 1e-12
"""What the rounding of a simulated step may add."""


class Modulated(Cell):
    """A cell of a user's own: two products of states, a soft minimum, a square root and a kink."""

    weight: jax.Array
    gate: jax.Array
    input_weight: jax.Array
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(self, input_size, hidden_size, *, key):
        self.weight = self.gate = jnp.zeros((hidden_size, hidden_size))
        self.input_weight = jnp.zeros((hidden_size, input_size))
        self.input_size, self.hidden_size = input_size, hidden_size

    def __call__(self, input, state, *, key=None):
        """One step."""
        open_ = jax.nn.sigmoid(self.gate @ state)
        driven = self.weight @ (open_ * state) + self.input_weight @ input
        bent = jax.nn.relu(driven) - 0.5 * jax.nn.softplus(-driven) / jnp.sqrt(1 + driven**2)
        return (0.5 + 0.4 * open_) * state * 0.8 + 0.3 * (1 - open_) * jnp.tanh(bent)


def stacked(inputs, size, key):
    lower = GRU(inputs, max(size // 2, 1), key=key)
    return Stack((lower, Elman(lower.hidden_size, size - size // 2, key=key)))


def damped(inputs, size, key):
    return Lipschitz(inputs, size, form=LipschitzForm(damping=1.0), key=key)


FAMILIES = {
    "GRU": (GRU, (8, 3)),
    "GRU, reset after": (ResetAfterGRU, (5, 2)),
    "LSTM": (LSTM, (3, 2)),
    "Elman": (Elman, (7, 4)),
    "EchoState": (EchoState, (6, 2)),
    "NNARX": (lambda inputs, size, key: NNARX(inputs, 4, order=size, key=key), (4, 1)),
    "stack": (stacked, (2, 6)),
    "Lipschitz": (damped, (4, 2)),
    "user-written": (Modulated, (1, 5)),
}
"""How the cells of a family are built, and their sizes; level 3 is asked about the smallest one."""


def random_cells(build, inputs, size, count, seed, spread=(0.05, 2.0)):
    """Arrays with a leading axis of cells, uniform in +- a factor of each cell, and the structure."""
    generator = np.random.default_rng(seed)
    arrays, static = eqx.partition(build(inputs, size, key=KEY), eqx.is_array)
    factor = np.exp(generator.uniform(*np.log(spread), count))

    def draw(leaf):
        drawn = generator.uniform(-1, 1, (count, *leaf.shape))
        return jnp.asarray(drawn * factor.reshape(-1, *(1,) * leaf.ndim))

    return jax.tree.map(draw, arrays), static


@eqx.filter_jit
def two_levels(arrays, static):
    """Levels 1 and 2 of many cells at once."""

    def one(arrays):
        cell = eqx.combine(arrays, static)
        box = unit_box(cell, jnp.ones(cell.input_size))
        start, refined = settle(cell, box, centred=isinstance(cell, Lipschitz))
        return rate_on(cell, start), rate_on(cell, refined)

    return jax.vmap(one)(arrays)


def flat_step(cell):
    _, restore = ravel_pytree(initial_state(cell))
    return lambda state, given: ravel_pytree(cell(given, restore(state)))[0]


@eqx.filter_jit
def attack(arrays, static, claims, key):
    """For every cell: the worst excess over the certified decay and over the box, and the last distance."""
    return jax.vmap(lambda arrays, claim, key: _attack_one(eqx.combine(arrays, static), claim, key))(
        arrays, claims, jax.random.split(key, len(claims["rate"]))
    )


def _attack_one(cell, claim, key):
    step, inputs = flat_step(cell), cell.input_size
    weights = claim["weights"]

    def distance(one, other):
        return jnp.max(jnp.abs(one - other) / weights)

    def adversarial(one, other, _):
        slope = jax.grad(lambda u: jnp.sum((step(one, u) - step(other, u)) ** 2))(jnp.zeros(inputs))
        return jnp.where(slope < 0, -1.0, 1.0)

    def follow(choose, states, signals):
        # The input is carried: computed in the step that uses it, XLA may work it out twice, and rounding
        # then gives the two trajectories different signs of a gradient that is nearly zero.
        def body(carry, at):
            one, other, used, worst, out = carry
            index, signal = at
            new_one, new_other = step(one, used), step(other, used)
            settled = index >= claim["transient"]
            excess = distance(new_one, new_other) - claim["rate"] * distance(one, other)
            beyond = jnp.maximum(one - claim["high"], claim["low"] - one).max()
            worst = jnp.maximum(worst, jnp.where(settled, excess, -jnp.inf))
            out = jnp.maximum(out, jnp.where(settled, beyond, -jnp.inf))
            return (new_one, new_other, choose(new_one, new_other, signal), worst, out), None

        start = (states[0], states[1], signals[0], -jnp.inf, -jnp.inf)
        coming = jnp.concatenate([signals[1:], signals[:1]])
        (one, other, _, worst, out), _ = jax.lax.scan(body, start, (jnp.arange(STEPS), coming))
        return jnp.stack([worst, out, jnp.max(jnp.abs(one - other))])

    first, second = jax.random.split(key)
    share = jax.random.uniform(first, (4, PAIRS, 2, len(weights)))
    share = share.at[1::2].set(jnp.round(share[1::2]))  # corners
    share = share.at[:, 1::2, 1].set(1 - share[:, 1::2, 0])  # opposite ones
    starts = claim["start_low"] + share * (claim["start_high"] - claim["start_low"])
    noise = jax.random.uniform(second, (PAIRS, STEPS, inputs), minval=-1.0, maxval=1.0)
    levels = jnp.broadcast_to(noise[:, :1], noise.shape)
    given = jnp.concatenate([levels, jnp.sign(levels), noise])
    found = jax.vmap(partial(follow, lambda _, __, signal: signal))(
        starts[:3].reshape(3 * PAIRS, 2, -1), given
    )
    greedy = jax.vmap(partial(follow, adversarial))(starts[3], noise)
    worst, out, last = jnp.concatenate([found, greedy]).max(axis=0)
    return worst, out, last


@eqx.filter_jit
def single_steps(arrays, static, claims, key):
    """For every cell the worst excess over rate |dx| + gain |du| in one step of many random pairs."""

    def one(arrays, claim, key):
        cell = eqx.combine(arrays, static)
        low = jnp.concatenate([claim["low"], -jnp.ones(cell.input_size)])
        high = jnp.concatenate([claim["high"], jnp.ones(cell.input_size)])
        return _worst_step(cell, claim, low, high, key)

    return jax.vmap(one)(arrays, claims, jax.random.split(key, len(claims["rate"])))


SINGLE = 512


def _worst_step(cell, claim, low, high, key):
    step, states = flat_step(cell), len(claim["weights"])
    first, second = jax.random.split(key)
    share = jax.random.uniform(first, (2, SINGLE, len(low)))
    share = share.at[:, ::3].set(jnp.round(share[:, ::3]))
    near = share[0] + 1e-5 * jax.random.uniform(second, share[0].shape, minval=-1.0, maxval=1.0)
    share = share.at[1, 1::2].set(jnp.clip(near, 0, 1)[1::2])
    one, other = low + share * (high - low)
    after = jax.vmap(lambda point: step(point[:states], point[states:]))
    moved = jnp.max(jnp.abs(after(one) - after(other)) / claim["weights"], axis=1)
    apart = jnp.abs(one - other)
    allowed = claim["rate"] * jnp.max(apart[:, :states] / claim["weights"], axis=1)
    allowed += claim["gain"] * jnp.max(apart[:, states:], axis=1)
    return jnp.max((moved - allowed) / (1 + allowed))


def claims_of(first, found):
    """What a level states of every cell, in the terms of the attack."""
    return {
        "rate": found.rate,
        "weights": found.weights,
        "gain": found.gain,
        "low": found.invariant.box.low,
        "high": found.invariant.box.high,
        "start_low": first.invariant.box.low,
        "start_high": first.invariant.box.high,
        "transient": found.invariant.steps,
    }


def in_chunks(function, arrays, static, claims, seed):
    """The function on cells in chunks of one compiled size; the last one is filled up."""
    count, results = len(claims["rate"]), []
    for start in range(0, count, CHUNK):
        rows = jnp.minimum(jnp.arange(start, start + CHUNK), count - 1)
        part = jax.tree.map(lambda leaf, rows=rows: leaf[rows], (arrays, claims))
        found = function(part[0], static, part[1], jax.random.key(seed + start))
        results.append(jax.tree.map(lambda leaf, n=count - start: np.asarray(leaf)[:n], found))
    return jax.tree.map(lambda *parts: np.concatenate(parts), *results)


def judge(arrays, static, claims, wanted, seed, *, largest_component=True):
    """Attacks on the certificates of one level of one group: counts of claims that were false.

    A claim in another norm than that of the largest component is attacked by its end only: the trajectories
    must meet, and stay in the set it speaks of.
    """
    rows = np.flatnonzero(np.asarray(claims["rate"]) < 1)
    tally = {"certified": len(rows), "false": 0, "left": 0, "apart": 0, "steps": 0, "violations": 0}
    if not len(rows):
        return tally
    arrays, claims = jax.tree.map(lambda leaf: leaf[rows], (arrays, claims))
    states = claims["weights"].shape[1]
    claims |= {name: claims[name][:, :states] for name in ("low", "high", "start_low", "start_high")}
    least = np.asarray(claims["weights"]).min(axis=1)
    if "soundness" in wanted:
        worst, out, last = in_chunks(attack, arrays, static, claims, seed)
        bound = 1e-9 + 1e3 * np.asarray(claims["rate"]) ** (STEPS - np.asarray(claims["transient"]))
        if largest_component:
            tally["false"] = int(np.sum(~(worst <= SLACK / least)))
        tally["left"] = int(np.sum(~(out <= SLACK * (1 + np.abs(claims["high"]).max(axis=1)))))
        tally["apart"] = int(np.sum(~(last <= bound / least)))
    if "steps" in wanted and largest_component:
        excess = in_chunks(single_steps, arrays, static, claims, seed)
        tally["steps"] = len(rows) * SINGLE
        tally["violations"] = int(np.sum(~(excess <= SLACK / least)))
    return tally


def attacked_groups(cells, per_family, wanted, report):
    """All families and sizes: levels 1 and 2 of every cell, attacked."""
    groups = [(name, build, size) for name, (build, sizes) in FAMILIES.items() for size in sizes[:per_family]]
    share, rows = -(-cells // len(groups)), []
    for seed, (name, build, size) in enumerate(groups):
        began, inputs = time.monotonic(), 1 + seed % 2
        arrays, static = random_cells(build, inputs, size, share, seed)
        first, second = two_levels(arrays, static)
        states = int(first.weights.shape[1])
        row = {"family": name, "size": size, "cells": share, "levels": {}}
        published = published_claims(arrays, static, share, states)
        row["levels"][0] = judge(arrays, static, published, wanted, 1000 * seed, largest_component=False)
        for level, found in ((1, first), (2, second)):
            tally = judge(arrays, static, claims_of(first, found), wanted, 1000 * seed + level)
            row["levels"][level] = tally
        row["seconds"] = time.monotonic() - began
        rows.append(row)
        report(name, size, row)
    return rows


def published_of(arrays, static, index):
    """The condition of one cell if it is satisfied, else None."""
    cell = eqx.combine(jax.tree.map(lambda leaf: np.asarray(leaf[index]), arrays), static)
    condition = published_condition(cell)
    proves = condition is not None and condition.satisfied and condition.rate < 1
    return condition if proves else None


OUTSIDE = 3.0
"""Where attacks on claims about all states start."""


def published_claims(arrays, static, count, states):
    """What level 0 states of every cell; its norms differ, so that the weights say nothing."""
    rates, sets = np.full(count, np.inf), np.full((count, states), np.inf)
    for index in range(count):
        if (condition := published_of(arrays, static, index)) is not None:
            rates[index] = condition.rate
            sets[index] = np.inf if condition.largest_state is None else condition.largest_state
    starts = np.minimum(sets, 1.0 if isinstance(static, Stack) else OUTSIDE)
    claims = {"rate": rates, "weights": np.ones((count, states)), "gain": np.zeros(count)}
    claims |= {"low": -sets, "high": sets, "start_low": -starts, "start_high": starts}
    return jax.tree.map(jnp.asarray, claims | {"transient": np.zeros(count, int)})


def attacked_by_branching(each, pieces):
    """Level 3 through `certify`, on cells that the levels below leave open."""
    rows = []
    for seed, (name, (build, sizes)) in enumerate(FAMILIES.items()):
        size = min(sizes)
        arrays, static = random_cells(build, 1, size, 400, 500 + seed)
        _, second = two_levels(arrays, static)
        rates = np.asarray(second.rate)
        order = np.argsort(np.where(rates >= 1, rates, np.inf))[:each]
        settings = CertifySettings(levels=(3,), pieces=pieces, refute=False, time_budget=1e6)
        proofs = []
        for index in order[np.isfinite(rates[order])]:
            cell = eqx.combine(jax.tree.map(lambda leaf, i=index: leaf[i], arrays), static)
            proofs.append((index, certify(cell, settings=settings).certificate))
        proved = [(index, proof) for index, proof in proofs if proof is not None]
        tally = {"certified": 0, "false": 0, "left": 0, "apart": 0, "steps": 0, "violations": 0}
        if proved:
            chosen = jnp.asarray([index for index, _ in proved])
            claims = stacked_claims([proof for _, proof in proved])
            part = jax.tree.map(lambda leaf, chosen=chosen: leaf[chosen], arrays)
            tally = judge(part, static, claims, ("soundness", "steps"), 77 + seed)
        rows.append({"family": name, "size": size, "tried": len(proofs), **tally})
    return rows


def stacked_claims(proofs):
    names = {
        "rate": "rate", "weights": "weights", "gain": "input_gain", "low": "low", "high": "high",
        "start_low": "start_low", "start_high": "start_high", "transient": "transient",
    }  # fmt: skip
    return {
        name: jnp.asarray(np.stack([np.asarray(getattr(proof, field)) for proof in proofs]))
        for name, field in names.items()
    }


def strength(draws, pieces, sizes, families, report):
    """Largest factor that each level accepts, relative to the published one; medians over draws."""
    rows = []
    for name in families:
        build = {"GRU": GRU, "LSTM": LSTM}[name]
        for size in sizes:
            arrays, static = random_cells(build, 1, size, draws, 40 + size, spread=(1.0, 1.0 + 1e-12))
            published = bisected_published(arrays, static, draws)
            ratios = {"family": name, "size": size, "draws": draws}
            largest = np.stack(bisected(arrays, static, published))
            for level in (1, 2):
                ratios[f"level {level}"] = float(np.median(largest[level - 1] / published))
            began = time.monotonic()
            third = [
                bisected_branching(arrays, static, i, max(largest[:, i]), pieces) / published[i]
                for i in range(draws)
            ]
            ratios["level 3"] = float(np.median(third))
            ratios["level 3 quartiles"] = [float(q) for q in np.quantile(third, (0.25, 0.75))]
            ratios["level 3 seconds"] = time.monotonic() - began
            rows.append(ratios)
            report(rows)
    return rows


def scaled_by(arrays, factors):
    return jax.tree.map(lambda leaf: leaf * factors.reshape(-1, *(1,) * (leaf.ndim - 1)), arrays)


def bisected_published(arrays, static, draws, rounds=22):
    low, high = np.full(draws, 1e-3), np.full(draws, 8.0)
    for _ in range(rounds):
        middle = np.sqrt(low * high)
        scaled = scaled_by(arrays, jnp.asarray(middle))
        good = np.array([published_of(scaled, static, i) is not None for i in range(draws)])
        low, high = np.where(good, middle, low), np.where(good, high, middle)
    return low


def bisected(arrays, static, start, rounds=14):
    """Levels 1 and 2, all draws at once."""
    ends = [(start * 0.2, start * 12) for _ in (1, 2)]
    for _ in range(rounds):
        middles = [np.sqrt(low * high) for low, high in ends]
        for place, middle in enumerate(middles):
            found = two_levels(scaled_by(arrays, jnp.asarray(middle)), static)[place]
            good = np.asarray(found.rate) < 1
            low, high = ends[place]
            ends[place] = np.where(good, middle, low), np.where(good, high, middle)
    return [low for low, _ in ends]


def bisected_branching(arrays, static, index, start, pieces, rounds=6):
    """Level 3 of one draw, from what level 2 accepts upwards."""
    settings = CertifySettings(levels=(3,), pieces=pieces, refute=False, time_budget=1e6)
    low, high = start, start * 3
    for _ in range(rounds):
        middle = float(np.sqrt(low * high))
        cell = eqx.combine(jax.tree.map(lambda leaf, f=middle: leaf[index] * f, arrays), static)
        good = certify(cell, settings=settings).certificate is not None
        low, high = (middle, high) if good else (low, middle)
    return low


def time_of_level_2(size=8):
    """Seconds of level 2 for one cell: the first call, which compiles, and the median of ten others."""
    found = {}
    for name, build in {"GRU": GRU, "LSTM": LSTM}.items():
        times = []
        for seed in range(11):
            arrays, static = random_cells(build, 1, size, 1, seed, spread=(0.1, 0.3))
            cell = eqx.combine(jax.tree.map(lambda leaf: leaf[0], arrays), static)
            began = time.monotonic()
            certify(cell, settings=CertifySettings(levels=(2,), refute=False))
            times.append(time.monotonic() - began)
        found[name] = {"first": times[0], "median": float(np.median(times[1:]))}
    return found


def table(title, rows):
    shown = Table(title=title)
    for name in rows[0]:
        shown.add_column(name, justify="right")
    for row in rows:
        shown.add_row(*(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()))
    return shown


def summary(rows):
    """One line for each level: certificates, attacks that succeeded, steps that broke the inequality."""
    lines = []
    for level in (0, 1, 2):
        tallies = [row["levels"][level] for row in rows]
        total = {
            name: sum(one.get(name, 0) for one in tallies)
            for name in ("certified", "false", "left", "apart", "steps", "violations")
        }
        lines.append({"level": level, "cells": sum(row["cells"] for row in rows), **total})
    return lines


def rows_of(part):
    """Rows of a part of the results, which is a list of them or one of them."""
    return part if isinstance(part, list) else [part]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--per-family", type=int, default=2, help="sizes of each family")
    parser.add_argument("--draws", type=int, default=24)
    parser.add_argument("--sizes", type=int, nargs="*", default=(2, 3, 4))
    parser.add_argument("--families", nargs="*", default=("GRU", "LSTM"), help="for the strength")
    parser.add_argument("--branched", type=int, default=12, help="cells of each family for level 3")
    parser.add_argument("--pieces", type=int, default=20_000)
    parser.add_argument("--only", nargs="*", default=("soundness", "branched", "strength", "steps", "time"))
    options = parser.parse_args()
    console, found = Console(), {}

    def save():
        record("certificates", *({"title": name, "rows": rows_of(part)} for name, part in found.items()))

    with jax.enable_x64(True):
        if {"soundness", "steps"} & set(options.only):

            def report(name, size, row):
                console.log(f"{name} {size}: {row['levels']}, {row['seconds']:.1f} s")

            found["attacked"] = attacked_groups(options.cells, options.per_family, options.only, report)
            found["summary"] = summary(found["attacked"])
            console.print(table("Attacks on certificates", found["summary"]))
            save()
        if "branched" in options.only:
            found["branched"] = attacked_by_branching(options.branched, options.pieces)
            console.print(table("Attacks on level 3", found["branched"]))
            save()
        if "time" in options.only:
            found["time"] = time_of_level_2()
            console.print(found["time"])
            save()
        if "strength" in options.only:

            def progress(rows):
                console.log(rows[-1])
                found["strength"] = rows
                save()

            strength(options.draws, options.pieces, options.sizes, options.families, progress)
            console.print(table("Accepted weight scale over the published one (median)", found["strength"]))


if __name__ == "__main__":
    main()
