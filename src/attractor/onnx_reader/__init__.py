"""ONNX files as functions that JAX can trace: the same program as of a cell that is written here."""

from .node import OPERATORS
from .reader import OnnxFunction, Port, read_onnx

__all__ = ["OPERATORS", "OnnxFunction", "Port", "read_onnx"]
