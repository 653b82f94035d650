"""A made-up identification of the pH process: enough to fill every part of the report."""

import numpy as np

from attractor.control import (
    PHNeutralisation,
    Plant,
    QuadrupleTank,
    analyse_residuals,
    evaluate,
    record_experiments,
    simulate,
    steady_state,
)
from attractor.control.identification.comparison import Comparison, Rival
from attractor.control.identification.identification_contents import (
    DataPage,
    IdentificationContents,
    MetricsRow,
    PredictionPage,
    ResidualPage,
    SteadyStatePage,
    Summary,
    TrainingPage,
    TrainingRun,
)
from attractor.control.identification.race import Result
from attractor.data import Record
from attractor.report.about import About
from attractor.report.page import Note

WASHOUT = 50
FINDINGS = (
    Note("ok", "No gaps, no text, no constant signals in 13\u202f000 rows."),
    Note("info", "The sampling time fits: a step response takes about 35 samples."),
    Note("warning", "q3 spends little time above 16.8 ml/s.", "Hold a few high levels longer."),
)
CARD = {
    "Model": {"Cell": "GRU, 8 units", "Inputs": "q3 [ml/s]", "Outputs": "pH", "Strictly proper": "yes"},
    "Training": {
        "Optimiser": "Adam, 1e-2, cosine decay",
        "Windows": "24 of 150 samples, 40 of them washout",
        "Arithmetic": "float32",
    },
    "Data": {
        "File": "ph.csv",
        "Fingerprint": "9f2c41d07a6be35188c0aa1f4e2b9d3370f1c6a2",
        "Sampling time": "10 s",
    },
    "Versions": {"Attractor": "0.1.0", "JAX": "0.10.2", "NumPy": "2.4.0"},
}
ABOUT = About(
    "pH neutralisation",
    "attractor plant ph --samples 13000 --seed 0 --out ph.csv\nattractor fit ph.csv --inputs q3 --outputs pH",
)


def example_contents(plant: Plant | None = None, lengths: tuple[int, int, int] = (8000, 2500, 2500)):
    """The contents of a report on a simulated plant and an imperfect model of it."""
    plant = plant or PHNeutralisation()
    record = record_experiments(plant, dict(zip(("train", "validation", "test"), lengths, strict=True)))
    training, validation, test = (record.with_experiments([e]) for e in record.experiments)
    page = DataPage(training, validation, test, FINDINGS)
    predicted = imperfect_model(plant, test)
    measured = test.experiments[0].outputs
    metrics = evaluate(measured, predicted, washout=WASHOUT)
    analysis = analyse_residuals((measured - predicted)[WASHOUT:], test.experiments[0].inputs[WASHOUT:])
    return IdentificationContents(
        verdict=f"A good model: FIT {metrics.mean_fit:.1f} % in free run over test data it has never seen.",
        outlook="follows",
        summary=Summary(
            metrics.mean_fit, float(metrics.rmse[0]), record.outputs[0], record.samples, 281, 94.0
        ),
        start_rows=0,
        predictions=tuple(
            PredictionPage(
                "test",
                signal,
                record.sampling_time,
                measured[:, i],
                predicted[:, i],
                WASHOUT,
                float(metrics.fit[i]),
                float(metrics.rmse[i]),
                float(metrics.max_error[i]),
            )
            for i, signal in enumerate(record.outputs)
        ),
        data=page,
        training=training_page(),
        residuals=(ResidualPage("test", record.inputs, record.outputs, record.sampling_time, analysis),),
        steady_states=tuple(steady_page(plant, training, i) for i in range(len(record.inputs))),
        metrics=tuple(
            MetricsRow(
                name,
                signal,
                float(metrics.fit[i]) - shift,
                float(metrics.rmse[i]),
                float(metrics.nrmse[i]),
                float(metrics.max_error[i]),
                metrics.fit[i] - shift - np.array([0.0, 0.6, 1.1]),
            )
            for name, shift in (("train", -0.4), ("validation", 0.2), ("test", 0.0))
            for i, signal in enumerate(record.outputs)
        ),
        compared=Comparison(
            metrics.mean_fit,
            0.0,
            (Rival("persistence", "held", -40.0, 0.99, 0.01), Rival("ARX", "order 4", 71.0, 0.96, 0.02)),
            97.5,
            "ARX of order 20, one step ahead",
            "state-space",
        ),
        race=(Result("linear", 4, 0.29, 0.0), Result("state-space", 6, 0.04, 31.0, won=True)),
        model_card=CARD,
    )


def imperfect_model(plant: Plant, test: Record) -> np.ndarray:
    """The plant from a wrong start, with a small static error."""
    state, middle = steady_state(plant)
    _, outputs = simulate(plant, test.experiments[0].inputs, state=state * 1.1)
    return outputs + 0.012 * (outputs - middle) ** 2 / outputs.std(axis=0)


def training_page() -> TrainingPage:
    """Three seeds that learn at different speeds."""
    generator, steps = np.random.default_rng(0), np.arange(0, 4001, 5)
    runs = []
    for seed, speed in enumerate((500.0, 700.0, 400.0)):
        loss = 1e-3 * (1 + seed / 3) + np.exp(-steps / speed)
        noise = np.exp(0.25 * generator.standard_normal(len(steps)))
        checks = np.arange(0, 4001, 100)
        fit = 97 - seed - 180 * np.exp(-checks / speed) + 0.3 * generator.standard_normal(len(checks))
        runs.append(TrainingRun(seed, steps, loss * noise, checks, fit))
    best = int(np.argmax(runs[0].validation_fit))
    return TrainingPage(tuple(runs), 0, int(runs[0].validation_steps[best]))


def steady_page(plant: Plant, training: Record, column: int) -> SteadyStatePage:
    """The plant's own map, slightly bent, as the model's."""
    levels = np.linspace(plant.input_low[column], plant.input_high[column], 41)
    rows = [[*plant.nominal_inputs[:column], level, *plant.nominal_inputs[column + 1 :]] for level in levels]
    truth = np.array([steady_state(plant, row)[1] for row in rows])
    experiment = training.experiments[0]
    bent = truth + 0.02 * truth.std(axis=0) * np.sin(levels * 3)[:, None]
    return SteadyStatePage(
        training.inputs[column],
        training.outputs,
        levels,
        bent,
        experiment.inputs[:, column],
        experiment.outputs,
    )


def two_by_two_contents():
    """Two inputs and two outputs, a short record."""
    return example_contents(QuadrupleTank(), (1200, 400, 400))
