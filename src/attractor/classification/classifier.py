"""`SequenceClassifier`: from labelled multivariate series to a classifier, in the scikit-learn protocol."""

import warnings
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import equinox as eqx
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
    no_scaling,
    sequence_scaling,
)
from attractor.errors import ConfigError, InputDataError, ShapeError
from attractor.estimators import Estimator, fitting
from attractor.program import compiled, single, single_precision
from attractor.progress import Reporter, SilentReporter
from attractor.runs import Run
from attractor.settings import Count, Positive, Seed
from attractor.training import (
    EpochTask,
    RunLog,
    Trained,
    label_loss,
    select_replica,
    train,
)
from attractor.training.checkpoint import Facts
from attractor.training.epoch_task import CoTeaching
from attractor.training.identity import probe_rows
from attractor.training.networks import check_scaling, describe_option, fact

from .cases import (
    as_classes,
    case_weights,
    check_logits,
    check_stream,
    check_width,
    described_value,
    kept_for_validation,
    known_labels,
    labelled,
    labels_given,
    saved_classes,
)
from .classifier_metrics import fit_temperature, probabilities_of
from .examples import Labelled, SequenceExamples
from .learning import EpochSettings, LabelSettings, NoiseSettings
from .sequence_network import NetworkPlan, SequenceNetwork, Stream, check_takes_missing
from .suspects import CaseHistory, Suspects, case_history, rank_suspects

_AT_ONCE = 256


def _once(network: SequenceNetwork, row: Float[Array, " channels"]) -> tuple[Stream, tuple[Array, Stream]]:
    """Everything that a prediction hangs on: start, one step, logits."""
    stream = network.start()
    return stream, network.step(row, stream)


@dataclass(eq=False)
class SequenceClassifier(Estimator):
    """A recurrent classifier of multivariate series of unequal lengths.

    A part of the training cases is kept for validation: it chooses the epoch (`keep="best"`) and the
    temperature of the probabilities. Nothing but `fit` sees labels, so that a test set is never touched
    before it is scored.

    Args:
        cell: a name ("gru", "lstm", "lipschitz", "mgrn", ... see `attractor.cells.FAMILIES`), or any callable
            `cell(input_size, hidden_size, *, key)` that builds a cell, such as your own class.
        hidden_size: units per layer; for mgrn those of every group.
        layers: cells in the stack.
        groups: which variables belong together, for mgrn: names, patterns or positions such as
            "acc_*, gyro_*" or ("0-2", "3-5"); None makes every variable a group.
        standardise: scale variables to mean 0 and standard deviation 1 by the training cases; False leaves
            them alone.
        pooling: "last" reads the state after the last sample, "mean" the mean over time.
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
        >>> model = attractor.SequenceClassifier(hidden_size=4)
        >>> model = model.set_params(training__epochs=2).fit(x, y)
        >>> model.predict_proba(x[:3]).shape
        (3, 2)
    """

    cell: str | CellBuilder = "gru"
    hidden_size: Count = 64
    layers: Count = 1
    groups: str | list | tuple | None = None
    standardise: bool = True
    pooling: Literal["last", "mean"] = "last"
    missing: MissingPolicy = "error"
    noise: NoiseSettings = field(default_factory=NoiseSettings)
    labels: LabelSettings = field(default_factory=LabelSettings)
    class_weight: Literal["balanced"] | dict | None = None
    training: EpochSettings = field(default_factory=EpochSettings)
    seed: Seed = 0

    once = staticmethod(_once)

    @fitting
    def fit(  # noqa: PLR0913 (the protocol of scikit-learn, and what a run folder needs)
        self,
        X: object,
        y: object = None,
        sample_weight: object = None,
        *,
        validation: Sequences | None = None,
        weight_groups: object = None,
        folder: Path | None = None,
        reporter: Reporter | None = None,
    ) -> "SequenceClassifier":
        """Learn to tell the classes apart.

        Args:
            X: `Sequences`, an array (cases, time, variables), or a list of arrays or tables (time,
                variables). Columns of tables keep their names.
            y: the label of every case; None with `Sequences`.
            sample_weight: what the loss of every case counts, in training and in validation; None counts
                all the same.
            validation: cases for validation, of the same variables and classes; None keeps a share of X.
            weight_groups: for every case what it comes from (a patient, an annotator): cases of one group
                stay on one side of the validation and share one weight. None: every case for itself.
            folder: a run folder for the log and for checkpoints, so that a killed training can go on.
            reporter: hears about progress.

        Raises:
            InputDataError: cases that cannot be used; the message names case, variable and step.
            ConfigError: an option that makes no sense.
            DivergedError: training met values that are not finite.
        """
        data, self.classes_ = labelled(X, y)
        weights = case_weights(labels_given(data), self.classes_, self.class_weight, sample_weight)
        groups = None if weight_groups is None else np.asarray(weight_groups)
        training, checking, chosen, held = self._divide(data, validation, groups)
        self.names_, self.training_ids_ = data.names, tuple(training.ids)
        self.scaling_ = sequence_scaling(training) if self.standardise else no_scaling(len(data.names))
        self.plan_ = self.make_plan()
        if self.missing == "cell":
            check_takes_missing(self.plan_, describe_option(self.cell))
        if folder is not None:
            self.check_kept()
        examples = self._examples(training, checking)
        if weights is not None:
            examples = self._weighted(examples, weights[chosen], None if held is None else weights[held])
        task = self._task(examples, training, groups, chosen)
        self.fingerprint_ = self._identified(task, training, checking)
        log = RunLog(folder, self.fingerprint_, reporter or SilentReporter())
        with log.locked():
            settings = self.training.of_steps(task.steps_per_epoch, task.batch_size)
            self.trained_ = train(task, settings, self.seed, log)
        self._deliver(self.trained_, examples)
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
        logits = np.asarray(_all_logits(network, self.prepare(data)), float)
        check_logits(logits, data.ids)
        return logits

    def score(self, X: object, y: object = None, sample_weight: object = None) -> float:
        """Share of the cases whose most likely class is the true one.

        Args:
            X: cases.
            y: their labels; None with `Sequences` that have them.
            sample_weight: what every case counts; None counts all the same.

        Raises:
            InputDataError: cases without labels, of unknown classes, or that do not fit the model.
            ShapeError: labels or weights of another shape than (cases,).
        """
        self.check_fitted()
        data = self.as_sequences(X)
        truth = self.classes_[self.labels_of(data)] if y is None else as_classes(y, self.classes_)
        if truth.shape != (len(data),):
            raise ShapeError(f"y of shape {truth.shape}: expected ({len(data)},), one label for each case")
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
        values = np.asarray(row, float)
        if values.shape != (len(self.names_),):
            raise ShapeError(
                f"a sample of shape {values.shape}, expected ({len(self.names_)},): one for each variable"
            )
        state, gaps = stream
        scaled = self.scaling_.to_unit(values)
        check_representable(
            scaled, lambda position: f"{self.names_[position]!r} of this sample, {values[position]:g},"
        )
        channels, gaps = gaps.step(scaled, self.missing)
        network = select_replica(self.replicas_, self.chosen_)  # not asked at each sample what its program is
        logits, state = _one_step(network, self.programs_, jnp.asarray(channels, jnp.float32), state)
        check_stream(np.asarray(logits), stream[0])
        return probabilities_of(np.asarray(logits)[None], self.temperature_)[0], (state, gaps)

    @single_precision()
    def suspects(self) -> Suspects:
        """The training cases, those whose labels look most wrong first; needs no reweighting."""
        self.network()
        probabilities = probabilities_of(self.case_history_.logits, self.temperature_)
        return rank_suspects(self.case_history_, self.training_ids_, probabilities)

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
        copies = channel_blocks(self.missing)
        groups = None
        if self.groups is not None:
            groups = channelled_groups(parse_groups(self.groups, self.names_), copies)
        elif copies > 1 and self.cell == "mgrn":
            groups = channelled_groups(tuple((position,) for position in range(len(self.names_))), copies)
        noise = self.noise
        return NetworkPlan(
            cell=self.cell_builder(),
            hidden_size=self.hidden_size,
            layers=self.layers,
            inputs=len(self.names_) * copies,
            classes=len(self.classes_),
            groups=groups,
            noise=StateNoise(noise.additive, noise.multiplicative) if noise.is_noisy else None,
            pooling=self.pooling,
            dropout=(noise.dropout, noise.input_dropout),
        )

    def check_options(self) -> None:
        """Refuse options outside their range, and noise in a form that does not go with the others."""
        super().check_options()
        form, loss = self.noise.form, label_loss(self.labels.loss)
        if form != "injection" and (self.pooling != "last" or loss.start(1, 2) is not None):
            raise ConfigError(
                f"noise form={form!r} works with pooling='last', without dropout, and with a loss that keeps "
                "nothing about its cases"
            )

    def _divide(
        self, data: Sequences, validation: Sequences | None, groups: np.ndarray | None
    ) -> tuple[Sequences, Sequences | None, np.ndarray, np.ndarray | None]:
        """Training cases, validation cases, and where in the data both are; None for cases from elsewhere."""
        everything = np.arange(len(data))
        if groups is not None and len(groups) != len(data):
            raise InputDataError(
                f"weight_groups for {len(groups)} cases, expected one for each of {len(data)}"
            )
        if validation is not None:
            return data, replace(validation, labels=self.labels_of(validation)), everything, None
        share = self.training.validation_share
        if not share:
            return data, None, everything, None
        kept, held = kept_for_validation(data, share, self.seed, groups)
        if not len(held):
            warnings.warn("no case could be kept for validation; the last weights are kept", stacklevel=3)
            return data, None, everything, None
        return data.select(kept), data.select(held), kept, held

    def _task(
        self, examples: SequenceExamples, training: Sequences, groups: np.ndarray | None, chosen: np.ndarray
    ) -> EpochTask:
        codes = None if groups is None else np.unique(groups[chosen], return_inverse=True)[1]
        wrong = self.labels.coteaching
        return EpochTask(
            CoTeaching(examples, wrong) if wrong else examples,
            batch_size=self.training.batch_size,
            epochs=self.training.epochs,
            reweighting=self.labels.asked_reweighting,
            groups=codes,
            labels=np.asarray(training.labels),
        )

    def _examples(self, training: Sequences, checking: Sequences | None) -> SequenceExamples:
        return SequenceExamples(
            build=self.plan_,
            training=self.prepare(training),
            checking=None if checking is None else self.prepare(checking),
            loss=label_loss(self.labels.loss),
            names=tuple(training.ids),
            annealing=self.noise.annealing,
            noise_form=self.noise.form,
            at_once=_AT_ONCE,
        )

    def _weighted(
        self, examples: SequenceExamples, training: np.ndarray, checking: np.ndarray | None
    ) -> SequenceExamples:
        """The same examples with what each counts; validation cases from elsewhere count by their class."""
        judges = examples.checking
        if judges is not None and checking is None:
            checking = case_weights(np.asarray(judges.labels), self.classes_, self.class_weight)
        learned = examples.training.weighted(training)
        judges = judges if judges is None or checking is None else judges.weighted(checking)
        return replace(examples, training=learned, checking=judges)

    def _identified(self, task: EpochTask, training: Sequences, checking: Sequences | None) -> str:
        own = {} if isinstance(self.labels.loss, str) else {"loss": self.labels.loss}
        return self.identify_training(
            own=own,
            classes=self.classes_,
            training=_seen(training),
            validation=None if checking is None else _seen(checking),
            task=task,
        )

    def _deliver(self, trained: Trained, examples: SequenceExamples) -> None:
        """Weights, replica and temperature that validation chooses, and what was noted of the cases."""
        judges, learned = examples.checking, examples.training
        self.chosen_ = trained.chosen
        kept = trained.models if self.training.keep == "best" and judges is not None else trained.last
        self.replicas_ = kept[0] if self.labels.coteaching else kept
        network = self.network()
        self.temperature_ = 1.0
        if judges is not None:
            logits = np.asarray(_all_logits(network, judges), float)
            self.temperature_ = fit_temperature(logits, np.asarray(judges.labels))
        logits = np.asarray(_all_logits(network, learned))
        self.case_history_ = case_history(trained.memory, self.chosen_, np.asarray(learned.labels), logits)

    def as_sequences(self, X: object) -> Sequences:
        """Cases in any form that `fit` takes, checked against the variables of the model.

        Raises:
            ShapeError: another number of variables.
            InputDataError: cases that cannot be read.
        """
        data = X if isinstance(X, Sequences) else Sequences.from_arrays(X, known=self.names_)
        if isinstance(X, Sequences) or data.is_named:
            return data.matched(self.names_)
        check_width(data, len(self.names_))
        return data

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

    def facts(self) -> Facts:
        """Names, classes, scaling and temperature."""
        return {
            "names": list(self.names_),
            "classes": self.classes_.tolist(),
            "training_ids": list(self.training_ids_),
            "scaling": self.scaling_.to_dict(),
            "temperature": self.temperature_,
        }

    def notes(self) -> dict[str, np.ndarray]:
        """What the training noted about its cases."""
        return self.case_history_.to_arrays()

    def take_facts(self, run: Run) -> None:
        """The same back from a card and its arrays."""
        card = run.card
        self.names_, self.training_ids_ = (
            fact(card, name, tuple[str, ...]) for name in ("names", "training_ids")
        )
        self.classes_ = saved_classes(card["classes"])
        self.scaling_ = Scaling.from_dict(card["scaling"])
        check_scaling(self.scaling_, len(self.names_))
        self.temperature_ = fact(card, "temperature", Positive)
        self.case_history_ = CaseHistory.from_arrays(
            run.evaluation, len(self.training_ids_), len(card["classes"])
        )

    @property
    def n_features_in_(self) -> int:
        """How many variables a series has, as scikit-learn calls it."""
        self.check_fitted()
        return len(self.names_)

    def __sklearn_tags__(self) -> object:
        """A classifier of series; a table (cases, time) has one variable."""
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags(),
            input_tags=InputTags(two_d_array=True, three_d_array=True, allow_nan=self.missing != "error"),
        )


@compiled
def _all_logits(network: SequenceNetwork, data: Labelled) -> Array:
    return data.all_logits(network, min(_AT_ONCE, len(data.labels)))


@eqx.filter_jit
def _one_step(
    network: SequenceNetwork, _programs: tuple[str, ...], channels: Array, state: Stream
) -> tuple[Array, Stream]:
    return network.step(channels, state)


def _seen(data: Sequences) -> list[object]:
    return [data.names, data.values, data.lengths, data.labels]
