"""A step that was written elsewhere and saved as an ONNX file, as a cell with every reading of the house."""

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from attractor.errors import ConfigError
from attractor.onnx_reader import OnnxFunction, Port, read_onnx

from .contract import Cell, State, weight_dtype

# Names of one input and one output that belong together: `h` and `h_out`, `c0` and `c1`, ...
_AFTER = ("_out", "_next", "_new", "n", "_n", "1", "_1", "'")
_BEFORE = ("", "_in", "_prev", "_old", "0", "_0")


class OnnxCell(Cell):
    """One step of an ONNX file: its arrays of real numbers are the weights; made by `from_onnx`.

    Args:
        weights: by their names in the file.
        function: the network.
        states: names of the states among its inputs, each with that of its output.
        shown: name of the output that a read-out may see; None for the first state.
    """

    weights: dict[str, Array]
    function: OnnxFunction = eqx.field(static=True)
    states: tuple[tuple[str, str], ...] = eqx.field(static=True)
    shown: str | None = eqx.field(static=True)
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    @property
    def name(self) -> str:
        """Of its operators."""
        return f"ONNX cell of {', '.join(self.function.operators)}"

    def initial_state(self) -> State:
        """Zeros: an array for one state, a tuple for several; a shown output comes last."""
        ports = {port.name: port for port in self.function.inputs}
        shapes = [_bare(ports[before].shape) for before, _ in self.states]
        outputs = {port.name: port for port in self.function.outputs}
        shapes += [] if self.shown is None else [_bare(outputs[self.shown].shape)]
        start = tuple(jnp.zeros(shape, weight_dtype(self)) for shape in shapes)
        return start[0] if len(start) == 1 else start

    def exposed(self, state: State) -> Array:
        """The shown output, or the first state, as a vector."""
        if not isinstance(state, tuple):
            return jnp.ravel(state)
        return jnp.ravel(state[0 if self.shown is None else -1])

    def __call__(self, input: Array, state: State, *, key: PRNGKeyArray | None = None) -> State:
        """One step."""
        parts = list(state) if isinstance(state, tuple) else [state]
        given = dict(zip([before for before, _ in self.states], parts, strict=False))
        arrays = [jnp.reshape(given.get(port.name, input), port.shape) for port in self.function.inputs]
        wanted = [after for _, after in self.states] + ([] if self.shown is None else [self.shown])
        found = self.function.evaluate(arrays, wanted, self.weights)
        after = tuple(jnp.reshape(one, part.shape) for one, part in zip(found, parts, strict=True))
        return after[0] if len(after) == 1 else after


def from_onnx(
    path: Path | str, *, state: Mapping[str, str] | None = None, exposed: str | None = None
) -> OnnxCell:
    """A cell of an ONNX file whose inputs are one input and the states, and whose outputs are the new states.

    Axes of size one at the front, as batch axes are, are taken away. A sequence starts from zeros.

    Args:
        path: of the file.
        state: names of the inputs that are states, each with the name of the output that is the new one; None
            to pair them by name (`h` with `h_out`, `hn`, `h_next`, `h1`) and shape.
        exposed: an output that is no state, for a read-out to see; None shows the first state.

    Raises:
        ConfigError: states that cannot be told, or names that the file does not have; the message says what
            to write.
        InputDataError: see `attractor.onnx_reader.read_onnx`.
        UnsupportedError: see there.
    """
    function = read_onnx(Path(path))
    pairs = tuple((_paired(function) if state is None else dict(state)).items())
    _check_pairs(function, pairs, exposed)
    inputs = [port for port in function.inputs if port.name not in dict(pairs)]
    if len(inputs) != 1:
        raise ConfigError(
            f"{path}: {len(inputs)} inputs are no states ({_named(inputs)}); a cell takes one. "
            f"{_help(function)}"
        )
    weights = {
        name: jnp.asarray(one)
        for name, one in function.constants.items()
        if one.dtype.kind == "f" and one.size > 1
    }
    ports = {port.name: port for port in function.inputs}
    hidden = sum(prod(ports[before].shape) for before, _ in pairs)
    return OnnxCell(
        weights=weights,
        function=function,
        states=pairs,
        shown=exposed,
        input_size=prod(inputs[0].shape),
        hidden_size=hidden,
    )


def _paired(function: OnnxFunction) -> dict[str, str]:
    """States by the names of inputs and outputs; a single pair of one shape needs no names."""
    found = {}
    for before in function.inputs:
        stems = {before.name.removesuffix(end) for end in _BEFORE if before.name.endswith(end)}
        for after in function.outputs:
            if after.shape == before.shape and after.name in {stem + end for stem in stems for end in _AFTER}:
                found.setdefault(before.name, after.name)
    if found:
        return found
    alike = [
        (one.name, other.name)
        for one in function.inputs
        for other in function.outputs
        if one.shape == other.shape
    ]
    if len(alike) == 1:
        return dict(alike)
    raise ConfigError(f"which inputs are states cannot be told from their names. {_help(function)}")


def _check_pairs(function: OnnxFunction, pairs: Sequence[tuple[str, str]], exposed: str | None) -> None:
    inputs = {port.name: port for port in function.inputs}
    outputs = {port.name: port for port in function.outputs}
    for before, after in pairs:
        if before not in inputs or after not in outputs:
            raise ConfigError(
                f"the file has no state '{before}' with the new one '{after}'. {_help(function)}"
            )
        if _bare(inputs[before].shape) != _bare(outputs[after].shape):
            raise ConfigError(
                f"state '{before}' has shape {inputs[before].shape}, '{after}' has {outputs[after].shape}"
            )
    if exposed is not None and exposed not in outputs:
        raise ConfigError(f"the file has no output '{exposed}'; it has {_named(function.outputs)}")


def _help(function: OnnxFunction) -> str:
    first, last = function.inputs[-1].name, function.outputs[-1].name
    return (
        f"Inputs: {_named(function.inputs)}; outputs: {_named(function.outputs)}. "
        f"Say which are states: from_onnx(path, state={{'{first}': '{last}'}})"
    )


def _named(ports: Sequence[Port]) -> str:
    return ", ".join(f"{port.name} {port.shape}" for port in ports) or "none"


def _bare(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without the axes of size one at its front."""
    while len(shape) > 1 and shape[0] == 1:
        shape = shape[1:]
    return shape or (1,)
