"""One epoch of training on images read pixel by pixel, beside torch: optimiser, shuffling and all.

Ours is `SequenceClassifier` with its progress of every epoch (validation of a tenth of the images included);
torch is nn.GRU of the same width with a linear read-out, Adam and clipped gradients, without validation.
Both get the same images in batches of 64, in float32, with the cores that the process may use.

    python -m benchmarks.pixel_epochs FOLDER --pool 1 --epochs 3
"""

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from attractor.cells import Lipschitz
from attractor.classification import EpochSettings, NoiseSettings, ReadoutSettings, SequenceClassifier
from benchmarks.recording import record
from experiments.noisy import VALIDATION, pixels

HIDDEN, BATCH = 128, 64
OURS = {
    "Lipschitz": {"cell": partial(Lipschitz, step=0.03)},
    "Lipschitz, noise": {"cell": partial(Lipschitz, step=0.03), "noise": NoiseSettings(0.05)},
    "GRU": {"cell": "gru"},
}


def our_epochs(data, epochs, options):
    """Seconds of every epoch behind the first, which compiles."""
    model = SequenceClassifier(
        **options,
        hidden_size=HIDDEN,
        standardise=False,
        readout=ReadoutSettings(convolutions=0),
        training=EpochSettings(
            batch_size=BATCH,
            epochs=epochs + 1,
            learning_rate=3e-3,
            weight_decay=0.0,
            validation_share=VALIDATION,
        ),
    ).fit(data)
    return np.diff([entry["seconds"] for entry in model.trained_.history])


class TorchGRU(torch.nn.Module):
    """nn.GRU and a linear read-out of its last state."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.GRU(1, HIDDEN, batch_first=True)
        self.readout = torch.nn.Linear(HIDDEN, 10)

    def forward(self, inputs):
        """Logits."""
        return self.readout(self.layer(inputs)[1][0])


def torch_epochs(data, epochs):
    """Seconds of every epoch behind the first, over as many images as ours trains on."""
    count = len(data) - round(VALIDATION * len(data))
    inputs = torch.from_numpy(data.values[:count].astype("f4"))
    labels = torch.from_numpy(np.asarray(data.labels[:count]))
    model = TorchGRU()
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    seconds = []
    for _ in range(epochs + 1):
        begin = time.perf_counter()
        for some in torch.randperm(count).split(BATCH):
            optimiser.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(model(inputs[some]), labels[some]).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
        seconds.append(time.perf_counter() - begin)
    return np.array(seconds[1:])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pool", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=3)
    asked = parser.parse_args()
    data = pixels(asked.folder / "MNIST_train.npz", asked.pool)
    peer = torch_epochs(data, asked.epochs)
    table = Table(
        "training", "fastest epoch", "median", "torch / this", title=f"{data.values.shape[1]} steps"
    )
    table.add_row("torch nn.GRU", f"{peer.min():.2f} s", f"{np.median(peer):.2f} s", "")
    for name, options in OURS.items():
        own = our_epochs(data, asked.epochs, options)
        ratio = f"{peer.min() / own.min():.2f}"
        table.add_row(name, f"{own.min():.2f} s", f"{np.median(own):.2f} s", ratio)
    Console(width=100).print(table)
    record("pixel_epochs", table)


if __name__ == "__main__":
    main()
