"""Options that are given twice: a list grows; of single values the last one counts, as shells are used to.

The parser takes the last of both, so that `--to numpy --to c` wrote one file of two.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, get_origin, get_type_hints


def gathered(words: Sequence[str], commands: dict[str, Callable[..., Any]]) -> list[str]:
    """The words of a command line in which every list stands once, with all of its values.

    Args:
        words: what follows the name of the program: a command and its words.
        commands: by name.
    """
    if not words or words[0] not in commands:
        return list(words)
    head, groups = _grouped(words)
    lists = set(_lists(commands[words[0]]))
    kept: list[tuple[str, list[str]]] = []
    first: dict[str, list[str]] = {}
    for option, values in groups:
        if option in lists and option in first:
            first[option].extend(values)
        else:
            first.setdefault(option, values)
            kept.append((option, values))
    return [*head, *(word for option, values in kept for word in (option, *values))]


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
