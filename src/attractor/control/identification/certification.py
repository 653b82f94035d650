"""Is an identified model stable for every input it may see? Asked, kept in the run folder, and repaired."""

import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float

from attractor.cells import FAMILIES
from attractor.certify import (
    Certificate,
    CertifySettings,
    StabilityResult,
    Verdict,
    bound_in_words,
    certify,
    claim,
)
from attractor.data import Record
from attractor.errors import WRONG_FACTS, ConfigError, RunFolderError
from attractor.files import write_atomically
from attractor.folders import read_file
from attractor.origin import Origin, find_origin
from attractor.progress import Reporter
from attractor.runs import check_origin, load_run
from attractor.scan import unroll

from .family_options import never_trained
from .plant_model import PlantModel
from .recordings import stored_roles

FILE = "stability.json"
_NOTHING = "Nothing is proved of this model; `attractor certify` tries."


def certify_model(
    model: PlantModel,
    input_bound: float | int = 1.0,
    settings: CertifySettings | None = None,
    reporter: Reporter | None = None,
) -> StabilityResult:
    """`certify` for the cell of an identified model, from every state that its encoder can give.

    Args:
        model: a fitted model.
        input_bound: inputs lie within +- this; 1 is the range of the training data.
        settings: how hard to try.
        reporter: hears about progress.
    """
    network = model.network()
    bound = float(input_bound)
    return certify(
        network.cell, input_bound=bound, starts=network.starts, settings=settings, reporter=reporter
    )


def visited_states(
    model: PlantModel, inputs: Float[np.ndarray, "time inputs"], outputs: Float[np.ndarray, "time outputs"]
) -> Float[np.ndarray, "2 states"]:
    """Least and largest value of every state over a recording (engineering units), in flat order."""
    network = model.network()
    applied = jnp.asarray(model.applied(inputs), jnp.float32)
    seen = jnp.asarray(model.output_scaling_.to_unit(outputs), jnp.float32)
    start = network.start(applied[: model.settled], seen[: model.settled])
    states = unroll(network.cell, applied[model.settled :], start).states
    leaves = jax.tree.leaves(states)
    flat = np.concatenate([np.asarray(leaf).reshape(len(leaf), -1) for leaf in leaves], axis=1)
    return np.stack([flat.min(axis=0), flat.max(axis=0)])


def save_stability(
    folder: Path, result: StabilityResult, input_bound: ArrayLike, origin: Origin | None
) -> Path:
    """Write `stability.json` into a run folder.

    Args:
        folder: of the run.
        result: of `certify`.
        input_bound: that it was asked for.
        origin: of the model that was analysed; None for one that never was in a run folder.

    Raises:
        RunFolderError: the folder holds another run than the one that was analysed.
        StorageError: the file cannot be written.
    """
    check_origin(folder, origin)
    path = folder / FILE
    content = {
        "origin": origin.stamp if origin else None,
        "verdict": result.verdict.name.lower(),
        "meaning": claim(result, input_bound),
        "input_bound": np.atleast_1d(np.asarray(input_bound, float)).tolist(),
        "reason": result.reason,
        "seconds": result.seconds,
        "certificate": result.certificate,
        "witness": result.witness,
        "attempts": result.attempts,
    }
    plain = {name: _plain(value) for name, value in content.items()}
    write_atomically(path, json.dumps({"digest": _digest(plain), **plain}, indent=1).encode())
    return path


def visited_in_training(folder: Path, model: PlantModel) -> np.ndarray | None:
    """`visited_states` over the data of a run; None if it was saved without them."""
    roles = stored_roles(folder, load_run(folder))
    if roles is None:
        return None
    experiments = roles.training.experiments or roles.test.experiments
    return visited_states(model, experiments[0].inputs, experiments[0].outputs)


def _digest(content: Mapping[str, Any]) -> str:
    """Of all other entries, so that an accident to one digit is seen; it does not protect against people."""
    return hashlib.sha256(json.dumps(content, indent=1).encode()).hexdigest()


def _whole(data: bytes) -> Any:
    """The content of a file that is as it was written.

    Raises:
        RunFolderError: it is not.
    """
    content = json.loads(data)
    stated = content.pop("digest")
    if stated != _digest(content):
        raise RunFolderError(f"{FILE} is not as it was written")
    return content


@dataclass(frozen=True, eq=False)
class Use:
    """How a model is used, to be compared with what is proved of it.

    Args:
        origin: of the model; None for one that never was in a run folder.
        inputs: largest size of every input, scaled, shape (inputs,).
        states: states that it went through, in flat order, shape (time, states); None if they are not known.
    """

    origin: Origin | None
    inputs: Float[np.ndarray, " inputs"]
    states: Float[np.ndarray, "time states"] | None = None


def stored_statement(folder: Path, use: Use) -> str:
    """What `stability.json` of a run folder says of a use of the model, in one sentence.

    A certificate of other weights, of another equation, or for smaller inputs than those in use proves
    nothing of this use, and the sentence says so.

    Args:
        folder: of the run.
        use: what the certificate must cover.
    """
    path = folder / FILE
    if not path.is_file():
        return _NOTHING
    try:
        data = read_file(path)
        content = _whole(data)
        objection = use.origin.objection(find_origin(data)) if use.origin else "belongs to a saved model"
        return f"{FILE} {objection}. {_NOTHING}" if objection else _statement(content, use)
    except (RunFolderError, RecursionError, *WRONG_FACTS) as problem:
        return f"{FILE} is damaged ({type(problem).__name__}). {_NOTHING}"


def stored_certificate(folder: Path, origin: Origin | None) -> Certificate | str:
    """The certificate in a run folder, or why there is none for these weights, in a few words.

    Args:
        folder: of the run.
        origin: of the model.
    """
    path = folder / FILE
    if not path.is_file():
        return "nothing is proved of this model yet"
    try:
        data = read_file(path)
        found = _whole(data)["certificate"]
        objection = origin.objection(find_origin(data)) if origin else "belongs to a saved model"
        if objection:
            return f"{FILE} {objection}"
        if found is None:
            return "the stability of this model is not proved"
        return _certificate(found)
    except (RunFolderError, RecursionError, *WRONG_FACTS) as problem:
        return f"{FILE} is damaged ({type(problem).__name__})"


def _statement(content: Any, use: Use) -> str:
    certificate = content["certificate"]
    if certificate is None:
        bound = np.array(content["input_bound"], float)
        verdict = Verdict[content["verdict"].upper()].name.lower()
        return f"Stability of the model for inputs within {bound_in_words(bound)} is {verdict}."
    rate, bound = float(certificate["rate"]), np.array(certificate["input_bound"], float)
    if not (0 <= rate < 1 and (use.inputs <= np.broadcast_to(bound, use.inputs.shape) * (1 + 1e-9)).all()):
        return (
            f"Nothing is proved of this use of the model: its certificate holds for inputs within "
            f"{bound_in_words(bound)}, and inputs within {bound_in_words(use.inputs)} are used here."
        )
    outside = _outside(certificate, use.states)
    if outside:
        return (
            f"The certificate of the model does not cover this use: in {outside} samples the estimated state "
            "is outside the set for which it holds."
        )
    return (
        f"The model is certified for inputs within {bound_in_words(bound)} and starts in the certified set: "
        f"differences shrink to at most {rate:.4f} times their size per sample."
    )


def _certificate(found: Mapping[str, Any]) -> Certificate:
    """The certificate whose fields were written; a null there is infinite."""
    infinite = {"low": -np.inf, "start_low": -np.inf}
    arrays = {
        name: np.array([infinite.get(name, np.inf) if one is None else one for one in found[name]], float)
        for name in ("weights", "low", "high", "start_low", "start_high", "input_bound")
    }
    return Certificate(
        level=int(found["level"]),
        rate=float(found["rate"]),
        input_gain=float(found["input_gain"]),
        transient=int(found["transient"]),
        metric=None if found["metric"] is None else np.array(found["metric"], float),
        remarks=str(found["remarks"]),
        about=str(found["about"]),
        groups=None if found["groups"] is None else np.array(found["groups"], int),
        input_order=np.inf if found["input_order"] is None else float(found["input_order"]),
        **arrays,
    )


def _outside(certificate: Mapping[str, Any], states: np.ndarray | None) -> int:
    """Samples in which a state is outside the start box; a null in a file is infinite."""
    low, high = (np.array(certificate[name], float) for name in ("start_low", "start_high"))
    if states is None or states.shape[1:] != low.shape:
        return 0
    return int(((states < low - 1e-9) | (states > high + 1e-9)).any(axis=1).sum())


def _plain(value: object) -> object:
    """Plain JSON values; JSON has no NaN, so that what is not finite is written as null."""
    if is_dataclass(value):
        return _plain(vars(value))
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def repairable(model: PlantModel) -> bool:
    """Whether `repair` can move this model: a regression that is its own output has nothing to train."""
    network = model.network()
    return not (getattr(network.inner, "fixed", False) and network.readout is None)


def retrained(command: str) -> str:
    """The command that made a run, for another one that is trained towards a proof; empty if not known.

    A family that nothing trains is left out of it, so that the default takes its place.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        return ""
    known = words[:2] == ["attractor", "identify"] and "--out" in words[:-1]
    if not known or "--certified" in words:
        return ""
    place = words.index("--out") + 1
    words[place] += "-certified"
    kept = [word for word in words if not (word.startswith("--cell=") and _is_fixed(word[7:]))]
    for at in [at for at, (one, name) in enumerate(pairwise(kept)) if one == "--cell" and _is_fixed(name)]:
        del kept[at : at + 2]
    return shlex.join([*kept, "--certified"])


def _is_fixed(name: str) -> bool:
    return name in FAMILIES and never_trained(name)


def repair(
    model: PlantModel,
    record: Record | tuple | list,
    *,
    validation: Record | tuple | list | None = None,
    steps: int = 2000,
    folder: Path | None = None,
    reporter: Reporter | None = None,
) -> PlantModel:
    """A certified model that starts from the weights of a trained one.

    The weights of the cell are first moved into the set of contracting cells by projections of the linearised
    bound, which changes them little; a training with the bound as a penalty then takes back what that cost.

    Args:
        model: a fitted model.
        record: the data that it was trained on (a `Record`, or a pair of inputs and outputs).
        validation: data for the choice of the best weights; None keeps the last part of the recordings.
        steps: updates of the training.
        folder: for log and checkpoints.
        reporter: hears about progress.

    Returns:
        A new model; ask its `certify`.

    Raises:
        NotFittedError: there is no model yet.
        ConfigError: the model is a regression, which nothing trains.
    """
    if not repairable(model):
        raise ConfigError(
            f"this model is a regression ({model.family}), which nothing trains, so that there is nothing to "
            "repair. Give its `attractor identify` command with --certified and without --cell "
            "(cell='auto', certified=True), which trains a GRU towards a proof"
        )
    start = model.network()
    options = model.get_params(deep=False)
    settings = replace(model.training, steps=steps, seeds=1, refine=0)
    # The structure was decided by the first training, also where that was left to the data.
    options |= {"certified": True, "training": settings, "feedthrough": model.timing_.option}
    options |= {"delay": model.timing_.delays or 0}
    fresh = PlantModel(**options)
    pair = record if isinstance(record, tuple) else (record, None)
    return fresh.fit(*pair, validation=validation, start=start, folder=folder, reporter=reporter)
