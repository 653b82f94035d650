"""Phase diagrams as files: a table with one row a point, and a JSON file with everything."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
from jaxtyping import PRNGKeyArray

from attractor.errors import RunFolderError, UnsupportedError
from attractor.folders import facts_of, is_sealed, locked, read_file, read_sealed, write_sealed
from attractor.report.publishing import PAGES, PageKind
from attractor.settings import checked

from .critical_lines import LABELS, Theory, TheoryLine
from .diagram import STARTS, PhaseDiagram
from .phase_plan import PhasePlan
from .phase_simulation import plan_facts, plan_hash

FORMAT = 3
JSON_FILE, CSV_FILE = "diagram.json", "diagram.csv"
PAGE_FILE, SVG_FILE = "diagram.html", "diagram.svg"
PAGES.register(
    PhaseDiagram, PageKind(PAGE_FILE, "attractor.theory.phase.phase_page:phase_page"), source=__name__
)

# What is estimated for every start and point.
_FIELDS = ("exponent", "low", "high", "variance")


@dataclass(frozen=True)
class Elsewhere:
    """The `build` of a diagram that was read from a file: its name, and no more."""

    name: str

    def __call__(self, values: dict[str, float], key: PRNGKeyArray) -> NoReturn:
        """Refuse.

        Raises:
            UnsupportedError: always.
        """
        raise UnsupportedError(
            f"the file of a diagram holds no code: give PhasePlan its build={self.name} again"
        )


def save_diagram(diagram: PhaseDiagram, folder: str | Path, *, overwrite: bool = False) -> Path:
    """Write `diagram.csv`, one row a point, `diagram.json`, from which it can be loaded, and their digests.

    The page and the figure of an older diagram are removed.

    Args:
        diagram: what to write.
        folder: where; it is made if it is missing.
        overwrite: replace the diagram of another plan.

    Returns:
        The folder.

    Raises:
        RunFolderError: the folder holds the diagram of another plan, or something else.
        StorageError: another process works in the folder, or a file cannot be written.
    """
    folder = Path(folder)
    facts = json.dumps(_facts(diagram), allow_nan=False) + "\n"
    with locked(folder):
        if not overwrite:
            check_diagram_free(folder, diagram.plan)
        for made_from_it in (PAGE_FILE, SVG_FILE):
            (folder / made_from_it).unlink(missing_ok=True)
        write_sealed(folder, {CSV_FILE: _table(diagram).encode(), JSON_FILE: facts.encode()})
    return folder


def check_diagram_free(folder: Path, plan: PhasePlan) -> None:
    """Refuse to replace the diagram of another plan by accident, finished or not.

    Raises:
        RunFolderError: there is one, or it is of an older format, or it cannot be read.
    """
    path = folder / JSON_FILE
    if is_sealed(folder):
        held = load_diagram(folder)
        changed = plan.build is not None and held.hash != plan_hash(plan)
        free = not changed and plan_facts(held.plan) == plan_facts(plan)
    else:
        # Without its digests it was left by a command that was killed, or by a version that wrote none.
        free = not path.exists() or _unfinished_plan(path) == json.loads(json.dumps(plan_facts(plan)))
    if not free:
        raise RunFolderError(
            f"{folder} holds the diagram of another plan; choose another folder or overwrite it"
        )


def _unfinished_plan(path: Path) -> object:
    with facts_of(path):
        facts = json.loads(read_file(path))
        return facts["plan"] if facts["format"] == FORMAT else None


def load_diagram(folder: str | Path) -> PhaseDiagram:
    """Read a diagram back.

    Args:
        folder: with a `diagram.json`.

    Raises:
        RunFolderError: there is none, or it is unfinished, damaged or of another format.
    """
    folder = Path(folder)
    path = folder / JSON_FILE
    if not is_sealed(folder):
        raise RunFolderError(
            f"{folder} holds no finished phase diagram; give the command that made it again, which computes "
            "only what is missing"
        )
    content = read_sealed(folder, (CSV_FILE, JSON_FILE))[JSON_FILE]
    with facts_of(path):
        facts = json.loads(content)
        if not isinstance(facts, dict) or facts.get("format") != FORMAT:
            raise RunFolderError(
                f"{path} is no phase diagram of format {FORMAT}; compute it again with this version"
            )
        return _diagram(facts)


def _diagram(facts: dict[str, Any]) -> PhaseDiagram:
    plan = _plan(facts["plan"])
    shape = len(STARTS), plan.y.points, plan.x.points
    fields = {name: _array(facts[name], shape) for name in _FIELDS}
    change = facts.get("change")  # older diagrams have none
    return PhaseDiagram(
        plan=plan,
        hash=checked("hash", str, facts["hash"]),
        theory=_theory(facts["theory"]),
        seconds=checked("seconds", float, facts["seconds"]),
        versions=dict(facts["versions"]),
        change=None if change is None else _array(change, shape),
        **fields,
    )


def _table(diagram: PhaseDiagram) -> str:
    """What is not finite is left empty."""
    plan = diagram.plan
    columns: dict[str, object] = {plan.x.name: plan.points[:, 0], plan.y.name: plan.points[:, 1]}
    columns["outcome"] = [one.name.lower() for one in diagram.outcomes.ravel()]
    fields = {name: getattr(diagram, name) for name in _FIELDS}
    fields |= {"sign": diagram.signs, "relaxation_time": diagram.relaxation_time}
    for index, start in enumerate(STARTS):
        for name in ("exponent", "low", "high", "sign", "variance", "relaxation_time"):
            values = fields[name][index].ravel()
            columns[f"{name}_{start}"] = np.where(np.isfinite(values), values, np.nan)
    return pd.DataFrame(columns).to_csv(index=False, lineterminator="\n")


def _facts(diagram: PhaseDiagram) -> dict[str, object]:
    theory = diagram.theory
    return {
        "format": FORMAT,
        "plan": plan_facts(diagram.plan),
        "hash": diagram.hash,
        "starts": STARTS,
        **{name: _numbers(getattr(diagram, name)) for name in _FIELDS},
        "change": None if diagram.change is None else _numbers(diagram.change),
        "outcomes": [[one.name.lower() for one in row] for row in diagram.outcomes],
        "theory": {
            "lines": [{name: _plain(value) for name, value in vars(line).items()} for line in theory.lines],
            "remarks": theory.remarks,
            **{name: _numbers(getattr(theory, name)) for name in ("map_x", "map_y", "log_relaxation")},
        },
        "seconds": diagram.seconds,
        "versions": diagram.versions,
    }


def _plain(value: object) -> object:
    return _numbers(value) if isinstance(value, np.ndarray) else value


def _numbers(values: np.ndarray) -> list[object]:
    """Nested lists with None for what is not finite, which JSON has no word for."""
    plain = values.astype(object)
    plain[~np.isfinite(values)] = None
    return plain.tolist()


def _array(values: Any, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Nested lists of numbers and None as an array of this shape, or along one axis."""
    plain = np.array(values, object)
    wanted = (len(values),) if shape is None else shape
    if plain.shape != wanted:
        raise ValueError(f"numbers of shape {plain.shape}, expected {wanted}")
    numbers = [checked("numbers", float | None, one) for one in plain.ravel()]
    return np.array(numbers, float).reshape(wanted)


def _plan(facts: Any) -> PhasePlan:
    known = {name: facts[name] for name in ("x", "y", "simulation", "tile")}
    if facts["form"] is None:
        return PhasePlan.from_facts({**known, "build": Elsewhere(checked("network", str, facts["network"]))})
    return PhasePlan.from_facts({**known, "form": facts["form"], "size": facts["size"]})


def _theory(facts: Any) -> Theory:
    known = {name: name for name in LABELS}
    lines = tuple(
        TheoryLine(known[line["name"]], *(_array(line[name]) for name in ("x", "y", "residual")))
        for line in facts["lines"]
    )
    map_x, map_y = _array(facts["map_x"]), _array(facts["map_y"])
    shape = (len(map_y), len(map_x)) if len(map_x) else (0, 0)
    relaxation = np.empty(shape) if 0 in shape else _array(facts["log_relaxation"], shape)
    return Theory(lines, checked("remarks", tuple[str, ...], facts["remarks"]), map_x, map_y, relaxation)
