"""What the command line says and where it says it."""

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from attractor.errors import printable

if TYPE_CHECKING:
    from attractor.data import Record


class PlainConsole(Console):
    """A console on which no text commands the terminal, wherever it comes from; only rich itself does."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Text as it is shown: control characters as escape sequences."""
        return super().render_str(printable(text), **options)


console = PlainConsole(emoji=False)
errors = PlainConsole(stderr=True, emoji=False)


def escaped(text: object) -> str:
    """Text whose brackets are no markup."""
    return escape(str(text))


def show_warning(message: Warning | str, *_: object) -> None:
    """A warning in one line, in place of the source line where it came up."""
    errors.print(f"[yellow]warning:[/] {escaped(message)}", soft_wrap=True)


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
