r"""How sharply the loss bends: in the hidden state at every step, and in the weights.

In the state. With J_m the Jacobian of step m, $\lambda_M$ and $R_M$ the gradient and the Hessian of the loss
in the last state, the backward recursion

$$R_m = J_m' R_{m+1} J_m + \sum_p \lambda_{m+1,p}\, \nabla^2 f_p, \qquad \lambda_m = J_m' \lambda_{m+1}$$

gives R_m, the Hessian of the loss as a function of the state after m steps (f_p is component p of the step).
Small noise of covariance C in that state costs tr(C R_m) / 2 on average (Lim et al. 2021, arXiv 2102.04877).
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Annotated, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key
from scipy.linalg import eigh_tridiagonal

from attractor.cells import CellLike, exposed
from attractor.errors import ConfigError, InputDataError
from attractor.program import (
    compiled,
    double_precision,
    flat_map,
    hessian_before,
    in_double_precision,
    with_precision,
)
from attractor.report.drawn import Drawn
from attractor.scan import unroll
from attractor.settings import Count, Seed, Settings, Within
from attractor.shown import at_prompt, in_notebook

from .sequences import LabelledSequences, Piece, in_pieces

_MEMORY = 4e9
"""Bytes that Hessians of one batch may take."""


def state_hessians(
    cell: CellLike,
    loss: Callable[[Array], Array],
    inputs: Float[Array, "time inputs"],
    length: ArrayLike | None = None,
) -> Float[Array, "states_in_time states states"]:
    """R_0 ... R_time along one sequence, for any cell; those after the last valid step are NaN.

    The cost is that of `states` forward derivatives of a gradient for every step. It may be compiled and
    mapped over a batch; call it inside `jax.enable_x64(True)` for float64.

    Args:
        cell: any cell; it runs without noise from its initial state, which is taken as one flat vector.
        loss: a number from what the cell exposes of its last state.
        inputs: one sequence.
        length: number of valid steps; None means all.
    """
    flat = flat_map(cell, dtype=jnp.result_type(inputs))
    real = flat.real_size
    steps = jnp.asarray(len(inputs) if length is None else length)
    states = unroll(cell, inputs, length=steps, read=flat.flatten).states
    states = jnp.concatenate([flat.start[None], states])

    def final(state: Array, rest: Array) -> Array:
        return loss(exposed(cell, flat.restore(jnp.concatenate([state, rest]))))

    def back(
        later: tuple[Array, Array], row: tuple[Array, Array, Array]
    ) -> tuple[tuple[Array, Array], Array]:
        input, state, valid = row

        def step(moved: Array) -> Array:
            return flat.step(jnp.concatenate([moved, state[real:]]), input)[:real]

        earlier = hessian_before(step, state[:real], later)
        kept = jax.tree.map(lambda new, old: jnp.where(valid, new, old), earlier, later)
        return kept, kept[1]

    last = states[-1]
    parts = last[:real], last[real:]
    end = jax.grad(final)(*parts), jax.hessian(final)(*parts)
    valid = jnp.arange(len(inputs)) < steps
    harmless = jnp.where(valid[:, None], inputs, inputs[:1])
    _, earlier = jax.lax.scan(back, end, (harmless, states[:-1], valid), reverse=True)
    reached = jnp.arange(len(states)) <= steps
    return jnp.where(reached[:, None, None], jnp.concatenate([earlier, end[1][None]]), jnp.nan)


class StateCurvature(NamedTuple):
    """The Hessian R_m of the loss in the flat state after m steps, m = 0 ... time, for every case.

    Entries after the last valid step are NaN.

    Args:
        trace: sum of its eigenvalues, shape (cases, time + 1).
        largest: its largest eigenvalue, shape (cases, time + 1).
    """

    trace: Float[np.ndarray, "cases states_in_time"]
    largest: Float[np.ndarray, "cases states_in_time"]

    def __repr__(self) -> str:
        return at_prompt(self)

    def _repr_html_(self) -> str:
        return in_notebook(self)


def state_curvature(
    cell: CellLike, readout: Callable[[Array], Array], data: LabelledSequences, batch: int = 4
) -> StateCurvature:
    """Curvature of the cross-entropy in the hidden state at every step of every case, in float64.

    Args:
        cell: any cell.
        readout: logits from what the cell exposes.
        data: the cases.
        batch: cases at a time; memory grows with batch * time * states^2.

    Raises:
        InputDataError: a curvature that is not finite; the case is named.
        ConfigError: a batch below 1, or one that needs more than 4 GB.
    """
    with double_precision():
        exact_cell, exact_readout = in_double_precision((cell, readout))
        exact = LabelledSequences(data.inputs.astype(np.float64), data.lengths, data.labels)
        _check_memory(exact_cell, exact, batch)
        found = in_pieces(
            lambda piece: _measures(_hessians(exact_cell, exact_readout, piece), piece), exact, batch
        )
    return StateCurvature(*found)


def _check_memory(cell: CellLike, data: LabelledSequences, batch: int) -> None:
    states = flat_map(cell).real_size
    needed = 8 * min(batch, len(data)) * (data.inputs.shape[1] + 1) * states**2
    if needed > _MEMORY:
        raise ConfigError(
            f"Hessians of {states} states over {data.inputs.shape[1]} steps of batch={batch} cases need "
            f"{needed / 1e9:.1f} GB, more than {_MEMORY / 1e9:.0f} GB; take a smaller batch or fewer steps"
        )


def _measures(hessians: Array, piece: Piece) -> tuple[np.ndarray, np.ndarray]:
    """Trace and largest eigenvalue, by NumPy: XLA on a CPU computes all eigenvectors to find one value."""
    bent, lengths = np.asarray(hessians), np.asarray(piece.lengths)
    reached = np.arange(bent.shape[1]) <= lengths[:, None]
    for case, _ in np.argwhere(reached & ~np.isfinite(bent).all(axis=(2, 3)))[:1]:
        raise InputDataError(
            f"the curvature of case {int(piece.numbers[case])} is not finite; are its inputs and the weights?"
        )
    trace, largest = (np.full(reached.shape, np.nan) for _ in range(2))
    symmetric = (bent[reached] + np.swapaxes(bent[reached], 1, 2)) / 2
    trace[reached] = np.trace(symmetric, axis1=1, axis2=2)
    largest[reached] = np.linalg.eigvalsh(symmetric)[:, -1]
    return trace, largest


@compiled
def _hessians(cell: CellLike, readout: Callable[[Array], Array], piece: Piece) -> Array:
    def one(inputs: Array, length: Array, label: Array) -> Array:
        return state_hessians(cell, lambda seen: -jax.nn.log_softmax(readout(seen))[label], inputs, length)

    return jax.vmap(one)(piece.inputs, piece.lengths, piece.labels)


Product = Callable[[Array], Array]
"""Multiplies a vector of shape (size,) by a symmetric matrix."""


class RitzValues(NamedTuple):
    """Approximate eigenvalues of a symmetric matrix.

    Args:
        values: from the largest down, shape (found,); NaN where the matrix holds NaN or overflows.
        errors: each value has an eigenvalue of the matrix within this distance, shape (found,).
    """

    values: Float[np.ndarray, " found"]
    errors: Float[np.ndarray, " found"]


def ritz_values(product: Product, start: Float[Array, " size"], steps: int) -> RitzValues:
    """Eigenvalues by the Lanczos method; those at the two ends of the spectrum converge first.

    The basis is made orthogonal in full, twice in every step, so no eigenvalue appears in copies. A matrix
    with fewer distinct eigenvalues than `steps` ends the method early, with exact values. (matfree 0.6.3 goes
    on: of a matrix with five different eigenvalues it shows the largest six times. Its twenty and its sixty
    steps took five times and twice as long, for 4000 weights in float32.)

    Args:
        product: v -> A v.
        start: any vector with a share in all eigenvectors that matter, as a random one.
        steps: size of the basis; memory is steps * size.

    Raises:
        ConfigError: fewer than one step.
    """
    if steps < 1:
        raise ConfigError(f"steps={steps}: expected at least 1")
    steps = min(steps, len(start))
    diagonal, beside = map(np.asarray, _tridiagonal(product, start, steps))
    if not (np.isfinite(diagonal).all() and np.isfinite(beside).all()):
        unknown = np.full(steps, np.nan)
        return RitzValues(unknown, unknown)
    scale = np.abs(diagonal).max() + beside.max()
    negligible = 10 * np.finfo(diagonal.dtype).eps * len(start) ** 0.5 * scale
    ended = np.flatnonzero(beside <= negligible)
    used = int(ended[0]) + 1 if len(ended) else steps
    values, vectors = eigh_tridiagonal(diagonal[:used], beside[: used - 1])
    return RitzValues(values[::-1], np.abs(beside[used - 1] * vectors[-1, ::-1]))


@compiled
def _tridiagonal(product: Product, start: Float[Array, " size"], steps: int) -> tuple[Array, Array]:
    """Diagonal of the Lanczos matrix and what stands beside it, both of shape (steps,).

    The last entry beside the diagonal is the size of what is left after the last step.
    """

    def step(carry: tuple[Array, Array], index: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        basis, vector = carry
        basis = basis.at[index].set(vector)
        image = product(vector)
        diagonal = vector @ image
        for _ in range(2):  # once leaves what rounding brings back
            image = image - basis.T @ (basis @ image)
        size = jnp.linalg.norm(image)
        return (basis, image / jnp.where(size > 0, size, 1.0)), (diagonal, size)

    basis = jnp.zeros((steps, len(start)), start.dtype)
    _, found = jax.lax.scan(step, (basis, start / jnp.linalg.norm(start)), jnp.arange(steps))
    return found


@compiled
def trace_samples(
    product: Product, like: Float[Array, " size"], keys: Key[Array, " samples"]
) -> Float[Array, " samples"]:
    """Draws whose mean is the trace: z' A z with entries of z that are +1 or -1 (Hutchinson 1990).

    Args:
        product: v -> A v.
        like: any vector of the size and the type that the matrix takes.
        keys: one for every draw, shape (samples,).
    """

    def draw(key: Array) -> Array:
        signs = jax.random.rademacher(key, like.shape, like.dtype)
        return signs @ product(signs)

    return jax.lax.map(draw, keys)


@dataclass(frozen=True)
class CurvatureSettings(Settings):
    """How the Hessian of the weights is measured.

    Args:
        eigenvalues: how many of the largest eigenvalues to report.
        steps: of the Lanczos method; memory is steps * weights.
        samples: draws for the trace.
        seed: start of the Lanczos method and draws.
        double_precision: compute in float64.

    Raises:
        ConfigError: a number out of range.
    """

    eigenvalues: Count = 1
    steps: Count = 40
    samples: Annotated[int, Within(2), "for a standard error"] = 64
    seed: Seed = 0
    double_precision: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.expect(self.eigenvalues <= self.steps, f"1 to steps={self.steps}", "eigenvalues")


@dataclass(frozen=True, eq=False)
class WeightCurvature(
    Drawn, picture="attractor.audit.curves_page:draw_curvature", next_call=".plot(), .effective_rank"
):
    """The Hessian of a loss in the weights.

    Args:
        largest: its largest eigenvalues, descending, shape (eigenvalues,) or fewer for a small model.
        errors: each has a true eigenvalue within this distance.
        trace: estimate of the sum of its eigenvalues.
        trace_error: standard error of the estimate.
        weights: number of weights.
    """

    largest: Float[np.ndarray, " eigenvalues"]
    errors: Float[np.ndarray, " eigenvalues"]
    trace: float
    trace_error: float
    weights: int

    @property
    def effective_rank(self) -> float:
        """Trace over largest eigenvalue: how many directions are about as sharp as the sharpest one.

        0 for a loss without any curvature.
        """
        largest = float(self.largest[0])
        return self.trace / largest if largest != 0 else 0.0

    def to_dict(self) -> dict[str, object]:
        """Plain numbers and lists."""
        return {
            "largest": self.largest.tolist(),
            "errors": self.errors.tolist(),
            "trace": self.trace,
            "trace_error": self.trace_error,
            "effective_rank": self.effective_rank,
            "weights": self.weights,
        }

    def __str__(self) -> str:
        """How sharply the loss bends, with errors."""
        first = zip(self.largest[:3], self.errors[:3], strict=True)
        return "\n".join([
            f"largest curvatures of the loss in {self.weights} weights: "
            + ", ".join(f"{value:.4g} ± {error:.1g}" for value, error in first),
            f"trace {self.trace:.4g} ± {self.trace_error:.1g} (standard error), effective rank "
            f"{self.effective_rank:.3g}",
        ])


_USUAL = CurvatureSettings()


def weight_curvature(
    loss: Callable[[Any], Array], model: Any, settings: CurvatureSettings = _USUAL
) -> WeightCurvature:
    """Largest eigenvalues and trace of the Hessian of `loss(model)` in all floating weights of the model.

    Only products of the Hessian with vectors are computed, each at the cost of a few gradients.

    Args:
        loss: a number from a model, as the mean loss on a batch of data.
        model: an Equinox module or any pytree.
        settings: how precisely.

    Raises:
        ConfigError: a model without weights.
        InputDataError: a Hessian that is not finite.
    """
    is_double = settings.double_precision or jnp.result_type(float) == jnp.float64
    with with_precision(double=is_double):
        model = in_double_precision(model) if settings.double_precision else model
        weights, static = eqx.partition(model, eqx.is_inexact_array)
        size = ravel_pytree(weights)[0].size
        if size == 0:
            raise ConfigError(
                f"{type(model).__name__} has no floating weights, so its loss has no Hessian in them"
            )
        first, *others = jax.random.split(jax.random.key(settings.seed), settings.samples + 1)
        product = _HessianProduct(loss, weights, static)
        start = jax.random.normal(first, (size,), ravel_pytree(weights)[0].dtype)
        found = ritz_values(product, start, settings.steps)
        samples = np.asarray(trace_samples(product, start, jnp.stack(others)))
    if not (np.isfinite(found.values).all() and np.isfinite(samples).all()):
        raise InputDataError("the Hessian of the loss is not finite; are the data and the weights?")
    return WeightCurvature(
        largest=found.values[: settings.eigenvalues],
        errors=found.errors[: settings.eigenvalues],
        trace=float(samples.mean()),
        trace_error=float(samples.std(ddof=1)) / sqrt(len(samples)),
        weights=size,
    )


class _HessianProduct(eqx.Module):
    """V -> H v, the derivative of the gradient along v."""

    loss: Callable[[Any], Array]
    weights: Any
    static: Any

    def __call__(self, vector: Float[Array, " weights"]) -> Float[Array, " weights"]:
        flat, restore = ravel_pytree(self.weights)

        def loss(flat: Array) -> Array:
            return self.loss(eqx.combine(restore(flat), self.static))

        return jax.jvp(jax.grad(loss), (flat,), (vector,))[1]
