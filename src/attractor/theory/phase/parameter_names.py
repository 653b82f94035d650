"""Names of the parameters of a gated network, and the letters that papers give them."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from attractor.cells import GatedForm
from attractor.errors import ConfigError

LETTERS = {
    "g_h": "gain",
    "alpha_z": "update_gain",
    "alpha_r": "reset_gain",
    "b_h": "bias",
    "b_z": "update_bias",
    "b_r": "reset_bias",
    "tau_z": "update_time",
    "tau_r": "reset_time",
}
"""Letters of Krishnamurthy, Can and Schwab 2022 (arXiv 2007.14823), with our sign of the biases."""

SYMBOLS = {
    "gain": "g",
    "update_gain": "\u03b1 of the update gate",
    "reset_gain": "\u03b1 of the reset gate",
    "bias": "b of the activation",
    "update_bias": "b of the update gate",
    "reset_bias": "b of the reset gate",
    "update_time": "τ of the update gate",
    "reset_time": "τ of the reset gate",
}
"""What an axis is called in a figure."""

_OPEN = {"update": "open_update", "reset": "open_reset"}


def parameter_name(name: str) -> str:
    """The name of a parameter, for that name or its letter; any other name as it is."""
    return LETTERS.get(name, name)


def gate_of(name: str) -> str | None:
    """The gate a parameter belongs to, "update" or "reset"; None for those of h."""
    first = name.split("_", maxsplit=1)[0]
    return first if first in _OPEN else None


def check_moves(form: GatedForm, name: str, axis: str) -> None:
    """Refuse an axis that is no parameter, or one of a gate that is not there.

    Args:
        form: of the network.
        name: of the parameter.
        axis: which axis it is on, for the message.

    Raises:
        ConfigError: it does not move anything.
    """
    if name not in SYMBOLS:
        letters = ", ".join(f"{ours} ({letter})" for letter, ours in LETTERS.items())
        message = f"{axis}: {name!r} is no parameter of a gated network; give one of {letters}"
        raise ConfigError(message)
    gate = gate_of(name)
    if gate is not None and getattr(form, _OPEN[gate]):
        message = f"{axis}: {name} has no effect on a gate that is always open; set {_OPEN[gate]}=False"
        raise ConfigError(message)


def with_values(form: GatedForm, values: Mapping[str, float]) -> GatedForm:
    """The form with other numbers."""
    kept: dict[str, Any] = {field.name: getattr(form, field.name) for field in fields(form)}
    return GatedForm(**{**kept, **values})
