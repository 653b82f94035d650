"""Attacks on the rules of bounds, and on every number of certificates, by random programs and cells.

    python -m benchmarks.attack --programs 20000 --certified 2000 --jobs 1

- rules: random programs over every primitive that has a rule; values, slopes and row sums of dense samples
  against what is claimed of them (`tests/certify/attack.py`);
- certificates: random programs that were scaled to contract, and cells of all families near the edge, are
  certified without a search for counterexamples; rate, gain, box, transient and settling time of each
  certificate are attacked (`tests/certify/attack_certificates.py`).

Both are cut into shards; a shard that is done is not done again, so that a run may be stopped at any time.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
from joblib import Parallel, delayed

from attractor.cells import GRU, LSTM, NNARX, EchoState, Elman, RecurrentEquilibrium, ResetAfterGRU
from attractor.certify import CertifySettings, certify
from attractor.files import write_atomically
from benchmarks.recording import record

ROOT = Path(__file__).parent
sys.path.append(str(ROOT.parent / "tests" / "certify"))

RULES, CERTIFICATES = 250, 20
"""Programs and cells in a shard."""
LEVELS = CertifySettings(levels=(0, 1, 2), refute=False, time_budget=60)
KEY = jax.random.key(0)
FAMILIES = {
    "GRU": lambda inputs, size: GRU(inputs, size, key=KEY),
    "GRU, reset after": lambda inputs, size: ResetAfterGRU(inputs, size, key=KEY),
    "LSTM": lambda inputs, size: LSTM(inputs, size, key=KEY),
    "Elman": lambda inputs, size: Elman(inputs, size, key=KEY),
    "echo state": lambda inputs, size: EchoState(inputs, size, key=KEY),
    "NNARX": lambda inputs, size: NNARX(inputs, size, order=2, key=KEY),
    "equilibrium": lambda inputs, size: RecurrentEquilibrium(inputs, size, key=KEY),
}


def attack_rules(first: int, count: int) -> dict:
    """The attack on the programs of some seeds."""
    from attack import attack_seed

    outcomes = [attack_seed(seed) for seed in range(first, first + count)]
    return {
        "programs": count,
        "values claimed": sum(one.claimed[0] for one in outcomes),
        "slopes claimed": sum(one.claimed[1] for one in outcomes),
        "violations": [text for one in outcomes for text in one.violations],
    }


def attack_certificates(first: int, count: int) -> dict:
    """Certificates of some seeds, each number attacked."""
    from attack_certificates import attack_certificate

    found = {"cells": count, "proved": 0, "levels": {}, "violations": []}
    for seed in range(first, first + count):
        name, cell, levels = random_cell(seed)
        proof = certify(cell, settings=CertifySettings(**{**vars(LEVELS), "levels": levels})).certificate
        if proof is None:
            continue
        found["proved"] += 1
        found["levels"][str(proof.level)] = found["levels"].get(str(proof.level), 0) + 1
        found["violations"] += [
            f"seed {seed} ({name}): {text}" for text in attack_certificate(cell, proof, seed)
        ]
    return found


def random_cell(seed: int) -> tuple:
    """A cell near the edge: a random program, scaled down, or a family with random weights; and its rungs."""
    from attack import STATES, random_program
    from written import Written

    generator = np.random.default_rng(seed)
    if seed % 2 == 0:
        program, factor = (
            random_program(10**6 + seed),
            float(np.exp(generator.uniform(np.log(0.05), np.log(2)))),
        )
        return "; ".join(program.names), Written(lambda u, x: factor * program(u, x), STATES), (1, 2)
    name = str(generator.choice(list(FAMILIES)))
    factor = float(np.exp(generator.uniform(np.log(0.1), np.log(2.0))))
    cell = FAMILIES[name](1, 2)

    def draw(leaf: object) -> object:
        return factor * generator.uniform(-1, 1, leaf.shape) if eqx.is_inexact_array(leaf) else leaf

    level = (0,) if generator.uniform() < 0.4 else (2,) if generator.uniform() < 0.6 else (4,)
    return f"{name}, factor {factor:.3f}", jax.tree.map(draw, cell), level


def shard(kind: str, first: int, count: int, folder: Path) -> dict:
    """One shard, from its file if it was done before."""
    path = folder / f"{kind}-{first:06d}-{count}.json"
    if path.exists():
        return json.loads(path.read_text())
    began = time.monotonic()
    found = {"rules": attack_rules, "certificates": attack_certificates}[kind](first, count)
    found["seconds"] = round(time.monotonic() - began, 1)
    write_atomically(path, json.dumps(found).encode())
    jax.clear_caches()
    return found


def joined(parts: list[dict]) -> dict:
    """Numbers added up, and all violations."""
    total: dict = {}
    for part in parts:
        for name, value in part.items():
            if isinstance(value, dict):
                total[name] = {
                    key: total.get(name, {}).get(key, 0) + value.get(key, 0)
                    for key in {*total.get(name, {}), *value}
                }
            else:
                total[name] = value if name not in total else total[name] + value
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=int, default=20_000)
    parser.add_argument("--certified", type=int, default=2000)
    parser.add_argument("--jobs", type=int, default=max((os.cpu_count() or 2) // 2, 1))
    parser.add_argument("--folder", type=Path, default=Path(".cache/attack"))
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    jobs = [("rules", first, RULES) for first in range(0, chosen.programs, RULES)]
    jobs += [("certificates", first, CERTIFICATES) for first in range(0, chosen.certified, CERTIFICATES)]
    run = Parallel(n_jobs=chosen.jobs, verbose=5)
    parts = run(delayed(shard)(*job, chosen.folder) for job in jobs)
    kinds = {
        kind: joined([part for job, part in zip(jobs, parts, strict=True) if job[0] == kind])
        for kind in ("rules", "certificates")
    }
    record("attack", [{"kind": kind, **found} for kind, found in kinds.items()])
    print(json.dumps(kinds, indent=1))
    if any(kind.get("violations") for kind in kinds.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
