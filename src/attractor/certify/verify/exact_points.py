"""Whether a formula holds at one input, in fractions: the numbers of the query, and what networks make of it.

Rounding leaves a condition open that is met, or missed, exactly at its threshold. A network whose weights are
finite and whose functions are choices, products and jumps has a fraction as its output, for the weights as
the file has them; then nothing is left open.
"""

from collections.abc import Callable, Mapping
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from attractor.program import double_precision, trace

from ..dual.exact import exact_outputs
from ..dual.lowering import network_of
from .formula import Formula, Variable, disjuncts, holds

Arrays = Callable[[jax.Array], Mapping[str, jax.Array]]


def holds_at(arrays: Arrays, formula: Formula, point: Float[np.ndarray, " inputs"]) -> bool | None:
    """Whether a formula holds for what networks make of an input, exactly.

    Args:
        arrays: all arrays at an input, by the names of their tensors.
        formula: about their entries.
        point: the input.

    Returns:
        Whether it does; None where some array has no exact value.
    """
    used = {
        variable.tensor
        for conjunction in disjuncts(formula)
        for one in conjunction
        for variable in one.polynomial.variables
    }
    values: dict[Variable, Fraction] = {}
    for name in sorted(used):
        found = _outputs(arrays, name, point)
        if found is None:
            return None
        values |= {Variable(name, index): value for index, value in enumerate(found)}
    return holds(formula, values)


def _outputs(arrays: Arrays, name: str, point: np.ndarray) -> tuple[Fraction, ...] | None:
    """Entries of one array; apart from others, as maps that are not folded together are not rounded."""

    def one(flat: jax.Array) -> jax.Array:
        return jnp.ravel(arrays(flat)[name]).astype(flat.dtype)

    with double_precision():
        return exact_outputs(network_of(trace(one, jnp.asarray(point))), point)
