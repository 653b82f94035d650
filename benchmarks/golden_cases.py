"""What `benchmarks.golden` stores: small runs of the whole library, each with all the numbers it gives.

The cells, data and settings are fixed here, so that a change of tests or defaults moves none of them. A
section gives the entries of each of its cases. Words that users read are left out; verdicts count by their
names.
"""

import ast
import csv
import hashlib
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import equinox as eqx
import jax
import numpy as np
from safetensors.numpy import load_file

# Everything that is measured is imported here and in `golden_cells`; options of estimators stand in the two
# builders below.
import attractor
from attractor import PlantModel, SequenceClassifier
from attractor.certify import CertifySettings, certify
from attractor.dynamics import LyapunovSettings, kaplan_yorke_dimension, lyapunov_exponents
from attractor.export import EXPORTERS, flat_step, to_c, to_numpy, to_onnx, write_casadi
from attractor.theory.mean_field import (
    GatedParameters,
    SampledCovariance,
    SamplingSettings,
    solve_mean_field,
)
from attractor.training import TrainingSettings

from .golden_cells import FAMILIES, OTHERS, bistable, built, chaotic_flow, henon, lorenz, sorting

DEMO = Path(__file__).resolve().parent.parent / "examples" / "demo.py"
# Of a longer array only every second, third ... number is stored, about so many in all.
MOST_NUMBERS = 2000

Entries = dict[str, Any]
Cases = dict[str, Entries]


def classifier(**options: Any) -> SequenceClassifier:
    """A small classifier."""
    usual = {"hidden_size": 4, "readout__convolutions": 0, "training__epochs": 5, "training__batch_size": 8}
    return SequenceClassifier().set_params(**usual | options)


def plant_model(training: dict[str, Any], **options: Any) -> PlantModel:
    """A small plant model."""
    settings = TrainingSettings(**{"steps": 60, "batch_size": 8, "validate_every": 20, **training})
    return PlantModel(**{
        "cell": "gru",
        "hidden_size": 4,
        "window": 20,
        "washout": 5,
        "training": settings,
        **options,
    })


def source() -> str:
    """Which code is measured, and by which versions."""
    versions = ", ".join(f"{one.__name__} {one.__version__}" for one in (attractor, jax, np))
    return f"{Path(attractor.__file__).parent} ({versions})"


# What is stored of results


def named(thing: Any, names: str, prefix: str = "") -> Entries:
    """Attributes by their names; nothing of None."""
    return {} if thing is None else {prefix + name: getattr(thing, name) for name in names.split()}


def digest(arrays: list[np.ndarray]) -> str:
    """SHA-256 of types, shapes and bytes."""
    text = hashlib.sha256()
    for array in arrays:
        text.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return text.hexdigest()


def weights_of(arrays: Any) -> Entries:
    """All weights without their names, which may change: in the order of their shapes and values."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(arrays) if eqx.is_array(leaf)]
    leaves.sort(key=lambda leaf: (leaf.shape, str(leaf.dtype), leaf.ravel().tolist()))
    return {f"weights {place} {'x'.join(map(str, one.shape))}": one for place, one in enumerate(leaves)}


def thinned(name: str, array: np.ndarray) -> Entries:
    """A long array: some of its numbers."""
    return {f"{name}, every so many": array[:: max(array.size // MOST_NUMBERS, 1)]}


def table_of(path: Path) -> Entries:
    """The columns of a CSV file; those of words as text."""
    header, *rows = csv.reader(io.StringIO(path.read_text()))
    columns = dict(zip(header, zip(*rows, strict=True), strict=True))
    entries = {}
    for name, texts in columns.items():
        try:
            entries |= thinned(name, np.array(texts, float))
        except ValueError:
            entries[name] = hashlib.sha256("\n".join(texts).encode()).hexdigest()
    return entries


def numbers_in(tree: Any, where: str = "") -> Entries:
    """All numbers of a JSON value but times, by where they stand; lists of numbers as one entry."""
    if isinstance(tree, dict):
        children = [(f"{where}/{key}", value) for key, value in tree.items() if key != "seconds"]
    elif isinstance(tree, list) and not all(isinstance(one, int | float) for one in tree):
        children = [(f"{where}/{index}", value) for index, value in enumerate(tree)]
    else:
        return {where: np.array(tree)} if isinstance(tree, list | int | float) else {}
    return {name: one for place, value in children for name, one in numbers_in(value, place).items()}


def python_code(path: Path) -> str:
    """SHA-256 of a program without its comments and docstrings."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()


def c_code(path: Path) -> str:
    """SHA-256 of a program in C without its comments."""
    return hashlib.sha256(re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.S).encode()).hexdigest()


# Sections


def demo() -> Cases:
    """The whole example from the plant's log to C code, in a process of its own."""
    with TemporaryDirectory() as name:
        folder = Path(name) / "demo"
        subprocess.run([sys.executable, str(DEMO), str(folder)], check=True, stdout=subprocess.DEVNULL)
        run = folder / "ph"
        card, stability = (json.loads((run / one).read_text()) for one in ("card.json", "stability.json"))
        history = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        return {
            "log of the plant": table_of(folder / "ph.csv"),
            "weights": weights_of(load_file(run / "weights.safetensors")),
            "metrics": numbers_in({name: card[name] for name in ("metrics", "scaling", "signals")}),
            "training": numbers_in(history),
            "stability": {"verdict": stability["verdict"], **numbers_in(stability)},
            "closed loop": table_of(run / "closed_loop.csv"),
            "exports": {"numpy": python_code(run / "step.py"), "c": c_code(run / "step.c")},
        }


# Cells, starts and settings. Counts are the only budget: time never decides.
CERTIFIED: dict[str, tuple[Callable[[], Any], Entries]] = {
    "tanh": (partial(built, "tanh", scale=0.6), {}),
    "tanh, all levels": (partial(built, "tanh", seed=1, scale=0.6), {"tighten": True}),
    "tanh, too large": (partial(built, "tanh", seed=2, scale=3.0), {}),
    "gru": (partial(built, "gru", scale=0.5), {}),
    "gru, all levels": (partial(built, "gru", seed=3), {"tighten": True}),
    "gru, wide starts": (partial(built, "gru", scale=0.6), {"starts": (-2.0, 3.0)}),
    "gru, bistable": (bistable, {}),
    "gru-reset-after": (partial(built, "gru-reset-after", scale=0.5), {}),
    "lstm": (partial(built, "lstm", scale=0.5), {}),
    "esn": (partial(built, "esn", size=6), {}),
    "nnarx": (partial(built, "nnarx", scale=0.6), {}),
    "state-space": (partial(built, "state-space", scale=0.4), {}),
    "lipschitz": (partial(built, "lipschitz"), {}),
    "mgrn": (partial(built, "mgrn", inputs=2, size=2, scale=0.3), {"refute": False}),
    "channelwise-lstm": (partial(built, "channelwise-lstm", inputs=2, size=1, scale=0.3), {"refute": False}),
    "lipschitz-gated": (partial(built, "lipschitz-gated", size=2), {"refute": False}),
    "antisymmetric": (partial(built, "antisymmetric"), {"refute": False}),
    "gated-rate": (partial(built, "gated-rate", size=2, scale=0.3), {"refute": False}),
    "ren": (partial(built, "ren"), {}),
    "stack": (partial(built, "stack", size=2, scale=0.4), {}),
    "leaky": (partial(built, "leaky", scale=0.5), {}),
    "equinox-gru": (partial(built, "equinox-gru", scale=0.4), {}),
    "sorting": (sorting, {"refute": False}),
}


PROOF = "level rate weights input_gain low high start_low start_high transient input_bound metric groups"


def certificates() -> Cases:
    """Verdicts, certificates, witnesses and the rate of every rung."""
    return {case: certificate(make(), **options) for case, (make, options) in CERTIFIED.items()}


def certificate(cell: Any, starts: tuple[float, float] | None = None, **limits: Any) -> Entries:
    """All that `certify` finds."""
    settings = CertifySettings(time_budget=1e6, **{"pieces": 3000, **limits})
    found = certify(cell, starts=starts, settings=settings)
    return {
        "verdict": found.verdict,
        "levels": [one.level for one in found.attempts],
        "rates": np.array([one.rate for one in found.attempts]),
        **named(found.certificate, f"{PROOF} input_order asymptotic_gain", "certificate "),
        **named(found.witness, "first second inputs distance steps", "witness "),
    }


def signal(steps: int, inputs: int, runs: int | None = None) -> np.ndarray:
    """Random levels between -1 and 1, held for five steps."""
    shape = (steps // 5 + 1, inputs) if runs is None else (runs, steps // 5 + 1, inputs)
    return np.random.default_rng(0).uniform(-1, 1, shape).repeat(5, axis=-2)[..., :steps, :]


# Rounding grows along a chaotic path as exp(exponent * steps), so these are short: what is left of it in the
# exponents stays below the tolerance.
SPECTRA: dict[str, tuple[Callable[[], Any], Any, Entries]] = {
    "tanh, chaotic": (partial(built, "tanh", size=16, scale=2.5), 60, {"burn_in": 10}),
    "gru, driven": (partial(built, "gru", size=6), signal(300, 1), {"count": 3}),
    "gru-reset-after": (partial(built, "gru-reset-after"), 300, {}),
    "lstm, driven": (partial(built, "lstm"), signal(300, 1), {}),
    "esn, driven": (partial(built, "esn", size=8), signal(300, 1), {}),
    "lipschitz, two runs": (partial(built, "lipschitz", inputs=2, size=5), signal(200, 2, 2), {}),
    "mgrn, driven": (partial(built, "mgrn", inputs=2, size=2), signal(200, 2), {"longest": 1}),
    "stack, driven": (partial(built, "stack"), signal(300, 1), {"tolerance": 0.1}),
    "gated-rate": (chaotic_flow, 250, {}),
    "henon": (henon, 50, {"burn_in": 10}),
    "lorenz, a flow": (lorenz, 1200, {"burn_in": 200, "start": np.array([1.0, 1.0, 20.0])}),
}


SPECTRUM = "per_step standard_error runs drift sums marks ending collapsed broken decompositions last_state"


def spectra() -> Cases:
    """Lyapunov exponents with their errors."""
    return {case: spectrum(make(), inputs, **options) for case, (make, inputs, options) in SPECTRA.items()}


def spectrum(cell: Any, inputs: Any, start: Any = None, **options: Any) -> Entries:
    """All that `lyapunov_exponents` finds."""
    settings = LyapunovSettings(**{"count": "all", "burn_in": 50, **options})
    found = lyapunov_exponents(cell, inputs, start, settings=settings)
    return {**named(found, f"{SPECTRUM} time_step"), "dimension": kaplan_yorke_dimension(found.per_step)}


MEAN_FIELD: dict[str, tuple[GatedParameters, SamplingSettings]] = {
    "chaotic": (GatedParameters(gain=2.0, open_update=True, open_reset=True), SamplingSettings()),
    "rest": (GatedParameters(gain=0.7), SamplingSettings()),
    "a constant input": (GatedParameters(gain=1.5, input_deviation=0.5), SamplingSettings()),
    "a changing input": (
        GatedParameters(
            gain=2.0, open_update=True, input_covariance=SampledCovariance(0.5, np.array([0.4, 0.2, 0.1]))
        ),
        SamplingSettings(),
    ),
    "a gate that changes": (GatedParameters(gain=3.0, reset_gain=2.0), SamplingSettings()),
    "sampled": (
        GatedParameters(gain=3.0, update_gain=1.0),
        SamplingSettings(trajectories=64, settling=4, averaged=4, shortest=40.0, longest=40.0),
    ),
}


CORRELATORS = "status lags state activity reset openness iterations standard_error variance tail"


def mean_field() -> Cases:
    """Correlators, exponents, fixed points and phases; residuals are rounding, so they are left out."""
    return {case: theory(*parameters) for case, parameters in MEAN_FIELD.items()}


def theory(parameters: GatedParameters, sampling: SamplingSettings) -> Entries:
    """All that `solve_mean_field` finds."""
    found = solve_mean_field(parameters, sampling)
    entries = {"phase": found.phase, **named(found.correlators, CORRELATORS)}
    entries |= named(found.exponent, "value standard_error evaluations", "exponent ")
    entries |= named(found.edge, "open_share growth logarithm asymptotic_logarithm", "edge ")
    for place, point in enumerate(found.fixed_points):
        entries |= named(point, "variance activity openness stability_index", f"fixed point {place} ")
    return entries


def labelled_series(cases: int = 48) -> tuple[list[np.ndarray], np.ndarray]:
    """Series of two variables and unequal lengths, by the sign of the mean of the first."""
    draw = np.random.default_rng(0)
    series = [draw.normal(size=(int(length), 2)) for length in draw.integers(6, 13, cases)]
    for index, one in enumerate(series):
        one[:, 0] += 0.8 if index % 2 else -0.8
    return series, np.array(["down", "up"])[np.arange(cases) % 2]


def classifiers() -> Cases:
    """Weights, probabilities and the order of suspicion; the second with wrong labels that are reweighted."""
    series, labels = labelled_series()
    wrong = np.where(np.arange(len(labels)) < 6, labels[::-1], labels)
    plain = classifier(cell="gru", noise__additive=0.05, noise__dropout=0.1)
    reweighted = classifier(cell="lipschitz", labels__reweighting="auto", training__epochs=10)
    return {
        "gru": classified(plain.fit(series, labels), series),
        "lipschitz, reweighted": classified(reweighted.fit(series, wrong), series),
    }


def classified(model: SequenceClassifier, series: list[np.ndarray]) -> Entries:
    """What a trained classifier says."""
    suspects = model.suspects()
    return {
        **weights_of(model.network()),
        "logits": model.logits(series),
        "probabilities": model.predict_proba(series),
        "suspects": np.array([int(re.sub(r"\D", "", name)) for name in suspects.ids]),
        "totals": suspects.totals,
        "example weights": suspects.weights,
    }


def tank(rows: int = 160) -> tuple[np.ndarray, np.ndarray]:
    """A recording of y_{k+1} = 0.8 y_k + 0.2 tanh(2 u_k), with a little noise."""
    inputs, outputs = signal(rows, 1), np.zeros((rows, 1))
    for step in range(1, rows):
        outputs[step] = 0.8 * outputs[step - 1] + 0.2 * np.tanh(2 * inputs[step - 1])
    return inputs, outputs + 1e-3 * np.random.default_rng(1).standard_normal(outputs.shape)


PLANTS = {
    "gru": partial(plant_model, {"seeds": 2}, cell="gru"),
    "nnarx, refined": partial(plant_model, {"refine": 3}, cell="nnarx"),
}


def plants() -> Cases:
    """Weights and predictions of identified plants."""
    inputs, outputs = tank()
    models = {case: make().fit(inputs, outputs) for case, make in PLANTS.items()}
    return {
        case: {
            **weights_of(model.network()),
            "free run": model.predict(inputs),
            "after a washout": model.predict(inputs, outputs),
            "score": model.score(inputs, outputs),
        }
        for case, model in models.items()
    }


WRITERS: dict[str, tuple[str, Callable[[Any, Path], Any], Callable[[Path], str] | None]] = {
    "numpy": ("step.py", to_numpy, python_code),
    "c": ("step.c", to_c, c_code),
    "casadi": ("step.casadi", write_casadi, None),
    "onnx": ("step.onnx", to_onnx, None),
}


def exports() -> Cases:
    """The code of every cell where it is text, and what every written file computes."""
    names = (*FAMILIES, *OTHERS)
    return {name: exported(built(name, inputs=2, size=4, seed=1), 2 * (name == "unusual")) for name in names}


def exported(cell: Any, whole: int) -> Entries:
    """All targets of a cell, the last entries of whose state may be whole numbers, which stay as they are."""
    draw, flat = np.random.default_rng(0), flat_step(cell)
    given = draw.uniform(-1, 1, (10, 2)).astype(np.float32).astype(float)
    states, real = np.tile(flat.initial, (10, 1)), flat.state_size - whole
    states[:, :real] += draw.uniform(-1, 1, (10, real)).astype(np.float32)
    entries: Entries = {"initial": flat.initial}
    with TemporaryDirectory() as folder:
        for target, (name, write, code) in WRITERS.items():
            path = Path(folder) / name
            write(cell, path)
            entries[f"{target} gives"] = EXPORTERS[target].run(path, given, states, 0)[0]
            entries |= {} if code is None else {f"{target} code": code(path)}
    return entries


class Stopped(Exception):
    """A training was interrupted."""


class StopsLater:
    """A reporter that interrupts a training at its second validation, after the checkpoint."""

    def __init__(self) -> None:
        self.heard = 0

    def update(self, done: int, total: int, message: str = "") -> None:
        self.heard += 1
        if self.heard == 2:
            raise Stopped

    def close(self) -> None:
        """Nothing is open."""


def resume() -> Cases:
    """A training that is interrupted at a checkpoint and resumed ends in the bits of one that is not."""
    reweighted = partial(classifier, cell="lstm", labels__reweighting="auto")
    return {"plant": resumed(PLANTS["gru"], tank()), "classifier": resumed(reweighted, labelled_series())}


def resumed(make: Callable[[], Any], data: tuple[Any, Any]) -> Entries:
    """The weights of a training that was resumed, and whether they are those of one that was not."""
    whole = weights_of(make().fit(*data).network())
    with TemporaryDirectory() as folder:
        stopped = interrupted(make(), data, Path(folder))
        again = weights_of(make().fit(*data, folder=Path(folder)).network())
    same = digest(list(whole.values())) == digest(list(again.values()))
    return {"interrupted": stopped, "same bits": same, **again}


def interrupted(model: Any, data: tuple[Any, Any], folder: Path) -> bool:
    """Whether a training was stopped with a checkpoint left."""
    try:
        model.fit(*data, folder=folder, reporter=StopsLater())
    except Stopped:
        return any(folder.glob("checkpoint*"))
    return False


SECTIONS: dict[str, Callable[[], Cases]] = {
    "exports": exports,
    "certificates": certificates,
    "spectra": spectra,
    "mean-field": mean_field,
    "classifiers": classifiers,
    "plants": plants,
    "resume": resume,
    "demo": demo,
}
