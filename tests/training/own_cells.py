"""A cell as a user writes it: a plain module without base class, and a state that is not one vector."""

import equinox as eqx
import jax.numpy as jnp


class Counting(eqx.Module):
    """A pair (h, number of steps); h is a pair of numbers that pull at each other, the second is shown."""

    pull: float
    output_size: int = eqx.field(static=True, default=1)

    def __call__(self, input, state, *, key=None):
        first, second = state["h"]
        new = jnp.tanh(first + self.pull * second + input[0]), jnp.sin(second - self.pull * first + input[1])
        return {"h": new, "steps": state["steps"] + 1}

    def initial_state(self):
        return {"h": (jnp.full(1, 0.1), jnp.full(1, -0.2)), "steps": jnp.zeros((), int)}

    def exposed(self, state):
        return state["h"][1]
