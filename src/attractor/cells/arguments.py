"""What the arguments of a step stand for, as far as their names tell.

A cell is called with its input first and its state second; a plant of the user's own (plain NumPy) with its
state first. Where both have the same length, nothing but the names shows that somebody mixed the two up.
"""

from collections.abc import Callable, Sequence
from inspect import Parameter, signature
from pathlib import Path

INPUTS = frozenset({"u", "v", "inp", "input", "inputs", "drive", "forcing", "stimulus"})
"""What people call an input."""
STATES = frozenset({"x", "s", "z", "h", "y", "state", "states", "hidden"})
"""What people call a state."""
_EITHER = "x"
"""The state of engineers and physicists; the input of machine learning, where the state is h."""
_SIZES = frozenset({"size", "sizes", "dim", "width", "units", "features", "channels", "num", "number"})
"""Words of a name that make it a number: `hidden_size`; an `n` does so in front, for `x_n` is a state."""
_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


def positional(function: Callable[..., object]) -> list[Parameter] | None:
    """The arguments of a function that are given by position, a `key` of noise left out.

    Returns:
        The arguments; None where any number of them is taken, or where nothing is known.
    """
    try:
        parameters = list(signature(function).parameters.values())
    except (TypeError, ValueError):  # compiled code says nothing of its arguments
        return None
    if any(one.kind is Parameter.VAR_POSITIONAL for one in parameters):
        return None
    return [one for one in parameters if one.kind in _POSITIONAL and one.name != "key"]


def means_input(name: str) -> bool:
    """Whether an argument is called like an input.

    Example:
        >>> means_input("u"), means_input("input_now"), means_input("input_size"), means_input("x")
        (True, True, False, False)
    """
    return _is_one_of(INPUTS, name) and not _is_one_of(STATES, name)


def means_state(name: str) -> bool:
    """Whether an argument is called like a state.

    Example:
        >>> means_state("x_n"), means_state("h_prev"), means_state("n_hidden"), means_state("u")
        (True, True, False, False)
    """
    return _is_one_of(STATES, name) and not _is_one_of(INPUTS, name)


def state_first(first: str, second: str) -> bool:
    """Whether two arguments of a cell are called like a state and an input, in this order.

    Example:
        >>> state_first("x", "u"), state_first("h", "x"), state_first("u", "x"), state_first("x", "h")
        (True, True, False, False)
    """
    if means_state(first) and means_input(second):
        return True
    return second == _EITHER and first != _EITHER and means_state(first) and first not in ("y", "z")


def input_first(first: str, second: str) -> bool:
    """Whether they are called like an input and a state, in this order."""
    return means_input(first) and means_state(second)


def order_remark(owner: str, names: Sequence[str]) -> str:
    """What is said of a step whose arguments are called the wrong way round; empty where they are not.

    Args:
        owner: of the step.
        names: of the arguments that get the input and the state, in this order.
    """
    if len(names) < 2 or not state_first(names[0], names[1]):
        return ""
    return (
        f"{owner}: the first argument is called {names[0]}, the second {names[1]}, but the input comes first "
        f"and the state second: {names[0]} gets the input. Write ({names[1]}, {names[0]}) if that is not "
        "meant, or other names if it is"
    )


def how_to_wrap(step: object) -> str:
    """What to write for a plain function, with its own name: the line for a file, and how it is called then.

    Example:
        >>> def henon(x): ...
        >>> how_to_wrap(henon).partition(" into")[0]
        'write `Henon = attractor.cell(henon, 0, jnp.zeros(STATES))`'
    """
    name = getattr(step, "__name__", None) or type(step).__name__
    given = name if name.isidentifier() else "step"
    made = given[:1].upper() + given[1:] if given[:1].islower() else f"{given}Cell"
    own = positional(step) if callable(step) else None
    alone = own is not None and len([one for one in own if one.default is Parameter.empty]) == 1
    code = getattr(step, "__code__", None)
    file = Path(code.co_filename).name if code is not None else ""
    shell = f" (at the shell {file}:{made})" if file.endswith(".py") else ""
    return (
        f"write `{made} = attractor.cell({given}, {0 if alone else 'INPUTS'}, jnp.zeros(STATES))` into its "
        f"file, with {'' if alone else 'the number of inputs and '}the state that it starts from, and give "
        f"{made}{shell}. The right side of a differential equation: attractor.flow, then "
        "attractor.cells.discretise"
    )


def _is_one_of(known: frozenset[str], name: str) -> bool:
    words = name.lower().strip("_").split("_")
    is_number = words[0] == "n" or not _SIZES.isdisjoint(words)
    return not (is_number or known.isdisjoint(words))
