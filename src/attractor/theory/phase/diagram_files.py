"""Phase diagrams as files: a table with one row a point, and a JSON file with everything."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from operator import index
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
from jaxtyping import PRNGKeyArray

from attractor.cells import GatedForm
from attractor.errors import RunFolderError, UnsupportedError
from attractor.folders import facts_of, is_sealed, locked, read_file, read_sealed, write_sealed
from attractor.report.publishing import PAGES, PageKind

from .critical_lines import LABELS, Theory, TheoryLine
from .diagram import STARTS, PhaseDiagram
from .phase_plan import USUAL_FORM, USUAL_SIMULATION, PhaseAxis, PhasePlan, PhaseSimulation
from .phase_simulation import plan_facts, plan_hash

FORMAT = 3
JSON_FILE, CSV_FILE = "diagram.json", "diagram.csv"
PAGE_FILE, SVG_FILE = "diagram.html", "diagram.svg"
PAGES.register(
    PhaseDiagram, PageKind(PAGE_FILE, "attractor.theory.phase.phase_page:phase_page"), source=__name__
)

_Made = TypeVar("_Made")


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
    fields = {name: _array(facts[name], shape) for name in ("exponent", "low", "high", "variance")}
    seconds, versions = _number(facts["seconds"]), dict(facts["versions"])
    name = _text(facts["hash"])
    return PhaseDiagram(
        plan=plan, hash=name, theory=_theory(facts["theory"]), seconds=seconds, versions=versions, **fields
    )


def _table(diagram: PhaseDiagram) -> str:
    plan, outcomes = diagram.plan, diagram.outcomes
    signs, times = diagram.signs, diagram.relaxation_time
    columns = ("exponent", "low", "high", "sign", "variance", "relaxation_time")
    header = [plan.x.name, plan.y.name, "outcome"]
    header += [f"{column}_{start}" for start in STARTS for column in columns]
    lines = [",".join(header)]
    for number, point in enumerate(plan.points):
        at = divmod(number, plan.x.points)
        cells = [_cell(point[0]), _cell(point[1]), outcomes[at].name.lower()]
        for start in range(len(STARTS)):
            one = (diagram.exponent, diagram.low, diagram.high, signs, diagram.variance, times)
            cells += [_cell(field[start][at]) for field in one]
        lines.append(",".join(cells))
    return "\n".join(lines) + "\n"


def _cell(value: float) -> str:
    return repr(float(value)) if np.isfinite(value) else ""


def _facts(diagram: PhaseDiagram) -> dict[str, object]:
    theory = diagram.theory
    return {
        "format": FORMAT,
        "plan": plan_facts(diagram.plan),
        "hash": diagram.hash,
        "starts": STARTS,
        **{name: _numbers(getattr(diagram, name)) for name in ("exponent", "low", "high", "variance")},
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
    return np.array([np.nan if one is None else _number(one) for one in plain.ravel()]).reshape(wanted)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} where a number is expected")
    return float(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} where a text is expected")
    return value


def _made(kind: type[_Made], facts: Any, usual: Mapping[str, Any]) -> _Made:
    """A dataclass from facts of the kinds that its usual values have."""
    for name, value in facts.items():
        like = usual[name]
        right = isinstance(value, float | int if isinstance(like, float) else type(like))
        if not right or isinstance(value, bool) != isinstance(like, bool):
            raise TypeError(f"{name} is {value!r}, expected something like {like!r}")
    return kind(**facts)


def _plan(facts: Any) -> PhasePlan:
    like = {"name": "gain", "low": 0.0, "high": 1.0, "points": 2}
    axes = _made(PhaseAxis, facts["x"], like), _made(PhaseAxis, facts["y"], like)
    simulation = {**facts["simulation"], "seeds": tuple(facts["simulation"]["seeds"])}
    if not all(type(seed) is int for seed in simulation["seeds"]):
        raise TypeError(f"seeds {simulation['seeds']!r} are not all whole numbers")
    usual = {name: float(one) if type(one) is int else one for name, one in asdict(USUAL_SIMULATION).items()}
    usual |= {"blocks": USUAL_SIMULATION.blocks}
    shared = {"simulation": _made(PhaseSimulation, simulation, usual), "tile": index(facts["tile"])}
    if facts["form"] is None:
        return PhasePlan(*axes, build=Elsewhere(_text(facts["network"])), **shared)
    form = _made(GatedForm, facts["form"], asdict(USUAL_FORM))
    return PhasePlan(*axes, form=form, size=index(facts["size"]), **shared)


def _theory(facts: Any) -> Theory:
    lines = tuple(
        TheoryLine(_known_line(line["name"]), *(_array(line[name]) for name in ("x", "y", "residual")))
        for line in facts["lines"]
    )
    map_x, map_y = _array(facts["map_x"]), _array(facts["map_y"])
    shape = (len(map_y), len(map_x)) if len(map_x) else (0, 0)
    relaxation = np.empty(shape) if 0 in shape else _array(facts["log_relaxation"], shape)
    return Theory(lines, tuple(map(_text, facts["remarks"])), map_x, map_y, relaxation)


def _known_line(name: object) -> str:
    if name not in LABELS:
        raise ValueError(f"{name!r} is no line of the theory; known are {', '.join(LABELS)}")
    return str(name)
