r"""Whether starts far from a path meet it under the same inputs: what no Lyapunov exponent says.

A negative largest exponent speaks of nearby states alone. A switch has one along paths under small inputs,
$x' = \tanh(3 x + u)$, yet two starts on either side of zero never meet. Only runs from afar show that; that
all of a sample meet is evidence, not a proof.
"""

from dataclasses import asdict, dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from attractor.cells import CellLike, State
from attractor.dynamics.trajectory import prepared
from attractor.program import FlatMap, compiled, double_precision
from attractor.shown import Shown

# A distance, relative to the size of the path, below which two runs have met: rounding keeps float64 runs
# of a contracting map far nearer, and no other attractor lies so near.
_MET = 1e-6
# A distance that has fallen to this share in the second half of the run is still falling.
_FALLING = 0.5


@dataclass(frozen=True)
class FarStarts(Shown):
    """How many of some far starts met a path under the same inputs.

    Args:
        starts: how many were run, of those at which the step is defined.
        met: how many were as good as on the path at its end.
        falling: how many others were still coming nearer.
        lost: how many left the finite numbers.
        steps: length of the path.
        last: the step from which on all that met had met.
        apart: the largest distance, in the maximum norm, that was left of one that did not meet; 0 if all
            did.
        outside: how many others were drawn outside of where the step is defined, which says nothing of it.
    """

    starts: int
    met: int
    falling: int
    lost: int
    steps: int
    last: int
    apart: float
    outside: int = 0

    @property
    def all_met(self) -> bool:
        """Whether there were any, and every one did."""
        return 0 < self.met == self.starts

    def __str__(self) -> str:
        """How many of how many, and after how many steps."""
        beside = f"; {self.outside} more lay where the step is not defined" * bool(self.outside)
        if not self.starts:
            return f"no far start was tried{beside}"
        if self.all_met:
            return (
                f"all {self.starts} far starts that were tried meet the path, the last after {self.last} "
                f"steps{beside}"
            )
        text = (
            f"{self.starts - self.met} of {self.starts} far starts do not meet the path in {self.steps} steps"
        )
        left = [] if self.lost == self.starts - self.met else [f"up to {self.apart:.3g} apart at the end"]
        left += [f"{self.falling} still come nearer"] if self.falling else []
        left += [f"{self.lost} leave the finite numbers"] if self.lost else []
        return f"{text} ({', '.join(left)}){beside}"

    def to_dict(self) -> dict[str, object]:
        """Plain numbers for a JSON file; an infinite distance is left out."""
        apart = self.apart if np.isfinite(self.apart) else None
        return {**asdict(self), "apart": apart}


def far_starts(
    cell: CellLike,
    rows: Float[np.ndarray, "time inputs"],
    starts: Float[np.ndarray, "starts real"],
    size: float,
    state: State | None = None,
) -> FarStarts:
    """Run a cell from its start and from others under the same inputs, in float64, without noise.

    Args:
        cell: any cell; counters and keys of its state begin as they do in its own start.
        rows: the inputs, checked.
        starts: real parts of flat states.
        size: of the states of the path; distances are told from it.
        state: where the path starts; the cell's own initial state when None.
    """
    with double_precision():
        flat, own, _ = prepared(cell, state, 0, None)
        begun = np.tile(np.asarray(own), (len(starts), 1))
        begun[:, : flat.real_size] = starts
        given = jax.device_put((begun, rows, np.asarray(_MET * size)))
        first, *others = map(np.asarray, _distances(flat, own, *given))
    # A map may live on a part of space alone: what is no number after one step never was on it. What is
    # infinite has overflowed: it leaves the finite numbers.
    defined = ~np.isnan(first)
    middle, end, last = (values[defined] for values in others)
    met, finite = end <= _MET * size, np.isfinite(end)
    return FarStarts(
        starts=int(defined.sum()),
        met=int(met.sum()),
        falling=int(np.sum(~met & (end < _FALLING * middle))),
        lost=int(np.sum(~finite)),
        steps=len(rows),
        last=int(np.max(last[met], initial=0)),
        apart=float(np.max(end[~met & finite], initial=0.0)),
        outside=int(np.sum(~defined)),
    )


@compiled
def _distances(
    flat: FlatMap, own: Array, starts: Array, rows: Array, near: Array
) -> tuple[Array, Array, Array, Array]:
    """Distances from the path after a step, in the middle and at the end, and the steps till they met it."""
    real, half = flat.real_size, len(rows) // 2

    def body(carry: tuple[Array, ...], now: tuple[Array, Array]) -> tuple[tuple[Array, ...], None]:
        states, first, middle, _, last = carry
        step, row = now
        states = jax.vmap(lambda state: flat.step(state, row))(states)
        away = jnp.max(jnp.abs(states[1:, :real] - states[0, :real]), axis=1)
        last = jnp.where(away <= near, last, step + 1)
        first, middle = jnp.where(step == 0, away, first), jnp.where(step == half, away, middle)
        return (states, first, middle, away, last), None

    nothing = jnp.zeros(len(starts), starts.dtype)
    begun = jnp.concatenate([own[None], starts]), *[nothing] * 3, jnp.zeros(len(starts), int)
    (_, first, middle, end, last), _ = jax.lax.scan(body, begun, (jnp.arange(len(rows)), rows))
    return first, middle, end, last
