"""The gated network in continuous time of Krishnamurthy, Can and Schwab 2022 (PRX 12, 011011)."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from attractor.errors import ConfigError
from attractor.settings import NonNegative, Positive, Settings

from .building import FAMILIES
from .contract import Hidden, Input, weight_dtype
from .flow import Discretised, Flow, discretise


@dataclass(frozen=True)
class GatedForm(Settings):
    """The parameters of the theory, one number each; they are where the units of a network start.

    A larger bias opens its gate. (A bias inside exp(-alpha x + beta), as some papers have it, is minus ours.)

    Args:
        gain: g_h, of the rate tanh(g_h h + b_h).
        update_gain: alpha_z, of the update gate sigmoid(alpha_z z + b_z).
        reset_gain: alpha_r, of the output (reset) gate sigmoid(alpha_r r + b_r).
        bias: b_h.
        update_bias: b_z.
        reset_bias: b_r.
        update_time: tau_z, time constant of z; that of h is 1 where its gate is open.
        reset_time: tau_r.
        open_update: the update gate is 1, and there is no z.
        open_reset: the output gate is 1, and there is no r.
        input_mode: "gated", the update gate scales the input, too; "additive", it does not.

    Raises:
        ConfigError: a value outside its range.
    """

    gain: NonNegative = 1.5
    update_gain: NonNegative = 1.0
    reset_gain: NonNegative = 1.0
    bias: float = 0.0
    update_bias: float = 0.0
    reset_bias: float = 0.0
    update_time: Positive = 1.0
    reset_time: Positive = 1.0
    open_update: bool = False
    open_reset: bool = False
    input_mode: Literal["gated", "additive"] = "gated"


USUAL_GATES = GatedForm()


class GatedState(NamedTuple):
    """h, z and r, shape (hidden,) each; None for a gate that is always open."""

    activity: Hidden
    update: Hidden | None
    reset: Hidden | None


class Gate(eqx.Module):
    """A gate with a state of its own: tau dx/dt = -x + J rate + U u, open by sigmoid(alpha x + b).

    Args:
        coupling: J, shape (hidden, hidden).
        input_weight: U, shape (hidden, inputs).
        gain: alpha.
        bias: b, shape (hidden,).
        log_time: log tau.
    """

    coupling: Float[Array, "hidden hidden"]
    input_weight: Float[Array, "hidden inputs"]
    gain: Float[Array, ""]
    bias: Hidden
    log_time: Float[Array, ""]

    def opening(self, state: Hidden) -> Hidden:
        """sigmoid(alpha x + b), between 0 and 1."""
        return jax.nn.sigmoid(self.gain * state + self.bias)

    def change(self, input: Input, rate: Hidden, state: Hidden) -> Hidden:
        """dx/dt."""
        return jnp.exp(-self.log_time) * (self.coupling @ rate + self.input_weight @ input - state)


class GatedFlow(Flow):
    r"""$\dot h = s_z(z) (-h + J (\phi(h) s_r(r)) + U u)$, with gates that follow $\phi(h)$ slowly.

    $\tau_z \dot z = -z + J_z \phi(h) + U_z u$, $\tau_r \dot r = -r + J_r \phi(h) + U_r u$,
    $\phi(h) = \tanh(g_h h + b_h)$, $s_a(x) = 1 / (1 + e^{-(\alpha_a x + b_a)})$.

    The update gate s_z sets time scales, the output gate s_r the dimensionality. With both gates open it is
    the network of Sompolinsky, Crisanti and Sommers 1988. The entries of J, J_z and J_r start as normal
    numbers of variance 1 / hidden, those of U as normal numbers of variance 1 / inputs, U_z and U_r as
    zeros. Gains, biases and time constants are leaves: they train, and a whole grid of them runs in one
    `vmap`.

    Args:
        input_size: length of u.
        hidden_size: length of h, z and r.
        form: gains, biases, time constants, and which gates are open.
        key: draws the weights.

    Example:
        >>> import jax
        >>> flow = GatedFlow(1, 4, form=GatedForm(open_update=True), key=jax.random.key(0))
        >>> flow.vector_field(jnp.ones(1), flow.initial_state()).reset.shape
        (4,)
    """

    coupling: Float[Array, "hidden hidden"]
    input_weight: Float[Array, "hidden inputs"]
    gain: Float[Array, ""]
    bias: Hidden
    update_gate: Gate | None
    reset_gate: Gate | None
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    input_mode: str = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        form: GatedForm = USUAL_GATES,
        key: PRNGKeyArray,
    ) -> None:
        own, update, reset, outside = jax.random.split(key, 4)
        shape = (hidden_size, input_size)
        self.coupling = _random_coupling(own, hidden_size)
        self.input_weight = jax.random.normal(outside, shape) / max(input_size, 1) ** 0.5
        self.gain, self.bias = jnp.asarray(form.gain, float), jnp.full(hidden_size, form.bias, float)
        updating = form.update_gain, form.update_bias, form.update_time
        resetting = form.reset_gain, form.reset_bias, form.reset_time
        self.update_gate = None if form.open_update else _random_gate(update, shape, updating)
        self.reset_gate = None if form.open_reset else _random_gate(reset, shape, resetting)
        self.input_size, self.hidden_size = input_size, hidden_size
        self.input_mode = form.input_mode

    def rate(self, activity: Hidden) -> Hidden:
        """phi(h) = tanh(g_h h + b_h)."""
        return jnp.tanh(self.gain * activity + self.bias)

    def vector_field(self, input: Input, state: GatedState) -> GatedState:
        """Changes of h, z and r per unit of time."""
        rate = self.rate(state.activity)
        shown = rate if self.reset_gate is None else rate * self.reset_gate.opening(_part(state.reset))
        pull, drive = self.coupling @ shown - state.activity, self.input_weight @ input
        if self.input_mode == "gated":
            pull, drive = pull + drive, jnp.zeros_like(drive)
        if self.update_gate is not None:
            pull = self.update_gate.opening(_part(state.update)) * pull
        return GatedState(
            pull + drive,
            None if self.update_gate is None else self.update_gate.change(input, rate, _part(state.update)),
            None if self.reset_gate is None else self.reset_gate.change(input, rate, _part(state.reset)),
        )

    def initial_state(self) -> GatedState:
        """Zeros."""
        zeros = jnp.zeros(self.hidden_size, weight_dtype(self))
        return GatedState(
            zeros,
            None if self.update_gate is None else zeros,
            None if self.reset_gate is None else zeros,
        )

    def exposed(self, state: GatedState) -> Hidden:
        """The rates phi(h)."""
        return self.rate(state.activity)


def _part(state: Array | None) -> Array:
    """The state of a gate that is there."""
    if state is None:
        raise ConfigError("the state has no entry for a gate that is not open; start from `initial_state()`")
    return state


def _random_coupling(key: PRNGKeyArray, size: int) -> Float[Array, "hidden hidden"]:
    return jax.random.normal(key, (size, size)) / size**0.5


def _random_gate(key: PRNGKeyArray, shape: tuple[int, int], numbers: tuple[float | int, ...]) -> Gate:
    gain, bias, time = numbers
    return Gate(
        coupling=_random_coupling(key, shape[0]),
        input_weight=jnp.zeros(shape),
        gain=jnp.asarray(gain, float),
        bias=jnp.full(shape[0], bias, float),
        log_time=jnp.log(jnp.asarray(time, float)),
    )


def gated_rate(
    input_size: int,
    hidden_size: int,
    *,
    form: GatedForm = USUAL_GATES,
    step: float | int = 0.5,
    method: str = "heun",
    key: PRNGKeyArray,
) -> Discretised:
    """The map of one fixed step of a `GatedFlow`.

    Args:
        input_size: length of u.
        hidden_size: length of h, z and r.
        form: gains, biases, time constants, and which gates are open.
        step: time of one step; at most 0.1 times the shortest time constant to follow the flow closely.
        method: "euler", "heun" or "rk4".
        key: draws the weights.
    """
    return discretise(GatedFlow(input_size, hidden_size, form=form, key=key), step, method)


FAMILIES.register("gated-rate", gated_rate)
