"""Simulated plants: each is a few documented functions of physical quantities, run by `simulate`."""

from collections.abc import Callable

from attractor.errors import ConfigError

from .ph import PHNeutralisation
from .plant import Plant
from .quadruple_tank import QuadrupleTank, nonminimum_phase_tank, pilot_plant_tank

PLANTS: dict[str, Callable[[], Plant]] = {
    "ph": PHNeutralisation,
    "quadruple-tank": QuadrupleTank,
    "quadruple-tank-nonminimum-phase": nonminimum_phase_tank,
    "quadruple-tank-pilot": pilot_plant_tank,
}


def plant_by_name(name: str) -> Plant:
    """The plant that the command line calls `name`.

    Raises:
        ConfigError: if there is none; the message lists those that exist.
    """
    if name not in PLANTS:
        raise ConfigError(f"There is no plant {name!r}. Known plants: {', '.join(PLANTS)}.")
    return PLANTS[name]()
