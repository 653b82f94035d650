"""What all estimators share: parameters, replicas, run folders, fingerprints, in the scikit-learn protocol.

An estimator is a dataclass of at most a dozen options, some of them settings with options of their own.
`fit` leaves what it learned in attributes whose names end in an underscore; a failed `fit` leaves none.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, replace
from functools import wraps
from html import escape
from inspect import signature
from pathlib import Path
from typing import (
    Any,
    ClassVar,
    Concatenate,
    ParamSpec,
    Protocol,
    TypeVar,
    cast,
    get_type_hints,
    runtime_checkable,
)

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from attractor.arrays import Arrays
from attractor.cells import cell_class
from attractor.cells.building import CellBuilder
from attractor.errors import ConfigError, NotFittedError, RunFolderError
from attractor.folders import facts_of
from attractor.origin import Origin
from attractor.program import single_precision, unchanged
from attractor.program.digest import equation_digest
from attractor.progress import interactive_reporter
from attractor.runs import Run, load_run, weights_digest
from attractor.settings import Settings, check_name, checked, checked_fields, names_of
from attractor.shown import Shown, at_prompt, in_notebook, in_words
from attractor.training import Trained, select_replica
from attractor.training.checkpoint import CHECKPOINT, Facts, fingerprint, save_finished, to_arrays
from attractor.training.identity import Once, check_equation, check_rebuilds, describe_equation
from attractor.training.networks import (
    check_sizes,
    describe_option,
    describe_program,
    fact,
    find_cell,
    restored,
)
from attractor.training.task import Model

Own = TypeVar("Own", bound="Estimator")
Given = ParamSpec("Given")


@runtime_checkable
class NetworkPlan(Protocol):
    """Everything that decides the structure of a network; calling it with a key builds one."""

    @property
    def inputs(self) -> int:
        """Numbers that the network takes at a step."""
        ...

    def __call__(self, key: PRNGKeyArray) -> Model:
        """A fresh network."""
        ...


def fitting(
    fit: Callable[Concatenate[Own, Given], Own],
) -> Callable[Concatenate[Own, Given], Own]:
    """`fit` of an estimator: with options that were checked, in single precision, forgetting an earlier one.

    One that fails or is interrupted leaves nothing learned.
    """
    reports = "reporter" in signature(fit).parameters

    @wraps(fit)
    def fitted(estimator: Own, /, *data: Given.args, **options: Given.kwargs) -> Own:
        estimator.check_options()
        estimator.forget()
        if reports and options.get("reporter") is None:
            options["reporter"] = interactive_reporter("training")
        try:
            with single_precision():
                return fit(estimator, *data, **options)
        except BaseException:
            estimator.forget()
            raise

    return fitted


class Estimator(Shown, ABC):
    """Base of `PlantModel` and `SequenceClassifier`.

    A derived class is a dataclass (`eq=False`) with the options `cell` and `seed` among its fields, and says
    what its networks are (`make_plan`), what a prediction hangs on (`once`, `probe`), and which facts beside
    the weights a run folder keeps (`facts`, `take_facts`).

    Attributes:
        replicas_: the trained networks, one for each of several seeds, on a leading axis of their arrays.
        chosen_: index of the replica that validation chose.
        plan_: their structure.
        trained_: how the training went; a model read from a folder has none.
        fingerprint_: identifies the training.
    """

    checkpoints: ClassVar[tuple[str, ...]] = (CHECKPOINT,)
    """Files that a training may leave in a run folder while it is unfinished."""
    once: ClassVar[Once]
    """`once(network, *data)`: everything that a prediction hangs on, of one step over the data of `probe`."""

    cell: str | CellBuilder
    seed: int
    replicas_: Model
    chosen_: int
    plan_: NetworkPlan
    trained_: Trained
    fingerprint_: str

    def __post_init__(self) -> None:
        self.check_options()

    def check_options(self) -> None:
        """Refuse options that are not what their annotations say, or do not go together.

        Raises:
            ConfigError: names the option, its value and what was expected.
        """
        checked_fields(self)

    def __str__(self) -> str:
        """The options that were changed, and what was learned."""
        call = changed_options(self)
        if not hasattr(self, "replicas_"):
            return call
        return "\n".join([call, *self.learned(), "next: .predict(...), .score(...), .save(folder)"])

    def learned(self) -> list[str]:
        """What was learned, in a line or two."""
        trained = getattr(self, "trained_", None)
        if trained is None:
            return [f"fitted: replica {self.chosen_} is chosen"]
        return [f"fitted: {str(trained).splitlines()[0]}", *trained.warnings[:1]]

    def _repr_html_(self) -> str:
        """As scikit-learn shows an estimator, where it is installed, with what was learned below."""
        try:
            from sklearn.utils import estimator_html_repr
        except ImportError:
            return in_notebook(self)
        lines = at_prompt(self).splitlines()[1:]
        return f"<div>{estimator_html_repr(self)}<p>{'<br>'.join(map(escape, lines))}</p></div>"

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The options by name; `deep` adds those of nested settings, such as `training__seeds`."""
        return _options(self, deep)

    def set_params(self: Own, **params: Any) -> Own:
        """Change options, those of nested settings by names such as `training__seeds`.

        Raises:
            ConfigError: an unknown option, or a value that its settings refuse.
        """
        for name, value in _changes(self, type(self).__name__, params).items():
            setattr(self, name, value)
        return self

    def network(self, replica: int | None = None) -> Model:
        """The trained network of one replica, the chosen one by default; it works on prepared signals.

        Raises:
            NotFittedError: there is no model yet.
            CellError: the step of its cell has become another one since it was trained or read.
        """
        self.check_fitted()
        network = select_replica(self.replicas_, self.chosen_ if replica is None else replica)
        self.programs_ = unchanged(network, getattr(self, "programs_", None))
        return network

    def check_fitted(self) -> None:
        """Refuse to use a model before `fit`.

        Raises:
            NotFittedError: it is not fitted.
        """
        if not hasattr(self, "replicas_"):
            name = type(self).__name__
            raise NotFittedError(f"this {name} is not fitted yet; call `fit`, or `{name}.load`")

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "replicas_")

    @property
    def origin(self) -> Origin:
        """Weights and equation of this model, which everything that is made from it carries."""
        return getattr(self, "origin_", None) or self._computed_origin()

    @origin.setter
    def origin(self, origin: Origin) -> None:
        self.origin_ = origin

    def save(
        self,
        folder: str | Path,
        *,
        card: Facts | None = None,
        evaluation: Mapping[str, np.ndarray] | None = None,
        overwrite: bool = False,
    ) -> None:
        """Write a run folder, see `attractor.runs`; `card` and `evaluation` add what a report needs.

        Raises:
            NotFittedError: there is no model yet.
            ConfigError: the cell draws something while it is built that a folder does not keep.
            RunFolderError: the folder holds a finished run and `overwrite` is off, or another training has
                its checkpoint there.
            StorageError: another process works in the folder, or it cannot be written.
        """
        self.network()
        self.check_kept()
        content = {
            "kind": type(self).__name__,
            "options": self.described_options(),
            "replicas": len(jax.tree.leaves(eqx.filter(self.replicas_, eqx.is_array))[0]),
            "replica": self.chosen_,
            "fingerprint": self.fingerprint_,
            **self.facts(),
            **(card or {}),
            "equation": self.equation(),
        }
        run = Run(content, to_arrays(self.replicas_), {**self.notes(), **(evaluation or {})})
        self.origin = save_finished(
            Path(folder), run, self.checkpoints, self.fingerprint_, overwrite=overwrite
        )

    @classmethod
    @single_precision()
    def load(cls: type[Own], folder: str | Path, cell: CellBuilder | None = None) -> Own:
        """Read a model back; a cell of your own is handed in, never imported from a file.

        Raises:
            RunFolderError: the folder holds something else, or a cell that must be handed in.
        """
        folder = Path(folder)
        run = load_run(folder)
        if run.card.get("kind") != cls.__name__:
            raise RunFolderError(f"{folder} holds {run.card.get('kind')!r}, not a {cls.__name__}")
        with facts_of(folder / "card.json"):
            model = cls._from_run(run, folder, cell)
            check_equation(folder, run.card, model.equation())
        model.origin = run.origin
        return model

    @classmethod
    def _from_run(cls: type[Own], run: Run, folder: Path, cell: CellBuilder | None) -> Own:
        card, options = run.card, dict(run.card["options"])
        check_sizes({**options, **card}, run.weights)
        options["cell"] = find_cell(options["cell"], cell, cls.__name__)
        hints = get_type_hints(cls, include_extras=True)
        for name in options:
            check_name(name, names_of(cls), cls.__name__)
        model = cls(**{name: checked(name, hints[name], value) for name, value in options.items()})
        model.chosen_ = fact(card, "replica", int)
        model.fingerprint_ = fact({"fingerprint": "", **card}, "fingerprint", str)
        model.take_facts(run)
        model.plan_ = model.make_plan()
        model.replicas_ = restored(model.plan_, card["replicas"], run.weights, folder)
        return model

    def equation(self) -> dict[str, object]:
        """What a card keeps of the equation, see `describe_equation`."""
        network = self.network()
        return describe_equation(self.once, network, self.probe(network), self.cell)

    def check_kept(self) -> None:
        """Refuse a cell that a run folder could not give back, see `check_rebuilds`.

        Raises:
            ConfigError: it is one.
        """
        check_rebuilds(self.once, self.plan_, self.probe, self.cell)

    def described_options(self) -> dict[str, Any]:
        """The options as plain JSON."""
        return {name: describe_option(value) for name, value in self.get_params(deep=False).items()}

    def identify_training(self, **seen: object) -> str:
        """A digest of a training, so that a checkpoint is resumed by the one that wrote it only.

        Args:
            seen: whatever the training sees: its task and its data.
        """
        program = describe_program(self.plan_, self.plan_.inputs) if callable(self.cell) else None
        return fingerprint(options=self.described_options(), program=program, **seen)

    def cell_builder(self) -> CellBuilder:
        """What builds a cell: the class behind a name, or what the user gave."""
        return cell_class(self.cell) if isinstance(self.cell, str) else self.cell

    @abstractmethod
    def make_plan(self) -> NetworkPlan:
        """The structure that the options and the data ask for."""

    @abstractmethod
    def probe(self, network: Model) -> tuple[Array, ...]:
        """Fixed inputs of `once`, see `probe_rows`."""

    @abstractmethod
    def facts(self) -> Facts:
        """What a card keeps beside options and weights, as plain JSON."""

    @abstractmethod
    def take_facts(self, run: Run) -> None:
        """Take back from a run what `facts` and `notes` gave."""

    def notes(self) -> Arrays:
        """Arrays beside the weights that a run folder keeps."""
        return {}

    def forget(self) -> None:
        """Drop what `fit` learned."""
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(self, name)

    def _computed_origin(self) -> Origin:
        """As the run folder of this model has it, or would have it."""
        network = self.network()
        equation = equation_digest(self.once, network, *self.probe(network))
        return Origin(weights_digest(to_arrays(self.replicas_)), equation)

    @abstractmethod
    def __sklearn_tags__(self) -> object:
        """What scikit-learn asks of an estimator; its searches and pipelines call this."""


def changed_options(owner: object) -> str:
    """The call that makes an estimator, or settings, with the options only that are not as usual."""
    changed = []
    for one in fields(cast(Any, owner)):
        value = getattr(owner, one.name)
        usual = one.default if one.default_factory is MISSING else one.default_factory()
        if one.init and not _same(value, usual):
            changed.append(f"{one.name}={_option(value)}")
    return f"{type(owner).__name__}({', '.join(changed)})"


def _same(value: object, usual: object) -> bool:
    try:
        return value is usual or bool(value == usual)
    except (TypeError, ValueError):  # arrays among options have no one truth
        return False


def _option(value: object) -> str:
    if isinstance(value, Settings):
        return changed_options(value)
    return repr(value) if isinstance(value, bool | int | float | str) else in_words(value)


def _options(owner: object, deep: bool) -> dict[str, Any]:
    """The options of an estimator or of settings by name; `deep` adds those of settings among them."""
    own = {name: getattr(owner, name) for name in names_of(type(owner))}
    inner = {
        name: _options(value, deep) for name, value in own.items() if deep and isinstance(value, Settings)
    }
    return own | {
        f"{name}__{path}": value for name, all_of in inner.items() for path, value in all_of.items()
    }


def _changes(owner: object, title: str, asked: Facts) -> dict[str, Any]:
    """New values of the options of an estimator or of settings, from paths such as `noise__additive`."""
    known = _options(owner, deep=False)
    new: dict[str, Any] = {}
    inner: dict[str, dict[str, Any]] = {}
    for path, value in asked.items():
        name, nested, rest = path.partition("__")
        check_name(name, list(known), title)
        if nested:
            inner.setdefault(name, {})[rest] = value
        else:
            new[name] = value
    for name, deeper in inner.items():
        settings = new.get(name, known[name])
        if not isinstance(settings, Settings):
            raise ConfigError(f"{name} is {settings!r}, which has no options of its own; set {name} first")
        changes = _changes(settings, f"{name} ({type(settings).__name__})", deeper)
        new[name] = replace(settings, **changes)  # pyright: ignore[reportArgumentType] (a dataclass)
    return new
