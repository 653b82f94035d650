"""Options that are given twice: lists grow, and nothing else may be said in two ways.

The parser takes the last of them without a word, so that `--to numpy --to c` wrote one file of two.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, get_origin, get_type_hints

from attractor.errors import ConfigError


def gathered(words: Sequence[str], commands: dict[str, Callable[..., Any]]) -> list[str]:
    """The words of a command line in which every option stands once.

    Args:
        words: what follows the name of the program: a command and its words.
        commands: by name.

    Raises:
        ConfigError: an option that takes one value has two.
    """
    if not words or words[0] not in commands:
        return list(words)
    head, groups = _grouped(words)
    lists = set(_lists(commands[words[0]]))
    kept: dict[str, list[str]] = {}
    for option, values in groups:
        if option not in kept:
            kept[option] = values
        elif option in lists:
            kept[option] = kept[option] + values
        elif values != kept[option]:
            message = (
                f"{option} was given twice, as {' '.join(kept[option]) or 'such'} and as "
                f"{' '.join(values) or 'such'}; give it once"
            )
            raise ConfigError(message)
    return [*head, *(word for option, values in kept.items() for word in (option, *values))]


def _grouped(words: Sequence[str]) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """What stands before the first option, and each option with the words up to the next one."""
    head: list[str] = []
    groups: list[tuple[str, list[str]]] = []
    for word in words:
        if word.startswith("--") and word != "--":
            name, _, value = word.partition("=")
            groups.append((name.replace("_", "-"), [value] if "=" in word else []))
        elif groups:
            groups[-1][1].append(word)
        else:
            head.append(word)
    return head, groups


def _lists(command: Any) -> list[str]:
    """The options of a command that take several values."""
    if not is_dataclass(command):
        return []
    hints = get_type_hints(command)
    own = [one.name for one in fields(command) if get_origin(hints[one.name]) is tuple]
    inner = [name for one in fields(command) for name in _lists(hints[one.name])]
    return [f"--{name.replace('_', '-')}" for name in own] + inner
