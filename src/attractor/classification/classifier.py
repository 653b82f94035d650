"""`SequenceClassifier`: from labelled multivariate series to a classifier, in the scikit-learn protocol."""

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attractor.cells import StateNoise
from attractor.cells.building import CellBuilder
from attractor.cells.partition import channelled_groups, parse_groups
from attractor.data import (
    FillState,
    MissingPolicy,
    Scaling,
    Sequences,
    channel_blocks,
    check_representable,
    fill,
)
from attractor.data.wild_values import UsualRange, check_far
from attractor.errors import ConfigError, ShapeError
from attractor.estimators import Estimator, fitting
from attractor.program import single, single_precision
from attractor.progress import Reporter, SilentReporter
from attractor.runs import Run
from attractor.settings import Count, Positive, Seed, Share
from attractor.shown import counted, in_words
from attractor.training import EpochTask, RunLog, label_loss, select_replica, train
from attractor.training.checkpoint import Facts
from attractor.training.epoch_task import CoTeaching
from attractor.training.identity import probe_rows
from attractor.training.networks import check_scaling, describe_option, fact

from .cases import (
    as_classes,
    as_known,
    case_weights,
    check_logits,
    check_stream,
    check_truth,
    described_value,
    for_each,
    known_labels,
    labelled,
    learned_weights,
    saved_classes,
    saved_columns,
    scale_of,
    scaled_sample,
    series_tags,
    tell,
    tell_misleading,
)
from .classifier_metrics import probabilities_of
from .convolution_branch import BranchFit, FittedBranch
from .correction import AT_ONCE, all_logits, corrected, deliver, untrained
from .decision import Decision, tell_void
from .division import Division, Validation, divide_cases, with_groups
from .examples import CaseNames, Labelled, SequenceExamples
from .label_sets import LabelSets, calibration_of
from .learning import EpochSettings, LabelSettings, NoiseSettings, ReadoutSettings, Steps, check_noise
from .sequence_network import (
    USUAL_UNITS,
    NetworkPlan,
    SequenceNetwork,
    Stream,
    check_takes_missing,
    once,
    one_step,
    usual_units,
)
from .suspects import CaseHistory, Suspects, check_ranked, rank_suspects


@dataclass(eq=False)
class SequenceClassifier(Estimator):
    """A recurrent classifier of multivariate series of unequal lengths.

    A part of the training cases is kept for validation: it chooses the epoch (`keep="best"`) and the
    temperature of the probabilities. Nothing but `fit` sees labels, so that a test set is never touched
    before it is scored. With random convolutions, and no case for validation, no recurrent network is added
    to them: nothing could tell whether it helps.

    Args:
        cell: a name ("gru", "lstm", "lipschitz", "mgrn", ... see `attractor.cells.FAMILIES`), or any callable
            `cell(input_size, hidden_size, *, key)` that builds a cell, such as your own class.
        hidden_size: units per layer; for mgrn those of every group. None takes 64, or for a cell of groups
            about as many as give it the weights of a GRU of 64.
        layers: cells in the stack.
        groups: which variables belong together, for mgrn: names, patterns or positions such as
            "acc_*, gyro_*" or ("0-2", "3-5"); None makes every variable a group.
        standardise: scale variables to mean 0 and standard deviation 1 by the training cases; False leaves
            them alone.
        readout: what the classes are read from, see `ReadoutSettings`: the state of the cell, and a ridge
            regression on random convolutions that the recurrent network corrects.
        missing: what becomes of missing values: "error" refuses them, "zero" puts the mean, "forward" the
            last value, "forward+mask" adds whether it was measured, "forward+mask+age" also since when, and
            "cell" hands NaN to a cell that knows what to do, such as mgrn.
        noise: what disturbs the network in training, see `NoiseSettings`.
        labels: what is done about labels that may be wrong, see `LabelSettings`.
        class_weight: what the loss of a case counts by its class: None the same for all, "balanced" so that
            every class counts the same, or numbers by class.
        training: how long and how fast to train, and which weights to keep, see `EpochSettings`.
        seed: all randomness follows from it.

    Example:
        >>> import numpy as np, attractor
        >>> x = np.random.default_rng(0).normal(size=(40, 12, 2))
        >>> y = np.where(x[:, :, 0].sum(axis=1) > 0, "up", "down")
        >>> model = attractor.SequenceClassifier(hidden_size=4).set_params(training__epochs=2).fit(x, y)
        >>> model.predict_proba(x[:3]).shape
        (3, 2)
    """

    cell: str | CellBuilder = "gru"
    hidden_size: Count | None = None
    layers: Count = 1
    groups: str | list | tuple | None = None
    standardise: bool = True
    readout: ReadoutSettings = field(default_factory=ReadoutSettings)
    missing: MissingPolicy = "error"
    noise: NoiseSettings = field(default_factory=NoiseSettings)
    labels: LabelSettings = field(default_factory=LabelSettings)
    class_weight: Literal["balanced"] | dict | None = None
    training: EpochSettings = field(default_factory=EpochSettings)
    seed: Seed = 0

    once = staticmethod(once)

    @fitting
    def fit(  # noqa: PLR0913 (the protocol of scikit-learn, and what a run folder needs)
        self,
        X: object,
        y: object = None,
        sample_weight: object = None,
        *,
        validation: Validation = None,
        weight_groups: object = None,
        groups: object = None,
        folder: Path | None = None,
        reporter: Reporter | None = None,
    ) -> "SequenceClassifier":
        """Learn to tell the classes apart.

        Args:
            X: `Sequences`, an array (cases, time, variables), or a list of arrays or tables (time,
                variables). Columns of tables keep their names.
            y: the label of every case; None with `Sequences`. A Series, here and below, goes by its index
                where that has the names of the cases.
            sample_weight: what the loss of every case counts; None counts all the same.
            validation: cases of the same variables and classes, or positions in X; None keeps a share of X.
            weight_groups: for every case what it comes from (a patient, an annotator): cases of one group
                stay on one side of the validation, share one weight in the training of the network, and
                calibrate sets of labels for new groups. None: the groups of the `Sequences`; without, every
                case for itself, but windows of one recording, which are found, are such a group.
            groups: the same by scikit-learn's word; those of the variables are an option of the classifier.
            folder: a run folder for the log and for checkpoints, so that a killed training can go on.
            reporter: hears about progress.

        Raises:
            InputDataError: cases that cannot be used; the message names case, variable and step.
            ConfigError: an option that makes no sense.
            DivergedError: training met values that are not finite.
        """
        data, self.classes_ = labelled(X, y)
        data = with_groups(X, data, weight_groups, groups)
        tell_misleading(data)
        sample_weight = for_each(X, sample_weight, "sample_weight")
        weights = learned_weights(data, self.classes_, self.class_weight, sample_weight)
        parts = divide_cases(data, self.classes_, validation, self.training.validation_share, self.seed)
        training, checking = parts.training, parts.checking
        self.names_, self.training_ids_, self.columns_ = data.names, tuple(training.ids), data.columns
        self.scaling_, self.usual_ = scale_of(training, standardise=self.standardise)
        self.longest_, self.units_ = int(training.lengths.max()), self.hidden_size or USUAL_UNITS
        if self.hidden_size is None:
            self.units_ = usual_units(self.make_plan())
        self.plan_ = self.make_plan()
        if self.missing == "cell":
            check_takes_missing(self.plan_, describe_option(self.cell))
        if folder is not None:
            self.check_kept()
        examples = self._examples(training, checking)
        if weights is not None:
            examples = examples.weighted(*parts.weights(weights, self.classes_, self.class_weight))
        fitted = None
        if self.readout.convolutions:
            bank = self.make_plan().bank(jax.random.key(self.seed))
            fades = self.labels.reweighting is not None
            fit = BranchFit(len(self.classes_), weights, parts.related, self.seed, fades)
            cases = self.prepare(data)
            fitted = fit(bank, (cases.inputs, cases.lengths, cases.labels), reporter)
            examples = corrected(examples, fitted, parts)
        task = self._task(examples, training)
        own = {} if isinstance(self.labels.loss, str) else {"loss": self.labels.loss}
        self.fingerprint_ = self.identify_training(own=own, classes=self.classes_, **parts.seen, task=task)
        log = RunLog(folder, self.fingerprint_, reporter or SilentReporter())
        with log.locked():
            ends = self.labels.asked_reweighting is not None or self.noise.within > 0
            sizes = task.epochs, task.steps_per_epoch, task.batch_size
            settings = self.training.of_steps(*sizes, ends=ends, judged=checking is not None)
            idle = fitted is not None and checking is None
            self.trained_ = untrained(examples, self.seed) if idle else train(task, settings, self.seed, log)
        self._deliver(examples, parts, fitted)
        tell_void(self.decision, self.noise, self.labels)
        return self

    def predict(self, X: object) -> np.ndarray:
        """The most likely class of every case, as `fit` was given it."""
        best = self.logits(X).argmax(axis=1)
        return self.classes_[best]

    def predict_proba(self, X: object) -> Float[np.ndarray, "cases classes"]:
        """Calibrated probabilities of the classes, in the order of `classes_`."""
        return probabilities_of(self.logits(X), self.temperature_)

    def decision_function(self, X: object) -> Float[np.ndarray, "cases *classes"]:
        """Logits of the classes; of two classes how much that of the second exceeds the first, (cases,)."""
        logits = self.logits(X)
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

    @single_precision()
    def logits(self, X: object, replica: int | None = None) -> Float[np.ndarray, "cases classes"]:
        """Logits of all classes; replica None is the chosen network.

        Raises:
            NotFittedError: there is no model yet.
            InputDataError: cases that do not fit the model.
        """
        network, data = self.network(replica), self.as_sequences(X)
        logits = np.asarray(all_logits(network, self.prepare(data)), float)
        tell(check_far(data, self.usual_))
        check_logits(logits, data.ids)
        return logits

    def predict_sets(self, X: object, coverage: float = 0.9) -> LabelSets:
        """For every case the labels that cannot be excluded, calibrated so that the true one is among them.

        Args:
            X: cases.
            coverage: at least so great a share of new cases has the true label in its set; see `LabelSets`
                for what is assumed.

        Raises:
            ConfigError: a coverage outside (0, 1), or a model that kept no case for validation.
        """
        self.check_fitted()
        if self.calibration_ is None:
            raise ConfigError(
                "sets of labels are calibrated by validation cases, and this model kept none; fit it with a "
                "validation_share above 0"
            )
        data = self.as_sequences(X)
        found = self.calibration_.sets(self.logits(data), self.temperature_, coverage)
        return replace(found, classes=self.classes_, ids=tuple(data.ids))

    def score(self, X: object, y: object = None, sample_weight: object = None) -> float:
        """Share of the cases whose most likely class is the true one.

        Args:
            X: cases.
            y: their labels; None with `Sequences` that have them.
            sample_weight: what every case counts; None counts all the same.

        Raises:
            InputDataError: cases without labels, of unknown classes alone, or that do not fit the model.
            ShapeError: labels or weights of another shape than (cases,).
        """
        self.check_fitted()
        data = self.as_sequences(X)
        y, sample_weight = for_each(X, y, "y"), for_each(X, sample_weight, "sample_weight")
        truth = self.classes_[self.labels_of(data)] if y is None else as_classes(y, self.classes_)
        if truth.shape != (len(data),):
            raise ShapeError(f"y of shape {truth.shape}: expected ({len(data)},), one label for each case")
        check_truth(truth, self.classes_)
        counts = case_weights(np.zeros(len(data), int), ("",), None, sample_weight)
        return float(np.average(self.predict(data) == truth, weights=counts))

    @single_precision()
    def start(self) -> tuple[Stream, FillState]:
        """Where a stream of samples begins, for `predict_step`."""
        return self.network().start(), FillState.start(len(self.names_))

    @single_precision()
    def predict_step(
        self, row: object, stream: tuple[Stream, FillState]
    ) -> tuple[Float[np.ndarray, " classes"], tuple[Stream, FillState]]:
        """Probabilities after one more sample; after the last one they equal `predict_proba` of the whole.

        Args:
            row: one sample, shape (variables,); NaN where the policy for missing values allows it.
            stream: of `start` or of the step before.

        Returns:
            The probabilities of the classes, and the stream to hand to the next step.

        Raises:
            ShapeError: another number of values.
            InputDataError: a value that float32 does not hold, or a missing one that the policy refuses; the
                stream that was given is as good as before.
            DivergedError: the state is not a number any more; `start` begins a new stream.
        """
        state, gaps = stream
        scaled = scaled_sample(row, self.names_, self.scaling_, self.usual_)
        channels, gaps = gaps.step(scaled, self.missing)
        network = select_replica(self.replicas_, self.chosen_)  # its program is not asked for at each sample
        logits, state = one_step(network, self.programs_, jnp.asarray(channels, jnp.float32), state)
        check_stream(np.asarray(logits), stream[0])
        return probabilities_of(np.asarray(logits)[None], self.temperature_)[0], (state, gaps)

    @single_precision()
    def suspects(self) -> Suspects:
        """The cases that `fit` was given, those whose labels look most wrong first; needs no reweighting.

        Where the recurrent network has a say these are the training cases, else all of them.
        """
        self.network()
        probabilities = probabilities_of(self.case_history_.logits, self.temperature_)
        held = len(self.ranked_ids_) - len(self.training_ids_)
        return rank_suspects(self.case_history_, self.ranked_ids_, probabilities, self.classes_, held)

    @single_precision()
    def prepare(self, data: Sequences) -> Labelled:
        """Cases as the network sees them: scaled, gaps filled, in float32; labels where there are any.

        Raises:
            InputDataError: a value that float32 does not hold, or a missing one that the policy refuses.
        """
        scaled = np.where(data.valid[:, :, None], self.scaling_.to_unit(data.values), 0.0)
        check_representable(scaled, partial(described_value, data))
        filled = fill(scaled, data.lengths, self.missing, data.where)
        whole = bool((data.lengths == filled.shape[1]).all())
        labels = np.zeros(len(data), int) if data.labels is None else data.labels
        return Labelled(
            single(filled),
            None if whole else jax.device_put(data.lengths.astype(np.int32)),
            jax.device_put(labels.astype(np.int32)),
        )

    def labels_of(self, data: Sequences) -> np.ndarray:
        """The labels of cases as positions in `classes_`.

        Raises:
            InputDataError: cases without labels, or of classes that the model does not know.
        """
        return known_labels(data, self.classes_)

    def make_plan(self) -> NetworkPlan:
        """The structure that the options and the variables ask for."""
        copies, noise = channel_blocks(self.missing), self.noise
        apart = copies > 1 and self.cell == "mgrn"
        asked = None if self.groups is None else parse_groups(self.groups, self.names_)
        groups = asked or (tuple((place,) for place in range(len(self.names_))) if apart else None)
        return NetworkPlan(
            cell=self.cell_builder(),
            hidden_size=self.units_,
            layers=self.layers,
            inputs=len(self.names_) * copies,
            classes=len(self.classes_),
            groups=None if groups is None else channelled_groups(groups, copies),
            noise=StateNoise(noise.additive, noise.multiplicative) if noise.is_noisy else None,
            pooling=self.readout.pooling,
            dropout=(noise.dropout, noise.input_dropout),
            convolutions=(self.readout.convolutions, self.longest_) if self.readout.convolutions else None,
        )

    def check_options(self) -> None:
        """Refuse options outside their range, and noise in a form that does not go with the others."""
        super().check_options()
        check_noise(self.noise, self.labels, self.readout, self.missing)

    def _task(self, examples: SequenceExamples, training: Sequences) -> EpochTask:
        codes = None if training.groups is None else np.unique(training.groups, return_inverse=True)[1]
        wrong = self.labels.coteaching
        return EpochTask(
            CoTeaching(examples, wrong) if wrong else examples,
            batch_size=self.training.batch_size,
            epochs=self.training.passes(examples.size),
            reweighting=self.labels.asked_reweighting,
            groups=codes,
            labels=np.asarray(training.labels),
        )

    def _examples(self, training: Sequences, checking: Sequences | None) -> SequenceExamples:
        return SequenceExamples(
            build=self.make_plan().recurrent,
            training=self.prepare(training),
            checking=None if checking is None else self.prepare(checking),
            loss=label_loss(self.labels.loss),
            cases=CaseNames(tuple(training.ids)),
            annealing=self.noise.annealing,
            noise_form=self.noise.form,
            at_once=AT_ONCE,
            worst_case=self.noise.worst_case,
        )

    def _deliver(self, examples: SequenceExamples, parts: Division, fitted: FittedBranch | None) -> None:
        """Weights, replica and temperature that validation chooses, and what was noted of the cases."""
        trained, self.judged_ = self.trained_, examples.checking is not None
        self.chosen_ = trained.chosen
        kept = trained.models if self.training.keep == "best" and self.judged_ else trained.last
        kept = kept[0] if self.labels.coteaching and trained.history else kept
        found = deliver(trained, kept, examples, parts, fitted)
        self.replicas_, self.share_, self.temperature_ = found.replicas, found.share, found.temperature
        self.calibration_, self.case_history_ = found.calibration, found.history
        self.ranked_ids_ = self.training_ids_ if fitted is None or found.share else tuple(parts.ids)
        self.network()  # takes down which program is delivered

    def as_sequences(self, X: object) -> Sequences:
        """Cases in any form that `fit` takes, checked against the variables of the model.

        Raises:
            ShapeError: another number of variables.
            InputDataError: cases that cannot be read.
        """
        return as_known(X, self.names_)

    def probe(self, network: SequenceNetwork) -> tuple[Array]:
        """One sample, as the network takes it."""
        del network
        return (probe_rows(1, self.plan_.inputs)[0],)

    def described_options(self) -> dict[str, Any]:
        """As plain JSON; a loss of the user's own is only named, it matters in training alone."""
        options = super().described_options()
        if not isinstance(self.labels.loss, str):
            options["labels"]["loss"] = type(self.labels.loss).__name__
        return options

    @property
    def decision(self) -> Decision:
        """Which part of the model decides, and why."""
        self.check_fitted()
        return Decision(self.share_, bool(self.readout.convolutions), self.judged_)

    def learned(self) -> list[str]:
        """The classes and the cases, which part decides, and what validation chose."""
        cases = f"{len(self.ranked_ids_)} cases learned from, of {counted(len(self.names_), 'variable')}"
        told = self.decision.told(getattr(self, "trained_", None))
        return [f"classes {in_words(self.classes_.tolist())}, {cases}", *told]

    def facts(self) -> Facts:
        """Names, classes, scaling and temperature."""
        return {
            "names": list(self.names_),
            "classes": self.classes_.tolist(),
            "training_ids": list(self.training_ids_),
            "scaling": self.scaling_.to_dict(),
            "usual_range": self.usual_.to_dict(),
            "temperature": self.temperature_,
            "longest": self.longest_,
            "hidden_size": self.units_,
            "recurrent_share": self.share_,
            "judged": self.judged_,
            "ranked_ids": list(self.ranked_ids_),
            "columns": None if self.columns_ is None else self.columns_.asked,
        }

    def notes(self) -> dict[str, np.ndarray]:
        """What the training noted about its cases."""
        calibration = {} if self.calibration_ is None else self.calibration_.to_arrays()
        return {**self.case_history_.to_arrays(), **calibration}

    def take_facts(self, run: Run) -> None:
        """The same back from a card and its arrays."""
        # Runs of earlier versions ranked their training cases, and were judged wherever a network had a say.
        card = {"ranked_ids": run.card["training_ids"], "judged": True, **run.card}
        self.names_, self.training_ids_, self.ranked_ids_ = (
            fact(card, name, tuple[str, ...]) for name in ("names", "training_ids", "ranked_ids")
        )
        self.judged_ = fact(card, "judged", bool)
        check_ranked(self.ranked_ids_, self.training_ids_, run.evaluation, judged=self.judged_)
        self.classes_ = saved_classes(card["classes"])
        self.columns_ = saved_columns(card.get("columns"))
        self.scaling_ = Scaling.from_dict(card["scaling"])
        check_scaling(self.scaling_, len(self.names_))
        self.usual_ = UsualRange.from_dict(card.get("usual_range"), len(self.names_))
        self.temperature_ = fact(card, "temperature", Positive)
        self.longest_, self.units_ = fact(card, "longest", Steps), fact(card, "hidden_size", Count)
        if self.hidden_size not in (None, self.units_):
            raise ValueError(f"hidden_size={self.hidden_size} was asked for, and {self.units_} are there")
        self.share_ = fact(card, "recurrent_share", Share)
        self.calibration_ = calibration_of(run.evaluation, len(card["classes"]))
        self.case_history_ = CaseHistory.from_arrays(
            run.evaluation, len(self.ranked_ids_), len(card["classes"])
        )

    @property
    def n_features_in_(self) -> int:
        """How many variables a series has, as scikit-learn calls it."""
        self.check_fitted()
        return len(self.names_)

    def __sklearn_tags__(self) -> object:
        """A classifier of series; a table (cases, time) has one variable."""
        return series_tags(takes_missing=self.missing != "error")
