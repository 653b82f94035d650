"""A `PlantModel` in a run folder, and back."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from math import inf
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float

from attractor.cells import initial_state
from attractor.data import Scaling, Signal
from attractor.errors import RunFolderError
from attractor.folders import facts_of
from attractor.origin import Origin
from attractor.program import single_precision
from attractor.program.digest import equation_digest
from attractor.runs import Run, load_run, weights_digest
from attractor.training import TrainingSettings
from attractor.training.checkpoint import CHECKPOINTS, save_finished, to_arrays
from attractor.training.describing import describe_option, find_cell
from attractor.training.identity import check_equation, check_rebuilds, describe_equation, probe_rows
from attractor.training.restoring import check_scaling, check_sizes, fact, restored

from .plant_model import PlantModel
from .plant_network import PlantNetwork
from .recordings import Signals

KIND = "PlantModel"


def save_model(
    model: PlantModel,
    folder: Path,
    *,
    card: Mapping[str, Any] | None = None,
    evaluation: Mapping[str, np.ndarray] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a fitted model; `card` and `evaluation` add what a report needs.

    Raises:
        ConfigError: the cell draws something while it is built that a folder does not keep.
        RunFolderError: the folder holds a finished run and `overwrite` is off, or another training has its
            checkpoint there.
        StorageError: another process works in the folder, or it cannot be written.
    """
    model.network()
    check_kept(model)
    content = {
        "kind": KIND,
        "options": {name: describe_option(value) for name, value in model.get_params(deep=False).items()},
        "signals": asdict(model.signals_),
        "scaling": {"inputs": model.input_scaling_.to_dict(), "outputs": model.output_scaling_.to_dict()},
        "members": len(jax.tree.leaves(eqx.filter(model.members_, eqx.is_array))[0]),
        "member": model.member_,
        "flat_output": model.flat_output_,
        "feedthrough": model.feedthrough_,
        "fingerprint": model.fingerprint_,
        **(card or {}),
        "equation": plant_equation(model),
    }
    run = Run(content, to_arrays(model.members_), dict(evaluation or {}))
    model.origin = save_finished(folder, run, CHECKPOINTS, model.fingerprint_, overwrite=overwrite)


@single_precision()
def load_model(kind: type[PlantModel], folder: Path, cell: Callable[..., Any] | None) -> Any:
    """Read a fitted model.

    Raises:
        RunFolderError: the folder holds something else, or a cell that must be handed in.
    """
    run = load_run(folder)
    card = run.card
    if card.get("kind") != KIND:
        message = f"{folder} holds {card.get('kind')!r}, not a {KIND}"
        raise RunFolderError(message)
    with facts_of(folder / "card.json"):
        check_sizes({**card["options"], **card}, run.weights)
        model = _from_card(kind, card, cell)
        model.members_ = restored(model.plan_, card["members"], run.weights, folder)
        check_equation(folder, card, plant_equation(model))
    model.origin = run.origin
    return model


def plant_equation(model: PlantModel) -> dict[str, Any]:
    """What a card keeps of the equation of a fitted model, see `describe_equation`."""
    network = model.network()
    return describe_equation(_once, network, _probe_data(model, network), model.cell)


def plant_origin(model: PlantModel) -> Origin:
    """Weights and equation of a fitted model, as its run folder has them or would have them."""
    network = model.network()
    equation = equation_digest(_once, network, *_probe_data(model, network))
    return Origin(weights_digest(to_arrays(model.members_)), equation)


def check_kept(model: PlantModel) -> None:
    """Refuse a cell that a run folder could not give back, see `check_rebuilds`.

    Raises:
        ConfigError: it is one.
    """
    check_rebuilds(_once, model.plan_, lambda network: _probe_data(model, network), model.cell)


def _probe_data(model: PlantModel, network: PlantNetwork) -> tuple[Array, Array]:
    """Inputs and measured outputs of a few samples, as many as the network reads its state from and one."""
    rows = 1 + (model.settled if network.reads_state else 0)
    inputs, outputs = len(model.signals_.inputs), len(model.signals_.outputs)
    seen = probe_rows(rows, inputs + outputs)
    return seen[:, :inputs], seen[:, inputs:]


def _once(
    network: PlantNetwork, inputs: Float[Array, "rows inputs"], outputs: Float[Array, "rows outputs"]
) -> Any:
    """Everything that a prediction hangs on: rest, start from measured rows, one step, read-out."""
    begun = network.start(inputs[:-1], outputs[:-1])
    after = network.cell(inputs[-1], begun)
    return initial_state(network.cell), begun, after, network.read(after)


def _from_card(
    kind: type[PlantModel], card: Mapping[str, Any], cell: Callable[..., Any] | None
) -> PlantModel:
    options = dict(card["options"])
    options["cell"] = find_cell(options["cell"], cell, KIND)
    options["training"] = TrainingSettings(**options["training"])
    model = kind(**options)
    model.signals_ = _signals(card["signals"])
    model.input_scaling_ = Scaling.from_dict(card["scaling"]["inputs"])
    model.output_scaling_ = Scaling.from_dict(card["scaling"]["outputs"])
    for scaling, side in ((model.input_scaling_, "inputs"), (model.output_scaling_, "outputs")):
        check_scaling(scaling, len(card["signals"][side]))
    model.member_, model.flat_output_ = fact(card, "member", int), fact(card, "flat_output", bool)
    model.feedthrough_ = fact(card, "feedthrough", bool)
    model.fingerprint_ = fact({"fingerprint": "", **card}, "fingerprint", str)
    model.check_options()
    model.plan_ = model.make_plan()
    return model


def _signals(facts: Mapping[str, Any]) -> Signals:
    inputs, outputs = (
        tuple(Signal(fact(one, "name", str), fact(one, "unit", str)) for one in facts[side])
        for side in ("inputs", "outputs")
    )
    sampling_time = fact(facts, "sampling_time", float)
    if not (inputs and outputs and 0 < sampling_time < inf):
        message = f"signals {facts!r}: expected inputs, outputs and a positive sampling time"
        raise ValueError(message)
    return Signals(inputs, outputs, sampling_time)
