"""Cases that are windows of one recording: found by the stretches of values that they have in common."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt64

from attractor.shown import Shown

from .labelled_sequences import Sequences, padded
from .wild_values import usual_reach

# Steps of the stretches that are looked up; the longer ones are for signals that seldom move.
_STRETCHES = (8, 32, 128)
# Of shorter cases half of the steps are looked up, but at least so many.
_SHORTEST = 4
# How often a stretch must move to be looked up: a constant one is no sign of anything.
_MOVES = 4
# Bits by which a common stretch must be rarer than one among all pairs of steps.
_BITS = 20.0
# Stretches of each case that are looked up in the others, and in how many variables.
_HEADS, _HASHED = 3, 4
# Values that differ by less, as a share of the largest of their variable, are alike.
_TOLERANCE = 2.0**-18
# Steps over all cases up to which they are compared, and values that are compared at once.
_MOST_STEPS, _AT_ONCE = 50_000_000, 4_000_000
_MISSING = 2**15
# How near to 0 the mean of a case is that was scaled alone, to 1 its standard deviation (of all values, or of
# one fewer), and how many cases must be so.
_CLOSE, _ROUGHLY, _MOST = 1e-3, 0.1, 0.95


@dataclass(frozen=True, eq=False)
class SharedStretches(Shown):
    """Which cases have stretches of values in common: windows of one recording, copies, parts of another one.

    Args:
        recordings: a number for each case; cases that are linked, by others if need be, have the same.
        links: pairs of cases with a common stretch, shape (links, 2), enough to join all of a recording.
        is_complete: whether the cases were compared; False where they are too many.
    """

    recordings: Int[np.ndarray, " cases"]
    links: Int[np.ndarray, "links 2"]
    is_complete: bool = True

    @property
    def sharing(self) -> Bool[np.ndarray, " cases"]:
        """Which cases share a stretch with another one."""
        return np.bincount(self.recordings)[self.recordings] > 1

    @property
    def recording_count(self) -> int:
        """How many recordings they are of."""
        return len(np.unique(self.recordings[self.sharing]))

    def __str__(self) -> str:
        return (
            f"{np.count_nonzero(self.sharing)} of {len(self.recordings)} cases share stretches of values "
            f"with others, as windows of {self.recording_count} recording(s) do"
        )


def shared_stretches(data: Sequences) -> SharedStretches:
    """Find the cases that have stretches of values in common.

    Short stretches that move are looked up in all cases by a hash of their values, rounded to about three
    digits. What is found is followed as far as it goes: it counts if it is too rare to be a chance, and if
    half of the variables that move agree over most of the common time. Cases of which each was brought to its
    own mean and standard deviation, or to its own range, are compared by their shape.

    Args:
        data: cases, labelled or not.

    Example:
        >>> import numpy as np
        >>> walk = np.random.default_rng(0).normal(size=(100, 1)).cumsum(axis=0)
        >>> windows = Sequences.from_arrays([walk[:60], walk[40:], walk[::-1][:50]])
        >>> shared_stretches(windows).recordings.tolist()
        [0, 0, 1]
    """
    links = _all_links(data.values, data.lengths)
    return SharedStretches(_components(links, len(data)), links, data.valid.size <= _MOST_STEPS)


def common_stretches(training: Sequences, test: Sequences) -> Bool[np.ndarray, " cases"]:
    """Which test cases have a stretch of values in common with a training case.

    One of the two may have been saved in half or in single precision.

    Args:
        training: what a model learns from.
        test: other cases, with the same variables in the same order.
    """
    coarse = next(
        (kind for kind in (np.float16, np.float32) if _holds(kind, training) or _holds(kind, test)), None
    )
    arrays = [data.one(case) for data in (training, test) for case in range(len(data))]
    values, lengths = padded(arrays if coarse is None else [_rounded(one, coarse) for one in arrays])
    links = _all_links(values, lengths, to_first=True)
    across = links[(links[:, 0] < len(training)) & (links[:, 1] >= len(training)), 1]
    return np.bincount(across - len(training), minlength=len(test)) > 0


def _all_links(
    values: Float[np.ndarray, "cases time variables"], lengths: np.ndarray, *, to_first: bool = False
) -> Int[np.ndarray, "links 2"]:
    """Pairs of cases with a stretch in common, the earlier case first; none where the cases are too many.

    They are enough to join all of a recording; `to_first` adds each case that shares a stretch with the first
    one that has it.
    """
    if values.shape[0] * values.shape[1] > _MOST_STEPS or len(values) == 1:
        return np.empty((0, 2), int)
    links = [_links(values, lengths, to_first=to_first)]
    if _is_scaled_alone(values):
        links.append(_links(_shapes(values), lengths, to_first=to_first))
    return np.unique(np.concatenate(links), axis=0)


def _links(
    values: Float[np.ndarray, "cases time variables"], lengths: np.ndarray, *, to_first: bool
) -> Int[np.ndarray, "links 2"]:
    scaled, codes, bits = _told_by_values(values)
    candidates = _candidates(codes, bits, lengths, to_first=to_first)
    valid = np.arange(values.shape[1]) < lengths[:, None]
    return np.concatenate(_confirmed(candidates, (scaled, bits, valid), _needed(int(lengths.sum()))))


def _told_by_values(
    values: Float[np.ndarray, "cases time variables"],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values of size one, their codes, and how many bits each tells: none where it does not move."""
    scaled = np.stack([_scaled(channel) for channel in np.moveaxis(values, 2, 0)], axis=2)
    codes = _codes(scaled)
    return scaled, codes, np.where(_moving(scaled, codes), _rarity(codes), 0)


def _needed(positions: int) -> float:
    """Bits that something in common must tell to be no chance, of two among so many positions."""
    return _BITS + 2 * float(np.log2(positions))


def _is_rich(
    told: Float[np.ndarray, " pairs"], moving: Int[np.ndarray, " pairs"], needed: float
) -> Bool[np.ndarray, " pairs"]:
    """Whether so many bits are enough; variables that move together tell less than the sum of each."""
    return told >= needed * np.sqrt(np.maximum(moving, 1))


def rich_cases(data: Sequences) -> Bool[np.ndarray, " cases"]:
    """Which cases are too rich in values for another case to be equal by chance.

    Series of a few steps, or of a few values, come again and again; see `shared_stretches`, which asks for as
    much of a stretch.

    Args:
        data: cases.

    Example:
        >>> import numpy as np
        >>> draw = np.random.default_rng(0)
        >>> noise, coins = draw.normal(size=(9, 30, 1)), draw.integers(0, 2, (9, 4, 1)) + 0.0
        >>> [rich_cases(Sequences.from_arrays(part)).all().item() for part in (noise, coins)]
        [True, False]
    """
    bits = _told_by_values(data.values)[2]
    told = bits.sum(axis=1)
    return _is_rich(told.sum(axis=1), (told > 0).sum(axis=1), _needed(len(data)))


def _is_scaled_alone(values: Float[np.ndarray, "cases time variables"]) -> bool:
    """Whether each case has mean 0 and standard deviation 1, or the same range, in a variable that moves."""
    with warnings.catch_warnings():  # cases without a value
        warnings.simplefilter("ignore", RuntimeWarning)
        low, high = np.nanmin(values, axis=1), np.nanmax(values, axis=1)
        mean, deviation = np.nanmean(values, axis=1), np.nanstd(values, axis=1)
    moving = deviation > 0
    if not moving.any():
        return False
    is_standard = (np.abs(mean) < _CLOSE) & (np.abs(deviation - 1) < _ROUGHLY)
    is_ranged = (np.abs(low - np.nanmin(values)) < _CLOSE) & (np.abs(high - np.nanmax(values)) < _CLOSE)
    return bool(is_standard[moving].mean() > _MOST or is_ranged[moving].mean() > _MOST)


def _shapes(values: Float[np.ndarray, "cases time variables"]) -> Float[np.ndarray, "cases time variables"]:
    """What scale and offset of a case leave alone: each change as a share of it and the one before."""
    change = np.diff(values, axis=1)
    size = np.abs(change[:, 1:]) + np.abs(change[:, :-1])
    shares = np.full(values.shape, np.nan)
    shares[:, 2:] = np.where(size > 0, change[:, 1:] / np.where(size > 0, size, 1), 0)
    return shares


def _rounded(values: Float[np.ndarray, "*shape"], kind: type[np.floating]) -> Float[np.ndarray, "*shape"]:
    """What is left of values in a file of a coarser type; those outside of it stay."""
    with np.errstate(over="ignore"):
        rounded = values.astype(kind).astype(np.float64)
    return np.where(np.isinf(rounded), values, rounded)


def _holds(kind: type[np.floating], data: Sequences) -> bool:
    """Whether a type holds all of the values."""
    return bool(np.array_equal(_rounded(data.values, kind), data.values, equal_nan=True))


def _scaled(channel: Float[np.ndarray, "cases time"]) -> Float[np.ndarray, "cases time"]:
    """Values minus their median, in units of a power of two that makes the largest almost one.

    Wild values count as the largest of the others: beside them all others would be alike.
    """
    known = channel[~np.isnan(channel)]
    if not len(known):
        return channel
    centred = channel - np.median(known)
    largest = usual_reach(np.abs(centred[~np.isnan(centred)]))
    return np.ldexp(np.clip(centred, -largest, largest), -int(np.frexp(largest)[1]))


def _codes(scaled: Float[np.ndarray, "*shape"]) -> Int[np.ndarray, "*shape"]:
    """Values as whole numbers: the bits of a half-precision number; one number for missing values."""
    bits = np.ldexp(scaled, 15).astype(np.float16).view(np.uint16).astype(np.int32)
    signed = np.where(bits & 0x8000, -(bits & 0x7FFF), bits)
    return np.where(np.isnan(scaled), _MISSING, signed)


def _moving(
    scaled: Float[np.ndarray, "cases time variables"], codes: Int[np.ndarray, "cases time variables"]
) -> Bool[np.ndarray, "cases time variables"]:
    """Where a value is not what the one before, or a straight line through the two before, would tell."""
    moving = np.zeros(codes.shape, bool)
    moving[:, 1:] = (codes[:, 1:] != codes[:, :-1]) & ~np.isnan(np.diff(scaled, axis=1))
    bend = np.abs(np.diff(scaled, n=2, axis=1))
    moving[:, 2:] &= ~(bend <= 4 * _TOLERANCE)
    return moving


def _rarity(codes: Int[np.ndarray, "cases time variables"]) -> Float[np.ndarray, "cases time variables"]:
    """How rare each value is in its variable, as minus the logarithm to base 2 of its frequency."""
    rarity = np.zeros(codes.shape, np.float32)
    for variable in range(codes.shape[2]):
        column = codes[:, :, variable] + _MISSING
        counts = np.bincount(column.ravel(), minlength=2 * _MISSING + 1)
        rarity[:, :, variable] = np.log2(column.size / np.maximum(counts, 1))[column]
    return rarity


def _candidates(
    codes: np.ndarray, bits: np.ndarray, lengths: np.ndarray, *, to_first: bool
) -> Int[np.ndarray, "pairs 4"]:
    """Rows (case, position, other case, its position) with a short stretch in common in some variable."""
    found = [np.empty((0, 4), int)]
    for variable in np.argsort(-bits.sum(axis=(0, 1)), kind="stable")[:_HASHED]:
        sought = np.ones(len(codes), bool)
        for size in _sizes(int(lengths.max())):
            moved = bits[:, :, variable] > 0
            hashes, usable = _hashed(codes[:, :, variable], moved, lengths, size)
            heads = _heads(usable & sought[:, None], size)
            found.append(_looked_up(hashes, usable, heads, to_first=to_first))
            sought &= ~heads.any(axis=1)
    return np.unique(np.concatenate(found), axis=0)


def _sizes(longest: int) -> Sequence[int]:
    if longest < 2 * _STRETCHES[0]:
        return [size for size in (max(longest // 2, _SHORTEST),) if size <= longest]
    return [size for size in _STRETCHES if 3 * size <= 2 * longest]


def _hashed(
    codes: Int[np.ndarray, "cases time"],
    moved: Bool[np.ndarray, "cases time"],
    lengths: np.ndarray,
    size: int,
) -> tuple[UInt64[np.ndarray, "cases positions"], Bool[np.ndarray, "cases positions"]]:
    """A hash of the stretch of `size` steps from each position on, and whether it moves enough."""
    cases, time = codes.shape
    random = np.random.default_rng(0)
    words = random.integers(0, 2**64, 2 * _MISSING + 1, np.uint64)[codes + _MISSING]
    factors = random.integers(0, 2**63, size, np.uint64) * np.uint64(2) + np.uint64(1)
    count = max(time - size + 1, 0)
    hashes = np.zeros((cases, count), np.uint64)
    for step, factor in enumerate(factors):
        hashes += words[:, step : step + count] * factor
    sums = np.cumsum(moved, axis=1, dtype=np.int32)
    moves = sums[:, size - 1 :] - sums[:, :count]
    return hashes, (moves >= min(_MOVES, size - 1)) & (np.arange(count) + size <= lengths[:, None])


def _heads(usable: Bool[np.ndarray, "cases positions"], size: int) -> Bool[np.ndarray, "cases positions"]:
    """The first few usable stretches of every case, apart from one another."""
    heads, start = np.zeros_like(usable), np.zeros(len(usable), int)
    for _ in range(_HEADS):
        left = usable & (np.arange(usable.shape[1]) >= start[:, None])
        some, first = np.flatnonzero(left.any(axis=1)), left.argmax(axis=1)
        heads[some, first[some]] = True
        start = first + size
    return heads


def _looked_up(
    hashes: UInt64[np.ndarray, "cases positions"], usable: np.ndarray, heads: np.ndarray, *, to_first: bool
) -> Int[np.ndarray, "pairs 4"]:
    """Pairs of positions in two cases that have one hash, which is that of a head.

    Each head goes with the first that has its hash, and with its neighbours, should the first be alike by
    chance; that joins what belongs together. With `to_first` what is no head goes with the first as well.
    """
    cases, positions = np.nonzero(usable & np.isin(hashes, hashes[heads]))
    keys = hashes[cases, positions]
    order = np.lexsort((positions, cases, keys))
    cases, positions, keys = cases[order], positions[order], keys[order]
    rows = np.arange(len(keys))
    first = np.maximum.accumulate(np.where(np.diff(keys, prepend=~keys[:1]) != 0, rows, 0))
    chosen = rows[heads[cases, positions]]
    after = np.minimum(chosen + 1, len(rows) - 1)
    after = np.where(first[after] == first[chosen], after, chosen)
    with_first = rows if to_first else chosen
    one = np.concatenate([first[with_first], np.maximum(chosen - 1, first[chosen]), chosen])
    other = np.concatenate([with_first, chosen, after])
    kept = cases[one] != cases[other]
    pairs = np.stack([cases[one], positions[one], cases[other], positions[other]], axis=1)[kept]
    # One position is enough for two cases at one offset.
    offsets = pairs[:, 3] - pairs[:, 1] + hashes.shape[1]
    keys = (pairs[:, 0] * len(hashes) + pairs[:, 2]) * 2 * hashes.shape[1] + offsets
    return pairs[np.unique(keys, return_index=True)[1]]


def _confirmed(
    candidates: Int[np.ndarray, "pairs 4"],
    series: tuple[np.ndarray, np.ndarray, np.ndarray],
    needed: float,
) -> list[Int[np.ndarray, "links 2"]]:
    """The pairs of cases whose common stretch tells as many bits as are needed to be no chance.

    The series are the scaled values, how many bits each tells, and which steps are no padding.
    """
    scaled, bits, valid = series
    links = [np.empty((0, 2), int)]
    _, time, variables = scaled.shape
    offsets = candidates[:, 3] - candidates[:, 1]
    for offset in np.unique(offsets).tolist():
        some = candidates[offsets == offset]
        start, stop = max(-offset, 0), time - max(offset, 0)
        size = (stop - start) * variables
        here, there = slice(start, stop), slice(start + offset, stop + offset)
        for pairs in np.array_split(some, -(-len(some) * size // _AT_ONCE)):
            first, second = pairs[:, 0], pairs[:, 2]
            one, other = scaled[first, here], scaled[second, there]
            alike = (np.abs(one - other) <= _TOLERANCE) | (np.isnan(one) & np.isnan(other))
            common = np.where(valid[second, there, None], bits[first, here], 0)
            told = _told(alike, common, pairs[:, 1] - start, needed)
            links.append(pairs[told][:, [0, 2]])
    return links


def _told(
    alike: Bool[np.ndarray, "pairs time variables"],
    bits: Float[np.ndarray, "pairs time variables"],
    at: Int[np.ndarray, " pairs"],
    needed: float,
) -> Bool[np.ndarray, " pairs"]:
    """Whether what agrees around a step is rare enough, in half of the variables that move.

    A variable agrees if it does so for most of what it tells in the time that the two cases have in common.
    """
    steps, at = np.arange(alike.shape[1])[None, :, None], at[:, None, None]
    before = np.where(~alike & (steps < at), steps, -1).max(axis=1, keepdims=True)
    after = np.where(~alike & (steps >= at), steps, alike.shape[1]).min(axis=1, keepdims=True)
    # The first step of the run moves from a value that differs.
    told = np.where((steps > before + 1) & (steps < after), bits, 0).sum(axis=1)
    everything = bits.sum(axis=1)
    agreeing, moving = (told > 0.5 * everything).sum(axis=1), (everything > 0).sum(axis=1)
    return _is_rich(told.sum(axis=1), moving, needed) & (2 * agreeing >= moving)


def _components(links: Int[np.ndarray, "links 2"], cases: int) -> Int[np.ndarray, " cases"]:
    """Numbers of the recordings, in the order of their first cases."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(links)), (links[:, 0], links[:, 1])), shape=(cases, cases))
    return connected_components(graph, directed=False)[1].astype(int)
