"""The command line: parse, call the library, show.

Commands and JAX are imported when one is asked for, so that `--help` answers at once.
"""

import importlib
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

from attractor.errors import AttractorError, ConfigError

from .cache import use_cache
from .console import Facts, Json, errors, escaped, show_warning, working
from .console import console as terminal
from .parsing import parsed

OUR_BUG = 70
INTERRUPTED = 130
REPEAT_SECONDS = 0.5


class Listed(NamedTuple):
    """A command as the help lists it.

    Args:
        group: what people want by it.
        home: "module:class" of the dataclass of its options.
        summary: what it does, in a few words.
    """

    group: str
    home: str
    summary: str


COMMANDS = {
    "identify": Listed("train", "model_commands:IdentifyCommand", "a model of a plant, from its log"),
    "repair": Listed("train", "model_commands:RepairCommand", "a model again, so that it can be certified"),
    "classify": Listed("train", "classify_commands:ClassifyCommand", "a classifier of series"),
    "predict": Listed("use", "model_commands:PredictCommand", "a model: simulate it over new inputs"),
    "control": Listed("use", "control_commands:ControlCommand", "a model: control the plant by it"),
    "export": Listed("use", "control_commands:ExportCommand", "a model or its controller in other tools"),
    "doctor": Listed("understand", "data_commands:DoctorCommand", "what makes a log hard to learn from"),
    "dynamics": Listed("understand", "dynamics_commands:DynamicsCommand", "what a network does: a page"),
    "lyapunov": Listed("understand", "dynamics_commands:LyapunovCommand", "exponents of any map"),
    "phase": Listed("understand", "phase_commands:PhaseCommand", "what random networks do: a diagram"),
    "robustness": Listed("understand", "classify_commands:RobustnessCommand", "a classifier under noise"),
    "suspects": Listed("understand", "classify_commands:SuspectsCommand", "labels that look wrong"),
    "certify": Listed("prove", "control_commands:CertifyCommand", "that a model forgets its past"),
    "verify": Listed("prove", "verify_commands:VerifyCommand", "what a model never does on a set of inputs"),
    "recheck": Listed("prove", "recheck_commands:RecheckCommand", "a certificate of a proof, independently"),
    "report": Listed("manage", "model_commands:ReportCommand", "write the page of a run again"),
    "plant": Listed("manage", "data_commands:PlantCommand", "the log of a plant to practise on"),
}
_STATUSES = """0   done
2   a mistake in the command or in a file: the message says which, and what to do
3   a computation left the finite numbers
4   a file cannot be written, or another process uses it
5   certify, recheck, verify: not proved
70  a defect of Attractor
130 interrupted: the same command goes on where it was"""
_EVERYWHERE = {
    "--json": "numbers as one JSON document on standard output, in place of words",
    "--no-cache": "compile everything anew; else programs are kept in ~/.cache/attractor",
}
json = Json()


def main() -> None:
    """Run one command; a user's mistake ends in a message and a status, never in a traceback."""
    words = [word for word in sys.argv[1:] if word not in _EVERYWHERE]
    json.wanted = terminal.quiet = "--json" in sys.argv[1:]
    _listen_to_interrupts()
    try:
        with warnings.catch_warnings():
            warnings.showwarning = show_warning
            status = _start(words)
    finally:
        json.wanted = terminal.quiet = False
    sys.exit(status)


def program() -> None:
    """The command as a process of its own.

    An interrupted one ends at once: JAX may still compute in threads, and Python, taking everything down
    around them, would crash after all was said.
    """
    if "--no-cache" not in sys.argv:
        use_cache()
    try:
        main()
    except SystemExit as end:
        if end.code != INTERRUPTED:
            raise
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(INTERRUPTED)


def _start(words: list[str]) -> int:
    """Answer what needs no command, or find the command and run it."""
    if words and words[0] == "--version":
        from importlib.metadata import version

        terminal.print(f"attractor {version('attractor')}", highlight=False)
        json.say({"version": version("attractor")})
        return 0
    if not words or words[0] in ("--help", "-h"):
        _help()
        return 0 if words else 2
    made: list[Any] = []

    def task() -> Facts:
        with working("loading what this command needs", at_once=False):
            kind = _class_of(words[0])
        made.append(parsed(words[1:], words[0], kind))
        return made[0].run()

    return _run(task, made)


def _class_of(name: str) -> type:
    """The class of a command, by its name."""
    if name not in COMMANDS:
        near = get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "`attractor --help` lists them"
        raise ConfigError(f"there is no command {name!r}; {hint}")
    module, _, kind = COMMANDS[name].home.partition(":")
    return getattr(importlib.import_module(f"{__name__}.{module}"), kind)


def _help() -> None:
    """All commands by what people want, the options of all, and what a status means."""
    terminal.print(
        "usage: attractor COMMAND [OPTIONS]\n\nRecurrent networks you can depend on.", highlight=False
    )
    for group in dict.fromkeys(one.group for one in COMMANDS.values()):
        terminal.print(f"\n[bold]{group}[/]")
        for name, one in COMMANDS.items():
            if one.group == group:
                terminal.print(f"  {name:<12}{one.summary}", highlight=False)
    terminal.print("\n[bold]options of every command[/]")
    for option, meaning in (_EVERYWHERE | {"--help": "options of the command", "--version": "ours"}).items():
        terminal.print(f"  {option:<12}{meaning}", highlight=False)
    terminal.print(f"\n[bold]exit status[/]\n{_STATUSES}", highlight=False)


def _listen_to_interrupts() -> None:
    """Ctrl-C, where the shell did not switch it off (background jobs), and SIGTERM end a command alike."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGALRM, _interrupt)


def _interrupt(*_: Any) -> None:
    # Python drops an exception that falls into a destructor, so it comes again until it is heard.
    signal.setitimer(signal.ITIMER_REAL, REPEAT_SECONDS)
    raise KeyboardInterrupt


def _run(task: Callable[[], Facts], made: Sequence[object] = ()) -> int:
    """Do a task and say how it ended.

    Args:
        task: returns what it found.
        made: holds the command, once its words are understood.
    """
    try:
        json.say(_heard(task))
    except AttractorError as problem:
        errors.print(f"[bold red]error:[/] {escaped(problem)}", soft_wrap=True)
        json.say({"error": str(problem), **getattr(problem, "facts", {})})
        return problem.exit_code
    except KeyboardInterrupt:
        errors.print(f"interrupted; {escaped(_after_interrupt(*made))}", soft_wrap=True)
        return INTERRUPTED
    except Exception:  # noqa: BLE001 (the last line of defence: a bug of ours has its own status)
        errors.print(traceback.format_exc(), markup=False, soft_wrap=True)
        errors.print("this is a defect of Attractor, not yours; please report it with the lines above")
        return OUR_BUG
    return 0


def _after_interrupt(command: object = None) -> str:
    """What to do after a command was interrupted: a run that is finished needs its report alone."""
    from pathlib import Path

    from attractor.runs import REPORT, is_finished, is_unjudged
    from attractor.training.checkpoint import CHECKPOINTS

    out = getattr(command, "out", None)
    if isinstance(out, Path) and is_finished(out) and not (is_unjudged(out) or (out / REPORT).exists()):
        return f"the run is finished, its report is not: `attractor report {out}` writes it"
    resumes = isinstance(out, Path) and any((out / name).exists() for name in CHECKPOINTS)
    return f"give the same command again{' to go on from the last checkpoint' if resumes else ''}"


def _heard(task: Callable[[], Facts]) -> Facts:
    """Do a task; however it ends, no interrupt that comes again disturbs what is said about it."""
    try:
        return task()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
