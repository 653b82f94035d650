"""Every fact of the table of primitives against samples; and that readings ask the table."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from attractor.certify.domains import RULES
from attractor.program import PRIMITIVES, Kind, ZeroRule, of_kind, zeros_of

FUNCTIONS = {
    "tanh": np.tanh, "erf": special.erf, "expm1": np.expm1, "log1p": np.log1p, "sinh": np.sinh,
    "asinh": np.arcsinh, "atan": np.arctan, "asin": np.arcsin, "atanh": np.arctanh, "sqrt": np.sqrt,
    "cbrt": np.cbrt, "erf_inv": special.erfinv, "abs": np.abs, "square": np.square, "sin": np.sin,
    "tan": np.tan, "cos": np.cos, "logistic": special.expit, "erfc": special.erfc, "exp": np.exp,
    "exp2": np.exp2, "log": np.log, "rsqrt": lambda p: 1 / np.sqrt(p), "cosh": np.cosh, "acosh": np.arccosh,
    "acos": np.arccos, "neg": np.negative, "sign": np.sign, "floor": np.floor, "ceil": np.ceil,
    "round": np.round,
}  # fmt: skip
POINTS = np.sort(
    np.concatenate([np.linspace(-40, 40, 3201), np.linspace(-1, 1, 801), np.pi * np.arange(-9, 10)])
)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_the_table_says_of_a_function_holds_at_samples(name):
    known, function = PRIMITIVES[name], FUNCTIONS[name]
    values = function(POINTS)
    defined = np.isfinite(values)
    low, high = known.range
    assert ((values >= low) & (values <= high))[defined].all()
    if known.slope is not None:
        neighbours = defined[1:] & defined[:-1] & (np.diff(POINTS) > 1e-3)
        if name == "tan":  # not across its poles
            neighbours &= np.floor(POINTS[1:] / np.pi + 0.5) == np.floor(POINTS[:-1] / np.pi + 0.5)
        slopes = (np.diff(values)[neighbours]) / np.diff(POINTS)[neighbours]
        room = 1e-9 * (1 + np.abs(slopes))
        assert ((slopes >= known.slope[0] - room) & (slopes <= known.slope[1] + room)).all()
    if known.zeros.forward:
        assert function(np.zeros(1))[0] == 0
    if known.zeros.backward:
        away = POINTS[defined & (np.abs(POINTS) > 1e-6)]
        assert (np.abs(function(away)) > 1e-13).all()


@pytest.mark.parametrize("name", ["sin", "tan", "floor", "ceil", "round"])
def test_what_is_zero_elsewhere_too_has_no_converse(name):
    """`sin(80 x) > 0` was taken for `x > 0`."""
    elsewhere = {"sin": np.pi, "tan": np.pi, "floor": 0.5, "ceil": -0.5, "round": 0.3}[name]
    assert abs(FUNCTIONS[name](elsewhere)) < 1e-12
    assert PRIMITIVES[name].zeros is ZeroRule.FORWARD


def test_nothing_is_known_of_what_is_not_listed():
    assert zeros_of("sort") is ZeroRule.UNKNOWN
    assert zeros_of("cos") is ZeroRule.UNKNOWN


def test_every_fact_has_its_argument():
    for one in PRIMITIVES.values():
        stated = one.zeros is not ZeroRule.UNKNOWN or one.slope is not None or one.jumps
        assert not stated or len(one.because) > 5, one.name


def test_a_step_function_does_not_change_between_its_jumps():
    for name in ("sign", "floor", "ceil", "round"):
        assert PRIMITIVES[name].jumps
        assert not np.diff(FUNCTIONS[name](np.linspace(0.1, 0.4, 50))).any()


def test_every_rule_of_the_bounds_is_of_a_listed_primitive():
    assert set(RULES) - {"real"} <= set(PRIMITIVES)


MOVED = {
    "reshape": lambda a: a.reshape(3, 2),
    "squeeze": lambda a: jax.lax.squeeze(a[:1], (0,)),
    "transpose": lambda a: a.T,
    "slice": lambda a: a[:, 1:],
    "broadcast_in_dim": lambda a: jnp.broadcast_to(a, (4, 2, 3)),
    "rev": lambda a: jax.lax.rev(a, (0,)),
    "dynamic_slice": lambda a: jax.lax.dynamic_slice(a, (0, 1), (1, 2)),
    "split": lambda a: jnp.split(a, [1], axis=1)[1],
    "tile": lambda a: (
        jax.lax.tile_p.bind(a, reps=(2, 1)) if hasattr(jax.lax, "tile_p") else jnp.tile(a, (2, 1))
    ),
    "gather": lambda a: a[:, jnp.array([2, 0])],
    "dynamic_update_slice": lambda a: jax.lax.dynamic_update_slice(a, a[:1, :1], (1, 1)),
    "pad": lambda a: jax.lax.pad(a, a[0, 0], ((1, 0, 0), (0, 0, 0))),
    "scatter": lambda a: a.at[jnp.array([1])].set(a[:1]),
    "concatenate": lambda a: jnp.concatenate([a, a]),
    "stack": lambda a: jnp.stack([a, a]),
    "unstack": lambda a: jax.lax.unstack(a)[1],
}


def test_all_moves_are_tried():
    assert set(MOVED) | {"expand_dims"} == set(of_kind(Kind.MOVING))  # which JAX writes as a broadcast


@pytest.mark.parametrize("name", MOVED)
def test_a_move_makes_no_new_number(name):
    """Entries of the result are entries of the operands that the table calls moved."""
    given = jnp.arange(1.0, 7.0).reshape(2, 3)
    program = jax.make_jaxpr(MOVED[name])(given)
    equation = next(one for one in program.eqns if one.primitive.name == name)
    assert equation.primitive.name in PRIMITIVES
    result = np.asarray(MOVED[name](given))
    assert set(result.ravel()) <= set(np.asarray(given).ravel())
