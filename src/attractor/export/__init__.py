"""Cells in the formats of other tools."""

from .torch_weights import from_torch_state, load_torch, save_torch, to_torch_state

__all__ = ["from_torch_state", "load_torch", "save_torch", "to_torch_state"]
