"""The recurrent operators RNN, GRU and LSTM, step by step: what bounds read of them are their gates."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from .node import Node, Value, known, operator

_FUNCTIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "Tanh": jnp.tanh,
    "Sigmoid": jax.nn.sigmoid,
    "Relu": lambda one: jnp.maximum(one, 0),
}

# `step(input, state) -> state` for one direction; a state is a tuple of arrays (batch, hidden).
_State = tuple[jax.Array, ...]
_Step = Callable[[jax.Array, _State], _State]


@operator("RNN", "GRU", "LSTM")
def _recurrent(
    node: Node, inputs: Value, weights: Value, recurrent: Value, *more: Value | None
) -> list[Value]:
    """Outputs of all steps, and the last state of every direction."""
    bias, lengths, *rest = [*more, *[None] * 6][:6]
    if node.get("layout", 0):
        inputs = jnp.swapaxes(inputs, 0, 1)
        rest = [None if one is None else jnp.swapaxes(one, 0, 1) for one in rest[:2]] + rest[2:]
    if lengths is not None and (not known(lengths) or (np.asarray(lengths) != inputs.shape[0]).any()):
        raise node.refused("sequences of different lengths")
    if node.operator == "LSTM" and len(rest) > 2 and rest[2] is not None:
        raise node.refused("peepholes")
    node.only("clip")
    direction = node.get("direction", "forward")
    hidden = recurrent.shape[-1]
    node.only("hidden_size", hidden)
    outputs, lasts = [], []
    for number in range(weights.shape[0]):
        states = 2 if node.operator == "LSTM" else 1
        begin = tuple(
            jnp.zeros((inputs.shape[1], hidden), inputs.dtype) if one is None else jnp.asarray(one[number])
            for one in rest[:states]
        )
        step = _STEPS[node.operator](
            node, number, weights[number], recurrent[number], None if bias is None else bias[number]
        )
        backwards = direction == "reverse" or number == 1
        path, last = _run(step, jnp.asarray(inputs), begin, backwards=backwards)
        outputs.append(path)
        lasts.append(last)
    whole = jnp.stack(outputs, axis=1)
    finals = [jnp.stack(column) for column in zip(*lasts, strict=True)]
    if node.get("layout", 0):
        return [jnp.transpose(whole, (2, 0, 1, 3)), *[jnp.swapaxes(one, 0, 1) for one in finals]]
    return [whole, *finals]


def _run(step: _Step, inputs: jax.Array, state: _State, *, backwards: bool) -> tuple[jax.Array, _State]:
    order = range(inputs.shape[0])
    path: dict[int, jax.Array] = {}
    for index in reversed(order) if backwards else order:
        state = step(inputs[index], state)
        path[index] = state[0]
    return jnp.stack([path[index] for index in order]), state


def _functions(node: Node, number: int, each: list[str]) -> list[Callable[[jax.Array], jax.Array]]:
    node.seen.update(("activation_alpha", "activation_beta"))
    if node.attributes.get("activation_alpha") or node.attributes.get("activation_beta"):
        raise node.refused("parameters of activations")
    names = node.get("activations", each * 2)[number * len(each) : (number + 1) * len(each)] or each
    for name in names:
        if name not in _FUNCTIONS:
            raise node.refused(f"the activation {name}")
    return [_FUNCTIONS[name] for name in names]


def _parts(
    weights: Value, recurrent: Value, bias: Value | None, count: int
) -> tuple[list[Value], list[Value], list[Value], list[Value]]:
    """Weights of the gates: of the input, of the state, and both biases."""
    shifts = np.zeros(2 * weights.shape[0], weights.dtype) if bias is None else bias
    both = _split(shifts, 2 * count)
    return _split(weights, count), _split(recurrent, count), both[:count], both[count:]


def _split(one: Value, count: int) -> list[Value]:
    size = one.shape[0] // count
    return [one[number * size : (number + 1) * size] for number in range(count)]


def _plain(node: Node, number: int, weights: Value, recurrent: Value, bias: Value | None) -> _Step:
    (function,) = _functions(node, number, ["Tanh"])
    (own,), (theirs,), (shift,), (more,) = _parts(weights, recurrent, bias, 1)
    return lambda input, state: (function(input @ own.T + state[0] @ theirs.T + (shift + more)),)


def _gru(node: Node, number: int, weights: Value, recurrent: Value, bias: Value | None) -> _Step:
    """Gates in the order z, r, h; h' = n + z (h - n)."""
    gate, candidate = _functions(node, number, ["Sigmoid", "Tanh"])
    own, theirs, shifts, more = _parts(weights, recurrent, bias, 3)
    linear = node.get("linear_before_reset", 0)

    def step(input: jax.Array, state: _State) -> _State:
        (old,) = state
        keep = gate(input @ own[0].T + old @ theirs[0].T + (shifts[0] + more[0]))
        reset = gate(input @ own[1].T + old @ theirs[1].T + (shifts[1] + more[1]))
        if linear:
            inner = reset * (old @ theirs[2].T + more[2])
            new = candidate(input @ own[2].T + shifts[2] + inner)
        else:
            new = candidate(input @ own[2].T + (reset * old) @ theirs[2].T + (shifts[2] + more[2]))
        return (new + keep * (old - new),)

    return step


def _lstm(node: Node, number: int, weights: Value, recurrent: Value, bias: Value | None) -> _Step:
    """Gates in the order i, o, f, c."""
    gate, candidate, exposed = _functions(node, number, ["Sigmoid", "Tanh", "Tanh"])
    node.only("input_forget", 0)
    own, theirs, shifts, more = _parts(weights, recurrent, bias, 4)

    def step(input: jax.Array, state: _State) -> _State:
        old, memory = state
        enter, leave, keep, new = (
            input @ own[k].T + old @ theirs[k].T + (shifts[k] + more[k]) for k in range(4)
        )
        memory = gate(keep) * memory + gate(enter) * candidate(new)
        return gate(leave) * exposed(memory), memory

    return step


_STEPS = {"RNN": _plain, "GRU": _gru, "LSTM": _lstm}
