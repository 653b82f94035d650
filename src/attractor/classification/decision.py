"""Which part of a classifier decides, and what is therefore without effect, in words."""

import warnings
from dataclasses import dataclass

from attractor.training import Trained

from .learning import LabelSettings, NoiseSettings


@dataclass(frozen=True)
class Decision:
    """Which part of a classifier decides.

    Args:
        share: of the recurrent network beside random convolutions, 0 to 1.
        convolutions: whether there are any; without them the network decides alone.
        judged: whether cases were kept for validation.
    """

    share: float
    convolutions: bool
    judged: bool

    @property
    def is_without_network(self) -> bool:
        """Whether the recurrent network has no say at all."""
        return self.convolutions and not self.share

    @property
    def said(self) -> str:
        """A sentence where the recurrent network has no say; else empty."""
        if not self.is_without_network:
            return ""
        if self.judged:
            return "Random convolutions decide alone: the recurrent network did not help in validation."
        return (
            "Random convolutions decide alone: no case was kept for validation, so that nothing could tell "
            "whether a recurrent network helps, and none was trained."
        )

    def told(self, trained: Trained | None) -> list[str]:
        """What decides, and how the network was trained, in two lines or three.

        Args:
            trained: how the training went; None for a model that was read from a folder.
        """
        if self.is_without_network:
            lines = [f"fitted: {self.said[0].lower()}{self.said[1:]}"]
        elif self.convolutions:
            lines = [f"fitted: random convolutions and the recurrent network, its share is {self.share:g}"]
        else:
            lines = ["fitted: the recurrent network decides alone"]
        if trained is None or not trained.history:
            return lines
        if self.judged:
            replica = trained.chosen
            whose = "the network that is not used" if self.is_without_network else f"replica {replica}"
            lines.append(
                f"{whose}: cross-entropy {trained.scores[replica]:.4g} nat of the validation cases at step "
                f"{trained.steps[replica]} of {trained.history[-1]['step']}, after {trained.seconds:.3g} s"
            )
        else:
            lines.append(str(trained).splitlines()[0])
        return [*lines, *trained.warnings[:1]]


def void_options(decision: Decision, noise: NoiseSettings, labels: LabelSettings) -> str:
    """A sentence about options that changed nothing, for they act on a network without a say; else empty."""
    asked = [f"noise__{name}" for name in ("additive", "multiplicative", "dropout", "input_dropout")]
    asked = [name for name in asked if getattr(noise, name.removeprefix("noise__"))]
    asked += ["labels__loss"] if labels.loss != "cross-entropy" else []
    asked += ["labels__coteaching"] if labels.coteaching else []
    if not asked or not decision.is_without_network:
        return ""
    return (
        f"{', '.join(asked)} acted on the recurrent network alone and changed nothing in what this "
        "classifier says, for random convolutions decide alone; readout__convolutions=0 (--convolutions "
        "0) trains the network without them"
    )


def tell_void(decision: Decision, noise: NoiseSettings, labels: LabelSettings) -> None:
    """Warn of options that changed nothing, see `void_options`."""
    message = void_options(decision, noise, labels)
    if message:
        warnings.warn(message, stacklevel=4)
