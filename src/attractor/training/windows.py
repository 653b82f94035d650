"""Random windows of long recordings."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from attractor.errors import InputDataError
from attractor.program import single


class Batch(eqx.Module):
    """Windows of a batch: signals of shape (batch, window, channels) and which rows are valid."""

    inputs: Float[Array, "batch window inputs"]
    outputs: Float[Array, "batch window outputs"]
    valid: Bool[Array, "batch window"]


class Windows(eqx.Module):
    """Windows drawn uniformly over all positions where one fits.

    Recordings stand end to end; an experiment is therefore chosen with probability proportional to its
    length minus the window. A recording shorter than the window gives one window, padded and marked.

    Args:
        inputs: recordings of the inputs, each (time, inputs).
        outputs: recordings of the outputs, each (time, outputs), of the same lengths.
        length: rows of a window.

    Raises:
        InputDataError: no recording, or one without rows.
    """

    _inputs: Float[Array, "rows inputs"]
    _outputs: Float[Array, "rows outputs"]
    _starts: Int[Array, " starts"]
    _ends: Int[Array, " starts"]
    length: int = eqx.field(static=True)

    def __init__(
        self,
        inputs: Sequence[Float[np.ndarray, "_ inputs"]],
        outputs: Sequence[Float[np.ndarray, "_ outputs"]],
        length: int,
    ) -> None:
        lengths = np.array([len(one) for one in inputs])
        if len(lengths) == 0 or lengths.min() == 0:
            raise InputDataError(
                "training needs at least one recording, and every recording at least one row"
            )
        firsts = np.cumsum(lengths) - lengths
        positions = [
            np.arange(first, first + max(size - length, 0) + 1)
            for first, size in zip(firsts, lengths, strict=True)
        ]
        ends = [np.full(len(p), f + n) for p, f, n in zip(positions, firsts, lengths, strict=True)]
        self._starts = jax.device_put(np.concatenate(positions).astype(np.int32))
        self._ends = jax.device_put(np.concatenate(ends).astype(np.int32))
        self._inputs, self._outputs = _joined(inputs, length), _joined(outputs, length)
        self.length = length

    def draw(self, key: PRNGKeyArray, size: int) -> Batch:
        """A batch of `size` windows."""
        positions = self.positions(key, size)
        rows = self._starts[positions][:, None] + jnp.arange(self.length)
        return Batch(self._inputs[rows], self._outputs[rows], rows < self._ends[positions][:, None])

    def cover(self, length: int, skip: int) -> Batch:
        """All recordings cut into windows of `length` rows that overlap by `skip` rows.

        Every row after the first `skip` of its recording is past the first `skip` rows of exactly one
        window; what a window lacks at the end of a recording is padded and marked.
        """
        ends = np.unique(np.asarray(self._ends))
        firsts = np.concatenate([[0], ends[:-1]])
        pairs = [
            (start, end)
            for first, end in zip(firsts, ends, strict=True)
            for start in range(first, max(end - skip, first + 1), length - skip)
        ]
        rows = np.array([start for start, _ in pairs])[:, None] + np.arange(length)
        valid = rows < np.array([end for _, end in pairs])[:, None]
        rows = np.minimum(rows, len(self._inputs) - 1)
        return Batch(self._inputs[rows], self._outputs[rows], jnp.asarray(valid))

    def positions(self, key: PRNGKeyArray, size: int) -> Int[Array, " size"]:
        """Which of the possible windows a key draws."""
        return jax.random.randint(key, (size,), 0, len(self._starts))

    def first_row(self, key: PRNGKeyArray, size: int, example: int) -> int:
        """Row of the joined recordings at which an example of a batch starts."""
        return int(self._starts[self.positions(key, size)[example]])


def _joined(recordings: Sequence[np.ndarray], padding: int) -> Float[Array, "rows channels"]:
    whole = np.concatenate([*recordings, np.zeros((padding, recordings[0].shape[1]))])
    return single(whole)
