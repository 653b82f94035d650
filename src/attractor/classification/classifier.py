"""`SequenceClassifier`: from labelled multivariate series to a classifier, in the scikit-learn protocol."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attractor.cells import StateNoise, cell_class
from attractor.cells.partition import channelled_groups, parse_groups
from attractor.data import (
    FillState,
    Sequences,
    channel_blocks,
    check_representable,
    fill,
    no_scaling,
    sequence_scaling,
    stratified_hold_out,
)
from attractor.errors import ConfigError, InputDataError, NotFittedError, ShapeError
from attractor.origin import Origin
from attractor.program import compiled, single_precision, unchanged
from attractor.progress import Reporter, SilentReporter
from attractor.training import (
    EpochTask,
    Reweighting,
    RunLog,
    Trained,
    TrainingSettings,
    label_loss,
    select_replica,
    train,
)
from attractor.training.coteaching import CoTeaching

from .calibration import fit_temperature, probabilities_of
from .examples import Labelled, SequenceExamples
from .finite import check_logits, check_stream, described_value
from .options import check_options, fingerprint_of
from .sequence_network import NetworkPlan, SequenceNetwork
from .suspects import Suspects, diary_of, rank_suspects

_AT_ONCE = 256


@dataclass(eq=False)
class SequenceClassifier:
    """A recurrent classifier of multivariate series of unequal lengths.

    A part of the training cases is kept for validation: it chooses the epoch (`keep="best"`) and the
    temperature of the probabilities. Nothing but `fit` sees labels, so that a test set is never touched
    before it is scored.

    Args:
        cell: a name ("gru", "lstm", "lipschitz", "mgrn", ... see `attractor.cells.FAMILIES`), or any callable
            `cell(input_size, hidden_size, *, key)` that builds a cell, such as your own class.
        hidden_size: units a layer; for mgrn those of every group.
        layers: cells in the stack.
        groups: which variables belong together, for mgrn: names, patterns or places such as
            "acc_*, gyro_*" or ("0-2", "3-5"); None makes every variable a group.
        standardise: scale variables to mean 0 and spread 1 by the training cases; False leaves them alone.
        pooling: "last" reads the state after the last sample, "mean" the mean over time.
        noise: standard deviation of the noise that training adds to the hidden state at every step.
        multiplicative_noise: the same in proportion to what the step changes.
        noise_form: "injection" draws the noise; "flatness" and "flatness+curvature" add to the loss what it
            would add on average, P / 2 or (P + Q) / 2 of Lim et al. 2021, without drawing it.
        annealing: share of the noise that is left at the end of the training; 1 keeps it constant.
        dropout: share of the pooled state that training drops.
        input_dropout: share of the channels that training drops, one draw for a whole sequence.
        missing: what becomes of missing values: "error" refuses them, "zero" puts the mean, "forward" the
            last value, "forward+mask" adds whether it was measured, "forward+mask+age" also since when, and
            "cell" hands NaN to a cell that knows what to do, such as mgrn.
        loss: a name of `attractor.training.LOSSES` or a loss of your own.
        reweighting: None weighs all cases alike, "auto" fades out those whose labels look wrong; or a
            `Reweighting`.
        coteaching: share of the labels that is taken to be wrong: two networks then choose for each other
            what to learn from, and the first is kept; 0 trains one.
        epochs: passes over the training cases.
        batch_size: cases a step.
        learning_rate: peak of the schedule.
        weight_decay: of AdamW.
        validation_share: share of the training cases, class by class, kept for validation; 0 trains on all.
        keep: "best" keeps the weights of the epoch that did best in validation, "last" the last ones.
        seeds: networks trained side by side; the best in validation is kept.
        seed: all randomness follows from it.

    Example:
        >>> import numpy as np, attractor
        >>> x = np.random.default_rng(0).normal(size=(40, 12, 2))
        >>> y = np.where(x[:, :, 0].sum(axis=1) > 0, "up", "down")
        >>> model = attractor.SequenceClassifier(hidden_size=4, epochs=2).fit(x, y)
        >>> model.predict_proba(x[:3]).shape
        (3, 2)
    """

    cell: str | Callable[..., Any] = "gru"
    hidden_size: int = 64
    layers: int = 1
    groups: Any = None
    standardise: bool = True
    pooling: str = "last"
    noise: float | int = 0.0
    multiplicative_noise: float | int = 0.0
    noise_form: str = "injection"
    annealing: float | int = 1.0
    dropout: float | int = 0.0
    input_dropout: float | int = 0.0
    missing: str = "error"
    loss: Any = "cross-entropy"
    reweighting: str | Reweighting | None = None
    coteaching: float | int = 0.0
    epochs: int = 60
    batch_size: int = 32
    learning_rate: float | int = 3e-3
    weight_decay: float | int = 1e-4
    validation_share: float | int = 0.2
    keep: str = "best"
    seeds: int = 1
    seed: int = 0

    @single_precision()
    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        validation: Sequences | None = None,
        weight_groups: Any = None,
        folder: Path | None = None,
        reporter: Reporter | None = None,
    ) -> "SequenceClassifier":
        """Learn to tell the classes apart.

        Args:
            X: `Sequences`, an array (cases, time, variables), or a list of arrays (time, variables).
            y: the label of every case; None with `Sequences`.
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
        check_options(self)
        self._forget()
        data, self.classes_ = _labelled(X, y)
        training, checking, chosen = self._divide(data, validation, weight_groups)
        self.names_, self.training_ids_ = data.names, tuple(training.ids)
        self.scaling_ = sequence_scaling(training) if self.standardise else no_scaling(len(data.names))
        self.plan_ = self.make_plan()
        if folder is not None:
            from .storage import check_kept

            check_kept(self)
        task = self._task(training, checking, weight_groups, chosen)
        self.fingerprint_ = fingerprint_of(self, task, training, checking)
        log = RunLog(folder, self.fingerprint_, reporter or SilentReporter())
        with log.locked():
            self.trained_ = train(task, self._settings(task), self.seed, log)
        self._deliver(self.trained_, self._examples(training, checking))
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The most likely class of every case, as `fit` was given it."""
        best = self.decision_function(X).argmax(axis=1)
        return self.classes_[best]

    def predict_proba(self, X: Any) -> Float[np.ndarray, "cases classes"]:
        """Calibrated probabilities of the classes, in the order of `classes_`."""
        return probabilities_of(self.decision_function(X), self.temperature_)

    @single_precision()
    def decision_function(self, X: Any, member: int | None = None) -> Float[np.ndarray, "cases classes"]:
        """Logits of the classes; member None is the chosen network.

        Raises:
            NotFittedError: there is no model yet.
            InputDataError: cases that do not fit the model.
        """
        network, data = self.network(member), self.as_sequences(X)
        logits = np.asarray(_all_logits(network, self.prepare(data)), float)
        check_logits(logits, data.ids)
        return logits

    def score(self, X: Any, y: Any = None) -> float:
        """Share of the cases whose most likely class is the true one."""
        data, truth = X, y
        if y is None:
            data = self.as_sequences(X)
            truth = self.classes_[self.labels_of(data)]
        return float(np.mean(self.predict(data) == np.asarray(truth)))

    @single_precision()
    def start(self) -> Any:
        """Where a stream of samples begins, for `predict_step`."""
        return self.network().start(), FillState.start(len(self.names_))

    @single_precision()
    def predict_step(self, row: Any, stream: Any) -> tuple[Float[np.ndarray, " classes"], Any]:
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
            message = (
                f"a sample of shape {values.shape}, expected ({len(self.names_)},): one for each variable"
            )
            raise ShapeError(message)
        state, gaps = stream
        scaled = self.scaling_.to_unit(values)
        check_representable(
            scaled, lambda place: f"{self.names_[place]!r} of this sample, {values[place]:g},"
        )
        channels, gaps = gaps.step(scaled, self.missing)
        network = select_replica(self.members_, self.member_)  # not asked at each sample what its program is
        logits, state = _one_step(network, self.programs_, jnp.asarray(channels, jnp.float32), state)
        check_stream(np.asarray(logits), stream[0])
        return probabilities_of(np.asarray(logits)[None], self.temperature_)[0], (state, gaps)

    @single_precision()
    def suspects(self) -> Suspects:
        """The training cases, those whose labels look most wrong first; needs no reweighting."""
        self.network()
        probabilities = probabilities_of(self.diary_.logits, self.temperature_)
        return rank_suspects(self.diary_, self.training_ids_, probabilities)

    @property
    def origin(self) -> Origin:
        """Weights and equation of this model, which everything that is made from it carries."""
        from .storage import classifier_origin

        return getattr(self, "origin_", None) or classifier_origin(self)

    @origin.setter
    def origin(self, origin: Origin) -> None:
        self.origin_ = origin

    def network(self, member: int | None = None) -> SequenceNetwork:
        """The trained network of one member, the chosen one by default; it works on prepared channels."""
        if not hasattr(self, "members_"):
            message = "this SequenceClassifier is not fitted yet; call `fit`, or `SequenceClassifier.load`"
            raise NotFittedError(message)
        network = select_replica(self.members_, self.member_ if member is None else member)
        self.programs_ = unchanged(network, getattr(self, "programs_", None))
        return network

    @single_precision()
    def prepare(self, data: Sequences) -> Labelled:
        """Cases as the network sees them: scaled, gaps filled, in float32; labels where there are any.

        Raises:
            InputDataError: a value that float32 does not hold, or a missing one that the policy refuses.
        """
        scaled = np.where(data.valid[:, :, None], self.scaling_.to_unit(data.values), 0.0)
        check_representable(scaled, partial(described_value, data))
        filled = fill(scaled, data.lengths, self.missing)
        whole = bool((data.lengths == filled.shape[1]).all())
        labels = np.zeros(len(data), int) if data.labels is None else data.labels
        return Labelled(
            jnp.asarray(filled, jnp.float32),
            None if whole else jnp.asarray(data.lengths, jnp.int32),
            jnp.asarray(labels, jnp.int32),
        )

    def labels_of(self, data: Sequences) -> np.ndarray:
        """The labels of cases as places in `classes_`.

        Raises:
            InputDataError: cases without labels, or of classes that the model does not know.
        """
        if data.labels is None:
            message = "these cases have no labels to score against"
            raise InputDataError(message)
        places = {str(name): place for place, name in enumerate(self.classes_)}
        unknown = sorted(set(data.classes) - set(places))
        if unknown and any(data.classes[label] in unknown for label in data.labels):
            message = (
                f"classes that the model does not know: {', '.join(unknown)}; it knows {', '.join(places)}"
            )
            raise InputDataError(message)
        return np.array([places.get(name, 0) for name in data.classes])[data.labels]

    def make_plan(self) -> NetworkPlan:
        """The structure that the options and the variables ask for."""
        build = cell_class(self.cell) if isinstance(self.cell, str) else self.cell
        copies = channel_blocks(self.missing)
        groups = None
        if self.groups is not None:
            groups = channelled_groups(parse_groups(self.groups, self.names_), copies)
        elif copies > 1 and self.cell == "mgrn":
            groups = channelled_groups(tuple((place,) for place in range(len(self.names_))), copies)
        noisy = self.noise or self.multiplicative_noise
        return NetworkPlan(
            cell=build,
            hidden_size=self.hidden_size,
            layers=self.layers,
            channels=len(self.names_) * copies,
            classes=len(self.classes_),
            groups=groups,
            noise=StateNoise(self.noise, self.multiplicative_noise) if noisy else None,
            pooling=self.pooling,
            dropout=(self.dropout, self.input_dropout),
        )

    def save(self, folder: str | Path, **contents: Any) -> None:
        """Write a run folder; see `attractor.runs`."""
        from .storage import save_classifier

        save_classifier(self, Path(folder), **contents)

    @classmethod
    def load(cls, folder: str | Path, cell: Callable[..., Any] | None = None) -> "SequenceClassifier":
        """Read a classifier back; a cell of your own is handed in, never imported from a file."""
        from .storage import load_classifier

        return load_classifier(cls, Path(folder), cell)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The options."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    def set_params(self, **params: Any) -> "SequenceClassifier":
        """Change options.

        Raises:
            ConfigError: unknown option.
        """
        known = self.get_params()
        for name, value in params.items():
            if name not in known:
                message = f"SequenceClassifier has no option {name!r}; it has {', '.join(known)}"
                raise ConfigError(message)
            setattr(self, name, value)
        return self

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn asks of an estimator; its searches and pipelines call this."""
        from sklearn.utils import ClassifierTags, Tags, TargetTags

        return Tags("classifier", TargetTags(required=True), classifier_tags=ClassifierTags())

    def _forget(self) -> None:
        """Drop what an earlier `fit` learned, so that a failed one leaves no half-changed model."""
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(self, name)

    def _divide(
        self, data: Sequences, validation: Sequences | None, groups: Any
    ) -> tuple[Sequences, Sequences | None, np.ndarray]:
        """Training cases, validation cases, and the places of the former in the data."""
        everything = np.arange(len(data))
        if groups is not None and len(groups) != len(data):
            message = f"weight_groups for {len(groups)} cases, expected one for each of {len(data)}"
            raise InputDataError(message)
        if validation is not None:
            return data, replace(validation, labels=self.labels_of(validation)), everything
        if not self.validation_share:
            return data, None, everything
        kept, held = stratified_hold_out(labels_given(data), self.validation_share, self.seed, groups=groups)
        if not len(held):
            warnings.warn("no case could be kept for validation; the last weights are kept", stacklevel=3)
            return data, None, everything
        return data.select(kept), data.select(held), kept

    def _task(
        self,
        training: Sequences,
        checking: Sequences | None,
        groups: Any,
        chosen: np.ndarray,
    ) -> EpochTask:
        examples = self._examples(training, checking)
        automatic = Reweighting() if self.reweighting == "auto" else None
        codes = None if groups is None else np.unique(np.asarray(groups)[chosen], return_inverse=True)[1]
        return EpochTask(
            CoTeaching(examples, self.coteaching) if self.coteaching else examples,
            batch_size=self.batch_size,
            epochs=self.epochs,
            reweighting=self.reweighting if isinstance(self.reweighting, Reweighting) else automatic,
            groups=codes,
            labels=np.asarray(training.labels),
        )

    def _examples(self, training: Sequences, checking: Sequences | None) -> SequenceExamples:
        return SequenceExamples(
            build=self.plan_,
            training=self.prepare(training),
            checking=None if checking is None else self.prepare(checking),
            loss=label_loss(self.loss),
            names=tuple(training.ids),
            annealing=self.annealing,
            noise_form=self.noise_form,
            at_once=_AT_ONCE,
        )

    def _settings(self, task: EpochTask) -> TrainingSettings:
        return TrainingSettings(
            steps=self.epochs * task.steps_per_epoch,
            batch_size=task.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            validate_every=task.steps_per_epoch,
            seeds=self.seeds,
        )

    def _deliver(self, trained: Trained, examples: SequenceExamples) -> None:
        """Weights, member and temperature that validation chooses, and what was noted of the cases."""
        judges, learned = examples.checking, examples.training
        self.member_ = trained.chosen
        kept = trained.models if self.keep == "best" and judges is not None else trained.last
        self.members_ = kept[0] if self.coteaching else kept
        network = self.network()
        self.temperature_ = 1.0
        if judges is not None:
            logits = np.asarray(_all_logits(network, judges), float)
            self.temperature_ = fit_temperature(logits, np.asarray(judges.labels))
        logits = np.asarray(_all_logits(network, learned))
        self.diary_ = diary_of(trained.memory, self.member_, np.asarray(learned.labels), logits)

    def as_sequences(self, X: Any) -> Sequences:
        """Cases in any form that `fit` takes, checked against the variables of the model.

        Raises:
            ShapeError: another number of variables.
            InputDataError: cases that cannot be read.
        """
        data = X if isinstance(X, Sequences) else Sequences.from_arrays(X)
        if isinstance(X, Sequences):
            return data.matched(self.names_)
        if len(data.names) != len(self.names_):
            message = f"{len(data.names)} variables given, the model was trained with {len(self.names_)}"
            raise ShapeError(message)
        return data


@compiled
def _all_logits(network: SequenceNetwork, data: Labelled) -> Array:
    return data.all_logits(network, min(_AT_ONCE, len(data.labels)))


@eqx.filter_jit
def _one_step(network: SequenceNetwork, _programs: tuple[str, ...], channels: Array, state: Any) -> Any:
    return network.step(channels, state)


def _labelled(X: Any, y: Any) -> tuple[Sequences, np.ndarray]:
    """Cases with labels counted from 0, and the classes as the user calls them."""
    data = X if isinstance(X, Sequences) else Sequences.from_arrays(X)
    if y is None:
        if data.labels is None:
            message = "fit needs a label for every case: fit(X, y), or Sequences with labels"
            raise InputDataError(message)
        names = np.array(data.classes)
    else:
        if len(y) != len(data):
            message = f"{len(y)} labels for {len(data)} cases; fit(X, y) needs one for each"
            raise InputDataError(message)
        data, names = data.relabelled(y), np.unique(np.asarray(y))
    found = np.unique(labels_given(data))
    if len(found) < 2:
        message = f"all cases are of class {data.classes[found[0]]!r}; a classifier needs two or more"
        raise InputDataError(message)
    return data, names


def labels_given(data: Sequences) -> np.ndarray:
    """The labels of cases that must have them.

    Raises:
        InputDataError: they have none.
    """
    if data.labels is None:
        message = "these cases have no labels"
        raise InputDataError(message)
    return data.labels
