"""Identification: from recordings to a model that simulates the plant."""

from .estimator import PlantModel
from .network import Encoder, NetworkPlan, PlantNetwork

__all__ = ["Encoder", "NetworkPlan", "PlantModel", "PlantNetwork"]
