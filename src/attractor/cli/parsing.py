"""From words to a command: the library's own settings are parsed as they stand, and check themselves."""

import contextlib
import io
import re
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any, get_origin, get_type_hints

import tyro

from attractor.errors import ConfigError
from attractor.settings import Settings, checked

_OPTION = re.compile(r"^([a-z_]+)(?==)")


def parsed(words: Sequence[str], name: str, command: type) -> Any:
    """The command with its options, each compared with what it may be.

    Args:
        words: what follows the name of the command.
        name: of the command.
        command: a dataclass.

    Raises:
        ConfigError: a value that does not fit; the message names the option.
        SystemExit: help was asked for, or there is no such option; the parser has said so.
    """
    words, program = gathered(words, command), f"attractor {name}"
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # it would draw a box around the words of an error
            made = tyro.cli(command, prog=program, args=words, console_outputs=False)
    except SystemExit as end:
        problem = _cause(end)
        if problem is None:
            made = tyro.cli(command, prog=program, args=words)  # says what is wrong, and ends
        else:
            text = _OPTION.sub(lambda found: f"--{found[0].replace('_', '-')}", str(problem))
            raise ConfigError(text) from None
    check_words(made)
    return made


def _cause(end: BaseException | None) -> ConfigError | None:
    """The error of settings that refused their values, somewhere behind the end of the parser."""
    while end is not None and not isinstance(end, ConfigError):
        end = end.__cause__ or end.__context__
    return end


def check_words(command: Any) -> None:
    """Compare what a command was given with what its options may be, before it does anything.

    Args:
        command: a dataclass, whose fields may be groups of options; anything else has nothing to compare.

    Raises:
        ConfigError: names the option, its value, and what was expected.
    """
    if not is_dataclass(command):
        return
    hints = get_type_hints(type(command), include_extras=True)
    for one in fields(command):
        value = getattr(command, one.name)
        if is_dataclass(value):
            None if isinstance(value, Settings) else check_words(value)
        else:
            checked(f"--{one.name.replace('_', '-')}", hints[one.name], value)


def gathered(words: Sequence[str], command: type) -> list[str]:
    """The words of a command line in which every list stands once, with all of its values.

    The parser takes the last of two, so that `--to numpy --to c` wrote one file of two. Of single values the
    last one counts, as shells are used to.

    Args:
        words: what follows the name of the command.
        command: a dataclass.
    """
    head, groups = _grouped(words)
    lists = set(_lists(command))
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
    hints, notes = get_type_hints(command), get_type_hints(command, include_extras=True)
    own = [
        _called(one.name, notes[one.name]) for one in fields(command) if get_origin(hints[one.name]) is tuple
    ]
    inner = [name for one in fields(command) for name in _lists(hints[one.name])]
    return [f"--{name.replace('_', '-')}" for name in own] + inner


def _called(name: str, annotation: object) -> str:
    """What the option of a field is called, which `arg(name=...)` may say."""
    given = (getattr(note, "name", None) for note in getattr(annotation, "__metadata__", ()))
    return next((one for one in given if one), name)
