"""Random convolutions of a series as a cell: how often each of thousands of fixed patterns is met."""

from itertools import combinations
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray
from scipy.stats import norm

from attractor.errors import ConfigError

from .contract import Cell, Input, weight_dtype

TAPS = 9
"""Samples that a pattern looks at."""
PATTERNS = np.array([
    [2.0 if tap in high else -1.0 for tap in range(TAPS)] for high in combinations(range(TAPS), 3)
])
"""All ways to weigh three of nine samples by 2 and the others by -1, shape (84, 9); every row sums to 0."""
_BACK = TAPS - 1 - np.arange(TAPS)
_MOST_DILATIONS = 32
_MOST_CHANNELS = 9
_FEWEST_THRESHOLDS = 4
_GOLDEN = (1 + 5**0.5) / 2
_WIDTH = 0.1
"""Half width of a threshold, as a share of the spread of the responses: wide enough for a gradient, and as
accurate as a sharp one on the data sets where both were tried."""


class ConvolutionState(NamedTuple):
    """What has been seen so far.

    Args:
        recent: the last samples, the newest in the last row, shape (span, inputs); zeros before the first.
        first: the first sample.
        sums: by how much every threshold was exceeded, summed over time, shape (dilations, 84, thresholds).
        steps: samples so far.
    """

    recent: Float[Array, "span inputs"]
    first: Float[Array, " inputs"]
    sums: Float[Array, "dilations patterns thresholds"]
    steps: Float[Array, ""]


class RandomConvolutions(Cell):
    """Shares of time in which dilated patterns of nine samples exceed thresholds; nothing of it is trained.

    The patterns are those of MiniRocket (Dempster, Schmidt and Webb 2021): 84 patterns at up to 32 dilations,
    each on a random choice of inputs, with thresholds at quantiles of what series of the training data
    respond. Two things differ. A pattern looks back only, so that the convolution is a recurrent cell: its
    state is a shift register and a sum over time. Before the first sample it finds zeros, or, for every other
    threshold, that sample itself, which tells level and shape apart. And a threshold is a ramp of finite
    width, so that a gradient and a Lipschitz constant exist.

    Args:
        input_size: variables of a series.
        hidden_size: features wanted; the next multiple of what the dilations allow is taken.
        length: of the longest series that it is made for; a pattern spans no more than that.
        key: draws which inputs each pattern sees.

    Raises:
        ConfigError: a length below 1.
    """

    fixed: ClassVar[bool] = True
    channels: Float[Array, "dilations patterns inputs"]
    thresholds: Float[Array, "dilations patterns thresholds"]
    widths: Float[Array, "dilations patterns"]
    dilations: tuple[int, ...] = eqx.field(static=True)
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(self, input_size: int, hidden_size: int, *, length: int = 256, key: PRNGKeyArray) -> None:
        if length < 1:
            raise ConfigError(f"length={length}: expected at least one sample")
        self.dilations, each = _dilations(hidden_size, length, several=input_size > 1)
        shape = len(self.dilations), len(PATTERNS)
        self.channels = _chosen_inputs(shape, input_size, key)
        spread = jnp.sqrt((PATTERNS[0] ** 2).sum() * self.channels.sum(axis=-1))
        levels = jnp.asarray(norm.ppf(_levels((*shape, each))), self.channels.dtype)
        self.thresholds = spread[..., None] * levels
        self.widths = _WIDTH * spread
        self.input_size, self.hidden_size = input_size, self.thresholds.size

    @property
    def span(self) -> int:
        """Samples that the widest pattern reaches over."""
        return (TAPS - 1) * max(self.dilations) + 1

    def __call__(
        self, input: Input, state: ConvolutionState, *, key: PRNGKeyArray | None = None
    ) -> ConvolutionState:
        """One more sample."""
        fixed, patterns = self._fixed, PATTERNS.astype(input.dtype)
        recent = jnp.concatenate([state.recent[1:], input[None]])
        first = jnp.where(state.steps == 0, input, state.first)
        back = np.multiply.outer(self.dilations, _BACK)
        known = jnp.einsum("dtc,dpc,pt->dp", recent[self.span - 1 - back], fixed.channels, patterns)
        before = jnp.where(back > state.steps, 1.0, 0.0).astype(input.dtype) @ patterns.T
        above = fixed.above(known, known + before * (fixed.channels @ first))
        return ConvolutionState(recent, first, state.sums + above, state.steps + 1)

    def initial_state(self) -> ConvolutionState:
        """Nothing seen: zeros."""
        dtype = weight_dtype(self)
        recent, first = jnp.zeros((self.span, self.input_size), dtype), jnp.zeros(self.input_size, dtype)
        return ConvolutionState(recent, first, jnp.zeros(self.thresholds.shape, dtype), jnp.zeros((), dtype))

    def exposed(self, state: ConvolutionState) -> Float[Array, " features"]:
        """The shares of time, each between 0 and 1; zeros before the first sample."""
        return (state.sums / jnp.maximum(state.steps, 1)).reshape(-1)

    def whole(
        self, inputs: Float[Array, "time inputs"], length: ArrayLike | None = None
    ) -> Float[Array, " features"]:
        """What the cell exposes after a whole series, by convolutions in place of a scan over time.

        Args:
            inputs: the series.
            length: valid samples; None for all.
        """
        count = jnp.asarray(len(inputs) if length is None else length)
        valid = (jnp.arange(len(inputs)) < count)[:, None, None]

        def shares(_: None, at: tuple[Array, "RandomConvolutions"]) -> tuple[None, Array]:
            dilation, one = at
            above = one.above(*one.responses(inputs, dilation))
            return None, jnp.where(valid, above, 0.0).sum(axis=0) / jnp.maximum(count, 1)

        _, found = jax.lax.scan(shares, None, (jnp.asarray(self.dilations), self._fixed))
        return found.reshape(-1)

    def calibrated(
        self,
        inputs: Float[Array, "cases time inputs"],
        lengths: np.ndarray | None,
        seed: int,
        cases: int = 16,
    ) -> "RandomConvolutions":
        """The same patterns, with thresholds at quantiles of what some series respond.

        Args:
            inputs: series of the training data.
            lengths: valid samples of each; None for all.
            seed: decides which series.
            cases: how many series are looked at.
        """
        generator = np.random.default_rng(seed)
        chosen = generator.choice(len(inputs), min(cases, len(inputs)), replace=False)
        levels = _levels(self.thresholds.shape)
        asked = generator.integers(len(chosen), size=levels.shape[:2])
        thresholds, spreads = np.zeros(levels.shape), np.zeros((len(chosen), *levels.shape[:2]))
        for place, case in enumerate(chosen):
            count = inputs.shape[1] if lengths is None else int(lengths[case])
            both = [np.asarray(part)[:, :count] for part in _all_responses(self, inputs[case])]
            spreads[place] = both[0].std(axis=1)
            here = asked == place
            positions = (levels[here] * (count - 1)).round().astype(int)
            for kind, responses in enumerate(both):
                ordered = np.sort(responses.transpose(0, 2, 1)[here], axis=1)
                found = np.take_along_axis(ordered, positions, axis=1)
                thresholds[here, kind::2] = found[:, kind::2]
        typical = np.median(spreads, axis=0)
        widths = _WIDTH * np.where(typical > 0, typical, 1.0)
        return eqx.tree_at(
            lambda cell: (cell.thresholds, cell.widths),
            self,
            tuple(jnp.asarray(part, self.channels.dtype) for part in (thresholds, widths)),
        )

    def responses(
        self, inputs: Float[Array, "time inputs"], dilation: ArrayLike
    ) -> tuple[Float[Array, "time patterns"], Float[Array, "time patterns"]]:
        """What the patterns of one dilation, whose `channels` these are, respond at every time.

        Returns:
            Responses with zeros before the first sample, and with that sample held.
        """
        mixed = inputs @ self.channels.T
        known = jnp.concatenate([jnp.zeros((self.span - 1, len(PATTERNS)), mixed.dtype), mixed])
        found = jnp.zeros_like(mixed)
        for back, weights in zip(_BACK, PATTERNS.T.astype(inputs.dtype), strict=True):
            begin = self.span - 1 - dilation * back
            found += weights * jax.lax.dynamic_slice_in_dim(known, begin, len(inputs))
        before = (dilation * _BACK > jnp.arange(len(inputs))[:, None]).astype(inputs.dtype)
        return found, found + (before @ PATTERNS.T.astype(inputs.dtype)) * mixed[0]

    def above(
        self, plain: Float[Array, "*times patterns"], held: Float[Array, "*times patterns"]
    ) -> Float[Array, "*times patterns thresholds"]:
        """0 below a threshold, 1 above, a ramp in between: the first for `plain`, the next for `held`."""
        is_held = np.arange(self.thresholds.shape[-1]) % 2 == 1
        response = jnp.where(is_held, held[..., None], plain[..., None])
        return jnp.clip(0.5 + (response - self.thresholds) / (2 * self.widths[..., None]), 0.0, 1.0)

    @property
    def _fixed(self) -> "RandomConvolutions":
        return jax.tree.map(jax.lax.stop_gradient, self)


@eqx.filter_jit
def _all_responses(
    cell: RandomConvolutions, inputs: Float[Array, "time inputs"]
) -> tuple[Float[Array, "dilations time patterns"], Float[Array, "dilations time patterns"]]:
    def one(at: tuple[Array, RandomConvolutions]) -> tuple[Array, Array]:
        dilation, patterns = at
        return patterns.responses(inputs, dilation)

    return jax.lax.map(one, (jnp.asarray(cell.dilations), cell))


def _dilations(features: int, length: int, *, several: bool) -> tuple[tuple[int, ...], int]:
    """Dilations up to the length of a series, spread by their logarithm, and thresholds for each pattern.

    Where there are several inputs a dilation comes more than once, with other choices of inputs, in place of
    more thresholds: what a pattern finds hangs more on what it looks at.
    """
    each = max(round(features / len(PATTERNS)), 1)
    widest = np.log2(max((length - 1) / (TAPS - 1), 1))
    spread = 2 ** np.linspace(0, widest, min(each, _MOST_DILATIONS))
    dilations = np.unique(spread.astype(int))
    if several:
        dilations = dilations.repeat(max(each // (_FEWEST_THRESHOLDS * len(dilations)), 1))
    return tuple(dilations.tolist()), -(-each // len(dilations))


def _levels(shape: tuple[int, ...]) -> np.ndarray:
    """Probabilities that fill (0, 1) evenly, in the order of the golden ratio."""
    return ((np.arange(1, np.prod(shape) + 1) * _GOLDEN) % 1).reshape(shape)


def _chosen_inputs(
    shape: tuple[int, int], inputs: int, key: PRNGKeyArray
) -> Float[Array, "dilations patterns inputs"]:
    """1 for the inputs that a pattern sees: at least one, small numbers more often."""
    count_key, order_key = jax.random.split(key)
    most = np.log2(min(inputs, _MOST_CHANNELS) + 1)
    wanted = jnp.floor(2 ** jax.random.uniform(count_key, shape, maxval=most))
    rank = jax.random.uniform(order_key, (*shape, inputs)).argsort(axis=-1).argsort(axis=-1)
    return (rank < wanted[..., None]).astype(wanted.dtype)
