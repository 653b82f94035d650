"""Bounds of auto_LiRPA on networks that are handed over as arrays; runs in an environment of its own.

    PYTHONPATH=auto_LiRPA python benchmarks/verification_peer.py PROBLEMS.npz

It prints one line of JSON: for every problem and method the upper bounds of all outputs and the seconds of
one core, or the name of the error. Needs torch and auto_LiRPA, nothing of Attractor. RNN modules are refused
there, so that cells are unrolled by hand.
"""

import contextlib
import io
import json
import sys
import time
import warnings

import numpy as np
import torch
from auto_LiRPA import BoundedModule, BoundedTensor, PerturbationLpNorm

ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh, "logistic": torch.sigmoid}
METHODS = (("CROWN", 0), ("alpha-CROWN", 20), ("alpha-CROWN", 100))


class Layers(torch.nn.Module):
    """Layers with one activation between them."""

    def __init__(self, arrays):
        super().__init__()
        count = sum(name.startswith("matrix") for name in arrays)
        self.maps = torch.nn.ModuleList()
        for index in range(count):
            matrix, bias = (torch.tensor(arrays[f"{name}{index}"]) for name in ("matrix", "bias"))
            layer = torch.nn.Linear(matrix.shape[1], matrix.shape[0])
            layer.weight.data, layer.bias.data = matrix, bias
            self.maps.append(layer)
        self.activation = ACTIVATIONS[str(arrays["activation"])]

    def forward(self, inputs):
        """All layers."""
        for layer in self.maps[:-1]:
            inputs = self.activation(layer(inputs))
        return self.maps[-1](inputs)


class Unrolled(torch.nn.Module):
    """A read-out of a cell after some steps, as `benchmarks.verification.unrolled` has it."""

    def __init__(self, arrays):
        super().__init__()
        self.kind, self.steps = str(arrays["kind"]), int(arrays["steps"])
        self.given = torch.nn.Linear(arrays["given"].shape[1], arrays["given"].shape[0])
        self.given.weight.data = torch.tensor(arrays["given"])
        self.given.bias.data = torch.tensor(arrays["constant"])
        self.own = torch.nn.Linear(arrays["own"].shape[1], arrays["own"].shape[0], bias=False)
        self.own.weight.data = torch.tensor(arrays["own"])
        self.readout = torch.nn.Linear(arrays["own"].shape[1], 1, bias=False)
        self.readout.weight.data = torch.tensor(arrays["readout"])[None]
        self.units, self.inputs = arrays["own"].shape[1], arrays["given"].shape[1]

    def forward(self, inputs):
        """All steps."""
        state = cell = inputs.new_zeros((inputs.shape[0], self.units))
        for step in range(self.steps):
            at = inputs[:, step * self.inputs : (step + 1) * self.inputs]
            state, cell = self.step(at, state, cell)
        return self.readout(state)

    def step(self, at, state, cell):
        """One step of the kind of cell."""
        given, own, n = self.given(at), self.own(state), self.units
        parts = [
            (given[:, k * n : (k + 1) * n], own[:, k * n : (k + 1) * n]) for k in range(given.shape[1] // n)
        ]
        if self.kind == "tanh":
            return torch.tanh(given + own), cell
        if self.kind == "GRU":
            (a, d), (b, e), (c, f) = parts
            keep = torch.sigmoid(b + e)
            return (1 - keep) * torch.tanh(c + torch.sigmoid(a + d) * f) + keep * state, cell
        let_in, keep, new, out = (one + other for one, other in parts)
        cell = torch.sigmoid(keep) * cell + torch.sigmoid(let_in) * torch.tanh(new)
        return torch.sigmoid(out) * torch.tanh(cell), cell


def bounds(arrays):
    """Upper bounds and seconds by method, or an error's name."""
    low, high = (torch.tensor(arrays[name])[None] for name in ("low", "high"))
    found = {}
    for method, steps in METHODS:
        name = f"{method} {steps}" if steps else method
        begin = time.process_time()
        try:
            module = (Layers if "activation" in arrays else Unrolled)(arrays).eval()
            options = {"optimize_bound_args": {"iteration": steps}} if steps else {}
            bounded = BoundedModule(module, (low + high) / 2, bound_opts=options)
            tensor = BoundedTensor((low + high) / 2, PerturbationLpNorm(norm=np.inf, x_L=low, x_U=high))
            kind = "CROWN-Optimized" if steps else "CROWN"
            begin = time.process_time()
            with contextlib.nullcontext() if steps else torch.no_grad():
                _, upper = bounded.compute_bounds(x=(tensor,), method=kind, bound_lower=False)
            found[name] = {"upper": upper[0].tolist(), "s": time.process_time() - begin}
        except Exception as problem:  # noqa: BLE001 (whatever the peer raises is its answer)
            found[name] = {"error": type(problem).__name__, "s": time.process_time() - begin}
    return found


def main():
    """Read all problems, print all bounds."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    problems: dict[str, dict[str, np.ndarray]] = {}
    with np.load(sys.argv[1]) as file:
        for name in file.files:
            problem, part = name.split("/")
            array = file[name]
            single = array.astype(np.float32) if array.dtype == np.float64 else array
            problems.setdefault(problem, {})[part] = single
    with contextlib.redirect_stdout(io.StringIO()):
        found = {name: bounds(arrays) for name, arrays in problems.items()}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
