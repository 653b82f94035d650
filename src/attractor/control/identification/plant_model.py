"""`PlantModel`: from a plant's log to a recurrent model, in the scikit-learn protocol."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attractor.cells import cell_class
from attractor.certify import CertifySettings, StabilityResult, certify
from attractor.certify.stability.penalty import ContractionTarget
from attractor.control.metrics import evaluate
from attractor.data import Experiment, Record, Scaling
from attractor.errors import ConfigError, InputDataError, NotFittedError, ShapeError
from attractor.origin import Origin
from attractor.program import compiled, single_precision, unchanged
from attractor.progress import Reporter, SilentReporter
from attractor.training import RunLog, Trained, TrainingSettings, Windows, refine, select_replica, train
from attractor.training.checkpoint import check_own
from attractor.training.describing import describe_option, describe_program
from attractor.training.fingerprint import fingerprint
from attractor.training.starting import structure_of

from .feedthrough import has_feedthrough
from .identification_task import IdentificationTask, free_run, pad
from .plant_network import NetworkPlan, PlantNetwork
from .recordings import (
    Signals,
    as_columns,
    as_experiments,
    as_record,
    check_finite,
    check_held,
    check_judges,
    check_recordings,
    split_validation,
)
from .ridge import fit_readout

STARTS = ("encoder", "washout", "zero")


@dataclass(eq=False)
class PlantModel:
    """A recurrent model of a plant, identified from recordings of its inputs and outputs.

    The model is trained to *simulate*: from the inputs alone, for hundreds of steps, because that is what a
    controller asks of it. Inputs are scaled to [-1, 1] and outputs to unit spread by the training data only.

    Args:
        cell: a name ("tanh", "gru", "gru-reset-after", "lstm", "esn", "nnarx", "state-space", "lipschitz",
            "ren"), or any callable `cell(input_size, hidden_size, *, key)` that builds a cell, such as your
            own class.
        hidden_size: units a layer.
        layers: cells in the stack.
        initial_state: how a recording starts: "encoder" learns the state from the first `washout` samples,
            "washout" lets the model forget a zero state over them, "zero" says recordings start at rest.
        washout: samples that set the state and are not counted.
        feedthrough: whether an input acts on the output of the same sample; None decides from the data.
        window: rows simulated in one training example, after its washout.
        validation_share: last part of every recording that is kept for choosing the best weights; 0 trains
            on everything, once the options are settled.
        certified: train a model that contracts for every input in the range of the training data, so that
            `certify` can prove it.
        training: how long and how fast to train, and how many seeds.
        seed: all randomness follows from it.

    Example:
        >>> import numpy as np, attractor
        >>> from attractor.training import TrainingSettings
        >>> u = np.random.default_rng(0).uniform(-1, 1, (300, 1))
        >>> y = np.convolve(u[:, 0], 0.5 ** np.arange(1, 9))[:300]
        >>> model = attractor.PlantModel(hidden_size=4, window=40, training=TrainingSettings(steps=20))
        >>> model.fit(u, y).predict(u).shape
        (300,)
    """

    cell: str | Callable[..., Any] = "gru"
    hidden_size: int = 8
    layers: int = 1
    initial_state: str = "encoder"
    washout: int = 20
    feedthrough: bool | None = None
    window: int = 150
    validation_share: float = 0.2
    certified: bool = False
    training: TrainingSettings = field(default_factory=TrainingSettings)
    seed: int = 0

    @single_precision()
    def fit(
        self,
        inputs: Any,
        outputs: Any = None,
        *,
        validation: Any = None,
        start: PlantNetwork | None = None,
        folder: Path | None = None,
        reporter: Reporter | None = None,
    ) -> "PlantModel":
        """Identify the plant.

        Args:
            inputs: a `Record`, or one array (time, inputs), or a list of such arrays of unequal lengths.
            outputs: the same for the outputs; (time,) is one output. None with a `Record`.
            validation: a `Record` or a pair (inputs, outputs) for the choice of the best weights; None keeps
                the last part of the recordings for it.
            start: a network to train on from, of this structure and scaling; None begins with random weights.
            folder: a run folder for the log and for checkpoints, so that a killed training can go on.
            reporter: hears about progress.

        Raises:
            InputDataError: recordings that cannot be used; the message names recording, signal and row.
            ConfigError: an option that makes no sense.
            DivergedError: training met values that are not finite.
        """
        self.check_options()
        self._forget()
        record = as_record(inputs, outputs)
        self.flat_output_ = outputs is not None and np.ndim(as_experiments(outputs)[0]) == 1
        held_out = None if validation is None else _as_pair(validation, record.sampling_time)
        training, checking = split_validation(record, held_out, self.validation_share)
        check_recordings(training, self.washout)
        check_judges(training, checking, self.washout, "validation")
        self.signals_ = Signals(record.inputs, record.outputs, record.sampling_time)
        self.input_scaling_, self.output_scaling_ = _scalings(training)
        self.feedthrough_ = has_feedthrough(training) if self.feedthrough is None else self.feedthrough
        self.plan_ = self.make_plan()
        if folder is not None:
            from .storage import check_kept

            check_kept(self)
        task = self._task(training, checking, start)
        self.fingerprint_ = self._fingerprint(task, training, checking)
        log = RunLog(folder, self.fingerprint_, reporter or SilentReporter())
        self.trained_ = self._train(task, training, log)
        self.members_ = self.trained_.models
        self.member_ = self.trained_.chosen
        self.network()  # takes down which program was trained
        return self

    @single_precision()
    def predict(self, inputs: Any, measured: Any = None) -> Any:
        """Simulate the plant in free run: from inputs alone, in engineering units.

        Args:
            inputs: one array (time, inputs) or a list of them.
            measured: outputs of the same recordings. Only their first `washout` rows are looked at, to set
                the initial state; the rows that set it come back as NaN. None starts from the model's rest.

        Returns:
            Outputs like those that `fit` was given: an array (time, outputs) or (time,), or a list of them.

        Raises:
            NotFittedError: there is no model yet.
            InputDataError: recordings that do not fit the model, or hold values that are not finite.
        """
        network = self.network()
        runs = [as_columns(one, f"inputs[{index}]") for index, one in enumerate(as_experiments(inputs))]
        known = [None] * len(runs) if measured is None else as_experiments(measured)
        if len(known) != len(runs):
            message = f"{len(runs)} recordings of inputs and {len(known)} of measured outputs"
            raise InputDataError(message)
        results = [self._simulate(network, run, seen) for run, seen in zip(runs, known, strict=True)]
        results = [result[:, 0] if self.flat_output_ else result for result in results]
        return results if isinstance(inputs, list | tuple) else results[0]

    def score(self, inputs: Any, outputs: Any) -> float:
        """FIT in percent, averaged over outputs and recordings: 100 is perfect, 0 is the mean.

        Outputs that do not move have no FIT and do not count; NaN if none is left.
        """
        record = as_record(inputs, outputs)
        fits = np.array([self.evaluate(one).mean_fit for one in record.experiments])
        return float(fits[~np.isnan(fits)].mean()) if not np.isnan(fits).all() else float("nan")

    def evaluate(self, experiment: Experiment, member: int | None = None) -> Any:
        """`Metrics` of the free run on one experiment, in engineering units, after the washout."""
        predicted = self.simulate(experiment, member)
        return evaluate(experiment.outputs, predicted, washout=self.settled)

    def simulate(
        self, experiment: Experiment, member: int | None = None
    ) -> Float[np.ndarray, "time outputs"]:
        """Free run over an experiment, started from its first rows; member None is the chosen one."""
        return self._simulate(self.network(member), experiment.inputs, experiment.outputs)

    def network(self, member: int | None = None) -> PlantNetwork:
        """The trained network of one member, the chosen one by default; it works on scaled signals.

        Raises:
            NotFittedError: there is no model yet.
            CellError: the step of its cell has become another one since it was trained or read.
        """
        if not hasattr(self, "members_"):
            message = "this PlantModel is not fitted yet; call `fit`, or `PlantModel.load`"
            raise NotFittedError(message)
        network = select_replica(self.members_, self.member_ if member is None else member)
        self.programs_ = unchanged(network, getattr(self, "programs_", None))
        return network

    def certify(self, member: int | None = None, settings: CertifySettings | None = None) -> StabilityResult:
        """Whether the cell forgets its past under every input in the range of the training data.

        Args:
            member: which seed; the chosen one by default.
            settings: how hard to try; see `attractor.certify.certify`.
        """
        network = self.network(member)
        return certify(network.cell, starts=network.starts, settings=settings)

    @property
    def origin(self) -> Origin:
        """Weights and equation of this model, which everything that is made from it carries."""
        from .storage import plant_origin

        return getattr(self, "origin_", None) or plant_origin(self)

    @origin.setter
    def origin(self, origin: Origin) -> None:
        self.origin_ = origin

    @property
    def settled(self) -> int:
        """Rows at the beginning of a recording that do not count."""
        return 0 if self.initial_state == "zero" else self.washout

    def save(self, folder: str | Path, **contents: Any) -> None:
        """Write a run folder; see `attractor.runs`."""
        from .storage import save_model

        save_model(self, Path(folder), **contents)

    @classmethod
    def load(cls, folder: str | Path, cell: Callable[..., Any] | None = None) -> "PlantModel":
        """Read a model back; a cell of your own is handed in, never imported from a file."""
        from .storage import load_model

        return load_model(cls, Path(folder), cell)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The options; `deep` adds those of `training` as `training__name`."""
        params = {one.name: getattr(self, one.name) for one in fields(self)}
        if deep:
            params |= {
                f"training__{one.name}": getattr(self.training, one.name) for one in fields(self.training)
            }
        return params

    def set_params(self, **params: Any) -> "PlantModel":
        """Change options.

        Raises:
            ConfigError: unknown option.
        """
        known = self.get_params()
        for name, value in params.items():
            if name not in known:
                message = (
                    f"PlantModel has no option {name!r}; it has {', '.join(self.get_params(deep=False))}"
                )
                raise ConfigError(message)
            if name.startswith("training__"):
                self.training = replace(self.training, **{name.removeprefix("training__"): value})
            else:
                setattr(self, name, value)
        return self

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn asks of an estimator; its searches and pipelines call this."""
        from sklearn.utils import RegressorTags, Tags, TargetTags

        return Tags("regressor", TargetTags(required=True), regressor_tags=RegressorTags())

    def _forget(self) -> None:
        """Drop what an earlier `fit` learned, so that a failed one leaves no half-changed model."""
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(self, name)

    def check_options(self) -> None:
        """Refuse options outside their range.

        Raises:
            ConfigError: names the option, its value and what was expected.
        """
        if self.certified and self.training.refine:
            message = (
                "certified=True with refine: Gauss-Newton steps would lose the certificate; set refine=0"
            )
            raise ConfigError(message)
        if self.initial_state not in STARTS:
            message = f"initial_state={self.initial_state!r}: expected one of {', '.join(map(repr, STARTS))}"
            raise ConfigError(message)
        for name in ("hidden_size", "layers", "window", "washout"):
            if getattr(self, name) < 1:
                message = f"{name}={getattr(self, name)}: expected at least 1"
                raise ConfigError(message)
        if not 0 <= self.seed < 2**31:
            message = f"seed={self.seed}: expected a whole number from 0 to 2147483647"
            raise ConfigError(message)
        if not 0 <= self.validation_share < 1:
            message = f"validation_share={self.validation_share}: expected a share of at least 0 and below 1"
            raise ConfigError(message)

    def make_plan(self) -> NetworkPlan:
        """The structure that the options and the signals ask for."""
        build = cell_class(self.cell) if isinstance(self.cell, str) else self.cell
        past = self.washout if self.initial_state == "encoder" else 0
        sizes = len(self.signals_.inputs), len(self.signals_.outputs)
        return NetworkPlan(build, self.hidden_size, self.layers, *sizes, past, self.feedthrough_)

    def _scaled(self, record: Record) -> tuple[list[np.ndarray], list[np.ndarray]]:
        inputs = [self.input_scaling_.to_unit(one.inputs) for one in record.experiments]
        outputs = [self.output_scaling_.to_unit(one.outputs) for one in record.experiments]
        for one, given, seen in zip(record.experiments, inputs, outputs, strict=True):
            check_held(f"recording {one.name!r}", self.signals_.inputs, one.inputs, given)
            check_held(f"recording {one.name!r}", self.signals_.outputs, one.outputs, seen)
        return inputs, outputs

    def _task(self, training: Record, checking: Record, start: PlantNetwork | None) -> IdentificationTask:
        longest = max(len(one) for one in training.experiments)
        length = min(self.window + self.washout, longest)
        return IdentificationTask(
            build=self.plan_ if start is None else lambda _: start,
            windows=Windows(*self._scaled(training), length),
            validation_data=pad(*self._scaled(checking)),
            washout=self.washout,
            settled=self.settled,
            batch_size=self.training.batch_size,
            contraction=ContractionTarget() if self.certified else None,
        )

    def _train(self, task: IdentificationTask, training: Record, log: RunLog) -> Trained:
        fixed = getattr(structure_of(task.initial).cell, "fixed", False)
        with log.locked():
            if fixed:
                return self._fit_readout(task, training, log)
            trained = train(task, self.training, self.seed, log)
            return refine(task, trained, self.training.refine, log)

    def _fit_readout(self, task: IdentificationTask, training: Record, log: RunLog) -> Trained:
        """All the training of a cell whose own weights stay as they were drawn; it needs no checkpoint."""
        if log.checkpoint is not None:
            check_own(log.checkpoint, self.fingerprint_)
        log.restart([])
        return fit_readout(task, pad(*self._scaled(training)), self.training.seeds, self.seed)

    @single_precision()
    def _simulate(
        self, network: PlantNetwork, inputs: np.ndarray, measured: Any
    ) -> Float[np.ndarray, "time outputs"]:
        washout = self._state_rows(network, measured, len(inputs))
        self._check_inputs(inputs)
        scaled = self.input_scaling_.to_unit(inputs)
        check_held("the inputs", self.signals_.inputs, inputs, scaled)
        shape = (len(inputs), len(self.signals_.outputs))
        seen = np.zeros(shape)
        if washout:
            past = self._past(measured, shape)[:washout]
            seen[:washout] = self.output_scaling_.to_unit(past)
            check_held("the measured outputs", self.signals_.outputs, past, seen[:washout])
        result = np.full(shape, np.nan)
        simulated = _free_run(
            network, jnp.asarray(scaled, jnp.float32), jnp.asarray(seen, jnp.float32), washout
        )
        result[washout:] = self.output_scaling_.to_engineering(np.asarray(simulated, float))
        return result

    def _state_rows(self, network: PlantNetwork, measured: Any, rows: int) -> int:
        """Rows from which the initial state is read; none if there is nothing to read or no need."""
        if measured is None or not network.reads_state or self.settled == 0:
            return 0
        if rows <= self.washout:
            message = f"a recording of {rows} rows is not longer than the washout of {self.washout} rows"
            raise InputDataError(message)
        return self.washout

    def _check_inputs(self, inputs: Float[np.ndarray, "time inputs"]) -> None:
        expected = len(self.signals_.inputs)
        if inputs.shape[1] != expected:
            message = f"{inputs.shape[1]} input columns given, the model was trained with {expected}"
            raise ShapeError(message)
        check_finite("the inputs", self.signals_.inputs, inputs)

    def _past(self, measured: Any, shape: tuple[int, int]) -> Float[np.ndarray, "time outputs"]:
        """Measured outputs that fit the inputs and are finite where they set the state."""
        values = as_columns(measured, "measured outputs")
        if values.shape != shape:
            message = f"measured outputs of shape {values.shape}, expected {shape} beside these inputs"
            raise ShapeError(message)
        check_finite("the measured outputs", self.signals_.outputs, values[: self.washout])
        return values

    def _fingerprint(self, task: IdentificationTask, training: Record, checking: Record) -> str:
        """Identifies a training, so that a checkpoint is resumed by the one that wrote it only."""
        options = self.get_params(deep=False)
        return fingerprint(
            options={name: describe_option(value) for name, value in options.items()},
            program=describe_program(self.plan_, self.plan_.inputs) if callable(self.cell) else None,
            signals=self.signals_,
            training=[(one.inputs, one.outputs) for one in training.experiments],
            validation=[(one.inputs, one.outputs) for one in checking.experiments],
            task=task,
        )


@compiled
def _free_run(network: PlantNetwork, inputs: Array, measured: Array, washout: int) -> Array:
    return free_run(network, inputs, measured, washout)


def _scalings(training: Record) -> tuple[Scaling, Scaling]:
    inputs = np.concatenate([one.inputs for one in training.experiments])
    outputs = np.concatenate([one.outputs for one in training.experiments])
    return (
        Scaling.from_range(inputs, [signal.name for signal in training.inputs]),
        Scaling.from_spread(outputs, [signal.name for signal in training.outputs]),
    )


def _as_pair(validation: Any, sampling_time: float) -> Record:
    """Validation data as a record; arrays have no sampling time, so they have that of the training data."""
    if isinstance(validation, Record):
        return validation
    return replace(as_record(*validation), sampling_time=sampling_time)
