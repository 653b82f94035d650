"""Ask of an identified model what its outputs can be while its inputs move about a nominal record."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attractor.cells import State, initial_state, take_step
from attractor.certify.verify.for_ever import ForEver, for_ever
from attractor.certify.verify.proof import Answer, Proof, prove
from attractor.certify.verify.tube import Tube, TubeNames, cell_tube
from attractor.certify.verify.verification import Counterexample, OutputBand, Verification, output_band
from attractor.data import Experiment, Scaling
from attractor.errors import InputDataError
from attractor.program import (
    double_precision,
    flat_map,
    in_double_precision,
    to_single_precision,
)
from attractor.progress import Reporter
from attractor.settings import Count, CountOrNone, NonNegative, Positive, Settings

from .identification import PlantModel, PlantNetwork

Outputs = Callable[[Array], Array]


@dataclass(frozen=True)
class PlantQuestion(Settings):
    """What is asked of a model of a plant.

    Args:
        within: how far every input may be from its nominal value, at every step; scaled, so that 1 is half of
            its range in training.
        full_range: inputs are free in their whole range of the training instead.
        horizon: steps.
        outputs: bands such as "pH in 5.5:8.5"; without any only the tube is found.
        from_row: row of the record that the horizon begins at; the first after the washout if None.
        window: steps that a proof goes back; None for the usual number.
        timeout: seconds for the search where the tube does not decide.
        for_ever: inputs stay about those of the first row of the horizon, and what is asked is asked for all
            time; the contraction of the model must be provable.

    Raises:
        ConfigError: a number out of range.
    """

    within: NonNegative = 0.05
    full_range: bool = False
    horizon: Count = 20
    outputs: tuple[str, ...] = ()
    from_row: CountOrNone | None = None
    window: Count | None = None
    timeout: Positive = 60.0
    for_ever: bool = False


@dataclass(frozen=True, eq=False)
class _Case:
    """A model at the start of a horizon.

    Args:
        network: in float64.
        start: the flat state there.
        nominal: scaled inputs.
        low: least ones.
        high: largest ones.
        scaling: of the outputs.
    """

    network: PlantNetwork
    start: np.ndarray
    nominal: Float[np.ndarray, "steps inputs"]
    low: Float[np.ndarray, "steps inputs"]
    high: Float[np.ndarray, "steps inputs"]
    scaling: Scaling

    def read(self, state: State) -> Array:
        """The outputs that a state shows, in their units."""
        shown = self.network.read(state)
        scale, offset = (jnp.asarray(one, shown.dtype) for one in (self.scaling.scale, self.scaling.offset))
        return shown * scale + offset


def verify_plant(
    model: PlantModel,
    record: Experiment,
    question: PlantQuestion,
    source: str = "the record",
    reporter: Reporter | None = None,
) -> Verification:
    """The tube of a model about a record, and whether its outputs keep to bands.

    Args:
        model: a fitted model.
        record: inputs and measured outputs in their units; the rows before the horizon set the state.
            Outputs that are not known (NaN) leave the model to start at rest at the first row.
        question: the set of inputs, the horizon, the bands.
        source: where the record comes from, in words.
        reporter: of progress.

    Raises:
        InputDataError: the record is too short.
        ConfigError: a band that names no output, or is empty.
        UnsupportedError: the cell uses an operation that bounds have no rule for; it is named.
    """
    signals = model.signals_
    names = tuple(signal.name for signal in signals.outputs)
    bands = tuple(output_band(text, names) for text in question.outputs)
    row = _first_row(model, record, question)
    with double_precision():
        case = _case(model, record, row, question)
    tube = cell_tube(
        case.network.cell,
        case.low,
        case.high,
        start=(case.start, case.start),
        read=case.read,
        nominal=case.nominal,
        window=question.window,
        names=TubeNames(names, tuple(signal.name for signal in signals.inputs)),
        reporter=reporter,
    )
    always = _for_ever(case, tube, reporter) if question.for_ever else None
    proof = None
    if bands:
        kept = None if always is None else _kept_for_ever(always, bands)
        proof = kept or _answered(case, tube, bands, question.timeout)
        if always is not None and kept is None and proof.answer is Answer.HOLDS:
            proof = replace(proof, answer=Answer.OPEN, upper=np.inf)  # it holds over the horizon alone
    shown = _in_units(tube, model.input_scaling_, len(case.start))
    return Verification(
        shown,
        bands,
        proof,
        _counterexample(case, model, bands, proof),
        _set_in_words(model, question, row),
        source,
        tuple(signal.unit for signal in (*signals.outputs, *signals.inputs)),
        signals.known_sampling_time,
        always,
    )


def _for_ever(case: _Case, tube: Tube, reporter: Reporter | None) -> ForEver:
    """The bands for all time, about the inputs of the first step."""
    return for_ever(
        case.network.cell,
        case.low[0],
        case.high[0],
        start=(case.start, case.start),
        read=case.read,
        names=TubeNames(tube.names, tube.channels),
        reporter=reporter,
    )


def _kept_for_ever(found: ForEver, bands: tuple[OutputBand, ...]) -> Proof | None:
    """The proof that outputs keep to their bands for all time, if they do."""
    beyond = [max(found.high[one.output] - one.high, one.low - found.low[one.output]) for one in bands]
    if not found.found or found.tube is None or max(beyond) > 0:
        return None
    ends = found.tube.least.min(axis=0), found.tube.most.max(axis=0)
    met = [max(ends[1][one.output] - one.high, one.low - ends[0][one.output]) for one in bands]
    return Proof(Answer.HOLDS, float(max(beyond)), float(max(met)), None, (), 1, found.seconds)


def _first_row(model: PlantModel, record: Experiment, question: PlantQuestion) -> int:
    row = model.settled if question.from_row is None else question.from_row
    known = not np.isnan(record.outputs).any()
    if known and model.settled and row < model.settled:
        raise InputDataError(
            f"row {row} of {record.name!r}: the {model.settled} rows before the horizon set the state of the "
            f"model; begin at row {model.settled} or later"
        )
    if row + question.horizon > len(record):
        raise InputDataError(
            f"{record.name!r} has {len(record)} rows; a horizon of {question.horizon} steps from row {row} "
            f"needs {row + question.horizon}: begin earlier, or ask for fewer steps"
        )
    return row


def _case(model: PlantModel, record: Experiment, row: int, question: PlantQuestion) -> _Case:
    network = in_double_precision(model.network())
    inputs = np.asarray(model.applied(record.inputs), np.float64)
    outputs = np.asarray(model.output_scaling_.to_unit(record.outputs), np.float64)
    state = _start(network, inputs[:row], outputs[:row], model.settled)
    start = np.asarray(flat_map(network.cell).flatten(state), np.float64)
    nominal = inputs[row : row + question.horizon]
    if question.for_ever:
        nominal = np.tile(nominal[:1], (question.horizon, 1))
    if question.full_range:
        ones = np.ones_like(nominal)
        return _Case(network, start, np.clip(nominal, -1, 1), -ones, ones, model.output_scaling_)
    low, high = nominal - question.within, nominal + question.within
    return _Case(network, start, nominal, low, high, model.output_scaling_)


def _start(network: PlantNetwork, inputs: np.ndarray, outputs: np.ndarray, settled: int) -> State:
    """The state after rows of a record: from the measured ones, or by running over all inputs from rest."""
    if settled and not np.isnan(outputs[-settled:]).any():
        return network.start(jnp.asarray(inputs[-settled:]), jnp.asarray(outputs[-settled:]))
    state = initial_state(network.cell)
    step = jax.jit(lambda input, state: take_step(network.cell, input, state))
    for input in inputs:
        state = step(jnp.asarray(input), state)
    return state


def _outputs_of(case: _Case) -> Outputs:
    """Outputs in their units, of scaled inputs (steps, inputs), in the precision of these."""
    narrow = replace(case, network=to_single_precision(case.network))
    with double_precision():
        wide = flat_map(case.network.cell).restore(jnp.asarray(case.start))
    single = to_single_precision(wide)

    def run(inputs: Array) -> Array:
        own, start = (case, wide) if inputs.dtype == jnp.float64 else (narrow, single)

        def step(state: State, input: Array) -> tuple[State, Array]:
            state = take_step(own.network.cell, input, state)
            return state, own.read(state)

        return jax.lax.scan(step, start, inputs)[1]

    return run


def _excess(outputs: Outputs, bands: tuple[OutputBand, ...]) -> Callable[[Array], Array]:
    """How far outputs are outside of their bands."""

    def quantities(inputs: Array) -> Array:
        values, parts = outputs(inputs), []
        for band in bands:
            own = values[:, band.output]
            parts += [own - band.high] if np.isfinite(band.high) else []
            parts += [band.low - own] if np.isfinite(band.low) else []
        return jnp.concatenate(parts)

    return quantities


@np.errstate(invalid="ignore")  # of ends that do not exist
def _answered(case: _Case, tube: Tube, bands: tuple[OutputBand, ...], seconds: float) -> Proof:
    """By the tube where that decides; by the inputs that left a band, put through the model; by a search."""
    upper, attained, worst = -np.inf, -np.inf, case.nominal
    for band in bands:
        for end, proved, reached, points in (
            (
                band.high,
                tube.high[:, band.output] - band.high,
                tube.most[:, band.output] - band.high,
                tube.highest,
            ),
            (
                band.low,
                band.low - tube.low[:, band.output],
                band.low - tube.least[:, band.output],
                tube.lowest,
            ),
        ):
            if np.isinf(end):
                continue  # nothing is asked on that side
            upper, step = max(upper, float(proved.max())), int(reached.argmax())
            if reached[step] > attained:
                attained = float(reached[step])
                worst = points[step, band.output, len(case.start) :].reshape(case.nominal.shape)
    if upper <= 0:
        return Proof(Answer.HOLDS, upper, attained, None, (), 1, tube.seconds)
    excess = _excess(_outputs_of(case), bands)
    if attained > 0:
        replayed = prove(excess, worst, worst, seconds=min(seconds, 1.0))
        if replayed.answer is Answer.VIOLATED:
            return replayed
    found = prove(excess, case.low, case.high, seconds=seconds)
    if found.answer is not Answer.OPEN:
        return found
    return replace(found, upper=min(found.upper, upper), attained=max(found.attained, attained))


def _counterexample(
    case: _Case, model: PlantModel, bands: tuple[OutputBand, ...], proof: Proof | None
) -> Counterexample | None:
    if proof is None or proof.witness is None:
        return None
    with double_precision():
        outputs = np.asarray(_outputs_of(case)(jnp.asarray(proof.witness)), float)
    for step, row in enumerate(outputs):
        for band in bands:
            if not band.low <= row[band.output] <= band.high:
                inputs = model.input_scaling_.to_engineering(proof.witness)
                return Counterexample(inputs, outputs, step, band)
    return None


def _in_units(tube: Tube, scaling: Scaling, states: int) -> Tube:
    """The tube with its inputs in the units of the data."""

    def points(given: np.ndarray) -> np.ndarray:
        found = given.copy()
        inputs = found[..., states:].reshape(*given.shape[:2], -1, len(scaling.scale))
        found[..., states:] = scaling.to_engineering(inputs).reshape(*given.shape[:2], -1)
        return found

    return replace(
        tube,
        input_low=scaling.to_engineering(tube.input_low),
        input_high=scaling.to_engineering(tube.input_high),
        input_nominal=scaling.to_engineering(tube.input_nominal),
        lowest=points(tube.lowest),
        highest=points(tube.highest),
    )


def _set_in_words(model: PlantModel, question: PlantQuestion, row: int) -> str:
    steps = f"at each of {question.horizon} steps from row {row}"
    if question.for_ever:
        steps = "at every step, for all time"
    scale, offset = model.input_scaling_.scale, model.input_scaling_.offset
    if question.full_range:
        parts = [
            f"{signal.name} from {offset[index] - scale[index]:.4g} to "
            f"{offset[index] + scale[index]:.4g}{f' {signal.unit}' if signal.unit else ''}"
            for index, signal in enumerate(model.signals_.inputs)
        ]
        return f"Inputs are free in their whole range of the training {steps}: {', '.join(parts)}."
    nominal = f"those of row {row}" if question.for_ever else "the record"
    parts = [
        f"{signal.name} ± {question.within * scale[index]:.4g}{f' {signal.unit}' if signal.unit else ''}"
        for index, signal in enumerate(model.signals_.inputs)
    ]
    return (
        f"Inputs are free {steps}, within ±{question.within:g} of {nominal} (1 is half of the range of the "
        f"training): {', '.join(parts)}."
    )
