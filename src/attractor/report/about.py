"""What a page speaks of: the weights, the data, the day and the version that stand at its head."""

from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from shlex import quote

from attractor.origin import Origin


@dataclass(frozen=True)
class About:
    """What a page speaks of, whatever its kind.

    Args:
        title: name of the run or cell; that of the folder if empty.
        command: that made the result.
        origin: the weights and the equation; None for what no run stands behind.
        data: where the data come from; empty where there are none.
        folder: of the page, as commands name it; `publish` fills it in.
        named: what commands take in place of the folder: "mine.py:Henon", of a cell without a run.
    """

    title: str = ""
    command: str = ""
    origin: Origin | None = None
    data: str = ""
    folder: Path = Path()
    named: str = ""

    @property
    def run(self) -> str:
        """The folder, or what stands in its place, as a shell takes it."""
        return quote(self.named or str(self.folder))

    @property
    def head(self) -> dict[str, str]:
        """Weights, data, date and version, by what they are called on the page."""
        made = (
            {"Weights": f"{self.origin.weights[:12]}, equation {self.origin.equation[:12]}"}
            if self.origin
            else {}
        )
        data = {"Data": self.data} if self.data else {}
        return {
            **made,
            **data,
            "Date": datetime.now(UTC).date().isoformat(),
            "Version": f"Attractor {version('attractor')}",
        }
