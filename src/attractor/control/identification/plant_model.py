"""`PlantModel`: from a plant's log to a recurrent model, in the scikit-learn protocol."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Array, Float

from attractor.cells import State, initial_state
from attractor.cells.building import CellBuilder
from attractor.certify import CertifySettings, StabilityResult, certify
from attractor.certify.stability.penalty import ContractionTarget
from attractor.control.metrics import Metrics, evaluate
from attractor.data import Experiment, Record, Scaling
from attractor.errors import ConfigError, InputDataError, ShapeError
from attractor.estimators import Estimator, fitting
from attractor.program import compiled, single, single_precision
from attractor.progress import Reporter, SilentReporter
from attractor.runs import Run
from attractor.settings import Count, PartialShare, Seed
from attractor.training import RunLog, Trained, TrainingSettings, Windows, refine, train
from attractor.training.checkpoint import CHECKPOINTS, Facts, check_own
from attractor.training.identity import probe_rows
from attractor.training.networks import check_scaling, fact, structure_of

from .identification_task import IdentificationTask, fit_readout, free_run, pad
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
    has_feedthrough,
    known_names,
    like_model,
    split_validation,
)


def _once(
    network: PlantNetwork, inputs: Float[Array, "rows inputs"], outputs: Float[Array, "rows outputs"]
) -> tuple[State, State, State, Array]:
    """Everything that a prediction hangs on: rest, start from measured rows, one step, read-out."""
    begun = network.start(inputs[:-1], outputs[:-1])
    after = network.cell(inputs[-1], begun)
    return initial_state(network.cell), begun, after, network.read(after)


@dataclass(eq=False)
class PlantModel(Estimator):
    """A recurrent model of a plant, identified from recordings of its inputs and outputs.

    The model is trained to *simulate*: from the inputs alone, for hundreds of steps, because that is what a
    controller asks of it. Inputs are scaled to [-1, 1] and outputs to a standard deviation of 1, by the
    training data only.

    Args:
        cell: a name ("tanh", "gru", "gru-reset-after", "lstm", "esn", "nnarx", "state-space", "lipschitz",
            "ren"), or any callable `cell(input_size, hidden_size, *, key)` that builds a cell, such as your
            own class.
        hidden_size: units per layer.
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

    cell: str | CellBuilder = "gru"
    hidden_size: Count = 8
    layers: Count = 1
    initial_state: Literal["encoder", "washout", "zero"] = "encoder"
    washout: Count = 20
    feedthrough: bool | None = None
    window: Count = 150
    validation_share: PartialShare = 0.2
    certified: bool = False
    training: TrainingSettings = field(default_factory=TrainingSettings)
    seed: Seed = 0

    checkpoints: ClassVar[tuple[str, ...]] = CHECKPOINTS
    once = staticmethod(_once)

    @fitting
    def fit(
        self,
        inputs: object,
        outputs: object = None,
        *,
        validation: Record | tuple | list | None = None,
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
        record = as_record(inputs, outputs)
        self.flat_output_ = outputs is not None and np.asarray(as_experiments(outputs)[0]).ndim == 1
        held_out = None if validation is None else _as_pair(validation, record.sampling_time)
        training, checking = split_validation(record, held_out, self.validation_share)
        check_recordings(training, self.washout)
        check_judges(training, checking, self.washout, "validation")
        self.signals_ = Signals(record.inputs, record.outputs, record.sampling_time, record.assumed)
        self.input_scaling_, self.output_scaling_ = _scalings(training)
        self.feedthrough_ = has_feedthrough(training) if self.feedthrough is None else self.feedthrough
        self.plan_ = self.make_plan()
        if folder is not None:
            self.check_kept()
        task = self._task(training, checking, start)
        self.fingerprint_ = self.identify_training(
            signals=self.signals_,
            training=[(one.inputs, one.outputs) for one in training.experiments],
            validation=[(one.inputs, one.outputs) for one in checking.experiments],
            task=task,
        )
        log = RunLog(folder, self.fingerprint_, reporter or SilentReporter())
        self.trained_ = self._train(task, training, log)
        self.replicas_ = self.trained_.models
        self.chosen_ = self.trained_.chosen
        self.network()  # takes down which program was trained
        return self

    @single_precision()
    def predict(self, inputs: object, measured: object = None) -> np.ndarray | list[np.ndarray]:
        """Simulate the plant in free run: from inputs alone, in engineering units.

        Args:
            inputs: a `Record`, whose outputs are the measured ones, or one array (time, inputs) or a list of
                them. Columns of tables are found by name.
            measured: outputs of the same recordings. Only their first `washout` rows are looked at, to set
                the initial state; the rows that set it come back as NaN. None starts from the model's rest.

        Returns:
            Outputs like those that `fit` was given: an array (time, outputs) or (time,), or a list of them;
            a list for a `Record`.

        Raises:
            NotFittedError: there is no model yet.
            InputDataError: recordings that do not fit the model, or hold values that are not finite.
        """
        network = self.network()
        runs, known = self._recordings(inputs, measured)
        if len(known) != len(runs):
            raise InputDataError(f"{len(runs)} recordings of inputs and {len(known)} of measured outputs")
        results = [self._simulate(network, run, seen) for run, seen in zip(runs, known, strict=True)]
        results = [result[:, 0] if self.flat_output_ else result for result in results]
        return results if isinstance(inputs, list | tuple | Record) else results[0]

    def _recordings(self, inputs: object, measured: object) -> tuple[list[np.ndarray], list[object]]:
        """Inputs and measured outputs of every recording, None where nothing was measured."""
        if isinstance(inputs, Record):
            record = like_model(inputs, self.signals_)
            return [one.inputs for one in record.experiments], [one.outputs for one in record.experiments]
        names = known_names("u", self.signals_.inputs)
        runs = [
            as_columns(one, f"inputs[{index}]", names) for index, one in enumerate(as_experiments(inputs))
        ]
        return runs, [None] * len(runs) if measured is None else as_experiments(measured)

    def score(self, inputs: object, outputs: object = None) -> float:
        """FIT in percent, averaged over outputs and recordings: 100 is perfect, 0 is the mean.

        Outputs that do not move have no FIT and do not count; NaN if none is left.
        """
        self.check_fitted()
        record = like_model(as_record(inputs, outputs), self.signals_)
        fits = np.array([self.evaluate(one).mean_fit for one in record.experiments])
        return float(fits[~np.isnan(fits)].mean()) if not np.isnan(fits).all() else float("nan")

    def evaluate(self, experiment: Experiment, replica: int | None = None) -> Metrics:
        """`Metrics` of the free run on one experiment, in engineering units, after the washout."""
        predicted = self.simulate(experiment, replica)
        return evaluate(experiment.outputs, predicted, washout=self.settled)

    def simulate(
        self, experiment: Experiment, replica: int | None = None
    ) -> Float[np.ndarray, "time outputs"]:
        """Free run over an experiment, started from its first rows; replica None is the chosen one."""
        return self._simulate(self.network(replica), experiment.inputs, experiment.outputs)

    def certify(self, replica: int | None = None, settings: CertifySettings | None = None) -> StabilityResult:
        """Whether the cell forgets its past under every input in the range of the training data.

        Args:
            replica: which of several seeds; the chosen one by default.
            settings: how hard to try; see `attractor.certify.certify`.
        """
        network = self.network(replica)
        return certify(network.cell, starts=network.starts, settings=settings)

    @property
    def settled(self) -> int:
        """Rows at the beginning of a recording that do not count."""
        return 0 if self.initial_state == "zero" else self.washout

    def check_options(self) -> None:
        """Refuse options outside their range, and a certificate that a refinement would lose."""
        super().check_options()
        if self.certified and self.training.refine:
            raise ConfigError(
                "certified=True with refine: Gauss-Newton steps would lose the certificate; set refine=0"
            )

    def make_plan(self) -> NetworkPlan:
        """The structure that the options and the signals ask for."""
        past = self.washout if self.initial_state == "encoder" else 0
        sizes = len(self.signals_.inputs), len(self.signals_.outputs)
        return NetworkPlan(
            self.cell_builder(), self.hidden_size, self.layers, *sizes, past, self.feedthrough_
        )

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
        self, network: PlantNetwork, inputs: np.ndarray, measured: object
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
        simulated = _free_run(network, single(scaled), single(seen), washout)
        result[washout:] = self.output_scaling_.to_engineering(np.asarray(simulated, float))
        return result

    def _state_rows(self, network: PlantNetwork, measured: object, rows: int) -> int:
        """Rows from which the initial state is read; none if there is nothing to read or no need."""
        if measured is None or not network.reads_state or self.settled == 0:
            return 0
        if rows <= self.washout:
            raise InputDataError(
                f"a recording of {rows} rows is not longer than the washout of {self.washout} rows"
            )
        return self.washout

    def _check_inputs(self, inputs: Float[np.ndarray, "time inputs"]) -> None:
        expected = len(self.signals_.inputs)
        if inputs.shape[1] != expected:
            raise ShapeError(f"{inputs.shape[1]} input columns given, the model was trained with {expected}")
        check_finite("the inputs", self.signals_.inputs, inputs)

    def _past(self, measured: object, shape: tuple[int, int]) -> Float[np.ndarray, "time outputs"]:
        """Measured outputs that fit the inputs and are finite where they set the state."""
        values = as_columns(measured, "measured outputs", known_names("y", self.signals_.outputs))
        if values.shape != shape:
            raise ShapeError(
                f"measured outputs of shape {values.shape}, expected {shape} beside these inputs"
            )
        check_finite("the measured outputs", self.signals_.outputs, values[: self.washout])
        return values

    def probe(self, network: PlantNetwork) -> tuple[Array, Array]:
        """As many samples of inputs and outputs as the network reads its state from, and one more."""
        rows = 1 + (self.settled if network.reads_state else 0)
        inputs, outputs = len(self.signals_.inputs), len(self.signals_.outputs)
        seen = np.asarray(probe_rows(rows, inputs + outputs))
        return single(seen[:, :inputs]), single(seen[:, inputs:])

    def facts(self) -> Facts:
        """Signals, scaling, and what `fit` found in the data."""
        return {
            "signals": asdict(self.signals_),
            "scaling": {"inputs": self.input_scaling_.to_dict(), "outputs": self.output_scaling_.to_dict()},
            "flat_output": self.flat_output_,
            "feedthrough": self.feedthrough_,
        }

    def take_facts(self, run: Run) -> None:
        """The same back from a card."""
        card = run.card
        self.signals_ = Signals.of(card["signals"])
        self.input_scaling_ = Scaling.from_dict(card["scaling"]["inputs"])
        self.output_scaling_ = Scaling.from_dict(card["scaling"]["outputs"])
        for scaling, side in ((self.input_scaling_, "inputs"), (self.output_scaling_, "outputs")):
            check_scaling(scaling, len(card["signals"][side]))
        self.flat_output_ = fact(card, "flat_output", bool)
        self.feedthrough_ = fact(card, "feedthrough", bool)

    @property
    def n_features_in_(self) -> int:
        """How many inputs the plant has, as scikit-learn calls it."""
        self.check_fitted()
        return len(self.signals_.inputs)

    def __sklearn_tags__(self) -> object:
        """A regressor whose rows are samples in time."""
        from sklearn.utils import InputTags, RegressorTags, Tags, TargetTags

        return Tags(
            estimator_type="regressor",
            target_tags=TargetTags(required=True, multi_output=True),
            # A free run over rows in a random order can follow nothing.
            regressor_tags=RegressorTags(poor_score=True),
            input_tags=InputTags(two_d_array=True),
        )


@compiled
def _free_run(network: PlantNetwork, inputs: Array, measured: Array, washout: int) -> Array:
    return free_run(network, inputs, measured, washout)


def _scalings(training: Record) -> tuple[Scaling, Scaling]:
    inputs = np.concatenate([one.inputs for one in training.experiments])
    outputs = np.concatenate([one.outputs for one in training.experiments])
    return (
        Scaling.from_range(inputs, [signal.name for signal in training.inputs]),
        Scaling.standardised(outputs, [signal.name for signal in training.outputs]),
    )


def _as_pair(validation: Record | tuple | list, sampling_time: float) -> Record:
    """Validation data as a record; arrays have no sampling time, so they have that of the training data."""
    if isinstance(validation, Record):
        return validation
    return replace(as_record(*validation), sampling_time=sampling_time)
