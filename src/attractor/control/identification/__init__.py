"""Identification: from recordings to a model that simulates the plant."""

from .plant_model import PlantModel
from .plant_network import Encoder, NetworkPlan, PlantNetwork

__all__ = ["Encoder", "NetworkPlan", "PlantModel", "PlantNetwork"]
