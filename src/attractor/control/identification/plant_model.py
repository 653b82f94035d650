"""`PlantModel`: from a plant's log to a recurrent model, in the scikit-learn protocol."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from attractor.arrays import Arrays
from attractor.cells import State, cell_class, initial_state
from attractor.cells.building import CellBuilder
from attractor.certify import CertifySettings, StabilityResult, certify
from attractor.certify.stability.penalty import ContractionTarget
from attractor.control.metrics import Metrics, evaluate
from attractor.data import Experiment, Record, Scaling
from attractor.errors import ConfigError, InputDataError
from attractor.estimators import Estimator, fitting
from attractor.program import single, single_precision
from attractor.progress import Reporter, SilentReporter
from attractor.runs import Run
from attractor.settings import Count, PartialShare, Seed
from attractor.training import RunLog, Trained, TrainingSettings, Windows, refine, train
from attractor.training.checkpoint import CHECKPOINTS, Facts, check_own
from attractor.training.identity import probe_rows
from attractor.training.networks import AUTO, cell_name, check_scaling, describe_option, fact, structure_of

from .bands import NO_START, NOT_CALIBRATED, BandCalibration, OutputBands, calibrate, calibration_of
from .family_options import USUAL_LAYERS, USUAL_SIZE, check_family
from .identification_task import Drawing, IdentificationTask, fit_readout, pad
from .linear_start import find_linear_start
from .plant_network import ENCODER_WIDTH, NetworkPlan, PlantNetwork
from .race import (
    AS_FITTED,
    LINEAR,
    POLYNOMIAL,
    RECURRENT,
    Entrant,
    Result,
    Structure,
    entrants,
    forecast,
    only,
    race,
)
from .recordings import (
    Signals,
    as_experiments,
    as_record,
    as_validation,
    check_held,
    check_judges,
    check_recordings,
    like_model,
    pairs_of,
    scalings,
    split_validation,
)
from .regressions import FromRegression, Start, find_polynomial_start
from .remarks import remarks
from .simulator import Simulator, free_runs
from .timing import Delay, Feedthrough, Timing, find_timing


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
        cell: "auto" lets a linear model, a state-space network that begins as it, and a GRU race on the
            validation data; with `certified` it is a GRU. Or a name ("linear", "tanh", "gru",
            "gru-reset-after", "lstm", "esn", "nnarx", "state-space", "lipschitz", "ren"), or any callable
            `cell(input_size, hidden_size, *, key)` that builds a cell, such as your own class.
        hidden_size: units per layer; a network that begins as the linear model has as many states as that,
            and two more.
        layers: cells in the stack.
        initial_state: how a recording starts: "encoder" learns the state from the first `washout` samples,
            "washout" lets the model forget a zero state over them, "zero" says recordings start at rest.
        washout: samples that set the state and are not counted.
        feedthrough: whether an input acts on the output of the same row, so that no controller can use the
            model; "shift" gives the network the inputs one row early instead, for outputs that are measured
            after the input of their row has acted. None decides from the data, between False and "shift".
        delay: samples by which inputs act late, one number or one for each; they are delayed before they
            enter the network. None takes a long delay from the data where a linear model is as good with it.
        window: rows simulated in one training example, after its washout.
        validation_share: last part of every recording that is kept for choosing the best weights; 0 trains
            on everything, once the options are settled.
        certified: train a model that contracts for every input in the range of the training data, so that
            `certify` can prove it; refused of cells that nothing trains ("linear", "esn").
        training: how long and how fast to train, and how many seeds.
        seed: all randomness follows from it.

    Example:
        >>> import numpy as np, attractor
        >>> from attractor.training import TrainingSettings
        >>> u = np.random.default_rng(0).uniform(-1, 1, (300, 1))
        >>> y = np.convolve(u[:, 0], 0.5 ** np.arange(1, 9))[:300]
        >>> model = attractor.PlantModel("gru", hidden_size=4, window=40, training=TrainingSettings(steps=20))
        >>> model.fit(u, y).predict(u).shape
        (300,)
    """

    cell: str | CellBuilder = AUTO
    hidden_size: Count = USUAL_SIZE
    layers: Count = USUAL_LAYERS
    initial_state: Literal["encoder", "washout", "zero"] = "encoder"
    washout: Count = 20
    feedthrough: Feedthrough = None
    delay: Delay = None
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
        if start is None:
            check_family(self)
        record = as_record(inputs, outputs)
        self.flat_output_ = outputs is not None and np.asarray(as_experiments(outputs)[0]).ndim == 1
        held_out = None if validation is None else as_validation(validation, record.sampling_time)
        training, checking = split_validation(record, held_out, self.validation_share)
        check_recordings(training, self.washout)
        check_judges(training, checking, self.washout, "validation")
        self.held_out_ = None if checking is training else checking
        self.signals_ = Signals(record.inputs, record.outputs, record.sampling_time, record.assumed)
        self.input_scaling_, self.output_scaling_ = scalings(training)
        self.race_: tuple[Result, ...] = ()
        rows = self.settled, self._encoded
        self.timing_ = find_timing(training, checking, self.feedthrough, self.delay, rows, reporter)
        runners = self._entrants(training, checking, reporter) if start is None else []
        self.structure_ = self._structure(runners, start)
        self.plan_ = self.make_plan()
        if folder is not None:
            self.check_kept()
        build = self.plan_ if start is None else lambda _: start
        task_of = partial(self._task, training, checking)
        task = task_of(runners[-1].build if runners else build)
        self.fingerprint_ = self.identify_training(
            signals=self.signals_,
            training=[(one.inputs, one.outputs) for one in training.experiments],
            validation=[(one.inputs, one.outputs) for one in checking.experiments],
            task=task,
        )
        log = RunLog(folder, self.fingerprint_, reporter or SilentReporter())
        self.trained_ = self._race(runners, log, task_of) if runners else self._train(task, training, log)
        self.replicas_, self.chosen_ = self.trained_.models, self.trained_.chosen
        self.remarks_ = (
            *self.timing_.in_words(record.inputs),
            *remarks(self.network(), self.trained_, training, checking),
        )
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
        simulator, pairs = self.simulator(), pairs_of(inputs, measured, self.signals_)
        results = [simulator.run(run, seen) for run, seen in pairs]
        results = [result[:, 0] if self.flat_output_ else result for result in results]
        return results if isinstance(inputs, list | tuple | Record) else results[0]

    @single_precision()
    def predict_bands(
        self, inputs: object, measured: object = None, coverage: float = 0.9
    ) -> OutputBands | list[OutputBands]:
        """The free run and bands around it, calibrated so that measured outputs lie inside.

        Args:
            inputs: as for `predict`.
            measured: as for `predict`; a model whose state is read from measured rows needs them.
            coverage: at least so great a share of the rows of new stretches lies inside; see
                `attractor.control.identification.bands` for what is assumed.

        Returns:
            One for a recording, a list of them where `predict` gives a list.

        Raises:
            ConfigError: a coverage outside (0, 1), or a model without data held out for validation.
            InputDataError: recordings that do not fit the model, or no measured rows to start from.
        """
        self.check_fitted()
        pairs = pairs_of(inputs, measured, self.signals_)
        results = [self.bands(run, seen, coverage) for run, seen in pairs]
        if self.flat_output_:
            results = [one.flat() for one in results]
        return results if isinstance(inputs, list | tuple | Record) else results[0]

    def bands(self, inputs: np.ndarray, measured: object, coverage: float) -> OutputBands:
        """`predict_bands` of one recording, always of shape (time, outputs)."""
        simulator, calibration = self.simulator(), self.calibration_
        if calibration is None:
            raise ConfigError(NOT_CALIBRATED)
        if measured is None and simulator.reads_state:
            raise InputDataError(NO_START.format(rows=self.settled))
        found, scale = simulator.run(inputs, measured), self.output_scaling_.scale
        return OutputBands.around(found, calibration, coverage, (self.settled, scale))

    @cached_property
    def calibration_(self) -> BandCalibration | None:
        """Errors over the validation part by which bands are calibrated; None where nothing was held out."""
        if self.held_out_ is None:
            return None
        return calibrate(free_runs(self.network(), *self.scaled(self.held_out_), self.settled))

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
        return self.simulator(replica).run(experiment.inputs, experiment.outputs)

    def simulator(self, replica: int | None = None) -> Simulator:
        """A trained network with what its numbers mean; replica None is the chosen one."""
        network = self.network(replica)
        scalings = self.input_scaling_, self.output_scaling_
        return Simulator(network, self.signals_, *scalings, self.timing_, self.settled)

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
        plan = self._open_plan(self.cell_builder())
        return plan if self.structure_ is None else self.structure_.plan(plan)

    def cell_builder(self) -> CellBuilder:
        """What builds a cell: that of the option, or that of the family which won a race."""
        return super().cell_builder() if self.structure_ is None else cell_class(self.structure_.cell)

    def _open_plan(self, build: CellBuilder) -> NetworkPlan:
        """The plan as far as options and signals decide it."""
        sizes = len(self.signals_.inputs), len(self.signals_.outputs)
        timing = self.timing_.feedthrough, ENCODER_WIDTH, self.timing_.delays
        return NetworkPlan(build, self.hidden_size, self.layers, *sizes, self._encoded, *timing)

    @property
    def _encoded(self) -> int:
        """Rows that an encoder reads."""
        return self.washout if self.initial_state == "encoder" else 0

    def _entrants(self, training: Record, checking: Record, reporter: Reporter | None) -> list[Entrant]:
        """The families that race; none where the cell is named, or is to have a certificate."""
        if self.cell not in (AUTO, *AS_FITTED) or self.certified:
            return []
        sides = (zip(*self.scaled(record), strict=True) for record in (training, checking))
        learned, judged = map(list, sides)
        start = Start(self.timing_.feedthrough, self.settled, self._encoded)
        given = learned, judged, start, self.timing_.delays
        linear = None if self.cell == POLYNOMIAL else find_linear_start(*given, reporter)
        polynomial = None if self.cell == LINEAR else find_polynomial_start(*given)
        found = entrants(self._open_plan(cell_class("gru")), self.hidden_size, linear, polynomial)
        return found if self.cell == AUTO else only(found, str(self.cell))

    def _structure(self, runners: list[Entrant], start: PlantNetwork | None) -> Structure | None:
        """What the options leave open; a race may still replace it."""
        if self.cell not in (AUTO, *AS_FITTED):
            return None
        if start is not None:
            return Structure.of_network(start)
        return runners[0].structure if runners else Structure("gru", self.hidden_size)

    def _race(
        self, runners: list[Entrant], log: RunLog, task_of: Callable[..., IdentificationTask]
    ) -> Trained:
        """Train all of them; the winner gives structure and weights."""
        with log.locked():
            outcome = race(runners, task_of, self.training, self.seed, log)
            self.race_, self.structure_ = outcome.results, outcome.structure
            self.plan_ = self.make_plan()
            return refine(outcome.task, outcome.trained, self.training.refine, log)

    def forecast(self, training: Record) -> str:
        """What `fit` will train on a record, and about how long that takes."""
        named = ["gru"] if self.cell == AUTO else [str(describe_option(self.cell))]
        families = RECURRENT if self.cell == AUTO and not self.certified else named
        regressed = sum(map(len, training.experiments)) * len(training.outputs)
        return forecast(families, self.training, self.window + self.washout, regressed)

    def applied(self, inputs: Float[np.ndarray, "time inputs"]) -> Float[np.ndarray, "time inputs"]:
        """The inputs of a recording as the network takes them: scaled, and early by a row if shifted."""
        return self.timing_.lined_up(self.input_scaling_.to_unit(inputs))

    @property
    def feedthrough_(self) -> bool:
        """Whether an input acts on the output of its own row, inside of the network or by a shift."""
        return self.timing_.feedthrough or self.timing_.shifted

    @property
    def family(self) -> str:
        """What the cell is called: that which was named, or that which won."""
        return cell_name(self.cell_builder())

    def scaled(self, record: Record) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Inputs and outputs of every recording as the network takes them.

        Raises:
            InputDataError: a value that float32 does not hold.
        """
        inputs = [self.applied(one.inputs) for one in record.experiments]
        outputs = [self.output_scaling_.to_unit(one.outputs) for one in record.experiments]
        for one, given, seen in zip(record.experiments, inputs, outputs, strict=True):
            check_held(f"recording {one.name!r}", self.signals_.inputs, one.inputs, given)
            check_held(f"recording {one.name!r}", self.signals_.outputs, one.outputs, seen)
        return inputs, outputs

    def _task(
        self, training: Record, checking: Record, build: Callable[[PRNGKeyArray], PlantNetwork]
    ) -> IdentificationTask:
        longest = max(len(one) for one in training.experiments)
        length = min(self.window + self.washout, longest)
        return IdentificationTask(
            build=build if isinstance(build, FromRegression) else Drawing(build),
            windows=Windows(*self.scaled(training), length),
            validation_data=pad(*self.scaled(checking)),
            washout=self.washout,
            settled=self.settled,
            batch_size=self.training.batch_size,
            contraction=ContractionTarget() if self.certified else None,
        )

    def _train(self, task: IdentificationTask, training: Record, log: RunLog) -> Trained:
        with log.locked():
            if getattr(structure_of(task.initial).cell, "fixed", False):
                return self._fit_readout(task, training, log)
            trained = train(task, self.training, self.seed, log)
            return refine(task, trained, self.training.refine, log)

    def _fit_readout(self, task: IdentificationTask, training: Record, log: RunLog) -> Trained:
        """All the training of a cell whose own weights stay as they were drawn; it needs no checkpoint."""
        if log.checkpoint is not None:
            check_own(log.checkpoint, self.fingerprint_)
        log.restart([])
        return fit_readout(task, pad(*self.scaled(training)), self.training.seeds, self.seed)

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
            "timing": asdict(self.timing_),
            "remarks": list(self.remarks_),
            **self._choice(),
        }

    def notes(self) -> Arrays:
        """What bands are calibrated by."""
        return {} if self.calibration_ is None else self.calibration_.arrays()

    def _choice(self) -> Facts:
        """What a race decided, and its results."""
        if self.structure_ is None:
            return {}
        results = [one.facts() for one in self.race_]
        return {
            "structure": asdict(self.structure_),
            "race": results,
            "hidden_size": self.structure_.hidden_size,
        }

    def learned(self) -> list[str]:
        """The signals, and what validation chose."""
        sides = [
            ", ".join(one.name for one in side) for side in (self.signals_.inputs, self.signals_.outputs)
        ]
        return [f"plant from {sides[0]} to {sides[1]}", *super().learned()]

    def take_facts(self, run: Run) -> None:
        """The same back from a card."""
        card = run.card
        self.signals_ = Signals.of(card["signals"])
        self.input_scaling_ = Scaling.from_dict(card["scaling"]["inputs"])
        self.output_scaling_ = Scaling.from_dict(card["scaling"]["outputs"])
        for scaling, side in ((self.input_scaling_, "inputs"), (self.output_scaling_, "outputs")):
            check_scaling(scaling, len(card["signals"][side]))
        self.flat_output_ = fact(card, "flat_output", bool)
        self.timing_ = Timing.of(card)
        self.remarks_ = tuple(map(str, card.get("remarks", ())))
        self.structure_ = Structure.of(card["structure"]) if "structure" in card else None
        self.race_ = tuple(Result.of(one) for one in card.get("race", ()))
        self.calibration_ = calibration_of(run.evaluation, len(self.signals_.outputs))

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
