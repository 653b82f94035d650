"""Is an identified model stable for every input it may see? Asked, and kept in the run folder."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from attractor.certify import CertifySettings, StabilityResult, certify
from attractor.files import write_atomically
from attractor.progress import Reporter
from attractor.scan import unroll

from .estimator import PlantModel

FILE = "stability.json"


def certify_model(
    model: PlantModel,
    input_bound: float | int = 1.0,
    settings: CertifySettings | None = None,
    reporter: Reporter | None = None,
) -> StabilityResult:
    """`certify` for the cell of an identified model.

    Args:
        model: a fitted model.
        input_bound: inputs lie within +- this; 1 is the range of the training data.
        settings: how hard to try.
        reporter: hears about progress.
    """
    cell = model.network().cell
    return certify(cell, input_bound=float(input_bound), settings=settings, reporter=reporter)


def visited_states(
    model: PlantModel, inputs: Float[np.ndarray, "time inputs"], outputs: Float[np.ndarray, "time outputs"]
) -> Float[np.ndarray, "2 states"]:
    """Least and largest value of every state over a recording (engineering units), in flat order."""
    network = model.network()
    given = jnp.asarray(model.input_scaling_.to_unit(inputs), jnp.float32)
    seen = jnp.asarray(model.output_scaling_.to_unit(outputs), jnp.float32)
    start = network.start(given[: model.settled], seen[: model.settled])
    states = unroll(network.cell, given[model.settled :], start).states
    leaves = jax.tree.leaves(states)
    flat = np.concatenate([np.asarray(leaf).reshape(len(leaf), -1) for leaf in leaves], axis=1)
    return np.stack([flat.min(axis=0), flat.max(axis=0)])


def save_stability(folder: Path, result: StabilityResult) -> Path:
    """Write `stability.json` into a run folder.

    Raises:
        StorageError: the file cannot be written.
    """
    path = folder / FILE
    content = {
        "verdict": result.verdict.name.lower(),
        "meaning": result.verdict.value,
        "reason": result.reason,
        "seconds": result.seconds,
        "certificate": _plain(result.certificate),
        "witness": _plain(result.witness),
        "attempts": [asdict(attempt) for attempt in result.attempts],
    }
    write_atomically(path, json.dumps(_finite(content), indent=1).encode())
    return path


def stored_statement(folder: Path) -> str:
    """What `stability.json` of a run folder says, in one sentence; that nothing is known if there is none."""
    path = folder / FILE
    if not path.is_file():
        return "Nothing is proved of this model; `attractor certify` tries."
    content = json.loads(path.read_text())
    certificate = content.get("certificate")
    if certificate is None:
        return f"Stability of the model is {content.get('verdict', 'unknown')}."
    return f"The model is certified: differences shrink by {certificate['rate']:.4f} a sample."


def _plain(record: Any) -> dict[str, Any] | None:
    return None if record is None else {name: _listed(value) for name, value in vars(record).items()}


def _listed(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def _finite(value: Any) -> Any:
    """JSON has no NaN: what is not finite is written as null."""
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
