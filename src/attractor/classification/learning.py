"""How a classifier learns: epochs, noise, and labels that may be wrong."""

from dataclasses import dataclass
from typing import Annotated, Literal

from attractor.data import MissingPolicy
from attractor.errors import ConfigError
from attractor.settings import (
    Count,
    CountOrNone,
    NonNegative,
    PartialShare,
    Positive,
    Settings,
    Share,
    Within,
)
from attractor.training import Reweighting, TrainingSettings, label_loss
from attractor.training.losses import LabelLoss

from .worst_case import WorstCase

Steps = Annotated[int, Within(1, 1_000_000)]
"""Of one series."""
FEWEST_EPOCHS = 40
PATIENCE = 400
FEWEST_WAITED = 10
PLAIN: tuple[MissingPolicy, ...] = ("error", "zero", "forward", "cell")
"""What becomes of gaps in a network that sees values alone: bounds can say what changed values do."""


@dataclass(frozen=True)
class EpochSettings(Settings):
    """How long and how fast a classifier is trained, and which weights are kept.

    Args:
        epochs: passes over the training cases; None takes as many as make `updates`, and at least 40.
        updates: of the weights, at least, where `epochs` is None: few cases make short epochs.
        patience: updates without a better validation after which a network stops, at least ten epochs; None
            never stops early, "auto" waits 400 where nothing hangs on the end of the training (`epochs` is
            None, `keep` is "best", no case is reweighted).
        batch_size: cases per step.
        learning_rate: peak of the schedule.
        weight_decay: of AdamW.
        validation_share: share of the training cases, class by class, kept for validation; 0 trains on all:
            with random convolutions no recurrent network then, for nothing could tell whether it helps.
        keep: "best" keeps the weights of the epoch that did best in validation, "last" the last ones.
        seeds: replicas trained side by side, each from its own seed; the best in validation is chosen.

    Raises:
        ConfigError: a value outside its range.
    """

    epochs: Count | None = None
    updates: Count = 1500
    patience: Count | Literal["auto"] | None = "auto"
    batch_size: Count = 32
    learning_rate: Positive = 3e-3
    weight_decay: NonNegative = 1e-4
    validation_share: PartialShare = 0.2
    keep: Literal["best", "last"] = "best"
    seeds: Count = 1

    def passes(self, cases: int) -> int:
        """Epochs over so many cases."""
        if self.epochs is not None:
            return self.epochs
        return max(-(-self.updates // -(-cases // min(self.batch_size, cases))), FEWEST_EPOCHS)

    def of_steps(
        self, passes: int, steps_per_epoch: int, batch_size: int, *, ends: bool, judged: bool
    ) -> TrainingSettings:
        """The same in steps, for the trainer.

        Args:
            passes: epochs.
            steps_per_epoch: updates in each.
            batch_size: no more cases than there are.
            ends: whether something hangs on the end of the training, so that "auto" never stops early.
            judged: whether there are validation cases; without them nothing can tell when to stop.
        """
        waits = self.patience if judged else None
        if waits == "auto":
            waits = None if ends or self.epochs is not None or self.keep == "last" else PATIENCE
        return TrainingSettings(
            steps=passes * steps_per_epoch,
            batch_size=batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            validate_every=steps_per_epoch,
            patience=None if waits is None else max(-(-waits // steps_per_epoch), FEWEST_WAITED),
            seeds=self.seeds,
        )


@dataclass(frozen=True)
class ReadoutSettings(Settings):
    """What the classes are read from: what the cell exposes, and random convolutions of the series.

    Args:
        pooling: "last" reads the state after the last sample, "mean" the mean over time.
        convolutions: about how many features of random convolutions (MiniRocket) the recurrent network
            corrects: a ridge regression on them is fitted first, and validation decides how much of the
            recurrent network is added to it; 0 reads the recurrent network alone.

    Raises:
        ConfigError: a value outside its range.
    """

    pooling: Literal["last", "mean"] = "last"
    convolutions: CountOrNone = 5000


@dataclass(frozen=True)
class NoiseSettings(Settings):
    """What disturbs a classifier while it is trained; evaluation is without.

    Args:
        additive: standard deviation of the noise added to the hidden state at every step.
        multiplicative: the same in proportion to what the step changes.
        form: "injection" draws the noise; "flatness" and "flatness+curvature" add to the loss what it would
            add on average, P / 2 or (P + Q) / 2 of Lim et al. 2021, without drawing it.
        annealing: share of the noise that is left at the end of the training; 1 keeps it constant.
        dropout: share of the pooled state that is dropped.
        input_dropout: share of the channels that is dropped, one draw for a whole sequence.
        within: largest change of every value at every step, scaled, that no class should change under: a part
            of the loss is that of the worst logits which such changes can lead to, by a bound that holds for
            all of them; 0 trains without. What is proved afterwards tells `attractor verify`.
        worst_share: that part, at the end of the training.
        worst_ramp: share of the training over which the change and its part grow from nothing.
        worst_bound: how the worst logits are bounded: "interval" follows the least and the largest value of
            every quantity, "relaxation" also how it depends on the inputs of the last 16 steps: tighter, and
            many times slower.

    Raises:
        ConfigError: a value outside its range, or a form that needs noise, or none but noise.
    """

    additive: NonNegative = 0.0
    multiplicative: NonNegative = 0.0
    form: Literal["injection", "flatness", "flatness+curvature"] = "injection"
    annealing: Share = 1.0
    dropout: PartialShare = 0.0
    input_dropout: PartialShare = 0.0
    within: NonNegative = 0.0
    worst_share: Share = 0.5
    worst_ramp: Share = 0.6
    worst_bound: Literal["interval", "relaxation"] = "interval"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.form != "injection" and not self.is_noisy:
            raise ConfigError(f"form={self.form!r} without noise: set additive or multiplicative")
        if self.form != "injection" and (self.dropout or self.input_dropout):
            raise ConfigError(f"form={self.form!r} works without dropout: set dropout=0 and input_dropout=0")

    @property
    def is_noisy(self) -> bool:
        """Whether the hidden state is disturbed."""
        return bool(self.additive or self.multiplicative)

    @property
    def worst_case(self) -> WorstCase | None:
        """What the network is trained to survive; None for nothing."""
        if not self.within:
            return None
        return WorstCase(self.within, self.worst_share, self.worst_ramp, self.worst_bound == "relaxation")


def check_noise(
    noise: NoiseSettings, labels: "LabelSettings", readout: ReadoutSettings, missing: MissingPolicy
) -> None:
    """Refuse noise that does not go with other options.

    Raises:
        ConfigError: names the option and what it works with.
    """
    _check_within(noise, readout, missing)
    keeps = label_loss(labels.loss).start(1, 2) is not None
    if noise.form != "injection" and (readout.pooling != "last" or keeps):
        raise ConfigError(
            f"noise form={noise.form!r} works with readout__pooling='last', without dropout, and with a loss "
            "that keeps nothing about its cases"
        )


def _check_within(noise: NoiseSettings, readout: ReadoutSettings, missing: MissingPolicy) -> None:
    """Refuse a change of the values to survive where it could not be bounded."""
    if noise.within and readout.convolutions:
        raise ConfigError(
            f"noise within={noise.within:g} is about a recurrent network alone: set readout__convolutions=0 "
            "(--convolutions 0)"
        )
    if noise.within and missing not in PLAIN:
        raise ConfigError(
            f"noise within={noise.within:g} is about changed values and says nothing of gaps: "
            f"missing={missing!r} does not go with it, missing='error' does"
        )


@dataclass(frozen=True)
class LabelSettings(Settings):
    """What is done about labels, some of which may be wrong.

    Args:
        loss: a name of `attractor.training.LOSSES` or a loss of your own.
        reweighting: None weighs all cases alike, "auto" fades out those whose labels look wrong; or a
            `Reweighting` of the network. Either way the ridge regression on random convolutions weighs each
            case by how likely its label is to a fit without it.
        coteaching: share of the labels that is taken to be wrong: two networks then choose for each other
            what to learn from, and the first is kept; 0 trains one.

    Raises:
        ConfigError: a value outside its range, or an unknown loss.
    """

    loss: str | LabelLoss = "cross-entropy"
    reweighting: Reweighting | Literal["auto"] | None = None
    coteaching: PartialShare = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        label_loss(self.loss)

    @property
    def asked_reweighting(self) -> Reweighting | None:
        """How cases are weighted, "auto" spelt out."""
        return Reweighting() if self.reweighting == "auto" else self.reweighting
