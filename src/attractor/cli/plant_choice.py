"""What `control --plant` may be: a plant of the house, the user's own, another run, or the model itself."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from attractor.errors import ConfigError

from .own_cells import own_object

if TYPE_CHECKING:
    from attractor.control import PlantModel
    from attractor.control.plants.plant import Plant
    from attractor.control.plants.process import Process

ITSELF = "model"
"""The word for the model itself as the plant."""


@dataclass(frozen=True)
class ChosenPlant:
    """A plant, and what it is.

    Args:
        process: the plant.
        kind: where it comes from.
    """

    process: "Plant | Process"
    kind: Literal["built-in", "own", "run", "itself"]


def chosen_plant(text: str, model: "PlantModel") -> ChosenPlant:
    """The plant behind the text that a user gave.

    Args:
        text: a name, `plant.py:Plant`, a run folder, or `model`.
        model: that is to control it.

    Raises:
        ConfigError: it is none of these, or a plant of the user's that cannot be used.
        RunFolderError: the folder holds no run that can be read.
        UnsupportedError: a model in the place of the plant has feedthrough.
    """
    from attractor.control import PLANTS, plant_by_name
    from attractor.control.model import card_of
    from attractor.control.plants.model_plant import ModelPlant
    from attractor.control.plants.own_plant import own_plant

    if text in PLANTS:
        return ChosenPlant(plant_by_name(text), "built-in")
    if text == ITSELF:
        return ChosenPlant(ModelPlant(model, "the model itself"), "itself")
    if Path(text).is_dir():
        other = _other_run(Path(text))
        same = other.origin is not None and other.origin == model.origin
        return ChosenPlant(ModelPlant(other, f"the model of {text}"), "itself" if same else "run")
    if ":" in text or text.endswith(".py"):
        source = own_object(text, option="--plant", what="class or function")
        return ChosenPlant(own_plant(source, card_of(model), text.rpartition(":")[2]), "own")
    raise ConfigError(
        f"there is no plant {text!r}. Give one of the house ({', '.join(PLANTS)}), your own as "
        "plant.py:Plant, a "
        f"second run folder, or the word {ITSELF!r} for the model itself"
    )


def _other_run(folder: Path) -> "PlantModel":
    from attractor.run_kinds import kind_of

    from .own_cells import cell_of

    kind = kind_of(folder)
    able = kind.able("control", folder)
    return able(kind.load(folder, cell_of(folder, None)))
