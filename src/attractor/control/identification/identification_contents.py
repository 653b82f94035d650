"""What an identification report shows: numbers and words only, computed elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Num

from attractor.control.residuals import ResidualAnalysis
from attractor.data.record import Record, Signal
from attractor.origin import Origin


class Finding(NamedTuple):
    """What the data doctor noticed.

    Args:
        severity: "error", "warning", "info" or "ok".
        message: what is the case.
        advice: what to do about it.
    """

    severity: str
    message: str
    advice: str = ""


@dataclass(frozen=True)
class Summary:
    """The figures of the tiles on top of the page.

    Args:
        fit: FIT on the test experiments, percent, averaged over outputs.
        rmse: root mean square error of the first output on the test experiments.
        output: the signal that `rmse` belongs to.
        samples: rows of the whole data set.
        parameters: trained numbers of the model.
        training_seconds: wall time of the training of all seeds.
    """

    fit: float
    rmse: float
    output: Signal
    samples: int
    parameters: int
    training_seconds: float


@dataclass(frozen=True)
class DataPage:
    """The data set by the role of its experiments, and what the data doctor found in it."""

    training: Record
    validation: Record
    test: Record
    findings: tuple[Finding, ...] = ()

    @property
    def roles(self) -> dict[str, Record]:
        """The three records by the name the figures give them."""
        return {"training": self.training, "validation": self.validation, "test": self.test}


@dataclass(frozen=True)
class PredictionPage:
    """A free-run simulation of one output over one test experiment.

    Args:
        experiment: its name.
        output: the signal.
        sampling_time: s.
        measured: what the sensor showed, engineering units, (time,).
        predicted: what the model says from the inputs alone, (time,).
        washout: rows at the beginning that do not count.
        fit: percent, after the washout.
        rmse: engineering units, after the washout.
        max_error: engineering units, after the washout.
    """

    experiment: str
    output: Signal
    sampling_time: float
    measured: Float[np.ndarray, " time"]
    predicted: Float[np.ndarray, " time"]
    washout: int
    fit: float
    rmse: float
    max_error: float


@dataclass(frozen=True)
class TrainingRun:
    """How the training of one seed went.

    Args:
        seed: which one.
        loss_steps: steps at which the training loss was logged, (n,).
        training_loss: mean squared error in scaled units, (n,).
        validation_steps: steps at which the model was validated, (m,).
        validation_fit: FIT of the free run on the validation experiments, percent, (m,).
    """

    seed: int
    loss_steps: Num[np.ndarray, " n"]
    training_loss: Float[np.ndarray, " n"]
    validation_steps: Num[np.ndarray, " m"]
    validation_fit: Float[np.ndarray, " m"]


@dataclass(frozen=True)
class TrainingPage:
    """The training of all seeds (none if no history was kept), and the checkpoint that was kept."""

    runs: tuple[TrainingRun, ...]
    chosen_seed: int
    chosen_step: int


@dataclass(frozen=True)
class ResidualPage:
    """The correlations left in the residuals of one test experiment.

    Args:
        experiment: its name.
        inputs: the signals of the second axis of `analysis.cross`.
        outputs: the signals of its first axis.
        sampling_time: s, the length of one lag.
        analysis: correlations and bands.
    """

    experiment: str
    inputs: tuple[Signal, ...]
    outputs: tuple[Signal, ...]
    sampling_time: float
    analysis: ResidualAnalysis


@dataclass(frozen=True)
class SteadyStatePage:
    """Where the model comes to rest when one input is held and the others stay at their middle.

    Args:
        input: the input that is moved.
        outputs: the signals of the columns of `equilibria`.
        levels: values of the input, engineering units, (levels,).
        equilibria: outputs of the model at rest; NaN where it does not come to rest.
        cloud_inputs: training data, the input's column, (samples,).
        cloud_outputs: training data, the outputs of the same rows.
    """

    input: Signal
    outputs: tuple[Signal, ...]
    levels: Float[np.ndarray, " levels"]
    equilibria: Float[np.ndarray, "levels outputs"]
    cloud_inputs: Float[np.ndarray, " samples"]
    cloud_outputs: Float[np.ndarray, "samples outputs"]


@dataclass(frozen=True)
class MetricsRow:
    """One line of the metrics table: an output in an experiment.

    Args:
        experiment: its name.
        output: the signal.
        fit: percent, of the chosen seed.
        rmse: engineering units.
        nrmse: `rmse` over the standard deviation of the measurement.
        max_error: engineering units.
        fit_per_seed: FIT of every seed in the order of training, (seeds,).
    """

    experiment: str
    output: Signal
    fit: float
    rmse: float
    nrmse: float
    max_error: float
    fit_per_seed: Float[np.ndarray, " seeds"] = field(default_factory=lambda: np.empty(0))


@dataclass(frozen=True)
class IdentificationContents:
    """Everything on the page. An empty tuple leaves its section out.

    Args:
        title: name of the plant or the run.
        verdict: one sentence that says how good the model is.
        tone: colour of the verdict.
        summary: the tiles.
        start_rows: first samples of a test experiment whose measured outputs set the initial state.
        predictions: one per test experiment and output.
        data: the data set.
        training: the training of all seeds.
        residuals: one per test experiment that is long enough.
        steady_states: one per input.
        metrics: the rows of the metrics table.
        model_card: section to label to text.
        reproduce: commands that give the same model again.
        origin: the weights and the equation it speaks of; None for what no run stands behind.
    """

    title: str
    verdict: str
    tone: Literal["good", "fair", "poor"]
    summary: Summary
    start_rows: int
    predictions: tuple[PredictionPage, ...]
    data: DataPage
    training: TrainingPage
    residuals: tuple[ResidualPage, ...]
    steady_states: tuple[SteadyStatePage, ...]
    metrics: tuple[MetricsRow, ...]
    model_card: Mapping[str, Mapping[str, str]]
    reproduce: str
    origin: Origin | None = None
