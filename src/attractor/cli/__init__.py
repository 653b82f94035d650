"""The command line: parse, call the library, show.

JAX is imported inside the commands, so that `--help` answers at once.
"""

import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import tyro

from attractor.errors import AttractorError

from .classify_commands import ClassifyCommand, RobustnessCommand, SuspectsCommand
from .console import errors, escaped, show_warning
from .control_commands import CertifyCommand, ControlCommand, ExportCommand
from .data_commands import DoctorCommand, PlantCommand
from .dynamics_commands import DynamicsCommand, LyapunovCommand
from .model_commands import IdentifyCommand, PredictCommand, RepairCommand, ReportCommand
from .options import check_words
from .phase_commands import PhaseCommand
from .repeated import gathered

OUR_BUG = 70
INTERRUPTED = 130
REPEAT_SECONDS = 0.5

COMMANDS: dict[str, Callable[..., Any]] = {
    "plant": PlantCommand,
    "identify": IdentifyCommand,
    "predict": PredictCommand,
    "report": ReportCommand,
    "doctor": DoctorCommand,
    "certify": CertifyCommand,
    "repair": RepairCommand,
    "control": ControlCommand,
    "export": ExportCommand,
    "classify": ClassifyCommand,
    "robustness": RobustnessCommand,
    "suspects": SuspectsCommand,
    "dynamics": DynamicsCommand,
    "lyapunov": LyapunovCommand,
    "phase": PhaseCommand,
}


def main() -> None:
    """Run one command; a user's mistake ends in a message and a status, never in a traceback."""
    command = tyro.extras.subcommand_cli_from_dict(
        COMMANDS,
        prog="attractor",
        description="Recurrent networks you can depend on.",
        args=gathered(sys.argv[1:], COMMANDS),
    )
    _listen_to_interrupts()
    with warnings.catch_warnings():
        warnings.showwarning = show_warning
        status = _run(command.run)
    sys.exit(status)


def program() -> None:
    """The command as a process of its own.

    An interrupted one ends at once: JAX may still compute in threads, and Python, taking everything down
    around them, would crash after all was said.
    """
    try:
        main()
    except SystemExit as end:
        if end.code != INTERRUPTED:
            raise
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(INTERRUPTED)


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


def _run(task: Callable[[], None]) -> int:
    try:
        check_words(getattr(task, "__self__", None))
        _heard(task)
    except AttractorError as problem:
        errors.print(f"[bold red]error:[/] {escaped(str(problem))}", soft_wrap=True)
        return problem.exit_code
    except KeyboardInterrupt:
        advice = _after_interrupt(getattr(task, "__self__", None))
        errors.print(f"interrupted; {escaped(advice)}", soft_wrap=True)
        return INTERRUPTED
    except Exception:  # noqa: BLE001 (the last line of defence: a bug of ours has its own status)
        errors.print(traceback.format_exc(), markup=False, soft_wrap=True)
        errors.print("this is a defect of Attractor, not yours; please report it with the lines above")
        return OUR_BUG
    return 0


def _after_interrupt(command: Any) -> str:
    """What to do after a command was interrupted: a run that is finished needs its report alone."""
    from pathlib import Path

    from attractor.runs import REPORT, is_finished, is_unjudged
    from attractor.training.checkpoint import CHECKPOINTS

    out = getattr(command, "out", None)
    if isinstance(out, Path) and is_finished(out) and not (is_unjudged(out) or (out / REPORT).exists()):
        return f"the run is finished, its report is not: `attractor report {out}` writes it"
    resumes = isinstance(out, Path) and any((out / name).exists() for name in CHECKPOINTS)
    return f"give the same command again{' to go on from the last checkpoint' if resumes else ''}"


def _heard(task: Callable[[], None]) -> None:
    """Do a task; however it ends, no interrupt that comes again disturbs what is said about it."""
    try:
        task()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
