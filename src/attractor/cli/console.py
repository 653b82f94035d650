"""What the command line says and where it says it."""

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from attractor.data import Record

console = Console()
errors = Console(stderr=True)


def escaped(text: object) -> str:
    """Text whose brackets are no markup."""
    return escape(str(text))


def signals_of(record: "Record") -> str:
    """What drives what, in one line."""
    inputs = ", ".join(signal.label for signal in record.inputs)
    outputs = ", ".join(signal.label for signal in record.outputs)
    return escaped(f"{inputs} -> {outputs}")


def show_findings(findings: list[Any]) -> None:
    """What the data doctor found, with its advice."""
    colours = {"ERROR": "red", "WARNING": "yellow", "NOTE": "cyan"}
    for finding in findings:
        name = finding.severity.name
        console.print(f"[bold {colours[name]}]{name.lower()}[/] {escaped(finding.message)}")
        console.print(f"  [dim]{escaped(finding.advice)}[/]")
    if not findings:
        console.print("the data doctor found nothing to complain about")
