"""Options that the family of a model cannot honour are refused before anything is read or trained."""

from typing import Protocol, runtime_checkable

from attractor.cells import cell_class
from attractor.cells.building import CellBuilder
from attractor.errors import ConfigError
from attractor.training import TrainingSettings
from attractor.training.networks import AUTO

from .race import AS_FITTED

USUAL_SIZE, USUAL_LAYERS = 8, 1
"""Units and layers of a model for which nothing else was said."""


def never_trained(cell: str | CellBuilder) -> bool:
    """Whether the cell stays as a regression gives it, or as it was drawn: a linear model, a reservoir."""
    if cell in AS_FITTED:
        return True
    known = cell_class(cell) if isinstance(cell, str) and cell != AUTO else cell
    return bool(getattr(known, "fixed", False))


@runtime_checkable
class FamilyOptions(Protocol):
    """Options of a `PlantModel` that not every family can honour."""

    cell: str | CellBuilder
    hidden_size: int
    layers: int
    certified: bool
    training: TrainingSettings


def check_family(options: FamilyOptions) -> None:
    """Refuse options that would change nothing; a model that was read from a folder may have them.

    Args:
        options: of a model that is to be trained.

    Raises:
        ConfigError: the family has none of what such an option speaks of.
    """
    cell, size, layers = options.cell, options.hidden_size, options.layers
    if not never_trained(cell):
        return
    name = cell if isinstance(cell, str) else getattr(cell, "__name__", "this cell")
    if options.certified:
        raise ConfigError(
            f"certified=True trains a cell towards a proof, and nothing trains {name}: take another cell, or "
            "none, which trains a GRU; or fit it without: `certify` tries to prove it as it is"
        )
    if cell in AS_FITTED and (size, layers) != (USUAL_SIZE, USUAL_LAYERS):
        asked = f"hidden_size={size}" if size != USUAL_SIZE else f"layers={layers}"
        raise ConfigError(
            f"{asked}: the size of {name} follows from the data, by a regression, and it has one layer; "
            "leave this option out, or take another cell"
        )
    if options.training.refine and cell not in AS_FITTED:
        raise ConfigError(
            f"refine={options.training.refine}: Gauss-Newton steps move weights, and those of {name} stay as "
            "they were drawn; leave it out, or take another cell"
        )
