"""Phase diagrams as files: a table with one row a point, and a JSON file with everything."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import PRNGKeyArray

from attractor.cells import GatedForm
from attractor.errors import RunFolderError, UnsupportedError
from attractor.files import make_folder, write_atomically

from .diagram import STARTS, PhaseDiagram
from .networks import plan_facts
from .plan import USUAL_FORM, PhaseAxis, PhasePlan, PhaseSimulation
from .theory import Theory, TheoryLine

FORMAT = 1
JSON_FILE, CSV_FILE = "diagram.json", "diagram.csv"


@dataclass(frozen=True)
class Elsewhere:
    """The `build` of a diagram that was read from a file: its name, and no more."""

    name: str

    def __call__(self, values: dict[str, float], key: PRNGKeyArray) -> Any:
        """Refuse.

        Raises:
            UnsupportedError: always.
        """
        message = f"the file of a diagram holds no code: give PhasePlan its build={self.name} again"
        raise UnsupportedError(message)


def save_diagram(diagram: PhaseDiagram, folder: str | Path) -> Path:
    """Write `diagram.csv`, one row a point, and `diagram.json`, from which it can be loaded.

    Args:
        diagram: what to write.
        folder: where; it is made if it is missing.

    Returns:
        The folder.

    Raises:
        StorageError: a file cannot be written.
    """
    folder = Path(folder)
    make_folder(folder)
    write_atomically(folder / CSV_FILE, _table(diagram).encode())
    write_atomically(folder / JSON_FILE, (json.dumps(_facts(diagram), allow_nan=False) + "\n").encode())
    return folder


def load_diagram(folder: str | Path) -> PhaseDiagram:
    """Read a diagram back.

    Args:
        folder: with a `diagram.json`.

    Raises:
        RunFolderError: there is none, or it is damaged or of another format.
    """
    path = Path(folder) / JSON_FILE
    try:
        facts = json.loads(path.read_text())
    except (OSError, ValueError) as problem:
        message = f"{path} cannot be read as a phase diagram: {problem}"
        raise RunFolderError(message) from problem
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        message = f"{path} is no phase diagram of format {FORMAT}; compute it again with this version"
        raise RunFolderError(message)
    fields = {name: _array(facts[name]) for name in ("exponent", "error", "variance")}
    plain = {name: facts[name] for name in ("hash", "seconds", "versions")}
    return PhaseDiagram(plan=_plan(facts["plan"]), theory=_theory(facts["theory"]), **fields, **plain)


def _table(diagram: PhaseDiagram) -> str:
    plan, outcomes = diagram.plan, diagram.outcomes
    signs, times = diagram.signs, diagram.relaxation_time
    figures = ("exponent", "error", "sign", "variance", "relaxation_time")
    header = [plan.x.name, plan.y.name, "outcome"]
    header += [f"{figure}_{start}" for start in STARTS for figure in figures]
    lines = [",".join(header)]
    for place, point in enumerate(plan.points):
        at = divmod(place, plan.x.points)
        cells = [_cell(point[0]), _cell(point[1]), outcomes[at].name.lower()]
        for start in range(len(STARTS)):
            one = (diagram.exponent, diagram.error, signs, diagram.variance, times)
            cells += [_cell(field[start][at]) for field in one]
        lines.append(",".join(cells))
    return "\n".join(lines) + "\n"


def _cell(value: float) -> str:
    return repr(float(value)) if np.isfinite(value) else ""


def _facts(diagram: PhaseDiagram) -> dict[str, Any]:
    theory = diagram.theory
    return {
        "format": FORMAT,
        "plan": plan_facts(diagram.plan),
        "hash": diagram.hash,
        "starts": STARTS,
        **{name: _numbers(getattr(diagram, name)) for name in ("exponent", "error", "variance")},
        "outcomes": [[one.name.lower() for one in row] for row in diagram.outcomes],
        "theory": {
            "lines": [{name: _plain(value) for name, value in vars(line).items()} for line in theory.lines],
            "remarks": theory.remarks,
            **{name: _numbers(getattr(theory, name)) for name in ("map_x", "map_y", "log_relaxation")},
        },
        "seconds": diagram.seconds,
        "versions": diagram.versions,
    }


def _plain(value: Any) -> Any:
    return _numbers(value) if isinstance(value, np.ndarray) else value


def _numbers(values: np.ndarray) -> list[Any]:
    """Nested lists with None for what is not finite, which JSON has no word for."""
    plain = values.astype(object)
    plain[~np.isfinite(values)] = None
    return plain.tolist()


def _array(values: list[Any]) -> np.ndarray:
    return np.array(values, float)


def _plan(facts: dict[str, Any]) -> PhasePlan:
    simulation = {**facts["simulation"], "seeds": tuple(facts["simulation"]["seeds"])}
    axes = PhaseAxis(**facts["x"]), PhaseAxis(**facts["y"])
    shared = {"simulation": PhaseSimulation(**simulation), "tile": facts["tile"]}
    if facts["form"] is None:
        return PhasePlan(*axes, build=Elsewhere(facts["network"]), **shared)
    return PhasePlan(
        *axes, form=GatedForm(**{**asdict(USUAL_FORM), **facts["form"]}), size=facts["size"], **shared
    )


def _theory(facts: dict[str, Any]) -> Theory:
    lines = tuple(
        TheoryLine(line["name"], *(_array(line[name]) for name in ("x", "y", "residual")))
        for line in facts["lines"]
    )
    shape = len(facts["map_y"]), len(facts["map_x"])
    relaxation = _array(facts["log_relaxation"]).reshape(shape)
    return Theory(lines, tuple(facts["remarks"]), _array(facts["map_x"]), _array(facts["map_y"]), relaxation)
