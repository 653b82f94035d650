"""How a classifier learns: epochs, noise, and labels that may be wrong."""

from dataclasses import dataclass
from typing import Literal

from attractor.errors import ConfigError
from attractor.settings import Count, NonNegative, PartialShare, Positive, Settings, Share
from attractor.training import Reweighting, TrainingSettings, label_loss
from attractor.training.losses import LabelLoss


@dataclass(frozen=True)
class EpochSettings(Settings):
    """How long and how fast a classifier is trained, and which weights are kept.

    Args:
        epochs: passes over the training cases.
        batch_size: cases per step.
        learning_rate: peak of the schedule.
        weight_decay: of AdamW.
        validation_share: share of the training cases, class by class, kept for validation; 0 trains on all.
        keep: "best" keeps the weights of the epoch that did best in validation, "last" the last ones.
        seeds: replicas trained side by side, each from its own seed; the best in validation is chosen.

    Raises:
        ConfigError: a value outside its range.
    """

    epochs: Count = 60
    batch_size: Count = 32
    learning_rate: Positive = 3e-3
    weight_decay: NonNegative = 1e-4
    validation_share: PartialShare = 0.2
    keep: Literal["best", "last"] = "best"
    seeds: Count = 1

    def of_steps(self, steps_per_epoch: int, batch_size: int) -> TrainingSettings:
        """The same in steps, for the trainer; a batch holds no more cases than there are."""
        return TrainingSettings(
            steps=self.epochs * steps_per_epoch,
            batch_size=batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            validate_every=steps_per_epoch,
            seeds=self.seeds,
        )


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

    Raises:
        ConfigError: a value outside its range, or a form that needs noise, or none but noise.
    """

    additive: NonNegative = 0.0
    multiplicative: NonNegative = 0.0
    form: Literal["injection", "flatness", "flatness+curvature"] = "injection"
    annealing: Share = 1.0
    dropout: PartialShare = 0.0
    input_dropout: PartialShare = 0.0

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


@dataclass(frozen=True)
class LabelSettings(Settings):
    """What is done about labels, some of which may be wrong.

    Args:
        loss: a name of `attractor.training.LOSSES` or a loss of your own.
        reweighting: None weighs all cases alike, "auto" fades out those whose labels look wrong; or a
            `Reweighting`.
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
