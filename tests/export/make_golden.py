"""Write golden_torch.safetensors: recurrent modules of torch, their inputs and what they compute.

Run with an interpreter that has torch (2.13.0 wrote the file) and safetensors, from anywhere:

    python tests/export/make_golden.py

Entries are `<case>/state/<entry of the state dict>`, `<case>/inputs` (time, inputs), `<case>/outputs` (the
states of the last layer, (time, hidden)) and `<case>/last` (the last h of every layer, (layers, hidden)).
"""

import pathlib

import torch
from safetensors.torch import save_file

STEPS, INPUTS, HIDDEN = 7, 3, 5
MODULES = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}
CASES = [
    (kind, layers, bias, dtype)
    for kind in MODULES
    for layers in (1, 2)
    for bias in (True, False)
    for dtype in (torch.float32, torch.float64)
]


def main() -> None:
    """Write the file beside this script."""
    torch.manual_seed(2024)
    entries = {}
    for kind, layers, bias, dtype in CASES:
        module = MODULES[kind](INPUTS, HIDDEN, layers, bias=bias, dtype=dtype)
        inputs = torch.randn(STEPS, INPUTS, dtype=dtype)
        with torch.no_grad():
            outputs, last = module(inputs)
        case = f"{kind}-{layers}-{'bias' if bias else 'plain'}-{str(dtype).removeprefix('torch.')}"
        entries |= {f"{case}/state/{name}": value.clone() for name, value in module.state_dict().items()}
        hidden = last[0] if kind == "lstm" else last
        entries |= {f"{case}/inputs": inputs, f"{case}/outputs": outputs, f"{case}/last": hidden.contiguous()}
    save_file(entries, pathlib.Path(__file__).with_name("golden_torch.safetensors"))


if __name__ == "__main__":
    main()
