"""Every cell of `cells_of_users` times every reading: right, refused, silently wrong, or a traceback.

Right means equal to a reference that is written here and shares no code with the readings: the untouched
cell, called by hand step after step, its weights in float64 where the reading computes in that type.

    python -m benchmarks.own_cells --out entries.jsonl      # goes on where it was stopped
"""

import argparse
import collections
import inspect
import json
import signal
import tempfile
import time
import traceback
import warnings
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import attractor
from attractor.cells import StateNoise, build_cell, initial_state, takes_key
from attractor.certify import CertifySettings, certify
from attractor.dynamics import FixedPointSettings, fixed_points, jacobian_spectrum, lyapunov_exponents
from attractor.errors import AttractorError
from attractor.export import check_parity, to_numpy
from attractor.training import NoisyState, TrainingSettings
from benchmarks.recording import record

from .cells_of_users import CELLS

STEPS = 220
BURN_IN = 100


class Wrong(Exception):
    """A number that is not the reference's."""


class Slow(Exception):
    """The reading took longer than it may."""


def call(cell, input, state):
    """One step of the untouched cell, by hand; one that insists on a key has no step without noise."""
    return cell(input, state)


def wide(cell):
    """Weights in float64 and complex128."""
    return jax.tree.map(
        lambda leaf: (
            jnp.asarray(leaf, jnp.complex128 if jnp.iscomplexobj(leaf) else jnp.float64)
            if eqx.is_inexact_array(leaf)
            else leaf
        ),
        cell,
    )


def slopes(function, vector):
    """Derivatives by differences: what the map does, whatever it tells of its gradients."""
    moves = 1e-4 * jnp.eye(vector.size)
    return jax.vmap(lambda move: (function(vector + move) - function(vector - move)) / 2e-4, out_axes=1)(
        moves
    )


class Reference:
    """x' = f(x, u) with x the real numbers of the state; everything else is carried beside them."""

    def __init__(self, cell):
        self.cell = wide(cell)
        self.leaves, self.structure = jax.tree.flatten(jax.tree.map(jnp.asarray, initial_state(self.cell)))
        self.moving = [jnp.issubdtype(leaf.dtype, jnp.inexact) for leaf in self.leaves]

    def vector(self, leaves):
        parts = [jnp.zeros(0)]
        for leaf, moving in zip(leaves, self.moving, strict=True):
            if moving:
                parts.append(jnp.real(leaf).ravel().astype(jnp.float64))
                if jnp.iscomplexobj(leaf):
                    parts.append(jnp.imag(leaf).ravel().astype(jnp.float64))
        return jnp.concatenate(parts)

    def rest(self, leaves):
        return [leaf for leaf, moving in zip(leaves, self.moving, strict=True) if not moving]

    def leaves_of(self, vector, rest):
        rest, place, made = list(rest), 0, []
        for leaf, moving in zip(self.leaves, self.moving, strict=True):
            if not moving:
                made.append(rest.pop(0))
                continue
            part = vector[place : place + leaf.size].reshape(leaf.shape)
            place += leaf.size
            if jnp.iscomplexobj(leaf):
                part = part + 1j * vector[place : place + leaf.size].reshape(leaf.shape)
                place += leaf.size
            made.append(part)
        return made

    def step(self, vector, rest, input):
        state = jax.tree.unflatten(self.structure, self.leaves_of(vector, rest))
        leaves = jax.tree.leaves(call(self.cell, input, state))
        return self.vector(leaves), self.rest(leaves)

    def start(self):
        return self.vector(self.leaves), self.rest(self.leaves)


def sizes(cell):
    """Number of inputs; one for a cell that does not say."""
    return getattr(cell, "input_size", 1)


def inputs_of(cell, steps, seed=0):
    size = sizes(cell)
    return 0.5 * np.random.default_rng(seed).normal(size=(steps, size)).astype(np.float32)


def same(found, expected, tolerance, what):
    found, expected = np.asarray(found), np.asarray(expected)
    if found.shape != expected.shape:
        raise Wrong(f"{what}: shapes {found.shape} and {expected.shape}")
    if found.dtype == bool:
        found, expected = found.astype(int), expected.astype(int)
    both = np.isfinite(expected)
    off = np.abs(np.where(both, found - expected, 0)) / (1 + np.abs(np.where(both, expected, 0)))
    if (np.isfinite(found) != both).any() or (off.size and off.max() > tolerance):
        raise Wrong(f"{what}: {found.ravel()[:4]} where {expected.ravel()[:4]} is right")


def numbers(tree):
    return [
        np.asarray(jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf)
        for leaf in map(jnp.asarray, jax.tree.leaves(tree))
    ]


def by_hand(cell, inputs):
    state = jax.tree.map(jnp.asarray, initial_state(cell))
    for input in inputs:
        state = call(cell, input, state)
    return state


def checked(cell):
    attractor.check_cell(cell)


def unrolled(cell):
    inputs = jnp.asarray(inputs_of(cell, 6))
    found = attractor.unroll(cell, inputs).last
    for one, other in zip(numbers(found), numbers(by_hand(cell, inputs)), strict=True):
        same(one, other, 1e-4, "last state")


def gradient(cell):
    inputs = jnp.asarray(inputs_of(cell, 5))

    def loss(run):
        def of(cell):
            leaves = [leaf for leaf in jax.tree.leaves(run(cell)) if eqx.is_inexact_array(leaf)]
            return sum((jnp.abs(leaf + 0.3) ** 2).sum() for leaf in leaves)

        return eqx.filter_grad(of)(cell)

    found = loss(lambda cell: attractor.unroll(cell, inputs).last)
    for one, other in zip(*map(numbers, (found, loss(lambda cell: by_hand(cell, inputs)))), strict=True):
        same(one, other, 1e-3, "gradient")


def noisy(cell):
    state = jax.tree.map(jnp.asarray, initial_state(cell))
    input = jnp.asarray(inputs_of(cell, 1)[0])
    wrapped = NoisyState(cell, StateNoise(additive=0.1))
    loud = numbers(wrapped(input, state, key=jax.random.key(1)))
    quiet = loud[:0] if takes_key(cell) else numbers(by_hand(cell, [input]))
    for one, other in zip(loud, quiet, strict=bool(quiet)):
        if np.issubdtype(other.dtype, np.inexact) == np.array_equal(one, other, equal_nan=True):
            raise Wrong(f"noise: {one} beside {other}")


def apart(leaf):
    """A leaf whose numbers are not equal, for steps that compare them."""
    leaf = jnp.asarray(leaf)
    if not jnp.issubdtype(leaf.dtype, jnp.inexact):
        return leaf
    return leaf + jnp.linspace(0.3, 0.2, leaf.size).reshape(leaf.shape).astype(leaf.dtype)


def eigenvalues(cell):
    state = jax.tree.map(apart, initial_state(cell))
    found = jacobian_spectrum(cell, state).values[0]
    with jax.enable_x64(True):
        reference = Reference(cell)
        leaves = jax.tree.leaves(state)
        vector, rest = reference.vector(leaves), reference.rest(leaves)
        zeros = jnp.zeros(sizes(cell))
        expected = np.linalg.eigvals(slopes(lambda v: reference.step(v, rest, zeros)[0], vector))
    same(np.sort(np.abs(found)), np.sort(np.abs(expected)), 1e-3, "moduli of eigenvalues")
    same(np.sum(found), np.sum(expected), 1e-3, "trace")


def exponents(cell):
    inputs = inputs_of(cell, BURN_IN + STEPS)
    found = lyapunov_exponents(cell, jnp.asarray(inputs)).per_step
    with jax.enable_x64(True):
        reference = Reference(cell)

        @jax.jit
        def both(vector, rest, input):
            new = reference.step(vector, rest, input)
            return *new, slopes(lambda v: reference.step(v, rest, input)[0], vector)

        vector, rest = reference.start()
        basis = np.linalg.qr(np.random.default_rng(1).normal(size=(vector.size,) * 2))[0]
        sums = np.zeros(vector.size)
        for place, input in enumerate(inputs):
            vector, rest, jacobian = both(vector, rest, jnp.asarray(input, jnp.float64))
            basis, triangle = np.linalg.qr(np.asarray(jacobian) @ basis)
            if place >= BURN_IN:
                sums += np.log(np.abs(np.diag(triangle)) + 1e-300)
    expected = np.sort(sums / STEPS)[::-1][: len(found)]
    real = np.isfinite(found) & (expected > -20)
    if (np.isfinite(found) & (expected < -25)).any():
        raise Wrong(f"exponents {found} where {expected} is right")
    same(found[real], expected[real], 0.02, "exponents")


def rests(cell):
    found = fixed_points(cell, settings=FixedPointSettings(starts=16, midpoint_waves=1))
    with jax.enable_x64(True):
        reference = Reference(cell)
        zeros = jnp.zeros(sizes(cell))
        vector, rest = reference.start()
        step = jax.jit(lambda v: reference.step(v, rest, zeros)[0])
        for point in found.states:
            same(step(jnp.asarray(point[: vector.size])), point[: vector.size], 1e-6, "fixed point moves")
        for _ in range(600):
            before, vector = vector, step(vector)
        settled = float(jnp.abs(before - vector).max()) < 1e-12
    away = [np.abs(np.asarray(vector) - point[: vector.size]).max() for point in found.states]
    if settled and min(away, default=np.inf) > 1e-6:
        raise Wrong(f"the fixed point {np.asarray(vector)[:3]} is not among the {len(found)}")


def certified(cell):
    result = certify(cell, settings=CertifySettings(refute=False, levels=(1, 2), time_budget=20))
    if result.certificate is None:
        return
    proof = result.certificate
    rng = np.random.default_rng(3)
    with jax.enable_x64(True):
        reference = Reference(cell)
        _, rest = reference.start()
        step = jax.jit(lambda v, rest, u: reference.step(v, rest, u))
        for trial in range(20):
            low, high = np.maximum(proof.low, -1e3), np.minimum(proof.high, 1e3)
            one, other = rng.uniform(low, high), rng.uniform(low, high)
            input = jnp.asarray(rng.uniform(-1, 1, sizes(cell)) * (proof.input_bound if trial % 2 else 1))
            after = [np.asarray(step(jnp.asarray(v), rest, input)[0]) for v in (one, other)]
            gaps = [np.max(np.abs(a - b) / proof.weights) for a, b in ((one, other), after)]
            if gaps[1] > proof.rate * gaps[0] * (1 + 1e-9) + 1e-12:
                raise Wrong(f"proved at rate {proof.rate}, but {gaps[0]} becomes {gaps[1]}")


def in_numpy(cell):
    with tempfile.TemporaryDirectory() as folder:
        path = to_numpy(cell, f"{folder}/step.py")
        spec = spec_from_file_location("step", path)
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
    with jax.enable_x64(True):
        reference = Reference(cell)
        vector, rest = reference.start()
        found = np.asarray(module.INITIAL_STATE)
        for input in np.asarray(inputs_of(cell, 4), float):
            vector, rest = reference.step(vector, rest, jnp.asarray(input))
            found = module.step(input, found)
    same(found[: vector.size], vector, 1e-9, "NumPy step")


def rounds(cell):
    """Whether the step computes in float32 whatever its weights are: then exports agree to that."""
    with jax.enable_x64(True):
        step = Reference(cell)
        return "f32[" in str(jax.make_jaxpr(step.step)(*step.start(), jnp.zeros(sizes(cell))))


def parity(target, tolerance):
    def check(cell):
        found = check_parity(cell, targets=[target], samples=20)[target]
        if not found < (max(tolerance, 1e-6) if rounds(cell) else tolerance):
            raise Wrong(f"{target} differs by {found}")

    return check


def plant(cell):
    inputs = np.random.default_rng(0).uniform(-1, 1, (120, max(sizes(cell), 1)))
    training = TrainingSettings(steps=2, validate_every=1, seeds=1)
    model = attractor.PlantModel(cell=cell, hidden_size=3, window=20, training=training)
    model.fit(inputs, np.cumsum(inputs[:, 0]) * 0.05)
    if not np.isfinite(model.predict(inputs)).all():
        raise Wrong("predictions are not finite")


def classifier(cell):
    rng = np.random.default_rng(0)
    cases = [rng.normal(size=(8, max(sizes(cell), 1))).astype(np.float32) + n % 2 for n in range(16)]
    model = attractor.SequenceClassifier(cell=cell, hidden_size=3)
    model.set_params(training__epochs=1, readout__convolutions=0)
    if not np.isfinite(model.fit(cases, [n % 2 for n in range(16)]).predict_proba(cases)).all():
        raise Wrong("probabilities are not finite")


READINGS = {
    "check": checked,
    "unroll": unrolled,
    "gradient": gradient,
    "noise": noisy,
    "eigenvalues": eigenvalues,
    "NumPy": in_numpy,
    "exponents": exponents,
    "certify": certified,
    "fixed points": rests,
    "C": parity("c", 1e-9),
    "CasADi": parity("casadi", 1e-9),
    "ONNX": parity("onnx", 1e-4),
    "plant": plant,
    "classifier": classifier,
}
ROWS = {"classifier": 12}
"""Readings that are slow and alike for all cells: so many cells, spread over the list."""


def outcome(read, make, seconds):
    """What becomes of one entry, and why."""

    def late(*_):
        raise Slow

    signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        cell = make()
        if not isinstance(cell, eqx.Module) and not inspect.isfunction(cell):
            cell = build_cell(cell, 1, 3, key=jax.random.key(0))
        read(cell)
    except AttractorError as problem:
        return "refused", f"{type(problem).__name__}: {problem}"
    except Wrong as problem:
        return "wrong", str(problem)
    except Slow:
        return "slow", ""
    except Exception as problem:  # noqa: BLE001 (that is what is looked for)
        last = traceback.extract_tb(problem.__traceback__)
        own = [f for f in last if "/attractor/" in f.filename or "benchmarks" in f.filename]
        place = f"{Path(own[-1].filename).name}:{own[-1].lineno}"
        return "traceback", f"{type(problem).__name__}: {str(problem)[:300]} ({place})"
    finally:
        signal.alarm(0)
    return "right", ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, help="file of entries, to go on with")
    parser.add_argument("--readings", default=",".join(READINGS), help="which, in this order")
    parser.add_argument("--seconds", type=int, default=120, help="the most that one entry may take")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    entries = {}
    if options.out and options.out.exists():
        for line in options.out.read_text().splitlines():
            entry = json.loads(line)
            entries[entry["cell"], entry["reading"]] = entry
    for reading in options.readings.split(","):
        every = max(1, len(CELLS) // ROWS.get(reading, len(CELLS)))
        for name in list(CELLS)[::every]:
            if (name, reading) in entries:
                continue
            began = time.time()
            kind, why = outcome(READINGS[reading], CELLS[name], options.seconds)
            entry = {"cell": name, "reading": reading, "outcome": kind, "why": why}
            entry["seconds"] = round(time.time() - began, 2)
            entries[name, reading] = entry
            if options.out:
                with options.out.open("a") as file:
                    file.write(json.dumps(entry) + "\n")
            if kind not in {"right", "refused"}:
                print(f"{kind}: {name} x {reading}: {why}", flush=True)
        jax.clear_caches()  # every compiled program takes memory areas of the process
    counts = collections.Counter(entry["outcome"] for entry in entries.values())
    record("own_cells", [dict(counts)], list(entries.values()))
    print(f"{len(entries)} entries:", ", ".join(f"{count} {kind}" for kind, count in counts.most_common()))


if __name__ == "__main__":
    main()
