"""Every check fires on a case built for it and is silent on healthy data."""

import numpy as np
import pytest
from scipy.signal import lfilter
from synthetic import first_order, held_noise, record_of

from attractor.data import ColumnOptions, Experiment, Record, Severity, Signal, examine, read_csv
from attractor.data.delays import estimate_delays
from attractor.data.doctor import compare_ranges, whitening_filter
from attractor.data.signal_checks import excitation_order, find_spikes

SAMPLES = 4000
INPUT = held_noise(SAMPLES, 8, 0) + 0.005 * np.random.default_rng(9).normal(size=SAMPLES)
OUTPUT = first_order(INPUT, 0.8)
TIME = np.arange(SAMPLES)


def found(record):
    return {finding.code: finding for finding in examine(record)}


def of(output, *inputs):
    return found(record_of(list(inputs) or [INPUT], [output]))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("pole", [0.5, 0.8, 0.95])
def test_healthy_data_get_no_warning(seed, pole):
    source = held_noise(SAMPLES, 8, seed)
    findings = examine(record_of([source], [first_order(source, pole, seed=seed)]))
    assert [finding.code for finding in findings] == ["delay"]
    assert findings[0].severity is Severity.NOTE


def spiky():
    values = OUTPUT.copy()
    values[[700, 2100]] += 5.0
    return values


CASES = [
    ("constant", np.full(SAMPLES, 2.0), [INPUT]),
    ("constant", OUTPUT, [INPUT, np.full(SAMPLES, 2.0)]),
    ("saturation", np.clip(OUTPUT, -0.5, 0.5), [INPUT]),
    ("saturation", OUTPUT, [np.clip(1.5 * first_order(INPUT, 0.5), -0.5, 0.5)]),
    ("quantisation", np.round(OUTPUT * 8) / 8, [INPUT]),
    ("outliers", spiky(), [INPUT]),
    ("drift", OUTPUT + 2.0 * TIME / SAMPLES, [INPUT]),
    ("few-levels", OUTPUT, [np.sign(INPUT)]),
    ("few-moves", OUTPUT, [held_noise(SAMPLES, 800, 3)]),
    ("narrow-coverage", OUTPUT, [np.where(TIME == 5, 20.0, INPUT)]),
    ("poor-excitation", OUTPUT, [np.sin(0.3 * TIME)]),
    ("poor-excitation", OUTPUT, [np.sin(0.3 * TIME) + 0.01 * INPUT]),
    ("collinear", OUTPUT, [INPUT, 3 * INPUT + 0.01 * np.sin(TIME)]),
    ("collinear", OUTPUT, [INPUT, held_noise(SAMPLES, 8, 5), INPUT + held_noise(SAMPLES, 8, 5)]),
    ("no-response", np.random.default_rng(4).normal(size=SAMPLES), [INPUT]),
    ("undersampled", first_order(held_noise(SAMPLES, 1, 2), 0.02), [held_noise(SAMPLES, 1, 2)]),
    ("not-finite", np.where(TIME == 7, np.nan, OUTPUT), [INPUT]),
]


@pytest.mark.parametrize(("code", "output", "inputs"), CASES)
def test_built_fault_is_found(code, output, inputs):
    finding = of(output, *inputs)[code]
    assert finding.severity is not Severity.NOTE
    assert finding.message
    assert finding.advice


def test_oversampling():
    slow = held_noise(40000, 1000, 6)
    assert "oversampled" in found(record_of([slow], [first_order(slow, 1 - 1 / 300)]))


def test_a_fast_plant_with_a_slow_input_is_not_oversampled():
    slow = held_noise(40000, 1000, 6)
    assert "oversampled" not in found(record_of([slow], [first_order(slow, 0.7)]))


@pytest.mark.parametrize("delay", [1, 2, 7, 25])
@pytest.mark.parametrize("pole", [0.3, 0.9])
def test_delay_is_recovered(delay, pole):
    source = held_noise(SAMPLES, 5, 11)
    assert estimate_delays([[source]], [first_order(source, pole, delay)]) == [delay]
    findings = found(record_of([source], [first_order(source, pole, delay)], sampling_time=0.5))
    assert findings["delay"].numbers == {"samples": delay, "seconds": 0.5 * delay}


@pytest.mark.parametrize("unit", [1e-12, 1e-6, 1e6, 1e12])
def test_delay_does_not_depend_on_units(unit):
    source = held_noise(SAMPLES, 8, 0)
    output = first_order(source, 0.8, delay=3)
    assert estimate_delays([[source]], [unit * output]) == [3]
    assert estimate_delays([[unit * source]], [output]) == [3]


def step_test(noise):
    """Three experiments in each of which the input rests, at 0, 0.1 and 1, before the output settles."""
    settling = 1 - np.exp(-np.arange(300) / 20)[:, None]
    chance = noise * np.random.default_rng(3).normal(size=(3, 300, 1))
    experiments = tuple(
        Experiment(f"step {level}", np.full((300, 1), level), level * settling + drawn)
        for level, drawn in zip((0.0, 0.1, 1.0), chance, strict=True)
    )
    return Record((Signal("u"),), (Signal("y"),), experiments)


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_a_step_test_is_told_that_its_input_rests(noise):
    findings = found(step_test(noise))
    assert {"few-moves", "poor-excitation"} <= set(findings)
    assert not {"no-response", "delay", "undersampled"} & set(findings)


def test_steady_states_alone_break_no_check():
    record = step_test(0.0)
    settled = [Experiment(one.name, one.inputs, 2 * one.inputs) for one in record.experiments]
    findings = found(record.with_experiments(settled))
    assert findings["poor-excitation"].numbers == {"order": 0}
    inputs, outputs = ([getattr(one, side)[:, 0] for one in settled] for side in ("inputs", "outputs"))
    assert estimate_delays([inputs], outputs) == [None]


def test_a_pair_that_shows_nothing_is_the_way_of_a_plant_whose_signals_act_elsewhere():
    """A heater behind a tank does not act on its level; a triangular plant is no fault of the log."""
    draw = np.random.default_rng(0)
    inputs = draw.uniform(-1, 1, (2000, 2))
    level = lfilter([0, 0.3], [1, -0.7], inputs[:, 0])
    warm = lfilter([0, 0.2], [1, -0.8], inputs[:, 1]) + 0.5 * level
    outputs = np.stack([level, warm], axis=1) + 0.01 * draw.standard_normal((2000, 2))
    names = tuple(map(Signal, ("valve", "heater"))), tuple(map(Signal, ("level", "temperature")))
    findings = {one.signal: one for one in examine(Record(*names, (Experiment("log", inputs, outputs),)))}
    assert findings["heater -> level"].code == "no-response"
    assert findings["heater -> level"].severity is Severity.NOTE
    outputs[:, 1] = draw.standard_normal(2000)
    findings = {one.signal: one for one in examine(Record(*names, (Experiment("log", inputs, outputs),)))}
    assert findings["heater -> level"].severity is Severity.WARNING
    assert findings["valve -> temperature"].severity is Severity.WARNING


def several(seed, gains, rows, noise=0.1):
    """White inputs with delays 1, 6 and 11 and a pole of 0.8; the first acts most."""
    draw = np.random.default_rng(seed)
    inputs = draw.normal(size=(rows, len(gains)))
    answers = [gain * first_order(inputs[:, at], 0.8, 1 + 5 * at) for at, gain in enumerate(gains)]
    output = sum(answers) + noise * draw.normal(size=rows)
    return record_of(list(inputs.T), [output])


@pytest.mark.parametrize("seed", range(5))
def test_a_weak_input_beside_a_strong_one_is_heard(seed):
    """Judged alone it is drowned by the other, and was said not to act at all."""
    findings = examine(several(seed, (1.0, 0.15, 0.15), 600, noise=0.02))
    assert [one.code for one in findings] == ["delay"] * 3
    assert sorted(one.numbers["samples"] for one in findings) == [1, 6, 11]


def test_chance_in_a_short_log_of_several_inputs_is_no_fast_plant():
    records = [several(seed, (1.0, 0.8, 0.6), 300) for seed in range(30)]
    assert not [one for record in records for one in examine(record) if one.code == "undersampled"]


def test_delays_are_found_in_short_experiments_and_nothing_is_said_of_too_few_rows():
    draw = np.random.default_rng(5)
    inputs = draw.normal(size=(3, 120, 1))
    outputs = np.stack([first_order(one[:, 0], 0.7, 7)[:, None] for one in inputs])
    names = (Signal("u"),), (Signal("y"),)

    def told(outputs):
        pairs = zip("abc", inputs, outputs, strict=True)
        return found(Record(*names, tuple(Experiment(*one) for one in pairs)))

    assert told(outputs)["delay"].numbers["samples"] == 7
    assert "no-response" in told(draw.normal(size=outputs.shape))
    short = Record(*names, (Experiment("a", inputs[0], draw.normal(size=(120, 1))),))
    assert not {"delay", "no-response"} & set(found(short))


def test_short_steps_of_a_held_input_are_no_spikes_and_a_glitch_is_one():
    draw = np.random.default_rng(1)
    held = np.repeat(draw.uniform(-1, 1, 150), draw.integers(1, 20, 150))
    assert not find_spikes(held).any()
    inside = int(np.flatnonzero((held[:-2] == held[1:-1]) & (held[1:-1] == held[2:]))[100]) + 1
    held[inside] = 30.0
    np.testing.assert_array_equal(np.flatnonzero(find_spikes(held)), [inside])


@pytest.mark.parametrize("code", [-999.0, 1e5])
def test_codes_of_missing_values_do_not_hide_as_a_signal_of_few_levels(code):
    broken = OUTPUT.copy()
    broken[[300, 1200, 2500]] = code
    assert of(broken)["outliers"].numbers["count"] == 3


def test_a_drift_is_not_taken_for_a_sampling_time_that_is_too_short():
    findings = of(OUTPUT + 20.0 * TIME / SAMPLES)
    assert "drift" in findings
    assert "oversampled" not in findings


def test_an_input_at_rest_needs_no_whitening():
    np.testing.assert_array_equal(whitening_filter([np.zeros(100)]), [1.0] + 10 * [0.0])


def test_rounding_of_a_constant_signal_is_not_compared_with_others():
    codes = set(of(OUTPUT, INPUT, 2.0 + 1e-13 * INPUT))
    assert "constant" in codes
    assert "collinear" not in codes


def test_order_of_excitation_of_sines():
    for count in (1, 2, 4):
        sines = sum(np.sin((0.2 + 0.5 * k) * TIME) for k in range(count))
        assert excitation_order([sines]) == 2 * count
    assert excitation_order([np.random.default_rng(0).normal(size=SAMPLES)]) == 30


def test_few_samples():
    for samples, severity in ((60, Severity.ERROR), (300, Severity.WARNING)):
        record = record_of([INPUT[:samples]], [OUTPUT[:samples]])
        assert found(record)["few-samples"].severity is severity


def test_ranges_of_experiments():
    wide = Experiment("wide", 3 * INPUT[:, None], 3 * OUTPUT[:, None])
    usual = Experiment("usual", INPUT[:, None], OUTPUT[:, None])
    record = Record((Signal("u"),), (Signal("y"),), (usual, wide))
    mismatch = [finding for finding in examine(record) if finding.code == "range-mismatch"]
    assert {finding.signal for finding in mismatch} == {"u", "y"}
    assert all("'wide'" in finding.message for finding in mismatch)
    training, test = record.with_experiments([wide]), record.with_experiments([usual])
    assert compare_ranges(training, test) == []
    assert len(compare_ranges(test, training)) == 2


def test_errors_come_first():
    findings = examine(record_of([INPUT, np.full(SAMPLES, 1.0)], [np.clip(OUTPUT, -0.5, 0.5)]))
    assert findings[0].severity is Severity.ERROR
    assert findings[-1].severity is Severity.NOTE


def test_short_records_do_not_break_any_check():
    for samples in range(2, 70):
        assert examine(record_of([INPUT[:samples]], [OUTPUT[:samples]]))


def test_cascaded_tanks_overflow(control_data):
    options = ColumnOptions(sampling_time=4.0)
    record = read_csv(control_data / "cascaded_tanks.csv", inputs=["uEst"], outputs=["yEst"], columns=options)
    findings = found(record)
    assert findings["saturation"].signal == "yEst"
    assert findings["saturation"].numbers["limit"] == pytest.approx(10, abs=0.01)
    assert set(findings) == {"saturation", "delay"}


def test_silverbox_is_healthy(control_data):
    options = ColumnOptions(sampling_time=1 / 610.35)
    record = read_csv(control_data / "silverbox_SNLS80mV.csv", inputs=["V1"], outputs=["V2"], columns=options)
    assert set(found(record)) == {"delay"}
