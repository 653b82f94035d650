"""How to excite a plant so that its log can teach a model: test signals, noise and whole experiments."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from jaxtyping import Float

from attractor.data.record import Experiment, Record
from attractor.errors import ConfigError

from .plant import Plant, simulate

Seed = int | np.random.SeedSequence
Levels = float | int | Sequence[float | int] | np.ndarray
Columns = Float[np.ndarray, "time channels"]

_SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}
# Shortest and longest hold as a part of the settling time: short ones show the dynamics, long ones the gain.
_HOLD_OF_SETTLING = (0.2, 2.0)


def multilevel(
    seed: Seed,
    samples: int,
    low: Levels,
    high: Levels,
    *,
    hold: tuple[int, int] = (10, 60),
    jitter: float = 0.0,
) -> Columns:
    r"""A multilevel pseudo-random signal: random levels, each held for a random time.

    Channel by channel, levels are uniform in `[low, high]` and holds uniform in `hold`. White noise with
    a standard deviation of `jitter` times the range may be added; the sum stays within the range.
    A nonlinear plant must see many levels; a binary signal would hide its curvature.

    Args:
        seed: equal seeds give equal signals.
        samples: number of rows.
        low: lower end, one value or one per channel.
        high: upper end, alike.
        hold: shortest and longest hold, in samples.
        jitter: part of the range, for instance 0.01.

    Returns:
        One column per channel.

    Raises:
        ConfigError: if a range or a hold is empty.
    """
    generator = np.random.default_rng(seed)
    below, above = _range(samples, low, high, hold)
    signal = np.column_stack([_held(generator, samples, hold, generator.random) for _ in below])
    if jitter:
        signal = np.clip(signal + jitter * generator.standard_normal(signal.shape), 0.0, 1.0)
    return below + (above - below) * signal


def binary(
    seed: Seed, samples: int, low: Levels, high: Levels, *, hold: tuple[int, int] = (10, 60)
) -> Columns:
    """A pseudo-random binary signal: `low` or `high`, each held for a random time.

    It excites a linear plant as strongly as its range allows and says nothing about curvature.

    Args:
        seed: equal seeds give equal signals.
        samples: number of rows.
        low: lower level, one value or one per channel.
        high: upper level, alike.
        hold: shortest and longest time between two draws, in samples.

    Returns:
        One column per channel.

    Raises:
        ConfigError: if a range or a hold is empty.
    """
    generator = np.random.default_rng(seed)
    below, above = _range(samples, low, high, hold)
    draw = partial(generator.integers, 0, 2)
    return below + (above - below) * np.column_stack([_held(generator, samples, hold, draw) for _ in below])


def add_noise(seed: Seed, values: Columns, standard_deviation: Levels) -> Columns:
    """Measured values: `values` plus white Gaussian noise.

    Args:
        seed: equal seeds give equal noise.
        values: noise-free outputs.
        standard_deviation: one value or one per column, unit of the column.

    Returns:
        A new array.

    Raises:
        ConfigError: if a standard deviation is negative or not a number.
    """
    scale = np.asarray(standard_deviation, float)
    if not (scale >= 0).all() or not np.isfinite(scale).all():
        raise ConfigError(
            f"the standard deviation of the noise is {standard_deviation}; expected a number of at least 0"
        )
    return values + scale * np.random.default_rng(seed).standard_normal(values.shape)


def record_experiments(
    plant: Plant,
    lengths: Mapping[str, int] | int = 8000,
    *,
    seed: int = 0,
    sampling_time: float | None = None,
    noise: Levels | None = None,
) -> Record:
    """Excite a simulated plant and log what its sensors show, one experiment per entry of `lengths`.

    Every experiment starts at the plant's operating point and has a multilevel signal and noise of its
    own, so that validation and test are new draws, not a continuation. Holds lie between 0.2 and 2 times
    the plant's settling time.

    Args:
        plant: what to excite.
        lengths: rows of every experiment by name; a number of rows in all is split 60/20/20 into train,
            validation and test.
        seed: equal seeds give equal records.
        sampling_time: s; the plant's usual one by default.
        noise: standard deviation per output; the plant's usual one by default, 0 for none.

    Returns:
        A record that a reader could have read from a file.

    Raises:
        ConfigError: if an experiment has no rows.
    """
    interval = plant.sampling_time if sampling_time is None else sampling_time
    std = plant.measurement_noise if noise is None else noise
    if not 0 < interval < np.inf:
        raise ConfigError(f"sampling_time={interval}: expected a positive number of seconds")
    if seed < 0:
        raise ConfigError(f"seed={seed}: expected a whole number of at least 0")
    lengths = split_lengths(lengths) if isinstance(lengths, int) else lengths
    seeds = np.random.SeedSequence(seed).spawn(len(lengths))
    experiments = []
    for (name, samples), source in zip(lengths.items(), seeds, strict=True):
        for_inputs, for_noise = source.spawn(2)
        hold = hold_for(plant.settling_time, interval)
        inputs = multilevel(for_inputs, samples, plant.input_low, plant.input_high, hold=hold)
        _, outputs = simulate(plant, inputs, interval)
        experiments.append(Experiment(name, inputs, add_noise(for_noise, outputs, std)))
    return Record(plant.inputs, plant.outputs, tuple(experiments), interval)


def split_lengths(samples: int) -> dict[str, int]:
    """Rows for train (60 %), validation and test (20 % each); the rest of the rounding goes to train.

    Example:
        >>> split_lengths(8000)
        {'train': 4800, 'validation': 1600, 'test': 1600}
    """
    lengths = {name: round(samples * share) for name, share in _SHARES.items()}
    lengths["train"] += samples - sum(lengths.values())
    return lengths


def hold_for(settling_time: float, sampling_time: float) -> tuple[int, int]:
    """Shortest and longest hold in samples, 0.2 and 2 times the settling time, at least one sample."""
    shortest, longest = (max(1, round(part * settling_time / sampling_time)) for part in _HOLD_OF_SETTLING)
    return shortest, longest


def _held(
    generator: np.random.Generator, samples: int, hold: tuple[int, int], draw: Callable[[int], np.ndarray]
) -> np.ndarray:
    shortest, longest = hold
    durations = generator.integers(shortest, longest, -(-samples // shortest), endpoint=True)
    changes = np.searchsorted(np.cumsum(durations), np.arange(samples), side="right")
    return draw(changes[-1] + 1)[changes]


def _range(samples: int, low: Levels, high: Levels, hold: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    if samples < 1:
        raise ConfigError(f"An experiment of {samples} samples was asked for; give at least one.")
    if not 1 <= hold[0] <= hold[1]:
        raise ConfigError(
            f"hold is {hold}; give the shortest and the longest hold in samples, 1 <= shortest <= longest."
        )
    below, above = np.broadcast_arrays(np.atleast_1d(np.asarray(low, float)), np.asarray(high, float))
    if not (below < above).all():
        raise ConfigError(f"The range from {low} to {high} is empty; low must lie below high.")
    return below, above
